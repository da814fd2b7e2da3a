//! Nothing half-done stays: no stubs, no debug prints, no test that is switched off.

use super::rust::words;
use super::{Finding, Repo};

const RULE: &str = "leftovers";

/// Macros, without their `!`.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, code) in repo.rust() {
        for name in MACROS {
            for at in code
                .words(name)
                .filter(|at| code.text()[at + name.len()..].starts_with('!'))
            {
                let advice = format!("finish this or take it out: `{name}!` does not land");
                findings.push(file.finding(file.line_of(at), RULE, advice));
            }
        }
        for range in code.attributes() {
            let attribute = code.text()[range.clone()].trim_start_matches(['#', '!', '[']);
            let conditional = attribute.starts_with("cfg_attr");
            let off = words(attribute, "ignore")
                .next()
                .is_some_and(|at| at == 0 || conditional);
            if off {
                let advice = "a test that is switched off proves nothing: mend it or remove it";
                findings.push(file.finding(file.line_of(range.start), RULE, advice));
            }
        }
        for (index, line) in file.text.lines().enumerate() {
            let line = line.trim_start();
            let documents = line.starts_with("///") || line.starts_with("//!");
            let fence = line.split_once("```").map(|(_, tags)| tags);
            if documents && fence.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == "ignore")) {
                let advice =
                    "an example that is not compiled goes stale: make it run, or use `no_run` or `text`";
                findings.push(file.finding(index + 1, RULE, advice));
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
    fn stubs_are_found() {
        for name in MACROS {
            assert_eq!(found(&format!("fn f() {{\n    {name}!(x)\n}}")), ["a.rs:2"]);
            assert_eq!(
                found(&format!("// {name}!(x)\nlet {name} = \"{name}!\";")),
                [""; 0]
            );
        }
    }

    #[test]
    fn tests_that_are_switched_off_are_found() {
        let off = "ignore";
        assert_eq!(found(&format!("#[test]\n#[{off}]\nfn f() {{}}")), ["a.rs:2"]);
        assert_eq!(found(&format!("#[{off} = \"slow\"]")), ["a.rs:1"]);
        assert_eq!(found(&format!("#[cfg_attr(not(unix), {off})]")), ["a.rs:1"]);
        assert_eq!(
            found("#[serde(skip)] #[clap(ignore_case)] fn ignore() {}"),
            [""; 0]
        );
    }

    #[test]
    fn examples_that_are_not_compiled_are_found() {
        assert_eq!(found("/// A\n/// ```ignore\n/// ```"), ["a.rs:2"]);
        assert_eq!(found("//! ```rust,ignore"), ["a.rs:1"]);
        assert_eq!(found("/// ```no_run"), [""; 0]);
    }
}
