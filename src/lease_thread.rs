//! The thread on which nodes renew their leases.
//!
//! A task of the application that blocks one worker of its runtime can stop the timers and connections of that whole
//! runtime. So renewals run on a thread with a current-thread runtime of its own, over connections that this runtime
//! has made and that nothing else uses. Handlers, callbacks, codecs and the peer server never run there.
//!
//! The thread belongs to one opened backend: nodes that join through clones of it share the thread. It ends with the
//! last of them. It is never joined, so its last handle may be dropped anywhere, also inside async code.

use std::io;
use std::sync::{Arc, Mutex, Weak};

use ringhold_core::discovery::DiscoveryConnector;
use ringhold_core::{Backend, Discovery, Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OnceCell, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use crate::shared::lock;

const JOIN: &str = "join";
const NAME: &str = "ringhold-lease";

/// The threads that run, so that clones of one backend find theirs by its connector.
static THREADS: Mutex<Vec<Weak<LeaseThread>>> = Mutex::new(Vec::new());

/// Where a node renews its lease, and over which connections.
#[derive(Debug, Clone)]
pub(crate) struct LeaseRuntime {
    pub(crate) handle: Handle,
    pub(crate) discovery: Arc<dyn Discovery>,
}

/// A thread that runs while this is held.
#[derive(Debug)]
pub(crate) struct LeaseThread {
    connector: Arc<dyn DiscoveryConnector>,
    running: OnceCell<Running>,
}

#[derive(Debug)]
struct Running {
    runtime: LeaseRuntime,
    _stop: DropGuard,
}

impl LeaseRuntime {
    /// The runtime for a node of `backend`: `given`, else a thread of the backend, else the caller's. The caller holds
    /// the thread for as long as the node renews.
    ///
    /// # Errors
    /// Those of [`DiscoveryConnector::connect`]; `Unavailable` where no thread can be started.
    ///
    /// # Cancel safety
    /// Dropping the future ends a thread that no other node uses.
    pub(crate) async fn open(
        backend: &Backend,
        given: Option<Handle>,
    ) -> Result<(Self, Option<Arc<LeaseThread>>)> {
        let Some(connector) = &backend.discovery_connector else {
            let runtime = Self {
                handle: given.unwrap_or_else(Handle::current),
                discovery: Arc::clone(&backend.discovery),
            };
            return Ok((runtime, None));
        };
        if let Some(handle) = given {
            let discovery = connect(&handle, connector).await?;
            return Ok((Self { handle, discovery }, None));
        }
        let thread = LeaseThread::of(connector);
        let runtime = thread.running().await?.runtime.clone();
        Ok((runtime, Some(thread)))
    }
}

impl LeaseThread {
    /// The thread of the backend that this connector belongs to. It is started when it is first used.
    fn of(connector: &Arc<dyn DiscoveryConnector>) -> Arc<Self> {
        let mut threads = lock(&THREADS);
        threads.retain(|thread| thread.strong_count() > 0);
        let mut running = threads.iter().filter_map(Weak::upgrade);
        if let Some(thread) = running.find(|thread| Arc::ptr_eq(&thread.connector, connector)) {
            return thread;
        }
        let thread = Arc::new(Self {
            connector: Arc::clone(connector),
            running: OnceCell::new(),
        });
        threads.push(Arc::downgrade(&thread));
        thread
    }

    async fn running(&self) -> Result<&Running> {
        let start = || async {
            let stop = CancellationToken::new();
            let (ready, started) = oneshot::channel();
            let thread = std::thread::Builder::new().name(NAME.to_owned());
            // Ends the thread also where this future is dropped, or nothing can be connected to.
            let guard = stop.clone().drop_guard();
            // What is logged there goes where the caller's logs go.
            let dispatch = tracing::dispatcher::get_default(Clone::clone);
            let body = move || tracing::dispatcher::with_default(&dispatch, || run(&stop, ready));
            thread.spawn(body).map_err(not_started)?;
            let handle = started
                .await
                .unwrap_or_else(|gone| Err(io::Error::other(gone)))
                .map_err(not_started)?;
            let discovery = connect(&handle, &self.connector).await?;
            Ok(Running {
                runtime: LeaseRuntime { handle, discovery },
                _stop: guard,
            })
        };
        self.running.get_or_try_init(start).await
    }
}

/// The thread itself.
fn run(stop: &CancellationToken, ready: oneshot::Sender<io::Result<Handle>>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error))),
    };
    // A caller that is gone has cancelled `stop`.
    let _ = ready.send(Ok(runtime.handle().clone()));
    runtime.block_on(stop.cancelled());
    // Without a wait for the resolution of a name, which may take long.
    runtime.shutdown_background();
}

fn not_started(error: io::Error) -> Error {
    let context = "cannot start the thread that renews the lease";
    Error::new(ErrorKind::Unavailable, JOIN, context)
        .with_source(error)
        .with_retryable(false)
}

async fn connect(handle: &Handle, connector: &Arc<dyn DiscoveryConnector>) -> Result<Arc<dyn Discovery>> {
    let connector = Arc::clone(connector);
    on(handle, async move { connector.connect().await }).await
}

/// Runs `work` on another runtime and waits for it. Dropping the future drops `work`.
pub(crate) async fn on<T: Send + 'static>(
    handle: &Handle,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let working = AbortOnDropHandle::new(handle.spawn(work));
    working.await.unwrap_or_else(|error| {
        let context = if error.is_panic() {
            "the adapter panicked"
        } else {
            "the runtime that renews the lease has ended"
        };
        Err(Error::new(ErrorKind::Unavailable, JOIN, context)
            .with_source(error)
            .with_retryable(false))
    })
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use ringhold_core::FleetName;
    use ringhold_memory::MemoryBackend;
    use tokio::time::timeout;

    use crate::{Fleet, NodeStatus};

    const LONG: Duration = Duration::from_secs(30);

    /// Connects to a membership in memory, after some failures.
    #[derive(Debug)]
    struct Fake {
        discovery: Arc<dyn Discovery>,
        failures: AtomicUsize,
        connected_on: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl DiscoveryConnector for Fake {
        async fn connect(&self) -> Result<Arc<dyn Discovery>> {
            let fails = |left: usize| left.checked_sub(1);
            if self
                .failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
                .is_ok()
            {
                return Err(Error::new(ErrorKind::Unavailable, "open", "no server answers"));
            }
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            lock(&self.connected_on).push(thread);
            Ok(Arc::clone(&self.discovery))
        }
    }

    fn fake(failures: usize) -> (Backend, Arc<Fake>) {
        let backend = MemoryBackend::new(FleetName::new("test").unwrap()).backend();
        let fake = Arc::new(Fake {
            discovery: Arc::clone(&backend.discovery),
            failures: AtomicUsize::new(failures),
            connected_on: Mutex::default(),
        });
        let connector = Arc::clone(&fake) as Arc<dyn DiscoveryConnector>;
        (backend.with_discovery_connector(connector), fake)
    }

    fn runs(backend: &Backend) -> Option<Handle> {
        let connector = backend.discovery_connector.as_ref()?;
        let threads = lock(&THREADS);
        let mut running = threads.iter().filter_map(Weak::upgrade);
        let thread = running.find(|thread| Arc::ptr_eq(&thread.connector, connector))?;
        Some(thread.running.get()?.runtime.handle.clone())
    }

    #[tokio::test]
    async fn nodes_of_one_opened_backend_share_a_thread_that_ends_with_the_last() {
        let (backend, fake) = fake(0);
        let join = |id: &'static str| Fleet::builder(backend.clone()).node(id).join();
        let (a, b) = (join("a").await.unwrap(), join("b").await.unwrap());
        assert_eq!(*lock(&fake.connected_on), [NAME]);
        let handle = runs(&backend).expect("a thread");
        assert!(handle.id() != Handle::current().id());
        drop(a);
        assert_eq!(
            timeout(LONG, b.wait_for_status(|status| status == NodeStatus::Attached)).await,
            Ok(NodeStatus::Attached)
        );
        let lasting = handle.spawn(std::future::pending::<()>());
        b.update(|record| record.capacity = Some(7))
            .await
            .expect("the thread still renews");
        assert!(!lasting.is_finished());
        // Inside async code: the thread ends all the same, and with it what runs there.
        drop(b);
        let ended = timeout(LONG, lasting).await.expect("the thread ends");
        assert!(ended.unwrap_err().is_cancelled());
        assert!(runs(&backend).is_none());
        let c = join("c").await.unwrap();
        assert_eq!(*lock(&fake.connected_on), [NAME, NAME], "another thread");
        c.leave().await.unwrap();
    }

    #[tokio::test]
    async fn thread_of_a_join_that_cannot_connect_ends_and_the_next_join_connects() {
        let (backend, fake) = fake(1);
        let join = || Fleet::builder(backend.clone()).node("a").join();
        assert_eq!(join().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(runs(&backend).is_none());
        join().await.unwrap();
        assert_eq!(*lock(&fake.connected_on), [NAME]);
    }

    #[tokio::test(start_paused = true)]
    async fn given_runtime_is_the_one_that_connects_and_renews() {
        let (backend, fake) = fake(0);
        let builder = Fleet::builder(backend.clone())
            .node("a")
            .heartbeat_on(Handle::current());
        let node = builder.join().await.unwrap();
        assert!(lock(&fake.connected_on).iter().all(|thread| thread != NAME));
        assert!(runs(&backend).is_none());
        // sleep: simulated time of many leases, in which the paused clock drives the renewals
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(node.status(), NodeStatus::Attached);
        assert_eq!(backend.discovery.members().await.unwrap().members.len(), 1);
    }
}
