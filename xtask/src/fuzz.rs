//! `cargo xtask fuzz`: the targets of `fuzz/`, each for some time.

use std::path::Path;

use clap::Args;

use crate::run::{Call, Problem, Result, Steps};
use crate::workspace::Workspace;
use crate::{setup, toolchain};

/// What `cargo xtask fuzz` is told.
#[derive(Args)]
pub(crate) struct Arguments {
    /// One target; all of them unless given.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = SECONDS)]
    seconds: u32,
    /// How many targets run at the same time; what each prints is shown when it ends.
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    at_once: usize,
}

impl Arguments {
    /// Every target for a minute.
    pub(crate) fn long() -> Self {
        Self {
            target: None,
            seconds: SECONDS,
            at_once: AT_ONCE,
        }
    }
}

/// How long a target runs by default.
const SECONDS: u32 = 60;
/// As many as a small machine has cores.
const AT_ONCE: usize = 2;
/// The target with a feature of its own, which builds the clients of all backends.
const URL: &str = "url";
/// An input that takes longer than this many seconds is a finding.
const INPUT_SECONDS_MAX: &str = "-timeout=20";
/// So is one that takes more megabytes.
const MEMORY_MB_MAX: &str = "-rss_limit_mb=2048";

/// Builds the targets, and runs each.
pub(crate) fn run(steps: &mut Steps, arguments: &Arguments) -> Result<()> {
    let all = targets(&Workspace::load()?.root)?;
    let targets = chosen(all, arguments.target.as_deref())?;
    if arguments.target.is_none() {
        seeds(steps)?;
    }
    run_targets(steps, &targets, arguments.seconds, arguments.at_once)
}

/// Runs every seed and each beginning of it, without a fuzzer, and builds all targets but `url`.
pub(crate) fn seeds(steps: &mut Steps) -> Result<()> {
    steps.run("fuzz: seeds and their beginnings", || {
        Call::cargo(["test", "--manifest-path", "fuzz/Cargo.toml", "--test", "seeds"]).run()
    })
}

fn run_targets(steps: &mut Steps, targets: &[String], seconds: u32, at_once: usize) -> Result<()> {
    let workspace = Workspace::load()?;
    steps.run("install what is missing", || setup::run(&[setup::FUZZ]))?;
    let compiler = Compiler::find(toolchain::has_nightly());
    eprintln!("fuzzing with {}", compiler.shown());
    // Apart, so that the seconds of the others are those of the targets.
    for target in targets {
        steps.run(format!("fuzz: build {target}"), || {
            Call::new("cargo", compiler.call("build", target)).run()
        })?;
    }
    let name = |target: &str| format!("fuzz: {target}");
    // A target looks for this file, and ends where it finds it.
    let stop = std::env::temp_dir().join(format!("ringhold-fuzz-stop-{}", std::process::id()));
    let call = |target: &str| {
        let dictionary = format!("fuzz/dictionaries/{target}.dict");
        let dictionary = workspace
            .root
            .join(&dictionary)
            .is_file()
            .then(|| format!("-dict={dictionary}"));
        let limits = [
            format!("-max_total_time={seconds}"),
            format!("-stop_file={}", stop.display()),
        ];
        let call = compiler.call("run", target).into_iter().chain(["--".to_owned()]);
        Call::new(
            "cargo",
            call.chain(limits)
                .chain(dictionary)
                .chain([INPUT_SECONDS_MAX, MEMORY_MB_MAX].map(str::to_owned)),
        )
        .advice("the input is in fuzz/artifacts: mend what it shows, and make it a test of that crate")
    };
    if let [target] = targets {
        // Nothing else is running: what it prints can be seen as it comes.
        return steps.run(name(target), || call(target).run());
    }
    let calls = targets.iter().map(|target| (name(target), call(target)));
    let outcome = steps.at_once(at_once, calls, true, || {
        // An empty file is none to a target.
        if let Err(error) = std::fs::write(&stop, "stop\n") {
            eprintln!("{}: {error}; the other target runs to its end", stop.display());
        }
    });
    // It is there only where something failed.
    let _ = std::fs::remove_file(&stop);
    outcome
}

/// How cargo-fuzz can be built for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiler {
    /// With the address sanitizer, which only nightly has.
    Nightly,
    /// Whatever cargo is active, without a sanitizer.
    Stable,
}

impl Compiler {
    fn find(nightly: bool) -> Self {
        if nightly { Self::Nightly } else { Self::Stable }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Nightly => "nightly and its address sanitizer",
            Self::Stable => {
                "the active toolchain, without a sanitizer: `rustup toolchain add nightly` brings one"
            }
        }
    }

    /// What cargo is called with.
    fn call(self, command: &str, target: &str) -> Vec<String> {
        let before: &[&str] = match self {
            Self::Nightly => &[toolchain::NIGHTLY],
            Self::Stable => &[],
        };
        let sanitizer: &[&str] = match self {
            Self::Nightly => &[],
            Self::Stable => &["--sanitizer", "none"],
        };
        let features: &[&str] = match target {
            URL => &["--features", "url"],
            _ => &[],
        };
        // One unit makes the fastest program, and takes longest to build.
        let fuzz = ["fuzz", command, "--codegen-units", "16"];
        [before, &fuzz, sanitizer, features, &[target]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

/// The targets by name: the files of `fuzz/fuzz_targets`.
fn targets(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/fuzz_targets");
    let unreadable = |error| Problem::new(format!("fuzz/fuzz_targets: {error}"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn chosen(all: Vec<String>, target: Option<&str>) -> Result<Vec<String>> {
    match target {
        None => Ok(all),
        Some(target) if all.iter().any(|name| name == target) => Ok(vec![target.to_owned()]),
        Some(target) => {
            let known = all.join(", ");
            Err(Problem::new(format!(
                "there is no target {target:?}; there are {known}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nightly_is_taken_where_it_is() {
        let call = Compiler::find(true).call("run", "ring").join(" ");
        assert_eq!(call, "+nightly fuzz run --codegen-units 16 ring");
        let call = Compiler::find(false).call("build", URL).join(" ");
        let expected = "fuzz build --codegen-units 16 --sanitizer none --features url url";
        assert_eq!(call, expected);
    }

    #[test]
    fn one_target_or_all() {
        let all = || vec!["ring".to_owned(), "url".to_owned()];
        assert_eq!(chosen(all(), None).unwrap(), all());
        assert_eq!(chosen(all(), Some("url")).unwrap(), ["url"]);
        let problem = chosen(all(), Some("rnig")).unwrap_err().to_string();
        assert!(problem.ends_with("there are ring, url"), "{problem}");
    }
}
