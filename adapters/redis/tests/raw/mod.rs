//! A connection to one server, past the adapter.

use std::net::SocketAddr;

use redis::{Connection, FromRedisValue};

/// One connection to one server; redirects are not followed.
pub(crate) struct Raw(Connection);

impl Raw {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let client = redis::Client::open(format!("redis://{address}")).expect("an address is a URL");
        Self(client.get_connection().expect("a server that runs"))
    }

    /// Runs one command, which has to succeed.
    pub(crate) fn run<T: FromRedisValue>(&mut self, words: &[&[u8]]) -> T {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        match command.query(&mut self.0) {
            Ok(answer) => answer,
            Err(error) => {
                let words: Vec<_> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
                panic!("{}: {error}", words.join(" "))
            }
        }
    }
}
