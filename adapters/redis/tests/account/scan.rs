//! What a partition holds, checked against the schema: nothing is missing and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_core::{Partition, PlayerId};

const SESSION: &[u8] = &[245, b'R', b'H', 1];
const TOMBSTONE: &[u8] = &[245, b'R', b'H', 4];
const UNLINKED: u8 = 1;
const TAKEN: u8 = 2;

/// The three keys of one partition as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) players: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) deadlines: Vec<(Vec<u8>, f64)>,
}

/// How much there is of each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) linked: usize,
    pub(crate) unlinked: usize,
    pub(crate) taken: usize,
    pub(crate) tombstones: usize,
}

/// Everything in a partition that should not be so, in words.
pub(crate) fn faults(partition: Partition, stored: &Stored, counts: &mut Counts) -> Vec<String> {
    let mut faults = Vec::new();
    let mut scores: BTreeMap<&[u8], f64> = BTreeMap::new();
    let mut linked: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
    for (field, value) in &stored.records {
        let name = field.escape_ascii();
        match field.len() {
            1 if field == b"c" && value.len() == 16 => {}
            18 if value.starts_with(SESSION) && value.len() == 145 => {
                if field[..2] != partition.get().to_be_bytes() {
                    faults.push(format!("session {name} is of another partition"));
                }
                let flags = value[6];
                let due = number(value, if flags & TAKEN == 0 { 63 } else { 95 });
                scores.insert(field, due);
                counts.taken += usize::from(flags & TAKEN != 0);
                let body = stored.records.get(&[field.as_slice(), b"b"].concat());
                let Some(player) = body.and_then(|body| player_of(body)) else {
                    faults.push(format!("session {name} has no body"));
                    continue;
                };
                let is_here = std::str::from_utf8(player)
                    .ok()
                    .and_then(|player| PlayerId::new(player).ok())
                    .is_some_and(|player| player.partition() == partition);
                if !is_here {
                    faults.push(format!("session {name} is of a player of another partition"));
                }
                if flags & UNLINKED == 0 {
                    linked.entry(player).or_default().insert(field);
                    counts.linked += 1;
                } else {
                    counts.unlinked += 1;
                }
            }
            18 if value.starts_with(TOMBSTONE) && value.len() == 31 => {
                scores.insert(field, number(value, 6));
                counts.tombstones += 1;
            }
            19 if field.ends_with(b"b") => {
                let owner = stored.records.get(&field[..18]);
                if !owner.is_some_and(|owner| owner.starts_with(SESSION)) {
                    faults.push(format!("body {name} has no session"));
                }
            }
            _ => faults.push(format!("field {name} of {} bytes", value.len())),
        }
    }
    if !stored.records.contains_key(b"c".as_slice()) {
        faults.push("there is no clock".to_owned());
    }
    list_faults(&stored.players, linked, &mut faults);
    deadline_faults(&stored.deadlines, scores, &mut faults);
    faults
}

fn list_faults(
    players: &BTreeMap<Vec<u8>, Vec<u8>>,
    mut linked: BTreeMap<&[u8], BTreeSet<&[u8]>>,
    faults: &mut Vec<String>,
) {
    if players.get(b"".as_slice()).is_none_or(|value| !value.is_empty()) {
        faults.push("the players have no sentinel".to_owned());
    }
    for (player, ids) in players.iter().filter(|(player, _)| !player.is_empty()) {
        let name = player.escape_ascii();
        let mut expected = linked.remove(player.as_slice()).unwrap_or_default();
        if ids.is_empty() || ids.len() % 18 != 0 {
            faults.push(format!("the list of {name} has {} bytes", ids.len()));
        }
        for id in ids.chunks(18) {
            if !expected.remove(id) {
                let id = id.escape_ascii();
                faults.push(format!("the list of {name} has {id}, or has it twice"));
            }
        }
        for id in expected {
            faults.push(format!("the list of {name} lacks {}", id.escape_ascii()));
        }
    }
    for player in linked.keys() {
        faults.push(format!("{} has sessions and no list", player.escape_ascii()));
    }
}

fn deadline_faults(deadlines: &[(Vec<u8>, f64)], mut scores: BTreeMap<&[u8], f64>, faults: &mut Vec<String>) {
    let mut sentinel = false;
    for (id, score) in deadlines {
        if id.is_empty() && score.is_infinite() {
            sentinel = true;
            continue;
        }
        let name = id.escape_ascii();
        match scores.remove(id.as_slice()) {
            None => faults.push(format!("the deadline of {name} has no record")),
            Some(due) if (due - score).abs() > 0.1 => {
                faults.push(format!("{name} is due at {due}, and its deadline says {score}"));
            }
            Some(_) => {}
        }
    }
    for id in scores.keys() {
        faults.push(format!("{} has no deadline", id.escape_ascii()));
    }
    if !sentinel {
        faults.push("the deadlines have no sentinel".to_owned());
    }
}

/// A time in milliseconds, as the sorted set has it.
fn number(value: &[u8], at: usize) -> f64 {
    let bytes = value[at..at + 8].try_into().expect("eight bytes");
    #[expect(clippy::cast_precision_loss, reason = "times are below 2^53")]
    let number = u64::from_le_bytes(bytes) as f64;
    number
}

/// The player in front of a body, behind its length.
fn player_of(body: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*body.first()?);
    body.get(1..=len).filter(|player| !player.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, and how it came about.
    type Plant<'a> = (&'a str, Box<dyn Fn(&mut Stored) + 'a>);

    const ID: [u8; 18] = [7; 18];
    const ENDED: [u8; 18] = [8; 18];

    fn partition() -> Partition {
        Partition::new(0x0707 % 1_024).expect("below 1,024")
    }

    /// A player, a session and a tombstone that are in order.
    fn sound() -> (Partition, Stored) {
        let player = (0..1_000_000)
            .map(|number: u32| PlayerId::new(number.to_string()).expect("a name"))
            .find(|player| player.partition() == partition())
            .expect("one of 1,024");
        let name = player.as_str().as_bytes();
        let mut header = [SESSION, &[0; 141]].concat();
        header[63..71].copy_from_slice(&500_u64.to_le_bytes());
        let mut tombstone = [TOMBSTONE, &[0; 27]].concat();
        tombstone[6..14].copy_from_slice(&900_u64.to_le_bytes());
        let body = [&[u8::try_from(name.len()).expect("short")], name, b"rest"].concat();
        let mut stored = Stored::default();
        let id = id_here(ID);
        stored.records.extend([
            (b"c".to_vec(), vec![0; 16]),
            (id.clone(), header),
            ([&id[..], b"b"].concat(), body),
            (id_here(ENDED), tombstone),
        ]);
        stored
            .players
            .extend([(vec![], vec![]), (name.to_vec(), id.clone())]);
        stored.deadlines = vec![(id, 500.0), (id_here(ENDED), 900.0), (vec![], f64::INFINITY)];
        (partition(), stored)
    }

    fn id_here(mut id: [u8; 18]) -> Vec<u8> {
        id[..2].copy_from_slice(&partition().get().to_be_bytes());
        id.to_vec()
    }

    #[test]
    fn each_planted_fault_is_found() {
        let (partition, sound) = sound();
        assert_eq!(
            faults(partition, &sound, &mut Counts::default()),
            Vec::<String>::new()
        );
        let id = id_here(ID);
        let body = [&id[..], b"b"].concat();
        let other = id_here([9; 18]);
        let player = sound.players.keys().next_back().expect("a player").clone();
        let plants: Vec<Plant<'_>> = vec![
            ("no body", Box::new(|s| drop(s.records.remove(&body)))),
            ("no session", Box::new(|s| drop(s.records.remove(&id)))),
            ("no list", Box::new(|s| drop(s.players.remove(&player)))),
            (
                "lacks",
                Box::new(|s| *s.players.get_mut(&player).unwrap() = other.clone()),
            ),
            (
                "or has it twice",
                Box::new(|s| s.players.get_mut(&player).unwrap().extend(&id)),
            ),
            (
                "has 0 bytes",
                Box::new(|s| drop(s.players.insert(b"nobody".to_vec(), vec![]))),
            ),
            (
                "no deadline",
                Box::new(|s| s.deadlines.retain(|(member, _)| *member != id)),
            ),
            ("no record", Box::new(|s| s.deadlines.push((other.clone(), 1.0)))),
            ("its deadline says", Box::new(|s| s.deadlines[1].1 = 901.0)),
            ("due at", Box::new(|s| s.records.get_mut(&id).unwrap()[6] = TAKEN)),
            (
                "or has it twice",
                Box::new(|s| s.records.get_mut(&id).unwrap()[6] = UNLINKED),
            ),
            ("no clock", Box::new(|s| drop(s.records.remove(b"c".as_slice())))),
            (
                "the players have no sentinel",
                Box::new(|s| drop(s.players.remove(b"".as_slice()))),
            ),
            (
                "the deadlines have no sentinel",
                Box::new(|s| drop(s.deadlines.pop())),
            ),
            (
                "field x",
                Box::new(|s| drop(s.records.insert(b"x".to_vec(), vec![]))),
            ),
        ];
        for (expected, plant) in plants {
            let mut stored = sound.clone();
            plant(&mut stored);
            let found = faults(partition, &stored, &mut Counts::default());
            assert!(
                found.iter().any(|fault| fault.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }
}
