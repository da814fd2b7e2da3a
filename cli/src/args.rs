//! The command line.

use clap::{Args, Parser, Subcommand};
use ringhold::{FleetName, PlayerId};

use crate::commands::completions::CompletionsArgs;
use crate::commands::copy::CopyArgs;
use crate::commands::dev_cluster::DevClusterCommand;
use crate::commands::repair::RepairArgs;
use crate::commands::send::SendArgs;
use crate::commands::sessions::SessionsCommand;
use crate::demo::DemoArgs;
use crate::peer::PeerUrl;
use crate::target::BackendUrl;

/// Sessions, discovery and balancing for fleets of stateful realtime servers.
#[derive(Debug, Parser)]
#[command(name = "ringhold", version, after_help = include_str!("../exit-codes.txt"))]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands share.
#[derive(Debug, Args)]
pub struct Global {
    /// The backend, such as `memory:?fleet=arena` or `redis-cluster://host:port?fleet=arena`
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "RINGHOLD_BACKEND",
        // It may hold a password.
        hide_env_values = true,
        default_value = "memory:"
    )]
    pub backend: BackendUrl,
    /// The fleet in that backend, in place of the URL's `fleet=`
    #[arg(long, global = true, value_name = "NAME")]
    pub fleet: Option<FleetName>,
    /// How nodes are spoken to, by `send` and `kick`: plain on this machine, elsewhere
    /// `grpcs://?ca=FILE&cert=FILE&key=FILE`, or with `token_file=FILE`
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "RINGHOLD_PEER",
        hide_env_values = true,
        default_value = "grpc://"
    )]
    pub peer: PeerUrl,
    /// One JSON value a line on standard output, and JSON errors
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Run a fleet of game servers with real players, kill some, and count what was lost
    Demo(DemoArgs),
    /// Show the nodes of a fleet, their ring shares and their sessions
    Nodes,
    /// Show or end sessions
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Show who holds the live session of a player
    Locate {
        /// The player's id
        player: PlayerId,
    },
    /// Show which node the ring gives a key to
    Owner {
        /// Any text
        key: String,
    },
    /// Tell what happens in the fleet, until ctrl-c
    Watch,
    /// Send a message to a player, or to all, through the nodes that hold them
    Send(SendArgs),
    /// End the session of a player, and tell its connection
    Kick {
        /// The player's id
        player: PlayerId,
        /// What the connection is told, at most 256 bytes
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Copy the live sessions of one fleet to another, on any backends, and compare both sides
    Copy(CopyArgs),
    /// Check what the backend keeps of sessions for dangling and unreadable entries, and repair them on request
    Repair(RepairArgs),
    /// A Redis Cluster on this machine, for development: it runs until it is told to end
    #[command(subcommand)]
    DevCluster(DevClusterCommand),
    /// One node of a demo, for `ringhold demo --processes` alone
    #[command(hide = true)]
    DemoNode,
    /// The players of a demo, for `ringhold demo --processes` alone
    #[command(hide = true)]
    DemoPlayers,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// The command's words, as they stand on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::DemoNode => "demo-node",
            Self::DemoPlayers => "demo-players",
            Self::Nodes => "nodes",
            Self::Sessions(command) => command.name(),
            Self::Locate { .. } => "locate",
            Self::Owner { .. } => "owner",
            Self::Watch => "watch",
            Self::Send(_) => "send",
            Self::Kick { .. } => "kick",
            Self::Copy(_) => "copy",
            Self::Repair(_) => "repair",
            Self::DevCluster(command) => command.name(),
            Self::Completions(_) => "completions",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in [
            "ringhold --json --fleet eu --backend memory: nodes",
            "ringhold nodes --backend memory: --json --fleet eu",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.global.json && cli.global.fleet.is_some());
            assert_eq!(cli.command.name(), "nodes");
        }
        assert!(Cli::try_parse_from(["ringhold", "nodes", "--fleet", "a b"]).is_err());
        assert!(Cli::try_parse_from(["ringhold", "locate", ""]).is_err());
    }

    #[test]
    fn a_message_is_for_one_or_for_all() {
        let parse = |line: &[&str]| Cli::try_parse_from(["ringhold", "send"].iter().chain(line));
        for (line, player) in [
            (["ada", "hello"].as_slice(), Some("ada")),
            (&["--all", "hello"], None),
            (&["hello", "--all"], None),
        ] {
            let Command::Send(args) = parse(line).unwrap().command else {
                panic!("{line:?} sends")
            };
            assert_eq!(
                (args.player.as_ref().map(PlayerId::as_str), &*args.text),
                (player, "hello"),
                "{line:?}"
            );
        }
        for line in [
            [].as_slice(),
            &["ada"],
            &["--all"],
            &["--all", "ada", "hello"],
            &["", "hello"],
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
    }
}
