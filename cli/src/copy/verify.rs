//! Comparing one session of the source with what the target has.

use ringhold::{SessionId, SessionRecord, SessionStore};

use super::{Came, stopped, write};
use crate::exit::Failure;

/// What a comparison came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same on both sides.
    Same,
    /// The source is no longer what was copied.
    Changed(&'static str),
    /// The target is not what was copied.
    Differs(String),
}

/// Compares `source`, as it stands now, with the target; `came` is what it was when it was copied.
pub(super) async fn session(
    to: &dyn SessionStore,
    source: &SessionRecord,
    came: Option<Came>,
) -> Result<(SessionId, Verdict), Failure> {
    let verdict = match came {
        None => Verdict::Changed("it was made since the copy began"),
        Some(came) if came != Came::from(source) => {
            Verdict::Changed("it was written or taken over since it was copied")
        }
        Some(_) => match to.get(&source.id).await {
            Ok(Some(target)) => compare(source, &target),
            Ok(None) => Verdict::Differs("it is no longer there: it ended, or its time was up".to_owned()),
            Err(error) if error.is_retryable() => return Err(stopped(error, "reading the target")),
            Err(error) => Verdict::Differs(format!("it cannot be read there: {error}")),
        },
    };
    Ok((source.id, verdict))
}

fn compare(source: &SessionRecord, target: &SessionRecord) -> Verdict {
    let fields = [
        ("player", source.player == target.player),
        ("owner", source.owner == target.owner),
        ("version", source.version == target.version),
        ("time to live", source.ttl == target.ttl),
        ("data", source.data == target.data),
    ];
    let differ: Vec<&str> = fields
        .iter()
        .filter(|(_, same)| !same)
        .map(|(name, _)| *name)
        .collect();
    if differ.is_empty() {
        return Verdict::Same;
    }
    let is_copy = target.fence == write::fence(source.fence);
    let why = if is_copy && target.version < source.version {
        "an earlier copy stands there, and the source has gone on since"
    } else if is_copy {
        "the copy has been written there since"
    } else {
        "the target's fleet has taken it over"
    };
    Verdict::Differs(format!("{} differ: {why}", differ.join(", ")))
}
