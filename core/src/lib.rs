//! The contracts of Ringhold: what every backend promises and every server relies on.
//!
//! This crate does no I/O, spawns nothing, and owns neither a clock nor randomness: time comes in
//! through [`Clock`], random bytes come in as arguments. So every rule in it can be tested without
//! a server and without waiting.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | names and numbers that cannot hold a bad value |
//! | [`error`] | the one error of all crates |
//! | [`node`], [`membership`] | node records, and the fleet's membership with its revisions |
//! | [`session`] | sessions, the requests upon them, and [`SessionStore`] |
//! | [`discovery`] | [`Discovery`]: registration, leases, watch |
//! | [`transport`] | [`Transport`] between nodes, and [`HealthCheck`] |
//! | [`ring`] | the consistent-hash ring and its written specification |
//! | [`published`] | one value, published by a writer to readers that never wait |
//! | [`view`], [`policy`] | what one node sees, and how it places new stays |
//! | [`codec`] | the stored form of records |
//! | [`timing`], [`clock`] | periods of a fleet, and the source of time |
//! | [`backend`] | the set of trait objects that a URL opens |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
pub mod clock;
pub mod codec;
pub mod discovery;
pub mod error;
pub mod id;
pub mod limits;
pub mod membership;
pub mod node;
pub mod policy;
pub mod published;
pub mod ring;
pub mod session;
mod sync;
pub mod timing;
pub mod transport;
pub mod view;

pub use backend::Backend;
pub use clock::Clock;
pub use discovery::Discovery;
pub use error::{Error, ErrorKind, Result};
pub use id::{
    Epoch, Fence, FleetName, Incarnation, NodeId, NodeIncarnation, Nonce, OperationId, Partition, PlayerId,
    SessionId, Ttl, Version, Weight,
};
pub use limits::Limits;
pub use membership::{Membership, Revision, Update};
pub use node::{NodeRecord, NodeState};
pub use policy::BalancingPolicy;
pub use ring::Ring;
pub use session::{SessionRecord, SessionStore};
pub use timing::Timing;
pub use transport::{HealthCheck, Transport};
pub use view::View;
