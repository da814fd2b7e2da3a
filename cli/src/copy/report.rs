//! What came of a copy.

use ringhold::core::session::UnreadableSession;
use ringhold::{Backend, Error, SessionId};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{counted, grouped};

/// One side of a copy. Its URL may hold a password and is not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The scheme of the backend.
    pub backend: &'static str,
    /// The fleet in it.
    pub fleet: String,
}

impl Place {
    pub(super) fn of(backend: &Backend) -> Self {
        Self {
            backend: backend.scheme,
            fleet: backend.fleet.to_string(),
        }
    }
}

/// Why one session is not on both sides the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its id.
    pub session: String,
    /// What kind of thing happened.
    pub problem: ProblemKind,
    /// The same in words.
    pub message: String,
}

/// What can happen to one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The source cannot read it.
    Unreadable,
    /// The target did not take it.
    Refused,
    /// The source changed while it was copied.
    Changed,
    /// The target has something else.
    Differs,
}

impl ProblemKind {
    /// The word that stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::Changed => "changed",
            Self::Differs => "differs",
        }
    }
}

impl Problem {
    fn new(id: SessionId, problem: ProblemKind, message: impl Into<String>) -> Self {
        Self {
            session: id.to_string(),
            problem,
            message: message.into(),
        }
    }

    pub(super) fn unreadable(unreadable: &UnreadableSession) -> Self {
        Self::new(unreadable.id, ProblemKind::Unreadable, unreadable.context.clone())
    }

    pub(super) fn refused(id: SessionId, error: &Error) -> Self {
        Self::new(id, ProblemKind::Refused, error.to_string())
    }

    pub(super) fn changed(id: SessionId, how: &str) -> Self {
        Self::new(id, ProblemKind::Changed, how)
    }

    pub(super) fn differs(id: SessionId, how: String) -> Self {
        Self::new(id, ProblemKind::Differs, how)
    }
}

/// What came of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Where the sessions are from.
    pub from: Place,
    /// Where they went.
    pub to: Place,
    /// Live sessions that were read at the source.
    pub sessions: u64,
    /// Sessions that stand at the target, also by an earlier copy.
    pub copied: u64,
    /// The bytes of their data.
    pub data_bytes: u64,
    /// Sessions that the target did not take.
    pub refused: u64,
    /// Sessions that the source cannot read.
    pub unreadable: u64,
    /// Sessions that were read again on both sides, and are the same.
    pub verified: u64,
    /// Sessions whose source was made, written, taken over or ended meanwhile.
    pub changed: u64,
    /// Sessions that are not at the target what they are at the source.
    pub differs: u64,
    /// Live sessions of the source after the copy, as its store counts them.
    pub counted: u64,
    /// Live sessions of the target after the copy, as its store counts them; its own ones included.
    pub counted_at_target: u64,
    /// Sessions in whose number the source's count and its listing differ.
    pub unlisted: u64,
    /// Partitions in which the source or the target got or lost sessions during the copy, other than by the copy.
    pub partitions_changed: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Whether everything is on both sides the same.
    pub ok: bool,
    /// What stopped it, where something did.
    pub error: Option<String>,
}

impl Report {
    pub(super) fn new(from: Place, to: Place) -> Self {
        Self {
            from,
            to,
            sessions: 0,
            copied: 0,
            data_bytes: 0,
            refused: 0,
            unreadable: 0,
            verified: 0,
            changed: 0,
            differs: 0,
            counted: 0,
            counted_at_target: 0,
            unlisted: 0,
            partitions_changed: 0,
            took_ms: 0,
            ok: false,
            error: None,
        }
    }

    /// How many sessions have been compared.
    pub(super) const fn compared(&self) -> u64 {
        self.verified + self.changed + self.differs
    }

    /// `No` unless everything is the same.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        let advice = [
            (
                self.unreadable,
                "unreadable at the source",
                "they stay where they are",
            ),
            (
                self.refused,
                "refused by the target",
                "end what stands in their way there with `ringhold sessions remove`, wait a minute, and copy again",
            ),
            (
                self.changed,
                "changed at the source meanwhile",
                "stop its fleet first, and copy again",
            ),
            (
                self.differs,
                "different at the target",
                "let its fleet start after the copy; to copy one anew, end it there and wait a minute",
            ),
            (
                self.unlisted,
                "counted by the source and not in its listing",
                "the copy is not complete; do not switch to it, look at the source's servers and report this",
            ),
            (
                self.partitions_changed,
                "partitions got or lost sessions during the copy",
                "a fleet changed or sessions expired there; stop the fleets of both sides, and copy again",
            ),
        ];
        let wrong: Vec<String> = advice
            .iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, what, advice)| format!("{} {what}: {advice}", grouped(*count)))
            .collect();
        if wrong.is_empty() && self.verified == self.copied {
            return Ok(());
        }
        Err(Failure::differs(format!(
            "not everything is the same on both sides: {}",
            wrong.join("; ")
        )))
    }

    /// The report for people.
    pub fn words(&self) -> String {
        let place = |place: &Place| format!("{}: fleet {}", place.backend, place.fleet);
        format!(
            "{} to {}: {} copied, {} of data, {} verified, in {:.1} s",
            place(&self.from),
            place(&self.to),
            counted(self.copied, "session"),
            counted(self.data_bytes, "byte"),
            grouped(self.verified),
            f64::from(u32::try_from(self.took_ms).unwrap_or(u32::MAX)) / 1_000.0,
        )
    }
}
