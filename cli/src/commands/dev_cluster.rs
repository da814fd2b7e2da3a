//! `ringhold dev-cluster`: a Redis Cluster on this machine, for development.

#[cfg(feature = "redis-cluster")]
mod folder;
#[cfg(feature = "redis-cluster")]
mod servers;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::exit::Failure;
use crate::output::Output;

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum DevClusterCommand {
    /// Start it, or what is down of it, and print its URL
    Up(UpArgs),
    /// Kill its servers and remove its folder
    Down(FolderArgs),
    /// Show its nodes; the answer is no (1) unless all are well
    Status(FolderArgs),
}

impl DevClusterCommand {
    /// The command's words, as they stand on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "dev-cluster up",
            Self::Down(_) => "dev-cluster down",
            Self::Status(_) => "dev-cluster status",
        }
    }
}

/// Which cluster.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// The cluster's own folder, which `down` removes [default: ringhold/dev-cluster in the user's
    /// cache folder]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// How it is set up.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// How many masters share the slots; nobody is promoted with fewer than three
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub masters: u8,
    /// How many replicas each master has
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=5))]
    pub replicas: u8,
    /// After how long a silence a node counts as failed, such as `500ms` or `2s`
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub node_timeout: Duration,
    /// Where it lives.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// Runs the command. It talks to servers of this machine alone, so it needs no runtime.
///
/// # Errors
/// `Unsupported` in a build without the feature `redis-cluster`; `No` from `status` and `down` where
/// there is no such cluster, and from `status` where a node is not well; `Failed` and `Unavailable`
/// with what to do, for example to install `redis-server`.
#[cfg(feature = "redis-cluster")]
pub fn run(command: &DevClusterCommand, output: &mut Output<'_>) -> Result<(), Failure> {
    match command {
        DevClusterCommand::Up(args) => servers::up(args, output),
        DevClusterCommand::Down(args) => servers::down(args, output),
        DevClusterCommand::Status(args) => servers::status(args, output),
    }
}

/// Says how to get a build that can.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(feature = "redis-cluster"))]
pub fn run(command: &DevClusterCommand, _: &mut Output<'_>) -> Result<(), Failure> {
    Err(Failure::unsupported(format!(
        "`ringhold {}` needs a build with the feature `redis-cluster`: \
         `cargo build --package ringhold-cli --features redis-cluster`",
        command.name()
    )))
}

/// Reads a whole number of `ms` or `s`.
fn time(text: &str) -> Result<Duration, String> {
    let limit = Duration::from_millis(100)..=Duration::from_secs(3_600);
    let read = match text.strip_suffix("ms") {
        Some(number) => number.parse().map(Duration::from_millis).ok(),
        None => text
            .strip_suffix('s')
            .and_then(|number| number.parse().map(Duration::from_secs).ok()),
    };
    read.filter(|time| limit.contains(time))
        .ok_or_else(|| "write a time from 100ms to 3600s, such as `500ms` or `2s`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_limits() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2s"), Ok(Duration::from_secs(2)));
        for text in [
            "",
            "2",
            "s",
            "99ms",
            "3601s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
