//! `cargo xtask codegen`: the code of the protocol files, by the package `xtask-codegen`.

use crate::run::{Call, Result};
use crate::test;
use crate::workspace::Workspace;

/// Makes the code, or looks whether the code that is there is what would be made.
pub(crate) fn run(check: bool) -> Result<()> {
    let generator = ["run", "--quiet", "--package", "xtask-codegen", "--"];
    let flag = check.then_some("--check");
    Call::cargo(generator.into_iter().chain(flag)).run()
}

/// Checks by the program that the tests have built.
pub(crate) fn check_built() -> Result<()> {
    test::build_programs()?;
    let program = Workspace::load()?.built().join("xtask-codegen");
    Call::new(&program.to_string_lossy(), ["--check"]).run()
}
