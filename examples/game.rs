//! A game server that a person can play with netcat.
//!
//! ```text
//! $ cargo run --example game
//! play it with: nc 127.0.0.1 4000
//!
//! $ nc 127.0.0.1 4000
//! who are you?
//! ada
//! ada, you are at 0,0: n, e, s, w or quit?
//! n
//! ada, you are at 0,1: n, e, s, w or quit?
//! ```
//!
//! Close netcat and come back as ada: you are where you were. Come back while you are still there:
//! the other connection ends. Another address to listen on may be given as an argument.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use ringhold::{Fleet, Login, LoginOptions, PlayerId, SessionEvent};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is saved of a player.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Hero {
    x: i64,
    y: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:4000")).await?;
    let address = listener.local_addr()?;
    let backend = ringhold::open("memory:").await?;
    let fleet = Fleet::builder(backend)
        .node("arena-1")
        .endpoint("player", address)
        .join()
        .await?;
    println!("play it with: nc {} {}", address.ip(), address.port());

    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Out of file descriptors, for one: until some are closed, nobody comes in.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let fleet = fleet.clone();
        tokio::spawn(async move {
            if let Err(error) = play(&fleet, &mut stream).await {
                // Who has hung up does not read it.
                let _ = stream.write_all(format!("sorry: {error}\n").as_bytes()).await;
            }
        });
    }
}

async fn play(fleet: &Fleet, stream: &mut TcpStream) -> Result<()> {
    let (input, mut output) = stream.split();
    let mut input = BufReader::new(input);

    output.write_all(b"who are you?\n").await?;
    let player = PlayerId::new(read_line(&mut input).await?)?;
    let mut hero = match fleet.login::<Hero>(&player, LoginOptions::new()).await? {
        Login::Here(session) => session,
        // In a fleet of several nodes another one may hold the player: that is where to connect.
        Login::Elsewhere(to) => {
            let address = to.address("player").ok_or("try again")?;
            return Ok(output.write_all(format!("go to {address}\n").as_bytes()).await?);
        }
    };

    loop {
        let Hero { x, y } = hero.value();
        let question = format!("{player}, you are at {x},{y}: n, e, s, w or quit?\n");
        output.write_all(question.as_bytes()).await?;
        let mut reading = pin!(read_line(&mut input));
        let answer = loop {
            tokio::select! {
                answer = &mut reading => break answer?,
                event = hero.event() => match event {
                    // Somebody sent the player a message, from this server or from another.
                    SessionEvent::Message(message) => output.write_all(&message.body).await?,
                    // The player has logged in again, or another node holds the session now.
                    _ => return Err("you play from somewhere else now".into()),
                },
            }
        };
        match answer.as_str() {
            "n" => hero.value_mut().y += 1,
            "e" => hero.value_mut().x += 1,
            "s" => hero.value_mut().y -= 1,
            "w" => hero.value_mut().x -= 1,
            "quit" => return Ok(hero.close().await?),
            _ => continue,
        }
        // From here on the move is safe: it outlives this connection and, where servers share a
        // backend, this server.
        hero.save().await?;
    }
}

/// Reads one line of at most 256 bytes, so that nobody fills the memory with an endless one.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<String> {
    let mut line = String::new();
    input.take(256).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.trim().to_owned()),
        None if line.is_empty() => Err("goodbye".into()),
        None => Err("a line has at most 256 bytes, with its end".into()),
    }
}
