//! `cargo xtask test`: every test of every member.

use crate::run::{Call, Result, Steps};
use crate::setup;
use crate::workspace::Workspace;

/// Runs the steps; the first that fails is the last.
pub(crate) fn run(steps: &mut Steps, quick: bool) -> Result<()> {
    steps.run("install what is missing", setup::for_tests)?;
    let profile = profile(quick, std::env::var_os("CI").is_some());
    steps.run("tests", || {
        Call::cargo([
            "nextest",
            "run",
            "--workspace",
            "--all-features",
            "--profile",
            profile,
        ])
        .advice("the failures are repeated above, just before the summary")
        .run()
    })?;
    if quick {
        return Ok(());
    }
    // What a build without a backend says to a URL that needs one is only there in such a build.
    steps.run("tests without features", || {
        Call::cargo([
            "nextest",
            "run",
            "--package",
            "ringhold",
            "--package",
            "ringhold-redis",
            "--no-default-features",
            "--lib",
        ])
        .run()
    })?;
    steps.run("doctests", || {
        Call::cargo(["test", "--doc", "--workspace", "--all-features"]).run()
    })?;
    steps.run("examples", || {
        Call::cargo(["build", "--examples", "--workspace", "--all-features"]).run()
    })?;
    let workspace = Workspace::load()?;
    for (package, bench) in benches(&workspace) {
        steps.run(format!("bench {bench}, once each"), || {
            Call::cargo(["bench", "--package", package, "--bench", bench, "--", "--test"]).run()
        })?;
    }
    Ok(())
}

/// The profile of `.config/nextest.toml`.
fn profile(quick: bool, ci: bool) -> &'static str {
    match (quick, ci) {
        (true, _) => "quick",
        (false, true) => "ci",
        (false, false) => "default",
    }
}

/// Package and name of every bench, so that none rots unseen.
fn benches(workspace: &Workspace) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        for target in &package.targets {
            if target.kind.iter().any(|kind| kind == "bench") {
                found.push((package.name.as_str(), target.name.as_str()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Package, Target};

    #[test]
    fn quick_wins_over_ci() {
        assert_eq!(profile(true, true), "quick");
        assert_eq!(profile(false, true), "ci");
        assert_eq!(profile(false, false), "default");
    }

    #[test]
    fn benches_are_found_and_other_targets_are_not() {
        let target = |name: &str, kind: &str| Target {
            name: name.into(),
            kind: vec![kind.into()],
        };
        let package = Package {
            name: "ringhold".into(),
            targets: vec![
                target("ringhold", "lib"),
                target("ring", "bench"),
                target("game", "example"),
            ],
            ..Package::default()
        };
        let workspace = Workspace {
            packages: vec![package],
            root: "/".into(),
            target_directory: "/target".into(),
        };
        assert_eq!(benches(&workspace), [("ringhold", "ring")]);
    }
}
