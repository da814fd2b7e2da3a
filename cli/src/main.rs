//! The program `ringhold`: see the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringhold_cli::main()
}
