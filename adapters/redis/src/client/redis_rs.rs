//! The seam over the `redis` crate: its multiplexed connection to one server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::io::AsyncDNSResolver;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, Value,
};
#[cfg(feature = "tls")]
use redis::{ClientTlsConfig, TlsCertificates};
#[cfg(feature = "tls")]
use ringhold_access::{Certificates, Pems};

#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{Access, Command, Connector, Link, LinkError, Reply, ServerError};

/// How long the library itself tries to connect, above every deadline of ours. For an answer it waits as
/// long as its caller does: all of them have a deadline, and a second timer for each call serves nobody.
const BACKSTOP: Duration = Duration::from_secs(30);
/// How many requests may wait to be written: what so many callers ask at once shares round trips. The
/// library's own number is 50, and the others would wait for their turn one by one.
const QUEUE: usize = 1_024;
/// With so many bytes of them it begins to write.
const WRITE_BYTES: usize = 64 << 10;

/// Connects through the `redis` crate.
struct RedisConnector {
    access: Access,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl std::fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConnector")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// The connector of this library.
pub(super) fn connector(access: Access) -> Arc<dyn Connector> {
    #[cfg(feature = "tls")]
    if access.tls.is_some() {
        // An error says that the application has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Arc::new(RedisConnector {
        #[cfg(feature = "tls")]
        tls: access.tls.clone().map(Tls::new),
        access,
    })
}

#[cfg(feature = "tls")]
fn over_tls(info: ConnectionInfo, certificates: &Certificates) -> RedisResult<Client> {
    let Pems { ca, identity } = certificates.pems.clone();
    let client_tls = identity.map(|[client_cert, client_key]| ClientTlsConfig {
        client_cert,
        client_key,
    });
    let certificates = TlsCertificates {
        client_tls,
        root_cert: ca,
    };
    Client::build_with_tls(info, certificates)
}

impl RedisConnector {
    /// The description of a connection; `tls` says whether it is over TLS.
    fn info(&self, host: &str, port: u16, tls: bool) -> RedisResult<ConnectionInfo> {
        let address = if tls {
            ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host.to_owned(), port)
        };
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &self.access.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.access.password {
            settings = settings.set_password(password);
        }
        // Small answers to many callers: none of them waits for a full packet.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info()?;
        Ok(info.set_tcp_settings(tcp).set_redis_settings(settings))
    }
}

/// The one address that a connection is made to, whatever its host resolves to now.
struct Resolved(SocketAddr);

impl AsyncDNSResolver for Resolved {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _host: &'b str,
        _port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        let address: Box<dyn Iterator<Item = SocketAddr> + Send> = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(address)))
    }
}

async fn open(client: RedisResult<Client>, address: SocketAddr) -> Result<Arc<dyn Link>, LinkError> {
    let config = AsyncConnectionConfig::new()
        .set_dns_resolver(Resolved(address))
        .set_connection_timeout(Some(BACKSTOP))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE)
        .set_write_backpressure_boundary(WRITE_BYTES);
    let connection = client
        .map_err(broken)?
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(refused)?;
    Ok(Arc::new(RedisLink { connection }))
}

#[async_trait]
impl Connector for RedisConnector {
    async fn connect(&self, host: &str, address: SocketAddr) -> Result<Arc<dyn Link>, LinkError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let certificates = tls.certificates().await?;
            let info = self.info(host, address.port(), true);
            let client = info.and_then(|info| over_tls(info, &certificates));
            return tls.accepted(open(client, address).await).await;
        }
        open(
            self.info(host, address.port(), false).and_then(Client::open),
            address,
        )
        .await
    }
}

/// One connection of the `redis` crate.
struct RedisLink {
    connection: MultiplexedConnection,
}

impl std::fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLink").finish_non_exhaustive()
    }
}

#[async_trait]
impl Link for RedisLink {
    async fn send(&self, commands: &[Command]) -> Result<Vec<Reply>, LinkError> {
        let mut connection = self.connection.clone();
        let count = commands.len();
        if let [command] = commands {
            return match connection.send_packed_command(&cmd(command)).await {
                Ok(value) => Ok(vec![reply(value)?]),
                Err(error) => Ok(vec![Reply::Error(server_error(error)?)]),
            };
        }
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(cmd(command));
        }
        let values = connection
            .send_packed_commands(&pipeline, 0, count)
            .await
            .map_err(broken)?;
        if values.len() != count {
            return Err(LinkError::Protocol(format!(
                "{} answers to {count} commands",
                values.len()
            )));
        }
        values.into_iter().map(reply).collect()
    }
}

fn cmd(command: &Command) -> Cmd {
    let mut cmd = Cmd::with_capacity(command.words(), command.bytes());
    for word in command.iter() {
        cmd.arg(word);
    }
    cmd
}

fn reply(value: Value) -> Result<Reply, LinkError> {
    Ok(match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Integer(number),
        Value::BulkString(bytes) => Reply::Bytes(Bytes::from(bytes)),
        Value::SimpleString(text) => Reply::Status(text),
        Value::Okay => Reply::Status("OK".to_owned()),
        Value::Array(values) => Reply::Array(values.into_iter().map(reply).collect::<Result<_, _>>()?),
        Value::ServerError(error) => Reply::Error(ServerError {
            code: error.code().to_owned(),
            detail: error.details().unwrap_or_default().to_owned(),
        }),
        _ => {
            return Err(LinkError::Protocol(
                "an answer of a kind that was not asked for".to_owned(),
            ));
        }
    })
}

/// An error that the server answered; everything else is the connection's.
fn server_error(error: RedisError) -> Result<ServerError, LinkError> {
    match error.code() {
        Some(code) => Ok(ServerError {
            code: code.to_owned(),
            detail: error.detail().unwrap_or_default().to_owned(),
        }),
        None => Err(broken(error)),
    }
}

/// Why a connection was not made. What the server says of a password is told in our own words.
fn refused(error: RedisError) -> LinkError {
    if error.kind() == redis::ErrorKind::AuthenticationFailed {
        return LinkError::Denied(
            "the server refuses this user or password; check both in the URL".to_owned(),
        );
    }
    match error.code() {
        Some(code @ ("NOAUTH" | "WRONGPASS" | "NOPERM")) => LinkError::Denied(format!(
            "the server refuses this user or password ({code}); check both in the URL"
        )),
        _ => broken(error),
    }
}

fn broken(error: RedisError) -> LinkError {
    LinkError::Broken(Box::new(error))
}
