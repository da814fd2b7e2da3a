//! Sessions, the requests upon them, and the store that holds them.

mod check;
mod expiry;
mod listing;
mod login;
mod record;
mod repair;
mod store;
mod write;

pub use expiry::{AckExpired, Acked, TakeExpired, TakenSessions};
pub use listing::{Cursor, ListSessions, SessionPage};
pub use login::{CreateOutcome, CreateSession, Created, OnExisting, TakeoverFrom};
pub use record::{Displaced, SessionRecord, TakenSession, UnreadableSession};
pub use repair::{RepairCursor, RepairSessions, RepairedSessions, SessionFault, SessionProblem};
pub use store::{SessionStore, TOMBSTONE_TTL};
pub use write::{
    ClaimSession, Claimed, Durability, EndReason, RemoveSession, Removed, RestoreSession, Restored,
    SaveSession, Saved, Touch, Touched, TouchedMany,
};
