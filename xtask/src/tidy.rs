//! `cargo xtask tidy`: the rules of the house that a program can check.
//!
//! Each check reads a [`Repo`] and returns findings; none touches the disk, so each has tests that
//! feed it a bad sample.

mod adapters;
mod arrows;
mod attributes;
mod core;
mod guides;
mod leftovers;
mod manifests;
mod paths;
mod rust;
mod sizes;
mod sleeps;

use std::fmt;
use std::path::Path;

use self::rust::Code;
use crate::run::{Call, Problem, Result};
use crate::workspace::Workspace;

/// One broken rule, at a place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    advice: String,
}

impl Finding {
    /// About a file as a whole, which may not exist.
    fn of_file(path: impl Into<String>, rule: &'static str, advice: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 1,
            rule,
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            advice,
        } = self;
        write!(f, "{path}:{line}: {rule}: {advice}")
    }
}

/// A text file of the repository.
struct File {
    /// From the root, with `/`.
    path: String,
    text: String,
    /// Present for Rust.
    code: Option<Code>,
}

impl File {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let rust = Path::new(&path)
            .extension()
            .is_some_and(|extension| extension == "rs");
        let code = rust.then(|| Code::new(&text));
        Self { path, text, code }
    }

    /// The line of a byte offset, counted from 1.
    fn line_of(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    fn finding(&self, line: usize, rule: &'static str, advice: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            rule,
            advice: advice.into(),
        }
    }
}

/// Everything the checks look at.
struct Repo {
    workspace: Workspace,
    /// Text files that git knows or would add.
    files: Vec<File>,
    /// All such files, with those that are not text.
    paths: Vec<String>,
    /// The packages below core, one name each, without its dev-dependencies.
    core_tree: Vec<String>,
}

impl Repo {
    fn load() -> Result<Self> {
        let workspace = Workspace::load()?;
        let root = workspace.root.to_string_lossy().into_owned();
        let list = [
            "-C",
            &root,
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let listed = Call::new("git", list)
            .advice("tidy reads the list of files from git")
            .output()?;
        let mut paths: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
        paths.sort();
        paths.dedup();
        // A file removed from the disk stays in git's list until that is committed.
        paths.retain(|path| workspace.root.join(path).is_file());
        let mut files = Vec::new();
        for path in &paths {
            let bytes = std::fs::read(workspace.root.join(path))
                .map_err(|error| Problem::new(format!("reading {path}: {error}")))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File::new(path.clone(), text));
            }
        }
        let core_tree = core::tree()?;
        Ok(Self {
            workspace,
            files,
            paths,
            core_tree,
        })
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn rust(&self) -> impl Iterator<Item = (&File, &Code)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.code.as_ref()?)))
    }
}

type Check = fn(&Repo) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    adapters::check,
    arrows::check,
    attributes::check,
    core::check,
    guides::check,
    leftovers::check,
    manifests::check,
    paths::check,
    sizes::check,
    sleeps::check,
];

/// Runs every check and prints what it found.
pub(crate) fn run() -> Result<()> {
    let repo = Repo::load()?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&repo)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!(
                "{} files, {} checks: nothing found",
                repo.paths.len(),
                CHECKS.len()
            );
            Ok(())
        }
        1 => Err(Problem::new("1 finding above says what to do")),
        count => Err(Problem::new(format!("{count} findings above say what to do"))),
    }
}

/// Repositories made up for the tests of the checks.
#[cfg(test)]
mod sample {
    use super::{File, Finding, Repo};
    use crate::workspace::{Package, Workspace};

    /// A repository of these files and no packages.
    pub(super) fn repo(files: &[(&str, &str)]) -> Repo {
        let files: Vec<File> = files.iter().map(|(path, text)| File::new(*path, *text)).collect();
        let paths = files.iter().map(|file| file.path.clone()).collect();
        let workspace = Workspace {
            packages: Vec::new(),
            root: "/base/main".into(),
            target_directory: "/base/main/target".into(),
        };
        Repo {
            workspace,
            files,
            paths,
            core_tree: Vec::new(),
        }
    }

    /// A member in a folder of that repository.
    pub(super) fn package(name: &str, folder: &str) -> Package {
        let manifest_path = std::path::Path::new("/base/main").join(folder).join("Cargo.toml");
        Package {
            name: name.into(),
            manifest_path,
            ..Package::default()
        }
    }

    /// `path:line` of each finding.
    pub(super) fn places(findings: &[Finding]) -> Vec<String> {
        findings
            .iter()
            .map(|finding| format!("{}:{}", finding.path, finding.line))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_path_line_rule_and_advice() {
        let finding = File::new("a/b.rs", "").finding(3, "sizes", "split it");
        assert_eq!(finding.to_string(), "a/b.rs:3: sizes: split it");
    }

    #[test]
    fn lines_count_from_one() {
        let file = File::new("a.txt", "x\ny\n");
        assert_eq!([file.line_of(0), file.line_of(1), file.line_of(2)], [1, 1, 2]);
    }
}
