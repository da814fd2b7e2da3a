//! Masters that die or hang, and a cluster that is away for everybody: no node is declared dead for it,
//! and no player ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ringhold::{Backend, Fleet, Session};
use ringhold_testkit::launch::RedisCluster;
use ringhold_testkit::wait_for;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{
    Bed, LONG, Witness, are_attached, here, is_a_loss, is_undisturbed, login, login_until_here, sees,
    slot_of, stored,
};

const TTL: Duration = Duration::from_secs(60);

/// Players who play on 5 nodes while something happens.
struct Game {
    stop: Arc<AtomicBool>,
    saves: Arc<AtomicUsize>,
    players: Vec<JoinHandle<Vec<Session<u64>>>>,
    logins: JoinHandle<Vec<Session<u64>>>,
}

impl Game {
    /// Eight players on each node.
    async fn start(fleet: &[Fleet]) -> Self {
        let (stop, saves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut players = Vec::new();
        for (index, node) in fleet.iter().enumerate() {
            let mut sessions = Vec::new();
            for number in 0..8 {
                sessions.push(here(login(node, format!("player-{index}-{number}")).await));
            }
            players.push(tokio::spawn(play(
                sessions,
                Arc::clone(&stop),
                Arc::clone(&saves),
            )));
        }
        let logins = tokio::spawn(arrive(fleet.to_vec(), Arc::clone(&stop)));
        Self {
            stop,
            saves,
            players,
            logins,
        }
    }

    /// Waits until so many more saves were acknowledged.
    async fn goes_on(&self) {
        let goal = self.saves.load(Ordering::SeqCst) + 200;
        wait_for("saves to go on", LONG, async || {
            let now = self.saves.load(Ordering::SeqCst);
            if now >= goal {
                Ok(())
            } else {
                Err(format!("{now} of {goal}"))
            }
        })
        .await;
    }

    /// Ends it, and looks whether everybody is where they were, with everything that was acknowledged.
    async fn finish(self, backend: &Backend) {
        self.stop.store(true, Ordering::SeqCst);
        let late = self.logins.await.unwrap();
        assert!(!late.is_empty(), "nobody logged in");
        let mut sessions = late;
        for task in self.players {
            sessions.extend(task.await.unwrap());
        }
        for session in &mut sessions {
            is_undisturbed(session).await;
            assert_eq!(stored(backend, &session.id()).await, Some(*session.value()));
        }
    }
}

/// Saves all the time. Each save is acknowledged in the end.
async fn play(
    mut sessions: Vec<Session<u64>>,
    stop: Arc<AtomicBool>,
    saves: Arc<AtomicUsize>,
) -> Vec<Session<u64>> {
    while !stop.load(Ordering::SeqCst) {
        for session in &mut sessions {
            *session.value_mut() += 1;
            if let Err(error) = session.save().await {
                panic!("{}: {error}", session.player());
            }
            saves.fetch_add(1, Ordering::SeqCst);
            // sleep: the pace of a game
            sleep(Duration::from_millis(5)).await;
        }
    }
    sessions
}

/// Logs new players in all the time, each of whom is let in in the end.
async fn arrive(fleet: Vec<Fleet>, stop: Arc<AtomicBool>) -> Vec<Session<u64>> {
    let mut sessions = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let (number, node) = (sessions.len(), &fleet[sessions.len() % fleet.len()]);
        let mut session = login_until_here(node, &format!("late-{number}")).await;
        session.save().await.unwrap();
        sessions.push(session);
        // sleep: the pace of those who arrive
        sleep(Duration::from_millis(50)).await;
    }
    sessions
}

/// How a master is lost, and comes back when it is none any more.
#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Hang,
}

/// The master with the membership is lost, then one that has sessions alone.
async fn lose_masters(fault: Fault) {
    let bed = Bed::start().await;
    let fleet = bed.fleet(5, TTL).await;
    let witness = Witness::of(&fleet, is_a_loss);
    let game = Game::start(&fleet).await;
    let home = bed.slot_of_membership().await;
    game.goes_on().await;
    for round in 0..2 {
        let home = bed.master_of(home).await;
        let victim = if round == 0 {
            home
        } else {
            let masters = bed.with(RedisCluster::masters).await;
            masters.into_iter().find(|master| *master != home).unwrap()
        };
        bed.with(move |cluster| match fault {
            Fault::Kill => cluster.kill(victim),
            Fault::Hang => cluster.stop(victim),
        })
        .await;
        bed.with(move |cluster| cluster.wait_until_promoted(victim, LONG))
            .await;
        are_attached(&fleet).await;
        // sleep: more than a lease, in which somebody could be declared dead by mistake
        sleep(Duration::from_secs(6)).await;
        bed.with(move |cluster| match fault {
            Fault::Kill => cluster.restart(victim),
            Fault::Hang => cluster.resume(victim),
        })
        .await;
        bed.with(|cluster| cluster.wait_until_in_sync(LONG)).await;
        game.goes_on().await;
    }
    sees(&fleet, 5).await;
    game.finish(&bed.backend().await).await;
    witness.saw_nothing();
    assert_eq!(bed.expired(), [], "sessions of live owners expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_masters_that_are_killed_take_nobody_with_them() {
    lose_masters(Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_masters_that_hang_take_nobody_with_them() {
    lose_masters(Fault::Hang).await;
}

/// All servers are away at once, for longer than a lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_an_outage_of_the_whole_cluster_kills_nobody() {
    let bed = Bed::start().await;
    let fleet = bed.fleet(5, TTL).await;
    let witness = Witness::of(&fleet, is_a_loss);
    let game = Game::start(&fleet).await;
    game.goes_on().await;
    bed.with(|cluster| (0..cluster.len()).try_for_each(|index| cluster.stop(index)))
        .await;
    // sleep: the outage
    sleep(Duration::from_secs(8)).await;
    bed.with(|cluster| (0..cluster.len()).try_for_each(|index| cluster.resume(index)))
        .await;
    are_attached(&fleet).await;
    game.goes_on().await;
    // sleep: more than a lease, in which somebody could be declared dead by mistake
    sleep(Duration::from_secs(6)).await;
    are_attached(&fleet).await;
    sees(&fleet, 5).await;
    game.finish(&bed.backend().await).await;
    witness.saw_nothing();
    assert_eq!(bed.expired(), [], "sessions of live owners expired");
}

/// What an operator does is not noticed: nobody is even detached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_planned_failovers_and_moved_slots_are_not_noticed() {
    let bed = Bed::start().await;
    let fleet = bed.fleet(5, TTL).await;
    let witness = Witness::of(&fleet, |event| {
        is_a_loss(event) || matches!(event, ringhold::FleetEvent::Detached)
    });
    let one = here(login(&fleet[0], "ada").await);
    let game = Game::start(&fleet).await;
    game.goes_on().await;
    let home = bed.slot_of_membership().await;
    for slot in [home, slot_of(&one.id())] {
        let replica = bed
            .with(move |cluster| {
                let master = cluster.master_of_slot(slot)?;
                for index in 0..cluster.len() {
                    if cluster.replica_of(index)? == Some(master) {
                        return Ok(index);
                    }
                }
                panic!("master {master} has no replica");
            })
            .await;
        bed.with(move |cluster| cluster.fail_over(replica)).await;
        wait_for("the old master to count as a replica", LONG, async || {
            let masters = bed.with(RedisCluster::masters).await;
            if masters.len() == 3 {
                Ok(())
            } else {
                Err(format!("masters are {masters:?}"))
            }
        })
        .await;
        game.goes_on().await;
        bed.with(|cluster| cluster.wait_until_in_sync(LONG)).await;
        bed.with(move |cluster| {
            let from = cluster.master_of_slot(slot)?;
            let to = cluster.masters()?.into_iter().find(|master| *master != from);
            cluster.move_slots(slot..=slot, to.unwrap())
        })
        .await;
        game.goes_on().await;
    }
    // sleep: more than a lease, in which somebody could be declared dead by mistake
    sleep(Duration::from_secs(6)).await;
    sees(&fleet, 5).await;
    game.finish(&bed.backend().await).await;
    witness.saw_nothing();
    assert_eq!(bed.expired(), [], "sessions of live owners expired");
}
