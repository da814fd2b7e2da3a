//! What cargo says about this workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::run::{Call, Problem, Result};

/// The members, from `cargo metadata`.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

/// One member.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

/// One line of a member's dependency tables.
#[derive(Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or nothing for a normal one.
    pub(crate) kind: Option<String>,
    /// Whether a feature has to ask for it.
    pub(crate) optional: bool,
    /// The folder of a dependency that is not from a registry.
    pub(crate) path: Option<PathBuf>,
}

/// A library, program, test, bench or example of a member.
#[derive(Clone, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Reads the workspace that the current folder belongs to.
    pub(crate) fn load() -> Result<Self> {
        let json = Call::cargo(["metadata", "--format-version", "1", "--no-deps"]).output()?;
        serde_json::from_str(&json)
            .map_err(|error| Problem::new(format!("`cargo metadata` printed something unexpected: {error}")))
    }

    /// Where tests, programs and examples of the profile `dev` are.
    pub(crate) fn built(&self) -> PathBuf {
        self.target_directory.join("debug")
    }

    /// A member's folder from the root, with `/`; the root package's is empty.
    pub(crate) fn folder(&self, package: &Package) -> String {
        let folder = package.manifest_path.parent().unwrap_or(Path::new(""));
        relative(&self.root, folder)
    }
}

/// `path` as seen from `root`, with `/` on every platform.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}
