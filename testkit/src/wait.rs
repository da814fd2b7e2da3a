//! Waiting for a condition: with a deadline, and with words when it does not come.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// The longest that a rule waits for what has to come at once, in real time: long enough for a machine whose cores
/// are all busy.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// Polls `condition` until it is `Ok`, and answers its value.
///
/// The condition's `Err` says what it saw; the last one is in the panic's message. Polls come fast
/// at first and every 50 ms later on. A condition that hangs is ended at the deadline too.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use ringhold_testkit::wait_for;
///
/// let mut players = 0;
/// let all = wait_for("three players", Duration::from_secs(5), async || {
///     players += 1;
///     if players >= 3 { Ok(players) } else { Err(format!("{players} players")) }
/// });
/// assert_eq!(all.await, 3);
/// # });
/// ```
///
/// # Panics
/// When `deadline` has passed without an `Ok`.
pub async fn wait_for<T, S: Display>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    const PAUSE_MAX: Duration = Duration::from_millis(50);

    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    let mut seen: Option<S> = None;
    let mut polls = 0_u32;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        polls += 1;
        match timeout(left, condition()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(now)) if Instant::now() < end => seen = Some(now),
            Ok(Err(now)) => panic!("waited {deadline:?} for {what}; seen last, at poll {polls}: {now}"),
            Err(_elapsed) => match seen {
                Some(seen) => {
                    panic!("waited {deadline:?} for {what}; poll {polls} hung; seen before: {seen}")
                }
                None => panic!("waited {deadline:?} for {what}; poll {polls} hung, nothing was seen before"),
            },
        }
        // sleep: the pause between two looks at the condition
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Awaits `future` for at most [`WAIT_MAX`].
///
/// # Panics
/// When it takes longer.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(WAIT_MAX, future).await {
        Ok(value) => value,
        Err(elapsed) => panic!("waited {WAIT_MAX:?} for {what}: {elapsed}"),
    }
}

/// Polls `future` once and drops it: what a caller does that gives up at the first chance.
pub async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const SHORT: Duration = Duration::from_millis(30);

    /// What a wait that fails says.
    fn message(wait: impl Future<Output = ()>) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(wait))).expect_err("it must fail");
        *panic.downcast::<String>().expect("a message")
    }

    #[test]
    fn it_says_what_it_saw_last() {
        let mut polls = 0;
        let message = message(wait_for("the moon", SHORT, async || {
            polls += 1;
            Err::<(), _>(format!("cloud {polls}"))
        }));
        assert!(message.contains("for the moon; seen last, at poll"), "{message}");
        assert!(
            polls > 1 && message.ends_with(&format!("cloud {polls}")),
            "{message}"
        );
    }

    #[test]
    fn a_condition_that_hangs_is_ended() {
        let message = message(wait_for("an answer", SHORT, async || {
            pending::<Result<(), &str>>().await
        }));
        assert!(message.contains("for an answer; poll 1 hung"), "{message}");
    }

    #[tokio::test]
    async fn it_answers_as_soon_as_it_holds() {
        let start = Instant::now();
        assert_eq!(
            wait_for("a value", WAIT_MAX, async || Ok::<_, String>(7)).await,
            7
        );
        assert!(start.elapsed() < WAIT_MAX / 2, "{:?}", start.elapsed());
        assert_eq!(within("a value", async { 7 }).await, 7);
        assert_eq!(poll_once(async { 7 }).await, Some(7));
        assert_eq!(poll_once(pending::<u8>()).await, None);
    }
}
