//! Any value comes back as it was, and any bytes come to a value or a typed error.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::codec::{
    SessionHeader, StoredLogin, StoredSave, StoredSession, StoredTake, decode_frame, decode_node,
    decode_session, encode_frame, encode_node, encode_session,
};
use ringhold_core::id::{Address, Build, EndpointName, LabelKey, LabelValue, Zone};
use ringhold_core::node::Formats;
use ringhold_core::session::Displaced;
use ringhold_core::{
    Fence, Incarnation, NodeId, NodeIncarnation, NodeRecord, NodeState, Nonce, OperationId, Partition,
    PlayerId, SessionId, SessionRecord, Ttl, Version, Weight,
};

use crate::robustness::read_all_ways;
use crate::values::{self, Message};

fn nonce() -> impl Strategy<Value = Nonce> {
    any::<[u8; 16]>().prop_map(Nonce::from_bytes)
}

fn session_id() -> impl Strategy<Value = SessionId> {
    (0..Partition::COUNT, any::<[u8; 16]>())
        .prop_map(|(partition, random)| SessionId::new(Partition::new(partition).unwrap(), random))
}

fn player() -> impl Strategy<Value = PlayerId> {
    ".{1,32}".prop_filter_map("a player id", |text| PlayerId::new(text).ok())
}

fn node() -> impl Strategy<Value = NodeIncarnation> {
    ("[A-Za-z0-9._-]{1,64}", any::<u64>(), nonce()).prop_map(|(id, number, nonce)| {
        NodeIncarnation::new(NodeId::new(id).unwrap(), Incarnation { number, nonce })
    })
}

fn fence() -> impl Strategy<Value = Fence> {
    (any::<u64>(), nonce()).prop_map(|(epoch, nonce)| Fence { epoch, nonce })
}

fn login() -> impl Strategy<Value = StoredLogin> {
    let hold =
        (session_id(), node(), fence()).prop_map(|(id, owner, fence)| Displaced::new(id, owner, fence));
    (session_id(), vec(hold, 0..6)).prop_map(|(id, displaced)| StoredLogin::new(id, displaced))
}

fn record() -> impl Strategy<Value = SessionRecord> {
    let ttl = Ttl::MIN.as_millis()..=Ttl::MAX.as_millis();
    let parts = (
        session_id(),
        player(),
        node(),
        fence(),
        any::<u64>(),
        ttl,
        vec(any::<u8>(), 0..300),
    );
    parts.prop_map(|(id, player, owner, fence, version, ttl, data)| {
        let ttl = Ttl::from_millis(ttl).unwrap();
        let mut record = SessionRecord::new(id, player, owner, fence.nonce, ttl, Bytes::from(data));
        record.fence = fence;
        record.version = Version::new(version);
        record
    })
}

fn session() -> impl Strategy<Value = StoredSession> {
    let take = (nonce(), any::<u64>()).prop_map(|(token, until)| StoredTake::new(token, until));
    let save = (any::<[u8; 16]>(), any::<u64>())
        .prop_map(|(id, version)| StoredSave::new(OperationId::from_bytes(id), Version::new(version)));
    let (take, save, login) = (
        prop::option::of(take),
        prop::option::of(save),
        prop::option::of(login()),
    );
    (record(), any::<u64>(), any::<bool>(), take, save, login).prop_map(
        |(record, deadline_ms, unlinked, take, saved, login)| {
            let mut session = StoredSession::new(record, deadline_ms);
            (session.unlinked, session.take, session.saved, session.login) = (unlinked, take, saved, login);
            session
        },
    )
}

fn node_record() -> impl Strategy<Value = NodeRecord> {
    let state = prop::sample::select(vec![NodeState::Joining, NodeState::Ready, NodeState::Draining]);
    let endpoints = btree_map("[a-z]{1,32}", "[!-~]{1,80}", 0..=8);
    let labels = btree_map("[a-z]{1,63}", "[ a-z\u{e9}]{0,80}", 0..=32);
    let numbers = (0_u32..=256, any::<Option<u32>>(), any::<(u16, u16)>());
    (
        node(),
        state,
        endpoints,
        labels,
        numbers,
        "[a-z0-9.-]{0,64}",
        "[ a-z\u{e9}]{0,32}",
    )
        .prop_map(
            |(node, state, endpoints, labels, (weight, capacity, formats), zone, build)| {
                let mut record = NodeRecord::new(node.node, node.incarnation);
                record.state = state;
                for (name, address) in endpoints {
                    let (name, address) = (EndpointName::new(name).unwrap(), Address::new(address).unwrap());
                    record.endpoints.insert(name, address).unwrap();
                }
                for (key, value) in labels {
                    let (key, value) = (LabelKey::new(key).unwrap(), LabelValue::new(value).unwrap());
                    record.labels.insert(key, value).unwrap();
                }
                record.zone = Zone::new(zone).unwrap();
                record.build = Build::new(build).unwrap();
                record.weight = Weight::new(weight).unwrap();
                record.capacity = capacity;
                record.formats = Formats {
                    oldest: formats.0,
                    newest: formats.1,
                };
                record
            },
        )
}

proptest! {
    #[test]
    fn any_session_comes_back(session in session()) {
        let bytes = encode_session(&session).unwrap();
        prop_assert_eq!(decode_session(&bytes).unwrap(), session.clone());
        prop_assert_eq!(SessionHeader::read(&bytes).unwrap(), session.header());
        for len in [bytes.len() - 1, bytes.len() / 2, 7] {
            prop_assert!(decode_session(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn any_node_comes_back(record in node_record()) {
        let bytes = encode_node(&record).unwrap();
        prop_assert_eq!(decode_node(&bytes).unwrap(), record);
    }

    #[test]
    fn any_message_comes_back(
        player in player(),
        to in node(),
        seen in any::<Option<u64>>(),
        data in vec(any::<u8>(), 0..300),
    ) {
        let message = Message::Move { player, to, seen: seen.map(Version::new), data: data.into() };
        prop_assert_eq!(decode_frame::<Message>(&encode_frame(&message).unwrap()).unwrap(), message);
        let ping = encode_frame(&Message::Ping).unwrap();
        prop_assert_eq!(decode_frame::<Message>(&ping).unwrap(), Message::Ping);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..600)) {
        read_all_ways(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_good_beginning_are_read_without_a_panic(
        which in 0..values::ALL.len(),
        keep in any::<prop::sample::Index>(),
        tail in vec(any::<u8>(), 0..200),
    ) {
        let golden = values::ALL[which].bytes;
        read_all_ways(&[&golden[..keep.index(golden.len())], &tail].concat());
    }

    /// What is decoded is no longer than what it was decoded from.
    #[test]
    fn a_session_is_no_longer_than_its_bytes(
        at in any::<prop::sample::Index>(),
        with in vec(any::<u8>(), 1..12),
    ) {
        let mut bytes = values::SESSION.bytes.to_vec();
        let at = at.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&with[..end - at]);
        if let Ok(session) = decode_session(&bytes) {
            let holds = session.login.map_or(0, |login| login.displaced.len());
            let names = session.player.as_str().len() + session.owner.node.as_str().len();
            prop_assert!(session.data.len() + names + 50 * holds < bytes.len());
        }
    }
}
