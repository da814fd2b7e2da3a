//! Calls and streams between the nodes of a fleet, over gRPC.

mod security;

pub mod check;

pub use security::Security;
