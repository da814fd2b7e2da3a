//! The seam over the `fred` crate: one client of it for each connection.
//!
//! fred can follow a cluster, reconnect and retry. Here it does none of that: it connects once to one
//! server, and a connection that breaks has ended. What it does on its own account nevertheless:
//!
//! - it introduces itself (`PING` or `AUTH`, then `CLIENT ID` and `INFO server`) before it is of use;
//! - it ends a connection on which a server answers `CLUSTERDOWN`, and tells so to everybody who waits,
//!   also to those whose commands ran: [`LinkError::Refused`];
//! - it takes the answer to a password that nobody asked for, which is an error, as agreement.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::bytes_utils::Str;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, FredResult};
#[cfg(feature = "tls")]
use fred::types::config::TlsConnector;
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, Server, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand, Resp3Frame, RespVersion, Value};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
#[cfg(feature = "tls")]
use ringhold_access::Certificates;
use tokio::task::{JoinError, unconstrained};
use tokio_util::task::AbortOnDropHandle;

#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{Access, Command, Connector, Link, LinkError, Reply, ServerError};

/// How long the library itself waits, above every deadline of ours: it is only there so that nothing
/// is kept for ever.
const BACKSTOP: Duration = Duration::from_secs(30);

/// Errors with which a server refuses a connection as it would any command; they pass, or say what to do.
const REFUSALS: [&str; 5] = ["BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOPERM"];

/// Connects through the `fred` crate.
struct FredConnector {
    access: Access,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl std::fmt::Debug for FredConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FredConnector")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// The connector of this library.
pub(super) fn connector(access: Access) -> Arc<dyn Connector> {
    Arc::new(FredConnector {
        #[cfg(feature = "tls")]
        tls: access.tls.clone().map(Tls::new),
        access,
    })
}

impl FredConnector {
    fn config(&self, address: SocketAddr) -> Config {
        // It writes both into one text and reads that again.
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Config {
            fail_fast: true,
            username: self.access.user.clone(),
            password: self.access.password.clone(),
            // What the scripts answer is written down in these terms.
            version: RespVersion::RESP2,
            server: ServerConfig::Centralized {
                server: Server::new(host, address.port()),
            },
            ..Config::default()
        }
    }
}

#[cfg(feature = "tls")]
fn over_tls(mut config: Config, host: &str, certificates: &Certificates) -> Config {
    config.tls = Some(TlsConnector::from(certificates.config.clone()).into());
    if let ServerConfig::Centralized { server } = &mut config.server {
        server.tls_server_name = Some(host.into());
    }
    config
}

/// Makes one connection.
async fn open(config: Config) -> Result<Arc<dyn Link>, LinkError> {
    let performance = PerformanceConfig {
        default_command_timeout: BACKSTOP,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: BACKSTOP,
        internal_command_timeout: BACKSTOP,
        max_command_attempts: 1,
        max_redirections: 0,
        reconnect_on_auth_error: false,
        // Small answers to many callers: none of them waits for a full packet.
        tcp: TcpConfig {
            nodelay: Some(true),
            ..TcpConfig::default()
        },
        // The watchdogs do that.
        unresponsive: UnresponsiveConfig {
            max_timeout: None,
            ..UnresponsiveConfig::default()
        },
        ..ConnectionConfig::default()
    };
    // No policy: it never reconnects, and what was under way fails.
    let client = Client::new(config, Some(performance), Some(connection), None);
    // Listens before the task runs, which tells it once.
    let mut connected = client.reconnect_rx();
    let mut task = AbortOnDropHandle::new(client.connect());
    tokio::select! {
        biased;
        outcome = &mut task => return Err(refused(outcome)),
        told = connected.recv() => told.map_err(|gone| LinkError::Broken(Box::new(gone)))?,
    };
    let ended = task.map(drop).boxed().shared();
    Ok(Arc::new(FredLink { client, ended }))
}

#[async_trait]
impl Connector for FredConnector {
    async fn connect(&self, host: &str, address: SocketAddr) -> Result<Arc<dyn Link>, LinkError> {
        let config = self.config(address);
        // A host is for certificates.
        #[cfg(not(feature = "tls"))]
        let _ = host;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let certificates = tls.certificates().await?;
            return tls
                .accepted(open(over_tls(config, host, &certificates)).await)
                .await;
        }
        open(config).await
    }
}

/// One connection of the `fred` crate.
struct FredLink {
    client: Client,
    /// Resolves when the task that has the socket has ended. It has the task's handle: dropping the
    /// link ends the task, and with it the socket.
    ended: Shared<BoxFuture<'static, ()>>,
}

impl std::fmt::Debug for FredLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FredLink").finish_non_exhaustive()
    }
}

#[async_trait]
impl Link for FredLink {
    async fn send(&self, commands: &[Command]) -> Result<Vec<Reply>, LinkError> {
        let mut exchange = pin!(exchange(&self.client, commands));
        tokio::select! {
            biased;
            replies = &mut exchange => replies,
            // What is handed to a client whose task has ended waits for ever. What that task has said
            // before its end is there by now.
            () = self.ended.clone() => unconstrained(exchange)
                .now_or_never()
                .unwrap_or_else(|| Err(LinkError::Broken("the connection has ended".into()))),
        }
    }
}

/// Sends, and reads the answers. Its pipeline goes to its task in one piece, and the task writes one
/// piece after the other.
async fn exchange(client: &Client, commands: &[Command]) -> Result<Vec<Reply>, LinkError> {
    let count = commands.len();
    if let [command] = commands {
        let (name, arguments) = custom(command)?;
        let frame = client.custom_raw(name, arguments).await.map_err(failed)?;
        return Ok(vec![reply(frame)?]);
    }
    let pipeline = client.pipeline();
    for command in commands {
        let (name, arguments) = custom(command)?;
        // Only queues it.
        pipeline.custom::<(), _>(name, arguments).await.map_err(failed)?;
    }
    let mut answers = pipeline.try_all::<Value>().await;
    if answers.len() == count {
        return answers.into_iter().map(answer).collect();
    }
    // Instead of the answers, what became of the connection.
    match answers.pop() {
        Some(Err(error)) => Err(failed(error)),
        _ => Err(LinkError::Protocol(format!(
            "other answers than {count} commands have"
        ))),
    }
}

fn custom(command: &Command) -> Result<(CustomCommand, Vec<Value>), LinkError> {
    let mut words = command.shared();
    let name = Str::from_inner(words.next().unwrap_or_default())
        .map_err(|_| LinkError::Protocol("the name of a command is no text".to_owned()))?;
    // The slot is for its own cluster mode.
    let name = CustomCommand::new(name, ClusterHash::Custom(0), false);
    Ok((name, words.map(Value::Bytes).collect()))
}

/// The answer to a command that was sent alone, as the server wrote it.
fn reply(frame: Resp3Frame) -> Result<Reply, LinkError> {
    Ok(match frame {
        Resp3Frame::Null => Reply::Nil,
        Resp3Frame::Number { data, .. } => Reply::Integer(data),
        Resp3Frame::BlobString { data, .. } => Reply::Bytes(own(&data)),
        Resp3Frame::SimpleString { data, .. } => Reply::Status(String::from_utf8_lossy(&data).into_owned()),
        Resp3Frame::SimpleError { data, .. } => Reply::Error(ServerError::parse(&data)),
        Resp3Frame::Array { data, .. } => {
            Reply::Array(data.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        _ => return Err(unknown()),
    })
}

/// The answer to one command of a pipeline, which fred has taken apart: a word of the protocol is
/// bytes there as well.
fn answer(answer: FredResult<Value>) -> Result<Reply, LinkError> {
    match answer {
        Ok(value) => read(value),
        Err(error) => match error.kind() {
            ErrorKind::Protocol | ErrorKind::Parse | ErrorKind::NotFound => Err(unknown()),
            _ => Ok(Reply::Error(ServerError::parse(error.details()))),
        },
    }
}

fn read(value: Value) -> Result<Reply, LinkError> {
    Ok(match value {
        Value::Null => Reply::Nil,
        Value::Integer(number) => Reply::Integer(number),
        Value::Bytes(data) => Reply::Bytes(own(&data)),
        Value::String(text) => Reply::Bytes(own(text.as_bytes())),
        Value::Queued => Reply::Status("QUEUED".to_owned()),
        Value::Array(values) => Reply::Array(values.into_iter().map(read).collect::<Result<_, _>>()?),
        _ => return Err(unknown()),
    })
}

/// A slice would keep alive everything that was read with it.
fn own(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(data)
}

fn unknown() -> LinkError {
    LinkError::Protocol("an answer of a kind that was not asked for".to_owned())
}

/// Why there is no answer from a connection that stood.
fn failed(error: Error) -> LinkError {
    match error.kind() {
        ErrorKind::Cluster => LinkError::Refused(ServerError::parse(error.details())),
        _ => LinkError::Broken(Box::new(error)),
    }
}

/// Why a connection was not made. What the server says of a password is told in our own words.
fn refused(outcome: Result<FredResult<()>, JoinError>) -> LinkError {
    let error = match outcome {
        Ok(Err(error)) => error,
        Ok(Ok(())) => return LinkError::Broken("the connection has ended".into()),
        Err(error) => return LinkError::Broken(Box::new(error)),
    };
    let said = ServerError::parse(error.details());
    if *error.kind() == ErrorKind::Auth {
        let code = said.code;
        return LinkError::Denied(format!(
            "the server refuses this user or password ({code}); check both in the URL"
        ));
    }
    if REFUSALS.contains(&said.code.as_str()) {
        return LinkError::Refused(said);
    }
    LinkError::Broken(Box::new(error))
}
