//! What is written down of one operation. Ids, nonces, owners and data stand as the numbers that the
//! workload drew for them, so that a person can read a history; 0 is what nobody drew.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A session's id, a nonce, an owner, the name of a write, or data, as a number; 0 is foreign.
pub type Number = u64;

/// The fence of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hold {
    /// Counts the owners of the session, from 1.
    pub epoch: u64,
    /// What makes the fence unique.
    pub nonce: Number,
}

/// A session as an answer shows it. How long it lives is left out: nothing expires in a history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// Its id.
    pub session: Number,
    /// Who holds it.
    pub owner: Number,
    /// The fence that its owner has.
    pub fence: Hold,
    /// The version of the data.
    pub version: u64,
    /// The data.
    pub data: Number,
}

/// A hold that a login ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// The session.
    pub session: Number,
    /// Who held it.
    pub owner: Number,
    /// Under which fence.
    pub fence: Hold,
}

/// What a login does where the player has live sessions: `OnExisting` of core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Returns a live session untouched.
    Existing,
    /// Takes over only what the same owner holds.
    TakeOverOwn,
    /// Takes over anybody's.
    TakeOverAnyones,
    /// Is refused.
    Reject,
    /// Ends all.
    Replace,
    /// Ends the oldest beyond so many.
    Allow(u16),
}

/// What was asked of the store, about one player.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// `create`: a login.
    Create {
        /// The id of a new session, and the name of this login.
        session: Number,
        /// Who logs the player in.
        owner: Number,
        /// The nonce of the new fence.
        nonce: Number,
        /// The data of a new session.
        data: Number,
        /// What happens to live sessions.
        rule: Rule,
    },
    /// `get`.
    Get {
        /// Which session.
        session: Number,
    },
    /// `find`.
    Find,
    /// `save`.
    Save {
        /// Which session.
        session: Number,
        /// The writer's fence.
        fence: Hold,
        /// The version that must stand.
        version: u64,
        /// The new data.
        data: Number,
        /// The name of this write.
        operation: Number,
    },
    /// `touch_many` of one session.
    Touch {
        /// Which session.
        session: Number,
        /// The holder's fence.
        fence: Hold,
    },
    /// `claim`.
    Claim {
        /// Which session.
        session: Number,
        /// The fence that must stand.
        seen: Hold,
        /// The version that must stand, where it is asked for.
        version: Option<u64>,
        /// The new owner.
        owner: Number,
        /// The nonce of the new fence.
        nonce: Number,
    },
    /// `remove`.
    Remove {
        /// Which session.
        session: Number,
        /// The fence under which it is held.
        fence: Hold,
        /// The name of this write.
        operation: Number,
    },
    /// `restore`.
    Restore {
        /// The session as its holder knows it.
        known: Seen,
        /// The nonce of the new fence.
        nonce: Number,
        /// The most live sessions of the player with this one.
        live_max: u16,
    },
}

impl Call {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Get { .. } | Self::Find)
    }
}

/// Why the store refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nothing is known of the session.
    NotFound,
    /// A live session, or another login of this name, is there.
    AlreadyExists,
    /// Another version stands.
    VersionConflict,
    /// Another fence stands, or the session has ended.
    Fenced,
    /// What no store may answer here; no order of the operations explains it.
    Unexpected(String),
}

/// Why a session is no more, as a touch is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its owner closed it.
    Removed,
    /// A later login ended it.
    Displaced,
    /// It expired: never, in a history.
    Expired,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A login made a session.
    New {
        /// The session as it stands.
        session: Seen,
        /// What it ended.
        ended: Vec<Ended>,
    },
    /// A login took a session over.
    TakenOver {
        /// The session as it stands.
        session: Seen,
        /// What it ended.
        ended: Vec<Ended>,
    },
    /// A login found another's session, and did nothing.
    Elsewhere(Seen),
    /// A login returned a live session untouched.
    Existing(Seen),
    /// What `get` shows.
    Got(Option<Seen>),
    /// What `find` shows, oldest first.
    Found(Vec<Seen>),
    /// A save's version.
    Saved(u64),
    /// A touch was taken.
    Touched,
    /// A touch was not taken: another one holds the session.
    HeldBy(Number),
    /// A touch was not taken: the session has ended.
    HasEnded(End),
    /// A claim won.
    Claimed(Seen),
    /// It is gone.
    Removed,
    /// It stands.
    Restored(Seen),
    /// A definite error: the store did not do it.
    Refused(Refusal),
    /// No answer, and why. Ambiguous: it happened at some time after the call, or never.
    None(String),
}

/// How the reason begins where it was the client that would not wait.
const GIVEN_UP: &str = "given up";

impl Answer {
    /// Whether nobody knows what came of the call.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::None(_))
    }

    /// What a client writes down that did not wait any longer.
    pub(super) fn given_up(patience: Duration) -> Self {
        Self::None(format!("{GIVEN_UP} after {patience:?}"))
    }

    /// Whether the client would not wait. The store may have been as quick as ever.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self, Self::None(why) if why.starts_with(GIVEN_UP))
    }
}

/// One call and its answer, with the time of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Whose sessions it is about: operations of different players have nothing to do with each other.
    pub player: Number,
    /// Who asked. A client asks one thing at a time. Client 0 looks when all is over.
    pub client: Number,
    /// When it was asked, in nanoseconds since the history began.
    pub asked: u64,
    /// When the answer, or the lack of one, was known.
    pub answered: u64,
    /// What was asked.
    pub call: Call,
    /// What came back.
    pub answer: Answer,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.nonce)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "s{}[owner {}, fence {}, version {}, data {}]",
            self.session, self.owner, self.fence, self.version, self.data
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create {
                session,
                owner,
                nonce,
                data,
                rule,
            } => write!(
                f,
                "create s{session} {rule:?}, owner {owner}, nonce {nonce}, data {data}"
            ),
            Self::Get { session } => write!(f, "get s{session}"),
            Self::Find => f.write_str("find"),
            Self::Save {
                session,
                fence,
                version,
                data,
                operation,
            } => write!(
                f,
                "save s{session} data {data} over version {version} under {fence}, named {operation}"
            ),
            Self::Touch { session, fence } => write!(f, "touch s{session} under {fence}"),
            Self::Claim {
                session,
                seen,
                version,
                owner,
                nonce,
            } => {
                write!(f, "claim s{session} on {seen}")?;
                if let Some(version) = version {
                    write!(f, " and version {version}")?;
                }
                write!(f, ", owner {owner}, nonce {nonce}")
            }
            Self::Remove {
                session,
                fence,
                operation,
            } => write!(f, "remove s{session} under {fence}, named {operation}"),
            Self::Restore {
                known,
                nonce,
                live_max,
            } => write!(f, "restore {known}, nonce {nonce}, at most {live_max}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New { session, ended } => write!(f, "new {session}, {} ended", ended.len()),
            Self::TakenOver { session, ended } => write!(f, "taken over {session}, {} ended", ended.len()),
            Self::Elsewhere(session) => write!(f, "elsewhere {session}"),
            Self::Existing(session) => write!(f, "existing {session}"),
            Self::Got(None) => f.write_str("nothing"),
            Self::Got(Some(session)) => write!(f, "{session}"),
            Self::Found(sessions) => {
                write!(f, "{} found", sessions.len())?;
                sessions.iter().try_for_each(|session| write!(f, " {session}"))
            }
            Self::Saved(version) => write!(f, "saved as version {version}"),
            Self::Touched => f.write_str("touched"),
            Self::HeldBy(owner) => write!(f, "held by {owner}"),
            Self::HasEnded(end) => write!(f, "ended: {end:?}"),
            Self::Claimed(session) => write!(f, "claimed {session}"),
            Self::Removed => f.write_str("removed"),
            Self::Restored(session) => write!(f, "restored {session}"),
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Self::None(why) => write!(f, "no answer: {why}"),
        }
    }
}
