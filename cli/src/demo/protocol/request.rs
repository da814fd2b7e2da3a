//! What a client asks.

use std::fmt;
use std::str::FromStr;

use ringhold::{PlayerId, SessionId};

use super::{Reply, Step, TEXT_BYTES_MAX};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who the player is, and how it comes in.
    Login(PlayerId, Entry),
    /// One step.
    Move(Step),
    /// A message to another player.
    Tell(PlayerId, String),
    /// The end of the stay.
    Quit,
}

/// How a player comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Where it is, or where it is placed.
    Ordinary,
    /// Back to exactly this session.
    Resume(SessionId),
    /// Here, whoever holds it.
    Take,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(player, Entry::Ordinary) => write!(f, "LOGIN {player}"),
            Self::Login(player, Entry::Resume(session)) => write!(f, "LOGIN {player} {session}"),
            Self::Login(player, Entry::Take) => write!(f, "LOGIN {player} TAKE"),
            Self::Move(Step { dx, dy }) => write!(f, "MOVE {dx} {dy}"),
            Self::Tell(player, text) => write!(f, "TELL {player} {text}"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

impl FromStr for Request {
    type Err = Reply;

    /// # Errors
    /// The reply that says what is wrong.
    fn from_str(line: &str) -> Result<Self, Reply> {
        if let Some(rest) = line.strip_prefix("TELL ") {
            return tell(rest);
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["LOGIN", player] => Ok(Self::Login(player_id(player)?, Entry::Ordinary)),
            ["LOGIN", player, "TAKE"] => Ok(Self::Login(player_id(player)?, Entry::Take)),
            ["LOGIN", player, session] => {
                let session = session.parse().map_err(|error| Reply::from(&error))?;
                Ok(Self::Login(player_id(player)?, Entry::Resume(session)))
            }
            ["MOVE", dx, dy] => match (dx.parse(), dy.parse()) {
                (Ok(dx), Ok(dy)) => Ok(Self::Move(Step { dx, dy })),
                _ => Err(usage("MOVE takes two whole numbers")),
            },
            ["QUIT"] => Ok(Self::Quit),
            _ => Err(usage(
                "say LOGIN player [session|TAKE], MOVE dx dy, TELL player text or QUIT",
            )),
        }
    }
}

/// The text is all that stands behind the player, blanks too.
fn tell(rest: &str) -> Result<Request, Reply> {
    let (player, text) = rest.split_once(' ').unwrap_or((rest, ""));
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        let words = format!("TELL takes a player and a text of 1 to {TEXT_BYTES_MAX} bytes");
        return Err(usage(&words));
    }
    Ok(Request::Tell(player_id(player)?, text.to_owned()))
}

fn usage(words: &str) -> Reply {
    Reply::refusal("usage", words)
}

fn player_id(word: &str) -> Result<PlayerId, Reply> {
    PlayerId::new(word).map_err(|error| Reply::from(&error))
}
