//! What a rule has decided, as one request.
//!
//! An etcd counts, for each transaction, the greater of its comparisons and its operations; of a transaction
//! inside another, what the outer one leaves of the 128 is the limit. So writes stand in inner transactions
//! of as many as fit, all inside the one whose comparisons they depend on: it is one step of the log, and
//! one revision, however many there are.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use ringhold_core::{Error, ErrorKind, Result};

use super::{EtcdTransaction, Tick};

/// What an etcd takes unless told otherwise.
const OPS_MAX: usize = 128;

/// How many keys one transaction may hold, so that a good deal is left for inner ones.
const HELD_MAX: usize = 100;

impl EtcdTransaction {
    /// Whether the run wants anything written.
    pub(super) fn writes_nothing(&self) -> bool {
        self.writes.is_empty()
    }

    pub(super) fn ticks_nothing(&self) -> bool {
        self.ticks.is_empty()
    }

    /// The request that makes it happen: it fails as a whole where a key that is held was written since.
    ///
    /// # Errors
    /// `Unsupported` where the rule holds or writes more than one transaction can.
    pub(super) fn commit(&self, operation: &'static str, prefix: &[u8]) -> Result<Txn> {
        let too_much = || {
            let (held, written) = (self.held.len(), self.writes.len());
            let context = format!("one transaction cannot hold {held} keys and write {written}");
            Error::new(ErrorKind::Unsupported, operation, context)
        };
        let compares: Vec<Compare> = self.held.iter().map(|key| self.compare(prefix, key)).collect();
        if compares.len() > HELD_MAX {
            return Err(too_much());
        }
        let mut ops: Vec<TxnOp> = self
            .writes
            .iter()
            .map(|(key, value)| write(prefix, key, value.as_deref()))
            .collect();
        let ticks: Vec<TxnOp> = self.ticks.iter().map(|tick| step(prefix, tick)).collect();
        if ops.len() + ticks.len() > HELD_MAX {
            ops = nested(ops, compares.len(), ticks.len()).ok_or_else(too_much)?;
        }
        ops.extend(ticks);
        Ok(Txn::new().when(compares).and_then(ops))
    }

    fn compare(&self, prefix: &[u8], key: &[u8]) -> Compare {
        let stored = self.snapshot.keys.get(key).and_then(Option::as_ref);
        // 0 is what a key has that is not there.
        let revision = stored.map_or(0, |stored| stored.revision);
        Compare::mod_revision([prefix, key].concat(), CompareOp::Equal, revision)
    }
}

fn write(prefix: &[u8], key: &[u8], value: Option<&[u8]>) -> TxnOp {
    let key = [prefix, key].concat();
    match value {
        Some(value) => TxnOp::put(key, value, None),
        None => TxnOp::delete(key, None),
    }
}

/// A step of a clock, which happens only from where it is said to stand, and whose failure is nobody's.
fn step(prefix: &[u8], tick: &Tick) -> TxnOp {
    let key = [prefix, &tick.key].concat();
    let stands = match tick.from_ms {
        Some(from_ms) => Compare::value(key.clone(), CompareOp::Equal, from_ms.to_le_bytes()),
        None => Compare::mod_revision(key.clone(), CompareOp::Equal, 0),
    };
    let put = TxnOp::put(key, tick.to_ms.to_le_bytes(), None);
    TxnOp::txn(Txn::new().when([stands]).and_then([put]))
}

/// The same operations in inner transactions, as few as fit beside so many comparisons and other
/// operations of the outer one; `None` where they do not fit.
fn nested(ops: Vec<TxnOp>, compares: usize, beside: usize) -> Option<Vec<TxnOp>> {
    let count = ops.len();
    let groups = (1..OPS_MAX).find(|groups| {
        let left = OPS_MAX.saturating_sub(compares.max(groups + beside));
        left * groups >= count
    })?;
    let size = count.div_ceil(groups);
    let mut ops = ops.into_iter();
    let inner = std::iter::from_fn(|| {
        let group: Vec<TxnOp> = ops.by_ref().take(size).collect();
        (!group.is_empty()).then(|| TxnOp::txn(Txn::new().and_then(group)))
    });
    Some(inner.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puts(count: usize) -> Vec<TxnOp> {
        (0..count)
            .map(|index| TxnOp::put(index.to_le_bytes(), [], None))
            .collect()
    }

    #[test]
    fn inner_transactions_fit_what_the_outer_one_leaves() {
        // 64 sessions that end at a login, with all that they leave behind.
        assert_eq!(nested(puts(460), 70, 1).unwrap().len(), 8);
        assert_eq!(nested(puts(101), 0, 0).unwrap().len(), 1);
        // Half and half is the most: 64 inner ones of 64 each.
        assert!(nested(puts(64 * 64), 64, 0).is_some());
        assert!(nested(puts(64 * 64 + 1), 0, 0).is_none());
    }
}
