//! No file names a folder of the machine it was written on.

use std::path::{Component, Path};

use super::{Finding, Repo};

/// Folders of people.
const HOMES: &[&str] = &["home", "root", "Users"];

/// Folders that every machine has, so that documents may name them even when a checkout lies below.
const COMMON: &[&str] = &[
    "bin", "dev", "etc", "lib", "mnt", "opt", "proc", "run", "srv", "sys", "tmp", "usr", "var",
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut folders: Vec<String> = HOMES.iter().map(|name| format!("/{name}/")).collect();
    folders.extend(own_folder(&repo.workspace.root));
    let mut findings = Vec::new();
    for file in &repo.files {
        for (index, line) in file.text.lines().enumerate() {
            if folders.iter().any(|folder| names(line, folder)) {
                let advice = "a path of one machine: write it from the root of the repository";
                findings.push(file.finding(index + 1, "machine-path", advice));
            }
        }
    }
    findings
}

/// The top folder of this checkout.
fn own_folder(root: &Path) -> Option<String> {
    let first = root.components().find_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })?;
    (!COMMON.contains(&first)).then(|| format!("/{first}/"))
}

/// Whether the line has the folder at the start of a path; `https://host/home/` is none.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{places, repo};
    use super::*;

    fn found(text: &str) -> Vec<String> {
        places(&check(&repo(&[("notes.md", text)])))
    }

    #[test]
    fn homes_and_this_checkout_are_found() {
        for folder in ["home", "root", "Users", "base"] {
            assert_eq!(found(&format!("a\nsee /{folder}/x")), ["notes.md:2"]);
            assert_eq!(found(&format!("\"/{folder}/x\"")), ["notes.md:1"]);
        }
    }

    #[test]
    fn other_paths_are_not() {
        let home = "home";
        assert_eq!(
            found(&format!(
                "https://example.com/{home}/x ../{home}/y {{dir}}/{home}/z"
            )),
            [""; 0]
        );
        assert_eq!(found("/tmp/x /etc/y sled:///abs/dir"), [""; 0]);
    }

    #[test]
    fn a_checkout_in_a_common_folder_bans_nothing_more() {
        assert_eq!(own_folder(Path::new("/tmp/x")), None);
        assert_eq!(own_folder(Path::new("/base/main")).as_deref(), Some("/base/"));
    }
}
