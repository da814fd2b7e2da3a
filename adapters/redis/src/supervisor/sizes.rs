//! What is large goes over a connection of its own, so that nothing small waits behind it.
//!
//! How long a request is stands there; how long its answer is does not. It is guessed from the last time
//! that the same was asked for: a bit for each of 65,536 hashes. A wrong guess costs nothing but a place
//! behind, or before, something large.
//!
//! Only so much of it is under way to one server at a time. More would not be faster, and whoever writes it
//! would do nothing else meanwhile; what waits for its turn is not late yet.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Call;
use crate::client::Reply;

/// What is longer, as a request or as an answer, is large: about what the loopback and a server's read take
/// at once.
const LARGE_BYTES: usize = 16 << 10;
const BITS: usize = 1 << 16;
/// How much is under way to one server at a time, in pieces of [`LARGE_BYTES`]: 4 MiB.
pub(super) const PIECES_MAX: u32 = 256;
/// What an answer counts as that is expected to be large.
const PIECES_OF_ANSWER: u32 = 8;

/// On which of the two connections to a server something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

impl Size {
    const fn of(bytes: usize) -> Self {
        if bytes > LARGE_BYTES {
            Self::Large
        } else {
            Self::Small
        }
    }
}

/// What was large when it was last seen.
#[derive(Debug)]
pub(super) struct Sizes(Box<[AtomicU64]>);

impl Sizes {
    pub(super) fn new() -> Self {
        Self((0..BITS / 64).map(|_| AtomicU64::new(0)).collect())
    }

    /// How large a call is, with the answer that is to be expected.
    pub(super) fn expect(&self, call: &Call) -> Size {
        let known = || {
            let (word, bit) = self.place(call.about?);
            Some(word.load(Ordering::Relaxed) & bit != 0)
        };
        if call.script.answers_records && known() == Some(true) {
            return Size::Large;
        }
        Size::of(call.command.bytes())
    }

    /// Of how many pieces a large call is; at most all.
    pub(super) fn pieces(call: &Call) -> u32 {
        let request = u32::try_from(call.command.bytes() / LARGE_BYTES + 1).unwrap_or(PIECES_MAX);
        let answer = if call.script.answers_records {
            PIECES_OF_ANSWER
        } else {
            0
        };
        (request + answer).min(PIECES_MAX)
    }

    /// Takes in how large it was: the answer where that has records, else the request.
    pub(super) fn note(&self, call: &Call, answer: &Reply) {
        let Some(about) = call.about else { return };
        let bytes = if call.script.answers_records {
            answer.bytes()
        } else {
            call.command.bytes()
        };
        let (word, bit) = self.place(about);
        let large = Size::of(bytes) == Size::Large;
        // It nearly always stands as it should, and is only looked at.
        if (word.load(Ordering::Relaxed) & bit != 0) != large {
            if large {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    fn place(&self, about: u64) -> (&AtomicU64, u64) {
        // A remainder below the number of bits.
        let index = usize::try_from(about % BITS as u64).unwrap_or_default();
        (&self.0[index / 64], 1 << (index % 64))
    }
}
