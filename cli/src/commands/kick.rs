//! `ringhold kick PLAYER`: ends a player's session, wherever it is.

use ringhold::{Kicked, Observer, PlayerId};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Output, shown};

/// A session that was ended.
#[derive(Debug, Serialize)]
pub struct KickedRow {
    /// Whose.
    pub player: String,
    /// Whether the connection was told: `false` where there is none, or where its node was not reached.
    pub told: bool,
}

/// Kicks the player.
///
/// # Errors
/// `No` when the player has no session; `Usage` for a reason that is too long; those of the store.
pub async fn run(
    observer: &Observer,
    player: &PlayerId,
    reason: &str,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let told = match observer.kick(player, reason).await? {
        Kicked::Told => true,
        Kicked::Absent => {
            return Err(Failure::not_found(format!(
                "no live session of the player {player:?}"
            )));
        }
        // Whatever else there may be: the session has ended.
        _ => false,
    };
    let row = KickedRow {
        player: player.to_string(),
        told,
    };
    output.show(&row, |row| {
        let player = shown(&row.player);
        if row.told {
            format!("ended the session of {player}, who was told")
        } else {
            format!(
                "ended the session of {player}; no connection was told: there is none, or its node does not \
                 answer and ends it at its next touch"
            )
        }
    })
}
