//! Real Redis and etcd servers and clusters on free loopback ports, for tests and for development.
//!
//! | | |
//! |---|---|
//! | [`RedisServer`] | one server |
//! | [`RedisCluster`] | masters and replicas, with everything that can happen to them |
//! | [`SlotMove`] | a slot that moves, step by step |
//! | [`DevCluster`] | a cluster that outlives the program which starts it |
//! | [`EtcdCluster`] | an etcd of one or several members, with everything that can happen to them |
//! | [`SettableClock`] | server time that stands still until a test moves it |
//!
//! Each server has a folder of its own below the temporary folder and listens on 127.0.0.0/8 alone.
//! Other than a [`DevCluster`], a value owns its processes: dropping it kills exactly those and removes the folder, and a process
//! that dies without dropping, even by SIGKILL, leaves no server behind.
//!
//! All calls block, so an asynchronous test makes them in `spawn_blocking`. All may be made from
//! several threads at once.
//!
//! For Linux. What is started has to be installed: `redis-server` 7.0 or newer, `etcd` 3.4 or newer. The environment
//! variable `RINGHOLD_REDIS_SERVER` names another file to start in place of `redis-server`, such as `valkey-server`. The
//! settable clock needs a C compiler, and [`RedisOptions::locale`] needs `localedef` and the sources of locales.
//!
//! ```no_run
//! use std::time::Duration;
//! use ringhold_launch::{ClusterOptions, RedisCluster};
//!
//! # fn main() -> Result<(), ringhold_launch::Error> {
//! let cluster = RedisCluster::start(ClusterOptions::new())?;
//! println!("{}", cluster.url("arena"));
//! let old = cluster.masters()?[0];
//! cluster.kill(old)?;
//! let new = cluster.wait_until_promoted(old, Duration::from_secs(20))?;
//! assert_ne!(old, new);
//! # Ok(())
//! # }
//! ```

mod certificates;
mod client;
mod clock;
mod cluster;
mod daemon;
mod dev;
mod error;
mod etcd;
mod http;
mod keeper;
mod locale;
mod node;
mod options;
mod ports;
mod preload;
mod process;
mod reply;
mod server;
mod suite;
mod wait;

pub use clock::SettableClock;
pub use cluster::{ClusterOptions, RedisCluster, SlotMove};
pub use dev::{DevCluster, DevNode, DevRole};
pub use error::{Error, ErrorKind};
pub use etcd::{EtcdCluster, EtcdOptions};
pub use options::{RedisOptions, ServerClock, ServerTls};
pub use reply::Reply;
pub use server::RedisServer;

/// What a call of this crate comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;
