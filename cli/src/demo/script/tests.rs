//! A demo that cannot fail proves nothing: here it runs on stores that break their word.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ringhold::core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired, TakenSessions, Touch,
    TouchedMany,
};
use ringhold::{
    Backend, Limits, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore, Timing,
};

use super::{Plan, Script};
use crate::demo::node::{Setting, Source};
use crate::demo::report::Report;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It acknowledges saves and keeps the data that a session was made with.
    ForgetsSaves,
    /// It does not find any session by its player.
    ForgetsPlayers,
}

/// A store with a fault.
#[derive(Debug)]
struct Faulty(Arc<dyn SessionStore>, Fault);

#[async_trait]
impl SessionStore for Faulty {
    fn limits(&self) -> Limits {
        self.0.limits()
    }
    async fn create(&self, request: CreateSession) -> Result<Created> {
        self.0.create(request).await
    }
    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        self.0.get(id).await
    }
    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        match self.1 {
            Fault::ForgetsPlayers => Ok(Vec::new()),
            Fault::ForgetsSaves => self.0.find(player).await,
        }
    }
    async fn save(&self, mut request: SaveSession) -> Result<Saved> {
        if self.1 == Fault::ForgetsSaves
            && let Some(session) = self.0.get(&request.id).await?
        {
            request.data = session.data;
        }
        self.0.save(request).await
    }
    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        self.0.touch_many(touches).await
    }
    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        self.0.claim(request).await
    }
    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        self.0.remove(request).await
    }
    async fn restore(&self, request: RestoreSession) -> Result<Restored> {
        self.0.restore(request).await
    }
    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        self.0.list(request).await
    }
    async fn count(&self, partition: Partition) -> Result<u64> {
        self.0.count(partition).await
    }
    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        self.0.take_expired(request).await
    }
    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        self.0.ack_expired(request).await
    }
}

const PLAYERS: usize = 20;

fn plan() -> Plan {
    Plan {
        nodes: 2,
        players: PLAYERS,
        kill: 0,
        play: Duration::from_millis(500),
        timing: Timing::default(),
    }
}

async fn report_on(backend: &Backend) -> (Result<(), Failure>, Report) {
    let progress = Progress::new();
    let setting = Setting::Here(Source::Shared(backend.clone()));
    let mut script = Script::new(backend, setting, plan(), &progress).unwrap();
    let outcome = script.run().await;
    (outcome, script.end().await)
}

async fn report_with(fault: Fault) -> Report {
    let mut backend = ringhold::open("memory:").await.unwrap();
    backend.sessions = Arc::new(Faulty(backend.sessions, fault));
    let (outcome, report) = report_on(&backend).await;
    outcome.unwrap();
    report
}

#[tokio::test]
async fn a_store_that_forgets_saves_is_noticed() {
    let report = report_with(Fault::ForgetsSaves).await;
    assert!(
        report.saves_lost >= PLAYERS as u64 && report.losses().is_some(),
        "{report:?}"
    );
    assert_eq!(
        (report.sessions_lost, report.moved_needlessly),
        (0, 0),
        "{report:?}"
    );
}

#[tokio::test]
async fn slow_store_that_loses_players_is_reported() {
    let report = report_with(Fault::ForgetsPlayers).await;
    assert_eq!(report.sessions_lost, PLAYERS as u64, "{report:?}");
    assert!(report.losses().is_some());
}

#[tokio::test]
async fn a_fleet_that_is_in_use_is_left_alone() {
    let backend = ringhold::open("memory:?fleet=busy").await.unwrap();
    let node = ringhold::Fleet::builder(backend.clone())
        .node("eu-1")
        .join()
        .await
        .unwrap();
    let (outcome, report) = report_on(&backend).await;
    let failure = outcome.unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(
        failure
            .message()
            .contains("the fleet busy has nodes already, such as eu-1"),
        "{failure}"
    );
    assert_eq!((report.saves_acknowledged, node.view().nodes().len()), (0, 1));
}
