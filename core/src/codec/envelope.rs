//! What every stored value and every message begins with, and the fixed fields behind it.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::FORMAT_OLDEST;
use crate::id::NUMBER_MAX;
use crate::{Error, ErrorKind, Fence, Incarnation, Nonce, Result};

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
    Tombstone,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Session, Self::Node, Self::Frame, Self::Tombstone];

    const fn byte(self) -> u8 {
        match self {
            Self::Session => 1,
            Self::Node => 2,
            Self::Frame => 3,
            Self::Tombstone => 4,
        }
    }

    /// Its name, as it stands in errors.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session record",
            Self::Node => "node record",
            Self::Frame => "peer message",
            Self::Tombstone => "tombstone",
        }
    }

    /// The format in which this kind is written: the one in which its layout last changed.
    pub(super) const fn newest(self) -> u16 {
        match self {
            Self::Node => 2,
            Self::Session | Self::Frame | Self::Tombstone => 1,
        }
    }

    /// The error that bytes of this kind are not what they should be.
    #[cold]
    pub(super) fn corrupt(self, context: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, self.as_str(), context.into())
    }

    /// The error that a number in bytes of this kind is greater than one can be.
    #[cold]
    fn above(self, what: &str, number: u64) -> Error {
        self.corrupt(format!("{what} {number} is above {NUMBER_MAX}"))
    }

    /// The error that a value of this kind is over a limit.
    pub(super) fn too_large(self, what: &str, is: usize, max: usize) -> Error {
        let context = format!("has {is} {what} and {max} are allowed");
        Error::new(ErrorKind::TooLarge, self.as_str(), context)
    }

    /// The error that a value of this kind cannot be written.
    pub(super) fn invalid(self, context: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, self.as_str(), context.into())
    }

    /// Refuses to write a number that would not be read.
    pub(super) fn check_number(self, what: &str, number: u64) -> Result<()> {
        if number > NUMBER_MAX {
            return Err(self.invalid(format!("{what} {number} is above {NUMBER_MAX}")));
        }
        Ok(())
    }

    /// The envelope of this format.
    pub(super) const fn envelope(self, format: u16) -> [u8; LEN] {
        let [first, second, third] = MAGIC;
        let [low, high] = format.to_le_bytes();
        [first, second, third, self.byte(), low, high]
    }

    /// Writes the envelope of the newest format, into room for `len` bytes in all.
    pub(super) fn begin(self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&self.envelope(self.newest()));
        out
    }

    /// Writes the body behind what there is.
    pub(super) fn finish(self, out: Vec<u8>, body: &impl Serialize) -> Result<Vec<u8>> {
        postcard::to_extend(body, out).map_err(|error| {
            self.invalid(format!("it has no stored form: {error}"))
                .with_source(error)
        })
    }

    /// The fields in `bytes`, which have no envelope.
    pub(super) const fn fields(self, bytes: &[u8]) -> Fields<'_> {
        Fields {
            kind: self,
            rest: bytes,
        }
    }

    /// Checks the envelope and answers its format, which may be newer than what this build reads, and
    /// the fields behind it.
    pub(super) fn open_any(self, bytes: &[u8]) -> Result<(u16, Fields<'_>)> {
        let mut fields = self.fields(bytes);
        let Ok([first, second, third, kind, low, high]) = fields.bytes::<LEN>() else {
            return Err(self.refused(bytes));
        };
        let format = u16::from_le_bytes([low, high]);
        if [first, second, third] == MAGIC && kind == self.byte() && format >= FORMAT_OLDEST {
            return Ok((format, fields));
        }
        Err(self.refused(bytes))
    }

    /// What is wrong with an envelope that is none of this kind.
    #[cold]
    fn refused(self, bytes: &[u8]) -> Error {
        let Some(rest) = bytes.strip_prefix(&MAGIC) else {
            return self.corrupt(format!("these {} bytes are something else", bytes.len()));
        };
        match rest {
            [kind, ..] if *kind != self.byte() => {
                let is = Self::ALL.into_iter().find(|known| known.byte() == *kind);
                self.corrupt(match is {
                    Some(other) => format!("this is a {}", other.as_str()),
                    None => format!("kind {kind} is not known"),
                })
            }
            [_, low, high, ..] => {
                let format = u16::from_le_bytes([*low, *high]);
                self.corrupt(format!("there is no format {format}"))
            }
            _ => self.corrupt("it ends within a field"),
        }
    }

    /// Checks the envelope, and that this build reads the format.
    pub(super) fn open(self, bytes: &[u8]) -> Result<(u16, Fields<'_>)> {
        let (format, fields) = self.open_any(bytes)?;
        let newest = self.newest();
        if format > newest {
            let context = format!(
                "it is of format {format} and this build reads {FORMAT_OLDEST} to {newest}; use a build that \
                 knows it"
            );
            return Err(Error::new(ErrorKind::Unsupported, self.as_str(), context));
        }
        Ok((format, fields))
    }
}

/// Reads fixed fields one after the other, then the body.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    kind: Kind,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next `N` bytes where they are.
    #[inline]
    pub(super) fn part<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let Some((part, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.kind.corrupt("it ends within a field"));
        };
        self.rest = rest;
        Ok(part)
    }

    /// The next `N` bytes.
    #[inline]
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.kind.corrupt("it ends within a field"));
        };
        self.rest = rest;
        Ok(*bytes)
    }

    /// The next 8 bytes as a number.
    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// The next 16 bytes as they are.
    #[inline]
    pub(super) fn nonce(&mut self) -> Result<Nonce> {
        self.bytes().map(Nonce::from_bytes)
    }

    #[inline]
    fn number(&mut self, what: &'static str) -> Result<u64> {
        let number = self.u64()?;
        if number > NUMBER_MAX {
            return Err(self.kind.above(what, number));
        }
        Ok(number)
    }

    /// Epoch and nonce.
    #[inline]
    pub(super) fn fence(&mut self) -> Result<Fence> {
        Ok(Fence {
            epoch: self.number("epoch")?,
            nonce: self.nonce()?,
        })
    }

    /// Number and nonce.
    #[inline]
    pub(super) fn incarnation(&mut self) -> Result<Incarnation> {
        Ok(Incarnation {
            number: self.number("incarnation number")?,
            nonce: self.nonce()?,
        })
    }

    /// A byte that is a length, and as many bytes in UTF-8.
    pub(super) fn short_text(&mut self) -> Result<&'a str> {
        let [len] = self.bytes()?;
        let Some((text, rest)) = self.rest.split_at_checked(usize::from(len)) else {
            return Err(self.kind.corrupt("it ends within a text"));
        };
        self.rest = rest;
        std::str::from_utf8(text).map_err(|error| self.kind.corrupt("a text is not UTF-8").with_source(error))
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            rest => Err(self.kind.corrupt(format!("{rest} bytes follow its end"))),
        }
    }

    /// All the rest, which has to be just what `T` is written as.
    pub(super) fn body<T: DeserializeOwned + Serialize>(mut self) -> Result<T> {
        let kind = self.kind;
        let (body, rest) = postcard::take_from_bytes::<T>(self.rest).map_err(|error| {
            kind.corrupt(format!("its body cannot be read: {error}"))
                .with_source(error)
        })?;
        let whole = std::mem::replace(&mut self.rest, rest);
        self.end()?;
        match postcard::serialize_with_flavor(&body, Same(whole)) {
            Ok(true) => Ok(body),
            _ => Err(kind.corrupt("its body has another form than the one that is written")),
        }
    }
}

/// Compares what is written with what was read, and keeps nothing.
struct Same<'a>(&'a [u8]);

impl Flavor for Same<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // The error is not looked at: it only ends the comparison.
        self.0 = self
            .0
            .strip_prefix(bytes)
            .ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}
