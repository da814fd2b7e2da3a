//! A cluster that outlives the program which starts it: for an afternoon of development.

mod state;
mod status;

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use self::state::Entry;
pub use self::status::{DevNode, DevRole};
use crate::client::Access;
use crate::cluster::start::{config, random_hex};
use crate::cluster::table::{Identity, nodes_conf};
use crate::daemon::{START_MAX, STARTS_MAX, StartError, last_words};
use crate::keeper::becoming;
use crate::node::{REDIS, answers};
use crate::options::url_encoded;
use crate::process::Process;
use crate::{ClusterOptions, Error, ErrorKind, Result, ServerClock, ServerTls, ports, wait};

/// How long servers may take to be in order, or to be gone.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A Redis Cluster whose servers run on when the program that started them ends. A folder, which is
/// the cluster's own, says which they are, so that the next program finds them.
///
/// A value holds the folder locked: two programs never change one cluster at once.
#[derive(Debug)]
pub struct DevCluster {
    folder: PathBuf,
    entries: Vec<Entry>,
    _lock: File,
}

impl DevCluster {
    /// Starts a cluster in this folder, which is made where it is not there, and returns when the
    /// cluster is in order, after about 2 s. Nothing is kept on disk but what servers know of each
    /// other.
    ///
    /// # Errors
    /// `Invalid` for a folder that holds anything, for one that another program is busy with, and for
    /// options of tests: clocks, cuts and passwords; `Missing` without `redis-server`; `Start`;
    /// `Timeout`; `Io`. No server runs on then.
    pub fn start(folder: &Path, options: &ClusterOptions) -> Result<Self> {
        options.check()?;
        let server = &options.server;
        let plain = server.clock == ServerClock::Real
            && server.password.is_none()
            && server.locale.is_none()
            && server.user.is_none()
            && server.host_name.is_none()
            && server.tls == ServerTls::Off;
        if !plain || options.skewable || options.cuttable {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a cluster that outlives its program has the real clock, no users, no names, no TLS, no locale and no cuts",
            ));
        }
        REDIS.file()?;
        let lock = own(folder)?;
        let mut taken = None;
        for attempt in 0..STARTS_MAX {
            let entries = plan(folder, options, attempt)?;
            let mut cluster = Self {
                folder: folder.to_owned(),
                entries,
                _lock: lock.try_clone().map_err(Error::io("keeping a folder locked"))?,
            };
            match cluster.start_missing().map(|_| cluster.wait_until_ok()) {
                Ok(Ok(())) => return Ok(cluster),
                Ok(Err(error)) | Err(StartError::Other(error)) => {
                    cluster.stop()?;
                    return Err(error);
                }
                Err(StartError::Taken(error)) => {
                    cluster.kill_all()?;
                    taken = Some(error);
                }
            }
        }
        fs::remove_dir_all(folder).map_err(Error::io("removing the folder of a cluster"))?;
        Err(taken.unwrap_or_else(|| Error::new(ErrorKind::Start, "no start was tried")))
    }

    /// The cluster that was started in this folder, whether its servers still run or not; `None`
    /// where none was.
    ///
    /// # Errors
    /// `Invalid` when another program is busy with it, or when another version wrote it down; `Io`.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        if state::load(folder)?.is_none() {
            return Ok(None);
        }
        let lock = lock(folder)?;
        // Again, since whoever held the lock may have changed it.
        Ok(state::load(folder)?.map(|entries| Self {
            folder: folder.to_owned(),
            entries,
            _lock: lock,
        }))
    }

    /// Starts the servers that do not run, on their ports and with what they knew of each other, and
    /// returns their number when the cluster is in order.
    ///
    /// # Errors
    /// `Start` with a server's last words, `Timeout`, `Missing`, `Io`. What runs, runs on.
    pub fn revive(&mut self) -> Result<usize> {
        let started = self.start_missing().map_err(StartError::into_error)?;
        self.wait_until_ok()?;
        Ok(started)
    }

    /// Kills exactly the servers that were started here, waits until they are gone, and removes the
    /// folder. Returns how many still ran.
    ///
    /// # Errors
    /// `Timeout` when a server does not end; `Io`. The folder stays then.
    pub fn stop(self) -> Result<usize> {
        let ended = self.kill_all()?;
        fs::remove_dir_all(&self.folder).map_err(Error::io("removing the folder of a cluster"))?;
        Ok(ended)
    }

    /// The URL of the cluster with all nodes, for the fleet of this name or the default one.
    pub fn url(&self, fleet: Option<&str>) -> String {
        let mut words: Vec<String> = self.entries[1..]
            .iter()
            .map(|entry| format!("node={}", entry.address))
            .collect();
        words.extend(fleet.map(|fleet| format!("fleet={}", url_encoded(fleet))));
        let mark = if words.is_empty() { "" } else { "?" };
        format!(
            "redis-cluster://{}{mark}{}",
            self.entries[0].address,
            words.join("&")
        )
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What each node says of itself.
    ///
    /// # Errors
    /// `Io` when the system does not tell of processes. A node that does not answer is no error.
    pub fn nodes(&self) -> Result<Vec<DevNode>> {
        self.entries.iter().map(status::of).collect()
    }

    fn node_folder(&self, index: usize) -> PathBuf {
        self.folder.join(format!("node-{index}"))
    }

    /// Starts what does not run, and waits until each answers.
    fn start_missing(&mut self) -> Result<usize, StartError> {
        REDIS.file()?;
        let mut started = Vec::new();
        for index in 0..self.entries.len() {
            if !self.entries[index].is_alive()? {
                self.start_one(index)?;
                started.push(index);
            }
        }
        for index in &started {
            let entry = &self.entries[*index];
            let log = self.node_folder(*index).join("log");
            let what = format!("redis-server at {} to start", entry.address);
            let runs = wait::until(&what, START_MAX, || match (entry.process, entry.is_alive()) {
                (_, Err(error)) => Err(error.to_string()),
                (Some(process), Ok(true)) => answers(&entry.access(), process.pid).map(|()| true),
                _ => Ok(false),
            })?;
            if !runs {
                return Err(last_words(REDIS.name, &log, entry.address));
            }
        }
        Ok(started.len())
    }

    /// Starts one server. It is written down before it becomes a server: whatever ends this program,
    /// no server runs that the folder does not know.
    fn start_one(&mut self, index: usize) -> Result<()> {
        let folder = self.node_folder(index);
        let mut child = detached(&REDIS.file()?, &folder).map_err(Error::io("starting redis-server"))?;
        let process = Process::of(child.id())?;
        self.entries[index].process = process;
        state::store(&self.folder, &self.entries)?;
        let word = child.stdin.take().map(|mut word| word.write_all(b"go\n"));
        match word {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Error::io("starting redis-server")(error)),
            None => Err(Error::new(ErrorKind::Io, "a child without its input")),
        }
    }

    fn wait_until_ok(&self) -> Result<()> {
        wait::until("the cluster to be in order", WAIT_MAX, || {
            self.entries.iter().try_for_each(status::in_order)
        })
    }

    fn kill_all(&self) -> Result<usize> {
        let mut ended = 0;
        for entry in &self.entries {
            if entry.is_alive()? {
                ended += 1;
            }
            entry.process.map_or(Ok(()), Process::kill)?;
        }
        wait::until("the servers to be gone", WAIT_MAX, || {
            let left: Vec<String> = self
                .entries
                .iter()
                .filter(|entry| entry.is_alive().unwrap_or(true))
                .map(|entry| entry.address.to_string())
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            }
        })?;
        Ok(ended)
    }
}

impl Entry {
    fn access(&self) -> Access {
        Access {
            address: self.address,
            password: None,
        }
    }

    fn is_alive(&self) -> Result<bool> {
        self.process.map_or(Ok(false), Process::is_alive)
    }
}

/// A child that will be a server, that no signal of this terminal reaches, and that holds nothing of
/// this process open.
fn detached(program: &str, folder: &Path) -> std::io::Result<Child> {
    let log = File::create(folder.join("log"))?;
    becoming(program)
        .arg("./redis.conf")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

/// Makes the folder, or takes an empty one, and locks it.
fn own(folder: &Path) -> Result<File> {
    let mut maker = fs::DirBuilder::new();
    let made = maker.recursive(true).mode(0o700).create(folder);
    made.map_err(Error::io(format!("making {}", folder.display())))?;
    let held = lock(folder)?;
    let mut names = fs::read_dir(folder).map_err(Error::io("looking into a folder"))?;
    let foreign = names.any(|name| name.is_ok_and(|name| name.file_name() != "lock"));
    if foreign {
        drop(held);
        // The lock is this call's own, and the only thing that it adds to a folder of somebody else.
        let _ = fs::remove_file(folder.join("lock"));
        let message = format!(
            "{} holds something already: name a folder that is empty or not there",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(held)
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let doing = format!("locking {}", path.display());
    let file = match File::create(&path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => {
            let message = format!("{} was removed at this moment: run this again", folder.display());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        other => other.map_err(Error::io(&doing))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another program is busy with {}: wait for it", folder.display());
            Err(Error::new(ErrorKind::Invalid, message))
        }
        Err(TryLockError::Error(error)) => Err(Error::io(doing)(error)),
    }
}

/// Chooses ports and ids, and writes the files of all nodes.
fn plan(folder: &Path, options: &ClusterOptions, attempt: usize) -> Result<Vec<Entry>> {
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let count = options.nodes();
    let ports = ports::free(&vec![local; count], 2)?;
    let mut identities = Vec::new();
    for pair in &ports {
        identities.push(Identity {
            id: random_hex(20)?,
            ip: local,
            port: pair[0],
            tls_port: None,
            bus: pair[1],
        });
    }
    for (index, identity) in identities.iter().enumerate() {
        let doing = "writing the files of a node";
        let own = folder.join(format!("node-{index}"));
        if attempt > 0 {
            fs::remove_dir_all(&own).map_err(Error::io(doing))?;
        }
        fs::create_dir(&own).map_err(Error::io(doing))?;
        let mut text = config(options, identity, identity.bus);
        for line in &options.server.lines {
            text += line;
            text += "\n";
        }
        fs::write(own.join("redis.conf"), text).map_err(Error::io(doing))?;
        let table = nodes_conf(&identities, options.masters, index);
        fs::write(own.join("nodes.conf"), table).map_err(Error::io(doing))?;
    }
    let entries = identities.into_iter().map(|identity| Entry {
        address: SocketAddr::new(identity.ip, identity.port),
        id: identity.id,
        process: None,
    });
    Ok(entries.collect())
}
