//! What the tests on real servers share: opening a URL, and looking at what is stored.

use ringhold_core::{Backend, Result, Ttl};
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{RedisCluster, RedisServer, Reply};
use url::Url;

pub(crate) async fn open(url: &str) -> Result<Backend> {
    let config = RedisConfig::from_url(&Url::parse(url).expect("a URL"))?;
    RedisBackend::open(config).await.map(|redis| redis.backend())
}

pub(crate) fn ttl(secs: u64) -> Ttl {
    Ttl::from_millis(secs * 1_000).expect("some seconds")
}

/// One real server, to look at what is stored there and to spoil it.
pub(crate) trait Stored {
    /// Runs one command, which has to succeed.
    fn ask(&self, words: &[&[u8]]) -> Reply;

    /// The bytes that a command answers.
    fn bytes(&self, words: &[&[u8]]) -> Vec<u8> {
        match self.ask(words) {
            Reply::Bytes(bytes) => bytes,
            other => panic!("bytes are expected, not {other:?}"),
        }
    }

    /// The strings that a command answers.
    fn list(&self, words: &[&[u8]]) -> Vec<Vec<u8>> {
        let Reply::Array(items) = self.ask(words) else {
            panic!("a list is expected");
        };
        let bytes = |item| match item {
            Reply::Bytes(bytes) => bytes,
            other => panic!("bytes are expected, not {other:?}"),
        };
        items.into_iter().map(bytes).collect()
    }

    /// The keys of a fleet that end in one of these names, sorted.
    fn keys(&self, fleet: &str, names: &[&str]) -> Vec<Vec<u8>> {
        let pattern = |name| format!("ringhold:{{*}}:{fleet}:{name}").into_bytes();
        let mut keys: Vec<Vec<u8>> = names
            .iter()
            .flat_map(|name| self.list(&[b"KEYS", &pattern(name)]))
            .collect();
        keys.sort();
        keys
    }

    /// The one key of a fleet that ends in this name.
    fn key(&self, fleet: &str, name: &str) -> Vec<u8> {
        let mut keys = self.keys(fleet, &[name]);
        assert_eq!(keys.len(), 1, "the keys of {name}");
        keys.remove(0)
    }

    /// The serialized values of keys.
    fn dump(&self, keys: &[Vec<u8>]) -> Vec<Vec<u8>> {
        keys.iter().map(|key| self.bytes(&[b"DUMP", key])).collect()
    }
}

impl Stored for RedisServer {
    fn ask(&self, words: &[&[u8]]) -> Reply {
        self.command(words)
            .and_then(Reply::check)
            .expect("a server that runs")
    }
}

/// One node of a cluster.
impl Stored for (&RedisCluster, usize) {
    fn ask(&self, words: &[&[u8]]) -> Reply {
        let reply = self.0.command(self.1, words).and_then(Reply::check);
        reply.expect("a node that runs")
    }
}
