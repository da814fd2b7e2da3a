//! What only some sessions have, kept apart from their packed form: what makes writes idempotent, a sweeper's
//! hold, and long data.

use bytes::Bytes;
use ringhold_core::session::Displaced;
use ringhold_core::{Nonce, OperationId, SessionId};

use super::pages::NOWHERE;

/// The login that holds a session now, with its answer; a session that its login made and that
/// ended no other hold has a flag instead.
#[derive(Debug)]
pub(crate) struct Login {
    /// The id that the caller made for it. Where it is the session's own, the login made the
    /// session; otherwise it took the session over.
    pub(crate) id: SessionId,
    /// The holds that it ended.
    pub(crate) displaced: Vec<Displaced>,
}

/// A sweeper's hold on an expired session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take {
    /// What an acknowledgement has to show.
    pub(crate) token: Nonce,
    /// When another sweeper may take it, in nanoseconds of the partition's clock.
    pub(crate) hidden_until: u64,
}

/// What only some sessions have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// The login that holds it; none after a claim or a restoration.
    pub(crate) login: Option<Box<Login>>,
    /// The last write of data. Its answer is the version that stands.
    pub(crate) saved: Option<OperationId>,
    /// The sweeper that has it; void after a touch, a save or a claim.
    pub(crate) take: Option<Take>,
    /// Data that is too long for a place, shared with readers.
    pub(crate) data: Option<Box<Bytes>>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.login.is_none() && self.saved.is_none() && self.take.is_none() && self.data.is_none()
    }
}

/// The extras of one partition, by numbers.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    list: Vec<Extra>,
    free: Vec<u32>,
    /// What went and is still here: see [`dropped`](Self::dropped).
    dropped: Vec<Extra>,
}

impl Extras {
    pub(crate) fn get(&self, number: u32) -> Option<&Extra> {
        self.list.get(number as usize)
    }

    /// Changes one, which is made when there is none and goes when nothing is left in it; `number`
    /// is the session's and is kept up to date.
    pub(crate) fn change<T>(&mut self, number: &mut u32, change: impl FnOnce(&mut Extra) -> T) -> T {
        let mut extra = match self.list.get_mut(*number as usize) {
            Some(extra) => std::mem::take(extra),
            None => Extra::default(),
        };
        let answer = change(&mut extra);
        if extra.is_empty() {
            self.remove(std::mem::replace(number, NOWHERE));
            return answer;
        }
        if *number == NOWHERE {
            *number = self.free.pop().unwrap_or_else(|| {
                self.list.push(Extra::default());
                // There are no more than sessions.
                u32::try_from(self.list.len() - 1).unwrap_or(NOWHERE)
            });
        }
        self.list[*number as usize] = extra;
        answer
    }

    /// Takes one out, if there is one.
    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(extra) = self.list.get_mut(number as usize) {
            let gone = std::mem::take(extra);
            self.drop_later(gone);
            self.free.push(number);
            if self.free.len() == self.list.len() {
                // The last has gone: what was in use at the worst time is not kept for ever.
                *self = Self {
                    dropped: self.dropped(),
                    ..Self::default()
                };
            }
        }
    }

    /// Other long data, or none.
    pub(crate) fn set_data(&mut self, number: &mut u32, data: Option<Bytes>) {
        let data = data.map(Box::new);
        let old = self.change(number, |extra| std::mem::replace(&mut extra.data, data));
        self.drop_later(Extra {
            data: old,
            ..Extra::default()
        });
    }

    /// Long data is more memory than goes in no time.
    fn drop_later(&mut self, gone: Extra) {
        if gone.data.is_some() {
            self.dropped.push(gone);
        }
    }

    /// What went since this was last asked, to be dropped where no lock is held.
    pub(crate) fn dropped(&mut self) -> Vec<Extra> {
        std::mem::take(&mut self.dropped)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.list.len() - self.free.len()
    }
}
