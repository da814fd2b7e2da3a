//! A game server that a person can play with netcat.
//!
//! ```text
//! $ cargo run --example game
//! arena-1 listens; play it with: nc 127.0.0.1 4000
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
use std::io::ErrorKind;

use ringhold::{Fleet, Login, LoginOptions, PlayerId};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What is saved of a player.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Hero {
    x: i64,
    y: i64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:4000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let address = listener.local_addr()?;

    let backend = ringhold::open("memory:").await?;
    let fleet = Fleet::builder(backend)
        .node("arena-1")
        .endpoint("player", address)
        .join()
        .await?;
    println!(
        "arena-1 listens; play it with: nc {} {}",
        address.ip(),
        address.port()
    );

    loop {
        let (stream, client) = listener.accept().await?;
        let fleet = fleet.clone();
        tokio::spawn(async move {
            if let Err(error) = play(&fleet, stream).await {
                eprintln!("{client}: {error}");
            }
        });
    }
}

async fn play(fleet: &Fleet, mut stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (input, mut output) = stream.split();
    let (mut input, mut line) = (BufReader::new(input), String::new());

    output.write_all(b"who are you?\n").await?;
    read_line(&mut input, &mut line).await?;
    let player = PlayerId::new(line.trim())?;
    let mut hero = match fleet.login::<Hero>(&player, LoginOptions::new()).await? {
        Login::Here(session) => session,
        // In a fleet of several nodes another one may hold the player: that is where to connect.
        Login::Elsewhere(to) => {
            let address = to
                .address("player")
                .map_or("elsewhere", |address| address.as_str());
            return Ok(output.write_all(format!("go to {address}\n").as_bytes()).await?);
        }
    };

    loop {
        let Hero { x, y } = hero.value();
        let prompt = format!("{player}, you are at {x},{y}: n, e, s, w or quit?\n");
        output.write_all(prompt.as_bytes()).await?;
        tokio::select! {
            // Somebody else logged in as this player, or the session is no longer this node's.
            event = hero.event() => return Ok(output.write_all(format!("goodbye: {event:?}\n").as_bytes()).await?),
            read = read_line(&mut input, &mut line) => read?,
        }
        match line.trim() {
            "n" => hero.value_mut().y += 1,
            "e" => hero.value_mut().x += 1,
            "s" => hero.value_mut().y -= 1,
            "w" => hero.value_mut().x -= 1,
            "quit" => return Ok(hero.close().await?),
            _ => continue,
        }
        // Once this returns, the move outlives the connection and the player may reconnect anywhere.
        hero.save().await?;
    }
}

/// Reads one line of at most 256 bytes: a hostile client gets no more memory than that.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), line: &mut String) -> std::io::Result<()> {
    line.clear();
    input.take(256).read_line(line).await?;
    if line.ends_with('\n') {
        Ok(())
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}
