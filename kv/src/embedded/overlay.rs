//! One transaction: a snapshot, what earlier jobs of the same batch have written over it, and its own writes.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use ringhold_core::{Error, Result};

use super::storage::{Snapshot, Writes};
use crate::Transaction;

/// A transaction on the keys of one fleet. What it has written counts once it is [kept](Self::keep).
pub(super) struct Overlay<'a> {
    base: &'a dyn Snapshot,
    prefix: &'a [u8],
    batch: &'a mut Writes,
    own: Writes,
    /// The bytes that it has added to the batch.
    kept: usize,
}

impl<'a> Overlay<'a> {
    /// On the keys below `prefix`, over what `batch` holds already.
    pub(super) fn new(base: &'a dyn Snapshot, prefix: &'a [u8], batch: &'a mut Writes) -> Self {
        Self {
            base,
            prefix,
            batch,
            own: BTreeMap::new(),
            kept: 0,
        }
    }

    /// Adds its writes to the batch; whether there were any.
    pub(super) fn keep(&mut self) -> bool {
        let some = !self.own.is_empty();
        let bytes =
            |(key, value): (&Vec<u8>, &Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        self.kept += self.own.iter().map(bytes).sum::<usize>();
        self.batch.append(&mut self.own);
        some
    }

    /// How many bytes it has added to the batch.
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    /// Forgets its writes.
    pub(super) fn forget(&mut self) {
        self.own.clear();
    }

    fn full(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix, key].concat()
    }
}

impl Transaction for Overlay<'_> {
    type Stop = Error;

    /// All keys are at hand.
    fn expect(&mut self, _keys: &[&[u8]]) -> Result<()> {
        Ok(())
    }

    /// Jobs run one after another, so nobody writes meanwhile.
    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        let key = self.full(key);
        if let Some(value) = self.own.get(&key).or_else(|| self.batch.get(&key)) {
            return Ok(value.clone());
        }
        self.base.get(&key)
    }

    fn peek(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        self.get(key)
    }

    fn range(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let (from, to) = (self.full(from), self.full(to));
        let span = || (Bound::Included(from.as_slice()), Bound::Excluded(to.as_slice()));
        let mut over: BTreeMap<&[u8], &Option<Bytes>> = BTreeMap::new();
        for layer in [&*self.batch, &self.own] {
            let written = layer.range::<[u8], _>(span());
            over.extend(written.map(|(key, value)| (key.as_slice(), value)));
        }
        // Each key that was taken away hides one of the snapshot's.
        let hidden = over.values().filter(|value| value.is_none()).count();
        let below = self.base.range(&from, &to, limit.saturating_add(hidden))?;
        let own = |key: &[u8]| Bytes::copy_from_slice(key.get(self.prefix.len()..).unwrap_or_default());
        if over.is_empty() {
            let cut = |key: Bytes| key.slice(self.prefix.len().min(key.len())..);
            return Ok(below.into_iter().map(|(key, value)| (cut(key), value)).collect());
        }
        let mut found = Vec::new();
        let mut over = over.into_iter().peekable();
        let mut below = below.into_iter().peekable();
        while found.len() < limit {
            let is_over = match (over.peek(), below.peek()) {
                (Some((over, _)), Some((below, _))) => *over <= &below[..],
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if !is_over {
                found.extend(below.next().map(|(key, value)| (own(&key), value)));
            } else if let Some((key, value)) = over.next() {
                below.next_if(|(below, _)| &below[..] == key);
                found.extend(value.clone().map(|value| (own(key), value)));
            }
        }
        Ok(found)
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.own.insert(self.full(&key), Some(value.into()));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.own.insert(self.full(&key), None);
    }

    /// Nobody else moves it.
    fn tick(&mut self, key: &[u8], _from_ms: Option<u64>, to_ms: u64) {
        self.own
            .insert(self.full(key), Some(Bytes::copy_from_slice(&to_ms.to_le_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(BTreeMap<Vec<u8>, Bytes>);

    impl Snapshot for Fixed {
        fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
            Ok(self.0.get(key).cloned())
        }

        fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
            let span = (Bound::Included(from), Bound::Excluded(to));
            let found = self.0.range::<[u8], _>(span).take(limit);
            Ok(found
                .map(|(key, value)| (key.clone().into(), value.clone()))
                .collect())
        }
    }

    fn keys(found: &[(Bytes, Bytes)]) -> Vec<String> {
        let show = |(key, value): &(Bytes, Bytes)| {
            format!(
                "{}={}",
                String::from_utf8_lossy(key),
                String::from_utf8_lossy(value)
            )
        };
        found.iter().map(show).collect()
    }

    #[test]
    fn a_range_sees_all_layers_in_order_and_no_other_fleet() {
        let base = ["a/b", "f/a", "f/b", "f/c", "f/d", "g/a"];
        let base = Fixed(
            base.iter()
                .map(|key| (key.as_bytes().to_vec(), "0".into()))
                .collect(),
        );
        let mut batch = Writes::new();
        let mut first = Overlay::new(&base, b"f/", &mut batch);
        first.put(b"bb".to_vec(), b"1".to_vec());
        first.delete(b"a".to_vec());
        first.put(b"c".to_vec(), b"1".to_vec());
        assert!(first.keep());
        first.put(b"x".to_vec(), b"1".to_vec());
        first.forget();
        assert!(!first.keep());

        let mut second = Overlay::new(&base, b"f/", &mut batch);
        second.delete(b"bb".to_vec());
        second.put(b"0".to_vec(), b"2".to_vec());
        let all = second.range(b"", b"~", 10).unwrap();
        assert_eq!(keys(&all), ["0=2", "b=0", "c=1", "d=0"]);
        assert_eq!(keys(&second.range(b"", b"~", 2).unwrap()), ["0=2", "b=0"]);
        assert_eq!(keys(&second.range(b"b", b"d", 9).unwrap()), ["b=0", "c=1"]);
        assert_eq!(keys(&second.range(b"d", b"b", 9).unwrap()), [""; 0]);
        assert_eq!(second.get(b"a").unwrap(), None);
        assert_eq!(second.get(b"c").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(second.get(b"d").unwrap().as_deref(), Some(&b"0"[..]));
    }
}
