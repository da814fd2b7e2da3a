//! Sessions, the requests upon them, and the store that holds them.

mod record;
mod request;
mod store;

pub use record::{Displaced, SessionRecord, TakenSession, UnreadableSession};
pub use request::{
    AckExpired, ClaimSession, Claimed, CreateOutcome, CreateSession, Created, Cursor, Durability, EndReason,
    ListSessions, OnExisting, RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved,
    SessionPage, TakeExpired, TakenSessions, TakeoverFrom, Touch, Touched,
};
pub use store::{SessionStore, TOMBSTONE_TTL};
