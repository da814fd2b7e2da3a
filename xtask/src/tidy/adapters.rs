//! Every adapter is registered in all the places that must know it, so that no two lists drift.

use std::collections::BTreeMap;

use super::rust::{Code, words};
use super::{File, Finding, Repo};

const RULE: &str = "adapters";

/// Adapters that no URL opens, with the reason.
const NO_SCHEME: &[(&str, &str)] = &[(
    "grpc",
    "the transport between peers: it is chosen in the builder, beside a backend",
)];

/// Where users' tests get their backends from.
const TESTING: &str = "src/testing.rs";

/// The feature of every backend.
const FULL: &str = "full";

/// Features that stand for others and for no backend of their own.
const COLLECTING: &[&str] = &["default", FULL];

/// The traits of core that have a contract suite.
const SUITES: &[(&str, &str)] = &[
    ("SessionStore", "session_store_contract"),
    ("Discovery", "discovery_contract"),
    ("Transport", "transport_contract"),
];

/// What an adapter of a store in one process implements: the engine of kv makes [`STORED`] of it.
const STORAGE: &str = "Storage";
const STORED: [&str; 2] = ["SessionStore", "Discovery"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repo.workspace.packages {
        let folder = repo.workspace.folder(package);
        if let Some(name) = folder.strip_prefix("adapters/") {
            let adapter = Adapter {
                name,
                package: &package.name,
                folder: &folder,
            };
            findings.extend(adapter.package_name());
            findings.extend(adapter.features(repo));
            findings.extend(adapter.re_export(repo));
            findings.extend(adapter.scheme(repo));
            findings.extend(adapter.contract(repo));
            findings.extend(adapter.readme_row(repo));
        }
    }
    findings
}

struct Adapter<'a> {
    name: &'a str,
    package: &'a str,
    folder: &'a str,
}

impl Adapter<'_> {
    fn package_name(&self) -> Option<Finding> {
        let expected = format!("ringhold-{}", self.name);
        (self.package != expected).then(|| self.finding(format!("call the package `{expected}`")))
    }

    /// One adapter may serve several features, such as one for each kind of server that it speaks to;
    /// each of them must be known wherever features are.
    fn features(&self, repo: &Repo) -> Vec<Finding> {
        let gate = format!("dep:{}", self.package);
        let none = BTreeMap::new();
        let of = |name: &str| {
            let mut packages = repo.workspace.packages.iter();
            packages
                .find(|package| package.name == name)
                .map_or(&none, |package| &package.features)
        };
        let (root, cli) = (of("ringhold"), of("ringhold-cli"));
        let serving: Vec<&str> = serving(root, &gate);
        if serving.is_empty() {
            let advice = format!("no feature turns {} on; add one with `{gate}`", self.package);
            return vec![Finding::of_file("Cargo.toml", RULE, advice)];
        }
        let mut findings = Vec::new();
        for feature in serving {
            if !root
                .get(FULL)
                .is_some_and(|full| full.iter().any(|one| one == feature))
            {
                let advice = format!("add `{feature}` to the feature `{FULL}`");
                findings.push(Finding::of_file("Cargo.toml", RULE, advice));
            }
            let passed_on = format!("ringhold/{feature}");
            if !cli.get(feature).is_some_and(|on| on.contains(&passed_on)) {
                let advice = format!("add the feature `{feature} = [\"{passed_on}\"]`");
                findings.push(Finding::of_file("cli/Cargo.toml", RULE, advice));
            }
            // `scheme` looks for the adapter's own name.
            if feature != self.name && !self.chosen_in_builder() && !opens_with(repo, feature) {
                let advice =
                    format!("no scheme of `open` names the feature `{feature}`; add it to the table");
                findings.push(Finding::of_file("src/open.rs", RULE, advice));
            }
            if !self.chosen_in_builder() && !says(repo, |path| path == TESTING, feature) {
                let advice =
                    format!("add a backend `{feature}` to the table, so that users' tests run on it");
                findings.push(Finding::of_file(TESTING, RULE, advice));
            }
        }
        findings
    }

    fn chosen_in_builder(&self) -> bool {
        NO_SCHEME.iter().any(|(name, _)| *name == self.name)
    }

    fn re_export(&self, repo: &Repo) -> Option<Finding> {
        let statement = format!("pub use {}", self.package.replace('-', "_"));
        let found = facade(repo).find_map(|file| {
            let code = file.code.as_ref()?;
            let at = words(code.text(), &statement).next()?;
            Some((file, at))
        });
        let Some((file, at)) = found else {
            return Some(self.finding(format!(
                "src/ does not re-export it; add `{statement} as {};`",
                self.name
            )));
        };
        let before = file.code.as_ref()?.text()[..at]
            .trim_end()
            .lines()
            .next_back()
            .unwrap_or_default();
        (!before.trim_start().starts_with("#[cfg(")).then(|| {
            file.finding(
                file.line_of(at),
                RULE,
                "put `#[cfg(feature = …)]` on the line before the re-export",
            )
        })
    }

    fn scheme(&self, repo: &Repo) -> Option<Finding> {
        if self.chosen_in_builder() {
            return None;
        }
        let known = opens_with(repo, self.name);
        (!known).then(|| {
            self.finding(format!(
                "no URL opens it; add the scheme \"{}\" to `open` in src/open.rs",
                self.name
            ))
        })
    }

    fn contract(&self, repo: &Repo) -> Vec<Finding> {
        let path = format!("{}/tests/contract.rs", self.folder);
        let Some(test) = repo.file(&path) else {
            let advice = "add it: it runs the contract suites of testkit on this adapter";
            return vec![Finding::of_file(path, RULE, advice)];
        };
        let runs = |suite: &str| {
            let code = test.code.as_ref();
            code.is_some_and(|code| {
                code.words(suite)
                    .any(|at| code.text()[at + suite.len()..].starts_with('!'))
            })
        };
        let mut findings = Vec::new();
        let mut implemented = 0;
        for (name, suite) in SUITES {
            if self.implements(repo, name) {
                implemented += 1;
                if !runs(suite) {
                    let advice = format!("run `{suite}!` here: the adapter implements `{name}`");
                    findings.push(test.finding(1, RULE, advice));
                }
            }
        }
        if implemented == 0 {
            findings.push(self.finding("it implements no trait of core; move it out of adapters/".into()));
        }
        findings
    }

    fn implements(&self, repo: &Repo, name: &str) -> bool {
        let stored = STORED.contains(&name) && self.has_impl(repo, STORAGE);
        stored || self.has_impl(repo, name)
    }

    fn has_impl(&self, repo: &Repo, name: &str) -> bool {
        let source = format!("{}/src/", self.folder);
        let statement = format!("{name} for");
        repo.rust()
            .filter(|(file, _)| file.path.starts_with(&source))
            .any(|(_, code)| {
                code.words(&statement).any(|at| {
                    let head = code.text()[..at]
                        .rsplit([';', '{', '}'])
                        .next()
                        .unwrap_or_default();
                    words(head, "impl").next().is_some()
                })
            })
    }

    fn readme_row(&self, repo: &Repo) -> Option<Finding> {
        let readme = repo.file("README.md");
        let starts = |cell: &str| cell.starts_with(self.name) || cell.starts_with(self.package);
        let named = readme.is_some_and(|readme| {
            let rows = readme
                .text
                .lines()
                .filter(|line| line.trim_start().starts_with('|'));
            rows.into_iter()
                .any(|row| row.split('`').skip(1).step_by(2).any(starts))
        });
        (!named).then(|| {
            let advice = format!("add a row for `{}` to the table of backends", self.name);
            Finding::of_file("README.md", RULE, advice)
        })
    }

    fn finding(&self, advice: String) -> Finding {
        Finding::of_file(format!("{}/Cargo.toml", self.folder), RULE, advice)
    }
}

fn facade(repo: &Repo) -> impl Iterator<Item = &File> {
    repo.files
        .iter()
        .filter(|file| file.path.starts_with("src/") && file.code.is_some())
}

/// Whether a text stands as a literal where schemes and their features do.
fn opens_with(repo: &Repo, text: &str) -> bool {
    says(repo, opens, text)
}

/// Whether a text stands as a literal in one of these files.
fn says(repo: &Repo, files: fn(&str) -> bool, text: &str) -> bool {
    facade(repo).filter(|file| files(&file.path)).any(|file| {
        let literals = file.code.iter().flat_map(Code::literals_of_code);
        literals.into_iter().any(|literal| literal == text)
    })
}

/// The features that turn `gate` on, by themselves or through others, but for those that only collect.
fn serving<'a>(features: &'a BTreeMap<String, Vec<String>>, gate: &str) -> Vec<&'a str> {
    let mut on = vec![gate];
    let mut serving = Vec::new();
    loop {
        let more = features.iter().find(|(name, turns_on)| {
            let name = name.as_str();
            !COLLECTING.contains(&name)
                && !serving.contains(&name)
                && turns_on.iter().any(|one| on.contains(&one.as_str()))
        });
        let Some((name, _)) = more else { return serving };
        on.push(name);
        serving.push(name);
    }
}

fn opens(path: &str) -> bool {
    path == "src/open.rs" || path.starts_with("src/open/")
}

#[cfg(test)]
mod tests {
    use super::super::sample::{package, repo};
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        (
            "README.md",
            "| backend | URL |\n|---|---|\n| memory | `memory:?fleet=a` |\n",
        ),
        (
            "src/lib.rs",
            "#[cfg(feature = \"memory\")]\npub use ringhold_memory as memory;\n",
        ),
        ("src/open.rs", "match scheme { \"memory\" => x }"),
        ("src/testing.rs", "table(\"memory\")"),
        ("adapters/memory/src/store.rs", "impl SessionStore for Memory {}"),
        (
            "adapters/memory/src/discovery.rs",
            "impl<T>\n    Discovery for Memory<T> {}",
        ),
        (
            "adapters/memory/tests/contract.rs",
            "session_store_contract!(x); discovery_contract! { y }",
        ),
    ];

    /// The advice for the good repository with one file replaced.
    fn advice(path: &str, text: &str) -> Vec<String> {
        let files: Vec<_> = GOOD
            .iter()
            .map(|(name, good)| (*name, if *name == path { text } else { *good }))
            .collect();
        found(&files, "dep:ringhold-memory")
    }

    fn found(files: &[(&str, &str)], gate: &str) -> Vec<String> {
        let root = [("default", "memory"), ("full", "memory"), ("memory", gate)];
        found_with(files, &root, &[("memory", "ringhold/memory")])
    }

    /// The advice for features, each of which turns one thing on, of the root and of the program.
    fn found_with(files: &[(&str, &str)], root: &[(&str, &str)], cli: &[(&str, &str)]) -> Vec<String> {
        let mut repo = repo(files);
        let with = |name, folder, features: &[(&str, &str)]| {
            let mut package = package(name, folder);
            for (feature, turns_on) in features {
                let on: &mut Vec<String> = package.features.entry((*feature).into()).or_default();
                on.push((*turns_on).into());
            }
            package
        };
        repo.workspace.packages = vec![
            with("ringhold", "", root),
            with("ringhold-memory", "adapters/memory", &[]),
            with("ringhold-cli", "cli", cli),
        ];
        check(&repo).into_iter().map(|finding| finding.advice).collect()
    }

    fn one(found: &[String], part: &str) {
        assert!(
            found.len() == 1 && found[0].contains(part),
            "expected one with {part:?}: {found:?}"
        );
    }

    #[test]
    fn a_registered_adapter_passes() {
        assert_eq!(advice("", ""), [""; 0]);
    }

    #[test]
    fn a_feature_is_needed() {
        one(&found(GOOD, "dep:other"), "no feature turns ringhold-memory on");
    }

    #[test]
    fn each_feature_of_an_adapter_is_known_everywhere() {
        let root = [
            ("memory", "dep:ringhold-memory"),
            ("memory-2", "memory"),
            ("full", "memory"),
            ("full", "memory-2"),
        ];
        let cli = [("memory", "ringhold/memory"), ("memory-2", "ringhold/memory-2")];
        let mut files = GOOD.to_vec();
        let unknown = found_with(&files, &root, &cli);
        assert_eq!(unknown.len(), 2, "{unknown:?}");
        assert!(unknown[0].contains("no scheme of `open` names the feature `memory-2`"));
        assert!(unknown[1].contains("add a backend `memory-2`"));
        for (path, text) in &mut files {
            if ["src/open.rs", "src/testing.rs"].contains(path) {
                *text = "table(\"memory\", \"memory-2\")";
            }
        }
        assert_eq!(found_with(&files, &root, &cli), [""; 0]);
        one(
            &found_with(&files, &root[..3], &cli),
            "add `memory-2` to the feature `full`",
        );
        one(
            &found_with(&files, &root, &cli[..1]),
            "add the feature `memory-2 = [",
        );
    }

    #[test]
    fn a_gated_re_export_is_needed() {
        one(
            &advice("src/lib.rs", "// pub use ringhold_memory as memory;"),
            "does not re-export",
        );
        one(
            &advice("src/lib.rs", "pub use ringhold_memory_x as memory;"),
            "does not re-export",
        );
        one(
            &advice("src/lib.rs", "\npub use ringhold_memory as memory;"),
            "put `#[cfg(feature",
        );
    }

    #[test]
    fn a_scheme_is_needed() {
        one(&advice("src/open.rs", "// \"memory\""), "no URL opens it");
        one(&advice("src/open.rs", "\"memory2\""), "no URL opens it");
        one(
            &advice("src/open.rs", "#[cfg(feature = \"memory\")] fn f() {}"),
            "no URL opens it",
        );
        one(
            &advice("src/open.rs", "#[cfg(test)] mod tests { f(\"memory\") }"),
            "no URL opens it",
        );
    }

    #[test]
    fn users_tests_get_every_backend() {
        one(
            &advice("src/testing.rs", "// \"memory\""),
            "add a backend `memory`",
        );
    }

    #[test]
    fn every_implemented_trait_runs_its_suite() {
        one(
            &advice("adapters/memory/tests/contract.rs", "session_store_contract!(x);"),
            "`discovery_contract!`",
        );
        let spoken_of = "// session_store_contract!(x)\ndiscovery_contract!(y);";
        one(
            &advice("adapters/memory/tests/contract.rs", spoken_of),
            "`session_store_contract!`",
        );
        let without: Vec<_> = GOOD
            .iter()
            .filter(|(path, _)| !path.ends_with("contract.rs"))
            .copied()
            .collect();
        one(
            &found(&without, "dep:ringhold-memory"),
            "contract suites of testkit",
        );
        let empty: Vec<_> = GOOD
            .iter()
            .filter(|(path, _)| !path.starts_with("adapters/memory/src"))
            .copied()
            .collect();
        one(&found(&empty, "dep:ringhold-memory"), "no trait of core");
        let mut stored = empty.clone();
        stored.push(("adapters/memory/src/storage.rs", "impl Storage for File {}"));
        assert_eq!(found(&stored, "dep:ringhold-memory"), [""; 0]);
        for (path, text) in &mut stored {
            if path.ends_with("contract.rs") {
                *text = "discovery_contract!(y);";
            }
        }
        one(
            &found(&stored, "dep:ringhold-memory"),
            "`session_store_contract!`",
        );
    }

    #[test]
    fn a_row_of_the_readme_is_needed() {
        one(
            &advice("README.md", "the `memory` backend"),
            "add a row for `memory`",
        );
        one(
            &advice("README.md", "| `redis` | uses memory |"),
            "add a row for `memory`",
        );
    }
}
