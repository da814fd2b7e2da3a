//! What there is without Ringhold: the `redis` crate, one connection to each master, and callers that know
//! where each slot is. It encodes what it asks for, and looks at the first word of the answer.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, IntoConnectionInfo, Value};
use ringhold_core::codec::{StoredLogin, StoredSession, encode_session_body};
use ringhold_core::session::{CreateSession, SaveSession, Touch};
use ringhold_core::{Fence, Partition, SessionId, SessionRecord, Version};
use ringhold_testkit::launch::RedisCluster;

use crate::scene::{FLEET, slots};
use crate::tags::TAGS;
use crate::way::Way;

/// The client, and what it knows beforehand.
#[derive(Clone)]
pub(crate) struct Bare(Arc<Known>);

struct Known {
    masters: Vec<MultiplexedConnection>,
    partitions: Vec<Place>,
    create: String,
    get: String,
    save: String,
    touch: String,
}

/// Where a partition is, and its keys.
struct Place {
    master: usize,
    keys: [String; 3],
}

const SHARED: &str = concat!(
    include_str!("../../src/scripts/sessions.lua"),
    "if lost ~= '' then error({ err = 'RINGHOLD_LOST ' .. lost }) end\n"
);

impl Bare {
    pub(crate) async fn connect(cluster: &RedisCluster) -> Self {
        let slots = slots(cluster);
        let mut masters = Vec::new();
        for (_, _, port) in &slots {
            masters.push(connection(u16::try_from(*port).expect("a port")).await);
        }
        let partitions = Partition::all().map(|partition| {
            let slot = i64::from(partition.get()) * 16 + 8;
            let mut ranges = slots.iter();
            let master = ranges.position(|(first, last, _)| (*first..=*last).contains(&slot));
            let tag = TAGS[usize::from(partition.get())];
            Place {
                master: master.expect("every slot has a master"),
                keys: ["s", "p", "d"].map(|name| format!("ringhold:{{{tag}}}:{FLEET}:{name}")),
            }
        });
        let partitions = partitions.collect();
        let script = |flags: &str, body: &str| format!("#!lua flags={flags}\n{SHARED}{body}");
        let create = script("", include_str!("../../src/scripts/create.lua"));
        let get = script("no-writes", include_str!("../../src/scripts/get.lua"));
        let save = script("", include_str!("../../src/scripts/save.lua"));
        let touch = script("allow-oom", include_str!("../../src/scripts/touch.lua"));
        Self(Arc::new(Known {
            create: known(&masters, &create).await,
            get: known(&masters, &get).await,
            save: known(&masters, &save).await,
            touch: known(&masters, &touch).await,
            masters,
            partitions,
        }))
    }

    /// The beginning of a call of a script, with its keys.
    fn call(&self, script: &str, partition: Partition) -> (Cmd, MultiplexedConnection) {
        let place = &self.0.partitions[usize::from(partition.get())];
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(script).arg(3);
        for key in &place.keys {
            cmd.arg(key);
        }
        (cmd, self.0.masters[place.master].clone())
    }
}

/// A connection that sends at once, as ours do: the crate's own default is another.
async fn connection(port: u16) -> MultiplexedConnection {
    let address = ConnectionAddr::Tcp("127.0.0.1".to_owned(), port);
    let info = address.into_connection_info().expect("an address");
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = redis::Client::open(info).expect("an address");
    let config = AsyncConnectionConfig::new();
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.expect("a master that runs")
}

/// The hash of a script, which all masters know because the store has told them: so it is the same one.
async fn known(masters: &[MultiplexedConnection], source: &str) -> String {
    let hash = sha1_smol::Sha1::from(source).digest().to_string();
    for master in masters {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("EXISTS").arg(&hash);
        let known: Vec<bool> = cmd.query_async(&mut master.clone()).await.expect("a list");
        assert_eq!(known, [true], "the store runs another script");
    }
    hash
}

/// The elements behind `done`.
async fn done((cmd, mut connection): (Cmd, MultiplexedConnection)) -> Vec<Value> {
    let answer = connection.send_packed_command(&cmd).await;
    match answer.expect("it is answered") {
        Value::Array(elements) if matches!(elements.first(), Some(Value::BulkString(word)) if word == b"done") => {
            elements
        }
        other => panic!("the script did not do its work: {other:?}"),
    }
}

fn fence_bytes(fence: Fence) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&fence.epoch.to_le_bytes());
    bytes[8..].copy_from_slice(&fence.nonce.to_bytes());
    bytes
}

impl Way for Bare {
    async fn create(&self, request: CreateSession) -> Fence {
        let CreateSession {
            id,
            player,
            owner,
            nonce,
            ttl,
            data,
            ..
        } = request;
        let record = SessionRecord::new(id, player.clone(), owner, nonce, ttl, data);
        let mut stored = StoredSession::new(record, 0);
        stored.login = Some(StoredLogin::new(id, Vec::new()));
        let name = player.as_str().as_bytes();
        let mut body = vec![u8::try_from(name.len()).expect("players have short names")];
        body.extend_from_slice(name);
        body.extend_from_slice(&encode_session_body(&stored).expect("it can be written"));
        let (mut cmd, connection) = self.call(&self.0.create, id.partition());
        cmd.arg(&id.to_bytes()[..])
            .arg(name)
            .arg(&stored.header().encode()[..])
            .arg(body)
            .arg("own")
            .arg(1);
        done((cmd, connection)).await;
        stored.fence
    }

    async fn get(&self, id: SessionId) -> usize {
        let (mut cmd, connection) = self.call(&self.0.get, id.partition());
        cmd.arg(&id.to_bytes()[..]);
        let elements = done((cmd, connection)).await;
        let Some(Value::BulkString(body)) = elements.last() else {
            panic!("a body is expected, not {elements:?}");
        };
        // The data is the last field, behind its length; that much suffices for one that asks no more.
        body.iter().rev().take_while(|byte| **byte == 0x5a).count()
    }

    async fn save(&self, request: SaveSession) -> Version {
        let (mut cmd, connection) = self.call(&self.0.save, request.id.partition());
        let mut data = Vec::with_capacity(request.data.len() + 3);
        let mut rest = request.data.len();
        while rest >= 0x80 {
            data.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        data.push(u8::try_from(rest).expect("seven bits"));
        data.extend_from_slice(&request.data);
        cmd.arg(&request.id.to_bytes()[..])
            .arg(&fence_bytes(request.fence)[..])
            .arg(&request.version.get().to_le_bytes()[..])
            .arg(&request.ttl.as_millis().to_le_bytes()[..])
            .arg(&request.operation.to_bytes()[..])
            .arg(data);
        match done((cmd, connection)).await.last() {
            Some(Value::Int(version)) => Version::new(u64::try_from(*version).expect("a version")),
            other => panic!("a version is expected, not {other:?}"),
        }
    }

    async fn touch(&self, touch: Touch) {
        let (mut cmd, connection) = self.call(&self.0.touch, touch.id.partition());
        cmd.arg(&touch.id.to_bytes()[..])
            .arg(&fence_bytes(touch.fence)[..])
            .arg(&touch.ttl.as_millis().to_le_bytes()[..]);
        let elements = done((cmd, connection)).await;
        assert_eq!(elements[1..], [Value::Array(vec![Value::Int(0)])]);
    }
}
