//! The books: whether everything that is stored of sessions fits together.

use ringhold_core::session::RepairSessions;

use super::repair;
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

/// Looks at every key, in one transaction. What always holds between two others, as the module says, is what
/// it looks for.
///
/// # Errors
/// None of its own: what cannot be read is a fault.
pub fn account<T: Transaction>(tx: &mut T) -> Result<Account, T::Stop> {
    let mut account = Account::default();
    walk(tx, |key, value| {
        account.keys += 1;
        account.bytes += key.len() + value.len();
        account.sessions += usize::from(key.starts_with(schema::SESSIONS));
        account.tombstones += usize::from(key.starts_with(schema::TOMBSTONES));
    })?;
    let mut request = RepairSessions::check();
    loop {
        let part = repair(tx, &request, PAGE)?;
        account.faults += part.faults.len();
        for fault in part.faults {
            if account.examples.len() < EXAMPLES_MAX {
                account
                    .examples
                    .push(format!("{}: {}", fault.entry, fault.problem.as_str()));
            }
        }
        match part.next {
            Some(next) => request = request.after(next),
            None => return Ok(account),
        }
    }
}

/// Shows each key with its value.
fn walk<T: Transaction>(tx: &mut T, mut show: impl FnMut(&[u8], &[u8])) -> Result<(), T::Stop> {
    let mut from = Vec::new();
    loop {
        let keys = tx.range(&from, &[u8::MAX], PAGE)?;
        for (key, value) in &keys {
            show(key, value);
        }
        match keys.last() {
            Some((last, _)) if keys.len() == PAGE => from = [last, &[0][..]].concat(),
            _ => return Ok(()),
        }
    }
}
