//! What the demo and its child processes say to each other: one JSON value a line.
//!
//! A child is told on its standard input what it is; the end of that input tells it to stop. What it
//! has to say stands on its standard output, errors on its standard error.

use ringhold::{Address, NodeIncarnation, PlayerId, Timing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::ledger::Ledger;
use super::world::{Stage, Totals};
use crate::exit::Failure;

/// The longest line in bytes, its end included. A page of players and a view of the largest fleet fit.
pub(crate) const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What a node is to be. No `Debug`: the URL may hold a password.
#[derive(Serialize, Deserialize)]
pub(crate) struct NodeOrder {
    /// The backend's URL, with the fleet.
    pub(crate) backend: String,
    /// The node's name.
    pub(crate) name: String,
    /// The periods of the fleet.
    pub(crate) timing: Timing,
}

/// What a node tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeNews {
    /// It has joined, and takes players.
    Started {
        /// Which run of it.
        node: NodeIncarnation,
        /// Where its players connect.
        address: Address,
    },
    /// Its view has changed.
    View {
        /// So many nodes are in it.
        nodes: usize,
        /// These were in the one before.
        left: Vec<NodeIncarnation>,
    },
}

/// What the players are to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlayersOrder {
    /// How their names begin.
    pub(crate) tag: String,
    /// The most that come.
    pub(crate) players: usize,
}

/// What the script wants of the players. Each gets one [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// There is a node at this address.
    Node(Address),
    /// Come in, until so many seats are taken.
    LetIn(usize),
    /// Do this from now on.
    Stage(Stage),
    /// From now on it counts who plays.
    Mark,
    /// The nodes at these addresses are about to be killed. Players are not told.
    Condemn(Vec<Address>),
    /// What can be seen of them.
    Look,
    /// Who has stopped since the last time that was asked.
    Collect,
}

/// What the players answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// So many players are on condemned nodes.
    Condemned(usize),
    /// To [`Ask::Look`].
    Seen(Seen),
    /// To [`Ask::Collect`].
    Stopped {
        /// Some who have stopped.
        players: Vec<Stopped>,
        /// There are no more.
        all: bool,
    },
}

/// The players at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// So many have logged in at least once.
    pub(crate) inside: usize,
    /// So many had no move acknowledged since the mark.
    pub(crate) idle: usize,
    /// So many of killed nodes do not play yet.
    pub(crate) stranded: usize,
    /// From the condemnation until the last of the others played again.
    pub(crate) recovered_ms: u64,
    /// What happened so far.
    pub(crate) totals: Totals,
    /// The last thing that went wrong for one of them.
    pub(crate) trouble: String,
}

/// A player who has stopped: its name, and what it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stopped {
    /// Its name.
    pub(crate) player: PlayerId,
    /// What was acknowledged to it.
    pub(crate) ledger: Ledger,
    /// Its session was gone at a login.
    pub(crate) session_lost: bool,
    /// It was moved away from a node that is alive.
    pub(crate) moved: bool,
}

/// One value as a line without its end.
pub(crate) fn line(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))
}

/// The value on a line.
///
/// # Errors
/// `Failed` where it is another one or none. The line may hold a password, so it is not repeated.
pub(crate) fn parse<T: DeserializeOwned>(line: &str) -> Result<T, Failure> {
    serde_json::from_str(line).map_err(|error| {
        let what = match error.classify() {
            Category::Data => "a JSON value that does not belong here",
            Category::Syntax => "no JSON",
            Category::Eof | Category::Io => "half a JSON value",
        };
        Failure::failed(format!(
            "the line between the demo and its child process is {what}, from byte {} on",
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<T: DeserializeOwned>(text: &str) -> String {
        match parse::<T>(text) {
            Ok(_) => panic!("{text:?} is no such value"),
            Err(failure) => failure.message().to_owned(),
        }
    }

    #[test]
    fn what_is_no_message_is_an_error_without_its_text() {
        for (text, part) in [
            ("", "half a JSON value"),
            ("{\"backend\":\"redis://:hunter2@h\"", "half a JSON value"),
            ("hunter2", "no JSON"),
            ("{\"backend\":\"hunter2\"}", "does not belong here"),
            ("\"hunter2\"", "does not belong here"),
            (
                "{\"backend\":1,\"name\":\"hunter2\",\"timing\":\"hunter2\"}",
                "does not belong here",
            ),
        ] {
            let said = words::<NodeOrder>(text);
            assert!(said.contains(part) && !said.contains("hunter2"), "{text}: {said}");
        }
        for text in [
            "{\"let_in\":-1}",
            "{\"let_in\":1.5}",
            "\"dance\"",
            "{\"stage\":\"sleep\"}",
        ] {
            assert!(words::<Ask>(text).contains("does not belong here"), "{text}");
        }
        let timing = "{\"backend\":\"memory:\",\"name\":\"a\",\"timing\":{\"heartbeat\":0,\"lease\":0}}";
        assert!(words::<NodeOrder>(timing).contains("does not belong here"));
        let address = "{\"node\":\"not an address\"}";
        assert!(words::<Ask>(address).contains("does not belong here"));
    }

    #[test]
    fn what_is_said_is_understood() {
        for ask in [
            Ask::Node(Address::new("127.0.0.1:1").unwrap()),
            Ask::LetIn(7),
            Ask::Stage(Stage::Race),
            Ask::Condemn(Vec::new()),
            Ask::Collect,
        ] {
            assert_eq!(parse::<Ask>(&line(&ask).unwrap()).unwrap(), ask);
        }
        let seen = Answer::Seen(Seen {
            trouble: "a\nb".to_owned(),
            ..Seen::default()
        });
        let text = line(&seen).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(parse::<Answer>(&text).unwrap(), seen);
        let order = NodeOrder {
            backend: "memory:".to_owned(),
            name: "node-1".to_owned(),
            timing: Timing::relaxed(),
        };
        let read: NodeOrder = parse(&line(&order).unwrap()).unwrap();
        assert_eq!((read.name.as_str(), read.timing), ("node-1", Timing::relaxed()));
    }
}
