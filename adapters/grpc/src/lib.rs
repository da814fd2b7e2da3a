//! Calls and streams between the nodes of a fleet, over gRPC.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ringhold_core::Transport;
//! use ringhold_grpc::{GrpcConfig, GrpcTransport};
//!
//! # fn main() -> ringhold_core::Result<()> {
//! // On one machine, without security; `grpcs://` has certificates.
//! let config = GrpcConfig::parse("grpc://127.0.0.1:0")?;
//! let transport: Arc<dyn Transport> = Arc::new(GrpcTransport::new(config)?);
//! # Ok(())
//! # }
//! ```
//!
//! A node answers `ringhold.v1.Peer`, which `proto/ringhold/v1/peer.proto` describes, `grpc.health.v1` and
//! `grpc.reflection`. For probes of health, the service with an empty name is all nodes of one process, and
//! `ringhold.node.` with a node's id is that node.

mod batch;
mod bucket;
mod chunks;
mod config;
mod error;
mod generated;
mod limits;
mod pool;
mod security;
mod server;
mod stream;
mod table;
mod transport;
mod wire;

pub mod check;

pub use config::GrpcConfig;
pub use limits::GrpcLimits;
pub use security::Security;
pub use transport::GrpcTransport;
