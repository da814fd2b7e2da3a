//! `cargo xtask counts`: the instructions of the hot paths beside what they were.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use clap::Args;

use crate::run::{Call, Problem, Result};
use crate::setup;

/// What the paths took when this file was written.
const FIGURES: &str = "benches/counts/figures.txt";

/// How far a figure may be from the committed one, in percent.
const TOLERANCE: u64 = 3;

const HEAD: &str =
    "# Instructions of one call, by `cargo xtask counts --write`. CI allows 3 % more or less.\n";

type Counts = BTreeMap<String, u64>;

/// What to do with the figures.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Commit to what is counted now instead of comparing it.
    #[arg(long)]
    write: bool,
}

impl Arguments {
    /// Compares.
    pub(crate) fn check() -> Self {
        Self { write: false }
    }
}

/// Counts, and compares with the committed figures or writes them.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::run(&[])?;
    let printed = Call::cargo(["run", "--release", "--package", "ringhold-counts"]).run_and_read()?;
    let counted = parse(&printed);
    let unreadable = |error| Problem::new(format!("{FIGURES}: {error}"));
    if arguments.write {
        let lines = counted.iter().fold(HEAD.to_owned(), |mut text, (name, count)| {
            let _ = writeln!(text, "{name} {count}");
            text
        });
        return fs::write(FIGURES, lines).map_err(unreadable);
    }
    let committed = parse(&fs::read_to_string(FIGURES).map_err(unreadable)?);
    let findings = compare(&committed, &counted);
    if findings.is_empty() {
        return Ok(());
    }
    Err(Problem::new(format!(
        "{}\nmend it, or commit to it with `cargo xtask counts --write` and say why",
        findings.join("\n")
    )))
}

/// Lines of a name and a number.
fn parse(text: &str) -> Counts {
    let pair = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// What differs by more than the tolerance, and what is on one side alone.
fn compare(committed: &Counts, counted: &Counts) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, count) in counted {
        match committed.get(name) {
            Some(before) if count.abs_diff(*before) * 100 <= before * TOLERANCE => {}
            Some(before) => findings.push(format!("{name}: {count} instructions, {FIGURES} says {before}")),
            None => findings.push(format!(
                "{name}: {count} instructions, {FIGURES} does not have it"
            )),
        }
    }
    let gone = committed.keys().filter(|name| !counted.contains_key(*name));
    findings.extend(gone.map(|name| format!("{name}: it is in {FIGURES} and was not counted")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines_of_a_name_and_a_number() {
        let counts = parse(&format!(
            "{HEAD}ring/owner 90\nsomething else\n\nfleet/place 300\n"
        ));
        assert_eq!(
            counts,
            Counts::from([("ring/owner".into(), 90), ("fleet/place".into(), 300)])
        );
    }

    #[test]
    fn three_percent_pass_and_more_does_not() {
        let committed = parse("a 1000\nb 7");
        assert!(compare(&committed, &parse("a 1030\nb 7")).is_empty());
        assert!(compare(&committed, &parse("a 970\nb 7")).is_empty());
        assert_eq!(compare(&committed, &parse("a 1031\nb 8")).len(), 2);
        assert_eq!(compare(&committed, &parse("a 969\nb 7")).len(), 1);
    }

    #[test]
    fn what_is_new_or_gone_is_told() {
        let findings = compare(&parse("old 5"), &parse("new 5"));
        assert!(
            findings[0].starts_with("new: 5") && findings[1].starts_with("old: "),
            "{findings:?}"
        );
        assert!(compare(&Counts::new(), &Counts::new()).is_empty());
    }
}
