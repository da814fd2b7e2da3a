//! Retries of whole operations, with one overall deadline.
//!
//! An adapter's supervisor gives each attempt its own deadline; here an operation is repeated,
//! unchanged, while its error says that this may help. Every write is idempotent, so an answer that
//! was lost costs nothing.

use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep, timeout_at};

use crate::random;

/// No operation takes longer, retries included. Tombstones outlive it.
pub(crate) const OVERALL_DEADLINE: Duration = Duration::from_secs(20);

/// A timer is this late only where its runtime or its process stood still.
pub(crate) const LATE_MIN: Duration = Duration::from_millis(500);

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Runs `attempt` until it succeeds, fails for good, or [`OVERALL_DEADLINE`] has passed.
pub(crate) async fn until_deadline<T, F>(operation: &'static str, attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    within(OVERALL_DEADLINE, operation, attempt).await
}

/// The same with another deadline.
pub(crate) async fn within<T, F>(
    limit: Duration,
    operation: &'static str,
    mut attempt: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + limit;
    let gave_up = |last| gave_up(limit, deadline, operation, last);
    let mut pause = PAUSE_MIN;
    let mut last = None;
    loop {
        match timeout_at(deadline, attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is_retryable() => last = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(gave_up(last)),
        }
        let wait = random::jittered(pause, 50, 100);
        if Instant::now() + wait >= deadline {
            return Err(gave_up(last));
        }
        sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One attempt. A caller that was itself late says so instead of blaming the store.
///
/// # Errors
/// The call's own; `Timeout` after `limit`.
pub(crate) async fn once<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    timeout_at(deadline, call).await.unwrap_or_else(|_| {
        let context = unanswered(limit, deadline);
        Err(Error::new(ErrorKind::Timeout, operation, context))
    })
}

/// Why there is no answer at `deadline`. A timer that fires well after its time shows that this runtime, and not the
/// store, stood still.
fn unanswered(limit: Duration, deadline: Instant) -> String {
    match lateness(deadline) {
        None => format!("no answer within {limit:?}"),
        Some(late) => {
            format!("this runtime or its process stood still for {late:?} beyond the limit of {limit:?}")
        }
    }
}

/// How long ago a deadline was whose timer has fired only now; `None` where that is no more than a moment.
pub(crate) fn lateness(deadline: Instant) -> Option<Duration> {
    Some(deadline.elapsed()).filter(|late| *late >= LATE_MIN)
}

fn gave_up(limit: Duration, deadline: Instant, operation: &'static str, last: Option<Error>) -> Error {
    let error = Error::new(
        ErrorKind::Unavailable,
        operation,
        format!(
            "{}, retries included; a write may have happened",
            unanswered(limit, deadline)
        ),
    );
    match last {
        Some(last) => error.with_source(last),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn failure(kind: ErrorKind) -> Result<()> {
        Err(Error::new(kind, "test", "refused"))
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_what_may_help_until_it_does() {
        let attempts = Cell::new(0);
        let answer = until_deadline("test", || {
            attempts.set(attempts.get() + 1);
            let answer = if attempts.get() < 4 {
                failure(ErrorKind::Unavailable)
            } else {
                Ok(())
            };
            async { answer }
        });
        answer.await.unwrap();
        assert_eq!(attempts.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_deadline_and_keeps_the_cause() {
        let start = Instant::now();
        let error = until_deadline("test", || async { failure(ErrorKind::Timeout) })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(std::error::Error::source(&error).is_some());
        assert!(start.elapsed() <= OVERALL_DEADLINE);
        let error = until_deadline("test", std::future::pending::<Result<()>>)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn error_of_a_late_timer_names_the_runtime_and_not_the_store() {
        let limit = Duration::from_secs(1);
        for (passes, expected) in [(limit, "no answer within 1s"), (limit * 7, "stood still for 6s")] {
            let asking = tokio::spawn(once(limit, "test", std::future::pending::<Result<()>>()));
            tokio::task::yield_now().await;
            tokio::time::advance(passes).await;
            let error = asking.await.expect("no panic").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.context().contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_help_is_not_repeated() {
        let attempts = Cell::new(0);
        let answer = until_deadline("test", || {
            attempts.set(attempts.get() + 1);
            async { failure(ErrorKind::Fenced) }
        });
        assert_eq!(answer.await.unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(attempts.get(), 1);
    }
}
