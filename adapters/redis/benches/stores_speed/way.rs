//! The four operations, whichever way they go.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ringhold_core::session::{CreateSession, SaveSession, Touch, Touched};
use ringhold_core::{Fence, NodeIncarnation, OperationId, PlayerId, SessionId, SessionStore, Ttl, Version};
use ringhold_testkit::Make;

/// How many bytes a session has.
pub(crate) const DATA_BYTES: usize = 200;
/// How many sessions a task has.
const HELD: usize = 8;

/// A way to the sessions. What is not answered as it has to be ends the run.
pub(crate) trait Way: Clone + Send + Sync + 'static {
    /// Makes a session. Answers its fence.
    fn create(&self, request: CreateSession) -> impl Future<Output = Fence> + Send;
    /// Reads a live session. Answers how many bytes it has.
    fn get(&self, id: SessionId) -> impl Future<Output = usize> + Send;
    /// Writes the data of a session. Answers its version.
    fn save(&self, request: SaveSession) -> impl Future<Output = Version> + Send;
    /// Extends the life of a session.
    fn touch(&self, touch: Touch) -> impl Future<Output = ()> + Send;
}

impl Way for Arc<dyn SessionStore> {
    async fn create(&self, request: CreateSession) -> Fence {
        let created = SessionStore::create(&**self, request).await;
        created.expect("a login is answered").session.fence
    }

    async fn get(&self, id: SessionId) -> usize {
        let found = SessionStore::get(&**self, &id).await.expect("a read is answered");
        found.expect("the session lives").data.len()
    }

    async fn save(&self, request: SaveSession) -> Version {
        let saved = SessionStore::save(&**self, request).await;
        saved.expect("a save is answered").version
    }

    async fn touch(&self, touch: Touch) {
        let touched = self.touch_many(&[touch]).await.expect("a touch is answered");
        assert_eq!(touched.answers, [Touched::Renewed]);
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Get,
    Save,
    Touch,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Get, Self::Save, Self::Touch];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::Save => "save",
            Self::Touch => "touch",
        }
    }
}

/// What all tasks share.
pub(crate) struct Shared {
    make: Make,
    owner: NodeIncarnation,
    ttl: Ttl,
    players: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        let make = Make::new("stores_speed");
        Arc::new(Self {
            owner: make.owner(),
            ttl: Ttl::from_millis(3_600_000).expect("an hour"),
            players: AtomicU64::new(0),
            make,
        })
    }

    fn login(&self, data: &Bytes) -> CreateSession {
        let number = self.players.fetch_add(1, Ordering::Relaxed);
        let player = PlayerId::new(format!("player-{number}")).expect("a short text");
        let login = self.make.login(&player, &self.owner, self.ttl);
        login.with_data(data.clone())
    }

    fn operation(&self) -> OperationId {
        self.make.operation()
    }
}

#[derive(Debug, Clone, Copy)]
struct Held {
    id: SessionId,
    fence: Fence,
    version: Version,
}

/// One task, with sessions of its own.
pub(crate) struct Task<W> {
    way: W,
    shared: Arc<Shared>,
    data: Bytes,
    held: Vec<Held>,
    next: usize,
}

impl<W: Way> Task<W> {
    /// With sessions of `bytes` bytes each.
    pub(crate) async fn new(way: W, shared: &Arc<Shared>, bytes: usize) -> Self {
        let data = Bytes::from(vec![0x5a; bytes]);
        let mut held = Vec::with_capacity(HELD);
        for _ in 0..HELD {
            let login = shared.login(&data);
            let id = login.id;
            held.push(Held {
                id,
                fence: way.create(login).await,
                version: Version::new(1),
            });
        }
        Self {
            way,
            shared: Arc::clone(shared),
            data,
            held,
            next: 0,
        }
    }

    /// Does one operation, on each of its sessions in turn.
    pub(crate) async fn run(&mut self, operation: Operation) {
        self.next = (self.next + 1) % self.held.len();
        let held = &mut self.held[self.next];
        match operation {
            Operation::Create => {
                let login = self.shared.login(&self.data);
                self.way.create(login).await;
            }
            Operation::Get => {
                assert_eq!(self.way.get(held.id).await, self.data.len());
            }
            Operation::Save => {
                let (version, data) = (held.version, self.data.clone());
                let operation = self.shared.operation();
                let save = SaveSession::new(held.id, held.fence, version, self.shared.ttl, data, operation);
                held.version = self.way.save(save).await;
            }
            Operation::Touch => {
                self.way
                    .touch(Touch::new(held.id, held.fence, self.shared.ttl))
                    .await;
            }
        }
    }
}
