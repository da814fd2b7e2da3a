//! A backend that fails when it is told to, around one that works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use ringhold::core::discovery::{
    EvictNode, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold::core::session::{
    AckExpired, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired, TakenSessions, Touch, Touched,
};
use ringhold::{
    Backend, Discovery, Error, ErrorKind, Limits, Membership, PlayerId, Result, Revision, SessionId,
    SessionRecord, SessionStore, Timing,
};

/// Cuts whoever uses the backend that [`Cut::wrap`] gave off from the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    pub(crate) fn set(&self, down: bool) {
        self.0.store(down, Ordering::SeqCst);
    }

    fn check(&self) -> Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "test", "cut off"));
        }
        Ok(())
    }

    /// The same backend behind this cut.
    pub(crate) fn wrap(&self, backend: &Backend) -> Backend {
        let mut wrapped = backend.clone();
        wrapped.sessions = Arc::new(CutStore(self.clone(), Arc::clone(&backend.sessions)));
        wrapped.discovery = Arc::new(CutDiscovery(self.clone(), Arc::clone(&backend.discovery)));
        wrapped
    }
}

#[derive(Debug)]
struct CutStore(Cut, Arc<dyn SessionStore>);

#[derive(Debug)]
struct CutDiscovery(Cut, Arc<dyn Discovery>);

/// Delegates every method, after a look at the cut. The whole `impl` stands in here because
/// `async_trait` has to see the methods.
macro_rules! delegate {
    (impl $trait:ident for $type:ident {
        $(fn $plain:ident() -> $value:ty;)*
        $(async $method:ident($($name:ident: $kind:ty),*) -> $answer:ty;)*
    }) => {
        #[async_trait]
        impl $trait for $type {
            $(fn $plain(&self) -> $value {
                self.1.$plain()
            })*
            $(async fn $method(&self, $($name: $kind),*) -> Result<$answer> {
                self.0.check()?;
                self.1.$method($($name),*).await
            })*
        }
    };
}

delegate! {
    impl SessionStore for CutStore {
        fn limits() -> Limits;
        async create(request: CreateSession) -> Created;
        async get(id: &SessionId) -> Option<SessionRecord>;
        async find(player: &PlayerId) -> Vec<SessionRecord>;
        async save(request: SaveSession) -> Saved;
        async touch_many(touches: &[Touch]) -> Vec<Touched>;
        async claim(request: ClaimSession) -> Claimed;
        async remove(request: RemoveSession) -> Removed;
        async restore(request: RestoreSession) -> Restored;
        async list(request: ListSessions) -> SessionPage;
        async take_expired(request: TakeExpired) -> TakenSessions;
        async ack_expired(request: AckExpired) -> ();
    }
}

delegate! {
    impl Discovery for CutDiscovery {
        async register(request: RegisterNode) -> Registered;
        async renew(request: RenewLease) -> Renewed;
        async leave(request: LeaveFleet) -> ();
        async evict(request: EvictNode) -> bool;
        async members() -> Membership;
        async timing() -> Option<Timing>;
        async watch(after: Option<Revision>) -> Box<dyn Watch>;
    }
}
