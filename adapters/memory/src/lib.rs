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
//! # A million sessions
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- memory` fills other stores and this one, in turns and in
//! one process, with 1,000,000 sessions of 200 B and an index of players. This one is called through the trait: a trait object, a
//! boxed future, a whole record as the answer. The median of three rounds on a quiet virtual machine with two cores, in
//! ns of CPU for each call, for two threads in ns of wall time; the last column in ms of CPU:
//!
//! | | create | get | by player | touch | two threads | bytes of each | all expire |
//! |---|---|---|---|---|---|---|---|
//! | ringhold | 766 | 728 | 955 | 548 | 361 | 362 | 695 |
//! | dashmap 6.2 | 763 | 642 | 1,191 | 559 | 349 | 458 | 896 |
//! | papaya 0.2 | 962 | 474 | 1,065 | 450 | 280 | 412 | 1,914 |
//! | scc 3.8 | 813 | 631 | 1,174 | 576 | 338 | 446 | 917 |
//! | moka 0.12 | 2,234 | 1,440 | 2,028 | 2,937 | 989 | 774 | in its callers |
//! | tower-sessions 0.15 | 1,094 | 991 | 1,793 | 1,201 | 27,975 | 816 | never |
//!
//! So it is behind in `get`, in `create` as good as dashmap, behind papaya in `touch`, and with two threads, who mostly
//! get, behind papaya and a few percent behind dashmap and scc. Two things make the difference, as 20,000 sessions show, which
//! caches hold (`--test`):
//!
//! - *The answer.* There a `get` takes 340 ns here, 250 to 290 with dashmap, which answers a counted pointer, and 190 to
//!   220 with papaya, whose readers read in place: a future, a lock, and copies of data, player and owner that the caller
//!   may keep. A touch takes 155, 105 and 90 ns.
//! - *What is kept.* A `create` takes 750 to 810 ns there, 310 to 340 with dashmap. It looks for the login among those that
//!   were made before and among the tombstones, enters the session in the expiry index and its owner among
//!   the partition's, and copies the record into its answer. The maps keep none of these.
//!
//! The rest is cache misses: beside the index and the session, whose lines every store meets, the lines of one of 1,024
//! partitions.
//!
//! While all expire, the longest hold of a lock was 0.06 to 0.4 ms of CPU in 19 of 23 rounds (`--features holds`), and 1.0 to
//! 8.4 ms in four: this virtual machine is put aside now and then, for up to 7 ms of the CPU time of a thread that
//! does nothing but read that clock. Memory is given back behind the lock. A
//! reader's p99.9 was 3.4 µs meanwhile and 2.0 µs without expiry, its worst look 2.3 ms and 4.5; with dashmap p99.9 was
//! 174 ms and 1.4 µs, with papaya 8.0 and 1.4 µs, with scc 1.4 and 1.5 µs, whose worst look was 31 ms.
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
