//! Guests: some players more, who talk across nodes and are taken over across nodes. They are TCP
//! clients of the script's own, so that it sees both ends of what goes from one node to another.

mod taken;
mod talk;

use std::time::Instant;

use ringhold::{Address, Backend, Fence, PlayerId};
use tokio::task::JoinSet;

use super::protocol::{Entry, Reply, Request};
use super::wire::{ANSWER_LIMIT, Wire};
use crate::exit::Failure;
pub(crate) use taken::Taken;
use talk::Mailbox;
pub(crate) use talk::Talked;

/// Guests on each node.
const PER_NODE: usize = 8;
/// So many guests of each node are taken over by a second connection, on another node.
const TAKEN_PER_NODE: usize = 4;

/// A node as its guests see it.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: String,
    /// Where it is reached.
    pub(crate) address: Address,
}

/// The guests of all nodes.
#[derive(Debug)]
pub(crate) struct Guests {
    hosts: Vec<Host>,
    guests: Vec<Guest>,
}

/// One guest, attached to a node.
#[derive(Debug)]
struct Guest {
    player: PlayerId,
    /// Which of the hosts it is on.
    host: usize,
    /// Which of that host's guests it is.
    number: usize,
    wire: Wire,
}

impl Guests {
    /// Some guests log in at each of these hosts, of which there are two at least. Their names begin with
    /// `tag`.
    ///
    /// # Errors
    /// `Failed` where one is not taken in.
    pub(crate) async fn arrive(hosts: Vec<Host>, tag: &str) -> Result<Self, Failure> {
        let mut arriving = JoinSet::new();
        for (host, Host { address, .. }) in hosts.iter().enumerate() {
            for number in 0..PER_NODE {
                let (player, address) = (name(tag, host, number)?, address.clone());
                arriving.spawn(async move {
                    let (wire, _) = enter(&player, &address).await?;
                    Ok(Guest {
                        player,
                        host,
                        number,
                        wire,
                    })
                });
            }
        }
        Ok(Self {
            hosts,
            guests: all(arriving).await?,
        })
    }

    /// Each tells a guest on the next node some messages.
    ///
    /// # Errors
    /// `Failed` where a connection breaks.
    pub(crate) async fn talk(&mut self, tag: &str) -> Result<Talked, Failure> {
        let (hosts, since) = (self.hosts.len(), Instant::now());
        let mut talking = JoinSet::new();
        for guest in self.guests.drain(..) {
            let friend = name(tag, (guest.host + 1) % hosts, guest.number)?;
            let from = self.hosts[(guest.host + hosts - 1) % hosts].name.clone();
            talking.spawn(talk::talk(guest, friend, Mailbox::new(from, since)));
        }
        // Nobody sends any more; whatever is left has been sent twice.
        let mut settling = JoinSet::new();
        for (guest, mailbox) in all(talking).await? {
            settling.spawn(talk::settle(guest, mailbox));
        }
        let mut talked = Talked::default();
        for (guest, one) in all(settling).await? {
            self.guests.push(guest);
            talked.add(one);
        }
        Ok(talked)
    }

    /// Some of each node are taken over on the next one.
    ///
    /// # Errors
    /// `Failed` where a second connection is not taken in; those of the store.
    pub(crate) async fn be_taken(&mut self, backend: &Backend) -> Result<Taken, Failure> {
        let hosts = self.hosts.len();
        let (taken, left): (Vec<Guest>, Vec<Guest>) = self
            .guests
            .drain(..)
            .partition(|guest| guest.number < TAKEN_PER_NODE);
        self.guests = left;
        let mut taking = JoinSet::new();
        for guest in taken {
            let to = (guest.host + 1) % hosts;
            let address = self.hosts[to].address.clone();
            taking.spawn(taken::take(guest, to, address, backend.clone()));
        }
        let mut taken = Taken::default();
        for (guest, one) in all(taking).await? {
            self.guests.push(guest);
            taken.add(one);
        }
        Ok(taken)
    }

    /// Everybody goes home, and nothing of them stays behind.
    ///
    /// # Errors
    /// `Failed` where one is not let go.
    pub(crate) async fn quit(self) -> Result<(), Failure> {
        let mut leaving = JoinSet::new();
        for Guest { player, mut wire, .. } in self.guests {
            leaving.spawn(async move {
                match wire.ask(&Request::Quit, ANSWER_LIMIT).await {
                    Ok(Reply::Bye(_)) => Ok(()),
                    other => Err(astray(&player, "QUIT", other)),
                }
            });
        }
        all(leaving).await.map(drop)
    }
}

fn name(tag: &str, host: usize, number: usize) -> Result<PlayerId, Failure> {
    Ok(PlayerId::new(format!("{tag}{host}-{number}"))?)
}

/// Logs in here and nowhere else.
async fn enter(player: &PlayerId, address: &Address) -> Result<(Wire, Fence), Failure> {
    let at = |trouble| Failure::failed(format!("{player} at {address}: {trouble}"));
    let mut wire = Wire::connect(address).await.map_err(at)?;
    let login = Request::Login(player.clone(), Entry::Take);
    match wire.ask(&login, ANSWER_LIMIT).await {
        Ok(Reply::Here { fence, .. }) => Ok((wire, fence)),
        other => Err(astray(player, "LOGIN", other).during(address.as_str())),
    }
}

fn astray(player: &PlayerId, asked: &str, answer: Result<Reply, String>) -> Failure {
    let answer = answer.map_or_else(|trouble| trouble, |reply| reply.to_string());
    Failure::failed(format!("{player}: {asked} was answered: {answer}"))
}

/// What all tasks come to, or the first failure.
async fn all<T: 'static>(mut tasks: JoinSet<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        done.push(ended.map_err(|error| Failure::failed(format!("a guest's task ended: {error}")))??);
    }
    Ok(done)
}
