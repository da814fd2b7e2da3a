//! A test waits for a condition with a deadline; a sleep is a guess.

use super::{Finding, Repo};

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, code) in repo.rust() {
        let whole = is_test_file(&file.path);
        let lines: Vec<&str> = file.text.lines().collect();
        for name in ["sleep", "sleep_until"] {
            for at in code.words(name) {
                let line = file.line_of(at);
                let (before, after) = (code.text()[..at].trim_end(), &code.text()[at + name.len()..]);
                // `clock.sleep(…)` is simulated time, `fn sleep` a definition.
                let call = after.starts_with('(') && !before.ends_with('.') && !before.ends_with("fn");
                if call && (whole || code.in_tests(at)) && !explained(&lines, line) {
                    let advice = "wait for a condition with a deadline (testkit), \
                                  or say `// sleep: …` why only time can pass here";
                    findings.push(file.finding(line, "sleeps", advice));
                }
            }
        }
    }
    findings
}

/// Whether all of the file is test code, by where it lies and how it is called.
pub(super) fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
    let folder = path.split('/').rev().skip(1).any(|part| part == "tests");
    folder
        || path.starts_with("testkit/")
        || name == "tests"
        || name.ends_with("_tests")
        || name.starts_with("loom")
}

/// Whether this line, or the comment right above it, says `// sleep: …`.
fn explained(lines: &[&str], line: usize) -> bool {
    let says = |text: &str| {
        text.split_once("// sleep: ")
            .is_some_and(|(_, why)| !why.trim().is_empty())
    };
    let comment = lines[..line - 1]
        .iter()
        .rev()
        .take_while(|text| text.trim_start().starts_with("//"));
    says(lines[line - 1]) || comment.into_iter().any(|text| says(text))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{places, repo};
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        places(&check(&repo(&[(path, text)])))
    }

    #[test]
    fn sleeps_in_tests_are_found() {
        for call in [
            "std::thread::sleep(d)",
            "tokio::time::sleep(d).await",
            "sleep(d)",
            "time::sleep_until(t)",
        ] {
            let text = format!("fn f() {{\n    {call};\n}}");
            assert_eq!(found("core/tests/a.rs", &text), ["core/tests/a.rs:2"], "{call}");
            assert_eq!(found("src/a/tests.rs", &text), ["src/a/tests.rs:2"], "{call}");
            let inside = format!("#[cfg(test)]\nmod tests {{ {text} }}");
            assert_eq!(found("src/a.rs", &inside), ["src/a.rs:3"], "{call}");
        }
    }

    #[test]
    fn a_reason_is_enough() {
        for text in [
            "// sleep: the kernel needs it\nsleep(d);",
            "// sleep: the kernel\n// needs it\nsleep(d);",
            "sleep(d); // sleep: the kernel needs it",
        ] {
            assert_eq!(found("tests/a.rs", text), [""; 0], "{text}");
        }
        assert_eq!(found("tests/a.rs", "// sleep: \nsleep(d);"), ["tests/a.rs:2"]);
        assert_eq!(found("tests/a.rs", "// sleep: x\n\nsleep(d);"), ["tests/a.rs:3"]);
    }

    #[test]
    fn simulated_time_and_other_code_pass() {
        assert_eq!(
            found(
                "tests/a.rs",
                "clock.sleep(d); fn sleep() {} use tokio::time::sleep;"
            ),
            [""; 0]
        );
        assert_eq!(found("src/a.rs", "fn f() { sleep(d) }"), [""; 0]);
    }
}
