//! The child processes of `ringhold demo --processes`, as they see themselves: a node, and the players.
//!
//! Both stop when their standard input ends, which it does whatever becomes of the demo.

use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use ringhold::NodeIncarnation;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::crowd::Crowd;
use super::node::{Here, Source};
use super::orders::{self, Ask, LINE_BYTES_MAX, NodeNews, NodeOrder, PlayersOrder};
use super::world::World;
use super::{GOODBYE, PLAYERS_MAX};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::target::BackendUrl;

/// After so long without a parent a child ends, whatever holds it up.
const ALONE_MAX: Duration = Duration::from_secs(10);

/// More than a parent sends before it waits, so that the end is always seen at once.
const LINES_WAITING: usize = 64;

/// The lines on standard input; the end means that the child has to stop.
type Lines = mpsc::Receiver<Result<String, Failure>>;

/// `ringhold demo-node`: one node and its game server.
///
/// # Errors
/// Of the order, of opening the backend and of joining; of a parent that does not listen.
pub(crate) async fn node(output: &mut Output<'_>) -> Result<(), Failure> {
    let mut lines = stdin();
    let Some(order) = lines.recv().await else {
        return Ok(());
    };
    let NodeOrder {
        backend,
        name,
        timing,
    } = orders::parse(&order?)?;
    let source = Source::Own(BackendUrl::from(backend));
    let node = tokio::select! {
        node = Here::start(source, &name, timing) => node?,
        // Nobody waits for it any more.
        _ = lines.recv() => return Ok(()),
    };
    output.value(&NodeNews::Started {
        node: node.incarnation(),
        address: node.address.clone(),
    })?;
    let outcome = tell(&node, &mut lines, output).await;
    let _ = timeout(GOODBYE, node.fleet().leave()).await;
    outcome
}

/// Tells each view, until there is no more input.
async fn tell(node: &Here, lines: &mut Lines, output: &mut Output<'_>) -> Result<(), Failure> {
    let (mut revision, mut present) = (None, HashSet::<NodeIncarnation>::new());
    loop {
        let view = tokio::select! {
            view = node.fleet().wait_for(|view| Some(view.revision()) != revision) => view,
            line = lines.recv() => match line {
                Some(line) => return Err(line.err().unwrap_or_else(|| Failure::failed("a node takes one order"))),
                None => return Ok(()),
            },
        };
        revision = Some(view.revision());
        let now: HashSet<_> = view.nodes().iter().map(|node| node.record.node()).collect();
        if now != present {
            let left = present.difference(&now).cloned().collect();
            output.value(&NodeNews::View {
                nodes: now.len(),
                left,
            })?;
            present = now;
        }
    }
}

/// `ringhold demo-players`: all players, who know nothing but addresses.
///
/// # Errors
/// Of the orders, and of a parent that does not listen.
pub(crate) async fn players(output: &mut Output<'_>) -> Result<(), Failure> {
    let mut lines = stdin();
    let Some(order) = lines.recv().await else {
        return Ok(());
    };
    let PlayersOrder { tag, players } = orders::parse(&order?)?;
    if players > PLAYERS_MAX as usize {
        return Err(Failure::usage(format!("there are at most {PLAYERS_MAX} players")));
    }
    let mut crowd = Crowd::new(World::new(players), tag)?;
    while let Some(line) = lines.recv().await {
        let (number, ask): (u64, Ask) = orders::parse(&line?)?;
        let answer = crowd.answer(ask).await?;
        output.value(&(number, answer))?;
    }
    Ok(())
}

/// Reads standard input on a thread of its own, since a read of it cannot be called off.
fn stdin() -> Lines {
    let (sender, lines) = mpsc::channel(LINES_WAITING);
    std::thread::spawn(move || {
        let mut reader = io::stdin().lock();
        while let Some(line) = read_line(&mut reader) {
            let last = line.is_err();
            if sender.blocking_send(line).is_err() || last {
                break;
            }
        }
        drop(sender);
        #[expect(clippy::disallowed_methods, reason = "no task runs on this thread")]
        std::thread::sleep(ALONE_MAX);
        std::process::exit(Exit::Failed.code().into());
    });
    lines
}

/// The next line without its end; `None` at the end of the input.
fn read_line(reader: &mut impl BufRead) -> Option<Result<String, Failure>> {
    let mut bytes = Vec::new();
    match reader.take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes) {
        // Half a line is what a parent leaves that was killed while it wrote.
        Ok(read) if read < LINE_BYTES_MAX && bytes.last() != Some(&b'\n') => return None,
        Ok(_) => {}
        Err(error) => return Some(Err(Failure::from(error).during("reading standard input"))),
    }
    if bytes.pop() != Some(b'\n') {
        let message = format!("a line on standard input has more than {LINE_BYTES_MAX} bytes");
        return Some(Err(Failure::failed(message)));
    }
    let line = String::from_utf8(bytes).map_err(|_| Failure::failed("a line on standard input is no UTF-8"));
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_text_of_a_limited_length() {
        let mut input = &b"one\n\ntw"[..];
        assert_eq!(read_line(&mut input).unwrap().unwrap(), "one");
        assert_eq!(read_line(&mut input).unwrap().unwrap(), "");
        assert!(read_line(&mut input).is_none());
        assert!(read_line(&mut &b"\xff\n"[..]).unwrap().is_err());
        let mut longest = vec![b'x'; LINE_BYTES_MAX - 1];
        longest.push(b'\n');
        assert!(read_line(&mut &longest[..]).unwrap().is_ok());
        longest[LINE_BYTES_MAX - 1] = b'x';
        let failure = read_line(&mut &longest[..]).unwrap().unwrap_err();
        assert!(failure.message().contains("more than"), "{failure}");
    }
}
