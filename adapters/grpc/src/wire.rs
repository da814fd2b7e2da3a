//! Requests as they travel.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderValue;
use ringhold_core::id::Nonce;
use ringhold_core::transport::{PeerRequest, TIME_LEFT_MAX, TraceContext};
use ringhold_core::{
    Error, ErrorKind, FleetName, Incarnation, NodeId, NodeIncarnation, OperationId, PlayerId, Result,
    Revision,
};

use crate::generated::v1;

/// How long the caller waits, in the words of gRPC.
pub(crate) const TIMEOUT: &str = "grpc-timeout";
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";

const REQUEST: &str = "peer request";

/// The message of a request; the rest of it travels in headers.
pub(crate) fn from_request(request: &PeerRequest) -> v1::CallRequest {
    v1::CallRequest {
        fleet: request.fleet.as_str().to_owned(),
        from: request.from.as_ref().map(from_node),
        target: Some(from_node(&request.target)),
        revision: Some(v1::Revision {
            number: request.revision.number,
            tag: request.revision.tag,
        }),
        player: request.player.as_ref().map(|player| player.as_str().to_owned()),
        key: request.key.map(|key| Bytes::copy_from_slice(&key.to_bytes())),
        body: request.body.clone(),
    }
}

/// The headers of a trace.
pub(crate) fn put_trace(trace: &TraceContext, headers: &mut HeaderMap) {
    if let Ok(parent) = HeaderValue::try_from(trace.to_string()) {
        headers.insert(TRACE_PARENT, parent);
    }
    let state = trace.state().and_then(|state| HeaderValue::from_str(state).ok());
    if let Some(state) = state {
        headers.insert(TRACE_STATE, state);
    }
}

/// The trace in headers; one that is none begins anew.
fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    TraceContext::parse(text(TRACE_PARENT)?, text(TRACE_STATE)).ok()
}

/// How long the caller waits: what it says, at most [`TIME_LEFT_MAX`].
pub(crate) fn time_left(headers: &HeaderMap) -> Result<Duration> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(PeerRequest::TIME_LEFT);
    };
    let parsed = value.to_str().ok().and_then(parse_timeout);
    let left = parsed
        .ok_or_else(|| bad("`grpc-timeout` is not up to eight digits and one of H, M, S, m, u and n"))?;
    Ok(left.min(TIME_LEFT_MAX))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A request as it came, with so much time left.
pub(crate) fn to_request(
    message: v1::CallRequest,
    time_left: Duration,
    headers: &HeaderMap,
) -> Result<PeerRequest> {
    let target = to_node("target", message.target)?;
    let revision = message.revision.map_or_else(Revision::default, |revision| {
        Revision::new(revision.number, revision.tag)
    });
    let mut request =
        PeerRequest::new(FleetName::new(message.fleet)?, target, revision, message.body).within(time_left);
    if let Some(from) = message.from {
        request = request.from(to_node("from", Some(from))?);
    }
    if let Some(player) = message.player {
        request = request.about(PlayerId::new(player)?);
    }
    if let Some(key) = message.key {
        request = request.with_key(OperationId::from_bytes(sixteen("key", &key)?));
    }
    if let Some(trace) = trace(headers) {
        request = request.traced(trace);
    }
    Ok(request)
}

pub(crate) fn from_node(node: &NodeIncarnation) -> v1::NodeRun {
    v1::NodeRun {
        node: node.node.as_str().to_owned(),
        number: node.incarnation.number,
        nonce: Bytes::copy_from_slice(&node.incarnation.nonce.to_bytes()),
    }
}

pub(crate) fn to_node(what: &str, node: Option<v1::NodeRun>) -> Result<NodeIncarnation> {
    let node = node.ok_or_else(|| bad(format!("`{what}` is missing")))?;
    let incarnation = Incarnation {
        number: node.number,
        nonce: Nonce::from_bytes(sixteen(what, &node.nonce)?),
    };
    Ok(NodeIncarnation::new(NodeId::new(node.node)?, incarnation))
}

fn sixteen(what: &str, bytes: &[u8]) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| {
        bad(format!(
            "`{what}` has {} random bytes where 16 belong",
            bytes.len()
        ))
    })
}

fn bad(context: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidArgument, REQUEST, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> PeerRequest {
        let incarnation = Incarnation {
            number: 2,
            nonce: Nonce::from_bytes([7; 16]),
        };
        let node = NodeIncarnation::new(NodeId::new("eu-1").unwrap(), incarnation);
        PeerRequest::new(
            FleetName::new("arena").unwrap(),
            node.clone(),
            Revision::new(7, 9),
            "body",
        )
        .from(node)
        .about(PlayerId::new("åsa").unwrap())
        .with_key(OperationId::from_bytes([3; 16]))
        .within(Duration::from_millis(250))
    }

    #[test]
    fn a_request_comes_back_as_it_was() {
        let trace = TraceContext::new([1; 16], [2; 8]).sampled(true).with_state("a=1");
        for sent in [request(), request().traced(trace)] {
            let mut headers = HeaderMap::new();
            if let Some(trace) = &sent.trace {
                put_trace(trace, &mut headers);
            }
            let back = to_request(from_request(&sent), sent.time_left, &headers).unwrap();
            assert_eq!(back, sent);
        }
    }

    #[test]
    fn an_invalid_trace_is_passed_over() {
        let mut headers = HeaderMap::new();
        for bad in ["00-abc", "", "\u{e9}"] {
            headers.insert(TRACE_PARENT, HeaderValue::from_bytes(bad.as_bytes()).unwrap());
            let back = to_request(from_request(&request()), Duration::ZERO, &headers).unwrap();
            assert_eq!(back.trace, None);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_an_invalid_argument() {
        type Spoil = fn(&mut v1::CallRequest);
        let spoilt: [Spoil; 8] = [
            |message| message.fleet.clear(),
            |message| message.fleet = "no blanks".into(),
            |message| message.target = None,
            |message| message.target.as_mut().unwrap().node = "x".repeat(65),
            |message| message.target.as_mut().unwrap().nonce = Bytes::new(),
            |message| message.from.as_mut().unwrap().nonce = Bytes::from_static(&[0; 17]),
            |message| message.player = Some(String::new()),
            |message| message.key = Some(Bytes::from_static(&[0; 15])),
        ];
        for spoil in spoilt {
            let mut message = from_request(&request());
            spoil(&mut message);
            let error = to_request(message, Duration::ZERO, &HeaderMap::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
    }

    #[test]
    fn the_time_left_is_read_as_grpc_writes_it() {
        let read = |text: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_bytes(text).unwrap());
            time_left(&headers)
        };
        assert_eq!(time_left(&HeaderMap::new()).unwrap(), PeerRequest::TIME_LEFT);
        for (text, left) in [
            ("250m", Duration::from_millis(250)),
            ("7S", Duration::from_secs(7)),
            ("1M", Duration::from_secs(60)),
            ("99999999H", TIME_LEFT_MAX),
            ("1000u", Duration::from_millis(1)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), left, "{text}");
        }
        for bad in ["", "m", "5", "123456789m", "+5S", "5s", "5 S", "\u{e9}"] {
            assert_eq!(
                read(bad.as_bytes()).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{bad}"
            );
        }
    }
}
