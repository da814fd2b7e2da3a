#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attached;
mod boottime;
mod builder;
mod coalesce;
mod codec;
mod contact;
mod events;
mod expiry;
mod fleet;
mod health;
mod heartbeat;
mod inbox;
mod lease_thread;
mod login;
mod node;
mod observer;
mod obtain;
mod open;
mod peers;
mod progress;
mod random;
mod retry;
mod save;
mod session;
mod shared;
mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
mod touch;

pub use builder::FleetBuilder;
pub use events::{Events, FencedReason, FleetEvent, SessionEvent};
pub use expiry::{Expired, ExpiryCounts, ExpiryOptions};
pub use fleet::{Fleet, WeakFleet};
pub use inbox::PlayerMessage;
pub use login::{Login, LoginOptions, Redirect};
pub use node::NodeStatus;
pub use observer::{Located, Observer, Router};
pub use open::{Scheme, open, schemes};
pub use peers::{
    Announced, Broadcast, CallOptions, Delivered, KICK_REASON_BYTES_MAX, Kicked, MESSAGE_BYTES_MAX,
    PeerTarget,
};
pub use session::{Session, ValueMut};

/// What an implementation of [`PeerHandler`] is marked with.
pub use async_trait::async_trait;

pub use ringhold_core as core;
pub use ringhold_core::backend::{Backend, Capabilities};
pub use ringhold_core::id::{
    Address, Build, EndpointName, Fence, FleetName, Incarnation, LabelKey, LabelValue, NodeId,
    NodeIncarnation, Nonce, OperationId, Partition, PlayerId, SessionId, Ttl, Version, Weight, Zone,
};
pub use ringhold_core::membership::{LeftReason, Membership, Revision, Update};
pub use ringhold_core::node::{ExpiryMode, NodeRecord, NodeState};
pub use ringhold_core::policy::{BalancingPolicy, BoundedLoad, ConsistentHash, LeastConnections, RoundRobin};
pub use ringhold_core::ring::Ring;
pub use ringhold_core::session::{Saved, SessionRecord, SessionStore};
pub use ringhold_core::transport::{
    PeerHandler, PeerReceiver, PeerRequest, PeerSender, PeerStream, TraceContext,
};
pub use ringhold_core::view::{PlaceRequest, Reservation, View, ViewNode};
pub use ringhold_core::{Discovery, Error, ErrorKind, HealthCheck, Limits, Result, Timing, Transport};

/// etcd, `etcd://`.
#[cfg(feature = "etcd")]
pub use ringhold_etcd as etcd;
/// Calls and streams between nodes in different processes, over gRPC.
#[cfg(feature = "grpc")]
pub use ringhold_grpc as grpc;
/// The in-memory backend, `memory:`.
#[cfg(feature = "memory")]
pub use ringhold_memory as memory;
/// One redb file, `redb:`.
#[cfg(feature = "redb")]
pub use ringhold_redb as redb;
/// Redis Cluster and one Redis, `redis-cluster://` and `redis://`.
#[cfg(any(feature = "redis", feature = "redis-cluster"))]
pub use ringhold_redis as redis;
/// One sled folder, `sled:`.
#[cfg(feature = "sled")]
pub use ringhold_sled as sled;
