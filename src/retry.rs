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
    let mut pause = PAUSE_MIN;
    let mut last = None;
    loop {
        match timeout_at(deadline, attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is_retryable() => last = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(gave_up(limit, operation, last)),
        }
        let wait = random::jittered(pause, 50, 100);
        if Instant::now() + wait >= deadline {
            return Err(gave_up(limit, operation, last));
        }
        sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn gave_up(limit: Duration, operation: &'static str, last: Option<Error>) -> Error {
    let error = Error::new(
        ErrorKind::Unavailable,
        operation,
        format!("no answer within {limit:?}, retries included; a write may have happened"),
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
