//! A client that writes at random until it is killed.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_core::session::{
    AckExpired, ClaimSession, CreateSession, OnExisting, RemoveSession, RestoreSession, SaveSession,
    TakeExpired, TakeoverFrom, Touch,
};
use ringhold_core::{
    ErrorKind, Incarnation, NodeId, NodeIncarnation, Nonce, Partition, PlayerId, Result, SessionRecord,
    SessionStore, Ttl,
};
use ringhold_testkit::Make;

/// How many operations are under way at once.
const TASKS: usize = 16;
const PLAYERS: usize = 300;
/// More than a parent lets a client make.
const OPERATIONS_MAX: usize = 2_000;
const SEEN_MAX: usize = 400;

/// What all operations of one client share.
struct Client {
    store: Arc<dyn SessionStore>,
    make: Make,
    players: Vec<PlayerId>,
    owners: Vec<NodeIncarnation>,
    /// Sessions as they once stood.
    seen: Mutex<VecDeque<SessionRecord>>,
    /// What was taken and not acknowledged yet.
    taken: Mutex<Vec<AckExpired>>,
    /// Logins that are made again.
    logins: Mutex<VecDeque<CreateSession>>,
}

/// Players in 64 partitions, on all masters.
fn players() -> Vec<PlayerId> {
    (0_u32..)
        .map(|number| PlayerId::new(format!("player-{number}")).expect("a name"))
        .filter(|player| player.partition().get() % 16 == 3)
        .take(PLAYERS)
        .collect()
}

/// Owners that every client knows.
fn owners() -> Vec<NodeIncarnation> {
    let owner = |number: u8| {
        let nonce = Nonce::from_bytes([number; 16]);
        let id = NodeId::new(format!("node-{number}")).expect("a name");
        NodeIncarnation::new(id, Incarnation { number: 1, nonce })
    };
    (1..4).map(owner).collect()
}

/// Runs operations, and says `op` for each that was answered.
pub(crate) async fn run(store: Arc<dyn SessionStore>, seed: u64) {
    let client = Arc::new(Client {
        store,
        make: Make::with_seed("client", seed),
        players: players(),
        owners: owners(),
        seen: Mutex::default(),
        taken: Mutex::default(),
        logins: Mutex::default(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            for _ in 0..OPERATIONS_MAX / TASKS {
                let word = match client.operation().await {
                    Ok(()) => "op\n".to_owned(),
                    Err(error) => match error.kind() {
                        ErrorKind::AlreadyExists
                        | ErrorKind::Fenced
                        | ErrorKind::VersionConflict
                        | ErrorKind::NotFound => "op\n".to_owned(),
                        _ => format!("bad {error:?}\n"),
                    },
                };
                // A parent that is gone ends the client.
                std::io::stdout()
                    .lock()
                    .write_all(word.as_bytes())
                    .expect("a parent that listens");
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic");
    }
}

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    fn ttl(&self) -> Ttl {
        Ttl::from_millis(1_000 + self.make.bits() % 9_000).expect("some seconds")
    }

    fn owner(&self) -> NodeIncarnation {
        self.owners[self.make.below(self.owners.len())].clone()
    }

    fn player(&self) -> PlayerId {
        self.players[self.make.below(self.players.len())].clone()
    }

    fn remember(&self, session: SessionRecord) {
        let mut seen = locked(&self.seen);
        seen.push_back(session);
        if seen.len() > SEEN_MAX {
            seen.pop_front();
        }
    }

    /// A session that lives, or one that is remembered, which may have expired or ended.
    async fn session(&self) -> Result<Option<SessionRecord>> {
        if self.make.below(2) == 0 {
            let seen = locked(&self.seen);
            if !seen.is_empty() {
                return Ok(seen.get(self.make.below(seen.len())).cloned());
            }
        }
        let sessions = self.store.find(&self.player()).await?;
        let found = sessions.get(self.make.below(sessions.len())).cloned();
        if let Some(session) = &found {
            self.remember(session.clone());
        }
        Ok(found)
    }

    async fn operation(&self) -> Result<()> {
        let kind = self.make.below(12);
        match kind {
            0..=2 => self.log_in().await,
            3 => self.take().await,
            4 => self.acknowledge().await,
            _ => match self.session().await? {
                Some(session) => self.write(kind, session).await,
                None => self.log_in().await,
            },
        }
    }

    async fn log_in(&self) -> Result<()> {
        let request = {
            let mut logins = locked(&self.logins);
            if self.make.below(8) == 0 && !logins.is_empty() {
                logins[self.make.below(logins.len())].clone()
            } else {
                let mode = match self.make.below(7) {
                    0 => OnExisting::Takeover {
                        from: TakeoverFrom::Own,
                    },
                    1 => OnExisting::Takeover {
                        from: TakeoverFrom::Anyone,
                    },
                    2 => OnExisting::Reject,
                    3 => OnExisting::Replace,
                    4 => OnExisting::Allow { max: 2 },
                    5 => OnExisting::Existing,
                    _ => OnExisting::Allow { max: 4 },
                };
                let request = self
                    .make
                    .login_with(&self.player(), &self.owner(), self.ttl(), mode);
                logins.push_back(request.clone());
                if logins.len() > SEEN_MAX {
                    logins.pop_front();
                }
                request
            }
        };
        let created = self.store.create(request).await?;
        self.remember(created.session);
        Ok(())
    }

    async fn take(&self) -> Result<()> {
        let partitions: Vec<Partition> = (0..8).map(|_| self.player().partition()).collect();
        let limit = u16::try_from(self.make.below(4)).expect("below 4");
        let request = TakeExpired::new(partitions, limit, self.make.nonce())
            .with_visibility(Duration::from_secs(1 + self.make.bits() % 20));
        let token = request.token;
        let got = self.store.take_expired(request).await?;
        let acks = got
            .sessions
            .iter()
            .map(|taken| AckExpired::new(taken.session.id, token));
        locked(&self.taken).extend(acks);
        Ok(())
    }

    async fn acknowledge(&self) -> Result<()> {
        let ack = locked(&self.taken).pop();
        match ack {
            Some(ack) => self.store.ack_expired(ack).await.map(drop),
            None => self.take().await,
        }
    }

    async fn write(&self, kind: usize, session: SessionRecord) -> Result<()> {
        let (id, fence, store, make) = (session.id, session.fence, &self.store, &self.make);
        match kind {
            5 | 6 => {
                let data = vec![7; make.below(200)];
                let version = session.version;
                let save = SaveSession::new(id, fence, version, self.ttl(), data, make.operation());
                store.save(save).await.map(drop)
            }
            7 => {
                let touches = [Touch::new(id, fence, self.ttl())];
                store.touch_many(&touches).await.map(drop)
            }
            8 | 9 => {
                let claim = ClaimSession::new(id, fence, self.owner(), make.nonce(), self.ttl());
                let claimed = store.claim(claim).await?;
                self.remember(claimed.session);
                Ok(())
            }
            10 => {
                let remove = RemoveSession::new(id, fence, make.operation());
                store.remove(remove).await.map(drop)
            }
            _ => {
                let mut lost = session;
                if make.below(2) == 0 {
                    lost.id = make.session_id(&lost.player);
                }
                let mut restore = RestoreSession::new(lost, make.nonce());
                restore.live_max = 3;
                let restored = store.restore(restore).await?;
                self.remember(restored.session);
                Ok(())
            }
        }
    }
}
