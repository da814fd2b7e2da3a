//! `ringhold copy --from URL --to URL`: sessions from one fleet to another.

use clap::Args;
use ringhold::{Backend, FleetName, Partition};

use super::{ctrl_c, open_lasting};
use crate::args::Global;
use crate::copy::{Copy, Event, Problem, Report, Stage};
use crate::exit::{Exit, Failure};
use crate::output::{Output, grouped, shown};
use crate::progress::Progress;
use crate::target::BackendUrl;

/// From where to where.
#[derive(Debug, Clone, Args)]
pub struct CopyArgs {
    /// The backend to read from. Stop its fleet first: what changes meanwhile is told, not copied
    #[arg(long, value_name = "URL", env = "RINGHOLD_COPY_FROM", hide_env_values = true)]
    pub from: BackendUrl,
    /// The backend to write to
    #[arg(long, value_name = "URL", env = "RINGHOLD_COPY_TO", hide_env_values = true)]
    pub to: BackendUrl,
    /// The fleet to read from, in place of --fleet and of the URL's `fleet=`
    #[arg(long, value_name = "NAME")]
    pub from_fleet: Option<FleetName>,
    /// The fleet to write to, in place of --fleet and of the URL's `fleet=`
    #[arg(long, value_name = "NAME")]
    pub to_fleet: Option<FleetName>,
}

/// How many sessions with a problem are shown to people; programs are told all.
const SHOWN: usize = 20;

/// Copies, verifies, and prints what came of it.
///
/// # Errors
/// `Usage` where both sides are one fleet; `Unsupported` where a side ends with this process; those of
/// opening; and those of [`Copy::run`].
pub async fn run(args: &CopyArgs, global: &Global, output: &mut Output<'_>) -> Result<(), Failure> {
    let of = |own: &Option<FleetName>| own.clone().or_else(|| global.fleet.clone());
    let from = args.from.with_fleet(of(&args.from_fleet).as_ref());
    let to = args.to.with_fleet(of(&args.to_fleet).as_ref());
    if from.same_fleet(&to) {
        return Err(Failure::usage(
            "--from and --to are one fleet of one backend: name another fleet with --to-fleet, or another backend",
        ));
    }
    let source = open(&from, "--from").await?;
    let target = open(&to, "--to").await?;
    let mut copy = Copy::new(source, target);
    on(&mut copy, output).await
}

async fn open(url: &BackendUrl, option: &str) -> Result<Backend, Failure> {
    let so = "there is nothing in it to copy and nothing would be left of what is copied to it";
    let backend = open_lasting(url, so).await;
    backend.map_err(|failure| failure.during(option))
}

/// Runs a copy between backends that are open.
///
/// # Errors
/// Those of [`Copy::run`], and `Interrupted`.
pub async fn on(copy: &mut Copy, output: &mut Output<'_>) -> Result<(), Failure> {
    let progress = Progress::new();
    let mut problems = Problems::default();
    let mut tell = teller(&progress, &mut problems, output);
    let outcome = tokio::select! {
        outcome = copy.run(&mut tell) => outcome,
        () = ctrl_c() => Err(Failure::interrupted().during("copy again to go on from here")),
    };
    drop(tell);
    progress.end();
    let mut report = copy.report().clone();
    report.error = outcome.as_ref().err().map(|failure| failure.message().to_owned());
    let printed = problems.print(output);
    let printed = printed.and_then(|()| output.show(&report, Report::words));
    outcome.and(printed)
}

/// Shows how far it is, and prints or keeps what went wrong.
fn teller<'t>(
    progress: &'t Progress,
    problems: &'t mut Problems,
    output: &'t mut Output<'_>,
) -> impl FnMut(Event) -> Result<(), Failure> + Send + 't {
    let mut doing = None;
    move |event| {
        match event {
            Event::Step {
                stage,
                partitions,
                sessions,
            } => {
                if doing != Some(stage) {
                    doing = Some(stage);
                    progress.begin("", Some(Partition::COUNT.into()));
                }
                let word = match stage {
                    Stage::Copying => "copied",
                    Stage::Verifying => "verified",
                };
                progress.say(|| format!("{} {word}", grouped(sessions)));
                progress.at(partitions.into());
            }
            Event::Problem(problem) => problems.add(problem, output)?,
        }
        Ok(())
    }
}

/// What went wrong with single sessions.
#[derive(Default)]
struct Problems {
    kept: Vec<Problem>,
    more: u64,
}

impl Problems {
    fn add(&mut self, problem: Problem, output: &mut Output<'_>) -> Result<(), Failure> {
        if output.is_json() {
            return match output.value(&problem) {
                // Whoever read has read enough, and the copy goes on.
                Err(failure) if failure.exit() == Exit::Done => Ok(()),
                outcome => outcome,
            };
        }
        if self.kept.len() < SHOWN {
            self.kept.push(problem);
        } else {
            self.more += 1;
        }
        Ok(())
    }

    fn print(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        for problem in &self.kept {
            let Problem {
                session,
                problem,
                message,
            } = problem;
            output.line(format!("{session}: {}: {}", problem.as_str(), shown(message)))?;
        }
        if self.more > 0 {
            output.line(format!("and {} more, which --json names", grouped(self.more)))?;
        }
        Ok(())
    }
}
