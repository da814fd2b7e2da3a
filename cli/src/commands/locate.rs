//! `ringhold locate PLAYER`: who holds this player now, asked of the store.

use ringhold::{Observer, PlayerId};
use serde::Serialize;

use super::sessions::SessionRow;
use crate::exit::Failure;
use crate::output::{Output, shown};

/// Where a player is.
#[derive(Debug, Serialize)]
pub struct Place {
    /// The live session.
    #[serde(flatten)]
    pub session: SessionRow,
    /// Where clients reach the node that holds it.
    pub address: Option<String>,
}

/// Prints where the player is.
///
/// # Errors
/// `No` when the player has no live session; those of the store.
pub async fn run(observer: &Observer, player: &PlayerId, output: &mut Output<'_>) -> Result<(), Failure> {
    let Some(located) = observer.locate(player).await? else {
        return Err(Failure::not_found(format!(
            "no live session of the player {player:?}"
        )));
    };
    let record = located.node.as_ref();
    let place = Place {
        session: SessionRow::new(&located.session, record.is_some()),
        address: record
            .and_then(|record| record.endpoint("player"))
            .map(ToString::to_string),
    };
    output.show(&place, words)
}

fn words(place: &Place) -> String {
    let SessionRow {
        player,
        node,
        incarnation,
        owner_live,
        ..
    } = &place.session;
    let player = shown(player);
    match (owner_live, &place.address) {
        (true, Some(address)) => format!("{player} is on {node}#{incarnation} at {address}"),
        (true, None) => format!("{player} is on {node}#{incarnation}, which names no player endpoint"),
        (false, _) => {
            format!(
                "{player} was on {node}#{incarnation}, which has left: whoever gets the next login claims it"
            )
        }
    }
}
