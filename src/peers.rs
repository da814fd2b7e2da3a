//! What nodes and gateways say to each other, and to the players that another node holds.
//!
//! | | |
//! |---|---|
//! | `options.rs` | whom a call is for, how long it may take, its key and its trace |
//! | `scope.rs` | what a handler passes on to the calls that it makes: its time and its trace |
//! | `frame.rs` | the form of a request's body |
//! | `caller.rs` | one request on its way: the record of the target, this node's own handler, the transport |
//! | `calls.rs` | calls and streams to a node, and to the holder of a player |
//! | `messages.rs`, `fan_out.rs` | messages to one player, to all, and calls to all nodes |
//! | `kick.rs` | ends a player's session, wherever it is held |
//! | `displaced.rs` | tells whoever held what a login ended |
//! | `serve.rs`, `act.rs` | what comes in: checked, and done |
//! | `answers.rs` | what was answered, for requests that come twice |
//!
//! The receiver decides by its own table of sessions, never by a ring. A lost message costs time only:
//! the next touch tells the same.

mod act;
mod answers;
mod caller;
mod calls;
mod displaced;
mod fan_out;
mod frame;
mod kick;
mod messages;
mod options;
mod scope;
mod serve;

pub(crate) use answers::Answers;
pub(crate) use caller::Caller;
pub use calls::MESSAGE_BYTES_MAX;
pub(crate) use displaced::tell_displaced;
pub use fan_out::{Announced, Broadcast, Delivered};
pub use kick::{KICK_REASON_BYTES_MAX, Kicked};
pub use options::{CallOptions, PeerTarget};
pub(crate) use serve::serve;

/// The operation of errors that a caller is told.
const CALL: &str = "peer call";
