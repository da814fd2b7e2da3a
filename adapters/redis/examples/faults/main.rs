//! Real faults on a real Redis Cluster of three masters and three replicas, under load: what callers
//! see, and what is lost.
//!
//! `cargo xtask faults` runs all of them and prints the table; `--only NAME` runs one, `--quick` a few
//! rounds of each, `--json` prints lines for programs. It ends with 1 when a row breaks its bound.

mod leases;
mod load;
mod report;
mod scenarios;
mod skew;

use std::process::ExitCode;

use crate::report::Report;
use crate::scenarios::{ALL, Plan};

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
    let chosen: Vec<_> = ALL
        .iter()
        .filter(|scenario| only.as_deref().is_none_or(|only| scenario.name == only))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        eprintln!("no such scenario; there are: {}", names.join(", "));
        return ExitCode::from(2);
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
    let mut report = Report::default();
    for scenario in chosen {
        eprintln!("{} …", scenario.name);
        match runtime.block_on((scenario.run)(plan)) {
            Ok(rows) => rows.into_iter().for_each(|row| report.add(row)),
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
