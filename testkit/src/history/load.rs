//! Clients that compete for players: many players one after another, each for a short time and by few
//! clients, so that a history is long and each player's part of it is decided.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_core::{Partition, PlayerId, SessionStore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::choice::{Chooser, learn};
use super::client::{Client, Run};
use super::file::{History, Origin};
use super::names::Names;
use super::operation::{Answer, Call, Number, Operation, Seen};
use crate::Make;

/// Longer than any store takes to say that it cannot.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who looks when all is over.
pub(super) const LAST_CLIENT: Number = 0;

/// How the load is shaped.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Load {
    /// How the history comes about.
    pub origin: Origin,
    /// How many players are played at once.
    pub tables: usize,
    /// How many clients compete for one player.
    pub clients: usize,
    /// How much each of them asks before the next player comes.
    pub calls: usize,
    /// How many players there are; without a number, until the load is stopped.
    pub players: Option<u64>,
    /// The longest pause before a call.
    pub pause: Duration,
    /// Where the players are; all over where it is empty.
    pub partitions: Vec<Partition>,
    /// The longest that a client waits which has little patience; most such wait much shorter.
    pub patience: Duration,
    /// Of a hundred calls, how many are made with little patience.
    pub impatient_percent: usize,
}

impl Load {
    /// Three clients on each of 16 players at a time, 12 calls each, with pauses of up to 50 ms; one call
    /// of ten is given up within 400 ms.
    pub fn new(backend: &str, seed: u64) -> Self {
        Self {
            origin: Origin {
                backend: backend.to_owned(),
                seed,
                repeats: false,
            },
            tables: 16,
            clients: 3,
            calls: 12,
            players: None,
            pause: Duration::from_millis(50),
            partitions: Vec::new(),
            patience: Duration::from_millis(400),
            impatient_percent: 10,
        }
    }

    /// Starts the clients, in turn on each of `stores`, which are ways to one store.
    ///
    /// # Panics
    /// Without a store.
    pub fn start(self, stores: &[Arc<dyn SessionStore>]) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let run = Arc::new(Run {
            names: Names::new(self.origin.seed),
            start: Instant::now(),
            drawn: AtomicU64::new(0),
        });
        let origin = self.origin.clone();
        let (load, next) = (Arc::new(self), Arc::new(AtomicU64::new(0)));
        let mut tables = JoinSet::new();
        for table in 0..load.tables {
            let ways = (0..load.clients).map(|client| Arc::clone(&stores[(table + client) % stores.len()]));
            let table = Table {
                load: Arc::clone(&load),
                run: Arc::clone(&run),
                played: Played::default(),
                stop: Arc::clone(&stop),
                next: Arc::clone(&next),
                stores: ways.collect(),
                first_client: (table * load.clients) as u64 + 1,
            };
            tables.spawn(table.run());
        }
        Running {
            origin,
            run,
            stores: stores.to_vec(),
            stop,
            tables,
        }
    }
}

/// Clients at work. Dropping it ends them in the middle of what they do.
#[derive(Debug)]
pub struct Running {
    origin: Origin,
    run: Arc<Run>,
    stores: Vec<Arc<dyn SessionStore>>,
    stop: Arc<AtomicBool>,
    tables: JoinSet<Played>,
}

/// What was done at a table, and whom it was about.
#[derive(Debug, Default)]
struct Played {
    operations: Vec<Operation>,
    players: Vec<(Number, PlayerId)>,
}

impl Running {
    /// Lets each client finish what it asks, looks once more at what is left of each player, and answers
    /// what was written down.
    ///
    /// # Panics
    /// Where a client has panicked.
    pub async fn stop(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// The same, but waits until all [`players`](Load::players) have been played.
    ///
    /// # Panics
    /// Where a client has panicked.
    pub async fn finish(mut self) -> History {
        let mut looks = JoinSet::new();
        let mut operations = Vec::new();
        while let Some(table) = self.tables.join_next().await {
            let played = table.expect("no client panics");
            operations.extend(played.operations);
            looks.spawn(look(Arc::clone(&self.run), self.stores.clone(), played.players));
        }
        while let Some(seen) = looks.join_next().await {
            operations.extend(seen.expect("no look panics"));
        }
        History {
            origin: self.origin,
            operations,
        }
    }
}

/// Asks for each player's sessions, when all is over: so that also what was written last has to be there.
async fn look(
    run: Arc<Run>,
    stores: Vec<Arc<dyn SessionStore>>,
    players: Vec<(Number, PlayerId)>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (player, store) in players.into_iter().zip(stores.iter().cycle()) {
        let mut client = Client {
            run: Arc::clone(&run),
            store: Arc::clone(store),
            number: LAST_CLIENT,
            player,
            operations: Vec::new(),
        };
        client.ask(Call::Find, PATIENCE).await;
        operations.append(&mut client.operations);
    }
    operations
}

/// Where one player after another is played.
struct Table {
    load: Arc<Load>,
    run: Arc<Run>,
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    stores: Vec<Arc<dyn SessionStore>>,
    first_client: Number,
    played: Played,
}

impl Table {
    async fn run(mut self) -> Played {
        while !self.stop.load(Ordering::Relaxed) {
            let player = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            if self.load.players.is_some_and(|players| player > players) {
                break;
            }
            self.play(player).await;
        }
        self.played
    }

    async fn play(&mut self, player: Number) {
        let make = Make::with_seed("a player", self.load.origin.seed ^ player.rotate_left(32));
        let partitions = &self.load.partitions;
        let partition = match partitions.get(make.below(partitions.len())) {
            Some(partition) => *partition,
            None => Partition::new(u16::try_from(make.below(usize::from(Partition::COUNT))).unwrap_or(0))
                .expect("below the count"),
        };
        let id = self.run.names.player(player, partition);
        let board: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let mut clients = JoinSet::new();
        for (store, number) in self.stores.iter().zip(self.first_client..) {
            let client = Client {
                run: Arc::clone(&self.run),
                store: Arc::clone(store),
                number,
                player: (player, id.clone()),
                operations: Vec::new(),
            };
            let chooser = Chooser {
                make: Make::with_seed("a client", make.bits()),
                owner: number,
            };
            clients.spawn(compete(
                client,
                chooser,
                Arc::clone(&self.load),
                Arc::clone(&self.stop),
                Arc::clone(&board),
            ));
        }
        while let Some(client) = clients.join_next().await {
            self.played.operations.extend(client.expect("no client panics"));
        }
        self.played.players.push((player, id));
    }
}

async fn compete(
    mut client: Client,
    chooser: Chooser,
    load: Arc<Load>,
    stop: Arc<AtomicBool>,
    board: Arc<Mutex<Vec<Seen>>>,
) -> Vec<Operation> {
    let make = &chooser.make;
    let patience = usize::try_from(load.patience.as_micros()).unwrap_or(usize::MAX);
    let pause = usize::try_from(load.pause.as_micros()).unwrap_or(usize::MAX);
    let mut own: Vec<Seen> = Vec::new();
    for _ in 0..load.calls {
        // sleep: a client has other things to do.
        sleep(Duration::from_micros(make.below(pause + 1) as u64)).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let known = board.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let call = chooser.choose(&known, &own, &client.run);
        let waits = if make.below(100) < load.impatient_percent {
            // As often between 1 and 2 ms as between 200 and 400: answers are quick when nothing is wrong.
            Duration::from_micros((make.below(patience) >> make.below(9)) as u64)
        } else {
            PATIENCE
        };
        let mut answer = client.ask(call.clone(), waits).await;
        if matches!(answer, Answer::None(_)) && make.below(2) == 0 {
            // The same once more, as a caller may who was not answered.
            answer = client.ask(call.clone(), PATIENCE).await;
        }
        learn(&mut own, &call, &answer);
        learn(
            &mut board.lock().unwrap_or_else(PoisonError::into_inner),
            &call,
            &answer,
        );
    }
    client.operations
}
