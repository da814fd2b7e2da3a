//! Servers in a state or of a kind that cannot be worked with.

use std::io::{Read, Write};
use std::time::Duration;

use futures_util::future::join_all;
use ringhold_core::{Error, ErrorKind};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, RedisServer};
use ringhold_testkit::{Make, run};
use tokio::time::timeout;

use crate::each_client::on_each_client;
use crate::fake::{Fake, bulk};
use crate::real::{Stored, open};

/// Far above every deadline in a fake's URL.
const BOUND: Duration = Duration::from_secs(10);

async fn refusal(url: &str) -> Error {
    let opened = timeout(BOUND, open(url)).await;
    let error = opened.expect("an answer in bounded time").unwrap_err();
    assert!(!error.context().is_empty());
    error
}

fn a_server_that_loads_is_waited_for_and_told_of(client: &str) {
    let fake = Fake::answering(|_| b"-LOADING Redis is loading the dataset in memory\r\n".to_vec());
    run("a server that loads", async {
        let error = refusal(&(fake.url() + client)).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_retryable());
        assert!(error.to_string().contains("loading"), "{error}");
    });
}

fn an_old_server_is_unsupported(client: &str) {
    let fake = Fake::answering(|words| match words[0].as_str() {
        "PING" => b"+PONG\r\n".to_vec(),
        "INFO" => bulk("redis_version:6.2.14\r\nredis_mode:standalone\r\nrole:master\r\n"),
        _ => b"-ERR unknown command\r\n".to_vec(),
    });
    run("an old server", async {
        let error = refusal(&(fake.url() + client)).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.context().contains("6.2") && error.context().contains("7.0"),
            "{error}"
        );
    });
}

fn something_else_than_redis_is_unavailable(client: &str) {
    let http = Fake::serving(|mut stream| {
        let mut request = [0; 4_096];
        if stream.read(&mut request).is_ok() {
            // A client that is gone needs no answer.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let silent = Fake::serving(|mut stream| {
        // Reads until the client is gone.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let closing = Fake::serving(drop);
    run("something else than Redis", async {
        for (what, fake) in [("http", &http), ("silent", &silent), ("closing", &closing)] {
            let error = refusal(&(fake.url() + client)).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error}");
            let port = fake.url();
            let address = port.split(['/', '?']).nth(2).expect("the address in a URL");
            assert!(error.to_string().contains(address), "{what}: {error}");
        }
    });
}

/// The most address space that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("VmPeak").parse().expect("a number")
}

/// Lengths that no server has, nesting without an end, and numbers that are none.
const BOMBS: [&[u8]; 9] = [
    b"*1000000000\r\n",
    b"*4294967297\r\n",
    b"*9223372036854775807\r\n",
    b"$99999999999\r\n",
    b"$9223372036854775807\r\n",
    b"*1000000000\r\n$99999999999\r\n",
    b"%1000000000\r\n",
    b":99999999999999999999999999\r\n",
    b"*-7\r\n$-9\r\n",
];

fn bombs_take_neither_memory_nor_time(client: &str) {
    run("bombs", async {
        let before = peak_kib();
        let refusals = BOMBS.map(|bomb| async move {
            let fake = Fake::answering(move |_| bomb.to_vec());
            let error = refusal(&(fake.url() + client)).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", bomb.escape_ascii());
        });
        join_all(refusals).await;
        let grown = peak_kib() - before;
        assert!(grown < 1 << 20, "{grown} KiB more than before");
    });
}

/// Not so with fred, which parses by recursion: `RedisConfig` says so.
#[test]
fn nesting_without_an_end_is_refused() {
    run("nesting", async {
        let nested = Fake::answering(|_| b"*1\r\n".repeat(100_000));
        assert_eq!(
            refusal(&(nested.url() + "&client=redis")).await.kind(),
            ErrorKind::Unavailable
        );
    });
}

fn bombs_of_a_script_are_errors_of_its_call(client: &str) {
    run("bombs of a script", async {
        let make = Make::new("bombs of a script");
        let player = make.player();
        let before = peak_kib();
        let player = &player;
        let errors = BOMBS.map(|bomb| async move {
            let fake = Fake::with_scripts_that_answer(bomb);
            let backend = open(&(fake.url() + client)).await.unwrap();
            let found = timeout(BOUND, backend.sessions.find(player)).await;
            let kind = found.expect("a bounded time").unwrap_err().kind();
            // Where the client library takes a length for nothing, the answer is no list.
            let typed = matches!(
                kind,
                ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Corrupt
            );
            assert!(typed, "{}: {kind}", bomb.escape_ascii());
        });
        join_all(errors).await;
        let grown = peak_kib() - before;
        assert!(grown < 1 << 20, "{grown} KiB more than before");
    });
}

fn answers_of_another_form_are_corrupt(client: &str) {
    run("answers of another form", async {
        let make = Make::new("answers of another form");
        let player = make.player();
        for answer in [
            b"$-1\r\n".as_slice(),
            b":7\r\n",
            b"+OK\r\n",
            b"*0\r\n",
            b"*1\r\n$4\r\ndone\r\n",
            b"*1\r\n$5\r\nelse?\r\n",
            b"*2\r\n$4\r\ndone\r\n:-1\r\n",
            b"*3\r\n$4\r\ndone\r\n:1\r\n$3\r\nabc\r\n",
            b"*5\r\n$4\r\ndone\r\n:1\r\n$3\r\nabc\r\n$3\r\nabc\r\n$3\r\nabc\r\n",
            b"*2\r\n*1\r\n$4\r\ndone\r\n:1\r\n",
        ] {
            let fake = Fake::with_scripts_that_answer(answer);
            let backend = open(&(fake.url() + client)).await.unwrap();
            let shown = answer.escape_ascii();
            let found = timeout(BOUND, backend.sessions.find(&player)).await;
            let error = found.expect("a bounded time").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "find, {shown}: {error}");
            let members = timeout(BOUND, backend.discovery.members()).await;
            let error = members.expect("a bounded time").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "members, {shown}: {error}");
        }
    });
}

fn a_replica_is_called_one(client: &str) {
    let (master, replica) = (start(), start());
    let port = master.port().to_string();
    let stale = format!("&deadline_ms=2000&attempt_ms=800{client}");
    replica.ask(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]);
    run("a replica", async {
        let error = refusal(&(replica.url("replica") + &stale)).await;
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().contains("the server is a replica;"), "{error}");
        drop(master);
        for serves in [b"yes".as_slice(), b"no"] {
            replica.ask(&[b"CONFIG", b"SET", b"replica-serve-stale-data", serves]);
            let error = refusal(&(replica.url("replica") + &stale)).await;
            assert!(error.is_retryable(), "{error}");
            assert!(error.to_string().contains("the server is a replica"), "{error}");
        }
    });
}

fn start() -> RedisServer {
    RedisServer::start(&RedisOptions::new()).unwrap()
}

fn the_other_scheme_is_named(client: &str) {
    let server = start();
    let cluster = RedisCluster::start(ClusterOptions::new().replicas_per_master(0)).unwrap();
    run("the other scheme", async {
        let error = refusal(&format!(
            "redis-cluster://{}?fleet=other{client}",
            server.address()
        ))
        .await;
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.context().contains("redis://"), "{error}");
        for index in 0..cluster.len() {
            let error = refusal(&format!("redis://{}?fleet=other{client}", cluster.address(index))).await;
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.context().contains("redis-cluster://"), "{error}");
        }
    });
}

fn a_foreign_schema_is_unsupported(client: &str) {
    let server = start();
    run("a foreign schema", async {
        open(&(server.url("schema") + client)).await.unwrap();
        let key = server.key("schema", "schema");
        for number in ["1", "7", "65536", "not a number", ""] {
            server.ask(&[b"SET", &key, number.as_bytes()]);
            let error = refusal(&(server.url("schema") + client)).await;
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let says = error.context().contains(number) && error.context().contains("works with 2");
            assert!(says, "{error}");
        }
        server.ask(&[b"DEL", &key]);
        server.ask(&[b"RPUSH", &key, b"1"]);
        assert_eq!(
            refusal(&(server.url("schema") + client)).await.kind(),
            ErrorKind::Corrupt
        );
        open(&(server.url("another") + client)).await.unwrap();
    });
}

on_each_client!(
    a_server_that_loads_is_waited_for_and_told_of
    an_old_server_is_unsupported
    something_else_than_redis_is_unavailable
    bombs_take_neither_memory_nor_time
    bombs_of_a_script_are_errors_of_its_call
    answers_of_another_form_are_corrupt
    a_replica_is_called_one
    the_other_scheme_is_named
    a_foreign_schema_is_unsupported
);
