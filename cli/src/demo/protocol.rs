//! What clients and servers of the demo game say to each other: one line each, words set apart by
//! blanks.
//!
//! | client | server |
//! |---|---|
//! | `LOGIN player [session]` | `HERE session new\|back x y version`, or `MOVED address` and the end |
//! | `MOVE dx dy` | `POS x y version`, once that is stored |
//! | `QUIT` | `BYE quit` and the end |
//! | anything else | `ERR kind words` |
//!
//! On its own the server says `BYE displaced`, `BYE fenced` or `BYE expired`, and ends the connection.

use std::fmt;
use std::str::FromStr;

use ringhold::{Address, Error, PlayerId, SessionId};
use serde::{Deserialize, Serialize};

/// The longest line in bytes, its end included. A player's id of 128 bytes and a session id fit.
pub const LINE_BYTES_MAX: usize = 256;

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

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who the player is, and which session to come back to.
    Login(PlayerId, Option<SessionId>),
    /// One step.
    Move(Step),
    /// The end of the stay.
    Quit,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(player, None) => write!(f, "LOGIN {player}"),
            Self::Login(player, Some(session)) => write!(f, "LOGIN {player} {session}"),
            Self::Move(Step { dx, dy }) => write!(f, "MOVE {dx} {dy}"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

impl FromStr for Request {
    type Err = Reply;

    /// # Errors
    /// The reply that says what is wrong.
    fn from_str(line: &str) -> Result<Self, Reply> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let usage = |words: &str| Reply::refusal("usage", words);
        match words[..] {
            ["LOGIN", player] => Ok(Self::Login(player_id(player)?, None)),
            ["LOGIN", player, session] => {
                let session = session.parse().map_err(|error| Reply::from(&error))?;
                Ok(Self::Login(player_id(player)?, Some(session)))
            }
            ["MOVE", dx, dy] => match (dx.parse(), dy.parse()) {
                (Ok(dx), Ok(dy)) => Ok(Self::Move(Step { dx, dy })),
                _ => Err(usage("MOVE takes two whole numbers")),
            },
            ["QUIT"] => Ok(Self::Quit),
            _ => Err(usage("say LOGIN player [session], MOVE dx dy or QUIT")),
        }
    }
}

fn player_id(word: &str) -> Result<PlayerId, Reply> {
    PlayerId::new(word).map_err(|error| Reply::from(&error))
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The player is attached.
    Here {
        /// For coming back.
        session: SessionId,
        /// Whether the session is new.
        new: bool,
        /// Where the player stands.
        position: Position,
        /// The version of that.
        version: u64,
    },
    /// Another node holds the player, or is the place for a new one.
    Moved(Address),
    /// The step is stored.
    Pos(Position, u64),
    /// The connection ends, and why.
    Bye(String),
    /// Something is wrong: a word for programs, and words for people.
    Err(String, String),
}

impl Reply {
    /// Refuses, with a kind and with words.
    pub fn refusal(kind: &str, words: &str) -> Self {
        Self::Err(kind.to_owned(), words.to_owned())
    }
}

impl From<&Error> for Reply {
    /// The error as one line that a client can read whole.
    fn from(error: &Error) -> Self {
        let mut words = String::new();
        for character in error.context().chars() {
            if words.len() + character.len_utf8() > WORDS_BYTES_MAX {
                break;
            }
            words.push(if character.is_control() { ' ' } else { character });
        }
        Self::refusal(error.kind().as_str(), &words)
    }
}

/// The most words of an error, so that its line stays below [`LINE_BYTES_MAX`].
const WORDS_BYTES_MAX: usize = 200;

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here {
                session,
                new,
                position: Position { x, y },
                version,
            } => {
                write!(
                    f,
                    "HERE {session} {} {x} {y} {version}",
                    if *new { "new" } else { "back" }
                )
            }
            Self::Moved(address) => write!(f, "MOVED {address}"),
            Self::Pos(Position { x, y }, version) => write!(f, "POS {x} {y} {version}"),
            Self::Bye(reason) => write!(f, "BYE {reason}"),
            Self::Err(kind, words) => write!(f, "ERR {kind} {words}"),
        }
    }
}

impl FromStr for Reply {
    type Err = String;

    /// # Errors
    /// The line, quoted, where it is no reply.
    fn from_str(line: &str) -> Result<Self, String> {
        parse_reply(line).ok_or_else(|| format!("not a reply: {line:?}"))
    }
}

fn parse_reply(line: &str) -> Option<Reply> {
    let (verb, rest) = line.split_once(' ')?;
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let position = |x: &str, y: &str| {
        Some(Position {
            x: x.parse().ok()?,
            y: y.parse().ok()?,
        })
    };
    Some(match (verb, &words[..]) {
        ("HERE", [session, stay @ ("new" | "back"), x, y, version]) => Reply::Here {
            session: session.parse().ok()?,
            new: *stay == "new",
            position: position(x, y)?,
            version: version.parse().ok()?,
        },
        ("MOVED", [address]) => Reply::Moved(Address::new(address).ok()?),
        ("POS", [x, y, version]) => Reply::Pos(position(x, y)?, version.parse().ok()?),
        ("BYE", [reason]) => Reply::Bye((*reason).to_owned()),
        ("ERR", [kind, ..]) => {
            let words = rest[kind.len()..].trim();
            Reply::refusal(kind, words)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_they_write() {
        let player = PlayerId::new("a".repeat(128)).unwrap();
        let session = SessionId::new(player.partition(), [7; 16]);
        let requests = [
            Request::Login(player.clone(), None),
            Request::Login(player, Some(session)),
            Request::Move(Step { dx: i32::MIN, dy: 1 }),
            Request::Quit,
        ];
        for request in requests {
            let line = request.to_string();
            assert!(line.len() < LINE_BYTES_MAX);
            assert_eq!(line.parse(), Ok(request));
        }
    }

    #[test]
    fn replies_are_what_they_write() {
        let session = "35a-00112233445566778899aabbccddeeff".parse().unwrap();
        let position = Position { x: i64::MIN, y: 3 };
        for reply in [
            Reply::Here {
                session,
                new: true,
                position,
                version: 1,
            },
            Reply::Here {
                session,
                new: false,
                position,
                version: u64::MAX,
            },
            Reply::Moved(Address::new("127.0.0.1:4000").unwrap()),
            Reply::Pos(position, 9),
            Reply::Bye("fenced".to_owned()),
            Reply::refusal("usage", "say something else"),
        ] {
            assert_eq!(reply.to_string().parse(), Ok(reply));
        }
        for bad in [
            "",
            "POS",
            "POS 1 2",
            "POS 1 2 x",
            "HERE x new 0 0 1",
            "HEREx",
            "MOVED",
        ] {
            assert!(bad.parse::<Reply>().is_err(), "{bad}");
        }
    }

    #[test]
    fn garbage_is_answered_with_what_to_say() {
        let long = format!("LOGIN {}", "a".repeat(129));
        for bad in [
            "",
            "HELLO",
            "login ada",
            "LOGIN",
            "LOGIN a b",
            "LOGIN a b c",
            "MOVE 1",
            "MOVE 1 2147483648",
            &long,
        ] {
            assert!(matches!(bad.parse::<Request>(), Err(Reply::Err(..))), "{bad}");
        }
    }

    #[test]
    fn any_error_fits_into_one_line() {
        let context = "\u{e9}\r\n".repeat(200);
        let reply =
            Reply::from(&Error::new(ringhold::ErrorKind::InvalidArgument, "test", context)).to_string();
        assert!(reply.len() < LINE_BYTES_MAX && !reply.contains('\n'), "{reply}");
    }

    #[test]
    fn the_world_has_an_end() {
        let far = Position {
            x: i64::MAX,
            y: i64::MIN,
        };
        assert_eq!(far.after(Step { dx: 1, dy: -1 }), far);
    }
}
