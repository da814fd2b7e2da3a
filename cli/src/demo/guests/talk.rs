//! Messages between guests on different nodes: how many arrive, how often, in which order, how soon.

use std::time::{Duration, Instant};

use ringhold::PlayerId;

use super::{Guest, astray};
use crate::demo::protocol::{Reply, Request, Step};
use crate::demo::wire::ANSWER_LIMIT;
use crate::exit::Failure;

/// Messages of each guest.
const MESSAGES: usize = 25;
/// How long the last message may take to arrive before it counts as lost.
const ARRIVAL: Duration = Duration::from_secs(10);

/// What came of the messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Talked {
    /// So many were sent.
    pub(crate) sent: u64,
    /// So many of them arrived.
    pub(crate) delivered: u64,
    /// So many arrived twice, behind a later one, or from another node than the one they were sent on.
    pub(crate) astray: u64,
    /// How long each took, from one client to the other.
    pub(crate) times: Vec<Duration>,
    /// The last thing that a server said of a message that it did not take.
    pub(crate) trouble: Option<String>,
}

impl Talked {
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.astray += other.astray;
        self.times.extend(other.times);
        self.trouble = other.trouble.or_else(|| self.trouble.take());
    }
}

/// What one guest gets from another, each message with its number and the time of its sending.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// The node that they have to come from.
    from: String,
    /// Where all guests' time begins.
    since: Instant,
    arrived: [bool; MESSAGES],
    next: usize,
    talked: Talked,
}

impl Mailbox {
    pub(super) fn new(from: String, since: Instant) -> Self {
        Self {
            from,
            since,
            arrived: [false; MESSAGES],
            next: 0,
            talked: Talked::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.arrived.iter().all(|arrived| *arrived)
    }

    fn text(&self, number: usize) -> String {
        format!("{number} {}", self.since.elapsed().as_nanos())
    }

    /// Takes in a message; what is none is given back.
    fn take(&mut self, said: Result<Reply, String>) -> Option<Result<Reply, String>> {
        let Ok(Reply::From(node, text)) = said else {
            return Some(said);
        };
        let now = self.since.elapsed();
        let (number, sent) = text.split_once(' ').unwrap_or_default();
        let numbers = number.parse::<usize>().ok().zip(sent.parse::<u64>().ok());
        let Some((number, sent)) = numbers.filter(|(number, _)| *number < MESSAGES) else {
            self.talked.astray += 1;
            return None;
        };
        let twice = std::mem::replace(&mut self.arrived[number], true);
        let elsewhere = node.is_none_or(|node| node.as_str() != self.from);
        self.talked.astray += u64::from(twice || number < self.next || elsewhere);
        self.next = self.next.max(number + 1);
        if !twice {
            self.talked.delivered += 1;
            self.talked
                .times
                .push(now.saturating_sub(Duration::from_nanos(sent)));
        }
        None
    }
}

/// Tells `friend` all messages, one after the other, and takes in as many.
pub(super) async fn talk(
    mut guest: Guest,
    friend: PlayerId,
    mut mailbox: Mailbox,
) -> Result<(Guest, Mailbox), Failure> {
    for number in 0..MESSAGES {
        let tell = Request::Tell(friend.clone(), mailbox.text(number));
        let sent = guest.wire.send(&tell).await;
        sent.map_err(|trouble| astray(&guest.player, "TELL", Err(trouble.to_string())))?;
        mailbox.talked.sent += 1;
        loop {
            match mailbox.take(guest.wire.reply(ANSWER_LIMIT).await) {
                None => {}
                Some(Ok(Reply::Told(told))) if told == friend => break,
                Some(Ok(Reply::Err(kind, words))) => {
                    mailbox.talked.trouble = Some(format!("{kind}: {words}"));
                    break;
                }
                Some(other) => return Err(astray(&guest.player, "TELL", other)),
            }
        }
    }
    let deadline = Instant::now() + ARRIVAL;
    while !mailbox.is_full() {
        let left = deadline.saturating_duration_since(Instant::now());
        match mailbox.take(guest.wire.reply(left).await) {
            None => {}
            // What is not here by now is lost.
            Some(Err(_)) if deadline <= Instant::now() => break,
            Some(other) => return Err(astray(&guest.player, "waiting for messages", other)),
        }
    }
    Ok((guest, mailbox))
}

/// Takes in what is still there, which stands before the answer to a step.
pub(super) async fn settle(mut guest: Guest, mut mailbox: Mailbox) -> Result<(Guest, Talked), Failure> {
    let step = guest.wire.send(&Request::Move(Step { dx: 1, dy: 0 })).await;
    step.map_err(|trouble| astray(&guest.player, "MOVE", Err(trouble.to_string())))?;
    loop {
        match mailbox.take(guest.wire.reply(ANSWER_LIMIT).await) {
            None => {}
            Some(Ok(Reply::Pos(..))) => return Ok((guest, mailbox.talked)),
            Some(other) => return Err(astray(&guest.player, "MOVE", other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold::NodeId;

    fn said(mailbox: &mut Mailbox, node: &str, text: &str) {
        let node = (node != "*").then(|| NodeId::new(node).unwrap());
        let left = mailbox.take(Ok(Reply::From(node, text.to_owned())));
        assert_eq!(left, None);
    }

    #[test]
    fn what_comes_once_in_order_and_from_there_is_in_order() {
        let mut mailbox = Mailbox::new("node-1".to_owned(), Instant::now());
        for number in 0..MESSAGES {
            assert!(!mailbox.is_full());
            let text = mailbox.text(number);
            said(&mut mailbox, "node-1", &text);
        }
        assert!(mailbox.is_full());
        let talked = &mailbox.talked;
        assert_eq!((talked.delivered, talked.astray, talked.times.len()), (25, 0, 25));
        let pos = Ok(Reply::Bye("quit".to_owned()));
        assert_eq!(mailbox.take(pos.clone()), Some(pos));
    }

    #[test]
    fn what_is_lost_doubled_disordered_or_strange_is_noticed() {
        let mut mailbox = Mailbox::new("node-1".to_owned(), Instant::now());
        for (node, text, delivered, astray) in [
            ("node-1", "0 0", 1, 0),
            ("node-1", "2 0", 2, 0),
            ("node-1", "1 0", 3, 1),
            ("node-1", "1 0", 3, 2),
            ("node-2", "3 0", 4, 3),
            ("*", "4 0", 5, 4),
            ("node-1", "25 0", 5, 5),
            ("node-1", "hello", 5, 6),
        ] {
            said(&mut mailbox, node, text);
            let talked = &mailbox.talked;
            assert_eq!(
                (talked.delivered, talked.astray),
                (delivered, astray),
                "{node} {text}"
            );
        }
        assert!(!mailbox.is_full());
    }
}
