//! Any value comes back as it was, and any bytes come to a value or a typed error.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::codec::{
    FORMAT_NEWEST, NodeHeader, SessionHeader, StoredEnd, StoredLogin, StoredSave, StoredSession, StoredTake,
    StoredTombstone, decode_frame, decode_node, decode_session, decode_session_parts, decode_tombstone,
    encode_frame, encode_node, encode_session, encode_session_body, encode_tombstone,
};
use ringhold_core::id::{Address, Build, EndpointName, LabelKey, LabelValue, NUMBER_MAX, Zone};
use ringhold_core::node::{ExpiryMode, Formats};
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

fn number() -> impl Strategy<Value = u64> {
    0..=NUMBER_MAX
}

fn session_id() -> impl Strategy<Value = SessionId> {
    (0..Partition::COUNT, any::<[u8; 16]>())
        .prop_map(|(partition, random)| SessionId::new(Partition::new(partition).unwrap(), random))
}

fn player() -> impl Strategy<Value = PlayerId> {
    ".{1,32}".prop_filter_map("a player id", |text| PlayerId::new(text).ok())
}

fn node() -> impl Strategy<Value = NodeIncarnation> {
    ("[A-Za-z0-9._-]{1,64}", number(), nonce()).prop_map(|(id, number, nonce)| {
        NodeIncarnation::new(NodeId::new(id).unwrap(), Incarnation { number, nonce })
    })
}

fn fence() -> impl Strategy<Value = Fence> {
    (number(), nonce()).prop_map(|(epoch, nonce)| Fence { epoch, nonce })
}

fn login() -> impl Strategy<Value = StoredLogin> {
    let hold =
        (session_id(), node(), fence()).prop_map(|(id, owner, fence)| Displaced::new(id, owner, fence));
    (session_id(), vec(hold, 0..6)).prop_map(|(id, displaced)| StoredLogin::new(id, displaced))
}

fn record() -> impl Strategy<Value = SessionRecord> {
    let ttl = Ttl::MIN.as_millis()..=Ttl::MAX.as_millis();
    let parts = (
        nonce(),
        player(),
        node(),
        fence(),
        number(),
        ttl,
        vec(any::<u8>(), 0..300),
    );
    parts.prop_map(|(random, player, owner, fence, version, ttl, data)| {
        let id = SessionId::new(player.partition(), random.to_bytes());
        let ttl = Ttl::from_millis(ttl).unwrap();
        let mut record = SessionRecord::new(id, player, owner, fence.nonce, ttl, Bytes::from(data));
        record.fence = fence;
        record.version = Version::new(version);
        record
    })
}

pub(crate) fn session() -> impl Strategy<Value = StoredSession> {
    let take = (nonce(), any::<u64>()).prop_map(|(token, until)| StoredTake::new(token, until));
    let save = (any::<[u8; 16]>(), number())
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

pub(crate) fn node_record() -> impl Strategy<Value = NodeRecord> {
    let state = prop::sample::select(vec![NodeState::Joining, NodeState::Ready, NodeState::Draining]);
    let address = "[!-~]{1,80}".prop_filter_map("others cannot connect there", |text| {
        Address::new(text)
            .ok()
            .filter(|address| address.ensure_reachable().is_ok())
    });
    let endpoints = btree_map("[a-z]{1,32}", address, 0..=8);
    let expiry = prop::sample::select(vec![ExpiryMode::Handle, ExpiryMode::Discard, ExpiryMode::Leave]);
    let labels = btree_map("[a-z]{1,63}", "[ a-z\u{e9}]{0,80}", 0..=32);
    let numbers = (0_u32..=256, any::<Option<u32>>(), (1..=u16::MAX, 0..u16::MAX));
    (
        node(),
        state,
        endpoints,
        labels,
        numbers,
        "[a-z0-9.-]{0,64}",
        "[ a-z\u{e9}]{0,32}",
        expiry,
    )
        .prop_map(
            |(node, state, endpoints, labels, (weight, capacity, formats), zone, build, expiry)| {
                let mut record = NodeRecord::new(node.node, node.incarnation);
                record.state = state;
                for (name, address) in endpoints {
                    record
                        .endpoints
                        .insert(EndpointName::new(name).unwrap(), address)
                        .unwrap();
                }
                for (key, value) in labels {
                    let (key, value) = (LabelKey::new(key).unwrap(), LabelValue::new(value).unwrap());
                    record.labels.insert(key, value).unwrap();
                }
                record.zone = Zone::new(zone).unwrap();
                record.build = Build::new(build).unwrap();
                record.weight = Weight::new(weight).unwrap();
                record.capacity = capacity;
                record.expiry = expiry;
                record.formats = Formats::new(formats.0, formats.0.saturating_add(formats.1)).unwrap();
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
        let (header, body) = (session.header().encode(), encode_session_body(&session).unwrap());
        prop_assert_eq!(&[&header[..], &body].concat(), &bytes);
        prop_assert_eq!(&decode_session_parts(&header, &body).unwrap(), &session);
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
    fn any_tombstone_comes_back(proof in any::<[u8; 16]>(), deadline_ms in any::<u64>()) {
        for end in [
            StoredEnd::Removed(OperationId::from_bytes(proof)),
            StoredEnd::Displaced,
            StoredEnd::Expired(Nonce::from_bytes(proof)),
        ] {
            let tombstone = StoredTombstone::new(end, deadline_ms);
            let bytes = encode_tombstone(&tombstone);
            prop_assert_eq!(bytes.len(), StoredTombstone::LEN);
            prop_assert_eq!(decode_tombstone(&bytes).unwrap(), tombstone);
        }
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

    /// Whatever is done to the bytes of a value: where they can be read, they are those of the value
    /// that is read, and it is no longer than they are.
    #[test]
    fn one_value_has_one_form(
        which in 0..values::ALL.len(),
        at in any::<prop::sample::Index>(),
        with in vec(any::<u8>(), 0..4),
        cut in 0_usize..4,
    ) {
        let golden = values::ALL[which].bytes;
        let at = at.index(golden.len());
        let bytes = [&golden[..at], &with, &golden[(at + cut).min(golden.len())..]].concat();
        if let Ok(header) = SessionHeader::read(&bytes) {
            prop_assert_eq!(&header.encode(), &bytes[..SessionHeader::LEN]);
        }
        if let Ok(session) = decode_session(&bytes) {
            prop_assert_eq!(&encode_session(&session).unwrap(), &bytes);
            let holds = session.login.map_or(0, |login| login.displaced.len());
            let names = session.player.as_str().len() + session.owner.node.as_str().len();
            prop_assert!(session.data.len() + names + 67 * holds < bytes.len());
        }
        if let Ok(node) = decode_node(&bytes) {
            let written = encode_node(&node).unwrap();
            if NodeHeader::read(&bytes).unwrap().format == FORMAT_NEWEST {
                prop_assert_eq!(&written, &bytes);
            } else {
                // The newest format has one byte more.
                let (body, old) = (&written[NodeHeader::LEN..], &bytes[NodeHeader::LEN..]);
                prop_assert_eq!(&body[..body.len() - 1], old);
            }
        }
        if let Ok(tombstone) = decode_tombstone(&bytes) {
            prop_assert_eq!(&encode_tombstone(&tombstone), &bytes);
        }
        if let Ok(message) = decode_frame::<Message>(&bytes) {
            prop_assert_eq!(&encode_frame(&message).unwrap(), &bytes);
        }
    }
}
