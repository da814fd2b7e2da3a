//! Messages of peers, and the headers that come with them.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringhold_core::codec::{decode_frame, encode_frame};
use ringhold_core::transport::{BODY_BYTES_MAX, TraceContext};
use ringhold_core::{
    ErrorKind, Fence, NodeId, NodeIncarnation, OperationId, PlayerId, SessionId, Ttl, Version, Weight,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::session_record::refused;

/// Every type of core that a message may hold, in every shape that it may have.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    Ping,
    Displaced(SessionId, Fence),
    Move {
        player: PlayerId,
        to: NodeIncarnation,
        seen: Option<Version>,
        #[serde(with = "ringhold_core::codec::data")]
        data: Bytes,
    },
    Many(Vec<(OperationId, Ttl)>),
    Table(BTreeMap<NodeId, Vec<Weight>>),
    Text(String, char, bool, i64, f32),
}

/// Reads the bytes as several types, and as headers.
pub fn run(bytes: &[u8]) {
    read::<Message>(bytes);
    read::<Vec<Message>>(bytes);
    read::<(u8, u64, Option<String>)>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        headers(text);
    }
}

fn read<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    match decode_frame::<T>(bytes) {
        Ok(message) => assert_eq!(encode_frame(&message).unwrap(), bytes, "another form"),
        Err(error) if bytes.len() > BODY_BYTES_MAX => assert_eq!(error.kind(), ErrorKind::TooLarge),
        Err(error) => refused(&error),
    }
}

/// The first line is a `traceparent`, the rest a `tracestate`.
fn headers(text: &str) {
    let (parent, state) = match text.split_once('\n') {
        Some((parent, state)) => (parent, Some(state)),
        None => (text, None),
    };
    match TraceContext::parse(parent, state) {
        Ok(trace) => {
            let again = TraceContext::parse(&trace.to_string(), trace.state());
            assert_eq!(again.unwrap(), trace);
            assert_eq!(trace.child([0; 8]).trace_id(), trace.trace_id());
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument),
    }
}
