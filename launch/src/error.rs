//! Errors in words that say what to do.

use std::fmt;
use std::io;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A program that has to be installed is not.
    Missing,
    /// An argument or an option cannot work.
    Invalid,
    /// The operating system refused.
    Io,
    /// A server did not start.
    Start,
    /// A server cannot be reached: it is killed, stopped, or closed the connection.
    Unreachable,
    /// A server answered with an error, or with something that makes no sense.
    Answer,
    /// Something was waited for in vain.
    Timeout,
}

/// Why a call failed. Holds no password.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// An error of the operating system, with what was being done.
    pub(crate) fn io(doing: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(ErrorKind::Io, format!("{doing}: {error}"))
    }

    /// What kind of thing went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
