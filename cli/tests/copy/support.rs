//! Two backends in memory, and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringhold::core::session::{CreateSession, ListSessions, OnExisting, SaveSession};
use ringhold::memory::MemoryBackend;
use ringhold::{Backend, FleetName, Limits, NodeIncarnation, PlayerId, SessionId, SessionRecord, Ttl};
use ringhold_cli::copy::{Copy, Event, Problem, ProblemKind, Stage};
use ringhold_cli::exit::Failure;
use ringhold_testkit::{Make, SimulatedClock};

/// A backend on a clock that stands still.
pub(crate) fn memory(fleet: &str) -> (Backend, SimulatedClock) {
    let clock = SimulatedClock::new();
    let fleet = FleetName::new(fleet).unwrap();
    let backend = MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(clock.clone()));
    (backend.backend(), clock)
}

pub(crate) fn ttl(secs: u64) -> Ttl {
    Ttl::new(Duration::from_secs(secs)).unwrap()
}

/// Logs a player in beside those of it that are there.
pub(crate) async fn login(
    backend: &Backend,
    make: &Make,
    player: &PlayerId,
    owner: &NodeIncarnation,
    ttl: Ttl,
) -> SessionRecord {
    let login: CreateSession = make.login_with(player, owner, ttl, OnExisting::Allow { max: 64 });
    backend.sessions.create(login).await.unwrap().session
}

/// So many players with up to three sessions each, some of them saved a few times.
pub(crate) async fn populate(backend: &Backend, make: &Make, players: usize) -> u64 {
    let owners = [make.owner(), make.owner(), make.owner()];
    let mut sessions = 0;
    for index in 0..players {
        let player = make.player();
        for nth in 0..=(index % 7) / 3 {
            let owner = &owners[(index + nth) % owners.len()];
            let session = login(backend, make, &player, owner, ttl(30 + index as u64 % 90)).await;
            sessions += 1;
            let mut version = session.version;
            for round in 0..index % 3 {
                let data = format!("{player}/{nth}/{round}").repeat(1 + index % 20);
                let operation = make.operation();
                let save = SaveSession::new(session.id, session.fence, version, session.ttl, data, operation);
                version = backend.sessions.save(save).await.unwrap().version;
            }
        }
    }
    sessions
}

/// Everything that is live, by id.
pub(crate) async fn all(backend: &Backend) -> BTreeMap<SessionId, SessionRecord> {
    let mut all = BTreeMap::new();
    let mut request = ListSessions::all(1_000);
    loop {
        let page = backend.sessions.list(request.clone()).await.unwrap();
        all.extend(page.sessions.into_iter().map(|session| (session.id, session)));
        match page.next {
            Some(next) => request.after = Some(next),
            None => return all,
        }
    }
}

/// Both sides hold the same sessions, at the target under the next epoch and with all their time.
pub(crate) async fn are_same(from: &Backend, to: &Backend) {
    let (from, mut copies) = (all(from).await, all(to).await);
    for (id, source) in from {
        let mut expected = source;
        expected.fence.epoch += 1;
        expected.remaining = expected.ttl.duration();
        let copy = copies.remove(&id).unwrap_or_else(|| panic!("{id} is missing"));
        // `Debug` does not show data.
        assert_eq!(copy.data, expected.data, "{id}");
        assert_eq!(copy, expected);
    }
    assert!(copies.is_empty(), "{copies:?} have no source");
}

/// What a copy told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) steps: Vec<(Stage, u16, u64)>,
    pub(crate) problems: Vec<Problem>,
}

impl Told {
    pub(crate) fn hear(&mut self, event: Event) {
        match event {
            Event::Step {
                stage,
                partitions,
                sessions,
            } => self.steps.push((stage, partitions, sessions)),
            Event::Problem(problem) => self.problems.push(problem),
            other => panic!("{other:?} is new"),
        }
    }

    /// The sessions with this problem and what is said of them, by id.
    pub(crate) fn of(&self, kind: ProblemKind) -> BTreeMap<SessionId, &str> {
        let problems = self.problems.iter().filter(|problem| problem.problem == kind);
        problems
            .map(|problem| (problem.session.parse().unwrap(), problem.message.as_str()))
            .collect()
    }
}

/// Runs a copy to its end.
pub(crate) async fn run(copy: &mut Copy) -> (Result<(), Failure>, Told) {
    let mut told = Told::default();
    let outcome = copy
        .run(&mut |event| {
            told.hear(event);
            Ok(())
        })
        .await;
    (outcome, told)
}
