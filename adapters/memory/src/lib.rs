//! Ringhold on memory: sessions, membership and the calls between nodes of one process.
//!
//! Nothing to install, nothing to configure, gone with the process: for tests, for a single
//! machine, and for a first look. It is the reference implementation of every trait, keeps every
//! rule of their contracts, and is the template of a new adapter.
//!
//! | file | holds |
//! |---|---|
//! | `config.rs` | what can be set: fleet, limits, clock |
//! | `store.rs`, `store/` | [`MemorySessions`]: 1,024 partitions, each a state machine behind a lock of its own |
//! | `discovery.rs`, `discovery/` | [`MemoryDiscovery`]: the lease state machine, its log of changes, its watch |
//! | `transport.rs` | [`MemoryTransport`]: calls between nodes of this process |
//! | `clock.rs` | [`TokioClock`], which stands still when the tests of its user say so |
//!
//! There are no background tasks: lapses and expiries are looked at when somebody asks, as on every
//! backend. The state machines are synchronous and take the time as an argument; the types around
//! them add the lock and the clock. No lock is held across an `.await`.
//!
//! # A login
//!
//! ```
//! use std::time::Duration;
//!
//! use ringhold_core::session::{CreateOutcome, CreateSession};
//! use ringhold_core::{FleetName, Incarnation, NodeId, NodeIncarnation, Nonce, PlayerId, SessionId, Ttl};
//! use ringhold_memory::MemoryBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> ringhold_core::Result<()> {
//! let backend = MemoryBackend::new(FleetName::new("arena")?).backend();
//!
//! // A server draws these from the operating system's random source.
//! let (bits, nonce) = ([1; 16], Nonce::from_bytes([2; 16]));
//! let server = NodeIncarnation::new(NodeId::new("eu-1")?, Incarnation { number: 1, nonce });
//!
//! let ada = PlayerId::new("ada")?;
//! let id = SessionId::new(ada.partition(), bits);
//! let login = CreateSession::new(id, ada.clone(), server, nonce, Ttl::new(Duration::from_secs(30))?);
//! let created = backend.sessions.create(login.with_data("level 1")).await?;
//! assert_eq!(created.outcome, CreateOutcome::New);
//! let found = backend.sessions.find(&ada).await?;
//! assert_eq!((found[0].id, &found[0].data[..]), (id, &b"level 1"[..]));
//! # Ok(())
//! # }
//! ```

mod clock;
mod config;
mod discovery;
mod store;
mod transport;

pub use clock::TokioClock;
pub use config::{MemoryBackend, MemoryBuilder, SCHEME};
pub use discovery::MemoryDiscovery;
pub use store::MemorySessions;
pub use transport::MemoryTransport;
