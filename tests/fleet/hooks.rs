//! A backend around one that works, which does what a test tells it before and after every call:
//! it fails, hangs, is late, panics or loses the answer.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ringhold::core::Partition;
use ringhold::core::discovery::{
    Changes, Departed, DiscoveryConnector, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered,
    RenewLease, Renewed, Watch,
};
use ringhold::core::membership::UnreadableMember;
use ringhold::core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired, TakenSessions, Touch,
    TouchedMany,
};
use ringhold::{
    Backend, Discovery, Error, ErrorKind, Limits, Membership, PlayerId, Result, Revision, SessionId,
    SessionRecord, SessionStore, Timing,
};

/// One call of a method of the backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// Where the session lies; `None` where the call is about no one session.
    pub(crate) partition: Option<Partition>,
}

type Hook = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// What happens to the calls of whoever uses the backend that [`Hooks::wrap`] gave. Nothing at
/// first. An `Err` before a call keeps it from the store; after it, the answer is lost.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Arc<Mutex<Set>>, Arc<Mutex<Option<Sessions>>>);

/// Sessions that can be exchanged for others while they are used.
type Sessions = Arc<Mutex<Arc<dyn SessionStore>>>;

#[derive(Default)]
struct Set {
    before: Option<Hook>,
    after: Option<Hook>,
    unreadable: Option<&'static str>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Memory has no connections: what it connects to is the membership itself.
#[derive(Debug)]
struct Connector(Arc<dyn Discovery>);

#[async_trait]
impl DiscoveryConnector for Connector {
    async fn connect(&self) -> Result<Arc<dyn Discovery>> {
        Ok(Arc::clone(&self.0))
    }
}

/// What a call says that nobody answered.
pub(crate) fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, "test", "no answer")
}

impl Hooks {
    /// The same backend behind these hooks.
    pub(crate) fn wrap(&self, backend: &Backend) -> Backend {
        let mut wrapped = backend.clone();
        let sessions: Sessions = Arc::new(Mutex::new(Arc::clone(&backend.sessions)));
        *self.1.lock().unwrap() = Some(Arc::clone(&sessions));
        wrapped.sessions = Arc::new(HookedStore(self.clone(), sessions));
        wrapped.discovery = Arc::new(HookedDiscovery(self.clone(), Arc::clone(&backend.discovery)));
        wrapped
    }

    /// The same as of a backend that processes share, whose nodes renew their leases on a thread.
    pub(crate) fn wrap_shared(&self, backend: &Backend) -> Backend {
        let wrapped = self.wrap(backend);
        let connector = Connector(Arc::clone(&wrapped.discovery));
        wrapped.with_discovery_connector(Arc::new(connector))
    }

    /// The store loses all sessions without a trace, as one that fails over to an empty replica.
    pub(crate) async fn lose_sessions(&self) {
        let empty = ringhold::open("memory:?fleet=test").await.unwrap().sessions;
        let sessions = self.1.lock().unwrap().clone().expect("a backend was wrapped");
        *sessions.lock().unwrap() = empty;
    }

    /// Runs before every call, instead of what ran until now.
    pub(crate) fn before<F>(&self, hook: impl Fn(Call) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.0.lock().unwrap().before = Some(Arc::new(move |call| Box::pin(hook(call))));
    }

    /// Runs after every call that was answered, instead of what ran until now.
    pub(crate) fn after<F>(&self, hook: impl Fn(Call) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.0.lock().unwrap().after = Some(Arc::new(move |call| Box::pin(hook(call))));
    }

    /// Nothing happens to any call from now on.
    pub(crate) fn heal(&self) {
        *self.0.lock().unwrap() = Set::default();
    }

    /// No call reaches the store.
    pub(crate) fn cut_off(&self) {
        self.before(|_| async { Err(Error::new(ErrorKind::Unavailable, "test", "cut off")) });
    }

    /// No call of this method reaches the store.
    pub(crate) fn fail(&self, method: &'static str) {
        self.before(move |call| async move {
            if call.method == method {
                Err(no_answer())
            } else {
                Ok(())
            }
        });
    }

    /// No call of this method ends.
    pub(crate) fn hang(&self, method: &'static str) {
        self.before(move |call| async move {
            if call.method == method {
                std::future::pending::<()>().await;
            }
            Ok(())
        });
    }

    /// Each call of this method takes so long to reach the store.
    pub(crate) fn delay(&self, method: &'static str, by: Duration) {
        self.before(move |call| async move {
            if call.method == method {
                // sleep: this is the delay, in simulated time
                tokio::time::sleep(by).await;
            }
            Ok(())
        });
    }

    /// The next call of this method happens, and its answer is lost. Counts the calls that happened.
    pub(crate) fn lose_next_answer(&self, method: &'static str) -> Arc<AtomicUsize> {
        let count = Arc::new(AtomicUsize::new(0));
        let happened = Arc::clone(&count);
        self.after(move |call| {
            let is_first = call.method == method && happened.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if is_first { Err(no_answer()) } else { Ok(()) } }
        });
        count
    }

    /// The record of this member is in a format that cannot be read from here.
    pub(crate) fn make_unreadable(&self, id: &'static str) {
        self.0.lock().unwrap().unreadable = Some(id);
    }

    async fn run_before(&self, call: Call) -> Result<()> {
        let hook = self.0.lock().unwrap().before.clone();
        match hook {
            Some(hook) => hook(call).await,
            None => Ok(()),
        }
    }

    async fn run_after(&self, call: Call) -> Result<()> {
        let hook = self.0.lock().unwrap().after.clone();
        match hook {
            Some(hook) => hook(call).await,
            None => Ok(()),
        }
    }

    /// While a member is unreadable, the members are read anew with every renewal.
    fn renewed(&self, mut renewed: Renewed) -> Renewed {
        if self.0.lock().unwrap().unreadable.is_some() {
            renewed.changes = Changes::ResetNeeded;
        }
        renewed
    }

    fn members(&self, mut members: Membership) -> Membership {
        let unreadable = self.0.lock().unwrap().unreadable;
        let at = |id| {
            members
                .members
                .iter()
                .position(|member| member.record.id.as_str() == id)
        };
        if let Some(at) = unreadable.and_then(at) {
            let member = members.members.remove(at);
            let error = Error::new(ErrorKind::Unsupported, "test", "a newer format");
            members
                .unreadable
                .push(UnreadableMember::new(member.record.id.clone(), &error));
        }
        members
    }
}

#[derive(Debug)]
struct HookedStore(Hooks, Sessions);

impl HookedStore {
    fn inner(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.1.lock().unwrap())
    }
}

#[derive(Debug)]
struct HookedDiscovery(Hooks, Arc<dyn Discovery>);

impl HookedDiscovery {
    fn inner(&self) -> &Arc<dyn Discovery> {
        &self.1
    }
}

/// Delegates every method between its hooks: `of` tells which session it is about, `through` which
/// method of the hooks changes the answer. The whole `impl` stands in here because `async_trait`
/// has to see the methods.
macro_rules! delegate {
    (impl $trait:ident for $type:ident {
        $(fn $plain:ident() -> $value:ty;)*
        $(async $method:ident($($name:ident: $kind:ty),*) -> $answer:ty
            $(, of $of:expr)? $(, through $through:ident)?;)*
    }) => {
        #[async_trait]
        impl $trait for $type {
            $(fn $plain(&self) -> $value {
                self.inner().$plain()
            })*
            $(async fn $method(&self, $($name: $kind),*) -> Result<$answer> {
                let (hooks, inner) = (&self.0, self.inner());
                let call = Call { method: stringify!($method), partition: delegate!(@partition $($of)?) };
                hooks.run_before(call).await?;
                let answer = inner.$method($($name),*).await?;
                hooks.run_after(call).await?;
                $(let answer = hooks.$through(answer);)?
                Ok(answer)
            })*
        }
    };
    (@partition) => { None };
    (@partition $of:expr) => { Some($of.partition()) };
}

delegate! {
    impl SessionStore for HookedStore {
        fn limits() -> Limits;
        async create(request: CreateSession) -> Created, of request.id;
        async get(id: &SessionId) -> Option<SessionRecord>, of id;
        async find(player: &PlayerId) -> Vec<SessionRecord>, of player;
        async save(request: SaveSession) -> Saved, of request.id;
        async touch_many(touches: &[Touch]) -> TouchedMany, of touches[0].id;
        async claim(request: ClaimSession) -> Claimed, of request.id;
        async remove(request: RemoveSession) -> Removed, of request.id;
        async restore(request: RestoreSession) -> Restored, of request.session.id;
        async list(request: ListSessions) -> SessionPage;
        async count(partition: Partition) -> u64;
        async take_expired(request: TakeExpired) -> TakenSessions;
        async ack_expired(request: AckExpired) -> Acked, of request.id;
    }
}

delegate! {
    impl Discovery for HookedDiscovery {
        async register(request: RegisterNode) -> Registered;
        async renew(request: RenewLease) -> Renewed, through renewed;
        async leave(request: LeaveFleet) -> Departed;
        async evict(request: EvictNode) -> Evicted;
        async members() -> Membership, through members;
        async timing() -> Option<Timing>;
        async watch(after: Option<Revision>) -> Box<dyn Watch>;
    }
}
