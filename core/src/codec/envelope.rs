//! What every stored value and every message begins with, and the fixed fields behind it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FORMAT_NEWEST, FORMAT_OLDEST};
use crate::{Error, ErrorKind, Result};

/// `0xF5` stands nowhere in UTF-8, so no text is taken for a record.
pub(super) const MAGIC: [u8; 3] = [0xF5, b'R', b'H'];

/// How long an envelope is: magic, kind, format.
pub(super) const LEN: usize = 6;

/// What is in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    Node,
    Frame,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Session, Self::Node, Self::Frame];

    const fn byte(self) -> u8 {
        match self {
            Self::Session => 1,
            Self::Node => 2,
            Self::Frame => 3,
        }
    }

    /// Its name, as it stands in errors.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session record",
            Self::Node => "node record",
            Self::Frame => "peer message",
        }
    }

    /// The error that bytes of this kind are not what they should be.
    #[cold]
    pub(super) fn corrupt(self, context: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, self.as_str(), context.into())
    }

    /// The error that a value of this kind is over a limit.
    pub(super) fn too_large(self, what: &str, is: usize, max: usize) -> Error {
        let context = format!("has {is} {what} and {max} are allowed");
        Error::new(ErrorKind::TooLarge, self.as_str(), context)
    }

    /// Writes the envelope of the newest format, into room for `len` bytes in all.
    pub(super) fn begin(self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&MAGIC);
        out.push(self.byte());
        out.extend_from_slice(&FORMAT_NEWEST.to_le_bytes());
        out
    }

    /// Writes the body behind what there is.
    pub(super) fn finish(self, out: Vec<u8>, body: &impl Serialize) -> Result<Vec<u8>> {
        postcard::to_extend(body, out).map_err(|error| {
            let context = format!("it has no stored form: {error}");
            Error::new(ErrorKind::InvalidArgument, self.as_str(), context).with_source(error)
        })
    }

    /// Checks the envelope and answers the fields behind it.
    pub(super) fn open(self, bytes: &[u8]) -> Result<Fields<'_>> {
        let mut fields = Fields {
            kind: self,
            rest: bytes,
        };
        if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(self.corrupt(format!("these {} bytes are something else", bytes.len())));
        }
        let [_, _, _, kind] = fields.bytes()?;
        if kind != self.byte() {
            let is = Self::ALL.into_iter().find(|known| known.byte() == kind);
            return Err(self.corrupt(match is {
                Some(other) => format!("this is a {}", other.as_str()),
                None => format!("kind {kind} is not known"),
            }));
        }
        let format = u16::from_le_bytes(fields.bytes()?);
        match format {
            FORMAT_OLDEST..=FORMAT_NEWEST => Ok(fields),
            0 => Err(self.corrupt("there is no format 0")),
            _ => {
                let context = format!(
                    "it is of format {format} and this build reads {FORMAT_OLDEST} to {FORMAT_NEWEST}; \
                     use a build that knows it"
                );
                Err(Error::new(ErrorKind::Unsupported, self.as_str(), context))
            }
        }
    }
}

/// Reads fixed fields one after the other, then the body.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl Fields<'_> {
    /// The next `N` bytes.
    #[inline]
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.kind.corrupt("it ends within its header"));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    /// The next 8 bytes as a number.
    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// All the rest.
    pub(super) fn body<T: DeserializeOwned>(self) -> Result<T> {
        let kind = self.kind;
        match postcard::take_from_bytes(self.rest) {
            Ok((body, [])) => Ok(body),
            Ok((_, rest)) => Err(kind.corrupt(format!("{} bytes follow its end", rest.len()))),
            Err(error) => Err(kind
                .corrupt(format!("its body cannot be read: {error}"))
                .with_source(error)),
        }
    }
}
