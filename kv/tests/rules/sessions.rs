//! The rules of sessions.

mod races;
mod repair;
mod stored;
