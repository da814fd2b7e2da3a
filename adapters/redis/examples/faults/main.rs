//! Real faults on a real Redis Cluster of three masters and three replicas, under load: what callers
//! see, and what is lost.
//!
//! `cargo xtask faults` runs all of them with each client library and prints the table; `--client NAME`
//! runs them with one, `--only NAME` runs one fault. `--quick` runs one round of each, and with
//! another client than the default one only those that a client may make worse. `--json` prints lines
//! for programs. It ends with 1 when a row breaks its bound.

mod leases;
mod load;
mod report;
mod scenarios;
mod skew;

use std::process::ExitCode;

use crate::report::Report;
use crate::scenarios::{ALL, Plan};

/// The client libraries, the default one first.
const CLIENTS: &[&str] = &[
    "redis",
    #[cfg(feature = "fred")]
    "fred",
];
/// What depends on when a client notices that its server is gone.
const OF_CLIENTS: [&str; 2] = ["kill", "stop"];

fn main() -> ExitCode {
    let (mut quick, mut json, mut only, mut client) = (false, false, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--json" => json = true,
            "--only" => only = arguments.next(),
            "--client" => client = arguments.next(),
            _ => {
                eprintln!("usage: faults [--quick] [--json] [--only NAME] [--client NAME]");
                return ExitCode::from(2);
            }
        }
    }
    let wanted = |name: &str, asked: &Option<String>| asked.as_deref().is_none_or(|asked| asked == name);
    let mut chosen = Vec::new();
    for name in CLIENTS.iter().filter(|name| wanted(name, &client)) {
        let plan = Plan { quick, client: name };
        let all = !quick || client.is_some() || *name == CLIENTS[0];
        for scenario in ALL.iter().filter(|scenario| wanted(scenario.name, &only)) {
            if all || only.is_some() || OF_CLIENTS.contains(&scenario.name) {
                chosen.push((plan, scenario));
            }
        }
    }
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
        let (names, clients) = (names.join(", "), CLIENTS.join(", "));
        eprintln!("no such scenario or client; there are: {names}; with {clients}");
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
    for (plan, scenario) in chosen {
        eprintln!("{}, {} …", scenario.name, plan.client);
        match runtime.block_on((scenario.run)(plan)) {
            Ok(rows) => rows.into_iter().for_each(|row| report.add(plan.client, row)),
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
