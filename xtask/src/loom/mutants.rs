//! `cargo xtask loom --mutants`: that the models bite. Each mistake of a committed list is made in a copy of core,
//! and the model that is named beside it has to fail.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::checked;
use crate::run::{Call, Problem, Result, Steps};
use crate::workspace::Workspace;

/// The mistakes, from the root.
const LIST: &str = "core/loom-mutants.toml";
/// The name of modules of models in core.
const MODELS: &str = "loom_models";
/// What core's tests under loom are built from.
const COPIED: &[&str] = &["core/src", "core/Cargo.toml", "Cargo.lock"];

#[derive(Deserialize)]
struct List {
    mutant: Vec<Mutant>,
}

/// One mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// What it is, in words.
    name: String,
    /// Where, from the root.
    file: String,
    /// What stands there, exactly once.
    find: String,
    /// What stands there instead.
    replace: String,
    /// Which model has to fail, with its module.
    model: String,
}

pub(super) fn run(steps: &mut Steps) -> Result<()> {
    let workspace = Workspace::load()?;
    let list = read(&fs::read_to_string(workspace.root.join(LIST)).map_err(|error| failed(LIST, &error))?)?;
    // All of them, before the first takes its time.
    for mutant in &list {
        mutant.applied(&original(&workspace.root, mutant)?)?;
    }
    let copy = workspace.target_directory.join("mutants");
    steps.run("copy of core", || copied(&workspace.root, &copy))?;
    steps.run("the models pass without a mistake", || {
        model(&copy, MODELS, false).and_then(|passed| {
            let advice = "the copy fails where nothing was changed; run `cargo xtask loom`";
            if passed { Ok(()) } else { Err(Problem::new(advice)) }
        })
    })?;
    for mutant in &list {
        steps.run(format!("mutant: {}", mutant.name), || {
            mutant.bitten(&workspace.root, &copy)
        })?;
    }
    println!("{} mistakes, each noticed by its model", list.len());
    Ok(())
}

impl Mutant {
    /// Makes the mistake, runs the model, and takes the mistake back.
    fn bitten(&self, root: &Path, copy: &Path) -> Result<()> {
        let (file, text) = (copy.join(&self.file), original(root, self)?);
        let write = |text: &str| fs::write(&file, text).map_err(|error| failed(&self.file, &error));
        write(&self.applied(&text)?)?;
        let passed = model(copy, &self.model, true);
        write(&text)?;
        if passed? {
            let context = format!("the model {} did not notice; make it stricter", self.model);
            return Err(Problem::new(context));
        }
        Ok(())
    }

    /// The text with the mistake in it.
    fn applied(&self, text: &str) -> Result<String> {
        let Self {
            name,
            file,
            find,
            replace,
            ..
        } = self;
        // A list that is not kept up with its file proves nothing.
        match text.matches(find.as_str()).count() {
            1 => Ok(text.replacen(find, replace, 1)),
            count => Err(Problem::new(format!(
                "{LIST}: the text of {name:?} stands {count} times in {file}, not once; bring the list up to date"
            ))),
        }
    }
}

fn read(text: &str) -> Result<Vec<Mutant>> {
    let list: List =
        toml::from_str(text).map_err(|error| Problem::new(format!("{LIST}: {}", error.message())))?;
    Ok(list.mutant)
}

/// Runs the models of this name, or the one of exactly this name; whether all passed.
///
/// What does not compile, or matches no model, is a problem and no failed model. Not optimised: the models take less
/// time to run than that takes.
fn model(copy: &Path, name: &str, exact: bool) -> Result<bool> {
    let manifest = copy.join("Cargo.toml").to_string_lossy().into_owned();
    let test = [
        "test",
        "--quiet",
        "--manifest-path",
        &manifest,
        "-p",
        "ringhold-core",
        "--lib",
    ];
    // The folder of `cargo xtask loom`: what core depends on is built there already.
    let call =
        |rest: &[&str]| checked(Call::cargo(test.iter().chain(rest))).env("CARGO_TARGET_DIR", "target/loom");
    call(&["--no-run"])
        .advice("a mistake has to compile; mend it in the list")
        .run()?;
    let exact: &[&str] = if exact { &["--exact"] } else { &[] };
    let (passed, printed) = call(&[&["--", name], exact].concat()).attempt()?;
    if !printed.contains("running ") || printed.contains("running 0 tests") {
        return Err(Problem::new(format!("there is no model {name}")));
    }
    Ok(passed)
}

/// A workspace of core alone, with the manifests and versions of this one.
fn copied(root: &Path, copy: &Path) -> Result<()> {
    for path in COPIED {
        copy_all(&root.join(path), &copy.join(path)).map_err(|error| failed(path, &error))?;
    }
    let manifest =
        fs::read_to_string(root.join("Cargo.toml")).map_err(|error| failed("Cargo.toml", &error))?;
    fs::write(copy.join("Cargo.toml"), alone(&manifest)?).map_err(|error| failed("Cargo.toml", &error))
}

/// The root's manifest as that of a workspace with one member, and no package of its own.
fn alone(manifest: &str) -> Result<String> {
    let unexpected = |what: &str| Problem::new(format!("Cargo.toml: {what}"));
    let manifest: Table = manifest.parse().map_err(|_| unexpected("not TOML"))?;
    let mut workspace = manifest
        .get("workspace")
        .and_then(Value::as_table)
        .cloned()
        .ok_or_else(|| unexpected("no workspace"))?;
    for key in ["default-members", "exclude"] {
        workspace.remove(key);
    }
    workspace.insert("members".to_owned(), Value::Array(vec!["core".into()]));
    let mut alone = Table::new();
    alone.insert("workspace".to_owned(), Value::Table(workspace));
    if let Some(profile) = manifest.get("profile") {
        alone.insert("profile".to_owned(), profile.clone());
    }
    Ok(alone.to_string())
}

/// Copies a file, or a folder with all that is in it.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name: PathBuf = entry?.file_name().into();
        copy_all(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

fn original(root: &Path, mutant: &Mutant) -> Result<String> {
    fs::read_to_string(root.join(&mutant.file)).map_err(|error| failed(&mutant.file, &error))
}

fn failed(path: &str, error: &std::io::Error) -> Problem {
    Problem::new(format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "[[mutant]]\nname = \"n\"\nfile = \"f\"\nfind = \"b\"\nreplace = \"x\"\nmodel = \"m\"\n";

    #[test]
    fn a_mistake_is_made_once_or_not_at_all() {
        let [mutant] = &read(ONE).unwrap()[..] else {
            panic!("one")
        };
        assert_eq!(mutant.applied("a b c").unwrap(), "a x c");
        for text in ["", "a c", "b b"] {
            let problem = mutant.applied(text).unwrap_err().to_string();
            assert!(problem.contains("bring the list up to date"), "{problem}");
        }
    }

    #[test]
    fn the_list_is_kept_up_with_the_source() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let list = read(&fs::read_to_string(root.join(LIST)).unwrap()).unwrap();
        assert!(list.len() >= 8, "{} mistakes", list.len());
        for mutant in &list {
            mutant.applied(&original(&root, mutant).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_list_with_something_else_in_it_is_refused() {
        assert!(read("").is_err());
        assert!(read(&ONE.replace("model", "modle")).is_err());
    }

    #[test]
    fn the_copy_has_one_member_and_the_same_versions() {
        let manifest = "[workspace]\nmembers = [\"core\", \"cli\"]\nexclude = [\"fuzz\"]\n\
            [workspace.dependencies]\nloom = \"0.7.3\"\n[package]\nname = \"x\"\n[profile.release]\nlto = \"thin\"\n";
        let alone: Table = super::alone(manifest).unwrap().parse().unwrap();
        assert_eq!(alone["workspace"]["members"], Value::Array(vec!["core".into()]));
        assert_eq!(alone["workspace"]["dependencies"]["loom"], Value::from("0.7.3"));
        assert_eq!(alone["profile"]["release"]["lto"], Value::from("thin"));
        assert!(alone.get("package").is_none() && alone["workspace"].get("exclude").is_none());
    }
}
