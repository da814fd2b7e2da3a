//! A task that is a list of named steps, any of which runs alone: `cargo xtask ci` and `cargo xtask proof`.

use std::time::Instant;

use clap::Args;

use crate::run::{Calls, Problem, Result, Steps};

/// How many calls of [`Work::Beside`] run at once. They wait for servers more than they compute.
const BESIDE: usize = 3;

/// One step of a plan.
pub(crate) struct Step {
    /// Its name on the command line: lower case, with hyphens.
    pub(crate) name: &'static str,
    /// Its purpose in a few words.
    pub(crate) about: &'static str,
    pub(crate) work: Work,
}

/// The work of a step.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Nothing else runs beside it.
    Alone(fn(&mut Steps) -> Result<()>),
    /// Programs that are built already. Those of steps of this kind that follow each other run at once.
    Beside(fn() -> Result<Calls>),
}

/// Which steps of a plan run.
#[derive(Args, Default)]
pub(crate) struct Selection {
    /// Run only this step; repeat the option for several.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// List the steps and run none.
    #[arg(long)]
    list: bool,
}

/// The reaction to a step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// No other step runs: what a submitter waits for.
    Stop,
    /// The others run, so that one long run names every failure.
    Continue,
}

/// Runs the selected steps in the order of the plan.
pub(crate) fn run(
    plan: &[Step],
    selection: &Selection,
    after: AfterFailure,
    steps: &mut Steps,
) -> Result<()> {
    if selection.list {
        print!("{}", listing(plan));
        return Ok(());
    }
    let chosen = chosen(plan, &selection.only)?;
    let start = Instant::now();
    let mut problems = Vec::new();
    let groups =
        chosen.chunk_by(|one, next| matches!((one.work, next.work), (Work::Beside(_), Work::Beside(_))));
    let mut number = 0;
    for group in groups {
        number += group.len();
        steps.announce(number, chosen.len(), start.elapsed());
        if let Err(problem) = run_group(group, after, steps) {
            let only: Vec<String> = group.iter().map(|step| format!("--only {}", step.name)).collect();
            problems.push(format!("{problem} (again: `{}`)", only.join(" ")));
            if after == AfterFailure::Stop {
                break;
            }
            eprintln!("error: {problem}; the other steps go on");
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Problem::new(problems.join("\n")))
}

/// Runs one step, or several beside each other.
fn run_group(group: &[&Step], after: AfterFailure, steps: &mut Steps) -> Result<()> {
    let mut all = Calls::default();
    for step in group {
        match step.work {
            Work::Alone(work) => work(steps)?,
            Work::Beside(calls) => all.extend(calls()?),
        }
    }
    if all.is_empty() {
        Ok(())
    } else {
        steps.at_once(BESIDE, all, after == AfterFailure::Stop, || {})
    }
}

fn chosen<'a>(plan: &'a [Step], only: &[String]) -> Result<Vec<&'a Step>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| plan.iter().all(|step| step.name != **name))
    {
        let names: Vec<&str> = plan.iter().map(|step| step.name).collect();
        return Err(Problem::new(format!(
            "expected a step, got {unknown:?}; the steps are {}",
            names.join(", ")
        )));
    }
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    Ok(plan.iter().filter(wanted).collect())
}

fn listing(plan: &[Step]) -> String {
    let width = plan.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let lines = plan.iter().map(|step| {
        [
            format!("{:width$}  ", step.name),
            step.about.to_owned(),
            "\n".into(),
        ]
    });
    lines.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Call;

    fn fails(steps: &mut Steps) -> Result<()> {
        steps.run("b", || Err(Problem::new("broken")))
    }

    const PLAN: &[Step] = &[
        Step {
            name: "a",
            about: "the first",
            work: Work::Alone(|steps| steps.run("a", || Ok(()))),
        },
        Step {
            name: "bad",
            about: "the second",
            work: Work::Alone(fails),
        },
        Step {
            name: "c",
            about: "the last",
            work: Work::Alone(|steps| steps.run("c", || Ok(()))),
        },
    ];

    fn only(names: &[&str]) -> Selection {
        Selection {
            only: names.iter().map(|name| (*name).to_owned()).collect(),
            list: false,
        }
    }

    #[test]
    fn unknown_step_is_refused_with_the_known_ones() {
        let problem = run(PLAN, &only(&["d"]), AfterFailure::Stop, &mut Steps::default()).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "expected a step, got \"d\"; the steps are a, bad, c"
        );
    }

    #[test]
    fn selected_steps_run_in_the_order_of_the_plan() {
        let mut steps = Steps::default();
        run(PLAN, &only(&["c", "a"]), AfterFailure::Stop, &mut steps).unwrap();
        let table = steps.to_string();
        let (a, c) = (table.find("\na ").unwrap(), table.find("\nc ").unwrap());
        assert!(a < c && !table.contains("\nb "), "{table}");
    }

    #[test]
    fn failure_stops_ci_and_not_proof() {
        for (after, last_runs) in [(AfterFailure::Stop, false), (AfterFailure::Continue, true)] {
            let mut steps = Steps::default();
            let problem = run(PLAN, &only(&[]), after, &mut steps).unwrap_err().to_string();
            assert_eq!(problem, "b: broken (again: `--only bad`)");
            assert_eq!(steps.to_string().contains("\nc "), last_runs);
        }
    }

    #[test]
    fn steps_that_run_beside_each_other_share_a_group() {
        fn calls(script: &'static str) -> Calls {
            Calls::from([(script.to_owned(), Call::new("sh", ["-c", script]))])
        }
        const BESIDE: &[Step] = &[
            Step {
                name: "one",
                about: "",
                work: Work::Beside(|| Ok(calls("true"))),
            },
            Step {
                name: "other",
                about: "",
                work: Work::Beside(|| Ok(calls("exit 3"))),
            },
        ];
        let mut steps = Steps::default();
        let problem = run(BESIDE, &only(&[]), AfterFailure::Stop, &mut steps).unwrap_err();
        let problem = problem.to_string();
        assert!(problem.starts_with("exit 3: "), "{problem}");
        assert!(
            problem.ends_with("(again: `--only one --only other`)"),
            "{problem}"
        );
        assert!(steps.to_string().contains("\ntrue "));
    }

    #[test]
    fn listing_has_a_line_per_step() {
        assert_eq!(listing(PLAN), "a    the first\nbad  the second\nc    the last\n");
    }
}
