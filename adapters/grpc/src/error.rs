//! Errors as they travel: an `ErrorDetail` in the details of a status.

use std::error::Error as _;

use bytes::Bytes;
use prost::Message as _;
use ringhold_core::{Error, ErrorKind};
use tonic::{Code, Status};

use crate::generated::v1::ErrorDetail;
use crate::wire;

/// The most bytes of an error's words that travel: they stand in headers.
const CONTEXT_BYTES_MAX: usize = 2_048;
const DETAIL_URL: &str = "type.googleapis.com/ringhold.v1.ErrorDetail";

/// What stands in `grpc-status-details-bin`, for every gRPC library: `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    items: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// The code that a kind has for whoever knows nothing of kinds.
const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::VersionConflict => Code::Aborted,
        ErrorKind::Fenced | ErrorKind::LeaseLost | ErrorKind::Superseded | ErrorKind::NotOwner => {
            Code::FailedPrecondition
        }
        ErrorKind::TooLarge => Code::OutOfRange,
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        // Kinds that are to come are nothing else to those who do not know them.
        _ => Code::Unavailable,
    }
}

/// The kind of a status without an `ErrorDetail`: of gRPC itself, or of something in between.
const fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => ErrorKind::InvalidArgument,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::OutOfRange => ErrorKind::TooLarge,
        Code::Unimplemented => ErrorKind::Unsupported,
        // The code of bytes that are no message.
        Code::Internal | Code::DataLoss => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    }
}

/// The status of an error.
pub(crate) fn to_status(error: &Error) -> Status {
    to_status_of(code(error.kind()), error)
}

/// The status of an error, with a code that says more than the kind's.
pub(crate) fn to_status_of(code: Code, error: &Error) -> Status {
    let detail = to_detail(error);
    let value = Bytes::from(detail.encode_to_vec());
    let details = Details {
        code: code as i32,
        message: String::new(),
        items: vec![Detail {
            type_url: DETAIL_URL.to_owned(),
            value,
        }],
    };
    Status::with_details(code, detail.context, details.encode_to_vec().into())
}

pub(crate) fn to_detail(error: &Error) -> ErrorDetail {
    ErrorDetail {
        kind: error.kind().as_str().to_owned(),
        context: clipped(error.context()).to_owned(),
        retryable: error.is_retryable(),
        owner: error.owner().map(wire::from_node),
    }
}

/// What a status says, and whether it is an answer of the other side's Ringhold.
pub(crate) fn from_status(operation: &'static str, status: Status) -> (Error, bool) {
    let details = Details::decode(status.details()).ok();
    let detail = details
        .into_iter()
        .flat_map(|details| details.items)
        .find(|detail| detail.type_url == DETAIL_URL)
        .and_then(|detail| ErrorDetail::decode(detail.value).ok());
    if let Some(detail) = detail {
        return (from_detail(operation, detail), true);
    }
    // What happened to the connection has a source; what was received as a status has none.
    if status.source().is_some() {
        let context = "the connection broke before there was an answer";
        let error = Error::new(ErrorKind::Unavailable, operation, context).with_source(status);
        return (error, false);
    }
    let words = clipped(status.message());
    let context = format!("the other side answered {:?}: {words}", status.code());
    (Error::new(kind(status.code()), operation, context), false)
}

/// An error that the other side has sent. A kind that is not known here is `Unavailable`.
pub(crate) fn from_detail(operation: &'static str, detail: ErrorDetail) -> Error {
    let ErrorDetail {
        kind: name,
        context,
        retryable,
        owner,
    } = detail;
    let known = ErrorKind::ALL.iter().find(|kind| kind.as_str() == name);
    let error = match known {
        // An owner that is none is left out: the caller asks the store.
        Some(ErrorKind::NotOwner) => match owner.and_then(|owner| wire::to_node("owner", Some(owner)).ok()) {
            Some(owner) => Error::not_owner(operation, Some(owner)),
            None => Error::new(ErrorKind::NotOwner, operation, clipped(&context).to_owned()),
        },
        Some(kind) => Error::new(*kind, operation, clipped(&context).to_owned()),
        None => {
            let context = format!(
                "the other side answered an error of a kind that is not known here: {}",
                clipped(&context)
            );
            Error::new(ErrorKind::Unavailable, operation, context)
        }
    };
    error.with_retryable(retryable)
}

fn clipped(text: &str) -> &str {
    let mut end = text.len().min(CONTEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use ringhold_core::{Incarnation, NodeId, NodeIncarnation, id::Nonce};

    use super::*;

    fn returned(error: &Error) -> Error {
        let (back, answered) = from_status("call", to_status(error));
        assert!(answered);
        back
    }

    #[test]
    fn every_kind_comes_back() {
        for kind in ErrorKind::ALL {
            for retryable in [true, false] {
                let error = Error::new(*kind, "handle", "sagt näin\n\u{1}").with_retryable(retryable);
                let back = returned(&error);
                assert_eq!(
                    (back.kind(), back.context(), back.is_retryable()),
                    (*kind, error.context(), retryable)
                );
                assert_ne!(to_status(&error).code(), Code::Ok);
            }
        }
    }

    #[test]
    fn an_owner_comes_back() {
        let incarnation = Incarnation {
            number: 3,
            nonce: Nonce::from_bytes([9; 16]),
        };
        let owner = NodeIncarnation::new(NodeId::new("eu-2").unwrap(), incarnation);
        let back = returned(&Error::not_owner("handle", Some(owner.clone())));
        assert_eq!(back.owner(), Some(&owner));
        assert_eq!(returned(&Error::not_owner("handle", None)).owner(), None);
        let mut detail = to_detail(&back);
        detail.owner.as_mut().unwrap().nonce = Bytes::from_static(b"short");
        let back = from_detail("call", detail);
        assert_eq!((back.kind(), back.owner()), (ErrorKind::NotOwner, None));
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let back = returned(&Error::new(ErrorKind::Fenced, "handle", "ä".repeat(5_000) + "x"));
        assert_eq!(back.context(), "ä".repeat(CONTEXT_BYTES_MAX / 2));
        assert_eq!(
            clipped(&("x".to_owned() + &"ä".repeat(5_000))).len(),
            CONTEXT_BYTES_MAX - 1
        );
    }

    #[test]
    fn what_is_not_known_is_an_error_with_words() {
        let detail = ErrorDetail {
            kind: "on_fire".into(),
            context: "too hot".into(),
            retryable: false,
            owner: None,
        };
        let error = from_detail("call", detail);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.context().contains("too hot") && !error.is_retryable());
        for (code, kind) in [
            (Code::Unauthenticated, ErrorKind::InvalidArgument),
            (Code::PermissionDenied, ErrorKind::InvalidArgument),
            (Code::Unimplemented, ErrorKind::Unsupported),
            (Code::Internal, ErrorKind::Corrupt),
            (Code::Cancelled, ErrorKind::Unavailable),
        ] {
            let details = Bytes::from_static(b"\xff\xff no details");
            let (error, answered) = from_status("call", Status::with_details(code, "words", details));
            assert_eq!((error.kind(), answered), (kind, false));
            assert!(error.context().contains("words"));
        }
    }
}
