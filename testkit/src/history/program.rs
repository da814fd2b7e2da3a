//! The programs behind `cargo xtask histories`: what they are asked, and what they print.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::check::check;
use super::file::History;
use super::load::LAST_CLIENT;

/// Longer than a client waits which has little patience, and than an answer takes where nothing is wrong.
const FELT: Duration = Duration::from_millis(500);

/// How often each fault was made, by its name.
pub type Faults = BTreeMap<&'static str, usize>;

/// What a program is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// For how long clients compete.
    pub time: Duration,
    /// What choices are drawn from.
    pub seed: u64,
    /// Where the history is written; unless it is given, only one with something wrong is, into the
    /// temporary folder.
    pub file: Option<PathBuf>,
    /// A history to check again; nothing else is done then.
    pub check: Option<PathBuf>,
    /// Another durability than the program's own, as the backend's URL says it.
    pub durability: Option<String>,
}

impl Options {
    /// Reads `[--minutes N] [--seed N] [--file PATH] [--check PATH] [--durability WORD]`; a minute unless told otherwise, and
    /// any seed.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        const USAGE: &str =
            "usage: [--minutes N] [--seed N] [--file PATH] [--check PATH] [--durability WORD]";
        let mut options = Self {
            time: Duration::from_secs(60),
            seed: any_seed(),
            file: None,
            check: None,
            durability: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value; {USAGE}"))?;
            let bad = || format!("{name} {value} is none; {USAGE}");
            match name.as_str() {
                "--minutes" => {
                    let minutes: f64 = value.parse().map_err(|_| bad())?;
                    // A day is more than anybody waits.
                    if !(minutes > 0.0 && minutes <= 1_440.0) {
                        return Err(bad());
                    }
                    options.time = Duration::from_secs_f64(minutes * 60.0);
                }
                "--seed" => options.seed = value.parse().map_err(|_| bad())?,
                "--file" => options.file = Some(value.into()),
                "--check" => options.check = Some(value.into()),
                "--durability" => options.durability = Some(value),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}

/// A seed that was not used before; short, since it is printed and typed in again.
fn any_seed() -> u64 {
    RandomState::new().hash_one(()) >> 32
}

/// Checks a history, prints what there is to say of it, and writes it to the file that was asked for, or
/// where something is wrong. `false` there, and where it shows nothing: nobody was answered, nobody felt the
/// faults, or not every player could be looked at when all was over.
pub fn report(history: &History, faults: &Faults, options: &Options) -> bool {
    let start = Instant::now();
    let verdict = check(history);
    let took = start.elapsed();
    let sessions = sessions(history);
    let (asked, longest) = (history.operations.len(), longest(history));
    println!(
        "| backend | seed | operations | without an answer | players | sessions | faults | longest operation | checked in | most steps |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {asked} | {} | {} | {sessions} | {} | {:.2} s | {:.2} s | {} |",
        history.origin.backend,
        history.origin.seed,
        history
            .operations
            .iter()
            .filter(|one| one.answer.is_ambiguous())
            .count(),
        verdict.players,
        faults.values().sum::<usize>(),
        longest.as_secs_f64(),
        took.as_secs_f64(),
        verdict.steps_max,
    );
    let made: Vec<String> = faults
        .iter()
        .map(|(name, times)| format!("{times} × {name}"))
        .collect();
    if !made.is_empty() {
        println!("faults: {}", made.join(", "));
    }
    println!("{verdict}");
    let good = verdict.holds() & shows_something(history, faults);
    let file = match &options.file {
        Some(file) => file.clone(),
        None if good => return true,
        None => std::env::temp_dir().join(format!("ringhold-history-{}.jsonl", history.origin.seed)),
    };
    let written = history.write(&file);
    match &written {
        Ok(()) => println!(
            "the whole history: {0}\nto check it again: cargo xtask histories --check {0}",
            file.display()
        ),
        Err(error) => println!("the history could not be written to {}: {error}", file.display()),
    }
    good && written.is_ok()
}

/// Checks a history that was written before, and prints the verdict. `false` where it does not hold or shows
/// nothing, or the file is none.
pub(super) fn check_again(file: &Path) -> bool {
    match History::read(file) {
        Ok(history) => {
            let verdict = check(&history);
            println!(
                "{}, seed {}: {verdict}",
                history.origin.backend, history.origin.seed
            );
            verdict.holds() & shows_something(&history, &Faults::new())
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            false
        }
    }
}

/// Whether an order that explains the answers says anything of the store; prints why where it does not.
fn shows_something(history: &History, faults: &Faults) -> bool {
    let operations = &history.operations;
    let answered = operations.iter().any(|one| !one.answer.is_ambiguous());
    // That a client gives up is no sign of a fault: some do so at once.
    let felt = operations.iter().any(|one| {
        let waited = Duration::from_nanos(one.answered.saturating_sub(one.asked));
        waited >= FELT || one.answer.is_ambiguous() && !one.answer.is_given_up()
    });
    // Else a store that never came back would pass, since what is not answered can be anything.
    let unseen = operations
        .iter()
        .filter(|one| one.client == LAST_CLIENT && one.answer.is_ambiguous())
        .count();
    let reasons = [
        (!answered).then(|| "nobody was answered".to_owned()),
        (!faults.is_empty() && !felt).then(|| "no fault was felt".to_owned()),
        (unseen > 0).then(|| format!("{unseen} players could not be looked at when all was over")),
    ];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    if !reasons.is_empty() {
        println!("such a history shows nothing: {}", reasons.join(", "));
    }
    reasons.is_empty()
}

fn sessions(history: &History) -> usize {
    let mut ids: Vec<u64> = history
        .operations
        .iter()
        .flat_map(|one| super::client::shown(&one.answer))
        .map(|seen| seen.session)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

fn longest(history: &History) -> Duration {
    let times = history
        .operations
        .iter()
        .map(|one| one.answered.saturating_sub(one.asked));
    Duration::from_nanos(times.max().unwrap_or_default())
}

/// What a program of histories does: reads its arguments, checks the file that they name or runs, and answers
/// with 0, 1 where something was wrong, or 2 where the arguments were.
pub async fn program<E: Display>(run: impl AsyncFnOnce(&Options) -> Result<bool, E>) -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let good = match &options.check {
        Some(file) => Ok(check_again(file)),
        None => run(&options).await,
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error} (seed {})", options.seed);
            ExitCode::FAILURE
        }
    }
}
