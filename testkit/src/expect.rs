//! What assertions have in common.

use std::fmt::Debug;
use std::time::Duration;

use ringhold_core::{ErrorKind, Result};

/// A time that is shorter by `less`.
#[track_caller]
pub(crate) fn shorter(duration: Duration, less: Duration) -> Duration {
    match duration.checked_sub(less) {
        Some(left) => left,
        None => panic!("{duration:?} is too short for this rule: it must be above {less:?}"),
    }
}

/// The value of what has to succeed.
#[track_caller]
pub(crate) fn done<T>(what: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: must succeed, and failed: {error:?}"),
    }
}

/// Checks that something is refused with this kind, and tells nobody to try again in vain.
#[track_caller]
pub(crate) fn refused<T: Debug>(what: &str, result: Result<T>, kind: ErrorKind) {
    match result {
        Err(error) if error.kind() == kind => {
            let worth_repeating = matches!(
                kind,
                ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Overloaded
            );
            assert!(
                worth_repeating || !error.is_retryable(),
                "{what}: `{kind}` stays `{kind}` when repeated, and says that it is retryable: {error:?}"
            );
            assert!(
                !error.context().is_empty(),
                "{what}: the error says nothing: {error:?}"
            );
        }
        Err(error) => panic!("{what}: must be `{kind}`, and is `{}`: {error:?}", error.kind()),
        Ok(value) => panic!("{what}: must be `{kind}`, and succeeded: {value:?}"),
    }
}
