//! Randomness for pauses and choices; nothing here is a secret.

use std::time::Duration;

/// A number below `end`, or 0 where that is 0. Without a random source it is 0: pauses are then less spread.
pub(crate) fn below(end: u64) -> u64 {
    match getrandom::u64() {
        Ok(bits) => bits.checked_rem(end).unwrap_or(0),
        Err(_) => 0,
    }
}

/// Half to all of a duration.
pub(crate) fn jittered(duration: Duration) -> Duration {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros / 2 + below(micros / 2 + 1))
}
