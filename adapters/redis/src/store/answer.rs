//! What the scripts of sessions answer, as results.

use std::time::Duration;

use bytes::Bytes;
use ringhold_core::codec::{self, SessionHeader, StoredSession};
use ringhold_core::session::{EndReason, Touched};
use ringhold_core::{Error, ErrorKind, NodeId, NodeIncarnation, Partition, PlayerId, Result, SessionId};

use crate::client::{Elements, Reply, malformed};

/// The first word of an answer, with what belongs to it.
#[derive(Debug)]
pub(super) enum Status {
    Done(Elements),
    /// A live session that a login left as it is.
    Untouched(Elements),
    Ended(EndReason),
    Missing,
    Fenced {
        header: Bytes,
        node: Bytes,
    },
    /// The version that stands.
    Version(u64),
    Exists(Why),
    /// The token of an acknowledgement does not stand.
    Void,
    /// A key of the partition is lost.
    Lost,
    /// The partition lost the player's session, and its owner may still restore it for this long.
    Recovering(Duration),
}

/// What is there already.
#[derive(Debug)]
pub(super) enum Why {
    OtherPlayer,
    OtherLogin,
    Live(Option<u64>),
}

impl Status {
    pub(super) fn read(operation: &'static str, reply: Reply) -> Result<Self> {
        let mut elements = Elements::new(operation, reply)?;
        let word = elements.bytes()?;
        Ok(match &word[..] {
            b"done" => Self::Done(elements),
            b"untouched" => Self::Untouched(elements),
            b"ended" => Self::Ended(reason(operation, elements.number()?)?),
            b"missing" => Self::Missing,
            b"fenced" => Self::Fenced {
                header: elements.bytes()?,
                node: elements.bytes()?,
            },
            b"version" => Self::Version(elements.number()?),
            b"exists" => Self::Exists(match elements.next()? {
                Reply::Bytes(why) if why == "player" => Why::OtherPlayer,
                Reply::Bytes(why) if why == "login" => Why::OtherLogin,
                Reply::Bytes(why) if why == "live" => Why::Live(None),
                other => Why::Live(Some(other.into_number(operation)?)),
            }),
            b"void" => Self::Void,
            b"lost" => Self::Lost,
            b"recovering" => Self::Recovering(Duration::from_millis(elements.number()?)),
            _ => return Err(malformed(operation, "an unknown status")),
        })
    }

    /// What a script that did its work answered; every other status is an error.
    pub(super) fn done(self, operation: &'static str, id: Option<&SessionId>) -> Result<Elements> {
        let name = || id.map_or_else(|| "it".to_owned(), |id| format!("session {id:?}"));
        let (kind, context) = match self {
            Self::Done(elements) => return Ok(elements),
            Self::Ended(reason) => {
                let how = match reason {
                    EndReason::Removed => "was removed",
                    EndReason::Displaced => "was ended by a later login",
                    EndReason::Expired => "has expired and was acknowledged",
                    _ => "has ended",
                };
                (ErrorKind::Fenced, format!("{} {how}; log in again", name()))
            }
            Self::Missing => (ErrorKind::NotFound, format!("nothing is known of {}", name())),
            Self::Fenced { header, node } => {
                let header = SessionHeader::read(&header)?;
                let owner = String::from_utf8_lossy(node.get(1..).unwrap_or_default());
                let (number, epoch) = (header.owner.number, header.fence.epoch);
                let context = format!("{} is held by {owner}#{number} in epoch {epoch}", name());
                (ErrorKind::Fenced, context)
            }
            Self::Version(stands) => {
                let context = format!("the data of {} is at version {stands}; read it again", name());
                (ErrorKind::VersionConflict, context)
            }
            Self::Void => {
                let context = format!("the token is void: {} was revived, or taken by another", name());
                (ErrorKind::Fenced, context)
            }
            Self::Lost => {
                let context = "a key of the partition was lost during the check; check again";
                (ErrorKind::Unavailable, context.to_owned())
            }
            Self::Recovering(left) => {
                let context = format!(
                    "the server lost this partition's sessions, and the player's may still be restored by its \
                     owner; try again, for {left:?} at most"
                );
                return Err(Error::recovering(operation, context));
            }
            Self::Untouched(_) | Self::Exists(_) => return Err(malformed(operation, "a status of a login")),
        };
        Err(Error::new(kind, operation, context))
    }
}

/// The refusal of a login or a restoration by what is there already.
pub(super) fn exists(operation: &'static str, player: &PlayerId, why: &Why) -> Error {
    let context = match why {
        Why::OtherPlayer => format!("player {player:?} is refused: the session id belongs to another player"),
        Why::OtherLogin => format!("player {player:?} is refused: the session id is that of another login"),
        Why::Live(None) => format!("player {player:?} has a live session"),
        Why::Live(Some(live)) => format!("player {player:?} has {live} other live sessions"),
    };
    Error::new(ErrorKind::AlreadyExists, operation, context)
}

fn reason(operation: &'static str, number: u64) -> Result<EndReason> {
    match number {
        1 => Ok(EndReason::Removed),
        2 => Ok(EndReason::Displaced),
        3 => Ok(EndReason::Expired),
        _ => Err(malformed(operation, "an unknown reason")),
    }
}

/// One session as it stands in the store.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: SessionId,
    /// The time of the partition's clock, in milliseconds.
    pub(super) now: u64,
    /// The bytes that `stored` was read from.
    pub(super) header: Bytes,
    pub(super) body: Bytes,
    pub(super) stored: Result<StoredSession>,
}

impl Found {
    /// The next id, header and body of an answer.
    pub(super) fn next(
        elements: &mut Elements,
        operation: &'static str,
        partition: Partition,
    ) -> Result<Self> {
        Self::read(elements, operation, partition, 0)
    }

    fn read(
        elements: &mut Elements,
        operation: &'static str,
        partition: Partition,
        now: u64,
    ) -> Result<Self> {
        let (id, header, body) = (elements.bytes()?, elements.bytes()?, elements.bytes()?);
        let id = <[u8; 18]>::try_from(&id[..])
            .ok()
            .and_then(|id| SessionId::from_bytes(id).ok())
            .filter(|id| id.partition() == partition)
            .ok_or_else(|| malformed(operation, "no session id of this partition"))?;
        let stored = decode(id, &header, &body);
        Ok(Self {
            id,
            now,
            header,
            body,
            stored,
        })
    }
}

/// Reads a session, and that what surrounds it agrees with it.
fn decode(id: SessionId, header: &[u8], body: &[u8]) -> Result<StoredSession> {
    let corrupt = |what: &'static str| Error::new(ErrorKind::Corrupt, "session record", what);
    let Some((player, rest)) = body
        .split_first()
        .and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)))
    else {
        // What is wrong with the header says more than that there is no body.
        SessionHeader::read(header)?;
        return Err(corrupt("it has no body"));
    };
    let stored = codec::decode_session_parts(header, rest)?;
    if stored.id != id {
        return Err(corrupt("it stands under the id of another session"));
    }
    if stored.player.as_str().as_bytes() != player {
        return Err(corrupt("it is of another player than the one before its body"));
    }
    Ok(stored)
}

/// The answer of a script to a listing or a take: whether there are more, and the sessions.
pub(super) fn page(
    operation: &'static str,
    partition: Partition,
    mut elements: Elements,
) -> Result<(bool, Vec<Found>)> {
    let (now, more) = (elements.number()?, elements.number()? != 0);
    let mut found = Vec::new();
    while !elements.is_empty() {
        match Found::read(&mut elements, operation, partition, now) {
            Ok(session) => found.push(session),
            // It has no id under which it could be told of; the next elements are the next session's.
            Err(error) => {
                tracing::warn!(%error, partition = partition.get(), "something else is among the sessions");
            }
        }
    }
    Ok((more, found))
}

/// The answers to `count` touches.
pub(super) fn touched(operation: &'static str, mut elements: Elements, count: usize) -> Result<Vec<Touched>> {
    let answers = elements.next()?.into_array(operation)?;
    if answers.len() != count {
        return Err(malformed(operation, "another number of answers than of touches"));
    }
    let read = |answer| {
        Ok(match answer {
            Reply::Integer(0) => Touched::Renewed,
            Reply::Integer(1) => Touched::NotFound,
            Reply::Integer(2) => Touched::Unreadable(ErrorKind::Corrupt),
            Reply::Integer(number) => Touched::Ended(reason(operation, number.unsigned_abs())?),
            Reply::Array(_) => {
                let mut elements = Elements::new(operation, answer)?;
                match owner(&elements.bytes()?, &elements.bytes()?) {
                    Ok(owner) => Touched::Fenced { owner },
                    Err(error) => Touched::Unreadable(error.kind()),
                }
            }
            _ => return Err(malformed(operation, "no answer to a touch")),
        })
    };
    answers.into_iter().map(read).collect()
}

/// The owner in a header, by the name that the body gives it.
fn owner(header: &[u8], node: &[u8]) -> Result<NodeIncarnation> {
    let unreadable = |kind| Error::new(kind, "session record", "the owner of the session cannot be read");
    let header = SessionHeader::read(header)?;
    if node.is_empty() {
        return Err(unreadable(ErrorKind::Unsupported));
    }
    let name = node.get(1..).and_then(|name| std::str::from_utf8(name).ok());
    let node = name.and_then(|name| NodeId::new(name).ok());
    let node = node.ok_or_else(|| unreadable(ErrorKind::Corrupt))?;
    Ok(NodeIncarnation::new(node, header.owner))
}

/// What a touch comes to that got no answer for the reason of `kind`.
pub(super) fn untouched(kind: ErrorKind) -> Touched {
    match kind {
        ErrorKind::Corrupt | ErrorKind::Unsupported => Touched::Unreadable(kind),
        _ => Touched::Unanswered(kind),
    }
}
