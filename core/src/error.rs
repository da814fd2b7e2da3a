//! The one error type of all Ringhold crates.

use std::borrow::Cow;
use std::fmt;

use crate::NodeIncarnation;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it.
///
/// A timeout of a write, like a dropped future of a write, is *ambiguous*: the write may have
/// happened. Writes are idempotent, so repeating the same request is always safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store knows nothing of the thing that was to be written.
    NotFound,
    /// The thing that was to be created is there already.
    AlreadyExists,
    /// The data was written by somebody else since it was read.
    VersionConflict,
    /// The caller no longer holds this session, or it has ended for good.
    Fenced,
    /// The node's lease has lapsed or was taken away: register again with a new incarnation.
    LeaseLost,
    /// A newer incarnation of the same node id is registered: stop, never register again.
    Superseded,
    /// A value is over its size limit.
    TooLarge,
    /// An argument, a URL or a combination of settings cannot work.
    InvalidArgument,
    /// The other side cannot be reached, or cannot serve now.
    Unavailable,
    /// No answer within the deadline. A write may have happened.
    Timeout,
    /// This backend, build or format version cannot do it.
    Unsupported,
    /// Stored or received bytes are not what they should be.
    Corrupt,
    /// Another node holds this session.
    NotOwner,
    /// A limit of load was reached: try elsewhere or later.
    Overloaded,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::NotFound,
        Self::AlreadyExists,
        Self::VersionConflict,
        Self::Fenced,
        Self::LeaseLost,
        Self::Superseded,
        Self::TooLarge,
        Self::InvalidArgument,
        Self::Unavailable,
        Self::Timeout,
        Self::Unsupported,
        Self::Corrupt,
        Self::NotOwner,
        Self::Overloaded,
    ];

    /// The kind's name in one `snake_case` word, as it stands in messages, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::VersionConflict => "version_conflict",
            Self::Fenced => "fenced",
            Self::LeaseLost => "lease_lost",
            Self::Superseded => "superseded",
            Self::TooLarge => "too_large",
            Self::InvalidArgument => "invalid_argument",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::NotOwner => "not_owner",
            Self::Overloaded => "overloaded",
        }
    }

    /// Whether the same request may succeed when it is repeated unchanged.
    const fn retryable_by_default(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout | Self::Overloaded)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of Ringhold: a kind to act on, and words for a person.
///
/// It displays as one line, `operation: kind: context`, without the source; walk
/// [`source`](std::error::Error::source) for that. Neither the message nor the source ever holds a
/// secret.
///
/// ```
/// use ringhold_core::{ErrorKind, PlayerId};
///
/// let error = PlayerId::new("").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// assert!(!error.is_retryable());
/// assert_eq!(error.to_string(), "player id: invalid_argument: is empty; it takes 1 to 128 bytes of UTF-8");
/// ```
pub struct Error {
    // One pointer wide, so that `Result<T, Error>` stays small on the paths that succeed.
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    retryable: bool,
    recovering: bool,
    operation: &'static str,
    context: Cow<'static, str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` in `operation`, with words that say what was wrong and what to do.
    pub fn new(kind: ErrorKind, operation: &'static str, context: impl Into<Cow<'static, str>>) -> Self {
        let inner = Inner {
            kind,
            retryable: kind.retryable_by_default(),
            recovering: false,
            operation,
            context: context.into(),
            source: None,
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error, marked as worth repeating or not, where the kind alone says it wrongly.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.inner.retryable = retryable;
        self
    }

    /// `Unavailable`: the store lost sessions and waits for their owners to restore them.
    pub fn recovering(operation: &'static str, context: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(ErrorKind::Unavailable, operation, context);
        error.inner.recovering = true;
        error
    }

    /// `NotOwner`, with the node that holds the session, where that is known.
    pub fn not_owner(operation: &'static str, owner: Option<NodeIncarnation>) -> Self {
        if let Some(owner) = owner {
            let context = format!("{owner} holds this player");
            Self::new(ErrorKind::NotOwner, operation, context).with_source(Owner(owner))
        } else {
            let context = "this node does not hold this player";
            Self::new(ErrorKind::NotOwner, operation, context)
        }
    }

    /// The node that holds the session, where it is known: of `NotOwner`.
    pub fn owner(&self) -> Option<&NodeIncarnation> {
        let source = self.inner.source.as_deref()?;
        source.downcast_ref().map(|Owner(owner)| owner)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the same request may succeed when it is repeated unchanged.
    pub fn is_retryable(&self) -> bool {
        self.inner.retryable
    }

    /// Whether the operation waits for an owner that restores a session: of [`recovering`](Self::recovering).
    pub fn is_recovering(&self) -> bool {
        self.inner.recovering
    }

    /// The operation that failed, in a few words.
    pub fn operation(&self) -> &'static str {
        self.inner.operation
    }

    /// What was wrong with it, and what to do.
    pub fn context(&self) -> &str {
        &self.inner.context
    }
}

/// Who holds it instead.
#[derive(Debug)]
struct Owner(NodeIncarnation);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the owner is {}", self.0)
    }
}

impl std::error::Error for Owner {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            context,
            ..
        } = &*self.inner;
        write!(f, "{operation}: {kind}: {context}")
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("retryable", &self.inner.retryable)
            .field("operation", &self.inner.operation)
            .field("context", &self.inner.context)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn display_is_one_line_and_the_source_is_kept() {
        let error = Error::new(ErrorKind::Unavailable, "open", "no answer").with_source("refused");
        assert_eq!(error.to_string(), "open: unavailable: no answer");
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("refused")
        );
        assert!(error.is_retryable());
        assert!(!error.with_retryable(false).is_retryable());
    }

    #[test]
    fn only_the_error_of_a_recovery_is_recovering() {
        let error = Error::recovering("create", "its owner may restore it");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_retryable() && error.is_recovering());
        assert!(!Error::new(ErrorKind::Unavailable, "create", "no answer").is_recovering());
    }

    #[test]
    fn a_result_costs_no_more_than_a_pointer() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn repeating_helps_against_these_alone() {
        let repeatable = |kind: &&ErrorKind| Error::new(**kind, "x", "y").is_retryable();
        let kinds: Vec<_> = ErrorKind::ALL.iter().filter(repeatable).collect();
        assert_eq!(
            kinds,
            [
                &ErrorKind::Unavailable,
                &ErrorKind::Timeout,
                &ErrorKind::Overloaded
            ]
        );
    }

    #[test]
    fn its_parts_are_answered_and_shown() {
        let error = Error::new(ErrorKind::Corrupt, "read", "it is short").with_source("why");
        assert_eq!((error.operation(), error.context()), ("read", "it is short"));
        let shown = format!("{error:?}");
        for part in [
            "Corrupt",
            "retryable: false",
            "\"read\"",
            "\"it is short\"",
            "\"why\"",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn not_owner_names_the_owner_where_it_is_known() {
        let nonce = crate::Nonce::from_bytes([1; 16]);
        let node = crate::NodeId::new("eu-1").unwrap();
        let owner = NodeIncarnation::new(node, crate::Incarnation { number: 7, nonce });
        let error = Error::not_owner("save", Some(owner.clone()));
        assert_eq!((error.kind(), error.owner()), (ErrorKind::NotOwner, Some(&owner)));
        assert_eq!(error.to_string(), "save: not_owner: eu-1#7 holds this player");
        let source = error.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("the owner is eu-1#7"));
        let error = Error::not_owner("save", None);
        assert_eq!((error.kind(), error.owner()), (ErrorKind::NotOwner, None));
    }
}
