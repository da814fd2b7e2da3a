//! A node in this process: a game server with threads and sockets of its own, so that it can be
//! killed like a process.

use ringhold::{Address, Backend, Fleet, NodeIncarnation, Timing};

use crate::demo::engine::Engine;
use crate::demo::server::{self, ServerLimits};
use crate::exit::Failure;
use crate::peer;
use crate::target::BackendUrl;

/// Where a node gets its backend from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// From whoever starts it: an embedded one is the same for all only as long as they share it.
    Shared(Backend),
    /// It opens the URL for itself, as a process does, and what serves its connections dies with it. A
    /// borrowed client may start such tasks on the threads of the node that first needs them, as Redis
    /// does for replicated writes; when that node was killed, the others could not write any more.
    Own(BackendUrl),
}

/// A running node. Dropping it ends it as `kill -9` ends a process: its tasks stop where they are,
/// its sockets close, and nobody is told.
#[derive(Debug)]
pub(crate) struct Here {
    /// Where its players connect.
    pub(crate) address: Address,
    fleet: Fleet,
    _engine: Engine,
}

impl Here {
    /// Starts a node and waits until it has joined its fleet.
    ///
    /// # Errors
    /// Of the operating system and of joining.
    pub(crate) async fn start(source: Source, name: &str, timing: Timing) -> Result<Self, Failure> {
        let engine = Engine::start(name, 1)?;
        let id = name.to_owned();
        let starting = engine.handle().spawn(async move {
            let backend = match source {
                Source::Shared(backend) => backend,
                Source::Own(url) => url.open().await?,
            };
            let listener = server::listen()?;
            let address = Address::new(listener.local_addr()?.to_string())?;
            let transport = peer::of_node(&backend)?;
            let mut builder = Fleet::builder(backend)
                .node(id)
                .endpoint("player", &address)
                .timing(timing);
            if let Some(transport) = transport {
                builder = builder.transport(transport);
            }
            let fleet = builder.build_id(env!("CARGO_PKG_VERSION")).join().await?;
            tokio::spawn(server::serve(listener, fleet.clone(), ServerLimits::default()));
            Ok::<_, Failure>((fleet, address))
        });
        let started = starting
            .await
            .map_err(|error| Failure::failed(error.to_string()))?;
        let (fleet, address) = started.map_err(|failure| failure.during(&format!("starting {name}")))?;
        Ok(Self {
            address,
            fleet,
            _engine: engine,
        })
    }

    /// The node as a member of its fleet.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Which run of the node this is.
    pub(crate) fn incarnation(&self) -> NodeIncarnation {
        self.fleet.node()
    }
}
