//! Errors of connections and of what servers refuse.

use ringhold_core::{Error, ErrorKind};

use super::Address;
use crate::client::{LinkError, ServerError};
use crate::error::{Verdict, judge};

/// The error of a connection.
pub(super) fn link_error(operation: &'static str, address: &Address, error: LinkError) -> Error {
    match error {
        LinkError::Broken(source) => {
            let context = format!("the connection to {address} broke or could not be made");
            Error::new(ErrorKind::Unavailable, operation, context).with_source(source)
        }
        LinkError::Denied(why) => {
            let context = format!("{address}: {why}");
            Error::new(ErrorKind::InvalidArgument, operation, context)
        }
        LinkError::Tls(why) => {
            let context = format!("{address}: {why}");
            Error::new(ErrorKind::Unavailable, operation, context)
        }
        LinkError::Refused(error) => refused(operation, &error, address),
        LinkError::Protocol(what) => {
            let context = format!("{address} is no Redis server, or one that speaks differently: {what}");
            Error::new(ErrorKind::Unavailable, operation, context)
        }
    }
}

/// What a server refused, where nobody else is asked instead.
pub(super) fn refused(operation: &'static str, error: &ServerError, address: &Address) -> Error {
    match judge(operation, error, address) {
        Verdict::Again(error) | Verdict::Stale(error) | Verdict::Down(error) | Verdict::Final(error) => error,
        _ => Error::new(
            ErrorKind::Unavailable,
            operation,
            "a redirect instead of an answer",
        ),
    }
}
