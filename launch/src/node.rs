//! One server process in its folder.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::client::{Access, field_of};
use crate::keeper::{Keeper, installed};
use crate::{Error, ErrorKind, Result, preload, wait};

/// How long a server may take to start, a large append-only file included.
pub(crate) const START_MAX: Duration = Duration::from_secs(30);

/// How often a start is tried anew because somebody else took a port between its choice and its use.
/// Nothing but that is tried again.
pub(crate) const STARTS_MAX: usize = 8;

/// Why a server did not start.
pub(crate) enum StartError {
    /// Its port was taken: another one may be free.
    Taken(Error),
    Other(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl StartError {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Taken(error) | Self::Other(error) => error,
        }
    }
}

enum State {
    Running(Child),
    Stopped(Child),
    Down,
}

pub(crate) struct Node {
    pub(crate) access: Access,
    folder: PathBuf,
    clock_file: Option<PathBuf>,
    keeper: Arc<Keeper>,
    state: Mutex<State>,
}

impl Node {
    /// A server that is not started yet. Makes its folder anew.
    pub(crate) fn new(
        keeper: &Arc<Keeper>,
        folder: PathBuf,
        access: Access,
        clock_file: Option<PathBuf>,
    ) -> Self {
        Self {
            access,
            folder,
            clock_file,
            keeper: Arc::clone(keeper),
            state: Mutex::new(State::Down),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts the process with this configuration. [`ready`](Self::ready) waits for it.
    pub(crate) fn spawn(&self, config: &str) -> Result<()> {
        installed("redis-server", "redis-server")?;
        let mut state = self.state();
        if !matches!(*state, State::Down) {
            return Err(Error::new(ErrorKind::Invalid, "this server runs already"));
        }
        let doing = "writing the configuration of a server";
        fs::write(self.folder.join("redis.conf"), config).map_err(Error::io(doing))?;
        // What an earlier run said must not be taken for what this one says.
        let log = self.log_path();
        let _ = fs::rename(&log, self.folder.join("log.before"));
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::io(doing))?;
        let mut environment = Vec::new();
        if let Some(file) = &self.clock_file {
            environment.push(("LD_PRELOAD".to_owned(), preload::library()?));
            environment.push((preload::VARIABLE.to_owned(), file.clone()));
        }
        let arguments = ["./redis.conf"];
        *state = State::Running(self.keeper.spawn(
            "redis-server",
            &arguments,
            &self.folder,
            &environment,
            &log,
        )?);
        Ok(())
    }

    /// Waits until the process answers and has read its data.
    pub(crate) fn ready(&self) -> Result<(), StartError> {
        let address = self.access.address;
        let mut ended = None;
        wait::until(
            &format!("redis-server at {address} to start"),
            START_MAX,
            || match self.probe() {
                Ok(()) => Ok(()),
                Err(Some(seen)) => Err(seen),
                Err(None) => {
                    ended = Some(());
                    Ok(())
                }
            },
        )?;
        if ended.is_none() {
            return Ok(());
        }
        self.kill();
        Err(last_words(&self.log_path(), address))
    }

    /// `Err(None)` when the process has ended, `Err(Some(seen))` when it is not ready yet.
    fn probe(&self) -> Result<(), Option<String>> {
        let pid = match &mut *self.state() {
            State::Running(child) => match child.try_wait() {
                Ok(None) => child.id(),
                _ => return Err(None),
            },
            _ => return Err(None),
        };
        answers(&self.access, pid).map_err(Some)
    }

    /// Starts it on its old port. The port is its own by right: only for as long as somebody's
    /// outgoing connection has borrowed it, the start is tried again.
    pub(crate) fn restart(&self, config: &str) -> Result<()> {
        self.kill();
        for _ in 1..STARTS_MAX {
            self.spawn(config)?;
            match self.ready() {
                Err(StartError::Taken(_)) => wait::pause(Duration::from_millis(250)),
                outcome => return outcome.map_err(StartError::into_error),
            }
        }
        self.spawn(config)?;
        self.ready().map_err(StartError::into_error)
    }

    /// SIGKILL, also to a stopped one; returns when the process is gone.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        if let State::Running(child) | State::Stopped(child) = &mut *state {
            self.keeper.end(child);
        }
        *state = State::Down;
    }

    /// SIGSTOP; returns when the process has stopped.
    pub(crate) fn stop(&self) -> Result<()> {
        let mut state = self.state();
        *state = match std::mem::replace(&mut *state, State::Down) {
            State::Running(child) => {
                let outcome = stop(&child);
                if let Err(error) = outcome {
                    *state = State::Running(child);
                    return Err(error);
                }
                State::Stopped(child)
            }
            stopped @ State::Stopped(_) => stopped,
            State::Down => return Err(self.down()),
        };
        Ok(())
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) -> Result<()> {
        let mut state = self.state();
        *state = match std::mem::replace(&mut *state, State::Down) {
            State::Stopped(child) => {
                let outcome = kill_process(Pid::from_child(&child), Signal::CONT);
                if let Err(error) = outcome {
                    *state = State::Stopped(child);
                    return Err(Error::io("continuing a server")(error.into()));
                }
                State::Running(child)
            }
            running @ State::Running(_) => running,
            State::Down => return Err(self.down()),
        };
        Ok(())
    }

    fn down(&self) -> Error {
        let message = format!("the server at {} is killed", self.access.address);
        Error::new(ErrorKind::Invalid, message)
    }

    /// The process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &*self.state() {
            State::Running(child) | State::Stopped(child) => Some(child.id()),
            State::Down => None,
        }
    }

    /// Whether it was started and neither killed nor stopped by us.
    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.state(), State::Running(_))
    }
}

/// Whether the process answers and has read its data; if not, what is seen instead.
pub(crate) fn answers(access: &Access, pid: u32) -> Result<(), String> {
    let info = access.text(&["INFO"]).map_err(|error| error.to_string())?;
    // Somebody else's server may sit on the port; ours is about to notice, and to end.
    if field_of(&info, "process_id") != Some(&pid.to_string()) {
        return Err("another process answers".to_owned());
    }
    match field_of(&info, "loading") {
        Some("0") => Ok(()),
        _ => Err("it reads its data".to_owned()),
    }
}

/// Why a server that has ended did not start.
pub(crate) fn last_words(log: &Path, address: SocketAddr) -> StartError {
    let said = fs::read_to_string(log).unwrap_or_default();
    let mut last: Vec<&str> = said.lines().rev().take(5).collect();
    last.reverse();
    let last = last.join("\n  ");
    let message = format!("redis-server did not start at {address}; it said:\n  {last}");
    let error = Error::new(ErrorKind::Start, message);
    if said.contains("Address already in use") {
        StartError::Taken(error)
    } else {
        StartError::Other(error)
    }
}

fn stop(child: &Child) -> Result<()> {
    let failed = |error: rustix::io::Errno| Error::io("stopping a server")(error.into());
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::STOP).map_err(failed)?;
    // Without taking the news from whoever waits for its end.
    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).map_err(failed)?;
    Ok(())
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
