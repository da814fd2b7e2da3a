//! The books: whether everything that is stored of sessions fits together.

use ringhold_core::{PlayerId, SessionId, codec};

use super::entry::Entry;
use super::{ID_LEN, listed, whole_or_why};
use crate::{Transaction, schema};

/// How many keys one look reads.
const PAGE: usize = 1_000;
/// How many faults are told in words.
const EXAMPLES_MAX: usize = 20;

/// The stored entries of a fleet, and those of its sessions that do not fit together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// How many sessions there are, expired ones too.
    pub sessions: usize,
    /// How many tombstones.
    pub tombstones: usize,
    /// How many keys there are, of sessions and of the membership.
    pub keys: usize,
    /// The bytes of these keys and their values.
    pub bytes: usize,
    /// How many things do not fit together, or cannot be read.
    pub faults: usize,
    /// The first of them in words.
    pub examples: Vec<String>,
}

impl Account {
    fn fault(&mut self, words: impl FnOnce() -> String) {
        self.faults += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(words());
        }
    }

    fn expect(&mut self, holds: bool, words: impl FnOnce() -> String) {
        if !holds {
            self.fault(words);
        }
    }
}

/// Looks at every key, in one transaction. What always holds between two others, as the module says, is what
/// it looks for.
///
/// # Errors
/// None of its own: what cannot be read is a fault.
pub fn account<T: Transaction>(tx: &mut T) -> Result<Account, T::Stop> {
    let mut account = Account::default();
    walk(tx, &[], |_, name, value| {
        account.keys += 1;
        account.bytes += name.len() + value.len();
        Ok(())
    })?;
    walk(tx, schema::SESSIONS, |tx, name, value| {
        account.sessions += 1;
        let Some(id) = parsed(name) else {
            account.fault(|| format!("session/{name} is no id"));
            return Ok(());
        };
        let entry = match Entry::decode(id, value) {
            Ok(entry) => entry,
            Err(error) => {
                account.fault(|| format!("{id}: {error}"));
                return Ok(());
            }
        };
        if let Err(error) = whole_or_why(tx, &entry)? {
            account.fault(|| format!("{id}: {error}"));
        }
        let is_listed = listed(tx, &entry.player)?.contains(&id);
        account.expect(is_listed != entry.header.unlinked, || {
            format!("{id} is listed: {is_listed}, unlinked: {}", entry.header.unlinked)
        });
        account.expect(entry.armed_ms <= entry.header.due_ms(), || {
            format!("{id} is armed later than it is due")
        });
        let due = tx.peek(&schema::due(entry.armed_ms, Some(&id)))?;
        account.expect(due.is_some(), || format!("{id} has no due key"));
        Ok(())
    })?;
    walk(tx, schema::BODIES, |tx, name, _| {
        let has_session = tx.peek(&[schema::SESSIONS, name.as_bytes()].concat())?.is_some();
        account.expect(has_session, || format!("body/{name} has no session"));
        Ok(())
    })?;
    walk(tx, schema::PLAYERS, |tx, name, value| {
        account.expect(!value.is_empty() && value.len() % ID_LEN == 0, || {
            format!("player/{name} is no list")
        });
        let Ok(player) = PlayerId::new(name) else {
            account.fault(|| format!("player/{name} is no player"));
            return Ok(());
        };
        for id in listed(tx, &player)? {
            let entry = tx.peek(&schema::session(&id))?;
            let is_theirs = entry
                .and_then(|bytes| Entry::decode(id, &bytes).ok())
                .is_some_and(|entry| entry.player == player);
            account.expect(is_theirs, || {
                format!("player/{name} lists {id}, which is not theirs")
            });
        }
        Ok(())
    })?;
    walk(tx, schema::DUE, |tx, name, _| {
        let key = [schema::DUE, name.as_bytes()].concat();
        let Some((armed_ms, id)) = schema::read_timed(schema::DUE, &key) else {
            account.fault(|| format!("due/{name} is none"));
            return Ok(());
        };
        let entry = tx.peek(&schema::session(&id))?;
        let is_right = entry
            .and_then(|bytes| Entry::decode(id, &bytes).ok())
            .is_some_and(|entry| entry.armed_ms == armed_ms);
        account.expect(is_right, || format!("due/{name} is nobody's"));
        Ok(())
    })?;
    walk(tx, schema::TOMBSTONES, |tx, name, value| {
        account.tombstones += 1;
        let (Some(id), Ok(tombstone)) = (parsed(name), codec::decode_tombstone(value)) else {
            account.fault(|| format!("tombstone/{name} cannot be read"));
            return Ok(());
        };
        let grave = tx.peek(&schema::grave(tombstone.deadline_ms, Some(&id)))?;
        account.expect(grave.is_some(), || format!("tombstone/{name} has no grave"));
        Ok(())
    })?;
    Ok(account)
}

fn parsed(name: &str) -> Option<SessionId> {
    name.parse().ok()
}

/// Shows the rest after `prefix` and the value of each key that begins so. Keys are text.
fn walk<T: Transaction>(
    tx: &mut T,
    prefix: &[u8],
    mut show: impl FnMut(&mut T, &str, &[u8]) -> Result<(), T::Stop>,
) -> Result<(), T::Stop> {
    let end = if prefix.is_empty() {
        vec![u8::MAX]
    } else {
        schema::end_of(prefix)
    };
    let mut from = prefix.to_vec();
    loop {
        let keys = tx.range(&from, &end, PAGE)?;
        for (key, value) in &keys {
            let name = String::from_utf8_lossy(key.strip_prefix(prefix).unwrap_or_default());
            show(tx, &name, value)?;
        }
        match keys.last() {
            Some((last, _)) if keys.len() == PAGE => from = [last, &[0][..]].concat(),
            _ => return Ok(()),
        }
    }
}
