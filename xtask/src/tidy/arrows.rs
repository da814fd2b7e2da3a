//! Permitted dependencies: `core <- {access, kv, adapters, testkit} <- src <- cli`, `access <- {kv, adapters}`,
//! `kv <- adapters` and `launch <- {testkit, root, cli}`.

use super::{Finding, Repo};
use crate::workspace::{Dependency, relative};

const RULE: &str = "arrows";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repo.workspace.packages {
        let from = repo.workspace.folder(package);
        let path = if from.is_empty() {
            "Cargo.toml".to_owned()
        } else {
            format!("{from}/Cargo.toml")
        };
        for dependency in &package.dependencies {
            let Some(folder) = &dependency.path else { continue };
            let to = relative(&repo.workspace.root, folder);
            if let Err(advice) = judge(&from, &to, dependency) {
                findings.push(Finding::of_file(path.clone(), RULE, advice));
            }
        }
    }
    findings
}

fn judge(from: &str, to: &str, dependency: &Dependency) -> Result<(), String> {
    let dev = dependency.kind.as_deref() == Some("dev");
    let to_adapter = to.starts_with("adapters/");
    let (allowed, only) = match from {
        "core" => (false, "core depends on no other member"),
        "access" => (to == "core", "access knows core"),
        // Its rules answer what the reference implementation answers, and its tests show it.
        "kv" => (
            matches!(to, "core" | "access") || dev && (to == "testkit" || to == "adapters/memory"),
            "kv knows core and access, and in its tests testkit and the reference implementation",
        ),
        // What shows that its suites bite needs an implementation to break.
        "testkit" => (
            to == "core" || to == "launch" || dev && to == "adapters/memory",
            "testkit depends on core and launch, and in its tests on the reference implementation",
        ),
        // It starts servers, for whoever wants one, and knows nothing of what they are for.
        "launch" => (false, "launch depends on no other member"),
        "cli" => (
            to.is_empty() || to == "core" || to == "launch" || dev && to == "testkit",
            "cli reaches adapters through the root",
        ),
        "benches/counts" => (
            to.is_empty() || to == "core",
            "the counts are those of the root and core",
        ),
        "xtask" => (
            false,
            "xtask depends on no member, so that it builds when they do not",
        ),
        "" => (
            // The last for its users' tests, behind the feature `testing`.
            matches!(to, "core" | "access")
                || to_adapter
                || to == "launch" && dependency.optional
                || dev && to == "testkit",
            "the root knows core, access and the adapters, and launch behind the feature `testing`",
        ),
        _ if from.starts_with("adapters/") => (
            matches!(to, "core" | "access" | "kv") || dev && to == "testkit",
            "an adapter knows core, access and kv, and testkit in its tests",
        ),
        _ => (
            false,
            "this folder has no place in the design; give it one in xtask/src/tidy/arrows.rs",
        ),
    };
    if allowed {
        return Ok(());
    }
    let kind = if dev { "dev-dependency" } else { "dependency" };
    Err(format!("remove the {kind} on {}: {only}", dependency.name))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{package, repo};
    use super::*;

    fn found(from: &str, to: &str, kind: Option<&str>) -> Vec<Finding> {
        found_with(from, to, kind, false)
    }

    fn found_with(from: &str, to: &str, kind: Option<&str>, optional: bool) -> Vec<Finding> {
        let mut repo = repo(&[]);
        let mut member = package("member", from);
        member.dependencies.push(Dependency {
            name: "other".into(),
            kind: kind.map(str::to_owned),
            optional,
            path: Some(repo.workspace.root.join(to)),
        });
        repo.workspace.packages.push(member);
        check(&repo)
    }

    #[test]
    fn the_arrows_of_the_design_pass() {
        for (from, to) in [
            ("adapters/redis", "core"),
            ("adapters/redb", "kv"),
            ("kv", "core"),
            ("access", "core"),
            ("adapters/redis", "access"),
            ("testkit", "core"),
            ("testkit", "launch"),
            ("cli", "launch"),
            ("", "core"),
            ("", "adapters/redis"),
            ("cli", ""),
        ] {
            assert_eq!(found(from, to, None), [], "{from} -> {to}");
        }
        for from in ["adapters/redis", "", "cli"] {
            assert_eq!(
                found(from, "testkit", Some("dev")),
                [],
                "{from} -> testkit in tests"
            );
        }
        for from in ["testkit", "kv"] {
            assert_eq!(found(from, "adapters/memory", Some("dev")), []);
        }
        assert_eq!(found_with("", "launch", None, true), []);
    }

    #[test]
    fn every_other_arrow_is_found() {
        for (from, to) in [
            ("core", "testkit"),
            ("core", "adapters/memory"),
            ("core", "kv"),
            ("access", "kv"),
            ("kv", "adapters/memory"),
            ("", "kv"),
            ("adapters/redis", "adapters/memory"),
            ("adapters/redis", ""),
            ("adapters/redis", "testkit"),
            ("testkit", "adapters/memory"),
            ("", "cli"),
            ("", "testkit"),
            ("cli", "adapters/memory"),
            ("launch", "core"),
            ("adapters/redis", "launch"),
            // Only where a feature asks for it.
            ("", "launch"),
            ("xtask", "core"),
            ("new", "core"),
        ] {
            assert_eq!(found(from, to, None).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn tests_of_an_adapter_know_no_other_adapter() {
        assert_eq!(found("adapters/redis", "adapters/memory", Some("dev")).len(), 1);
        assert_eq!(found("core", "testkit", Some("dev")).len(), 1);
    }

    #[test]
    fn crates_from_a_registry_are_not_judged_here() {
        let mut repo = repo(&[]);
        let mut member = package("ringhold-core", "core");
        member.dependencies.push(Dependency {
            name: "serde".into(),
            kind: None,
            optional: false,
            path: None,
        });
        repo.workspace.packages.push(member);
        assert_eq!(check(&repo), []);
    }
}
