//! A transaction whose keys are fetched from afar: what is missing is asked for at once, and the rule is
//! run again.

mod commit;
mod fetch;
mod runner;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ringhold_core::{Error, Result};
use ringhold_kv::Transaction;

pub(crate) use self::runner::{Runner, Tried};

/// Why a rule stops before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It refuses.
    Error(Error),
    /// Something has to be fetched first.
    Missing,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The first so many keys from one on and before another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: Vec<u8>,
    to: Vec<u8>,
    limit: usize,
}

/// What a rule asks for.
#[derive(Debug, Default)]
struct Asked {
    keys: BTreeSet<Vec<u8>>,
    spans: BTreeSet<Span>,
}

/// A stored value, and the revision that wrote it.
#[derive(Debug, Clone)]
struct Stored {
    value: Bytes,
    revision: i64,
}

/// What was fetched, all of one revision. Keys are relative to the fleet.
#[derive(Debug, Default)]
struct Snapshot {
    keys: BTreeMap<Vec<u8>, Option<Stored>>,
    spans: BTreeMap<Span, Vec<(Bytes, Bytes)>>,
    /// Which one; `None` before anything was fetched.
    revision: Option<i64>,
}

/// A step of a clock.
#[derive(Debug)]
struct Tick {
    key: Vec<u8>,
    from_ms: Option<u64>,
    to_ms: u64,
}

/// One transaction, over all the times that its rule is run.
#[derive(Debug, Default)]
pub(crate) struct EtcdTransaction {
    snapshot: Snapshot,
    /// What this run has asked for up to now.
    asked: Asked,
    /// What it has said it will ask for.
    announced: BTreeSet<Span>,
    /// What it holds: nobody else may write these.
    held: BTreeSet<Vec<u8>>,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    ticks: Vec<Tick>,
}

impl EtcdTransaction {
    /// Before the rule is run again, over what was fetched.
    fn restart(&mut self) {
        self.asked = Asked::default();
        self.announced.clear();
        self.held.clear();
        self.writes.clear();
        self.ticks.clear();
    }

    fn need(&mut self, keys: &[&[u8]]) -> Result<(), Stop> {
        let mut missing = false;
        for key in keys {
            missing |= !self.snapshot.keys.contains_key(*key);
            self.asked.keys.insert(key.to_vec());
        }
        for span in std::mem::take(&mut self.announced) {
            missing |= !self.snapshot.spans.contains_key(&span);
            self.asked.spans.insert(span);
        }
        if missing { Err(Stop::Missing) } else { Ok(()) }
    }

    fn look(&mut self, key: &[u8]) -> Result<Option<Bytes>, Stop> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone().map(Bytes::from));
        }
        self.need(&[key])?;
        let stored = self.snapshot.keys.get(key).and_then(Option::as_ref);
        Ok(stored.map(|stored| stored.value.clone()))
    }
}

impl Transaction for EtcdTransaction {
    type Stop = Stop;

    fn expect(&mut self, keys: &[&[u8]]) -> Result<(), Stop> {
        self.need(keys)
    }

    fn expect_range(&mut self, from: &[u8], to: &[u8], limit: usize) {
        let (from, to) = (from.to_vec(), to.to_vec());
        self.announced.insert(Span { from, to, limit });
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, Stop> {
        let value = self.look(key)?;
        self.held.insert(key.to_vec());
        Ok(value)
    }

    fn peek(&mut self, key: &[u8]) -> Result<Option<Bytes>, Stop> {
        self.look(key)
    }

    fn range(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, Stop> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        self.expect_range(from, to, limit);
        self.need(&[])?;
        let span = Span {
            from: from.to_vec(),
            to: to.to_vec(),
            limit,
        };
        let found = self.snapshot.spans.get(&span).cloned().unwrap_or_default();
        let mut own = self.writes.range(span.from..span.to).peekable();
        if own.peek().is_none() {
            return Ok(found);
        }
        let mut found: BTreeMap<Bytes, Bytes> = found.into_iter().collect();
        for (key, value) in own {
            match value {
                Some(value) => found.insert(key.clone().into(), value.clone().into()),
                None => found.remove(&key[..]),
            };
        }
        Ok(found.into_iter().take(limit).collect())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    fn tick(&mut self, key: &[u8], from_ms: Option<u64>, to_ms: u64) {
        self.ticks.push(Tick {
            key: key.to_vec(),
            from_ms,
            to_ms,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(keys: &[(&str, &str)], span: (&str, &str, usize)) -> EtcdTransaction {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let mut tx = EtcdTransaction::default();
        let (from, to, limit) = span;
        let span = Span {
            from: from.into(),
            to: to.into(),
            limit,
        };
        let found = keys.iter().map(|(key, value)| (bytes(key), bytes(value)));
        tx.snapshot.spans.insert(span, found.collect());
        tx
    }

    #[test]
    fn what_is_missing_is_asked_for_all_at_once() {
        let mut tx = EtcdTransaction::default();
        tx.expect_range(b"a", b"b", 3);
        assert!(matches!(tx.expect(&[b"k", b"l"]), Err(Stop::Missing)));
        assert_eq!((tx.asked.keys.len(), tx.asked.spans.len()), (2, 1));
        tx.snapshot.keys.insert(b"k".to_vec(), None);
        assert!(matches!(tx.get(b"k"), Ok(None)));
        assert!(matches!(tx.get(b"l"), Err(Stop::Missing)));
        assert_eq!(tx.held.len(), 1, "what was not got is not held");
    }

    #[test]
    fn a_range_shows_what_was_written_since() {
        let mut tx = fetched(&[("a1", "x"), ("a3", "y")], ("a", "b", 3));
        tx.put(b"a2".to_vec(), b"new".to_vec());
        tx.delete(b"a1".to_vec());
        tx.put(b"c".to_vec(), b"elsewhere".to_vec());
        let found = tx.range(b"a", b"b", 3).unwrap();
        let keys: Vec<&[u8]> = found.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(keys, [b"a2", b"a3"]);
        assert!(matches!(tx.get(b"a2"), Ok(Some(value)) if value == "new"));
        assert!(tx.range(b"b", b"a", 3).unwrap().is_empty());
        assert!(matches!(tx.range(b"a", b"b", 2), Err(Stop::Missing)));
    }

    #[test]
    fn a_run_begins_with_nothing_but_what_was_fetched() {
        let mut tx = fetched(&[], ("a", "b", 3));
        tx.put(b"a".to_vec(), Vec::new());
        tx.tick(b"clock", None, 7);
        tx.restart();
        assert!(tx.writes_nothing() && tx.ticks_nothing());
        assert!(tx.range(b"a", b"b", 3).unwrap().is_empty());
    }
}
