//! Health checks of other nodes: over TCP, HTTP and gRPC.
//!
//! Each probe makes a connection of its own and closes it: whether a node still takes connections is part of
//! the question. Whoever drops a probe drops its connection; no task is left behind.
//!
//! ```
//! use ringhold_grpc::check::{HttpCheck, TcpCheck};
//!
//! // `health` where a node has such an endpoint, else `player`.
//! let connects = TcpCheck::new();
//! let answers = HttpCheck::new("/ready")?;
//! # Ok::<_, ringhold_core::Error>(())
//! ```

mod address;
mod grpc;
mod http;
mod tcp;
#[cfg(test)]
mod tests;

use ringhold_core::{Error, ErrorKind};

pub use self::grpc::GrpcCheck;
pub use self::http::HttpCheck;
pub use self::tcp::TcpCheck;

const PROBE: &str = "health check";

/// The node is not well, or not reached.
fn unwell(context: String) -> Error {
    Error::new(ErrorKind::Unavailable, PROBE, context)
}

/// The innermost cause of an error, which says the most.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
