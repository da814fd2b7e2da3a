//! `cargo xtask guarantees`: the README's table of guarantees and backends, from the results of the tests.
//!
//! The tests write what passed (profiles `ci` and `all` of `.config/nextest.toml`). A guarantee is some rules of the contract suites,
//! which every backend has to keep, and some tests of single backends; `table.rs` says which. So the
//! table cannot say more than what ran, and a rule that no guarantee names is an error.

mod results;
mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use self::results::Results;
use self::table::{COLUMNS, Column, ROWS, Row};
use crate::run::{Problem, Result};
use crate::test::Suite;
use crate::workspace::Workspace;

/// What to do with the table.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail where the README says something else than the results
    #[arg(long)]
    check: bool,
    /// Count a `slow_` test that did not run if the list of tests has it
    #[arg(long)]
    short: bool,
    /// The results; unless given, those of the last run with the profile `ci`, or `all` without `--short`
    #[arg(long, value_name = "JUNIT")]
    results: Option<PathBuf>,
}

impl Arguments {
    /// Compares with the results of the short suite, or with those of all tests.
    pub(crate) const fn check(short: bool) -> Self {
        Self {
            check: true,
            short,
            results: None,
        }
    }
}

const README: &str = "README.md";
const BEGIN: &str = "<!-- guarantees: made by `cargo xtask guarantees` -->\n";
const END: &str = "<!-- /guarantees -->\n";

/// Writes the table, or compares it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let results = arguments.results.clone().unwrap_or_else(|| {
        workspace
            .target_directory
            .join(Suite::of(arguments.short).results())
    });
    let xml = std::fs::read_to_string(&results).map_err(|error| {
        Problem::new(format!(
            "reading {}: {error}; run `cargo xtask test --all` first",
            results.display()
        ))
    })?;
    let mut results = Results::read(&xml)?;
    if arguments.short {
        results.trust_slow(&crate::test::list()?)?;
    }
    let made = make(&results, COLUMNS, ROWS)?;
    let path = workspace.root.join(README);
    let readme =
        std::fs::read_to_string(&path).map_err(|error| Problem::new(format!("{README}: {error}")))?;
    let new = replaced(&readme, &made)?;
    if new == readme {
        println!("{README}: the table says what the results say");
        return Ok(());
    }
    if arguments.check {
        return Err(Problem::new(format!(
            "the table of guarantees in {README} is not what the results say; run `cargo xtask guarantees`, \
             which makes it\n{made}"
        )));
    }
    std::fs::write(&path, new).map_err(|error| Problem::new(format!("writing {README}: {error}")))?;
    println!("{README}: the table is made anew");
    Ok(())
}

/// The text with the table between its marks.
fn replaced(readme: &str, table: &str) -> Result<String> {
    let parts = readme
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(Problem::new(format!(
            "{README} has no place for the table; it stands between these lines:\n{BEGIN}{END}"
        )));
    };
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The table, where the results have everything that it is made of.
fn make(results: &Results, columns: &[Column], rows: &[Row]) -> Result<String> {
    let mut wrong = rot(results, columns, rows);
    let mut table = String::from("| guarantee |");
    // Writing to a string cannot fail.
    for column in columns {
        let _ = write!(table, " {} |", column.title);
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    table.push('\n');
    for row in rows {
        let _ = write!(table, "| {} |", row.guarantee);
        for column in columns {
            let cell = cell(results, column, row, &mut wrong);
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    if wrong.is_empty() {
        return Ok(table);
    }
    Err(Problem::new(format!(
        "there is no honest table; see `xtask/src/guarantees/table.rs`:\n  {}",
        wrong.join("\n  ")
    )))
}

/// `passed/all` of a guarantee on a backend; a dash where the backend is not meant.
fn cell(results: &Results, column: &Column, row: &Row, wrong: &mut Vec<String>) -> String {
    let mut tests: Vec<(String, String)> = Vec::new();
    for rule in row.rules {
        let suite = rule.split("::").next().unwrap_or_default();
        if column.suites.contains(&suite) {
            let names = column.prefixes.iter().map(|prefix| format!("{prefix}{rule}"));
            tests.extend(names.map(|test| (column.binary(), test)));
        }
    }
    for (title, binary, test) in row.tests {
        if *title == column.title {
            tests.push(((*binary).to_owned(), (*test).to_owned()));
        }
    }
    let mut passed = 0;
    for (binary, test) in &tests {
        match results.passed(binary, test) {
            Some(true) => passed += 1,
            Some(false) => wrong.push(format!("{binary} {test} failed")),
            None => wrong.push(format!(
                "{binary} {test} is not in the results: run all tests, with all features"
            )),
        }
    }
    if tests.is_empty() {
        "–".to_owned()
    } else {
        format!("{passed}/{}", tests.len())
    }
}

/// What the mapping says that is not, and what is that it does not say.
fn rot(results: &Results, columns: &[Column], rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| row.rules).copied().collect();
    for row in rows {
        if row.rules.is_empty() && row.tests.is_empty() {
            wrong.push(format!("the row {:?} is made of nothing", row.guarantee));
        }
        for (title, ..) in row.tests {
            if !columns.iter().any(|column| column.title == *title) {
                wrong.push(format!(
                    "the row {:?} names a column {title:?}, which there is not",
                    row.guarantee
                ));
            }
        }
    }
    for (binary, test) in results.tests() {
        if !binary.ends_with("::contract") {
            continue;
        }
        let mut of = columns.iter().filter(|column| column.binary() == binary);
        let rule = of.find_map(|column| {
            let mut rules = column
                .prefixes
                .iter()
                .filter_map(|prefix| test.strip_prefix(prefix));
            rules.find(|rule| {
                column
                    .suites
                    .iter()
                    .any(|suite| rule.starts_with(&format!("{suite}::")))
            })
        });
        match rule {
            None => wrong.push(format!("{binary} {test} is of no column")),
            Some(rule) if !named.contains(rule) => wrong.push(format!("no row names the rule {rule}")),
            Some(_) => {}
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &[Column] = &[
        Column::new(
            "memory",
            "ringhold-memory",
            &[""],
            &["session_store", "transport"],
        ),
        Column::new("one Redis", "ringhold-redis", &["single::"], &["session_store"]),
    ];

    const TWO: &[Row] = &[
        Row::new(
            "logins",
            &["session_store::create"],
            &[("one Redis", "ringhold-redis::account", "books")],
        ),
        Row::new("calls", &["transport::call"], &[]),
    ];

    const ALL: &[(&str, &str, bool)] = &[
        ("ringhold-memory::contract", "session_store::create", true),
        ("ringhold-memory::contract", "transport::call", true),
        ("ringhold-redis::contract", "single::session_store::create", true),
        ("ringhold-redis::account", "books", true),
        ("ringhold-redis", "config::tests::anything", true),
    ];

    fn refused(results: &[(&str, &str, bool)], columns: &[Column], rows: &[Row]) -> String {
        make(&Results::of(results), columns, rows)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_cell_counts_what_passed() {
        let table = make(&Results::of(ALL), SMALL, TWO).unwrap();
        let expected = "| guarantee | memory | one Redis |\n|---|---|---|\n\
                        | logins | 1/1 | 2/2 |\n| calls | 1/1 | – |\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn what_failed_or_did_not_run_is_no_guarantee() {
        for (index, (_, test, _)) in ALL.iter().enumerate().take(4) {
            let mut results = ALL.to_vec();
            results[index].2 = false;
            let problem = refused(&results, SMALL, TWO);
            assert!(problem.contains(&format!("{test} failed")), "{problem}");
            results.remove(index);
            let problem = refused(&results, SMALL, TWO);
            assert!(
                problem.contains(&format!("{test} is not in the results")),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_rule_that_no_row_names_is_found() {
        let mut results = ALL.to_vec();
        results.push(("ringhold-memory::contract", "session_store::new_rule", true));
        let problem = refused(&results, SMALL, TWO);
        assert!(
            problem.contains("no row names the rule session_store::new_rule"),
            "{problem}"
        );
    }

    #[test]
    fn a_backend_that_has_no_column_is_found() {
        for (binary, test) in [
            ("ringhold-new::contract", "session_store::create"),
            ("ringhold-redis::contract", "cluster::session_store::create"),
            ("ringhold-redis::contract", "single::transport::call"),
        ] {
            let mut results = ALL.to_vec();
            results.push((binary, test, true));
            let problem = refused(&results, SMALL, TWO);
            assert!(
                problem.contains(&format!("{binary} {test} is of no column")),
                "{problem}"
            );
        }
    }

    #[test]
    fn rows_of_nothing_and_columns_that_are_not_are_found() {
        let empty = [
            Row::new("nothing", &[], &[]),
            Row::new("x", &[], &[("etcd", "b", "t")]),
        ];
        let problem = refused(&[], SMALL, &empty);
        assert!(problem.contains("\"nothing\" is made of nothing"), "{problem}");
        assert!(problem.contains("names a column \"etcd\""), "{problem}");
    }

    #[test]
    fn the_table_stands_between_its_marks() {
        let readme = format!("a\n{BEGIN}old\n{END}b\n");
        let new = replaced(&readme, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}new\n{END}b\n"));
        assert_eq!(replaced(&new, "new\n").unwrap(), new);
        assert!(replaced("a\nb\n", "new\n").is_err());
        assert!(replaced(&format!("{END}{BEGIN}"), "new\n").is_err());
    }

    #[test]
    fn no_title_and_no_guarantee_stands_twice() {
        let titles: BTreeSet<_> = COLUMNS.iter().map(|column| column.title).collect();
        assert_eq!(titles.len(), COLUMNS.len());
        let guarantees: BTreeSet<_> = ROWS.iter().map(|row| row.guarantee).collect();
        assert_eq!(guarantees.len(), ROWS.len());
        let mut rules = BTreeSet::new();
        for rule in ROWS.iter().flat_map(|row| row.rules) {
            assert!(rules.insert(rule), "{rule} stands twice");
        }
    }
}
