//! Real faults on a real etcd of three members, under load: what callers see, and what is lost.
//!
//! `cargo xtask faults --backend etcd` runs all of them and prints the table; `--only NAME` runs one,
//! `--quick` one round of each, `--json` prints lines for programs. It ends with 1 when a row breaks its
//! bound. `--only capacity` measures how much an etcd on this machine can take.

mod capacity;
mod fleet;
mod load;
mod report;
mod scenarios;

use std::process::ExitCode;

use crate::report::Report;
use crate::scenarios::{ALL, Plan};

const CAPACITY: &str = "capacity";

fn main() -> ExitCode {
    let mut plan = Plan::default();
    let (mut json, mut only) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => plan.quick = true,
            "--json" => json = true,
            "--only" => only = arguments.next(),
            _ => {
                eprintln!("usage: faults [--quick] [--json] [--only NAME]");
                return ExitCode::from(2);
            }
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    if only.as_deref() == Some(CAPACITY) {
        return match runtime.block_on(capacity::run()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{CAPACITY}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let chosen: Vec<_> = ALL
        .iter()
        .filter(|scenario| only.as_deref().is_none_or(|only| scenario.name == only))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        eprintln!("no such scenario; there are: {}, {CAPACITY}", names.join(", "));
        return ExitCode::from(2);
    }
    let mut report = Report::default();
    for scenario in chosen {
        eprintln!("{} …", scenario.name);
        match runtime.block_on(scenarios::run(scenario, plan)) {
            Ok(row) => report.add(row),
            Err(error) => {
                eprintln!("{}: {error}", scenario.name);
                return ExitCode::FAILURE;
            }
        }
    }
    if json {
        print!("{}", report.json());
    } else {
        print!("{report}");
    }
    if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
