//! The form of a request's body: a kind and its payload, in the envelope of peer messages. A node that
//! does not know a kind says `Unsupported`; the users' bytes are the payload as they are.

use bytes::Bytes;
use ringhold_core::session::Displaced;
use ringhold_core::{Error, ErrorKind, Fence, Result, SessionId, codec};
use serde::{Deserialize, Serialize};

use super::calls::CALL_BYTES_MAX;
use super::{CALL, KICK_REASON_BYTES_MAX, MESSAGE_BYTES_MAX};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// The application's handler is to answer, or to take a stream.
    Call(Bytes),
    /// For the inbox of a player.
    Message(Bytes),
    /// For the inbox of everybody.
    Announce(Bytes),
    /// A player's session is to end, for this reason.
    Kick(String),
    /// A later login ended a hold.
    Displaced(Ended),
}

/// The hold that a later login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) session: SessionId,
    /// The fence that is void.
    pub(super) old: Fence,
    /// The one that stands in the same session; `None` where another session took its place.
    pub(super) new: Option<Fence>,
}

impl Ended {
    /// `hold` was ended by a login that stands in `session` under `fence`.
    pub(super) fn new(hold: &Displaced, session: SessionId, fence: Fence) -> Self {
        Self {
            session: hold.id,
            old: hold.fence,
            new: (hold.id == session).then_some(fence),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Frame {
    kind: u16,
    #[serde(with = "codec::data")]
    payload: Bytes,
}

impl Ask {
    const CALL: u16 = 1;
    const MESSAGE: u16 = 2;
    const ANNOUNCE: u16 = 3;
    const KICK: u16 = 4;
    const DISPLACED: u16 = 5;

    fn kind(&self) -> u16 {
        match self {
            Self::Call(_) => Self::CALL,
            Self::Message(_) => Self::MESSAGE,
            Self::Announce(_) => Self::ANNOUNCE,
            Self::Kick(_) => Self::KICK,
            Self::Displaced(_) => Self::DISPLACED,
        }
    }

    /// Its name, as it stands in spans.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Message(_) => "message",
            Self::Announce(_) => "announce",
            Self::Kick(_) => "kick",
            Self::Displaced(_) => "displaced",
        }
    }

    /// What every sender and every receiver checks.
    ///
    /// # Errors
    /// `TooLarge` for a message or a reason.
    pub(super) fn check(&self) -> Result<()> {
        let (what, bytes, max) = match self {
            Self::Message(body) | Self::Announce(body) => ("message", body.len(), MESSAGE_BYTES_MAX),
            Self::Kick(reason) => ("reason of a kick", reason.len(), KICK_REASON_BYTES_MAX),
            Self::Call(body) => ("body", body.len(), CALL_BYTES_MAX),
            Self::Displaced(_) => return Ok(()),
        };
        if bytes <= max {
            return Ok(());
        }
        let context = format!("the {what} has {bytes} bytes; at most {max} are allowed");
        Err(Error::new(ErrorKind::TooLarge, CALL, context))
    }

    /// The body of a request.
    pub(super) fn encode(&self) -> Result<Bytes> {
        let payload = match self {
            Self::Call(body) | Self::Message(body) | Self::Announce(body) => body.clone(),
            Self::Kick(reason) => Bytes::copy_from_slice(reason.as_bytes()),
            Self::Displaced(ended) => codec::encode_frame(ended)?.into(),
        };
        let kind = self.kind();
        codec::encode_frame(&Frame { kind, payload }).map(Bytes::from)
    }

    /// # Errors
    /// `Corrupt` for what nobody writes, `Unsupported` for a kind or a format of a later build,
    /// `TooLarge`.
    pub(super) fn decode(body: &[u8]) -> Result<Self> {
        let Frame { kind, payload } = codec::decode_frame(body)?;
        let ask = match kind {
            Self::CALL => Self::Call(payload),
            Self::MESSAGE => Self::Message(payload),
            Self::ANNOUNCE => Self::Announce(payload),
            Self::KICK => match String::from_utf8(payload.into()) {
                Ok(reason) => Self::Kick(reason),
                Err(_) => return Err(Error::new(ErrorKind::Corrupt, CALL, "the reason is not UTF-8")),
            },
            Self::DISPLACED => Self::Displaced(codec::decode_frame(&payload)?),
            unknown => {
                let context = format!("this build knows no request of the kind {unknown}");
                return Err(Error::new(ErrorKind::Unsupported, CALL, context));
            }
        };
        ask.check()?;
        Ok(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::transport::BODY_BYTES_MAX;
    use ringhold_core::{Nonce, PlayerId};

    fn ended() -> Ended {
        let fence = |epoch| Fence {
            epoch,
            nonce: Nonce::from_bytes([3; 16]),
        };
        let session = SessionId::new(PlayerId::new("ada").unwrap().partition(), [9; 16]);
        Ended {
            session,
            old: fence(4),
            new: Some(fence(6)),
        }
    }

    #[test]
    fn each_kind_comes_back_as_it_was() {
        let asks = [
            Ask::Call(Bytes::from_static(b"x")),
            Ask::Message(Bytes::new()),
            Ask::Announce(Bytes::from_static(b"all")),
            Ask::Kick("rude".to_owned()),
            Ask::Displaced(ended()),
        ];
        for ask in asks {
            assert_eq!(Ask::decode(&ask.encode().unwrap()).unwrap(), ask);
        }
    }

    /// Two builds have to agree on it, so it never changes.
    #[test]
    fn golden_frames() {
        let frame = Ask::Call(Bytes::from_static(b"hi")).encode().unwrap();
        assert_eq!(frame[..], *b"\xf5RH\x03\x01\x00\x01\x02hi");
        let frame = Ask::Kick("no".to_owned()).encode().unwrap();
        assert_eq!(frame[..], *b"\xf5RH\x03\x01\x00\x04\x02no");
        let frame = Ask::Displaced(ended()).encode().unwrap();
        assert_eq!(frame[..8], *b"\xf5RH\x03\x01\x00\x05\x3a");
    }

    #[test]
    fn the_largest_call_fits_into_a_request() {
        let ask = Ask::Call(Bytes::from(vec![0; CALL_BYTES_MAX]));
        ask.check().unwrap();
        assert!(ask.encode().unwrap().len() <= BODY_BYTES_MAX);
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = Ask::Displaced(ended()).encode().unwrap();
        for len in 0..whole.len() {
            let error = Ask::decode(&whole[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes");
        }
        for position in 0..whole.len() {
            let mut flipped = whole.to_vec();
            flipped[position] ^= 0xff;
            // Nothing panics, and nothing that is read has two forms.
            if let Ok(ask) = Ask::decode(&flipped) {
                assert_eq!(ask.encode().unwrap(), flipped);
            }
        }
    }
}
