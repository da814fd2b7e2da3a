//! A way to one server on which a test says what stands still, and sees what comes over which connection.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ringhold_testkit::{WAIT_MAX, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A longer word is large.
const LARGE_BYTES: u64 = 64 << 10;
/// As much is taken at once as is there.
const ROOM: usize = 1 << 20;
/// The word that calls a script by its name.
const CALL: &[u8] = b"EVALSHA\r\n";

/// What stands still: with it all that comes behind it on its connection, in its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Still {
    Nothing,
    Answers,
    LargeAnswers,
    LargeRequests,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

impl Still {
    fn is(self, direction: Direction, bytes: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Answers => direction == Direction::Answer,
            Self::LargeAnswers => direction == Direction::Answer && bytes > LARGE_BYTES,
            Self::LargeRequests => direction == Direction::Request && bytes > LARGE_BYTES,
        }
    }
}

/// What has come over one connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Came {
    /// Scripts that were called by their names.
    pub(crate) calls: u64,
    /// In how many pieces requests came: each began when nothing was left of the one before.
    pub(crate) pieces: u64,
}

/// What has come by.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// By connection, in the order in which those were made.
    pub(crate) came: BTreeMap<usize, Came>,
    /// How many connections stand still.
    pub(crate) standing: usize,
}

#[derive(Debug)]
struct State {
    /// Where new connections lead.
    server: watch::Sender<SocketAddr>,
    still: watch::Sender<Still>,
    seen: watch::Sender<Seen>,
}

impl State {
    fn came(&self, connection: usize, change: impl FnOnce(&mut Came)) {
        self.seen
            .send_modify(|seen| change(seen.came.entry(connection).or_default()));
    }
}

/// Stands before one server until it is dropped; what it has accepted ends with the runtime.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            server: watch::Sender::new(server),
            still: watch::Sender::new(Still::Nothing),
            seen: watch::Sender::default(),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                let server = *shared.server.borrow();
                tokio::spawn(connection(client, server, number, Arc::clone(&shared)));
                number += 1;
            }
        });
        Self {
            address,
            state,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// A URL of `fleet` that goes through here.
    pub(crate) fn url(&self, fleet: &str) -> String {
        format!("redis://{}?fleet={fleet}", self.address)
    }

    /// Leads new connections to another server, as a virtual IP address does that moves.
    pub(crate) fn move_to(&self, server: SocketAddr) {
        self.state.server.send_replace(server);
    }

    /// From now on this stands still, and nothing else does.
    pub(crate) fn hold(&self, still: Still) {
        self.state.still.send_replace(still);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.seen.borrow().clone()
    }

    /// Forgets what came by.
    pub(crate) fn forget(&self) {
        self.state.seen.send_modify(|seen| seen.came.clear());
    }

    /// Waits until what has come by is as `expected` says.
    pub(crate) async fn sees(&self, what: impl fmt::Display, expected: impl Fn(&Seen) -> bool) {
        wait_for(&what.to_string(), WAIT_MAX, async || match self.seen() {
            seen if expected(&seen) => Ok(()),
            seen => Err(format!("{seen:?}")),
        })
        .await;
    }
}

async fn connection(client: TcpStream, server: SocketAddr, number: usize, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a socket");
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // A side that is gone ends its direction, and the other one with it.
    let _ = tokio::try_join!(
        pump(from_client, to_server, Direction::Request, number, &state),
        pump(from_server, to_client, Direction::Answer, number, &state),
    );
}

/// Brings over line after line, and the words that some of them announce by their lengths: requests and
/// answers have the same form. It ends as an error always.
async fn pump(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    direction: Direction,
    connection: usize,
    state: &State,
) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::with_capacity(ROOM, from), BufWriter::new(to));
    let mut line = Vec::new();
    loop {
        if from.buffer().is_empty() {
            to.flush().await?;
            if from.fill_buf().await?.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if direction == Direction::Request {
                state.came(connection, |came| came.pieces += 1);
            }
        }
        line.clear();
        from.read_until(b'\n', &mut line).await?;
        let bytes = announced(&line).unwrap_or(0);
        if state.still.borrow().is(direction, bytes) {
            to.flush().await?;
            state.seen.send_modify(|seen| seen.standing += 1);
            let mut still = state.still.subscribe();
            // Its sender is in `state`, so it is not gone.
            let _ = still.wait_for(|still| !still.is(direction, bytes)).await;
            state.seen.send_modify(|seen| seen.standing -= 1);
        }
        to.write_all(&line).await?;
        if announced(&line).is_none() {
            continue;
        }
        let mut word = (&mut from).take(bytes + 2);
        if direction == Direction::Request && bytes + 2 == CALL.len() as u64 {
            let mut name = [0; CALL.len()];
            word.read_exact(&mut name).await?;
            if name == CALL {
                state.came(connection, |came| came.calls += 1);
            }
            to.write_all(&name).await?;
        } else {
            tokio::io::copy_buf(&mut word, &mut to).await?;
        }
    }
}

/// How long the word is that a line announces, without the end of its line.
fn announced(line: &[u8]) -> Option<u64> {
    // A length below zero announces nothing.
    str::from_utf8(line.strip_prefix(b"$")?)
        .ok()?
        .trim_end()
        .parse()
        .ok()
}
