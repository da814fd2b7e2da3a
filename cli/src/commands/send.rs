//! `ringhold send PLAYER TEXT`: a message to a player, or to all, wherever they are.

use clap::Args;
use ringhold::{Announced, ErrorKind, MESSAGE_BYTES_MAX, Observer, PlayerId};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::exit::Failure;
use crate::output::{Output, counted, grouped, lines, shown, table};

/// What is sent to whom.
#[derive(Debug, Clone, Args)]
#[command(allow_missing_positional = true)]
pub struct SendArgs {
    /// The player's id
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub player: Option<PlayerId>,
    /// The message, of at most 64 KiB; `-` reads it from standard input
    #[arg(required = true)]
    pub text: String,
    /// Send it to every player of every node
    #[arg(long)]
    pub all: bool,
}

/// A message that has arrived.
#[derive(Debug, Serialize)]
pub struct Sent {
    /// Whose inbox it is in.
    pub player: String,
    /// How long it is.
    pub bytes: usize,
}

/// To how many players of one node a message came.
#[derive(Debug, Serialize)]
pub struct ToldNode {
    /// The node.
    pub node: String,
    /// Which run of it.
    pub incarnation: u64,
    /// It is in so many inboxes; nobody knows where the node did not answer.
    pub delivered: Option<u32>,
    /// So many inboxes were full.
    pub overloaded: Option<u32>,
    /// Why the node could not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<NodeError>,
}

/// Why a node could not be told.
#[derive(Debug, Serialize)]
pub struct NodeError {
    /// The kind of error.
    pub kind: &'static str,
    /// The same in words.
    pub message: String,
}

/// Sends it.
///
/// # Errors
/// `No` where nobody holds the player, and where there is no node; `Unavailable` where its node cannot be
/// reached, or an inbox is full; `Usage` for a message that is too long.
pub async fn run(observer: &Observer, args: &SendArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let text = match args.text.as_str() {
        "-" => read(tokio::io::stdin()).await?,
        text => text.as_bytes().to_vec(),
    };
    match &args.player {
        Some(player) => one(observer, player, text, output).await,
        None => all(observer, text, output).await,
    }
}

/// Reads a message to its end, and no more than may be sent.
///
/// # Errors
/// Of the reader; `Usage` for a message that is too long.
pub async fn read(from: impl AsyncRead + Unpin) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let mut limited = from.take(MESSAGE_BYTES_MAX as u64 + 1);
    let read = limited.read_to_end(&mut text).await;
    read.map_err(|error| Failure::from(error).during("reading standard input"))?;
    if text.len() > MESSAGE_BYTES_MAX {
        let most = grouped(MESSAGE_BYTES_MAX as u64);
        return Err(Failure::usage(format!(
            "the message on standard input has more than {most} bytes, which is the most that can be sent"
        )));
    }
    Ok(text)
}

async fn one(
    observer: &Observer,
    player: &PlayerId,
    text: Vec<u8>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let bytes = text.len();
    if let Err(error) = observer.send_to_player(player, text).await {
        let advice = match error.kind() {
            ErrorKind::NotFound => {
                return Err(Failure::not_found(format!(
                    "no node holds the player {player:?}; `ringhold sessions find` tells whether a session waits"
                )));
            }
            ErrorKind::Overloaded => "the player's inbox is full; try again",
            ErrorKind::NotOwner => "the player moves from node to node; try again",
            ErrorKind::Unavailable | ErrorKind::Timeout => {
                "the node that holds the player does not answer; `ringhold nodes` and `ringhold locate` tell more"
            }
            _ => return Err(error.into()),
        };
        return Err(Failure::from(error).advising(advice));
    }
    let sent = Sent {
        player: player.to_string(),
        bytes,
    };
    output.show(&sent, |sent| {
        format!(
            "{} has {}",
            shown(&sent.player),
            counted(sent.bytes as u64, "byte")
        )
    })
}

async fn all(observer: &Observer, text: Vec<u8>, output: &mut Output<'_>) -> Result<(), Failure> {
    let announced = observer.announce(text).await?;
    let rows = rows(&announced);
    if rows.is_empty() {
        let fleet = &observer.backend().fleet;
        return Err(Failure::not_found(format!("the fleet {fleet} has no nodes")));
    }
    if output.is_json() {
        rows.iter().try_for_each(|row| output.value(row))?;
    } else {
        output.line(words(&rows, &announced))?;
    }
    let (untold, full) = (announced.failures().count() as u64, announced.total().overloaded);
    if untold > 0 {
        return Err(Failure::unavailable(format!(
            "{} of {} could not be told, and their players do not have the message",
            grouped(untold),
            counted(rows.len() as u64, "node")
        )));
    }
    if full > 0 {
        return Err(Failure::overloaded(format!(
            "{} had no room in the inbox; whoever is told again gets the message twice",
            counted(full.into(), "player")
        )));
    }
    Ok(())
}

fn rows(announced: &Announced) -> Vec<ToldNode> {
    let rows = announced.nodes.iter().map(|(node, told)| ToldNode {
        node: node.node.to_string(),
        incarnation: node.incarnation.number,
        delivered: told.as_ref().ok().map(|told| told.delivered),
        overloaded: told.as_ref().ok().map(|told| told.overloaded),
        error: told.as_ref().err().map(|error| NodeError {
            kind: error.kind().as_str(),
            message: error.context().to_owned(),
        }),
    });
    rows.collect()
}

fn words(rows: &[ToldNode], announced: &Announced) -> String {
    let mut table = table(&["NODE", ">DELIVERED", ">OVERLOADED", "ERROR"]);
    let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| grouped(number.into()));
    for row in rows {
        let error = row.error.as_ref();
        table.add_row([
            format!("{}#{}", row.node, row.incarnation),
            number(row.delivered),
            number(row.overloaded),
            error.map_or_else(String::new, |error| {
                format!("{}: {}", error.kind, shown(&error.message))
            }),
        ]);
    }
    let total = announced.total().delivered;
    format!(
        "{}\n\ndelivered to {}",
        lines(&table),
        counted(total.into(), "player")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[tokio::test]
    async fn a_message_from_elsewhere_is_read_whole_or_refused() {
        let longest = vec![0xff; MESSAGE_BYTES_MAX];
        assert_eq!(read(&longest[..]).await.unwrap(), longest);
        assert_eq!(read(&b"a\nb\n"[..]).await.unwrap(), b"a\nb\n", "as it is");
        let failure = read(tokio::io::repeat(b'x')).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.message().contains("65,536 bytes"), "{failure}");
    }
}
