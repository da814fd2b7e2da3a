//! The seam over the `redis` crate: its multiplexed connection to one server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError,
    Value,
};

use super::{Access, Command, Connector, Link, LinkError, Reply, ServerError};

/// How long the library itself waits, above every deadline of ours: it is only there so that nothing
/// is kept for ever.
const BACKSTOP: Duration = Duration::from_secs(30);

/// Connects through the `redis` crate.
#[derive(Debug)]
struct RedisConnector {
    access: Access,
}

/// The connector of this library.
pub(super) fn connector(access: Access) -> Arc<dyn Connector> {
    #[cfg(feature = "tls")]
    if access.tls {
        // An error says that the application has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Arc::new(RedisConnector { access })
}

#[async_trait]
impl Connector for RedisConnector {
    async fn connect(&self, host: &str, port: u16) -> Result<Arc<dyn Link>, LinkError> {
        let Access { user, password, tls } = &self.access;
        let address = if *tls {
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
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        // Small answers to many callers: none of them waits for a full packet.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address
            .into_connection_info()
            .map_err(broken)?
            .set_tcp_settings(tcp)
            .set_redis_settings(settings);
        let client = redis::Client::open(info).map_err(broken)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(BACKSTOP))
            .set_response_timeout(Some(BACKSTOP));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(refused)?;
        Ok(Arc::new(RedisLink { connection }))
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
    async fn send(&self, commands: Vec<Command>) -> Result<Vec<Reply>, LinkError> {
        let mut connection = self.connection.clone();
        let count = commands.len();
        let mut commands = commands.into_iter().map(|command| {
            let mut cmd = redis::Cmd::new();
            for argument in &command {
                cmd.arg(&argument[..]);
            }
            cmd
        });
        if count == 1
            && let Some(cmd) = commands.next()
        {
            return match connection.send_packed_command(&cmd).await {
                Ok(value) => Ok(vec![reply(value)?]),
                Err(error) => Ok(vec![Reply::Error(server_error(error)?)]),
            };
        }
        let mut pipeline = Pipeline::with_capacity(count);
        for cmd in commands {
            pipeline.add_command(cmd);
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
        return LinkError::Denied("the server refuses this user or password".to_owned());
    }
    match error.code() {
        Some(code @ ("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            LinkError::Denied(format!("the server refuses this user or password ({code})"))
        }
        _ => broken(error),
    }
}

fn broken(error: RedisError) -> LinkError {
    LinkError::Broken(Box::new(error))
}
