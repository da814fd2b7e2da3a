//! What a run of the tests wrote down, in the form of `JUnit`.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};
use serde::Deserialize;

use crate::run::{Problem, Result};

/// Whether each test passed, by its binary and name.
pub(super) struct Results(BTreeMap<(String, String), bool>);

impl Results {
    /// Reads what nextest writes: a suite for each binary, a case for each test.
    pub(super) fn read(xml: &str) -> Result<Self> {
        let document = Document::parse(xml).map_err(|error| {
            Problem::new(format!("the results are not XML ({error}); run the tests again"))
        })?;
        let mut tests = BTreeMap::new();
        for suite in elements(document.root_element(), "testsuite") {
            for case in elements(suite, "testcase") {
                let (Some(binary), Some(test)) = (suite.attribute("name"), case.attribute("name")) else {
                    return Err(Problem::new("the results have a test without a name"));
                };
                let failed = ["failure", "error", "skipped"]
                    .into_iter()
                    .any(|outcome| elements(case, outcome).next().is_some());
                tests.insert((binary.to_owned(), test.to_owned()), !failed);
            }
        }
        if tests.is_empty() {
            return Err(Problem::new("the results have no test; run them again"));
        }
        Ok(Self(tests))
    }

    /// Adds the slow tests of nextest's JSON list that did not run, as if they had passed: a short run proves that they
    /// exist, and `cargo xtask proof` that they pass.
    pub(super) fn trust_slow(&mut self, list: &str) -> Result<()> {
        let list: List = serde_json::from_str(list)
            .map_err(|error| Problem::new(format!("the list of tests is not the expected JSON: {error}")))?;
        for (binary, suite) in list.suites {
            for test in suite.tests.into_keys().filter(|test| is_slow(test)) {
                self.0.entry((binary.clone(), test)).or_insert(true);
            }
        }
        Ok(())
    }

    /// Whether a test passed; `None` when it did not run.
    pub(super) fn passed(&self, binary: &str, test: &str) -> Option<bool> {
        self.0.get(&(binary.to_owned(), test.to_owned())).copied()
    }

    /// All tests that ran.
    pub(super) fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .keys()
            .map(|(binary, test)| (binary.as_str(), test.as_str()))
    }

    #[cfg(test)]
    pub(super) fn of(tests: &[(&str, &str, bool)]) -> Self {
        let tests = tests
            .iter()
            .map(|(binary, test, passed)| (((*binary).to_owned(), (*test).to_owned()), *passed));
        Self(tests.collect())
    }
}

/// The used part of the output of `cargo nextest list --message-format json`.
#[derive(Deserialize)]
struct List {
    #[serde(rename = "rust-suites")]
    suites: BTreeMap<String, Suite>,
}

/// The tests of one binary.
#[derive(Deserialize)]
struct Suite {
    #[serde(rename = "testcases")]
    tests: BTreeMap<String, serde_json::Value>,
}

/// Whether the short suite leaves a test out: the filter of the profile `ci` in `.config/nextest.toml`.
fn is_slow(test: &str) -> bool {
    test.split("::").any(|part| part.starts_with("slow_"))
}

fn elements<'a>(parent: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    parent.children().filter(move |node| node.has_tag_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nextest_writes_is_read() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0" uuid="u" timestamp="t" time="1.0">
    <testsuite name="ringhold-redis::contract" tests="2" disabled="0" errors="0" failures="1">
        <testcase name="single::a" classname="ringhold-redis::contract" time="0.1"></testcase>
        <testcase name="single::b" classname="ringhold-redis::contract" time="0.1">
            <failure message="it &lt;broke&gt;" type="test failure">at a line</failure>
            <system-out>said</system-out>
        </testcase>
    </testsuite>
    <testsuite name="ringhold" tests="1" disabled="0" errors="0" failures="0">
        <testcase name="single::a" classname="ringhold" time="0.1"><system-out>said</system-out></testcase>
    </testsuite>
</testsuites>"#;
        let results = Results::read(xml).unwrap();
        assert_eq!(
            results.passed("ringhold-redis::contract", "single::a"),
            Some(true)
        );
        assert_eq!(
            results.passed("ringhold-redis::contract", "single::b"),
            Some(false)
        );
        assert_eq!(results.passed("ringhold-redis::contract", "single::c"), None);
        assert_eq!(results.passed("ringhold", "single::a"), Some(true));
        assert_eq!(results.tests().count(), 3);
    }

    #[test]
    fn listed_slow_test_counts_and_listed_short_test_does_not() {
        let list = r#"{"test-count": 3, "rust-suites": {"a::b": {"binary-id": "a::b", "testcases": {
            "m::slow_one": {"kind": "test"}, "m::short": {}, "slow_two::x": {}}}}}"#;
        let mut results = Results::of(&[("a::b", "m::ran", true), ("a::b", "slow_two::x", false)]);
        results.trust_slow(list).unwrap();
        assert_eq!(results.passed("a::b", "m::slow_one"), Some(true));
        assert_eq!(results.passed("a::b", "m::short"), None);
        assert_eq!(
            results.passed("a::b", "slow_two::x"),
            Some(false),
            "a result that is there counts"
        );
        assert!(results.trust_slow("[]").is_err());
    }

    #[test]
    fn no_results_are_no_good_results() {
        for xml in [
            "",
            "<testsuites/>",
            "<testsuites><testsuite name='x'/></testsuites>",
            "<a",
            "<b/>",
        ] {
            assert!(Results::read(xml).is_err(), "{xml}");
        }
    }
}
