//! `cargo xtask features`: each feature alone and with each other compiles without a warning, and brings
//! what it asks for and nothing else.

mod asks;

use std::collections::BTreeSet;
use std::time::Instant;

use self::asks::{ASKS, Asks};
use crate::run::{Call, Problem, Result, Steps};
use crate::setup;
use crate::workspace::{Package, Workspace};

/// Features that stand for others: a mix with them is another mix.
const COLLECTING: &[&str] = &["default", "full"];

/// What users build, and so what must not grow by itself.
const BUILT: &[&str] = &["ringhold", "ringhold-cli"];

/// Runs both checks with each mix of up to two features.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    steps.run("install what is missing", || setup::run(&[setup::HACK]))?;
    let workspace = Workspace::load()?;
    steps.run("what features bring", || bring(&workspace, 2))?;
    steps.run("each mix of features compiles", || compile(&workspace))
}

/// Checks the packages of each feature alone.
pub(crate) fn short(steps: &mut Steps) -> Result<()> {
    let workspace = Workspace::load()?;
    steps.run("what features bring", || bring(&workspace, 1))
}

/// Mixes of the features of each member that has any, with every lint as an error. The lints are of our own members
/// alone: a global flag would build every dependency again.
fn compile(workspace: &Workspace) -> Result<()> {
    let mut arguments = vec!["hack", "clippy"];
    for package in &workspace.packages {
        if mixes(package).len() > 1 {
            arguments.extend(["--package", &package.name]);
        }
    }
    let skipped = COLLECTING.join(",");
    // Without `--no-dev-deps`, which would change the manifests while it runs.
    arguments.extend([
        "--feature-powerset",
        "--depth",
        "2",
        "--skip",
        &skipped,
        "--keep-going",
    ]);
    arguments.extend(["--quiet", "--", "-D", "warnings"]);
    Call::cargo(arguments)
        .advice("an item needs a `cfg(feature = …)`, or a dependency must not be optional")
        .run()
}

/// Looks at the packages below each mix of at most so many features.
fn bring(workspace: &Workspace, features_max: usize) -> Result<()> {
    let start = Instant::now();
    let (mut wrong, mut looked_at) = (Vec::new(), 0);
    for name in BUILT {
        let package = workspace.packages.iter().find(|package| package.name == *name);
        let package = package.ok_or_else(|| Problem::new(format!("there is no member {name}")))?;
        wrong.extend(unknown(package, ASKS));
        for mix in mixes(package).into_iter().filter(|mix| mix.len() <= features_max) {
            let features = mix.join(",");
            let tree = Call::cargo([
                "tree",
                "--package",
                name,
                "--edges",
                "normal",
                "--prefix",
                "none",
                "--format",
                "{p}",
                "--no-default-features",
                "--features",
                &features,
            ])
            .output()?;
            wrong.extend(judge(name, &mix, &tree, ASKS));
            looked_at += 1;
        }
    }
    if wrong.is_empty() {
        println!(
            "{looked_at} mixes in {:.1} s: each brings what it asks for",
            start.elapsed().as_secs_f64()
        );
        return Ok(());
    }
    Err(Problem::new(format!(
        "{}\n  (`xtask/src/features/asks.rs` says what features ask for)",
        wrong.join("\n  ")
    )))
}

/// No feature, each one, and each two.
fn mixes(package: &Package) -> Vec<Vec<&str>> {
    let features: Vec<&str> = package
        .features
        .keys()
        .map(String::as_str)
        .filter(|feature| !COLLECTING.contains(feature))
        .collect();
    let mut mixes = vec![Vec::new()];
    for (index, one) in features.iter().enumerate() {
        mixes.push(vec![*one]);
        mixes.extend(features[index + 1..].iter().map(|other| vec![*one, other]));
    }
    mixes
}

/// Features of which nobody said what they ask for.
fn unknown(package: &Package, asks: &[Asks]) -> Vec<String> {
    let said = |feature: &str| {
        asks.iter()
            .any(|asks| asks.package == package.name && asks.features.contains(&feature))
    };
    package
        .features
        .keys()
        .filter(|feature| !COLLECTING.contains(&feature.as_str()) && !said(feature))
        .map(|feature| {
            format!(
                "nobody says what the feature {feature} of {} asks for",
                package.name
            )
        })
        .collect()
}

/// What a mix brings and should not, or should and does not.
fn judge(package: &str, mix: &[&str], tree: &str, asks: &[Asks]) -> Vec<String> {
    let brought: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| is_watched(name, package))
        .collect();
    let asked: BTreeSet<&str> = asks
        .iter()
        .filter(|asks| asks.package == package && asks.features.iter().all(|feature| mix.contains(feature)))
        .flat_map(|asks| asks.brings)
        .copied()
        .collect();
    let say = |name: &&str, verb: &str| format!("{package} with [{}] {verb} {name}", mix.join(", "));
    let not_asked = brought.difference(&asked).map(|name| say(name, "must not bring"));
    let missing = asked.difference(&brought).map(|name| say(name, "does not bring"));
    not_asked.chain(missing).collect()
}

/// Members beside core and the root, and clients of servers or stores.
fn is_watched(name: &str, package: &str) -> bool {
    let always = [package, "ringhold", "ringhold-access", "ringhold-core"];
    name.starts_with("ringhold-") && !always.contains(&name) || asks::CLIENTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[Asks] = &[
        Asks::new("ringhold", &["redis"], &["ringhold-redis", "redis"]),
        Asks::new("ringhold", &["fred"], &[]),
        Asks::new("ringhold", &["fred", "redis"], &["fred"]),
    ];

    fn package(features: &[&str]) -> Package {
        Package {
            name: "ringhold".into(),
            features: features.iter().map(|name| ((*name).into(), Vec::new())).collect(),
            ..Package::default()
        }
    }

    #[test]
    fn mixes_are_none_one_and_two() {
        let mixes = mixes(&package(&["a", "b", "c", "default", "full"]))
            .concat()
            .concat();
        assert_eq!(mixes, ["a", "ab", "ac", "b", "bc", "c"].concat());
        assert_eq!(super::mixes(&package(&["default"])).len(), 1);
    }

    #[test]
    fn what_was_not_asked_for_is_found_and_what_is_missing_too() {
        let tree = "ringhold v0.1.0 (/x)\nringhold-core v0.1.0 (/x)\nringhold-redis v0.1.0 (/x)\nredis v1.8.1\nserde v1\n";
        let judge = |mix: &[&str], tree| judge("ringhold", mix, tree, SMALL);
        assert_eq!(judge(&["redis"], tree), [""; 0]);
        assert_eq!(
            judge(&[], tree),
            [
                "ringhold with [] must not bring redis",
                "ringhold with [] must not bring ringhold-redis"
            ]
        );
        assert_eq!(
            judge(&["fred", "redis"], tree),
            ["ringhold with [fred, redis] does not bring fred"]
        );
        assert_eq!(judge(&["fred"], "ringhold v0.1.0"), [""; 0]);
        let memory = "ringhold-memory v0.1.0\nfred v10";
        assert_eq!(judge(&["fred"], memory).len(), 2);
    }

    #[test]
    fn a_feature_that_nobody_speaks_of_is_found() {
        let found = unknown(&package(&["redis", "fred", "sled", "full"]), SMALL);
        assert_eq!(found, ["nobody says what the feature sled of ringhold asks for"]);
    }
}
