//! The errors of connections, of refusals, and of operations that ended without an answer.

use ringhold_core::{Error, ErrorKind};

use super::node::Node;
use super::topology::Address;
use super::{Call, Shared};
use crate::client::{LinkError, ServerError};
use crate::error::{Verdict, judge};
use crate::schema;

impl Shared {
    pub(super) fn nobody(&self, operation: &'static str) -> Error {
        let seeds = self
            .settings
            .seeds
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let context = format!(
            "none of these servers answers: {}; are they running?",
            seeds.join(", ")
        );
        Error::new(ErrorKind::Unavailable, operation, context)
    }

    pub(super) fn no_room(&self, call: &Call, node: &Node, unanswered: bool, last: Option<Error>) -> Error {
        if unanswered {
            return self.gave_up(call, unanswered, last);
        }
        let context = format!(
            "no room within {:?} among the large sessions on their way to {}; nothing was written; slow down, or \
             make sessions smaller",
            self.settings.overall, node.address
        );
        let error = Error::new(ErrorKind::Overloaded, call.operation, context);
        match last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }

    pub(super) fn gave_up(&self, call: &Call, unanswered: bool, last: Option<Error>) -> Error {
        let address = self.owner(call.partition).map(|node| node.address.to_string());
        let (kind, outcome) = if unanswered {
            (ErrorKind::Timeout, "what was sent may have been written")
        } else {
            (ErrorKind::Unavailable, "nothing was written")
        };
        let mut context = format!(
            "no answer within {:?}, retries included, for slot {} of {}; {outcome}",
            self.settings.overall,
            schema::slot(call.partition),
            address.as_deref().unwrap_or("no server"),
        );
        // What to do about it stands there.
        context += "; ";
        context += match &last {
            Some(last) => last.context(),
            None => "is that server running, and has it a replica that can take its place?",
        };
        let error = Error::new(kind, call.operation, context);
        match last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}

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

/// The error of a refusal that no other server is asked about.
pub(super) fn refused(operation: &'static str, error: &ServerError, address: &Address) -> Error {
    match judge(operation, error, address) {
        Verdict::Again(error)
        | Verdict::Stale(error)
        | Verdict::Demoted(error)
        | Verdict::Down(error)
        | Verdict::Final(error) => error,
        _ => Error::new(
            ErrorKind::Unavailable,
            operation,
            "a redirect instead of an answer",
        ),
    }
}
