//! The game server: what a user of Ringhold writes is `play` and `enter`. The rest keeps hostile
//! clients off: limits on connections, on lines, on waiting and on buffers.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ringhold::{Error, Fleet, Login, LoginOptions, NodeStatus, PlayerId, Session, SessionEvent};
use tokio::io;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::protocol::{Entry, Position, Reply, Request};
use super::wire::{Trouble, Wire};

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Connections at a time.
    pub connections: usize,
    /// From the connection to a whole login line.
    pub login: Duration,
    /// Between two lines of a player.
    pub idle: Duration,
    /// For the client to read what it was sent.
    pub write: Duration,
    /// Lines that are no requests, before the connection ends.
    pub mistakes: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            login: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            write: Duration::from_secs(5),
            mistakes: 16,
        }
    }
}

/// What the kernel holds for one connection in each direction. A client that does not read costs
/// this and no more.
const SOCKET_BUFFER_BYTES: u32 = 16 * 1024;
const BACKLOG: u32 = 4_096;

/// Listens on a free loopback port.
///
/// # Errors
/// Those of the operating system.
pub fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Connections inherit what is set on the listener.
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

/// Serves players until the node has left its fleet or must stop. Dropping the future ends all
/// connections.
pub async fn serve(listener: TcpListener, fleet: Fleet, limits: ServerLimits) {
    let stopped = |status| matches!(status, NodeStatus::Fenced | NodeStatus::Left);
    let end = fleet.wait_for_status(stopped);
    tokio::pin!(end);
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut end => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < limits.connections => {
                    clients.spawn(client(Wire::new(stream, limits.write), fleet.clone(), limits));
                }
                Ok((stream, _)) => turn_away(stream),
                // The client went away again, or file descriptors ran out: others will close some.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Says why, as far as that goes without waiting, and closes.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = writeln!(
            stream,
            "{}",
            Reply::refusal("overloaded", "too many connections; try again later")
        );
    }
}

/// One client, from its connection to its end.
async fn client(mut wire: Wire, fleet: Fleet, limits: ServerLimits) {
    let last = match play(&mut wire, &fleet, &limits).await {
        Ok(last) => last,
        Err(Trouble::Closed(_) | Trouble::NotReading(_)) => return,
        Err(trouble @ Trouble::Silent(_)) => Reply::refusal("timeout", &trouble.to_string()),
        Err(trouble) => Reply::refusal("invalid_argument", &trouble.to_string()),
    };
    wire.part(&last).await;
}

/// Logs a player in and lets it play. Answers the last line that the client is told.
async fn play(wire: &mut Wire, fleet: &Fleet, limits: &ServerLimits) -> Result<Reply, Trouble> {
    let mut session = match wire.line(limits.login).await?.parse() {
        Ok(Request::Login(player, entry)) => match enter(fleet, &player, entry).await {
            Ok(Ok(session)) => session,
            Ok(Err(elsewhere)) => return Ok(elsewhere),
            Err(error) => return Ok(Reply::from(&error)),
        },
        Ok(_) => return Ok(Reply::refusal("usage", "LOGIN comes first")),
        Err(mistake) => return Ok(mistake),
    };
    wire.send(&here(&session)).await?;
    let mut mistakes = 0;
    loop {
        let line = tokio::select! {
            event = session.event() => match heard(event) {
                Heard::Message(message) => {
                    wire.send(&message).await?;
                    continue;
                }
                Heard::End(goodbye) => return Ok(goodbye),
            },
            line = wire.line(limits.idle) => line,
        };
        let request = match line {
            Ok(line) => line.parse(),
            Err(trouble @ Trouble::NotText) => Err(Reply::refusal("usage", &trouble.to_string())),
            Err(trouble) => return Err(trouble),
        };
        let reply = match request {
            Ok(Request::Move(step)) => {
                let position = session.value().after(step);
                *session.value_mut() = position;
                match session.save().await {
                    Ok(saved) => Reply::Pos(position, saved.version.get()),
                    Err(error) => return Ok(Reply::from(&error)),
                }
            }
            Ok(Request::Quit) => match session.close().await {
                Ok(()) => return Ok(Reply::Bye("quit".to_owned())),
                Err(error) => return Ok(Reply::from(&error)),
            },
            Ok(Request::Tell(to, text)) => {
                let telling = fleet.send_to_player(&to, text);
                match meanwhile(wire, &mut session, telling).await? {
                    Ok(Ok(())) => Reply::Told(to),
                    Ok(Err(error)) => Reply::from(&error),
                    Err(goodbye) => return Ok(goodbye),
                }
            }
            Ok(Request::Login(..)) => Reply::refusal("usage", "you are logged in"),
            Err(mistake) => {
                mistakes += 1;
                if mistakes > limits.mistakes {
                    return Ok(mistake);
                }
                mistake
            }
        };
        wire.send(&reply).await?;
    }
}

/// Attaches a player to this node, or says where to go.
///
/// Whoever is somewhere stays there, unless the player is to be taken from there. A newcomer goes where the
/// policy says, by default to the ring's node; so the nodes fill up by their ring shares, whichever of them
/// clients ask first.
async fn enter(
    fleet: &Fleet,
    player: &PlayerId,
    entry: Entry,
) -> Result<Result<Session<Position>, Reply>, Error> {
    let options = match entry {
        Entry::Ordinary => LoginOptions::new(),
        Entry::Resume(session) => LoginOptions::new().resume(session),
        Entry::Take => LoginOptions::new().displace(),
    };
    if entry == Entry::Ordinary && fleet.locate(player).await?.is_none() {
        let place = fleet.place(player)?;
        if place.record().node() != fleet.node() {
            return Ok(Err(moved(place.record().endpoint("player"))));
        }
    }
    match fleet.login(player, options).await? {
        Login::Here(session) => Ok(Ok(session)),
        Login::Elsewhere(to) => Ok(Err(moved(to.address("player")))),
    }
}

fn moved(address: Option<&ringhold::Address>) -> Reply {
    match address {
        Some(address) => Reply::Moved(address.clone()),
        None => Reply::refusal(
            "unavailable",
            "the node that holds you is not known here yet; try again",
        ),
    }
}

fn here(session: &Session<Position>) -> Reply {
    Reply::Here {
        session: session.id(),
        fence: session.fence(),
        new: session.is_new(),
        position: *session.value(),
        version: session.version().get(),
    }
}

/// Waits for an answer of another node, and passes on what comes for the player meanwhile. `Err` is the end of
/// the stay.
async fn meanwhile<T>(
    wire: &mut Wire,
    session: &mut Session<Position>,
    answer: impl Future<Output = T>,
) -> Result<Result<T, Reply>, Trouble> {
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(Ok(answer)),
            event = session.event() => match heard(event) {
                Heard::Message(message) => wire.send(&message).await?,
                Heard::End(goodbye) => return Ok(Err(goodbye)),
            },
        }
    }
}

/// What a session has to tell its client.
enum Heard {
    /// It goes on.
    Message(Reply),
    /// It has ended.
    End(Reply),
}

fn heard(event: SessionEvent) -> Heard {
    let reason = match event {
        SessionEvent::Message(message) => {
            let from = message.from.map(|node| node.node);
            return Heard::Message(Reply::message(from, &message.body));
        }
        SessionEvent::Kicked { reason } => return Heard::End(Reply::kicked(&reason)),
        SessionEvent::Displaced { .. } => "displaced",
        SessionEvent::Fenced => "fenced",
        SessionEvent::Expired => "expired",
        _ => "ended",
    };
    Heard::End(Reply::Bye(reason.to_owned()))
}
