//! `ringhold repair`: checks what a backend keeps of a fleet's sessions, and repairs it on request.

use std::sync::Arc;

use clap::Args;
use ringhold::SessionStore;
use ringhold::core::session::{RepairSessions, SessionFault, SessionProblem};
use serde::Serialize;

use super::{ctrl_c, open_lasting};
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Output, counted, grouped, lines, shown, table};
use crate::progress::Progress;

/// Whether anything is changed.
#[derive(Debug, Clone, Args)]
pub struct RepairArgs {
    /// Repair what is found: remove what is dangling or cannot be read, and add what an index lacks. Without it, nothing
    /// is changed
    #[arg(long)]
    pub apply: bool,
}

/// How many faults people see; programs get all.
const SHOWN: usize = 20;

/// One fault.
#[derive(Debug, Serialize)]
struct FaultRow<'a> {
    entry: &'a str,
    problem: &'static str,
    repaired: bool,
}

impl<'a> FaultRow<'a> {
    fn new(fault: &'a SessionFault) -> Self {
        Self {
            entry: &fault.entry,
            problem: fault.problem.as_str(),
            repaired: fault.repaired,
        }
    }
}

/// The outcome of a check.
#[derive(Debug, Default, Serialize)]
pub struct RepairReport {
    /// How many sessions and tombstones were checked.
    pub entries: u64,
    /// How many faults there were.
    pub faults: u64,
    /// How many of them are repaired.
    pub repaired: u64,
    /// How many are records of a newer format, which no repair changes.
    pub newer: u64,
    /// Whether everything was checked.
    pub complete: bool,
}

impl RepairReport {
    fn words(&self) -> String {
        let (faults, part) = (
            counted(self.faults, "fault"),
            if self.complete { "" } else { ", not complete" },
        );
        format!(
            "{} sessions and tombstones checked{part}: {faults}, {} repaired",
            grouped(self.entries),
            grouped(self.repaired)
        )
    }

    fn outcome(&self, apply: bool) -> Result<(), Failure> {
        let left = self.faults - self.repaired;
        if left == 0 {
            return Ok(());
        }
        let advice = if apply && left == self.newer {
            "these are records of a newer format; use a build that reads them"
        } else if apply {
            "no repair changes keys of another type or form; find out what else writes to them"
        } else {
            "repair them with --apply"
        };
        Err(Failure::faults(format!(
            "{} left; {advice}",
            counted(left, "fault")
        )))
    }
}

/// Opens the backend, checks it, and prints what was found.
///
/// # Errors
/// `Unsupported` where the backend ends with this process; those of opening, and of [`on`].
pub async fn run(args: &RepairArgs, global: &Global, output: &mut Output<'_>) -> Result<(), Failure> {
    let url = global.backend.with_fleet(global.fleet.as_ref());
    let backend = open_lasting(&url, "there is nothing in it to repair").await?;
    on(&backend.sessions, args, output).await
}

/// Checks a store that is open.
///
/// # Errors
/// `No` where faults are left; those of the store; `Interrupted`.
pub async fn on(
    store: &Arc<dyn SessionStore>,
    args: &RepairArgs,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let progress = Progress::new();
    progress.begin("", None);
    let (mut report, mut kept) = (RepairReport::default(), Vec::new());
    let outcome = tokio::select! {
        outcome = check(store, args, &progress, (&mut report, &mut kept), output) => outcome,
        () = ctrl_c() => Err(Failure::interrupted().during("what was repaired stays so")),
    };
    progress.end();
    let printed = print(&kept, &report, output);
    outcome.and(printed).and_then(|()| report.outcome(args.apply))
}

async fn check(
    store: &Arc<dyn SessionStore>,
    args: &RepairArgs,
    progress: &Progress,
    (report, kept): (&mut RepairReport, &mut Vec<SessionFault>),
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut request = if args.apply {
        RepairSessions::repair()
    } else {
        RepairSessions::check()
    };
    loop {
        let part = store.repair(request.clone()).await?;
        report.entries += part.entries;
        for fault in part.faults {
            report.faults += 1;
            report.repaired += u64::from(fault.repaired);
            report.newer += u64::from(fault.problem == SessionProblem::Newer);
            if output.is_json() {
                match output.value(&FaultRow::new(&fault)) {
                    // The reader has gone, and the repair goes on.
                    Err(failure) if failure.exit() == Exit::Done => {}
                    outcome => outcome?,
                }
            } else if kept.len() < SHOWN {
                kept.push(fault);
            }
        }
        progress.say(|| {
            format!(
                "{} checked, {}",
                grouped(report.entries),
                counted(report.faults, "fault")
            )
        });
        let Some(next) = part.next else {
            report.complete = true;
            return Ok(());
        };
        request = request.after(next);
    }
}

fn print(kept: &[SessionFault], report: &RepairReport, output: &mut Output<'_>) -> Result<(), Failure> {
    if !kept.is_empty() {
        let mut table = table(&["ENTRY", "PROBLEM", "STATE"]);
        for fault in kept {
            let state = if fault.repaired { "repaired" } else { "left" };
            table.add_row([&shown(&fault.entry), fault.problem.as_str(), state]);
        }
        output.line(lines(&table))?;
    }
    let more = report.faults - kept.len() as u64;
    if more > 0 && !output.is_json() {
        output.line(format!("and {} more, which --json names", grouped(more)))?;
    }
    output.show(report, RepairReport::words)
}
