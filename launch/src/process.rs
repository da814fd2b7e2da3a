//! Processes of somebody else, such as an earlier run of a program: never mistaken for another one
//! that was given the same number since.

use std::fs;
use std::io::ErrorKind as IoErrorKind;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Error, ErrorKind, Result};

/// One process, in this boot of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) started: u64,
}

impl Process {
    /// The process that has this number now; `None` when there is none, or only its remains.
    pub(crate) fn of(pid: u32) -> Result<Option<Self>> {
        let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(text) => text,
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
            // It ended between opening and reading.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io(format!("looking at process {pid}"))(error)),
        };
        match parse(&text) {
            Some((b'Z' | b'X', _)) => Ok(None),
            Some((_, started)) => Ok(Some(Self { pid, started })),
            None => Err(Error::new(
                ErrorKind::Io,
                format!("what the system says of process {pid} cannot be read"),
            )),
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> Result<bool> {
        Ok(Self::of(self.pid)? == Some(self))
    }

    /// SIGKILL; nothing happens when it has ended, whoever has its number now.
    pub(crate) fn kill(self) -> Result<()> {
        let failed =
            |error: rustix::io::Errno| Error::io(format!("ending process {}", self.pid))(error.into());
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        // From here on the descriptor means one process, whatever happens to the number.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if !self.is_alive()? {
            return Ok(());
        }
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Which start of the machine this is: numbers of processes mean nothing in another one.
pub(crate) fn boot() -> Result<String> {
    let doing = "reading which boot of the machine this is";
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(Error::io(doing))?;
    Ok(text.trim().to_owned())
}

/// The state and the start from `/proc/PID/stat`. The name before them may hold anything.
fn parse(text: &str) -> Option<(u8, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    Some((*words.first()?.as_bytes().first()?, words.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_cannot_play_tricks() {
        let text = "7 (a) Z 1) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        assert_eq!(parse(text), Some((b'S', 4711)));
        assert_eq!(parse("7 (a"), None);
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn only_the_very_process_is_killed() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process::of(child.id()).unwrap().unwrap();
        let earlier = Process {
            started: process.started - 1,
            ..process
        };
        assert!(process.is_alive().unwrap() && !earlier.is_alive().unwrap());
        earlier.kill().unwrap();
        assert!(process.is_alive().unwrap());
        process.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(!process.is_alive().unwrap() && !boot().unwrap().is_empty());
        process.kill().unwrap();
    }
}
