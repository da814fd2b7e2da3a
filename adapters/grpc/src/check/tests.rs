//! Probes of real servers, some of which are not well.

mod grpc;

use std::future::Future;
use std::time::Duration;

use ringhold_core::id::{Address, EndpointName};
use ringhold_core::{ErrorKind, HealthCheck, Incarnation, NodeRecord, Nonce};
use ringhold_testkit::{wait_for, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{HttpCheck, TcpCheck};
use crate::security::tests::node;

/// A node with such an endpoint.
fn record(endpoint: &str, address: &str) -> NodeRecord {
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes([7; 16]),
    };
    let mut record = NodeRecord::new(node("eu-1"), incarnation);
    let name = EndpointName::new(endpoint).unwrap();
    record
        .endpoints
        .insert(name, Address::new(address).unwrap())
        .unwrap();
    record
}

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Serves each connection in a task; ends when it is dropped.
struct Server {
    address: String,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                served.spawn(serve(tcp));
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    /// Reads a request's head, and answers with these bytes.
    async fn answering(answer: &'static [u8]) -> Self {
        Self::start(async move |mut tcp| {
            read_head(&mut tcp).await;
            let _ = tcp.write_all(answer).await;
        })
        .await
    }
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match tcp.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Probes a server that takes a connection and says nothing, gives up, and looks what is left.
async fn gives_up(check: &dyn HealthCheck, endpoint: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let record = record(endpoint, &listener.local_addr().unwrap().to_string());
    let before = Handle::current().metrics().num_alive_tasks();
    let mut tcp = tokio::select! {
        well = check.probe(&record) => panic!("{well:?}"),
        tcp = within("a connection and a first byte", async {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.readable().await.unwrap();
            tcp
        }) => tcp,
    };
    let mut rest = Vec::new();
    // The connection is reset where what was read last had not been taken by anyone.
    let _ = within("the connection's end", tcp.read_to_end(&mut rest)).await;
    wait_for("the probe's tasks to end", Duration::from_secs(10), async || {
        let now = Handle::current().metrics().num_alive_tasks();
        if now <= before {
            Ok(())
        } else {
            Err(format!("{now} tasks, and {before} before"))
        }
    })
    .await;
}

#[tokio::test]
async fn tcp_asks_for_a_connection() {
    let server = Server::start(async |_| {}).await;
    for (check, endpoint) in [
        (TcpCheck::new(), "health"),
        (TcpCheck::new(), "player"),
        (TcpCheck::new().on(EndpointName::new("game").unwrap()), "game"),
    ] {
        check.probe(&record(endpoint, &server.address)).await.unwrap();
        let error = check
            .probe(&record(endpoint, &nowhere().await))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = check.probe(&record("other", &server.address)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.context().contains(endpoint), "{error}");
        let error = check.probe(&record(endpoint, "somewhere")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    // The first one counts, where it does not answer either.
    let mut both = record("player", &server.address);
    let (health, nowhere) = (
        EndpointName::new("health").unwrap(),
        Address::new(nowhere().await).unwrap(),
    );
    both.endpoints.insert(health, nowhere).unwrap();
    TcpCheck::new().probe(&both).await.unwrap_err();
}

#[tokio::test]
async fn http_asks_for_a_status() {
    let check = HttpCheck::new("/ready?deep=1").unwrap();
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..],
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 299 Fine\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        let server = Server::answering(answer).await;
        for address in [server.address.clone(), format!("http://{}/x", server.address)] {
            let well = within("an answer", check.probe(&record("health", &address))).await;
            well.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(answer)));
        }
    }
    for (answer, words) in [
        (&b"HTTP/1.1 503 No\r\n\r\n"[..], "answers 503"),
        (b"HTTP/1.1 302 Found\r\nlocation: /else\r\n\r\n", "answers 302"),
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 900\r\n\r\n",
            "answers 404",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "breaks off"),
        (b"", "does not answer in HTTP"),
        (b"SSH-2.0-server\r\n\r\n", "does not answer in HTTP"),
    ] {
        let server = Server::answering(answer).await;
        let error = within("an answer", check.probe(&record("health", &server.address))).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.context().contains(words), "{error}, without {words:?}");
    }
    let error = check
        .probe(&record("health", &nowhere().await))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("not reached"), "{error}");
}

#[tokio::test]
async fn http_sends_what_it_was_told() {
    let (heads, mut head) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let heads = heads.clone();
        async move {
            heads.send(read_head(&mut tcp).await).unwrap();
            let _ = tcp
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    })
    .await;
    let check = HttpCheck::new("/ready?deep=1")
        .unwrap()
        .on(EndpointName::new("admin").unwrap());
    within("an answer", check.probe(&record("admin", &server.address)))
        .await
        .unwrap();
    let head = head.recv().await.unwrap();
    assert!(head.starts_with("GET /ready?deep=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", server.address)), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
}

/// A body or a head without end is not read to its end.
#[tokio::test]
async fn http_reads_so_much_and_no_more() {
    let check = HttpCheck::new("/").unwrap();
    for (head, more, kind) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x", ErrorKind::TooLarge),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\n\r\n",
            "x",
            ErrorKind::TooLarge,
        ),
        ("HTTP/1.1 200 OK\r\n", "x: ", ErrorKind::Unavailable),
    ] {
        let (counts, mut count) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start(move |mut tcp| {
            let counts = counts.clone();
            async move {
                read_head(&mut tcp).await;
                let mut sent = 0;
                let mut next = head.to_owned();
                while tcp.write_all(next.as_bytes()).await.is_ok() {
                    sent += next.len();
                    next = more.repeat(1024);
                }
                counts.send(sent).unwrap();
            }
        })
        .await;
        let error = within("an answer", check.probe(&record("health", &server.address))).await;
        assert_eq!(error.unwrap_err().kind(), kind);
        // It stops, with no more than what lies in the buffers of both ends' sockets.
        within("the server's end", count.recv()).await.unwrap();
    }
    let server = Server::start(async |mut tcp| {
        read_head(&mut tcp).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n";
        let _ = tcp
            .write_all(format!("{head}{}", "x".repeat(65_536)).as_bytes())
            .await;
    })
    .await;
    within("an answer", check.probe(&record("health", &server.address)))
        .await
        .unwrap();
}

#[tokio::test]
async fn http_is_plain_and_has_a_path() {
    let check = HttpCheck::new("/").unwrap();
    for scheme in ["https", "ws"] {
        let error = check
            .probe(&record("health", &format!("{scheme}://127.0.0.1:1/")))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.context().contains(scheme), "{error}");
    }
    let error = check.probe(&record("player", "127.0.0.1:1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for bad in ["", "ready", "http://h/", "/a b", "/\r\nx: y"] {
        assert_eq!(
            HttpCheck::new(bad).unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn http_that_hangs_is_given_up() {
    gives_up(&HttpCheck::new("/").unwrap(), "health").await;
}
