//! From what a server says to what a caller can do about it.

use ringhold_core::{Error, ErrorKind};

use crate::acl::least_acl;
use crate::client::ServerError;
use crate::supervisor::Address;

/// What the supervisor does about an error that a server answered.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The slot lives there now.
    Moved(Address),
    /// This one time, ask there.
    Ask(Address),
    /// The server does not know the script.
    NoScript,
    /// It passes: try again.
    Again(Error),
    /// It passes once the topology is known anew: try again then.
    Stale(Error),
    /// The server is a replica: drop its connections and connect again, maybe to another server at this address.
    Demoted(Error),
    /// The server serves nobody at the moment: wait until it does, or another one has its slots.
    Down(Error),
    /// No retry helps.
    Final(Error),
}

/// One row: the code, the kind, what to do about it, and the words.
struct Row {
    code: &'static str,
    kind: ErrorKind,
    action: Action,
    words: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Again,
    Demoted,
    Down,
    Final,
}

const fn row(code: &'static str, kind: ErrorKind, action: Action, words: &'static str) -> Row {
    Row {
        code,
        kind,
        action,
        words,
    }
}

const ROWS: &[Row] = &[
    row(
        "TRYAGAIN",
        ErrorKind::Unavailable,
        Action::Again,
        "the slot is being moved",
    ),
    row(
        "CLUSTERDOWN",
        ErrorKind::Unavailable,
        Action::Down,
        "the cluster does not serve this slot; look at `CLUSTER INFO`",
    ),
    row(
        "LOADING",
        ErrorKind::Unavailable,
        Action::Down,
        "the server is loading its data",
    ),
    row(
        "MASTERDOWN",
        ErrorKind::Unavailable,
        Action::Down,
        "the server is a replica without its master",
    ),
    row(
        "READONLY",
        ErrorKind::Unavailable,
        Action::Demoted,
        "the server is a replica; name the master, or use redis-cluster://",
    ),
    row(
        "BUSY",
        ErrorKind::Unavailable,
        Action::Again,
        "a script of somebody else keeps the server busy",
    ),
    row(
        "UNBLOCKED",
        ErrorKind::Unavailable,
        Action::Demoted,
        "the server has become a replica",
    ),
    row(
        "NOREPLICAS",
        ErrorKind::Unavailable,
        Action::Again,
        "fewer replicas are online than min-replicas-to-write asks for",
    ),
    row(
        "MISCONF",
        ErrorKind::Unavailable,
        Action::Again,
        "the server cannot write its files; look at its disk and its log",
    ),
    row(
        "OOM",
        ErrorKind::Overloaded,
        Action::Final,
        "the server is out of memory; raise maxmemory, or add masters",
    ),
    row(
        "NOAUTH",
        ErrorKind::InvalidArgument,
        Action::Final,
        "the server asks for a password; write redis://user:password@host",
    ),
    row(
        "WRONGPASS",
        ErrorKind::InvalidArgument,
        Action::Final,
        "the server refuses this user or password",
    ),
    row(
        "NOPERM",
        ErrorKind::InvalidArgument,
        Action::Final,
        concat!("the user may not do this; it needs `", least_acl!(), "`"),
    ),
    row(
        "WRONGTYPE",
        ErrorKind::Corrupt,
        Action::Final,
        "a key of this fleet is of another type; something else uses it",
    ),
    row(
        "CROSSSLOT",
        ErrorKind::Corrupt,
        Action::Final,
        "the keys of one partition are in several slots; this is not the fleet's schema",
    ),
    row(
        "RINGHOLD_CORRUPT",
        ErrorKind::Corrupt,
        Action::Final,
        "what is stored cannot be read",
    ),
    row(
        "RINGHOLD_LOST",
        ErrorKind::Unavailable,
        Action::Again,
        "a key of this partition is lost and has to be rebuilt first",
    ),
    row(
        "RINGHOLD_REBUILT",
        ErrorKind::Unavailable,
        Action::Again,
        "a key of this partition was lost and is rebuilt",
    ),
    row(
        "RINGHOLD_FORMAT",
        ErrorKind::Unsupported,
        Action::Final,
        "a record is of a newer format; use a build that knows it",
    ),
];

/// How much of a server's own words is repeated.
const WORDS_MAX: usize = 200;

/// Judges what `asked` answered.
pub(crate) fn judge(operation: &'static str, error: &ServerError, asked: &Address) -> Verdict {
    match error.code.as_str() {
        "MOVED" | "ASK" => {
            let address = error
                .detail
                .split_once(' ')
                .and_then(|(_, address)| Address::parse(address, asked));
            return match address {
                Some(address) if error.code == "MOVED" => Verdict::Moved(address),
                Some(address) => Verdict::Ask(address),
                None => Verdict::Stale(told(
                    operation,
                    ErrorKind::Unavailable,
                    "a redirect to nowhere",
                    error,
                    asked,
                )),
            };
        }
        "NOSCRIPT" => return Verdict::NoScript,
        // The first command of a new connection is told so.
        "ERR" if error.is_of_full_server() => {
            let words = "all places of the server are taken; raise maxclients";
            return Verdict::Again(told(operation, ErrorKind::Unavailable, words, error, asked));
        }
        _ => {}
    }
    let Some(row) = ROWS.iter().find(|row| row.code == error.code) else {
        // An unknown refusal may be of a kind that passes, but nothing says so.
        let words = "the server refuses the request";
        let error = told(operation, ErrorKind::Unavailable, words, error, asked);
        return Verdict::Final(error.with_retryable(false));
    };
    let told = told(operation, row.kind, row.words, error, asked);
    match row.action {
        Action::Again => Verdict::Again(told),
        Action::Demoted => Verdict::Demoted(told),
        Action::Down => Verdict::Down(told),
        Action::Final => Verdict::Final(told),
    }
}

fn told(
    operation: &'static str,
    kind: ErrorKind,
    words: &str,
    error: &ServerError,
    asked: &Address,
) -> Error {
    let said: String = [error.code.as_str(), error.detail.as_str()]
        .join(" ")
        .chars()
        .take(WORDS_MAX)
        .flat_map(char::escape_default)
        .collect();
    Error::new(kind, operation, format!("{words} ({asked}: {})", said.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(line: &str) -> Verdict {
        judge("test", &ServerError::parse(line), &Address::new("h", 1))
    }

    #[test]
    fn redirects_name_an_address() {
        assert!(
            matches!(verdict("MOVED 8 10.0.0.2:7000"), Verdict::Moved(a) if a.to_string() == "10.0.0.2:7000")
        );
        assert!(matches!(verdict("MOVED 8 :7000"), Verdict::Moved(a) if a.to_string() == "h:7000"));
        assert!(matches!(verdict("ASK 8 10.0.0.2:7000"), Verdict::Ask(_)));
        assert!(matches!(
            verdict("NOSCRIPT No matching script."),
            Verdict::NoScript
        ));
        for nowhere in ["MOVED", "MOVED 8", "MOVED 8 h:0", "ASK 8 h:66666"] {
            assert!(matches!(verdict(nowhere), Verdict::Stale(_)), "{nowhere}");
        }
    }

    #[test]
    fn every_row_says_what_to_do() {
        for row in ROWS {
            let line = format!("{} by the server", row.code);
            let (error, retried) = match verdict(&line) {
                Verdict::Again(error) | Verdict::Demoted(error) | Verdict::Down(error) => (error, true),
                Verdict::Final(error) => (error, false),
                other => panic!("{line}: {other:?}"),
            };
            assert_eq!(
                (error.kind(), retried),
                (row.kind, row.action != Action::Final),
                "{line}"
            );
            assert!(error.context().starts_with(row.words), "{error}");
        }
    }

    #[test]
    fn a_server_whose_places_are_taken_is_asked_again() {
        let Verdict::Again(error) = verdict("ERR max number of clients reached") else {
            panic!("places become free");
        };
        assert!(
            error.is_retryable() && error.context().contains("maxclients"),
            "{error}"
        );
    }

    #[test]
    fn a_servers_words_are_bounded_and_escaped() {
        let Verdict::Final(error) = verdict(&format!("ERR \u{1b}[2J{}", "x".repeat(10_000))) else {
            panic!("unknown errors are final");
        };
        assert!(!error.is_retryable() && error.context().len() < 400);
        assert!(!error.context().contains('\u{1b}'), "{error}");
    }
}
