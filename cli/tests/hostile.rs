//! Clients that mean harm, or know no better, against the demo's game server. All the while a good
//! client plays on the same server, and must notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringhold::{Fleet, Kicked, PlayerId, SessionId};
use ringhold_cli::demo::protocol::{LINE_BYTES_MAX, TEXT_BYTES_MAX};
use ringhold_cli::demo::server::{self, ServerLimits};
use ringhold_testkit::{wait_for, within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
/// No answer of the good client may take longer, on a machine with other work too.
const PATIENCE: Duration = Duration::from_secs(5);

const LIMITS: ServerLimits = ServerLimits {
    connections: 32,
    login: Duration::from_millis(500),
    idle: Duration::from_secs(60),
    write: Duration::from_millis(500),
    mistakes: 4,
};

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    async fn connect(address: &str) -> Self {
        Self {
            stream: BufReader::new(within("a connection", TcpStream::connect(address)).await.unwrap()),
        }
    }

    async fn login(address: &str, player: &str) -> Self {
        let mut client = Self::connect(address).await;
        let here = client.ask(format!("LOGIN {player}\n")).await;
        assert!(here.starts_with("HERE "), "{here}");
        client
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("a write", self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap();
    }

    /// The next line without its end; empty at the end of the connection.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        within("a line", self.stream.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes).await;
        self.line().await
    }

    /// Whatever the server says until it closes.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = within("the end", self.stream.read_to_end(&mut rest)).await;
        String::from_utf8(rest).unwrap()
    }
}

/// A server, and a good client that plays on it.
struct Arena {
    address: String,
    moves: Arc<AtomicU64>,
    good: JoinHandle<()>,
    fleet: Fleet,
}

impl Arena {
    async fn open() -> Self {
        let listener = server::listen().unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let backend = ringhold::open("memory:").await.unwrap();
        let builder = Fleet::builder(backend)
            .node("arena-1")
            .endpoint("player", &address);
        let fleet = builder.join().await.unwrap();
        tokio::spawn(server::serve(listener, fleet.clone(), LIMITS));
        let moves = Arc::new(AtomicU64::new(0));
        let good = tokio::spawn(play(Client::login(&address, "good").await, Arc::clone(&moves)));
        Self {
            address,
            moves,
            good,
            fleet,
        }
    }

    /// The good client has played meanwhile, and still does.
    async fn close(self) {
        let before = self.moves.load(Ordering::Relaxed);
        wait_for("the good client to play on", SOON, async || {
            let now = self.moves.load(Ordering::Relaxed);
            if now > before + 3 || self.good.is_finished() {
                Ok(())
            } else {
                Err(format!("{now} moves"))
            }
        })
        .await;
        assert!(!self.good.is_finished(), "{:?}", self.good.await);
        self.good.abort();
    }
}

/// Moves to the east for ever, and checks each answer.
async fn play(mut client: Client, moves: Arc<AtomicU64>) {
    for x in 1_u64.. {
        let asked = Instant::now();
        let answer = client.ask("MOVE 1 0\n").await;
        assert_eq!(answer, format!("POS {x} 0 {}", x + 1));
        assert!(asked.elapsed() < PATIENCE, "{:?} for one move", asked.elapsed());
        moves.store(x, Ordering::Relaxed);
        // One client alone must not keep a core busy.
        tokio::time::interval_at(tokio::time::Instant::now() + Duration::from_millis(5), PATIENCE)
            .tick()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_and_ends_after_some_lines() {
    let arena = Arena::open().await;
    for first in [
        "HELLO\n",
        "\n",
        "LOGIN\n",
        "MOVE 1 1\n",
        "LOGIN a b c d\n",
        "LOGIN ada not-an-id\n",
    ] {
        let mut client = Client::connect(&arena.address).await;
        let answer = client.ask(first).await;
        assert!(answer.starts_with("ERR "), "{first:?}: {answer}");
        assert_eq!(
            client.rest().await,
            "",
            "{first:?} ends a connection that is not logged in"
        );
    }
    let mut client = Client::login(&arena.address, "clumsy").await;
    assert_eq!(client.ask("MOVE 1 2\n").await, "POS 1 2 2");
    for mistake in [
        "what?\n",
        "MOVE 1\n",
        "MOVE one two\n",
        "LOGIN clumsy\n",
        "MOVE 99999999999 0\n",
    ] {
        assert!(client.ask(mistake).await.starts_with("ERR usage"), "{mistake}");
    }
    // Five mistakes, of which a second login is none, are still forgiven.
    assert_eq!(client.ask("MOVE 1 2\r\n").await, "POS 2 4 3");
    assert!(client.ask("no more\n").await.starts_with("ERR usage"));
    assert_eq!(client.rest().await, "");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_are_refused() {
    let arena = Arena::open().await;
    let mut client = Client::connect(&arena.address).await;
    let answer = client.ask(b"LOGIN \xff\xfe\x00\n").await;
    assert_eq!(answer, "ERR invalid_argument a line is UTF-8");
    let mut client = Client::login(&arena.address, "binary").await;
    assert_eq!(
        client.ask([0x16, 0x03, 0x01, 0x02, 0xff, b'\n']).await,
        "ERR usage a line is UTF-8"
    );
    assert_eq!(client.ask("MOVE 0 1\n").await, "POS 0 1 2");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_over_the_limit_is_the_last_one() {
    let arena = Arena::open().await;
    for logged_in in [false, true] {
        let mut client = if logged_in {
            Client::login(&arena.address, "long").await
        } else {
            Client::connect(&arena.address).await
        };
        let answer = client.ask("x".repeat(LINE_BYTES_MAX)).await;
        assert_eq!(
            answer,
            format!("ERR invalid_argument a line has at most {LINE_BYTES_MAX} bytes")
        );
        assert_eq!(client.rest().await, "");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_is_dropped_and_holds_nobody_up() {
    let arena = Arena::open().await;
    // With little room on this side, so that the server's part shows.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.set_send_buffer_size(4_096).unwrap();
    let stream = within("a connection", socket.connect(arena.address.parse().unwrap()))
        .await
        .unwrap();
    let mut client = Client {
        stream: BufReader::new(stream),
    };
    assert!(client.ask("LOGIN deaf\n").await.starts_with("HERE "));
    let moves = "MOVE 1 1\n".repeat(1_000);
    let mut taken = 0;
    // The server stops to read when nothing it writes is read, and closes after its write limit.
    let dropped = async {
        while let Ok(bytes) = client.stream.get_mut().write(moves.as_bytes()).await {
            taken += bytes;
        }
    };
    timeout(SOON, dropped)
        .await
        .expect("the server drops a client that never reads");
    // What was taken is what the kernel holds of both directions, and what was answered before.
    assert!(taken < 256 << 10, "{taken} bytes were taken");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_logs_in_is_dropped() {
    let arena = Arena::open().await;
    let silent = Client::connect(&arena.address).await;
    let mut slow = Client::connect(&arena.address).await;
    slow.send("LOG").await;
    for client in [silent, slow] {
        let told = client.rest().await;
        assert!(told.starts_with("ERR timeout no line came for"), "{told}");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_is_turned_away() {
    let arena = Arena::open().await;
    let mut flood = Vec::new();
    for _ in 0..LIMITS.connections * 4 {
        flood.push(Client::connect(&arena.address).await);
    }
    let mut turned_away = 0;
    for client in flood {
        // Those who got in are told that they did not log in, the others that there is no room.
        let told = client.rest().await;
        turned_away += usize::from(told.starts_with("ERR overloaded") || told.is_empty());
    }
    assert!(turned_away > 0, "somebody must have been turned away");
    wait_for("room after the flood", SOON, async || {
        let answer = Client::connect(&arena.address).await.ask("LOGIN late\n").await;
        if answer.starts_with("HERE ") {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_login_ends_the_first() {
    let arena = Arena::open().await;
    let mut first = Client::login(&arena.address, "twin").await;
    assert_eq!(first.ask("MOVE 3 4\n").await, "POS 3 4 2");
    let mut second = Client::connect(&arena.address).await;
    let here = second.ask("LOGIN twin\n").await;
    assert!(here.ends_with(" back 3 4 2"), "{here}");
    assert_eq!(first.line().await, "BYE displaced");
    assert_eq!(second.ask("MOVE 1 1\n").await, "POS 4 5 3");
    assert_eq!(second.ask("QUIT\n").await, "BYE quit");
    let anew = Client::connect(&arena.address).await.ask("LOGIN twin\n").await;
    assert!(anew.ends_with(" new 0 0 1"), "{anew}");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_reach_who_is_there_as_one_line() {
    let arena = Arena::open().await;
    let mut ada = Client::login(&arena.address, "ada").await;
    let mut bob = Client::login(&arena.address, "bob").await;
    assert_eq!(ada.ask("TELL bob  so \t it is \n").await, "TOLD bob");
    assert_eq!(bob.line().await, "FROM arena-1  so   it is");
    // The answer and the message may come in either order.
    let mut both = [ada.ask("TELL ada myself\n").await, ada.line().await];
    both.sort();
    assert_eq!(both, ["FROM arena-1 myself", "TOLD ada"]);
    let answer = ada.ask("TELL carol hello\n").await;
    assert!(answer.starts_with("ERR not_found "), "{answer}");
    for mistake in ["TELL bob\n", "TELL bob \n"] {
        assert!(ada.ask(mistake).await.starts_with("ERR usage"), "{mistake}");
    }
    // What an operator sends may be anything.
    let player = PlayerId::new("bob").unwrap();
    let body = [b"\xff\r\nBYE quit\n".as_slice(), &b"x".repeat(60_000)].concat();
    arena.fleet.send_to_player(&player, body).await.unwrap();
    let line = bob.line().await;
    assert!(
        line.starts_with("FROM arena-1 \u{fffd}  BYE quit x") && line.len() < LINE_BYTES_MAX,
        "{line}"
    );
    assert_eq!(bob.ask("MOVE 0 1\n").await, "POS 0 1 2");
    let kicked = arena.fleet.kick(&player, "for\ngood").await.unwrap();
    assert_eq!(kicked, Kicked::Told);
    assert_eq!(bob.line().await, "BYE kicked for good");
    assert_eq!(bob.rest().await, "");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_no_messages_holds_nobody_up() {
    let arena = Arena::open().await;
    // With little room on this side, so that the server's part shows.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = within("a connection", socket.connect(arena.address.parse().unwrap()))
        .await
        .unwrap();
    let mut deaf = Client {
        stream: BufReader::new(stream),
    };
    assert!(deaf.ask("LOGIN deaf\n").await.starts_with("HERE "));
    let mut ada = Client::login(&arena.address, "ada").await;
    let tell = format!("TELL deaf {}\n", "x".repeat(TEXT_BYTES_MAX));
    // The inbox fills up, and then the connection ends; whoever sends is told both.
    let (mut refused, started) = (false, Instant::now());
    loop {
        let answer = ada.ask(&tell).await;
        refused |= answer.starts_with("ERR overloaded ");
        if answer.starts_with("ERR not_found ") {
            break;
        }
        assert!(
            answer == "TOLD deaf" || answer.starts_with("ERR overloaded "),
            "{answer}"
        );
        assert!(started.elapsed() < SOON, "the deaf is still there");
    }
    assert!(refused, "its inbox was never full");
    assert_eq!(ada.ask("MOVE 1 0\n").await, "POS 1 0 2");
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_somebody_else_is_not_found() {
    let arena = Arena::open().await;
    let here = Client::connect(&arena.address).await.ask("LOGIN ada\n").await;
    let session: SessionId = here.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = Client::connect(&arena.address)
        .await
        .ask(format!("LOGIN eve {session}\n"))
        .await;
    assert!(answer.starts_with("ERR not_found"), "{answer}");
    let answer = Client::connect(&arena.address)
        .await
        .ask(format!("LOGIN ada {session}\n"))
        .await;
    assert!(
        answer.starts_with(&format!("HERE {session} ")) && answer.contains(" back "),
        "{answer}"
    );
    arena.close().await;
}
