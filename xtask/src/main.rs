//! The tasks of this repository, run as `cargo xtask …`.
//!
//! One program instead of scripts: it runs wherever the library builds, and its checks have tests.

mod ci;
mod codegen;
mod counts;
mod demo;
mod faults;
mod features;
mod fuzz;
mod guarantees;
mod histories;
mod loom;
mod miri;
mod mutants;
mod plan;
mod proof;
mod run;
mod setup;
mod test;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::Steps;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need and this machine lacks.
    Setup,
    /// Install what is missing, then run the tests of every member, the doctests and each bench once.
    Test {
        /// Run the tests whose names start with `slow_`, too.
        #[arg(long)]
        all: bool,
    },
    /// Run everything that must pass before a change lands: what `.ci/run` calls.
    Ci(plan::Selection),
    /// Run what takes too long for each landing: long fuzzing, histories, full fault tables, all mixes of features.
    Proof(plan::Selection),
    /// Make the code of the protocol files in `adapters/grpc/proto`.
    Codegen {
        /// Change nothing, and fail where the code is not what would be made.
        #[arg(long)]
        check: bool,
    },
    /// Count the instructions of the hot paths, and compare them with the committed figures.
    Counts(counts::Arguments),
    /// Explore the interleavings of the lock-free code of core.
    Loom(loom::Arguments),
    /// Fuzz the ring, the codec, the URLs, the memory store and the policies.
    Fuzz(fuzz::Arguments),
    /// Interpret core's tests, and find undefined behaviour.
    Miri,
    /// Make mistakes in core one by one, and see a test of core fail for each.
    Mutants(mutants::Arguments),
    /// Break a real Redis Cluster under load, and print what callers saw and what was lost.
    Faults(faults::Arguments),
    /// Let clients compete for sessions on a store that is broken meanwhile, and check what they are told.
    Histories(histories::Arguments),
    /// Compile each mix of features, and look at what it brings.
    Features,
    /// Make the README's table of guarantees and backends from the results of the tests.
    Guarantees(guarantees::Arguments),
    /// Check the rules of the house: adapters, arrows, guides, lints, tests.
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut steps = Steps::default();
    let outcome = match arguments.task {
        Task::Setup => setup::for_tests(),
        Task::Test { all } => test::run(&mut steps, test::Suite::of(!all)),
        Task::Ci(selection) => ci::run(&mut steps, &selection),
        Task::Proof(selection) => proof::run(&mut steps, &selection),
        Task::Codegen { check } => codegen::run(check),
        Task::Counts(arguments) => counts::run(&arguments),
        Task::Loom(arguments) => loom::run(&mut steps, &arguments),
        Task::Fuzz(arguments) => fuzz::run(&mut steps, &arguments),
        Task::Miri => miri::run(&mut steps),
        Task::Mutants(arguments) => mutants::run(&mut steps, &arguments),
        Task::Faults(arguments) => faults::run(&arguments),
        Task::Histories(arguments) => histories::run(&arguments),
        Task::Features => features::run(&mut steps),
        Task::Guarantees(arguments) => guarantees::run(&arguments),
        Task::Tidy => tidy::run(),
    };
    if !steps.is_empty() {
        print!("{steps}");
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
