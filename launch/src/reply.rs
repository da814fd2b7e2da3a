//! What a server answers.

use std::fmt;

use redis::Value;

use crate::{Error, ErrorKind, Result};

/// The answer to one command, in the types of RESP2.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// A number.
    Integer(i64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A status, such as `OK`.
    Status(String),
    /// Several answers.
    Array(Vec<Reply>),
    /// An error, code and words, such as `MOVED 42 127.0.0.1:7000`.
    Error(String),
}

impl Reply {
    /// The text of a string or a status. Bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Status(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The number, where it is one.
    pub const fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether it is `OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Status(text) if text == "OK")
    }

    /// The answer, or its error.
    ///
    /// # Errors
    /// `Answer` with the server's words.
    pub fn check(self) -> Result<Self> {
        match self {
            Self::Error(words) => Err(Error::new(ErrorKind::Answer, words)),
            other => Ok(other),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("Nil"),
            Self::Integer(number) => write!(f, "Integer({number})"),
            Self::Bytes(bytes) => write!(f, "Bytes(\"{}\")", bytes.escape_ascii()),
            Self::Status(text) => write!(f, "Status({text:?})"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Error(words) => write!(f, "Error({words:?})"),
        }
    }
}

impl TryFrom<Value> for Reply {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        Ok(match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Integer(number),
            Value::BulkString(bytes) => Self::Bytes(bytes),
            Value::SimpleString(text) => Self::Status(text),
            Value::Okay => Self::Status("OK".to_owned()),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::try_from).collect::<Result<_>>()?),
            Value::ServerError(error) => {
                let words = error.details().map_or(String::new(), |words| format!(" {words}"));
                Self::Error(format!("{}{words}", error.code()))
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Answer,
                    "an answer that RESP2 does not have",
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_resp2_has_its_form() {
        let array = Value::Array(vec![
            Value::Nil,
            Value::Int(7),
            Value::BulkString(b"a\xff".to_vec()),
        ]);
        let reply = Reply::try_from(array).unwrap();
        assert_eq!(format!("{reply:?}"), r#"[Nil, Integer(7), Bytes("a\xff")]"#);
        assert!(Reply::try_from(Value::Okay).unwrap().is_ok());
        assert_eq!(
            Reply::try_from(Value::SimpleString("PONG".into()))
                .unwrap()
                .text(),
            Some("PONG".into())
        );
    }

    #[test]
    fn an_error_is_an_answer_until_it_is_checked() {
        let failure = Reply::Error("MOVED 1 a:1".into()).check().unwrap_err();
        assert_eq!(
            (failure.kind(), failure.message()),
            (ErrorKind::Answer, "MOVED 1 a:1")
        );
        assert_eq!(Reply::Integer(1).check().unwrap().integer(), Some(1));
    }
}
