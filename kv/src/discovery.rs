//! The rules of membership: [`Discovery`](ringhold_core::Discovery) as functions over a [`Transaction`].
//!
//! # What writes what
//!
//! | request | holds (`get`) | looks at (`peek`, `range`) |
//! |---|---|---|
//! | a renewal | its own lease | the fleet, all leases, the changes |
//! | … that changes its record | … its node record, the fleet | |
//! | … that reaps | … the fleet, leases and runs of those that it reaps | departed ids |
//! | a registration | the fleet, its own lease and runs, leases and runs of those that it reaps | leases, records |
//! | a goodbye, an eviction | the lease, and where it is that run's the fleet and the runs | leases, departed ids |
//! | `members`, `timing`, a watch | | everything |
//!
//! So renewals touch no common key, and what changes the membership goes one after another over the
//! fleet's key. Who holds that key holds the *set* of leases too: a lease comes and goes only with a
//! change. When a lease ends is its own affair, so whoever reaps it holds it as well, and a renewal that
//! comes between saves its node.
//!
//! All reads of a transaction are of one moment, so an answer is right for that moment also where nothing
//! holds what it stands on: `members` and the changes that a renewal is told are as old as a message that
//! was under way, and the next answer brings what has come since.
//!
//! # Bounds
//!
//! One transaction reaps at most 10 leases and drops at most 24 departed ids, and so writes at most 120 keys. Where
//! more leases have lapsed, a rule answers [`Step::More`]. The log keeps the last 256 changes; each change takes at
//! most one old one away.
//!
//! # Incarnation numbers
//!
//! One counter of the fleet gives them, so no number is given twice, whatever is known of its id. An id is remembered
//! while it has a member and for 10 minutes of the lease clock after that, 1,000 ids without a member at most. It is
//! dropped by a transaction that lets a node go. A late renewal of a dropped id is `LeaseLost`, and `Superseded` where
//! the id was registered again.
//!
//! # Stored bytes
//!
//! Numbers are unsigned and little-endian, times are milliseconds on the lease clock. A node record is
//! that of [`ringhold_core::codec`].
//!
//! | `fleet`, 48 bytes | length | |
//! |---|---|---|
//! | 0 | 8 | revision of the last change: number |
//! | 8 | 8 | the same: tag |
//! | 16 | 8 | heartbeat in milliseconds |
//! | 24 | 8 | lease in milliseconds |
//! | 32 | 8 | the greatest incarnation number that was given |
//! | 40 | 8 | how many ids without a member are remembered |
//!
//! | `lease/NODE`, 44 bytes | length | |
//! |---|---|---|
//! | 0 | 8 | incarnation number |
//! | 8 | 16 | incarnation nonce |
//! | 24 | 8 | when it lapses |
//! | 32 | 8 | how often it was renewed |
//! | 40 | 4 | load: sessions |
//!
//! | `runs/NODE` | length | |
//! |---|---|---|
//! | 0 | 8 | the last incarnation number |
//! | 8 | 8 | when the last incarnation left, all bits set while the id has a member |
//! | 16 | 16 each | the nonces of the last incarnations, at most 16, oldest first |
//!
//! | `change/NUMBER` | length | |
//! |---|---|---|
//! | 0 | 8 | tag |
//! | 8 | 1 | 1 joined, 2 changed, 3 left |
//! | 9 | | joined, changed: the node record |
//! | 9 | 1 | left: 1 leave, 2 lease lapsed, 3 evicted, 4 superseded |
//! | 10 | 8 | left: incarnation number |
//! | 18 | 16 | left: incarnation nonce |
//! | 34 | 1 to 64 | left: node id |
//!
//! # Bytes that cannot be read
//!
//! A member is who has a lease. One whose node record cannot be read is shown as unreadable. A lease that
//! cannot be read belongs to the run that the node record names, or the last that is known; whoever reaps
//! next gives it its full length again, so a living node loses nothing and a dead one lapses. A change that
//! cannot be read, or is missing, makes its readers start over. Runs that cannot be read stop the
//! registration of their id alone, since no number is given twice. Where the fleet's own key cannot be
//! read, everything is `Corrupt`.

mod departed;
mod form;
mod leases;
mod log;
mod read;
mod table;

use ringhold_core::{Error, Timing};

pub use self::leases::{evict, evict_all, expect_renewal, leave, register, renew};
pub use self::read::{Polled, Position, expect_poll, members, poll};

use self::form::Fleet;
use crate::Transaction;

/// How far a rule came in one transaction.
#[derive(Debug)]
#[must_use = "where there is more to do, the rule has to be run again"]
pub enum Step<R> {
    /// To its end.
    Done(R),
    /// To its end, which is a refusal. What it wrote is committed all the same: the lapsed are reaped also
    /// by those who are refused.
    Refused(Error),
    /// It reaped as many as one transaction may, and there are more. Once that is committed, it is run
    /// again in a new transaction, with the same request.
    More,
}

/// The periods that the fleet runs by; `None` before the first registration.
///
/// # Errors
/// `Corrupt` where what is stored is none.
pub fn timing<T: Transaction>(tx: &mut T) -> Result<Option<Timing>, T::Stop> {
    Ok(Fleet::peek(tx)?.map(|fleet| fleet.timing))
}
