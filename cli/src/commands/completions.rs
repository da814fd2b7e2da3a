//! `ringhold completions SHELL`: a script that completes the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Failure;
use crate::output::Output;

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Of the writer.
pub fn run(args: &CompletionsArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    // The generator panics where it cannot write, and a buffer takes everything.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ringhold", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}
