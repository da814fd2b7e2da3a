//! One take over many partitions, bounded in bytes.

use futures_util::stream::{self, StreamExt};
use ringhold_core::session::{TakeExpired, TakenSession, TakenSessions, UnreadableSession};
use ringhold_core::{Partition, Result};

use super::answer::Found;
use super::{RECORD_BYTES, RedisSessions, TAKES_AT_ONCE};

/// A take under way.
#[derive(Debug)]
pub(super) struct Take<'r> {
    request: &'r TakeExpired,
    /// How many bytes are left.
    pub(super) bytes: usize,
    pub(super) taken: TakenSessions,
}

impl<'r> Take<'r> {
    pub(super) fn new(request: &'r TakeExpired) -> Self {
        Self {
            request,
            bytes: request.bytes_max(),
            taken: TakenSessions::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.taken.sessions.is_empty() && self.taken.unreadable.is_empty()
    }

    /// Whether a record of `record_max` bytes still fits. A first one always does, and none is asked for
    /// after a failure: its shard may take as long as the deadline again.
    pub(super) fn goes_on(&self, record_max: usize) -> bool {
        self.request.limit > 0
            && self.taken.failed.is_empty()
            && (self.bytes >= record_max || self.is_empty())
    }

    /// Asks these partitions at once, each for at most so many sessions in an equal share of the bytes.
    /// Returns those that have more, each with the limit that is left.
    ///
    /// # Errors
    /// The last error, where no partition answered and nothing was taken before.
    pub(super) async fn wave(
        &mut self,
        store: &RedisSessions,
        wave: Vec<(Partition, u16)>,
    ) -> Result<Vec<(Partition, u16)>> {
        let share = (self.bytes / wave.len().max(1), wave.len() == 1 && self.is_empty());
        let request = self.request;
        let calls: Vec<_> = wave
            .into_iter()
            .map(|(partition, limit)| async move {
                let answer = store.take_partition(partition, request, limit, share).await;
                (partition, limit, answer)
            })
            .collect();
        let (mut answered, mut failed, mut left_out) = (!self.is_empty(), None, Vec::new());
        let mut calls = stream::iter(calls).buffer_unordered(TAKES_AT_ONCE);
        while let Some((partition, limit, answer)) = calls.next().await {
            match answer {
                Ok((more, found)) => {
                    answered = true;
                    let got = u16::try_from(found.len()).unwrap_or(u16::MAX);
                    self.add(found);
                    match limit.saturating_sub(got) {
                        0 if more => self.taken.more.push(partition),
                        limit if more => left_out.push((partition, limit)),
                        _ => {}
                    }
                }
                Err(error) => {
                    self.taken.failed.push((partition, error.kind()));
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => Ok(left_out),
        }
    }

    fn add(&mut self, mut found: Vec<Found>) {
        // A session that comes again is due by its visibility timeout, not by its age.
        found.sort_by_key(|found| {
            let deadline_ms = found.stored.as_ref().map_or(0, |stored| stored.deadline_ms);
            (deadline_ms, found.id)
        });
        for found in found {
            match found.stored {
                Ok(stored) => {
                    self.bytes = self.bytes.saturating_sub(stored.data.len() + RECORD_BYTES);
                    let session = stored.record(found.now);
                    let taken = TakenSession::new(session, self.request.token);
                    self.taken.sessions.push(taken);
                }
                Err(error) => self
                    .taken
                    .unreadable
                    .push(UnreadableSession::new(found.id, &error)),
            }
        }
    }
}
