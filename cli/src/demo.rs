//! `ringhold demo`: a fleet of real game servers with real players that loses some of its nodes while
//! everything is counted.
//!
//! Each node has a runtime, threads, sockets and a TCP listener of its own, and dies without a
//! goodbye. Each player is a TCP client that remembers what it was told, and compares. All of that is
//! in one process; or, with `--processes`, each node is a process and the players are another, and
//! nodes die by SIGKILL.

pub(crate) mod apart;
mod audit;
mod crowd;
mod engine;
mod guests;
mod ledger;
mod lookups;
mod node;
mod orders;
mod player;
mod players;
mod process;
pub mod protocol;
pub mod report;
mod script;
pub mod server;
pub mod wire;
mod world;

use std::time::Duration;

use clap::{Args, ValueEnum};
use ringhold::{FleetName, Timing};

use crate::args::Global;
use crate::commands::ctrl_c;
use crate::exit::Failure;
use crate::output::{Output, counted, grouped};
use crate::progress::Progress;
use crate::random;
use crate::target::needs_shared_for_processes;
use node::{Setting, Source};
use script::{Plan, Script};

/// What is asked of a demo.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Nodes at the start; one more joins
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub nodes: u16,
    /// Players; as many as the limit of open files allows
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(PLAYERS_MAX)))]
    pub players: u32,
    /// Nodes that are killed without a goodbye; less than --nodes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub kill: u16,
    /// Seconds that everybody plays before anything happens
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// How often nodes renew their leases, and how soon a dead one is noticed
    #[arg(long, value_enum, default_value_t = TimingChoice::Default)]
    pub timing: TimingChoice,
    /// Each node, and the players, in a process of its own; nodes die by SIGKILL. Needs a shared backend
    #[arg(long)]
    pub processes: bool,
}

/// The most players of a demo.
const PLAYERS_MAX: u32 = 100_000;
/// How long the players, and then the nodes, get for their goodbyes.
const GOODBYE: Duration = Duration::from_secs(3);

/// The periods of the demo's fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TimingChoice {
    /// A heartbeat of 1 s, a lease of 5 s
    Default,
    /// A heartbeat of 5 s, a lease of 15 s
    Relaxed,
}

impl From<TimingChoice> for Timing {
    fn from(choice: TimingChoice) -> Self {
        match choice {
            TimingChoice::Default => Self::default(),
            TimingChoice::Relaxed => Self::relaxed(),
        }
    }
}

/// Runs the demo and prints what came of it.
///
/// # Errors
/// `Usage` for arguments that cannot work; `No` when something was lost; what stopped it otherwise.
pub async fn run(args: &DemoArgs, global: &Global, output: &mut Output<'_>) -> Result<(), Failure> {
    if args.kill >= args.nodes {
        return Err(Failure::usage(format!(
            "--kill {} leaves none of --nodes {}: give a smaller --kill or more --nodes",
            args.kill, args.nodes
        )));
    }
    // On a backend that others use too, a demo stays among itself.
    let own = match &global.fleet {
        Some(fleet) => Some(fleet.clone()),
        None if global.backend.names_fleet() => None,
        None => Some(FleetName::new(format!(
            "demo-{:08x}",
            u32::from_le_bytes(random::bytes()?)
        ))?),
    };
    let url = global.backend.with_fleet(own.as_ref());
    if args.processes {
        needs_shared_for_processes(&url)?;
    }
    let backend = url.open().await?;
    // Both ends of a connection are in this process, or each in one of its own.
    let (setting, files_per_player) = if args.processes {
        (Setting::Apart(url), 1)
    } else {
        let source = if backend.capabilities.shared {
            Source::Own(url)
        } else {
            Source::Shared(backend.clone())
        };
        (Setting::Here(source), 2)
    };
    let progress = Progress::new();
    let room = crowd::room_for(args.players.into(), args.nodes.into(), files_per_player);
    if room < u64::from(args.players) {
        if room == 0 {
            let (needed, limit) = crowd::files(1, args.nodes.into(), files_per_player);
            return Err(Failure::failed(format!(
                "the limit of open files is {limit}, and one player on {} needs {needed}: raise it with `ulimit -n`",
                counted(args.nodes.into(), "node")
            )));
        }
        progress.done(format!(
            "the limit of open files allows {}, not {}: raise it with `ulimit -n`",
            counted(room, "player"),
            grouped(args.players.into())
        ));
    }
    let plan = Plan {
        nodes: args.nodes,
        players: usize::try_from(room).unwrap_or(usize::MAX),
        kill: args.kill,
        play: Duration::from_secs(args.seconds.into()),
        timing: args.timing.into(),
    };
    let mut script = Script::new(&backend, setting, plan, &progress)?;
    let outcome = tokio::select! {
        outcome = script.run() => outcome,
        () = ctrl_c() => Err(Failure::interrupted()),
    };
    let mut report = script.end().await;
    report.error = outcome.as_ref().err().map(|failure| failure.message().to_owned());
    let outcome = outcome.and_then(|()| {
        report
            .losses()
            .map_or(Ok(()), |losses| Err(Failure::loss(losses)))
    });
    report.ok = outcome.is_ok();
    if output.is_json() {
        output.value(&report)?;
    } else if !report.by_node.is_empty() {
        output.line(format!("\n{}", report.page()))?;
        if report.ok {
            output
                .line("\nnothing acknowledged was lost, nobody was moved needlessly, and everyone plays")?;
        }
    }
    outcome
}
