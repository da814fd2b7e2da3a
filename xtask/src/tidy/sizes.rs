//! A file does one thing. Past 600 lines it likely does two.

use super::{Finding, Repo};

const RULE: &str = "sizes";

const LINES_MAX: usize = 600;

/// Files that are long for a reason: path and reason.
const LONG: &[(&str, &str)] = &[];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    judge(repo, LONG)
}

fn judge(repo: &Repo, long: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, _) in repo.rust() {
        let lines = file.text.lines().count();
        let listed = long
            .iter()
            .any(|(path, reason)| *path == file.path && !reason.is_empty());
        if lines > LINES_MAX && !listed {
            let advice = format!(
                "{lines} lines, at most {LINES_MAX}: split it by what it does, \
                 or list it with a reason in xtask/src/tidy/sizes.rs"
            );
            findings.push(file.finding(LINES_MAX + 1, RULE, advice));
        }
    }
    for (path, _) in long {
        let needed = repo
            .file(path)
            .is_some_and(|file| file.text.lines().count() > LINES_MAX);
        if !needed {
            findings.push(Finding::of_file(
                *path,
                RULE,
                "no longer long: take it off the list",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::sample::{places, repo};
    use super::*;

    #[test]
    fn a_long_file_is_found_unless_it_is_listed_with_a_reason() {
        let (long, fits) = ("\n".repeat(LINES_MAX + 1), "\n".repeat(LINES_MAX));
        let repo = repo(&[("a.rs", &long), ("b.rs", &fits), ("c.md", &long)]);
        assert_eq!(places(&judge(&repo, &[])), ["a.rs:601"]);
        assert_eq!(places(&judge(&repo, &[("a.rs", "")])), ["a.rs:601"]);
        assert_eq!(judge(&repo, &[("a.rs", "one table")]), []);
    }

    #[test]
    fn an_entry_that_is_not_needed_is_found() {
        let repo = repo(&[("a.rs", "")]);
        assert_eq!(
            places(&judge(&repo, &[("a.rs", "x"), ("gone.rs", "y")])),
            ["a.rs:1", "gone.rs:1"]
        );
    }
}
