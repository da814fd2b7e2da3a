//! One member, and the task that brings it back when it was left out.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, GetOptions, KvClient};
#[cfg(feature = "tls")]
use ringhold_access::Pems;
use ringhold_core::{Error, ErrorKind};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint as Connector;
#[cfg(feature = "tls")]
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{Settings, Shared};
use crate::config::Address;
use crate::error::{Verdict, judge, unreachable};
use crate::random;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// How long a connection may take to come about, TLS included.
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// How often a connection with streams is pinged. An etcd closes connections that ping more than each 5 s.
const PING: Duration = Duration::from_secs(10);
const PONG_MAX: Duration = Duration::from_secs(3);

/// The longest answer: 64 sessions of the largest size, and what stands around them.
const ANSWER_BYTES_MAX: usize = 72 << 20;

/// A connection to a member.
#[derive(Clone)]
pub(crate) struct Link {
    /// Which member.
    pub(super) index: usize,
    /// Which of its connections.
    pub(super) id: u64,
    pub(crate) kv: KvClient,
    pub(crate) client: Client,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("index", &self.index)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a member is left out.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) kind: ErrorKind,
    pub(super) context: String,
    /// Whether it will refuse again.
    pub(super) is_final: bool,
    /// Whether it is a member of another etcd than the others.
    pub(super) other_cluster: bool,
}

#[derive(Debug)]
struct State {
    link: Option<Link>,
    serves: bool,
    /// `None` while it serves, and before it was asked for the first time.
    trouble: Option<Trouble>,
    links: u64,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    state: Mutex<State>,
    /// Rung when it is left out.
    out: Notify,
}

impl Endpoint {
    pub(super) fn new(address: Address) -> Self {
        let state = State {
            link: None,
            serves: false,
            trouble: None,
            links: 0,
        };
        Self {
            address,
            state: Mutex::new(state),
            out: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its connection, while it serves.
    pub(super) fn link(&self) -> Option<Link> {
        let state = self.state();
        state.link.clone().filter(|_| state.serves)
    }

    /// Whether it serves over this very connection.
    pub(super) fn serves(&self, id: u64) -> bool {
        let state = self.state();
        state.serves && state.link.as_ref().is_some_and(|link| link.id == id)
    }

    /// Whether it has answered, or failed to.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state();
        state.serves || state.trouble.is_some()
    }

    /// Whether it has ever served.
    pub(super) fn has_served(&self) -> bool {
        self.state().links > 0
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.state().trouble.clone()
    }

    /// Leaves it out, unless it has another connection by now. Whether anything changed.
    pub(super) fn leave_out(&self, id: u64, error: &Error) -> bool {
        let mut state = self.state();
        if !state.serves || state.link.as_ref().is_none_or(|link| link.id != id) {
            return false;
        }
        state.serves = false;
        state.trouble = Some(trouble(error, false));
        drop(state);
        self.out.notify_one();
        true
    }

    fn back(&self, mut link: Link) {
        let mut state = self.state();
        state.links += 1;
        link.id = state.links;
        state.link = Some(link);
        state.serves = true;
        state.trouble = None;
    }

    fn in_trouble(&self, trouble: Trouble) {
        self.state().trouble = Some(trouble);
    }
}

fn trouble(error: &Error, is_final: bool) -> Trouble {
    Trouble {
        kind: error.kind(),
        context: error.context().to_owned(),
        is_final,
        other_cluster: false,
    }
}

/// Brings a member into service at first, and back whenever it was left out.
pub(super) async fn keep(shared: Arc<Shared>, index: usize, probe: Vec<u8>) {
    let endpoint = &shared.endpoints[index];
    loop {
        let mut link = endpoint.state().link.clone();
        let mut pause = PAUSE_MIN;
        loop {
            match ask(&shared, index, link.take(), &probe).await {
                Ok(link) => {
                    endpoint.back(link);
                    tracing::debug!(member = %endpoint.address, "a member serves");
                    shared.bump();
                    break;
                }
                Err(trouble) => {
                    endpoint.in_trouble(trouble);
                    shared.bump();
                }
            }
            sleep(random::jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        while endpoint.state().serves {
            endpoint.out.notified().await;
        }
    }
}

/// Asks a member for something that needs a majority, over `link` or a fresh connection.
async fn ask(shared: &Shared, index: usize, link: Option<Link>, probe: &[u8]) -> Result<Link, Trouble> {
    const PROBE: &str = "probe";
    let is_fresh = link.is_none();
    let (settings, address) = (&shared.settings, &shared.endpoints[index].address);
    // Whoever answers later than this would fail the attempts of operations too.
    let mut limit = (settings.attempt * 3 / 5).max(Duration::from_millis(50));
    if link.is_none() {
        limit += CONNECT_MAX;
    }
    let work = async {
        let link = match link {
            Some(link) => link,
            None => connect(settings, address, index).await?,
        };
        let options = GetOptions::new().with_count_only();
        let mut kv = link.kv.clone();
        loop {
            let error = match kv.get(probe, Some(options.clone())).await {
                Ok(found) => {
                    let cluster = found.header().map_or(0, etcd_client::ResponseHeader::cluster_id);
                    return Ok((link, cluster));
                }
                Err(error) => error,
            };
            match judge(PROBE, &error, address) {
                // It serves, and there is another leader: that is what was waited for.
                Verdict::Again(_) => sleep(PAUSE_MIN).await,
                verdict => return Err(verdict),
            }
        }
    };
    match timeout(limit, Box::pin(work)).await {
        Ok(Ok((link, cluster))) if *shared.cluster.get_or_init(|| cluster) == cluster => Ok(link),
        Ok(Ok(_)) => Err(Trouble {
            kind: ErrorKind::InvalidArgument,
            context: format!("{address} is a member of another etcd than the others; name members of one"),
            is_final: true,
            other_cluster: true,
        }),
        Ok(Err(verdict)) => Err(
            match if is_fresh {
                explained(shared, verdict)
            } else {
                verdict
            } {
                Verdict::Final(error) => trouble(&error, true),
                Verdict::Again(error) | Verdict::Down(error) => trouble(&error, false),
            },
        ),
        Err(_) => Err(Trouble {
            kind: ErrorKind::Timeout,
            context: format!("{address} does not answer"),
            is_final: false,
            other_cluster: false,
        }),
    }
}

/// The reason in terms of TLS why a new connection broke; other verdicts as they are. A refusal is final until a member
/// has served: from then on the certificates are known to fit, and others are being rolled out.
#[cfg(feature = "tls")]
fn explained(shared: &Shared, verdict: Verdict) -> Verdict {
    let Some(certificates) = &shared.settings.certificates else {
        return verdict;
    };
    let (Verdict::Final(error) | Verdict::Down(error) | Verdict::Again(error)) = &verdict;
    if error.kind() != ErrorKind::Unavailable {
        return verdict;
    }
    let Some(refusal) = certificates.refusal(error.context()) else {
        return verdict;
    };
    let error = Error::new(ErrorKind::Unavailable, error.operation(), refusal.context);
    if refusal.is_certain && shared.cluster.get().is_none() {
        Verdict::Final(error.with_retryable(false))
    } else {
        Verdict::Down(error)
    }
}

#[cfg(not(feature = "tls"))]
fn explained(_: &Shared, verdict: Verdict) -> Verdict {
    verdict
}

#[cfg(feature = "tls")]
fn tls_config(pems: Pems) -> ClientTlsConfig {
    let config = match pems.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match pems.identity {
        Some([certificate, key]) => config.identity(Identity::from_pem(certificate, key)),
        None => config,
    }
}

async fn connect(settings: &Settings, address: &Address, index: usize) -> Result<Link, Verdict> {
    const CONNECT: &str = "connect";
    let failed = |error: &tonic::transport::Error| unreachable(CONNECT, address, error);
    #[cfg(feature = "tls")]
    let certificates = match &settings.certificates {
        Some(certificates) => {
            let loaded = certificates
                .load()
                .await
                .map_err(|why| Verdict::Final(Error::new(ErrorKind::InvalidArgument, CONNECT, why)))?;
            Some(loaded.pems.clone())
        }
        None => None,
    };
    #[cfg(not(feature = "tls"))]
    let certificates = None::<()>;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let connector =
        Connector::from_shared(format!("{scheme}://{address}")).map_err(|error| failed(&error))?;
    let connector = connector
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG_MAX)
        .keep_alive_while_idle(false);
    #[cfg(feature = "tls")]
    let connector = match certificates {
        Some(pems) => connector
            .tls_config(tls_config(pems))
            .map_err(|error| failed(&error))?,
        None => connector,
    };
    let channel = connector.connect().await.map_err(|error| failed(&error))?;
    let mut options = ConnectOptions::new().with_require_leader(true);
    if let Some((user, password)) = &settings.login {
        options = options.with_user(user, password).with_auto_token_refresh(true);
    }
    let client = Client::from_channel(Channel::Tonic(channel), Some(options))
        .await
        .map_err(|error| judge(CONNECT, &error, address))?;
    let kv = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    Ok(Link {
        index,
        id: 0,
        kv,
        client,
    })
}
