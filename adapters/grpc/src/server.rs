//! The server: accepts connections, and gives each what belongs to it.

mod answers;
mod callers;
mod connection;
mod health;
mod io;
mod newcomers;
mod peer;
mod reflection;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use ringhold_core::id::Address;
use ringhold_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::answers::Answering;
use self::callers::Callers;
use self::connection::Connection;
use self::newcomers::Newcomers;
pub(crate) use self::peer::{MESSAGE_BYTES_MAX, too_large};
use self::reflection::Reflection;
use crate::batch::Batched;
use crate::config::Listen;
use crate::security::Secured;
use crate::table::Table;
use crate::{GrpcConfig, GrpcLimits};

/// What is given to read ahead to one call or stream. A connection has room for all of them, so that those
/// that nobody reads hold up no other.
const WINDOW_BYTES: u32 = 32 << 10;
/// The most that one connection is given to read ahead.
pub(crate) const CONNECTION_BYTES_MAX: u32 = 16 << 20;
/// What waits to be sent on one call or stream.
pub(crate) const SEND_BYTES_MAX: usize = 64 << 10;
/// How long the system gets to have a connection again where it had none.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const LISTEN: &str = "listen";

/// A server that listens, until it is dropped; its connections end with it.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) local: SocketAddr,
    /// Where it is called.
    pub(crate) address: Address,
    accepting: AbortHandle,
}

/// What every connection needs.
pub(crate) struct Shared {
    pub(crate) secured: Arc<Secured>,
    pub(crate) limits: GrpcLimits,
    pub(crate) table: Arc<Table>,
    reflection: Reflection,
    callers: Callers,
}

impl Server {
    /// Begins to listen. Whoever calls this gives the runtime that handlers run in.
    pub(crate) async fn start(config: &GrpcConfig, secured: Arc<Secured>, table: Arc<Table>) -> Result<Self> {
        let Some(listen @ Listen { host, port }) = &config.listen else {
            let context = "this transport serves nobody: give it an address, such as grpc://127.0.0.1:0";
            return Err(Error::new(ErrorKind::InvalidArgument, LISTEN, context));
        };
        let unavailable = |error| {
            let context = format!("cannot listen at {host}:{port}");
            Error::new(ErrorKind::Unavailable, LISTEN, context).with_source(error)
        };
        let listener = TcpListener::bind((host.as_str(), *port))
            .await
            .map_err(unavailable)?;
        let local = listener.local_addr().map_err(unavailable)?;
        let address = match &config.advertise {
            Some(address) => address.clone(),
            None => listen.address(local.port())?,
        };
        let shared = Arc::new(Shared {
            secured,
            limits: config.limits.clone(),
            table,
            reflection: Reflection::new()?,
            callers: Callers::default(),
        });
        let accepting = tokio::spawn(accept(listener, shared)).abort_handle();
        Ok(Self {
            local,
            address,
            accepting,
        })
    }
}

impl Server {
    /// Whether nobody accepts connections any more: the runtime that did has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.accepting.is_finished()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections. Their tasks end with this one.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(shared.limits.connections_max));
    let (mut connections, mut newcomers) = (JoinSet::new(), Newcomers::default());
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, _)) => {
                let place = match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => Some(place),
                    // Its place is free as soon as its task has noticed.
                    Err(_) if newcomers.end_one() => Arc::clone(&places).acquire_owned().await.ok(),
                    Err(_) => None,
                };
                if let Some(place) = place {
                    let requested = CancellationToken::new();
                    let serving = serve(tcp, Arc::clone(&shared), place, requested.clone());
                    newcomers.push(connections.spawn(serving), requested);
                } else {
                    // Closed: its owner tries elsewhere or later.
                    tracing::debug!("a connection above the limit was closed");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // sleep: out of files or memory, and nothing says when there is some again.
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn serve(
    tcp: TcpStream,
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
    requested: CancellationToken,
) {
    let limits = &shared.limits;
    // Small answers are not held back for more to come. Where it fails they are only slower.
    let _ = tcp.set_nodelay(true);
    let (io, caller) = match timeout(limits.handshake, shared.secured.accept(tcp)).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection was refused"),
        Err(_) => return tracing::debug!("a handshake took too long"),
    };
    let Some(share) = shared.callers.enter(&caller, limits) else {
        return tracing::debug!("a connection was closed whose caller has too many");
    };
    let io = Batched::new(io::Paced::new(io, Arc::clone(&share.pace)));
    let connection = Connection::new(Arc::clone(&shared), caller, &share, requested.clone());
    let serving = http2::Builder::new(Answering)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        // All calls of a caller may run out of time before a busy server has looked at one.
        .max_pending_accept_reset_streams(limits.streams_max as usize)
        .max_header_list_size(limits.header_bytes_max)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(connection_bytes(limits.streams_max))
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive_answer)
        .serve_connection(TokioIo::new(io), connection);
    let mut serving = std::pin::pin!(serving);
    let idle = async || {
        if timeout(limits.handshake, requested.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = idle() => {
            tracing::debug!("a connection is closed that asked for nothing");
            // A caller opens a second one for the calls to come, and the first of them may be on its way.
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = idle() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
    drop((share, place));
}

/// Room for every call and stream of a connection.
fn connection_bytes(streams_max: u32) -> u32 {
    streams_max
        .saturating_mul(WINDOW_BYTES)
        .clamp(1 << 20, CONNECTION_BYTES_MAX)
}
