//! The stock gRPC clients that a node is tried with: those of `PyPI`, in an environment of their own.

use std::path::Path;

use super::{is_root, on_path};
use crate::run::{Call, Problem, Result};

/// Where they are, seen from the workspace's root. `adapters/grpc/tests/stock.rs` looks there.
const FOLDER: &str = "target/python";
const PACKAGES: [&str; 2] = ["grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"];

/// Makes the environment, unless it is there and has what is needed.
pub(crate) fn run() -> Result<()> {
    let python = format!("{FOLDER}/bin/python");
    let ask = || {
        Call::new(&python, ["-c", "import grpc_health.v1, grpc_reflection.v1alpha"])
            .silent()
            .output()
    };
    if Path::new(&python).is_file() && ask().is_ok() {
        return Ok(());
    }
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
    Call::new("python3", ["-m", "venv", "--clear", FOLDER]).run()?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    Call::new(&python, install.into_iter().chain(PACKAGES))
        .advice("the stock gRPC clients come from PyPI; look at pip's message above")
        .run()
}
