//! A transport around one that works, which does what a test tells it: it is cut, hangs, loses answers,
//! sends twice; and handlers made of closures.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ringhold::core::transport::ServeGuard;
use ringhold::memory::MemoryTransport;
use ringhold::{
    Address, Backend, Error, ErrorKind, Fleet, FleetBuilder, NodeIncarnation, NodeRecord, PeerHandler,
    PeerRequest, PeerStream, Result, Timing, Transport, async_trait,
};

/// The way between the nodes of a test.
#[derive(Clone)]
pub(crate) struct Line {
    inner: Arc<MemoryTransport>,
    set: Arc<Mutex<Set>>,
}

#[derive(Default)]
struct Set {
    cut: HashSet<String>,
    hung: HashSet<String>,
    lose: usize,
    address: Option<Address>,
    sent: Vec<PeerRequest>,
    well: Vec<bool>,
    served: Option<Arc<dyn PeerHandler>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::default(),
            set: Arc::default(),
        }
    }

    /// The same backend with this line between its nodes.
    pub(crate) fn wrap(&self, backend: &Backend) -> Backend {
        backend.clone().with_transport(Arc::new(self.clone()))
    }

    /// Nothing reaches this node.
    pub(crate) fn cut(&self, node: &str) {
        self.set.lock().unwrap().cut.insert(node.to_owned());
    }

    /// Nothing that reaches this node is ever answered.
    pub(crate) fn hang(&self, node: &str) {
        self.set.lock().unwrap().hung.insert(node.to_owned());
    }

    /// The next answers are lost. What has a key is sent again; the caller of anything else is told.
    pub(crate) fn lose_answers(&self, count: usize) {
        self.set.lock().unwrap().lose = count;
    }

    /// Nodes are called at this address.
    pub(crate) fn listen_at(&self, address: &str) {
        self.set.lock().unwrap().address = Some(Address::new(address).unwrap());
    }

    /// What was sent until now, repetitions included.
    pub(crate) fn sent(&self) -> Vec<PeerRequest> {
        self.set.lock().unwrap().sent.clone()
    }

    /// What probes of health were answered, one after the other.
    pub(crate) fn well(&self) -> Vec<bool> {
        self.set.lock().unwrap().well.clone()
    }

    /// Who answers for the node that was served last.
    pub(crate) fn served(&self) -> Arc<dyn PeerHandler> {
        self.set.lock().unwrap().served.clone().unwrap()
    }

    async fn send(&self, request: &PeerRequest) -> Result<()> {
        let (cut, hung) = {
            let mut set = self.set.lock().unwrap();
            set.sent.push(request.clone());
            let node = request.target.node.as_str();
            (set.cut.contains(node), set.hung.contains(node))
        };
        if hung {
            std::future::pending::<()>().await;
        }
        if cut {
            return Err(Error::new(ErrorKind::Unavailable, "test", "the line is cut"));
        }
        Ok(())
    }
}

#[async_trait]
impl Transport for Line {
    async fn call(&self, record: &NodeRecord, request: PeerRequest) -> Result<Bytes> {
        loop {
            self.send(&request).await?;
            let answer = self.inner.call(record, request.clone()).await;
            let is_lost = {
                let mut set = self.set.lock().unwrap();
                let is_lost = set.lose > 0;
                set.lose -= usize::from(is_lost);
                is_lost
            };
            if !is_lost {
                return answer;
            }
            if request.key.is_none() {
                return Err(Error::new(ErrorKind::Unavailable, "test", "the answer was lost"));
            }
        }
    }

    async fn open(&self, record: &NodeRecord, request: PeerRequest) -> Result<PeerStream> {
        self.send(&request).await?;
        self.inner.open(record, request).await
    }

    async fn listen(&self) -> Result<Option<Address>> {
        Ok(self.set.lock().unwrap().address.clone())
    }

    async fn serve(&self, node: NodeIncarnation, handler: Arc<dyn PeerHandler>) -> Result<ServeGuard> {
        self.set.lock().unwrap().served = Some(Arc::clone(&handler));
        let (serving, set) = (self.inner.serve(node, handler).await?, Arc::clone(&self.set));
        let on_health = move |well| set.lock().unwrap().well.push(well);
        Ok(ServeGuard::new(None, serving).with_health(on_health))
    }
}

/// Answers calls with what `answer` answers.
pub(crate) struct Answering<F>(pub(crate) F);

#[async_trait]
impl<F, A> PeerHandler for Answering<F>
where
    F: Fn(PeerRequest) -> A + Send + Sync,
    A: Future<Output = Result<Bytes>> + Send,
{
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        (self.0)(request).await
    }
}

/// Answers calls with its own name, and remembers them.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<PeerRequest>>>);

impl Heard {
    pub(crate) fn requests(&self) -> Vec<PeerRequest> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[async_trait]
impl PeerHandler for Heard {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        let name = Bytes::copy_from_slice(request.target.node.as_str().as_bytes());
        self.0.lock().unwrap().push(request);
        Ok(name)
    }
}

pub(crate) fn builder(backend: &Backend, id: &str) -> FleetBuilder {
    Fleet::builder(backend.clone()).node(id).timing(Timing::default())
}

/// A node whose calls are answered by `handler`.
pub(crate) async fn serving(backend: &Backend, id: &str, handler: impl PeerHandler + 'static) -> Fleet {
    builder(backend, id).peer_handler(handler).join().await.unwrap()
}

/// Nodes `n0`, `n1`, … who all see each other, and what each of them hears.
pub(crate) async fn hearing(backend: &Backend, nodes: usize) -> (Vec<Fleet>, Vec<Heard>) {
    let heard: Vec<_> = (0..nodes).map(|_| Heard::default()).collect();
    let mut fleet = Vec::new();
    for (index, heard) in heard.iter().enumerate() {
        fleet.push(serving(backend, &format!("n{index}"), heard.clone()).await);
    }
    crate::support::sees(&fleet, nodes).await;
    (fleet, heard)
}
