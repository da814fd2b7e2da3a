//! The commands over a running fleet. Each reads through an [`Observer`] and its backend.

pub mod completions;
pub mod copy;
pub mod dev_cluster;
pub mod kick;
pub mod locate;
pub mod nodes;
pub mod owner;
pub mod repair;
pub mod send;
pub mod sessions;
pub mod watch;

use ringhold::{Backend, Fleet, Observer};

use crate::args::{Command, Global};
use crate::exit::Failure;
use crate::output::Output;
use crate::target::{self, BackendUrl};

/// Opens the backend that the arguments name, and runs one command on it.
///
/// # Errors
/// Of opening; `Unsupported` on an embedded backend; and those of the command.
pub async fn run(command: &Command, global: &Global, output: &mut Output<'_>) -> Result<(), Failure> {
    let url = global.backend.with_fleet(global.fleet.as_ref());
    let talks = matches!(command, Command::Send(_) | Command::Kick { .. });
    // A build that cannot do it says so before it looks for a backend.
    let transport = talks.then(|| global.peer.open()).transpose()?;
    let backend = target::open_shared(command.name(), &url).await?;
    let builder = match transport {
        Some(transport) => Fleet::builder(backend).transport(transport),
        None => Fleet::builder(backend),
    };
    let observer = builder.observe().await?;
    on(&observer, command, output).await
}

/// Runs one command on a fleet that is observed already.
///
/// # Errors
/// Those of the command; `Usage` for one that is not about a running fleet.
pub async fn on(observer: &Observer, command: &Command, output: &mut Output<'_>) -> Result<(), Failure> {
    match command {
        Command::Nodes => nodes::run(observer, output).await,
        Command::Sessions(command) => sessions::run(observer, command, output).await,
        Command::Locate { player } => locate::run(observer, player, output).await,
        Command::Owner { key } => owner::run(observer, key, output),
        Command::Send(args) => send::run(observer, args, output).await,
        Command::Kick { player, reason } => kick::run(observer, player, reason, output).await,
        Command::Watch => watch::run(observer, output, ctrl_c()).await,
        Command::Demo(_)
        | Command::DemoNode
        | Command::DemoPlayers
        | Command::Copy(_)
        | Command::Repair(_)
        | Command::DevCluster(_)
        | Command::Completions(_) => Err(Failure::usage(format!(
            "`{}` is not about a running fleet",
            command.name()
        ))),
    }
}

/// Opens a backend that outlives this process.
///
/// # Errors
/// `Unsupported` for another, since it begins empty and `so`; those of opening.
pub(crate) async fn open_lasting(url: &BackendUrl, so: &str) -> Result<Backend, Failure> {
    let backend = url.open().await?;
    let capabilities = &backend.capabilities;
    if capabilities.shared || capabilities.durable {
        return Ok(backend);
    }
    Err(Failure::unsupported(format!(
        "{}: begins empty and ends with this process, so {so}; name a backend that outlives a process",
        backend.scheme
    )))
}

/// Resolves at ctrl-c; never where the platform cannot tell.
pub(crate) async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
