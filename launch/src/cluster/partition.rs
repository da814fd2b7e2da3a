//! Cutting a node off without root, namespaces or a firewall.
//!
//! Each node announces as its cluster bus a port of this process, which passes everything on to the
//! real one, and calls from an address of its own, so that both ends of each link are known here.
//! Replicas log in to masters as a user of their own, whom a cut switches off.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Member;
use crate::options::quoted;
use crate::{Error, Result};

/// How long a connection to a node's real bus may take; on loopback it is there or it is not.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Who is who.
pub(super) struct Wiring {
    /// The address of each node.
    pub(super) ips: Vec<IpAddr>,
    /// The real bus of each node.
    pub(super) buses: Vec<u16>,
    /// What replicas log in with.
    pub(super) secret: String,
}

struct Link {
    from: usize,
    to: usize,
    ends: [TcpStream; 2],
}

#[derive(Default)]
struct State {
    cut: Vec<bool>,
    over: bool,
    /// By a number that is never used again.
    links: Vec<(u64, Link)>,
    next: u64,
    pumps: Vec<JoinHandle<()>>,
}

struct Shared {
    wiring: Wiring,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Partition {
    shared: Arc<Shared>,
    doors: Vec<SocketAddr>,
    porters: Vec<JoinHandle<()>>,
}

impl Partition {
    pub(super) fn new(wiring: Wiring) -> Result<Self> {
        let state = State {
            cut: vec![false; wiring.ips.len()],
            ..State::default()
        };
        let shared = Arc::new(Shared {
            wiring,
            state: Mutex::new(state),
        });
        let mut partition = Self {
            shared,
            doors: Vec::new(),
            porters: Vec::new(),
        };
        for (index, ip) in partition.shared.wiring.ips.clone().into_iter().enumerate() {
            let doing = "listening for a cluster bus";
            let door = TcpListener::bind((ip, 0)).map_err(Error::io(doing))?;
            partition.doors.push(door.local_addr().map_err(Error::io(doing))?);
            let shared = Arc::clone(&partition.shared);
            let porter = std::thread::Builder::new()
                .name(format!("bus-{index}"))
                .spawn(move || attend(&shared, index, &door));
            partition
                .porters
                .push(porter.map_err(Error::io("starting a thread"))?);
        }
        Ok(partition)
    }

    /// The port that a node announces as its bus.
    pub(super) fn announced(&self, index: usize) -> u16 {
        self.doors[index].port()
    }

    /// What a node's configuration says of itself as a replica.
    pub(super) fn config(&self, index: usize) -> String {
        let secret = quoted(&self.shared.wiring.secret);
        // To Redis only 127.0.0.1 is local; the node still listens on loopback alone.
        format!(
            "protected-mode no\nmasteruser {}\nmasterauth {secret}\n",
            user(index)
        )
    }

    /// What a node's configuration says of its possible replicas, as things stand now.
    pub(super) fn users(&self, index: usize) -> String {
        let state = self.shared.state();
        let secret = &self.shared.wiring.secret;
        let mut users = String::new();
        for other in (0..state.cut.len()).filter(|other| *other != index) {
            let off = state.cut[index] || state.cut[other];
            let (name, on) = (user(other), if off { "off" } else { "on" });
            // Writing to a string cannot fail.
            let _ = writeln!(users, "user {name} {on} >{secret} +psync +replconf +ping");
        }
        users
    }

    pub(super) fn cut_off(&self, members: &[Member], index: usize) -> Result<()> {
        let mut state = self.shared.state();
        state.cut[index] = true;
        for (_, link) in &state.links {
            if link.from == index || link.to == index {
                close(&link.ends);
            }
        }
        let cut = state.cut.clone();
        drop(state);
        switch(members, index, &cut)
    }

    pub(super) fn heal(&self, members: &[Member], index: usize) -> Result<()> {
        let cut = {
            let mut state = self.shared.state();
            state.cut[index] = false;
            state.cut.clone()
        };
        switch(members, index, &cut)
    }
}

/// Lets the replicas that a cut of `index` is about log in, or not. A node that does not run learns
/// it from its configuration when it starts.
fn switch(members: &[Member], index: usize, cut: &[bool]) -> Result<()> {
    for (at, member) in members.iter().enumerate() {
        if !member.node.is_running() {
            continue;
        }
        for other in (0..members.len()).filter(|other| *other != at) {
            if at != index && other != index {
                continue;
            }
            let off = cut[at] || cut[other];
            let name = user(other);
            member
                .node
                .access
                .run(&["ACL", "SETUSER", &name, if off { "off" } else { "on" }])?;
            if off {
                member.node.access.run(&["CLIENT", "KILL", "USER", &name])?;
            }
        }
    }
    if cut[index] && members[index].node.is_running() {
        // Its own link to a master, which is on its way down from the other end.
        members[index]
            .node
            .access
            .run(&["CLIENT", "KILL", "TYPE", "master"])?;
    }
    Ok(())
}

fn user(index: usize) -> String {
    format!("replica-{index}")
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        // It may be closed already.
        let _ = end.shutdown(Shutdown::Both);
    }
}

/// Takes calls for node `to` until the end.
fn attend(shared: &Arc<Shared>, to: usize, door: &TcpListener) {
    loop {
        let accepted = door.accept();
        if shared.state().over {
            return;
        }
        if let Ok((caller, address)) = accepted {
            // A caller that cannot be put through finds a closed connection, and calls again.
            let _ = put_through(shared, to, caller, address.ip());
        }
    }
}

fn put_through(shared: &Arc<Shared>, to: usize, caller: TcpStream, ip: IpAddr) -> io::Result<()> {
    let Some(from) = shared.wiring.ips.iter().position(|known| *known == ip) else {
        return Ok(());
    };
    let separated = |state: &State| state.over || state.cut[from] || state.cut[to];
    if separated(&shared.state()) {
        return Ok(());
    }
    let bus = SocketAddr::new(shared.wiring.ips[to], shared.wiring.buses[to]);
    let node = TcpStream::connect_timeout(&bus, CONNECT_MAX)?;
    let directions = [
        (caller.try_clone()?, node.try_clone()?),
        (node.try_clone()?, caller.try_clone()?),
    ];
    let mut state = shared.state();
    if separated(&state) {
        return Ok(());
    }
    let number = state.next;
    state.next += 1;
    let ends = [caller, node];
    state.links.push((number, Link { from, to, ends }));
    // Those that ended need not be waited for.
    state.pumps.retain(|pump| !pump.is_finished());
    for (mut source, mut sink) in directions {
        let shared = Arc::clone(shared);
        let pump = std::thread::Builder::new().name(format!("link-{from}-{to}"));
        let pump = pump.spawn(move || {
            // Whatever ended it, the whole link is over.
            let _ = io::copy(&mut source, &mut sink);
            let mut state = shared.state();
            if let Some(at) = state.links.iter().position(|(link, _)| *link == number) {
                close(&state.links.swap_remove(at).1.ends);
            }
        })?;
        state.pumps.push(pump);
    }
    Ok(())
}

impl Drop for Partition {
    fn drop(&mut self) {
        let pumps = {
            let mut state = self.shared.state();
            state.over = true;
            for (_, link) in &state.links {
                close(&link.ends);
            }
            std::mem::take(&mut state.pumps)
        };
        for door in &self.doors {
            // A call that wakes who attends.
            let _ = TcpStream::connect_timeout(door, CONNECT_MAX);
        }
        for thread in self.porters.drain(..).chain(pumps) {
            let _ = thread.join();
        }
    }
}
