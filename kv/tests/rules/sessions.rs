//! The rules of sessions.

mod races;
mod stored;
