//! A process in its folder, whatever server it is: started, stopped, continued and killed.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::keeper::{Keeper, installed};
use crate::{Error, ErrorKind, Result, wait};

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

/// The program of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Installs it where it is missing.
    pub(crate) package: &'static str,
    /// The environment variable that names another file.
    pub(crate) variable: Option<&'static str>,
}

impl Program {
    /// The file that its variable names, or the name to look up on the path. The error says what to install.
    pub(crate) fn file(self) -> Result<String> {
        let named = self.variable.and_then(|variable| std::env::var(variable).ok());
        self.choose(named.filter(|file| !file.is_empty()))
    }

    fn choose(self, named: Option<String>) -> Result<String> {
        let Some(file) = named else {
            installed(self.name, self.package)?;
            return Ok(self.name.to_owned());
        };
        // A server runs in a folder of its own.
        let path = Path::new(&file);
        if path.is_absolute() && path.is_file() {
            return Ok(file);
        }
        let variable = self.variable.unwrap_or_default();
        let message = format!(
            "{variable}: expected the absolute path of a {}, got {file:?}",
            self.name
        );
        Err(Error::new(ErrorKind::Missing, message))
    }
}

/// Starts with fresh ports, until none of them is taken.
pub(crate) fn start_anew<T>(mut attempt: impl FnMut(usize) -> Result<T, StartError>) -> Result<T> {
    let mut taken = None;
    for number in 0..STARTS_MAX {
        match attempt(number) {
            Err(StartError::Taken(error)) => taken = Some(error),
            outcome => return outcome.map_err(StartError::into_error),
        }
    }
    Err(taken.unwrap_or_else(|| Error::new(ErrorKind::Start, "no start was tried")))
}

enum State {
    Running(Child),
    Stopped(Child),
    Down,
}

pub(crate) struct Daemon {
    program: Program,
    /// Where it serves; words for people, and nothing else.
    address: SocketAddr,
    folder: PathBuf,
    keeper: Arc<Keeper>,
    state: Mutex<State>,
}

impl Daemon {
    /// A process that is not started yet.
    pub(crate) fn new(keeper: &Arc<Keeper>, program: Program, folder: PathBuf, address: SocketAddr) -> Self {
        Self {
            program,
            address,
            folder,
            keeper: Arc::clone(keeper),
            state: Mutex::new(State::Down),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it writes what it says.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts the process, unless it runs already. [`ready`](Self::ready) waits for it.
    pub(crate) fn spawn(&self, arguments: &[&str], environment: &[(String, PathBuf)]) -> Result<()> {
        let file = self.program.file()?;
        let mut state = self.state();
        if !matches!(*state, State::Down) {
            return Err(Error::new(ErrorKind::Invalid, "this server runs already"));
        }
        // What an earlier run said must not be taken for what this one says.
        let log = self.log_path();
        let _ = fs::rename(&log, self.folder.join("log.before"));
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::io("opening the log of a server"))?;
        let child = self
            .keeper
            .spawn(&file, arguments, &self.folder, environment, &log)?;
        *state = State::Running(child);
        Ok(())
    }

    /// Waits until `answers`, which is given the number of the process, says that it is ready.
    pub(crate) fn ready(&self, answers: impl Fn(u32) -> Result<(), String>) -> Result<(), StartError> {
        let Program { name, .. } = self.program;
        let address = self.address;
        let mut ended = None;
        wait::until(&format!("{name} at {address} to start"), START_MAX, || {
            let Some(pid) = self.alive() else {
                ended = Some(());
                return Ok(());
            };
            answers(pid)
        })?;
        if ended.is_none() {
            return Ok(());
        }
        self.kill();
        Err(last_words(name, &self.log_path(), address))
    }

    /// The process, unless it has ended by itself or is stopped.
    fn alive(&self) -> Option<u32> {
        match &mut *self.state() {
            State::Running(child) => matches!(child.try_wait(), Ok(None)).then(|| child.id()),
            _ => None,
        }
    }

    /// Kills it and starts it on its old port. The port is its own by right: only for as long as somebody's
    /// outgoing connection has borrowed it, the start is tried again.
    pub(crate) fn restart(&self, mut start: impl FnMut() -> Result<(), StartError>) -> Result<()> {
        self.kill();
        for _ in 1..STARTS_MAX {
            match start() {
                Err(StartError::Taken(_)) => wait::pause(Duration::from_millis(250)),
                outcome => return outcome.map_err(StartError::into_error),
            }
        }
        start().map_err(StartError::into_error)
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
        let message = format!("the server at {} is killed", self.address);
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

/// Why a server that has ended did not start.
pub(crate) fn last_words(program: &str, log: &Path, address: SocketAddr) -> StartError {
    let said = fs::read_to_string(log).unwrap_or_default();
    let mut last: Vec<&str> = said.lines().rev().take(5).collect();
    last.reverse();
    let last = last.join("\n  ");
    let message = format!("{program} did not start at {address}; it said:\n  {last}");
    let error = Error::new(ErrorKind::Start, message);
    if said.to_lowercase().contains("address already in use") {
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

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::REDIS;

    #[test]
    fn named_program_has_to_be_an_absolute_path_of_a_file() {
        let own = std::env::current_exe().unwrap().display().to_string();
        assert_eq!(REDIS.choose(Some(own.clone())).unwrap(), own);
        for file in ["valkey-server", "/no/such/valkey-server", "/"] {
            let error = REDIS.choose(Some(file.to_owned())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Missing);
            let shown = error.to_string();
            assert!(
                shown.contains("RINGHOLD_REDIS_SERVER") && shown.contains(file),
                "{shown}"
            );
        }
    }
}
