//! The program `ringhold`: a demo fleet that anybody can run, and commands over a running fleet.
//!
//! ```text
//! ringhold demo                       five game servers, two thousand players, one of each dies
//! ringhold demo --processes           the same with each server a process, on a shared backend
//! ringhold nodes                      who is in the fleet
//! ringhold sessions list|get|find|remove
//! ringhold locate PLAYER              who holds this player now
//! ringhold owner KEY                  what the ring says of a key
//! ringhold watch                      what happens, until ctrl-c
//! ringhold send PLAYER|--all TEXT     a message to a player, or to all, wherever they are
//! ringhold kick PLAYER                ends a player's session, and tells its connection
//! ringhold copy --from URL --to URL   sessions from one fleet to another
//! ringhold repair                     dangling and unreadable entries of a backend, and their repair
//! ringhold dev-cluster up|down|status a Redis Cluster on this machine
//! ringhold completions SHELL
//! ```
//!
//! Tables are for people; with `--json` each line on standard output is one JSON value, and errors
//! on standard error are JSON too. Progress, logs and errors never go to standard output.
//!
#![doc = concat!("```text\n", include_str!("../exit-codes.txt"), "```")]
//!
//! Each command is a function over a backend or an observer that writes to an [`output::Output`],
//! so that tests run it on memory. [`exit::Failure`] says how a command ends.

pub mod args;
pub mod commands;
pub mod copy;
pub mod demo;
pub mod exit;
pub mod output;
pub mod peer;
mod progress;
mod random;
pub mod target;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            if answer.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                let failure = Failure::usage(answer.to_string().trim_end());
                failure.report(true);
                return failure.exit().into();
            }
            // Help, version or a usage error. Whoever closed the pipe has read enough.
            let _ = answer.print();
            return if answer.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    log_to_stderr();
    let json = cli.global.json;
    match run(cli) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            failure.report(json);
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let mut stdout = io::stdout();
    let mut output = Output::new(global.json, &mut stdout);
    match &command {
        Command::Completions(shell) => return commands::completions::run(shell, &mut output),
        Command::DevCluster(command) => return commands::dev_cluster::run(command, &mut output),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::from(error).during("starting the tokio runtime"))?;
    let outcome = runtime.block_on(async {
        match &command {
            Command::Demo(args) => demo::run(args, &global, &mut output).await,
            Command::Copy(args) => commands::copy::run(args, &global, &mut output).await,
            Command::Repair(args) => commands::repair::run(args, &global, &mut output).await,
            Command::DemoNode => demo::apart::node(&mut output).await,
            Command::DemoPlayers => demo::apart::players(&mut output).await,
            other => commands::run(other, &global, &mut output).await,
        }
    });
    // What still runs belongs to a fleet that the command is done with.
    runtime.shutdown_background();
    outcome
}

/// What the libraries have to say: errors, or what `RUST_LOG` asks for.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    // Somebody else's subscriber is as good; and a closed standard error is no reason to fail.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .try_init();
}
