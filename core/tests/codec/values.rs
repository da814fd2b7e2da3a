//! What the golden files hold.

use bytes::Bytes;
use ringhold_core::codec::{StoredEnd, StoredLogin, StoredSave, StoredSession, StoredTake, StoredTombstone};
use ringhold_core::id::{Address, Build, EndpointName, LabelKey, LabelValue, NUMBER_MAX, Zone};
use ringhold_core::node::{ExpiryMode, Formats};
use ringhold_core::session::Displaced;
use ringhold_core::{
    Fence, Incarnation, NodeId, NodeIncarnation, NodeRecord, NodeState, Nonce, OperationId, PlayerId,
    SessionId, SessionRecord, Ttl, Version, Weight,
};
use serde::{Deserialize, Serialize};

/// The bytes of one golden file and, with notes, the same for people.
pub(crate) struct Golden {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) notes: &'static str,
}

macro_rules! golden {
    ($name:literal) => {
        Golden {
            name: $name,
            bytes: include_bytes!(concat!("../golden/", $name, ".bin")),
            notes: include_str!(concat!("../golden/", $name, ".txt")),
        }
    };
}

pub(crate) const SESSION: Golden = golden!("session-v1");
pub(crate) const SESSION_PLAIN: Golden = golden!("session-plain-v1");
pub(crate) const NODE_1: Golden = golden!("node-v1");
pub(crate) const NODE_PLAIN_1: Golden = golden!("node-plain-v1");
pub(crate) const NODE: Golden = golden!("node-v2");
pub(crate) const NODE_PLAIN: Golden = golden!("node-plain-v2");
pub(crate) const FRAME: Golden = golden!("frame-v1");
pub(crate) const TOMBSTONE: Golden = golden!("tombstone-v1");
pub(crate) const ALL: [Golden; 8] = [
    SESSION,
    SESSION_PLAIN,
    NODE,
    NODE_PLAIN,
    NODE_1,
    NODE_PLAIN_1,
    TOMBSTONE,
    FRAME,
];

/// 16 bytes that rise from `first`.
pub(crate) fn run(first: u8) -> [u8; 16] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

pub(crate) fn nonce(first: u8) -> Nonce {
    Nonce::from_bytes(run(first))
}

pub(crate) fn node(id: &str, number: u64, first: u8) -> NodeIncarnation {
    NodeIncarnation::new(
        NodeId::new(id).unwrap(),
        Incarnation {
            number,
            nonce: nonce(first),
        },
    )
}

pub(crate) fn fence(epoch: u64, first: u8) -> Fence {
    Fence {
        epoch,
        nonce: nonce(first),
    }
}

pub(crate) fn player() -> PlayerId {
    PlayerId::new("Ada {\u{e9}} \u{1F3AE}\r\n\0").unwrap()
}

pub(crate) fn session() -> StoredSession {
    let id = |first| SessionId::new(player().partition(), run(first));
    let owner = node("eu-1.arena_2", 7, 0xb0);
    let data = Bytes::from_static(b"\x00\xfflevel 1");
    let ttl = Ttl::from_millis(30_000).unwrap();
    let mut record = SessionRecord::new(id(0x10), player(), owner, nonce(0xa0), ttl, data);
    record.fence.epoch = 3;
    record.version = Version::new(300);
    let mut session = StoredSession::new(record, 1_234_567_890);
    session.unlinked = true;
    session.take = Some(StoredTake::new(nonce(0xc0), 1_234_597_890));
    session.saved = Some(StoredSave::new(
        OperationId::from_bytes(run(0xd0)),
        Version::new(300),
    ));
    let displaced = vec![
        Displaced::new(id(0x10), node("eu-2", 129, 0x20), fence(2, 0x30)),
        Displaced::new(id(0x40), node("x", NUMBER_MAX, 0x50), fence(1, 0x60)),
    ];
    session.login = Some(StoredLogin::new(id(0xe0), displaced));
    session
}

fn player_plain() -> PlayerId {
    PlayerId::new("player-1").unwrap()
}

/// An id in the partition of the plain session.
pub(crate) fn session_plain_id(first: u8) -> SessionId {
    SessionId::new(player_plain().partition(), run(first))
}

pub(crate) fn session_plain() -> StoredSession {
    let player = player_plain();
    let record = SessionRecord::new(
        session_plain_id(0x10),
        player,
        node("a", 1, 0xb0),
        nonce(0xa0),
        Ttl::MIN,
        Bytes::new(),
    );
    StoredSession::new(record, 0)
}

pub(crate) fn tombstone() -> StoredTombstone {
    let end = StoredEnd::Removed(OperationId::from_bytes(run(0xd0)));
    StoredTombstone::new(end, 1_234_567_890)
}

pub(crate) fn node_record() -> NodeRecord {
    let NodeIncarnation { node, incarnation } = node("eu-1.arena_2", 7, 0xb0);
    let mut record = NodeRecord::new(node, incarnation);
    record.state = NodeState::Draining;
    for (name, address) in [
        ("player", "wss://eu-1.example/play?a={b}"),
        ("peer", "10.0.0.7:7000"),
        ("health", "10.0.0.7:8080"),
    ] {
        let (name, address) = (EndpointName::new(name).unwrap(), Address::new(address).unwrap());
        record.endpoints.insert(name, address).unwrap();
    }
    record.zone = Zone::new("eu-west-1a").unwrap();
    record.weight = Weight::MAX;
    record.capacity = Some(5_000);
    for (key, value) in [("mode", ""), ("map", "glaci\u{e8}re")] {
        record
            .labels
            .insert(LabelKey::new(key).unwrap(), LabelValue::new(value).unwrap())
            .unwrap();
    }
    record.build = Build::new("1.2.3 (\u{e9})").unwrap();
    record.formats = Formats::new(1, 300).unwrap();
    record.expiry = ExpiryMode::Handle;
    record
}

pub(crate) fn node_record_plain() -> NodeRecord {
    let NodeIncarnation { node, incarnation } = node("a", 1, 0xb0);
    let mut record = NodeRecord::new(node, incarnation);
    record.formats = Formats::new(1, 1).unwrap();
    record.expiry = ExpiryMode::Leave;
    record
}

/// A message such as a runtime has.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    Ping,
    Move {
        player: PlayerId,
        to: NodeIncarnation,
        seen: Option<Version>,
        #[serde(with = "ringhold_core::codec::data")]
        data: Bytes,
    },
}

pub(crate) fn message() -> Message {
    Message::Move {
        player: player(),
        to: node("eu-2", 129, 0x20),
        seen: Some(Version::new(300)),
        data: Bytes::from_static(b"\x00\xfflevel 1"),
    }
}
