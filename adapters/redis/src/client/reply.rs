//! What a server answers, whatever library read it.

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, Result};

/// One answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "redis", feature = "fred")),
    expect(dead_code, reason = "from client libraries, and there is none")
)]
pub(crate) enum Reply {
    Nil,
    Integer(i64),
    Bytes(Bytes),
    /// A word of the protocol, such as `OK`.
    Status(String),
    Array(Vec<Reply>),
    Error(ServerError),
}

/// An error that the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// The first word, such as `MOVED` or `ERR`.
    pub(crate) code: String,
    /// The rest of the line.
    pub(crate) detail: String,
}

impl ServerError {
    /// Whether the server takes no more connections, and ends this one.
    pub(crate) fn is_of_full_server(&self) -> bool {
        self.code == "ERR" && self.detail.starts_with("max number of clients")
    }

    /// Whether the server is a replica, so that a connection to its address may lead to a master now.
    pub(crate) fn is_of_demoted_server(&self) -> bool {
        matches!(self.code.as_str(), "READONLY" | "UNBLOCKED")
    }

    /// Takes an error line apart.
    #[cfg(any(test, feature = "fred"))]
    pub(crate) fn parse(line: &str) -> Self {
        let (code, detail) = line.split_once(' ').unwrap_or((line, ""));
        Self {
            code: code.to_owned(),
            detail: detail.to_owned(),
        }
    }
}

/// An answer that is not of the form that its script gives.
pub(crate) fn malformed(operation: &'static str, what: &str) -> Error {
    let context = format!("the server's answer is malformed: {what}; is something else using these keys?");
    Error::new(ErrorKind::Corrupt, operation, context)
}

impl Reply {
    /// How many bytes it brought, but for the protocol's own.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Array(elements) => elements.iter().map(Self::bytes).sum(),
            Self::Nil | Self::Integer(_) | Self::Status(_) | Self::Error(_) => 0,
        }
    }

    /// Its elements.
    pub(crate) fn into_array(self, operation: &'static str) -> Result<Vec<Reply>> {
        match self {
            Self::Array(elements) => Ok(elements),
            _ => Err(malformed(operation, "no array")),
        }
    }

    /// Its bytes.
    pub(crate) fn into_bytes(self, operation: &'static str) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Status(text) => Ok(text.into()),
            _ => Err(malformed(operation, "no bytes")),
        }
    }

    /// The value in an answer to `CONFIG GET` of one parameter; `None` where the server does not show it.
    pub(crate) fn into_setting(self) -> Option<String> {
        match self {
            Self::Array(pair) => match pair.into_iter().nth(1)? {
                Self::Bytes(value) => Some(String::from_utf8_lossy(&value).into_owned()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Its number, which is not negative.
    pub(crate) fn into_number(self, operation: &'static str) -> Result<u64> {
        match self {
            Self::Integer(number) => {
                u64::try_from(number).map_err(|_| malformed(operation, "a number below 0"))
            }
            _ => Err(malformed(operation, "no number")),
        }
    }
}

/// Takes the elements of an answer one after the other.
#[derive(Debug)]
pub(crate) struct Elements {
    operation: &'static str,
    rest: std::vec::IntoIter<Reply>,
}

impl Elements {
    pub(crate) fn new(operation: &'static str, reply: Reply) -> Result<Self> {
        Ok(Self {
            operation,
            rest: reply.into_array(operation)?.into_iter(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.len() == 0
    }

    pub(crate) fn next(&mut self) -> Result<Reply> {
        self.rest
            .next()
            .ok_or_else(|| malformed(self.operation, "it is too short"))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes> {
        self.next()?.into_bytes(self.operation)
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        self.next()?.into_number(self.operation)
    }

    pub(crate) fn elements(&mut self) -> Result<Elements> {
        Elements::new(self.operation, self.next()?)
    }
}
