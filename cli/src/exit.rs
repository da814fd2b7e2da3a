//! How a command ends: exit codes, and failures that say what to do.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use ringhold::ErrorKind;
use serde_json::json;

/// The exit codes, as `exit-codes.txt` and `--help` tell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: the answer is no.
    No,
    /// 2: the command line or the URL cannot work.
    Usage,
    /// 3: this backend or this build cannot do it.
    Unsupported,
    /// 4: the backend or a node cannot be reached, has no room, or did not answer in time.
    Unavailable,
    /// 5: anything else went wrong.
    Failed,
    /// 130: ended by ctrl-c.
    Interrupted,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unsupported => 3,
            Self::Unavailable => 4,
            Self::Failed => 5,
            Self::Interrupted => 130,
        }
    }

    /// What a number means that a process of this program ended with.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::No,
            2 => Self::Usage,
            3 => Self::Unsupported,
            4 => Self::Unavailable,
            5 => Self::Failed,
            130 => Self::Interrupted,
            _ => return None,
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not succeed, in words for a person and a word for a program.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    kind: &'static str,
    message: String,
    causes: Vec<String>,
}

impl Failure {
    fn new(exit: Exit, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind,
            message: message.into(),
            causes: Vec::new(),
        }
    }

    /// What was asked for is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::No, "not_found", message)
    }

    /// The demo lost something, or moved somebody without need.
    pub fn loss(message: impl Into<String>) -> Self {
        Self::new(Exit::No, "loss", message)
    }

    /// A copy is not what was copied.
    pub fn differs(message: impl Into<String>) -> Self {
        Self::new(Exit::No, "differs", message)
    }

    /// Faults are left among what is stored.
    pub fn faults(message: impl Into<String>) -> Self {
        Self::new(Exit::No, "faults", message)
    }

    /// The arguments cannot work.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "invalid_argument", message)
    }

    /// This backend or build cannot do it.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Exit::Unsupported, "unsupported", message)
    }

    /// Something does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, "unavailable", message)
    }

    /// There is no room.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, "overloaded", message)
    }

    /// Something was waited for in vain: what, how long, and what was seen last.
    pub fn timeout(what: &str, limit: Duration, seen: impl fmt::Display) -> Self {
        let message = format!("waited {limit:?} for {what}; last seen: {seen}");
        Self::new(Exit::Unavailable, "timeout", message)
    }

    /// Anything else.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", message)
    }

    /// A child process of this program ended so, and what it said.
    pub(crate) fn of_child(exit: Exit, message: impl Into<String>) -> Self {
        let kind = match exit {
            Exit::Usage => "invalid_argument",
            Exit::Unsupported => "unsupported",
            Exit::Unavailable => "unavailable",
            Exit::Done | Exit::No | Exit::Failed | Exit::Interrupted => "failed",
        };
        Self::new(exit, kind, message)
    }

    /// Ctrl-c.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted")
    }

    /// The same failure with words in front that say what was going on.
    #[must_use]
    pub fn during(mut self, doing: &str) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// The same failure with words behind that say what to do.
    #[must_use]
    pub(crate) fn advising(mut self, advice: &str) -> Self {
        self.message = format!("{}; {advice}", self.message);
        self
    }

    /// The exit code.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Writes it to standard error, for a person or as one JSON line. Silent where nobody reads on.
    pub fn report(&self, as_json: bool) {
        if self.exit == Exit::Done {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = if as_json {
            let error = json!({
                "kind": self.kind, "message": self.message, "causes": self.causes, "exit": self.exit.code(),
            });
            writeln!(stderr, "{}", json!({ "error": error }))
        } else {
            writeln!(stderr, "{self}")
        };
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ringhold: {}", self.message)?;
        self.causes
            .iter()
            .try_for_each(|cause| write!(f, "\n  because: {cause}"))
    }
}

impl From<ringhold::Error> for Failure {
    fn from(error: ringhold::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::NotFound => Exit::No,
            ErrorKind::InvalidArgument | ErrorKind::TooLarge => Exit::Usage,
            ErrorKind::Unsupported => Exit::Unsupported,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Overloaded => Exit::Unavailable,
            _ => Exit::Failed,
        };
        let mut failure = Self::new(exit, error.kind().as_str(), error.to_string());
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure
    }
}

impl From<io::Error> for Failure {
    /// A closed pipe is an end, not a failure: whoever reads has read enough.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, "closed", "the reader went away"),
            _ => Self::failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold::Error;

    #[test]
    fn each_code_stands_in_the_table() {
        let table = include_str!("../exit-codes.txt");
        let documented: Vec<u8> = table
            .lines()
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        let all = [
            Exit::Done,
            Exit::No,
            Exit::Usage,
            Exit::Unsupported,
            Exit::Unavailable,
            Exit::Failed,
            Exit::Interrupted,
        ];
        assert_eq!(documented, all.map(Exit::code));
        assert_eq!(all.map(|exit| Exit::from_code(exit.code())), all.map(Some));
        assert_eq!(Exit::from_code(101), None);
    }

    #[test]
    fn kinds_become_codes_and_causes_are_kept() {
        let exit = |kind| Failure::from(Error::new(kind, "open", "x")).exit();
        assert_eq!(exit(ErrorKind::InvalidArgument), Exit::Usage);
        assert_eq!(exit(ErrorKind::Unsupported), Exit::Unsupported);
        assert_eq!(exit(ErrorKind::Timeout), Exit::Unavailable);
        assert_eq!(exit(ErrorKind::Corrupt), Exit::Failed);
        let cause = Error::new(ErrorKind::Timeout, "ping", "silent");
        let failure =
            Failure::from(Error::new(ErrorKind::Unavailable, "open", "no answer").with_source(cause));
        assert_eq!(
            failure.to_string(),
            "ringhold: open: unavailable: no answer\n  because: ping: timeout: silent"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(
            Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit(),
            Exit::Done
        );
        assert_eq!(
            Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit(),
            Exit::Failed
        );
    }
}
