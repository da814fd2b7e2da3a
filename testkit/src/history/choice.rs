//! What a client asks next: mostly what makes sense by what it knows, and sometimes what is out of date.

use super::client::{Run, shown};
use super::operation::{Answer, Call, Number, Refusal, Rule, Seen};
use crate::Make;

/// How many sightings are kept.
const KNOWN_MAX: usize = 6;

/// The choices of one client.
#[derive(Debug)]
pub(super) struct Chooser {
    pub(super) make: Make,
    pub(super) owner: Number,
}

impl Chooser {
    /// The next call, by what all clients of the player have seen and by what this one has.
    pub(super) fn choose(&self, all: &[Seen], own: &[Seen], run: &Run) -> Call {
        let make = &self.make;
        // Mostly the newest that anybody has seen; else what this client remembers, however old.
        let known = match make.below(10) {
            0..6 => all.last(),
            6..8 => own.last().or(all.last()),
            8 => own.get(make.below(own.len())),
            _ => all.get(make.below(all.len())),
        };
        let Some(known) = known.cloned() else {
            return match make.below(4) {
                0 => Call::Find,
                _ => self.create(run),
            };
        };
        let Seen { session, fence, .. } = known;
        match make.below(100) {
            0..16 => Call::Get { session },
            16..24 => Call::Find,
            24..62 => Call::Save {
                session,
                fence,
                version: known.version,
                data: run.draw(),
                operation: run.draw(),
            },
            62..67 => Call::Touch { session, fence },
            67..82 => Call::Claim {
                session,
                seen: fence,
                version: Some(known.version).filter(|_| make.below(3) > 0),
                owner: self.owner,
                nonce: run.draw(),
            },
            82..86 => Call::Remove {
                session,
                fence,
                operation: run.draw(),
            },
            86..89 => Call::Restore {
                known,
                nonce: run.draw(),
                live_max: 1,
            },
            _ => self.create(run),
        }
    }

    fn create(&self, run: &Run) -> Call {
        let rule = match self.make.below(20) {
            0..5 => Rule::TakeOverAnyones,
            5..8 => Rule::TakeOverOwn,
            8..12 => Rule::Existing,
            12..15 => Rule::Reject,
            15..17 => Rule::Replace,
            _ => Rule::Allow(2),
        };
        Call::Create {
            session: run.draw(),
            owner: self.owner,
            nonce: run.draw(),
            data: run.draw(),
            rule,
        }
    }
}

/// Takes in what an answer shows.
pub(super) fn learn(known: &mut Vec<Seen>, call: &Call, answer: &Answer) {
    match (call, answer) {
        // What is refused for ever is forgotten, so that the next login is not far.
        (Call::Get { session }, Answer::Got(None))
        | (Call::Remove { session, .. }, Answer::Removed)
        | (Call::Touch { session, .. }, Answer::HasEnded(_)) => {
            known.retain(|seen| seen.session != *session);
        }
        (
            Call::Save { session, fence, .. }
            | Call::Claim {
                session, seen: fence, ..
            },
            Answer::Refused(Refusal::Fenced),
        ) => known.retain(|seen| (seen.session, seen.fence) != (*session, *fence)),
        (
            Call::Save {
                session, fence, data, ..
            },
            Answer::Saved(version),
        ) => {
            let before = known
                .iter()
                .rev()
                .find(|seen| (seen.session, seen.fence) == (*session, *fence));
            if let Some(mut now) = before.cloned() {
                (now.version, now.data) = (*version, *data);
                known.push(now);
            }
        }
        _ => known.extend(shown(answer)),
    }
    let over = known.len().saturating_sub(KNOWN_MAX);
    known.drain(..over);
}
