//! Every script at every step of one slot's move, on a real cluster whose clock stands still: it works,
//! or, while its keys are on two servers, it is refused and has written nothing.

#[path = "../each_client/mod.rs"]
mod each_client;
mod fleets;
#[path = "../raw/mod.rs"]
mod raw;
mod sessions;
#[path = "../suite/mod.rs"]
mod suite;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use redis::Value;
use ringhold_core::{Backend, Error, ErrorKind, Partition, Result};
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, ServerClock, SlotMove};
use ringhold_testkit::{WAIT_MAX, wait_for};
use tokio::runtime::Runtime;
use url::Url;

use self::raw::Raw;
use self::suite::servers;

/// An operation by its name: `Ok` when it did what it has to do, the error when it was refused.
type Operation = (&'static str, Pin<Box<dyn Future<Output = Result<()>> + Send>>);

/// The settings of a client for what is refused: it soon gives up, but not before it has made a connection, which
/// takes longer over TLS.
fn short_deadlines(cluster: &RedisCluster) -> &'static str {
    if cluster.url("steps").starts_with("rediss") {
        "&deadline_ms=1000&attempt_ms=500&poll_ms=20"
    } else {
        "&deadline_ms=500&attempt_ms=200&poll_ms=20"
    }
}

/// A slot on its way.
struct Bed<'c> {
    cluster: &'c RedisCluster,
    step: SlotMove<'c>,
    from: usize,
    to: usize,
}

fn start() -> (RedisCluster, Runtime) {
    let settable = servers().clock(ServerClock::Settable);
    let cluster = RedisCluster::start(ClusterOptions::new().server(settable)).expect("redis-server");
    let runtime = Runtime::new().expect("a runtime");
    // The first acknowledgement of a new replica takes up to a second, which is no refusal of anything.
    let mut masters = cluster.masters().expect("masters");
    for number in 0_u32.. {
        if masters.is_empty() {
            break;
        }
        let key = number.to_string();
        let mut raw = Raw::open(cluster.address(masters[0]));
        let slot: u16 = raw.run(&[b"CLUSTER", b"KEYSLOT", key.as_bytes()]);
        if cluster.master_of_slot(slot).expect("a master") == masters[0] {
            let master = masters.swap_remove(0);
            raw.run::<Value>(&[b"SET", key.as_bytes(), b""]);
            raw.run::<Value>(&[b"DEL", key.as_bytes()]);
            let acknowledged: u64 = raw.run(&[b"WAIT", b"1", b"10000"]);
            assert_eq!(acknowledged, 1, "a replica of node {master}");
        }
    }
    (cluster, runtime)
}

async fn open(cluster: &RedisCluster, fleet: &str, settings: &str) -> Backend {
    let url = Url::parse(&(cluster.url(fleet) + settings)).expect("a URL");
    let config = RedisConfig::from_url(&url).expect("a URL of this adapter");
    // A client with short deadlines may be late on a busy machine; what it does later is the subject.
    let opened = wait_for("servers that answer in time", WAIT_MAX, async || {
        let opened = RedisBackend::open(config.clone()).await;
        opened.map_err(|error| error.to_string())
    });
    opened.await.backend()
}

/// Something that is refused for good has to be refused with this kind; that is an answer.
fn answered<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> Result<()> {
    match result {
        Ok(value) => panic!("must be refused as `{kind}`, and succeeded: {value:?}"),
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(error),
    }
}

impl<'c> Bed<'c> {
    /// The move of a partition's slot, of which no step is done.
    fn new(cluster: &'c RedisCluster, partition: Partition) -> Self {
        let slot = 16 * partition.get() + 8;
        let from = cluster.master_of_slot(slot).expect("a master");
        let masters = cluster.masters().expect("masters");
        let to = masters
            .into_iter()
            .find(|master| *master != from)
            .expect("another master");
        let step = cluster.begin_move(slot, from, to).expect("two masters");
        Self {
            cluster,
            step,
            from,
            to,
        }
    }

    /// All keys of the slot on both servers, byte for byte.
    fn dump(&self) -> BTreeMap<(usize, Vec<u8>), Vec<u8>> {
        let slot = self.step.slot().to_string();
        let mut values = BTreeMap::new();
        for node in [self.from, self.to] {
            let mut raw = Raw::open(self.cluster.address(node));
            let keys: Vec<Vec<u8>> = raw.run(&[b"CLUSTER", b"GETKEYSINSLOT", slot.as_bytes(), b"100"]);
            for key in keys {
                raw.run::<Value>(&[b"ASKING"]);
                let value = raw.run(&[b"DUMP", &key]);
                values.insert((node, key), value);
            }
        }
        values
    }

    /// Runs all operations, one by one, and each has to succeed.
    fn all_work(&self, runtime: &Runtime, at: &str, operations: Vec<Operation>) {
        for (name, operation) in operations {
            if let Err(error) = runtime.block_on(operation) {
                panic!("{name} {at}: {error:?}");
            }
        }
        assert!(!self.dump().is_empty(), "a slot without keys proves nothing");
    }

    /// Runs all operations at once. Each is refused as retryable, and nothing is written.
    fn all_are_refused(&self, runtime: &Runtime, at: &str, operations: Vec<Operation>) {
        let before = self.dump();
        let nodes = before.keys().map(|(node, _)| *node);
        assert_eq!(
            nodes.collect::<std::collections::BTreeSet<_>>().len(),
            2,
            "the keys are apart"
        );
        let refused: Vec<(&str, Result<()>)> = runtime.block_on(async {
            let tasks: Vec<_> = operations
                .into_iter()
                .map(|(name, operation)| (name, tokio::spawn(operation)))
                .collect();
            let mut refused = Vec::new();
            for (name, task) in tasks {
                refused.push((name, task.await.expect("no panic")));
            }
            refused
        });
        for (name, result) in refused {
            match result {
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
                        && error.is_retryable(),
                    "{name} {at}: {error:?}"
                ),
                Ok(()) => panic!("{name} {at}: it ran, and its keys are on two servers"),
            }
        }
        assert_eq!(
            self.dump(),
            before,
            "{at}: something was written by what was refused"
        );
    }

    /// The last step but one: only the target knows that the slot is its own.
    fn tell_target(&self) {
        let slot = self.step.slot().to_string();
        let words = ["CLUSTER", "SETSLOT", &slot, "NODE", self.cluster.id(self.to)];
        let reply = self.cluster.command(self.to, &words).expect("the target answers");
        assert!(reply.is_ok(), "{reply:?}");
    }

    /// How often the source has refused a script since its start.
    fn refusals(&self) -> u64 {
        let info: String = Raw::open(self.cluster.address(self.from)).run(&[b"INFO", b"errorstats"]);
        let count = info
            .lines()
            .find_map(|line| line.strip_prefix("errorstat_TRYAGAIN:count="));
        count.map_or(0, |count| count.trim().parse().expect("a number"))
    }

    /// The keys of the slot, by the ends of their names.
    fn keys(&self, ends: &[&str]) -> Vec<Vec<u8>> {
        let keys = self.step.keys(100).expect("keys");
        let find = |end: &&str| {
            let is = |key: &&Vec<u8>| key.ends_with(format!(":{end}").as_bytes());
            keys.iter()
                .find(is)
                .unwrap_or_else(|| panic!("no key {end}"))
                .clone()
        };
        let found: Vec<_> = ends.iter().map(find).collect();
        assert_eq!(found.len(), keys.len(), "there are other keys");
        found
    }

    /// Moves a slot step by step, and at each step does what `operations` makes for it: all keys together,
    /// everything works; apart, everything is refused.
    fn walk(
        &self,
        runtime: &Runtime,
        keys: &[Vec<u8>],
        apart: impl Fn(usize) -> bool,
        mut operations: impl FnMut(usize) -> Vec<Operation>,
    ) {
        let mut stage = 0;
        let mut run = |at: &str, is_apart: bool| {
            let operations = operations(stage);
            stage += 1;
            if is_apart {
                self.all_are_refused(runtime, at, operations);
            } else {
                self.all_work(runtime, at, operations);
            }
        };
        run("before the move", false);
        self.step.set_importing().expect("importing");
        run("once the target imports", false);
        self.step.set_migrating().expect("migrating");
        run("once the source migrates", false);
        for (index, key) in keys.iter().enumerate() {
            self.step.migrate_key(key).expect("a key that is there");
            run(
                &format!("with {} of {} keys moved", index + 1, keys.len()),
                apart(index + 1),
            );
        }
        self.tell_target();
        run("once the target knows", false);
        self.step.finish().expect("the end of the move");
        run("after the move", false);
    }

    /// Starts operations while the keys are apart, and ends the move once all have been refused: then
    /// they work.
    fn all_wait(&self, runtime: &Runtime, keys: &[Vec<u8>], operations: Vec<Operation>) {
        self.step.set_importing().expect("importing");
        self.step.set_migrating().expect("migrating");
        self.step.migrate_key(&keys[0]).expect("a key that is there");
        let (before, count) = (self.refusals(), operations.len() as u64);
        let tasks: Vec<_> = operations
            .into_iter()
            .map(|(name, operation)| (name, runtime.spawn(operation)))
            .collect();
        runtime.block_on(wait_for(
            "every operation to be refused",
            Duration::from_secs(10),
            async || {
                let refusals = self.refusals() - before;
                if refusals >= 2 * count {
                    Ok(())
                } else {
                    Err(format!("{refusals} refusals of {count} operations"))
                }
            },
        ));
        for key in &keys[1..] {
            self.step.migrate_key(key).expect("a key that is there");
        }
        self.step.finish().expect("the end of the move");
        for (name, task) in tasks {
            let done: Result<(), Error> = runtime.block_on(task).expect("no panic");
            assert!(done.is_ok(), "{name}: {done:?}");
        }
    }
}
