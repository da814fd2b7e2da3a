//! The tasks that answer the requests of a connection, and the end of those whose caller takes no answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::time::{Instant, sleep_until};

tokio::task_local! {
    /// Until when the answer of this task is to be taken.
    static TAKEN_UNTIL: Cell<Option<Instant>>;
}

/// Says until when the caller has to take the answer that is given now. Outside of a task of a connection
/// this does nothing.
pub(super) fn taken_until(deadline: Instant) {
    let _ = TAKEN_UNTIL.try_with(|until| until.set(Some(deadline)));
}

/// Runs each request of a connection in a task of its own. It ends with its stream, which ends with the
/// connection, or when its answer was not taken in time: whoever asks and does not read would keep one for ever.
#[derive(Clone, Copy)]
pub(super) struct Answering;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Answering {
    fn execute(&self, task: F) {
        tokio::spawn(TAKEN_UNTIL.scope(Cell::new(None), async move {
            let (mut task, mut late) = (pin!(task), None);
            poll_fn(|cx| {
                if task.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match TAKEN_UNTIL.with(Cell::get) {
                    // An answer that is taken at once needs no timer.
                    Some(until) => late
                        .get_or_insert_with(|| Box::pin(sleep_until(until)))
                        .as_mut()
                        .poll(cx),
                    None => Poll::Pending,
                }
            })
            .await;
        }));
    }
}
