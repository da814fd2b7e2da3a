//! One Redis server in its folder.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::client::{Access, field_of};
use crate::daemon::{Daemon, Program, StartError};
use crate::keeper::Keeper;
use crate::{Error, ErrorKind, Result, locale, preload};

/// The server's program, or one that speaks its protocol, such as Valkey's.
pub(crate) const REDIS: Program = Program {
    name: "redis-server",
    package: "redis-server",
    variable: Some("RINGHOLD_REDIS_SERVER"),
};

pub(crate) struct Node {
    pub(crate) access: Access,
    pub(crate) daemon: Daemon,
    clock_file: Option<PathBuf>,
    locale: Option<String>,
}

impl Node {
    /// A server that is not started yet.
    pub(crate) fn new(
        keeper: &Arc<Keeper>,
        folder: PathBuf,
        access: Access,
        clock_file: Option<PathBuf>,
        locale: Option<&str>,
    ) -> Self {
        let daemon = Daemon::new(keeper, REDIS, folder, access.address);
        Self {
            access,
            daemon,
            clock_file,
            locale: locale.map(str::to_owned),
        }
    }

    /// Starts the process with this configuration. [`ready`](Self::ready) waits for it.
    pub(crate) fn spawn(&self, config: &str) -> Result<()> {
        let doing = "writing the configuration of a server";
        fs::write(self.daemon.folder().join("redis.conf"), config).map_err(Error::io(doing))?;
        let mut environment = Vec::new();
        if let Some(file) = &self.clock_file {
            environment.push(("LD_PRELOAD".to_owned(), preload::library()?));
            environment.push((preload::VARIABLE.to_owned(), file.clone()));
        }
        if let Some(name) = &self.locale {
            environment.extend(locale::environment(name)?);
        }
        self.daemon.spawn(&["./redis.conf"], &environment)
    }

    /// Waits until the process answers and has read its data.
    pub(crate) fn ready(&self) -> Result<(), StartError> {
        self.daemon.ready(|pid| answers(&self.access, pid))?;
        if let Some(name) = &self.locale {
            // By bytes, capital letters come first; in a language, `a` comes before `B`.
            let reply = self
                .access
                .command(&["EVAL", "return 'a' < 'B' and 1 or 0", "0"])?;
            if reply.check()?.integer() != Some(1) {
                let message = format!("{} does not collate as {name}.UTF-8", self.access.address);
                return Err(Error::new(ErrorKind::Start, message).into());
            }
        }
        Ok(())
    }

    /// Starts it on its old port, after a SIGKILL where it still runs.
    pub(crate) fn restart(&self, config: &str) -> Result<()> {
        self.daemon.restart(|| {
            self.spawn(config)?;
            self.ready()
        })
    }

    /// As [`Daemon::kill`].
    pub(crate) fn kill(&self) {
        self.daemon.kill();
    }

    /// As [`Daemon::stop`].
    pub(crate) fn stop(&self) -> Result<()> {
        self.daemon.stop()
    }

    /// As [`Daemon::resume`].
    pub(crate) fn resume(&self) -> Result<()> {
        self.daemon.resume()
    }

    /// As [`Daemon::pid`].
    pub(crate) fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// As [`Daemon::is_running`].
    pub(crate) fn is_running(&self) -> bool {
        self.daemon.is_running()
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
