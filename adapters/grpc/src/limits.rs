//! What one process gives to others, and what it asks of one of them.

use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Result};

/// The limits of a [`GrpcTransport`](crate::GrpcTransport).
///
/// ```
/// let mut limits = ringhold_grpc::GrpcLimits::default();
/// limits.calls_max = 32;
/// let config = ringhold_grpc::GrpcConfig::client().with_limits(limits)?;
/// # Ok::<_, ringhold_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcLimits {
    /// Connections that are served at one time; more are closed at once. 1,024.
    pub connections_max: usize,
    /// How long a new connection has for its handshake, and then for its first request. 5 s.
    pub handshake: Duration,
    /// Calls and streams at one time on one served connection; each holds up to one body of 1 MiB. 256.
    pub streams_max: u32,
    /// Bytes of the headers of one request or answer, as HTTP/2 counts them. 16 KiB.
    pub header_bytes_max: u32,
    /// Requests per second on one served connection; more are `Overloaded`, and much more are not read
    /// until later. 20,000.
    pub requests_per_second: u32,
    /// So many requests at once are no matter, when it was calm before. 20,000.
    pub requests_burst: u32,
    /// Calls to one node that are under way at one time. 128.
    pub calls_max: usize,
    /// Calls to one node that wait for one of those to end; more are `Overloaded`. 1,024.
    pub queue_max: usize,
    /// Streams to one node at one time; more are `Overloaded`. 4,096.
    pub peer_streams_max: usize,
    /// How long a connection to a node may take, its handshake included. 1 s.
    pub connect: Duration,
    /// How often the other side is asked whether it is still there, while something is under way. 5 s.
    pub keep_alive: Duration,
    /// How long it has for that answer. 5 s.
    pub keep_alive_answer: Duration,
    /// A connection to a node that was not used for so long is closed. 300 s.
    pub idle: Duration,
}

impl Default for GrpcLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            handshake: Duration::from_secs(5),
            streams_max: 256,
            header_bytes_max: 16 << 10,
            requests_per_second: 20_000,
            requests_burst: 20_000,
            calls_max: 128,
            queue_max: 1_024,
            peer_streams_max: 4_096,
            connect: Duration::from_secs(1),
            keep_alive: Duration::from_secs(5),
            keep_alive_answer: Duration::from_secs(5),
            idle: Duration::from_secs(300),
        }
    }
}

impl GrpcLimits {
    pub(crate) fn check(&self) -> Result<()> {
        let numbers = [
            ("connections_max", self.connections_max as u64, 1 << 20),
            ("streams_max", self.streams_max.into(), 1 << 16),
            ("header_bytes_max", self.header_bytes_max.into(), 1 << 20),
            (
                "requests_per_second",
                self.requests_per_second.into(),
                u32::MAX.into(),
            ),
            ("requests_burst", self.requests_burst.into(), u32::MAX.into()),
            ("calls_max", self.calls_max as u64, 1 << 16),
            ("queue_max", self.queue_max as u64, 1 << 20),
            ("peer_streams_max", self.peer_streams_max as u64, 1 << 16),
        ];
        for (name, number, max) in numbers {
            if !(1..=max).contains(&number) {
                return Err(bad(format!("{name} is {number}; it takes 1 to {max}")));
            }
        }
        let periods = [
            ("handshake", self.handshake),
            ("connect", self.connect),
            ("keep_alive", self.keep_alive),
            ("keep_alive_answer", self.keep_alive_answer),
            ("idle", self.idle),
        ];
        for (name, period) in periods {
            if !(Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(&period) {
                return Err(bad(format!("{name} is {period:?}; it takes 10 ms to a day")));
            }
        }
        // Errors travel in headers: below this they would not fit.
        if self.header_bytes_max < 16 << 10 {
            return Err(bad(
                "header_bytes_max is below 16 KiB, which errors need".to_owned()
            ));
        }
        Ok(())
    }
}

fn bad(context: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, "grpc limits", context)
}
