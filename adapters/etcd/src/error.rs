//! From what etcd or the way to it says to what a caller can do about it.

use std::error::Error as _;

use etcd_client::Error as ClientError;
use ringhold_core::{Error, ErrorKind};
use tonic::{Code, Status};

use crate::config::Address;

/// What the supervisor does about a request that failed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It passes: try again.
    Again(Error),
    /// This member does not serve: leave it out until it does, and try again.
    Down(Error),
    /// No retry helps.
    Final(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Again,
    Down,
    Final,
}

/// One row: what etcd's own message contains, the kind, what to do about it, and the words.
struct Row {
    message: &'static str,
    kind: ErrorKind,
    action: Action,
    words: &'static str,
}

const fn row(message: &'static str, kind: ErrorKind, action: Action, words: &'static str) -> Row {
    Row {
        message,
        kind,
        action,
        words,
    }
}

const ROWS: &[Row] = &[
    row(
        "no leader",
        ErrorKind::Unavailable,
        Action::Down,
        "the member knows no leader; look at `etcdctl endpoint status`",
    ),
    row(
        "leader changed",
        ErrorKind::Unavailable,
        Action::Again,
        "another member has become the leader",
    ),
    row(
        "not leader",
        ErrorKind::Unavailable,
        Action::Again,
        "another member has become the leader",
    ),
    row(
        "request timed out",
        ErrorKind::Timeout,
        Action::Down,
        "the members did not agree in time",
    ),
    row(
        "server stopped",
        ErrorKind::Unavailable,
        Action::Down,
        "the member is stopping",
    ),
    row(
        "unhealthy cluster",
        ErrorKind::Unavailable,
        Action::Down,
        "too few members are healthy",
    ),
    row(
        "not capable",
        ErrorKind::Unavailable,
        Action::Down,
        "the member has not joined yet",
    ),
    row(
        "learner",
        ErrorKind::Unavailable,
        Action::Down,
        "the member is a learner, which serves nobody",
    ),
    row(
        "too many requests",
        ErrorKind::Overloaded,
        Action::Again,
        "etcd has more requests than it can apply",
    ),
    row(
        "revision has been compacted",
        ErrorKind::Unavailable,
        Action::Again,
        "what was read has been compacted meanwhile",
    ),
    row(
        "invalid auth token",
        ErrorKind::Unavailable,
        Action::Down,
        "the token has expired; another one is asked for",
    ),
    row(
        "revision of auth store is old",
        ErrorKind::Unavailable,
        Action::Down,
        "users or roles have changed; another token is asked for",
    ),
    row(
        "revision in header is old",
        ErrorKind::Unavailable,
        Action::Down,
        "users or roles have changed; another token is asked for",
    ),
    row(
        "database space exceeded",
        ErrorKind::Overloaded,
        Action::Final,
        "etcd is full: compact, defragment, disarm the alarm; and turn auto-compaction on",
    ),
    row(
        "request is too large",
        ErrorKind::TooLarge,
        Action::Final,
        "the request is larger than etcd's max-request-bytes",
    ),
    row(
        "too many operations",
        ErrorKind::Unsupported,
        Action::Final,
        "etcd's max-txn-ops is below its default of 128",
    ),
    row(
        "authentication failed",
        ErrorKind::InvalidArgument,
        Action::Final,
        "etcd refuses this user or password",
    ),
    row(
        "user name is empty",
        ErrorKind::InvalidArgument,
        Action::Final,
        "etcd asks for a user; write etcd://user:password@host",
    ),
    row(
        "user name not found",
        ErrorKind::InvalidArgument,
        Action::Final,
        "etcd does not know this user",
    ),
    row(
        "authentication is not enabled",
        ErrorKind::InvalidArgument,
        Action::Final,
        "etcd asks for no user; take it out of the URL",
    ),
    row(
        "permission denied",
        ErrorKind::InvalidArgument,
        Action::Final,
        "the user may not do this; its role needs `readwrite --prefix /ringhold/`",
    ),
    row(
        "corrupt",
        ErrorKind::Corrupt,
        Action::Final,
        "etcd says that its own data is corrupt; look at `etcdctl alarm list`",
    ),
    row(
        "decoded message length too large",
        ErrorKind::TooLarge,
        Action::Final,
        "etcd's answer is larger than what sessions of this fleet can come to",
    ),
];

/// How much of another side's own words is repeated.
const WORDS_MAX: usize = 200;

/// Judges what `asked` answered, or why it did not.
pub(crate) fn judge(operation: &'static str, error: &ClientError, asked: &Address) -> Verdict {
    match error {
        ClientError::GRpcStatus(status) => judge_status(operation, status, asked),
        ClientError::TransportError(error) => unreachable(operation, asked, error),
        ClientError::IoError(error) => unreachable(operation, asked, error),
        // What is left is about arguments that this adapter makes itself, or a stream that has ended.
        other => {
            let context = format!("{asked} cannot be asked: {}", shown(&other.to_string()));
            Verdict::Down(Error::new(ErrorKind::Unavailable, operation, context))
        }
    }
}

fn judge_status(operation: &'static str, status: &Status, asked: &Address) -> Verdict {
    let message = status.message();
    let told = |kind, words: &str| {
        let said = shown(message);
        Error::new(kind, operation, format!("{words} ({asked}: {said})"))
    };
    if let Some(row) = ROWS.iter().find(|row| message.contains(row.message)) {
        let error = told(row.kind, row.words);
        return match row.action {
            Action::Again => Verdict::Again(error),
            Action::Down => Verdict::Down(error),
            // It may pass, but not soon, and not by trying again at once.
            Action::Final => Verdict::Final(error),
        };
    }
    match (status.code(), status.source()) {
        // Not etcd but the way to it.
        (_, Some(source)) => unreachable(operation, asked, source),
        (Code::Unavailable | Code::Cancelled | Code::Aborted | Code::Unauthenticated, _) => {
            Verdict::Down(told(ErrorKind::Unavailable, "the member does not serve"))
        }
        (Code::DeadlineExceeded, _) => Verdict::Down(told(ErrorKind::Timeout, "no answer in time")),
        (Code::Internal | Code::Unknown, _) if !message.starts_with("etcdserver:") => {
            Verdict::Down(told(ErrorKind::Unavailable, "the connection broke"))
        }
        // An unknown refusal may be of a kind that passes, but nothing says so.
        _ => Verdict::Final(told(ErrorKind::Unavailable, "etcd refuses the request").with_retryable(false)),
    }
}

/// A member that cannot be connected to, or whose connection broke.
pub(crate) fn unreachable(
    operation: &'static str,
    asked: &Address,
    error: &(dyn std::error::Error + 'static),
) -> Verdict {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !said.ends_with(&words) {
            said = format!("{said}: {words}");
        }
        source = error.source();
    }
    let said = shown(&said);
    let context = format!("{asked} cannot be reached: {said}");
    Verdict::Down(Error::new(ErrorKind::Unavailable, operation, context))
}

/// Another side's words, bounded and without tricks.
fn shown(words: &str) -> String {
    words
        .chars()
        .take(WORDS_MAX)
        .flat_map(char::escape_default)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        crate::EtcdConfig::from_url(&url::Url::parse("etcd://h:1").unwrap())
            .unwrap()
            .endpoints[0]
            .clone()
    }

    fn verdict(code: Code, message: &str) -> Verdict {
        let error = ClientError::GRpcStatus(Status::new(code, message));
        judge("test", &error, &address())
    }

    #[test]
    fn every_row_says_what_to_do() {
        for row in ROWS {
            let (error, action) = match verdict(Code::Unknown, &format!("etcdserver: {}", row.message)) {
                Verdict::Again(error) => (error, Action::Again),
                Verdict::Down(error) => (error, Action::Down),
                Verdict::Final(error) => (error, Action::Final),
            };
            assert_eq!((error.kind(), action), (row.kind, row.action), "{error}");
            assert!(error.context().starts_with(row.words), "{error}");
        }
    }

    #[test]
    fn messages_of_a_real_etcd_find_their_rows() {
        for (code, message, kind) in [
            (
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
                ErrorKind::Timeout,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                ErrorKind::InvalidArgument,
            ),
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                ErrorKind::InvalidArgument,
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                ErrorKind::Overloaded,
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes",
                ErrorKind::TooLarge,
            ),
        ] {
            let (Verdict::Again(error) | Verdict::Down(error) | Verdict::Final(error)) =
                verdict(code, message);
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn what_no_row_names_is_judged_by_its_code() {
        assert!(matches!(verdict(Code::Unavailable, "x"), Verdict::Down(_)));
        assert!(matches!(
            verdict(Code::Internal, "h2 protocol error"),
            Verdict::Down(_)
        ));
        let Verdict::Final(error) = verdict(Code::FailedPrecondition, "etcdserver: something new") else {
            panic!("unknown refusals are final")
        };
        assert!(!error.is_retryable());
        let Verdict::Down(error) = verdict(Code::DeadlineExceeded, "") else {
            panic!("it may come back")
        };
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    #[test]
    fn words_of_others_are_bounded_and_escaped() {
        let long = format!("etcdserver: \u{1b}[2J{}", "x".repeat(10_000));
        let Verdict::Final(error) = verdict(Code::FailedPrecondition, &long) else {
            panic!("unknown refusals are final")
        };
        assert!(
            error.context().len() < 400 && !error.context().contains('\u{1b}'),
            "{error}"
        );
    }
}
