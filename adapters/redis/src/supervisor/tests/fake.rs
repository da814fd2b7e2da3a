//! Servers of paper: they answer, refuse, hang or are late, and count what they were asked.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::client::{Command, Connector, Link, LinkError, Reply, ServerError};
use crate::resolver::Resolver;
use crate::supervisor::Address;

/// What a server does with scripts and pings.
#[derive(Debug, Clone)]
pub(super) enum Behaviour {
    Answer,
    /// Scripts get this error; so do pings where the server says that it serves no requests. With `READONLY` it is a
    /// replica by its `INFO` as well.
    Refuse(String),
    /// Scripts run, and a `WAIT` behind them gets this error.
    RefuseWait(&'static str),
    Hang,
    Late(Duration),
    /// No connection comes about, and this is why.
    Unconnected(&'static str),
}

#[derive(Debug)]
struct Server {
    behaviour: Behaviour,
    knows_scripts: bool,
    /// Links of an earlier generation are broken.
    generation: usize,
    /// Links by their numbers over which nothing comes any more, and nobody is told.
    cut_off: Vec<usize>,
    old_view: bool,
    /// Its cluster-node-timeout in milliseconds, where it shows that.
    node_timeout: Option<u64>,
    replicas: u8,
    /// They acknowledge nothing: `WAIT` takes all the time that it is given.
    replicas_stick: bool,
    scripts: usize,
    /// By the connection that they came over, in the order in which those were made.
    scripts_by_link: Vec<usize>,
    /// How long answers to scripts are; 0 for one that says who answered.
    answer_bytes: usize,
    sources: usize,
    /// Those that were sent, answered or not.
    pings: usize,
    topologies: usize,
    waits: usize,
    shared_waits: usize,
    waited_for: usize,
}

/// Three servers, of which two are masters at the start.
pub(super) struct Fake {
    servers: [Mutex<Server>; 3],
    connections: [AtomicUsize; 3],
    denies: AtomicBool,
    /// How long it takes to connect.
    connect_in: Mutex<Duration>,
    /// The ports behind names.
    names: Mutex<HashMap<String, Vec<u16>>>,
    /// The server that has the lower half, and since which epoch.
    low: Mutex<(usize, u64)>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Fake {
    pub(super) fn two_masters() -> Arc<Self> {
        let server = || {
            Mutex::new(Server {
                behaviour: Behaviour::Answer,
                knows_scripts: true,
                generation: 0,
                cut_off: Vec::new(),
                old_view: false,
                node_timeout: None,
                replicas: 1,
                replicas_stick: false,
                scripts: 0,
                scripts_by_link: Vec::new(),
                answer_bytes: 0,
                sources: 0,
                pings: 0,
                topologies: 0,
                waits: 0,
                shared_waits: 0,
                waited_for: 0,
            })
        };
        Arc::new(Self {
            servers: [server(), server(), server()],
            connections: Default::default(),
            denies: AtomicBool::new(false),
            connect_in: Mutex::default(),
            names: Mutex::default(),
            low: Mutex::new((0, 1)),
        })
    }

    #[expect(clippy::unused_self, reason = "addresses belong to the servers")]
    pub(super) fn address(&self, index: usize) -> Address {
        Address::new("paper", 7_000 + u16::try_from(index).expect("three servers"))
    }

    fn server(&self, index: usize) -> MutexGuard<'_, Server> {
        self.servers[index].lock().expect("no test panics under it")
    }

    pub(super) fn set(&self, index: usize, behaviour: Behaviour) {
        self.server(index).behaviour = behaviour;
    }

    pub(super) fn set_replicas(&self, index: usize, replicas: u8) {
        self.server(index).replicas = replicas;
    }

    pub(super) fn set_node_timeout(&self, index: usize, millis: u64) {
        self.server(index).node_timeout = Some(millis);
    }

    /// Its replicas stay connected and acknowledge nothing.
    pub(super) fn stick_replicas(&self, index: usize) {
        self.server(index).replicas_stick = true;
    }

    pub(super) fn forget_scripts(&self, index: usize) {
        self.server(index).knows_scripts = false;
    }

    pub(super) fn break_links(&self, index: usize) {
        self.server(index).generation += 1;
    }

    /// What a box on the way does that has forgotten a connection: nothing comes through, and nobody is told.
    pub(super) fn cut_off(&self, index: usize, link: usize) {
        self.server(index).cut_off.push(link);
    }

    pub(super) fn keep_old_view(&self, index: usize) {
        self.server(index).old_view = true;
    }

    pub(super) fn deny(&self) {
        self.denies.store(true, Ordering::Relaxed);
    }

    pub(super) fn connect_in(&self, time: Duration) {
        *self.connect_in.lock().expect("no test panics under it") = time;
    }

    /// Gives the lower half to another server.
    pub(super) fn promote(&self, _old: usize, new: usize) {
        *self.low.lock().expect("no test panics under it") = (new, 9);
    }

    pub(super) fn scripts_run(&self, index: usize) -> usize {
        self.server(index).scripts
    }

    pub(super) fn scripts_by_link(&self, index: usize) -> Vec<usize> {
        self.server(index).scripts_by_link.clone()
    }

    pub(super) fn answer_bytes(&self, index: usize, bytes: usize) {
        self.server(index).answer_bytes = bytes;
    }

    pub(super) fn sources_run(&self, index: usize) -> usize {
        self.server(index).sources
    }

    pub(super) fn pings(&self, index: usize) -> usize {
        self.server(index).pings
    }

    pub(super) fn topologies(&self, index: usize) -> usize {
        self.server(index).topologies
    }

    pub(super) fn waits(&self, index: usize) -> usize {
        self.server(index).waits
    }

    pub(super) fn shared_waits(&self, index: usize) -> usize {
        self.server(index).shared_waits
    }

    /// How many replicas the last `WAIT` asked for.
    pub(super) fn waited_for(&self, index: usize) -> usize {
        self.server(index).waited_for
    }

    pub(super) fn connections(&self, index: usize) -> usize {
        self.connections[index].load(Ordering::Relaxed)
    }

    /// Has a name lead to these servers.
    pub(super) fn name(&self, name: &str, servers: &[usize]) {
        let ports = servers.iter().map(|index| self.address(*index).port).collect();
        let mut names = self.names.lock().expect("no test panics under it");
        names.insert(name.to_owned(), ports);
    }

    fn topology(&self, asked: usize) -> String {
        let (low, epoch) = if self.server(asked).old_view {
            (0, 1)
        } else {
            *self.low.lock().expect("no test panics under it")
        };
        let mut lines = Vec::new();
        for index in 0..3 {
            let address = self.address(index);
            let slots = match index {
                _ if index == low => " 0-8191",
                1 => " 8192-16383",
                _ => "",
            };
            let epoch = if index == low { epoch } else { 2 };
            lines.push(format!(
                "{index:02} {address}@1 master - 0 0 {epoch} connected{slots}"
            ));
            for replica in 0..self.server(index).replicas {
                lines.push(format!(
                    "9{index}{replica} paper:{}@1 slave {index:02} 0 0 1 connected",
                    9_000 + index
                ));
            }
        }
        lines.join("\n")
    }
}

/// The way to the servers; links hold on to them.
#[derive(Debug)]
pub(super) struct Paper(pub(super) Arc<Fake>);

#[async_trait]
impl Connector for Paper {
    async fn connect(&self, _host: &str, address: SocketAddr) -> Result<Arc<dyn Link>, LinkError> {
        connect(&self.0, address.port()).await
    }
}

#[async_trait]
impl Resolver for Paper {
    /// Names lead to the addresses that a test has given them, others to one with the same port.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let names = self.0.names.lock().expect("no test panics under it");
        let ports = names.get(host).cloned().unwrap_or_else(|| vec![port]);
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(ports.into_iter().map(address).collect())
    }
}

async fn connect(fake: &Arc<Fake>, port: u16) -> Result<Arc<dyn Link>, LinkError> {
    if fake.denies.load(Ordering::Relaxed) {
        return Err(LinkError::Denied("no".to_owned()));
    }
    let Some(index) = usize::from(port).checked_sub(7_000).filter(|index| *index < 3) else {
        return Err(LinkError::Broken("nobody is there".into()));
    };
    if matches!(fake.server(index).behaviour, Behaviour::Hang) {
        std::future::pending::<()>().await;
    }
    if let Behaviour::Unconnected(why) = fake.server(index).behaviour {
        return Err(LinkError::Broken(why.into()));
    }
    let takes = *fake.connect_in.lock().expect("no test panics under it");
    if !takes.is_zero() {
        // sleep: this is what a slow way is; the clock is paused.
        tokio::time::sleep(takes).await;
    }
    let number = fake.connections[index].fetch_add(1, Ordering::Relaxed);
    let generation = fake.server(index).generation;
    Ok(Arc::new(FakeLink {
        fake: Arc::clone(fake),
        index,
        number,
        generation,
    }))
}

struct FakeLink {
    fake: Arc<Fake>,
    index: usize,
    number: usize,
    generation: usize,
}

impl fmt::Debug for FakeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeLink")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Link for FakeLink {
    async fn send(&self, commands: &[Command]) -> Result<Vec<Reply>, LinkError> {
        // A round trip takes no time, and lets others run.
        tokio::task::yield_now().await;
        self.fake.server(self.index).pings +=
            commands.iter().filter(|command| &command[0] == b"PING").count();
        if self.fake.server(self.index).cut_off.contains(&self.number) {
            std::future::pending::<()>().await;
        }
        let behaviour = self.fake.server(self.index).behaviour.clone();
        match behaviour {
            Behaviour::Hang => std::future::pending().await,
            // sleep: this is what being late is; the clock is paused.
            Behaviour::Late(by) => tokio::time::sleep(by).await,
            Behaviour::Answer
            | Behaviour::Refuse(_)
            | Behaviour::RefuseWait(_)
            | Behaviour::Unconnected(_) => {}
        }
        if self.fake.server(self.index).generation != self.generation {
            return Err(LinkError::Broken("the link was cut".into()));
        }
        if let Some(wait) = commands.iter().find(|command| &command[0] == b"WAIT")
            && self.fake.server(self.index).replicas_stick
        {
            let millis = String::from_utf8_lossy(&wait[2]).parse().expect("a number");
            // sleep: this is what waiting for a replica is; the clock is paused.
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        let mut asking = false;
        let scripted = commands.iter().any(|command| command[0].starts_with(b"EVAL"));
        Ok(commands
            .iter()
            .map(|command| self.answer(command, &mut asking, scripted))
            .collect())
    }
}

impl FakeLink {
    fn answer(&self, command: &Command, asking: &mut bool, scripted: bool) -> Reply {
        let ok = || Reply::Status("OK".to_owned());
        match &command[0][..] {
            b"CLUSTER" if &command[1] == b"NODES" => {
                self.fake.server(self.index).topologies += 1;
                return Reply::Bytes(self.fake.topology(self.index).into());
            }
            b"CLUSTER" => return Reply::Bytes("cluster_state:ok".into()),
            _ => {}
        }
        let mut server = self.fake.server(self.index);
        match &command[0][..] {
            b"ASKING" => {
                *asking = true;
                ok()
            }
            b"WAIT" => {
                server.waits += 1;
                server.shared_waits += usize::from(!scripted);
                if let Behaviour::RefuseWait(line) = &server.behaviour {
                    return Reply::Error(ServerError::parse(line));
                }
                server.waited_for = String::from_utf8_lossy(&command[1]).parse().expect("a number");
                Reply::Integer(if server.replicas_stick {
                    0
                } else {
                    i64::from(server.replicas)
                })
            }
            b"EVALSHA" | b"EVAL" => {
                server.scripts += 1;
                let links = server.scripts_by_link.len().max(self.number + 1);
                server.scripts_by_link.resize(links, 0);
                server.scripts_by_link[self.number] += 1;
                if let Behaviour::Refuse(line) = &server.behaviour {
                    return Reply::Error(ServerError::parse(line));
                }
                if &command[0] == b"EVAL" {
                    server.sources += 1;
                    server.knows_scripts = true;
                } else if !server.knows_scripts {
                    return Reply::Error(ServerError::parse("NOSCRIPT unknown"));
                }
                if server.answer_bytes > 0 {
                    return Reply::Bytes(vec![7; server.answer_bytes].into());
                }
                Reply::Status(format!("{}{}", self.index, if *asking { " asking" } else { "" }))
            }
            b"INFO" => {
                server.topologies += 1;
                Reply::Bytes(match &server.behaviour {
                    Behaviour::Refuse(line) if line.starts_with("READONLY") => "role:slave\r\n".into(),
                    _ => "role:master\r\nslave0:state=online\r\n".into(),
                })
            }
            b"PING" => match &server.behaviour {
                Behaviour::Refuse(line) if line.starts_with("LOADING") || line.starts_with("MASTERDOWN") => {
                    Reply::Error(ServerError::parse(line))
                }
                _ => Reply::Status("PONG".to_owned()),
            },
            b"CONFIG" => server.node_timeout.map_or_else(ok, |millis| {
                Reply::Array(vec![
                    Reply::Bytes(command[2].to_vec().into()),
                    Reply::Bytes(millis.to_string().into()),
                ])
            }),
            _ => ok(),
        }
    }
}
