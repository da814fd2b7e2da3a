//! Fetching keys and spans, all of one revision.

use bytes::Bytes;
use etcd_client::proto::{PbRangeResponse, PbTxnOpResponse};
use etcd_client::{GetOptions, Txn, TxnOp, TxnResponse};
use ringhold_core::{Error, ErrorKind, Result};

use super::{Asked, Snapshot, Span, Stored};
use crate::supervisor::Effort;

/// How many operations one request has; an etcd takes 128 unless told otherwise.
const OPS_MAX: usize = 120;

enum What {
    Key(Vec<u8>),
    Span(Span),
}

impl What {
    fn op(&self, prefix: &[u8], revision: Option<i64>) -> TxnOp {
        let mut options = GetOptions::new();
        if let Some(revision) = revision {
            options = options.with_revision(revision);
        }
        match self {
            Self::Key(key) => TxnOp::get([prefix, key].concat(), Some(options)),
            Self::Span(Span { from, to, limit }) => {
                // 0 is no limit.
                let limit = i64::try_from(*limit).unwrap_or(0);
                let options = options.with_range([prefix, to].concat()).with_limit(limit);
                TxnOp::get([prefix, from].concat(), Some(options))
            }
        }
    }
}

/// Fetches what is asked for and not in `snapshot`. The first request of all is read at the newest revision
/// that a majority has; whatever is asked for later, or does not fit it, is read at the same revision.
pub(super) async fn fetch(
    effort: &mut Effort,
    operation: &'static str,
    prefix: &[u8],
    asked: Asked,
    mut snapshot: Snapshot,
) -> Result<Snapshot> {
    let keys = asked.keys.into_iter().map(What::Key);
    let asked: Vec<What> = keys.chain(asked.spans.into_iter().map(What::Span)).collect();
    'anew: loop {
        let wanted: Vec<&What> = asked.iter().filter(|what| !snapshot.has(what)).collect();
        for wanted in wanted.chunks(OPS_MAX) {
            let ops: Vec<TxnOp> = wanted
                .iter()
                .map(|what| what.op(prefix, snapshot.revision))
                .collect();
            let Some(response) = effort.attempt(Txn::new().and_then(ops)).await? else {
                // Its revision may be gone.
                snapshot = Snapshot::default();
                continue 'anew;
            };
            let header = response.header();
            snapshot.revision = snapshot
                .revision
                .or(header.map(etcd_client::ResponseHeader::revision));
            snapshot.add(operation, prefix, wanted, response)?;
        }
        return Ok(snapshot);
    }
}

impl Snapshot {
    fn has(&self, what: &What) -> bool {
        match what {
            What::Key(key) => self.keys.contains_key(key),
            What::Span(span) => self.spans.contains_key(span),
        }
    }

    fn add(
        &mut self,
        operation: &'static str,
        prefix: &[u8],
        wanted: &[&What],
        response: TxnResponse,
    ) -> Result<()> {
        let TxnResponse(response) = response;
        if response.responses.len() != wanted.len() {
            return Err(malformed(operation));
        }
        for (what, op) in wanted.iter().zip(response.responses) {
            let Some(PbTxnOpResponse::ResponseRange(found)) = op.response else {
                return Err(malformed(operation));
            };
            self.add_one(operation, prefix, what, found)?;
        }
        Ok(())
    }

    fn add_one(
        &mut self,
        operation: &'static str,
        prefix: &[u8],
        what: &What,
        found: PbRangeResponse,
    ) -> Result<()> {
        match what {
            What::Key(key) => {
                let stored = found.kvs.into_iter().next().map(|kv| Stored {
                    value: kv.value.into(),
                    revision: kv.mod_revision,
                });
                self.keys.insert(key.clone(), stored);
            }
            What::Span(span) => {
                let kvs = found.kvs.into_iter().map(|kv| {
                    let key = Bytes::from(kv.key);
                    if !key.starts_with(prefix) {
                        return Err(malformed(operation));
                    }
                    Ok((key.slice(prefix.len()..), kv.value.into()))
                });
                self.spans.insert(span.clone(), kvs.collect::<Result<_>>()?);
            }
        }
        Ok(())
    }
}

#[cold]
fn malformed(operation: &'static str) -> Error {
    let context = "etcd's answer is not what was asked for; is something else in front of it?";
    Error::new(ErrorKind::Corrupt, operation, context)
}
