//! What clients and servers of the demo game say to each other: one line each, words set apart by
//! blanks.
//!
//! | client | server |
//! |---|---|
//! | `LOGIN player [session]` | `HERE session epoch nonce new\|back x y version`, or `MOVED address` and the end |
//! | `LOGIN player TAKE` | `HERE …`: whoever holds the player on any node loses it |
//! | `MOVE dx dy` | `POS x y version`, once that is stored |
//! | `TELL player text…` | `TOLD player`, once it is in that player's inbox, wherever that is |
//! | `QUIT` | `BYE quit` and the end |
//! | anything else | `ERR kind words` |
//!
//! On its own the server says `FROM node text…`, what another player or an operator sent (`*` for one who
//! is no node), at any time after `HERE`; and `BYE displaced`, `BYE fenced`, `BYE expired` or `BYE kicked
//! reason…`, with which the connection ends.
//!
//! Epoch and nonce are the fence of the stay. `TAKE` has letters that no session id has.

mod reply;
mod request;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use reply::Reply;
pub use request::{Entry, Request};

/// The longest line in bytes, its end included. A player's id of 128 bytes and a session id fit.
pub const LINE_BYTES_MAX: usize = 256;

/// The longest text of a message in bytes, so that `FROM` with the longest name of a node is a line.
pub const TEXT_BYTES_MAX: usize = 180;

/// Where a player stands: the session's data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// East of the start.
    pub x: i64,
    /// North of the start.
    pub y: i64,
}

impl Position {
    /// The position one step further. The world ends where the numbers do.
    #[must_use]
    pub fn after(self, Step { dx, dy }: Step) -> Self {
        Self {
            x: self.x.saturating_add(dx.into()),
            y: self.y.saturating_add(dy.into()),
        }
    }
}

/// One move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// To the east.
    pub dx: i32,
    /// To the north.
    pub dy: i32,
}

/// As much of a text as `bytes_max` allows, on one line: control characters become blanks.
fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() + character.len_utf8() > bytes_max {
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}
