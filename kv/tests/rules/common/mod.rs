//! A store in memory for the tests of the rules: transactions one after another or against each other,
//! with all keys at hand or fetched from afar.

pub(crate) mod discovery;
pub(crate) mod fleet;
pub(crate) mod sessions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ringhold_core::{Error, Result};
use ringhold_kv::Transaction;

/// The values by key, each with the number of the commit that wrote it.
type Keys = BTreeMap<Vec<u8>, (Bytes, u64)>;
/// Beginning, end and limit of a range.
type Span = (Vec<u8>, Vec<u8>, usize);

/// Where a transaction finds its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// At hand, as in an embedded store.
    Near,
    /// Fetched, as from a server: a rule stops for what is missing and is run again.
    Far,
}

/// The keys of one fleet. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct TestStore {
    reach: Reach,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    keys: Arc<Keys>,
    commits: u64,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// How often it was begun: one, and one for each race that it lost.
    pub(crate) attempts: usize,
    /// How often the last attempt fetched; 0 where all is at hand.
    pub(crate) fetches: usize,
    /// How many keys it compared when it was committed.
    pub(crate) compared: usize,
    /// How many keys it wrote and deleted, clocks left out.
    pub(crate) written: usize,
}

/// Why a rule stops.
#[derive(Debug)]
pub(crate) enum Stop {
    Error(Error),
    Fetch,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// One transaction: a snapshot, what was written over it, and what has to stand at the commit.
#[derive(Debug)]
pub(crate) struct TestTx {
    reach: Reach,
    snapshot: Arc<Keys>,
    fetched: BTreeSet<Vec<u8>>,
    fetched_spans: BTreeSet<Span>,
    announced: BTreeSet<Span>,
    fetches: usize,
    got: BTreeSet<Vec<u8>>,
    writes: BTreeMap<Vec<u8>, Option<Bytes>>,
    ticks: Vec<(Vec<u8>, Option<u64>, u64)>,
}

impl TestStore {
    /// A store in which nothing was ever written.
    pub(crate) fn new(reach: Reach) -> Self {
        Self {
            reach,
            shared: Arc::default(),
        }
    }

    /// Runs a rule and commits it.
    pub(crate) fn run<R>(&self, rule: impl FnMut(&mut TestTx) -> Result<R, Stop>) -> Result<R> {
        self.race(|| {}, rule).map(|(answer, _)| answer)
    }

    /// Runs a rule, does `between`, and commits; where that has written a key that the rule has got, the
    /// rule is run again, now undisturbed.
    pub(crate) fn race<R>(
        &self,
        between: impl FnOnce(),
        mut rule: impl FnMut(&mut TestTx) -> Result<R, Stop>,
    ) -> Result<(R, Cost)> {
        let mut between = Some(between);
        for attempts in 1.. {
            assert!(attempts < 100, "nobody disturbs it any more");
            let mut tx = self.begin();
            let answer = tx.settle(&mut rule)?;
            if let Some(between) = between.take() {
                between();
            }
            if let Some(cost) = self.commit(tx) {
                return Ok((answer, Cost { attempts, ..cost }));
            }
        }
        unreachable!("the loop ends by itself")
    }

    /// A transaction on the keys as they are now.
    pub(crate) fn begin(&self) -> TestTx {
        TestTx {
            reach: self.reach,
            snapshot: Arc::clone(&self.lock().keys),
            fetched: BTreeSet::new(),
            fetched_spans: BTreeSet::new(),
            announced: BTreeSet::new(),
            fetches: 0,
            got: BTreeSet::new(),
            writes: BTreeMap::new(),
            ticks: Vec::new(),
        }
    }

    /// Does what the transaction has written, unless somebody has written a key that it has got: `None`.
    pub(crate) fn commit(&self, tx: TestTx) -> Option<Cost> {
        let mut shared = self.lock();
        let written = |keys: &Keys, key: &[u8]| keys.get(key).map(|(_, commit)| *commit);
        if tx
            .got
            .iter()
            .any(|key| written(&shared.keys, key) != written(&tx.snapshot, key))
        {
            return None;
        }
        let cost = Cost {
            attempts: 1,
            fetches: tx.fetches,
            compared: tx.got.len(),
            written: tx.writes.len(),
        };
        shared.commits += 1;
        let commit = shared.commits;
        let keys = Arc::make_mut(&mut shared.keys);
        for (key, value) in tx.writes {
            match value {
                Some(value) => keys.insert(key, (value, commit)),
                None => keys.remove(&key),
            };
        }
        for (key, from, to) in tx.ticks {
            let from = from.map(u64::to_le_bytes);
            if keys.get(&key).map(|(stored, _)| &stored[..]) == from.as_ref().map(|bytes| &bytes[..]) {
                keys.insert(key, (Bytes::copy_from_slice(&to.to_le_bytes()), commit));
            }
        }
        Some(cost)
    }

    /// All keys that are there now.
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        self.lock().keys.keys().cloned().collect()
    }

    /// The value of a key now.
    pub(crate) fn value(&self, key: &[u8]) -> Option<Bytes> {
        self.lock().keys.get(key).map(|(value, _)| value.clone())
    }

    /// Writes a key, or takes it away, past all rules.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) {
        let mut tx = self.begin();
        match value {
            Some(value) => tx.put(key.to_vec(), value.to_vec()),
            None => tx.delete(key.to_vec()),
        }
        assert!(
            self.commit(tx).is_some(),
            "it got nothing that could have changed"
        );
    }

    /// A store of its own with the same keys.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self::new(self.reach);
        let mut tx = copy.begin();
        for (key, (value, _)) in &*self.lock().keys {
            tx.put(key.clone(), value.to_vec());
        }
        assert!(copy.commit(tx).is_some(), "nobody else has it");
        copy
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TestTx {
    /// Runs a rule over this transaction until nothing is missing any more.
    pub(crate) fn settle<R>(&mut self, mut rule: impl FnMut(&mut Self) -> Result<R, Stop>) -> Result<R> {
        loop {
            self.got.clear();
            self.writes.clear();
            self.ticks.clear();
            match rule(self) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Fetch) => {
                    self.fetches += 1;
                    assert!(self.fetches < 100, "it asks for ever: {:?}", self.fetched);
                }
            }
        }
    }

    /// Fetches the keys, and the ranges that were announced; stops where any of them was missing.
    fn need(&mut self, keys: &[&[u8]]) -> Result<(), Stop> {
        if self.reach == Reach::Near {
            return Ok(());
        }
        let mut missing = false;
        for key in keys {
            missing |= self.fetched.insert(key.to_vec());
        }
        for span in std::mem::take(&mut self.announced) {
            missing |= self.fetched_spans.insert(span);
        }
        if missing { Err(Stop::Fetch) } else { Ok(()) }
    }

    fn look(&mut self, key: &[u8]) -> Result<Option<Bytes>, Stop> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        self.need(&[key])?;
        Ok(self.snapshot.get(key).map(|(value, _)| value.clone()))
    }
}

impl Transaction for TestTx {
    type Stop = Stop;

    fn expect(&mut self, keys: &[&[u8]]) -> Result<(), Stop> {
        self.need(keys)
    }

    fn expect_range(&mut self, from: &[u8], to: &[u8], limit: usize) {
        self.announced.insert((from.to_vec(), to.to_vec(), limit));
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, Stop> {
        let value = self.look(key)?;
        self.got.insert(key.to_vec());
        Ok(value)
    }

    fn peek(&mut self, key: &[u8]) -> Result<Option<Bytes>, Stop> {
        self.look(key)
    }

    fn range(&mut self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, Stop> {
        self.expect_range(from, to, limit);
        self.need(&[])?;
        if from >= to {
            return Ok(Vec::new());
        }
        let span = from.to_vec()..to.to_vec();
        let mut found: BTreeMap<_, _> = self
            .snapshot
            .range(span.clone())
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect();
        for (key, value) in self.writes.range(span) {
            match value {
                Some(value) => found.insert(key.clone(), value.clone()),
                None => found.remove(key),
            };
        }
        let found = found.into_iter().take(limit);
        Ok(found.map(|(key, value)| (key.into(), value)).collect())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value.into()));
    }

    fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    fn tick(&mut self, key: &[u8], from_ms: Option<u64>, to_ms: u64) {
        self.ticks.push((key.to_vec(), from_ms, to_ms));
    }
}
