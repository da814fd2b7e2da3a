//! Randomness: 128 bits from the operating system for what must not be guessed or collide, and a
//! quick generator for jitter and tie-breaks.

use std::cell::Cell;
use std::time::Duration;

use ringhold_core::transport::TraceContext;
use ringhold_core::{Error, ErrorKind, Nonce, OperationId, Partition, Result, SessionId};

fn bytes() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let context = "the operating system gives no random bytes";
        Error::new(ErrorKind::Unavailable, "random", context).with_source(error)
    })?;
    Ok(bytes)
}

pub(crate) fn nonce() -> Result<Nonce> {
    bytes().map(Nonce::from_bytes)
}

pub(crate) fn operation() -> Result<OperationId> {
    bytes().map(OperationId::from_bytes)
}

pub(crate) fn session_id(partition: Partition) -> Result<SessionId> {
    Ok(SessionId::new(partition, bytes()?))
}

/// A trace that begins here.
pub(crate) fn trace() -> TraceContext {
    let id = u128::from(quick()) << 64 | u128::from(quick());
    TraceContext::new(id.to_be_bytes(), quick().to_be_bytes())
}

/// 64 bits that are good enough to spread load; never a secret. `SplitMix64` (Steele, Lea and Flood,
/// 2014), seeded per thread from the operating system.
pub(crate) fn quick() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(bytes().map_or(0x9e37_79b9, |bytes| {
            let (half, _) = bytes.split_at(8);
            half.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
        }));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// A duration between `low` and `high` percent of `period`.
pub(crate) fn jittered(period: Duration, low: u32, high: u32) -> Duration {
    let range = u64::from(high.saturating_sub(low)) + 1;
    let percent = u32::try_from(quick() % range).unwrap_or(0) + low;
    period * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range() {
        for _ in 0..1_000 {
            let drawn = jittered(Duration::from_secs(1), 85, 100);
            assert!((850..=1_000).contains(&drawn.as_millis()), "{drawn:?}");
        }
    }

    #[test]
    fn ids_differ() {
        assert_ne!(nonce().unwrap(), nonce().unwrap());
        assert_ne!(quick(), quick());
    }
}
