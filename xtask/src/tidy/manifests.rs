//! Every member takes the lints of the workspace.

use toml::{Table, Value};

use super::{File, Finding, Repo};

const RULE: &str = "lints";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &repo.workspace.packages {
        let folder = repo.workspace.folder(package);
        let path = if folder.is_empty() {
            "Cargo.toml".to_owned()
        } else {
            format!("{folder}/Cargo.toml")
        };
        let Some(file) = repo.file(&path) else {
            let advice = "git does not know this manifest; is it ignored?".to_owned();
            findings.push(Finding::of_file(path, RULE, advice));
            continue;
        };
        findings.extend(inherits(file));
    }
    findings
}

fn inherits(file: &File) -> Option<Finding> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return Some(file.finding(1, RULE, format!("not TOML: {}", error.message()))),
    };
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    (lints != Some(&Value::Boolean(true)))
        .then(|| file.finding(1, RULE, "add `[lints]` with `workspace = true`"))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{package, places, repo};
    use super::*;

    fn found(manifest: &str) -> Vec<String> {
        let mut repo = repo(&[("core/Cargo.toml", manifest)]);
        repo.workspace.packages.push(package("ringhold-core", "core"));
        places(&check(&repo))
    }

    #[test]
    fn lints_of_its_own_or_none_are_found() {
        assert_eq!(found("[package]\nname = \"x\""), ["core/Cargo.toml:1"]);
        assert_eq!(found("[lints]\nworkspace = false"), ["core/Cargo.toml:1"]);
        assert_eq!(
            found("[lints.rust]\nmissing_docs = \"warn\""),
            ["core/Cargo.toml:1"]
        );
        assert_eq!(found("[lints"), ["core/Cargo.toml:1"]);
    }

    #[test]
    fn the_lints_of_the_workspace_pass() {
        assert_eq!(found("[lints]\nworkspace = true"), [""; 0]);
        assert_eq!(found("lints.workspace = true"), [""; 0]);
    }
}
