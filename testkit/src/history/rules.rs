//! What must hold over a whole history, whatever order explains it: one owner per epoch, one text per
//! version, and neither ever goes back. A search would find the same; this names it, and is linear.

use std::collections::{BTreeMap, HashMap};

use super::operation::{Answer, Call, Ended, Hold, Number, Operation, Seen};

/// A session that an answer has shown.
struct Sighting<'h> {
    operation: usize,
    asked: u64,
    answered: u64,
    seen: &'h Seen,
}

/// The furthest that is known of a session, and who was told.
#[derive(Default, Clone, Copy)]
struct Furthest {
    epoch: (u64, usize),
    version: (u64, usize),
}

/// What is broken, with the positions of the operations that show it.
pub(super) fn broken(operations: &[Operation]) -> Vec<(String, Vec<usize>)> {
    let mut broken = Vec::new();
    one_owner_per_epoch(operations, &mut broken);
    one_text_per_version(operations, &mut broken);
    nothing_goes_back(operations, &mut broken);
    broken
}

fn sessions(answer: &Answer) -> &[Seen] {
    match answer {
        Answer::New { session, .. }
        | Answer::TakenOver { session, .. }
        | Answer::Elsewhere(session)
        | Answer::Existing(session)
        | Answer::Got(Some(session))
        | Answer::Claimed(session)
        | Answer::Restored(session) => std::slice::from_ref(session),
        Answer::Found(sessions) => sessions,
        _ => &[],
    }
}

fn ended(answer: &Answer) -> &[Ended] {
    match answer {
        Answer::New { ended, .. } | Answer::TakenOver { ended, .. } => ended,
        _ => &[],
    }
}

fn one_owner_per_epoch(operations: &[Operation], broken: &mut Vec<(String, Vec<usize>)>) {
    let mut owners: HashMap<(Number, u64), (Number, Number, usize)> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let shown = sessions(&operation.answer)
            .iter()
            .map(|seen| (seen.session, seen.owner, seen.fence));
        let ended = ended(&operation.answer)
            .iter()
            .map(|ended| (ended.session, ended.owner, ended.fence));
        for (session, owner, Hold { epoch, nonce }) in shown.chain(ended) {
            let known = owners.entry((session, epoch)).or_insert((owner, nonce, index));
            if (known.0, known.1) != (owner, nonce) {
                let what = format!(
                    "s{session} has two owners in epoch {epoch}: {} (nonce {}) and {owner} (nonce {nonce})",
                    known.0, known.1
                );
                broken.push((what, vec![known.2, index]));
            }
        }
    }
}

fn one_text_per_version(operations: &[Operation], broken: &mut Vec<(String, Vec<usize>)>) {
    let mut texts: HashMap<(Number, u64), (Number, usize)> = HashMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let mut told: Vec<(Number, u64, Number)> = sessions(&operation.answer)
            .iter()
            .map(|seen| (seen.session, seen.version, seen.data))
            .collect();
        if let (Call::Save { session, data, .. }, Answer::Saved(version)) =
            (&operation.call, &operation.answer)
        {
            told.push((*session, *version, *data));
        }
        for (session, version, data) in told {
            let known = texts.entry((session, version)).or_insert((data, index));
            if known.0 != data {
                let what = format!(
                    "s{session} has two texts in version {version}: {} and {data}",
                    known.0
                );
                broken.push((what, vec![known.1, index]));
            }
        }
    }
}

/// No answer shows less than what somebody was told before it was asked for: an epoch that has begun, or
/// a version that was acknowledged.
fn nothing_goes_back(operations: &[Operation], broken: &mut Vec<(String, Vec<usize>)>) {
    let mut sightings: Vec<Sighting<'_>> = Vec::new();
    // By the time of the answer: session, epoch, version.
    let mut told: Vec<(u64, Number, u64, u64, usize)> = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        for seen in sessions(&operation.answer) {
            sightings.push(Sighting {
                operation: index,
                asked: operation.asked,
                answered: operation.answered,
                seen,
            });
        }
        if let (Call::Save { session, .. }, Answer::Saved(version)) = (&operation.call, &operation.answer) {
            told.push((operation.answered, *session, 0, *version, index));
        }
    }
    for sighting in &sightings {
        let Seen {
            session,
            fence,
            version,
            ..
        } = sighting.seen;
        told.push((
            sighting.answered,
            *session,
            fence.epoch,
            *version,
            sighting.operation,
        ));
    }
    told.sort_unstable();
    sightings.sort_by_key(|sighting| sighting.asked);
    let mut furthest: BTreeMap<Number, Furthest> = BTreeMap::new();
    let mut told = told.into_iter().peekable();
    for sighting in sightings {
        while let Some((_, session, epoch, version, index)) =
            told.next_if(|(answered, ..)| *answered < sighting.asked)
        {
            let known = furthest.entry(session).or_default();
            known.epoch = known.epoch.max((epoch, index));
            known.version = known.version.max((version, index));
        }
        let seen = sighting.seen;
        let Some(known) = furthest.get(&seen.session) else {
            continue;
        };
        for (what, now, before) in [
            ("epoch", seen.fence.epoch, known.epoch),
            ("version", seen.version, known.version),
        ] {
            if now < before.0 {
                let what = format!("s{} went back from {what} {} to {now}", seen.session, before.0);
                broken.push((what, vec![before.1, sighting.operation]));
            }
        }
    }
}
