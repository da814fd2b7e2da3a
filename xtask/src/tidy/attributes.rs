//! A lint is silenced only with a reason.

use super::rust::words;
use super::{Finding, Repo};

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, code) in repo.rust() {
        for range in code.attributes() {
            let (attribute, source) = (&code.text()[range.clone()], &file.text[range.clone()]);
            let silences = ["allow", "expect"].iter().any(|name| {
                words(attribute, name).any(|at| attribute[at + name.len()..].trim_start().starts_with('('))
            });
            let has_reason = words(attribute, "reason").next().is_some() && !source.contains("reason = \"\"");
            if silences && !has_reason {
                let advice = "add `reason = \"…\"` to the attribute, or do what the lint says";
                findings.push(file.finding(file.line_of(range.start), "lint-reason", advice));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::sample::{places, repo};
    use super::*;

    fn found(text: &str) -> Vec<String> {
        places(&check(&repo(&[("a.rs", text)])))
    }

    #[test]
    fn a_reason_is_asked_for() {
        assert_eq!(found("\n#[allow(dead_code)]\nfn f() {}"), ["a.rs:2"]);
        assert_eq!(found("#![expect(clippy::pedantic)]"), ["a.rs:1"]);
        assert_eq!(found("#[cfg_attr(test, allow(dead_code))]"), ["a.rs:1"]);
        assert_eq!(found("#[allow(dead_code, reason = \"\")]"), ["a.rs:1"]);
    }

    #[test]
    fn a_reason_is_enough() {
        assert_eq!(
            found("#[expect(\n    dead_code,\n    reason = \"read by tests\"\n)]"),
            [""; 0]
        );
        assert_eq!(found("// #[allow(dead_code)]\n#[derive(Debug)]"), [""; 0]);
    }
}
