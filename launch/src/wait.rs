//! Waiting for other processes.

use std::time::{Duration, Instant};

use crate::{Error, ErrorKind, Result};

const PERIOD: Duration = Duration::from_millis(10);

/// Asks `probe` until it has a value. What it says otherwise is what the error tells.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match probe() {
            Ok(value) => return Ok(value),
            Err(seen) => seen,
        };
        if start.elapsed() >= limit {
            let message = format!("waited {limit:?} for {what}; last seen: {seen}");
            return Err(Error::new(ErrorKind::Timeout, message));
        }
        pause(PERIOD);
    }
}

/// Lets other processes run.
#[expect(
    clippy::disallowed_methods,
    reason = "this crate is synchronous, and other processes tell nobody when they are ready"
)]
pub(crate) fn pause(period: Duration) {
    std::thread::sleep(period);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_the_value_or_with_what_was_seen_last() {
        let mut left = 3;
        let value = until("zero", Duration::from_secs(5), || {
            left -= 1;
            if left == 0 {
                Ok("here")
            } else {
                Err(left.to_string())
            }
        });
        assert_eq!(value.unwrap(), "here");
        let failure = until::<()>("luck", Duration::ZERO, || Err("none".into())).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Timeout);
        assert_eq!(failure.message(), "waited 0ns for luck; last seen: none");
    }
}
