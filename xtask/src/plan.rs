//! A task that is a list of named steps, any of which runs alone: `cargo xtask ci` and `cargo xtask proof`.

use std::time::Instant;

use clap::Args;

use crate::run::{Problem, Result, Steps};

/// One step of a plan.
pub(crate) struct Step {
    /// Its name on the command line: lower case, with hyphens.
    pub(crate) name: &'static str,
    /// Its purpose in a few words.
    pub(crate) about: &'static str,
    pub(crate) run: fn(&mut Steps) -> Result<()>,
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
    for (index, step) in chosen.iter().enumerate() {
        steps.announce(index + 1, chosen.len(), start.elapsed());
        if let Err(problem) = (step.run)(steps) {
            problems.push(format!("{problem} (again alone: `--only {}`)", step.name));
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

    fn fails(steps: &mut Steps) -> Result<()> {
        steps.run("b", || Err(Problem::new("broken")))
    }

    const PLAN: &[Step] = &[
        Step {
            name: "a",
            about: "the first",
            run: |steps| steps.run("a", || Ok(())),
        },
        Step {
            name: "bad",
            about: "the second",
            run: fails,
        },
        Step {
            name: "c",
            about: "the last",
            run: |steps| steps.run("c", || Ok(())),
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
            assert_eq!(problem, "b: broken (again alone: `--only bad`)");
            assert_eq!(steps.to_string().contains("\nc "), last_runs);
        }
    }

    #[test]
    fn listing_has_a_line_per_step() {
        assert_eq!(listing(PLAN), "a    the first\nbad  the second\nc    the last\n");
    }
}
