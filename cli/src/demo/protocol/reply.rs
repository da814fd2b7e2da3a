//! What a server says.

use std::fmt;
use std::str::FromStr;

use ringhold::{Address, Error, Fence, NodeId, Nonce, PlayerId, SessionId};

use super::{Position, TEXT_BYTES_MAX, one_line};

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The player is attached.
    Here {
        /// For coming back.
        session: SessionId,
        /// The fence of the stay.
        fence: Fence,
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
    /// The message has reached that player's inbox.
    Told(PlayerId),
    /// A message from a node, or from one who is none.
    From(Option<NodeId>, String),
    /// The connection ends, and why: a word for programs, which words for people may follow.
    Bye(String),
    /// Something is wrong: a word for programs, and words for people.
    Err(String, String),
}

impl Reply {
    /// Refuses, with a kind and with words.
    pub fn refusal(kind: &str, words: &str) -> Self {
        Self::Err(kind.to_owned(), words.to_owned())
    }

    /// What came from a node, or from one who is none, as one line that a client can read whole.
    pub fn message(from: Option<NodeId>, body: &[u8]) -> Self {
        Self::From(from, one_line(&String::from_utf8_lossy(body), TEXT_BYTES_MAX))
    }

    /// An operator ended the stay.
    pub fn kicked(reason: &str) -> Self {
        let words = one_line(reason, WORDS_BYTES_MAX);
        Self::Bye(format!("kicked {words}").trim_end().to_owned())
    }
}

impl From<&Error> for Reply {
    /// The error as one line that a client can read whole.
    fn from(error: &Error) -> Self {
        Self::refusal(error.kind().as_str(), &one_line(error.context(), WORDS_BYTES_MAX))
    }
}

/// The most words of an error, so that its line stays below
/// [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
const WORDS_BYTES_MAX: usize = 200;

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here {
                session,
                fence: Fence { epoch, nonce },
                new,
                position: Position { x, y },
                version,
            } => {
                let nonce = u128::from_be_bytes(nonce.to_bytes());
                let stay = if *new { "new" } else { "back" };
                write!(f, "HERE {session} {epoch} {nonce:032x} {stay} {x} {y} {version}")
            }
            Self::Moved(address) => write!(f, "MOVED {address}"),
            Self::Pos(Position { x, y }, version) => write!(f, "POS {x} {y} {version}"),
            Self::Told(player) => write!(f, "TOLD {player}"),
            Self::From(Some(node), text) => write!(f, "FROM {node} {text}"),
            Self::From(None, text) => write!(f, "FROM * {text}"),
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
        parse(line).ok_or_else(|| format!("not a reply: {line:?}"))
    }
}

fn parse(line: &str) -> Option<Reply> {
    let (verb, rest) = line.split_once(' ')?;
    if verb == "FROM" {
        // The text is as it was told, blanks too.
        let (node, text) = rest.split_once(' ')?;
        let node = if node == "*" {
            None
        } else {
            Some(NodeId::new(node).ok()?)
        };
        return Some(Reply::From(node, text.to_owned()));
    }
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let position = |x: &str, y: &str| {
        Some(Position {
            x: x.parse().ok()?,
            y: y.parse().ok()?,
        })
    };
    Some(match (verb, &words[..]) {
        ("HERE", [session, epoch, nonce, stay @ ("new" | "back"), x, y, version]) => Reply::Here {
            session: session.parse().ok()?,
            fence: fence(epoch, nonce)?,
            new: *stay == "new",
            position: position(x, y)?,
            version: version.parse().ok()?,
        },
        ("MOVED", [address]) => Reply::Moved(Address::new(address).ok()?),
        ("POS", [x, y, version]) => Reply::Pos(position(x, y)?, version.parse().ok()?),
        ("TOLD", [player]) => Reply::Told(PlayerId::new(player).ok()?),
        ("BYE", [_, ..]) => Reply::Bye(rest.trim().to_owned()),
        ("ERR", [kind, ..]) => {
            let words = rest[kind.len()..].trim();
            Reply::refusal(kind, words)
        }
        _ => return None,
    })
}

fn fence(epoch: &str, nonce: &str) -> Option<Fence> {
    let digits = nonce.len() == 32 && nonce.bytes().all(|digit| digit.is_ascii_hexdigit());
    let nonce = u128::from_str_radix(nonce, 16).ok().filter(|_| digits)?;
    Some(Fence {
        epoch: epoch.parse().ok()?,
        nonce: Nonce::from_bytes(nonce.to_be_bytes()),
    })
}
