//! What the rules ask of a store: one transaction over ordered keys.

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, Result};

/// One transaction on the keys of one fleet.
///
/// It reads the store at one moment, its own writes included, and its writes happen together or not at
/// all: a rule that stops with an error has written nothing. What it decides must still hold when its
/// writes happen: between a [`get`](Self::get) and the end nobody else has written that key. What
/// [`peek`](Self::peek) and [`range`](Self::range) show may have changed by then, so a rule looks at it
/// alone where that does no harm.
///
/// Keys are relative to the fleet. A rule may be run again from its beginning, and a little later, so it asks
/// the same in the same order wherever it is answered the same.
pub trait Transaction {
    /// Why a rule stops before its end: an error or, where keys are fetched from afar, that something
    /// has to be fetched before the rule is run again.
    type Stop: From<Error>;

    /// Says that these keys will be read, so that they are fetched together. Changes no answer.
    fn expect(&mut self, keys: &[&[u8]]) -> Result<(), Self::Stop>;

    /// Says that this range will be asked for, with the same limit, so that it is fetched together with
    /// the keys of the next [`expect`](Self::expect). Changes no answer.
    fn expect_range(&mut self, from: &[u8], to: &[u8], limit: usize) {
        let _ = (from, to, limit);
    }

    /// The value of a key; nobody else writes it before this transaction has ended.
    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, Self::Stop>;

    /// The value of a key, as it was a moment ago.
    fn peek(&mut self, key: &[u8]) -> Result<Option<Bytes>, Self::Stop>;

    /// The first `limit` keys from `from` on and before `to`, with their values, as they were a moment
    /// ago, in order.
    fn range(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, Self::Stop>;

    /// Writes a key.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);

    /// Takes a key away, if it is there.
    fn delete(&mut self, key: Vec<u8>);

    /// Moves a clock on, from the reading that is stored to a later one. Where somebody else has moved
    /// it meanwhile, nothing happens, and the rest of the transaction does not mind.
    fn tick(&mut self, key: &[u8], from_ms: Option<u64>, to_ms: u64);
}

/// The error that a stored value is not of the form that this schema gives it.
#[cold]
pub(crate) fn corrupt(operation: &'static str, what: &str) -> Error {
    let context = format!("{what} in the store is malformed; is something else using these keys?");
    Error::new(ErrorKind::Corrupt, operation, context)
}
