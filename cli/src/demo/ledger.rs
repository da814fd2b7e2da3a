//! What a player knows for sure, and what a server tells: the difference is what was lost.

use ringhold::SessionId;
use serde::{Deserialize, Serialize};

use super::protocol::{Position, Step};

/// What the servers acknowledged to one player.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Its session; `None` before the first login.
    pub(crate) session: Option<SessionId>,
    /// Where the last acknowledged move led, and the version of that.
    pub(crate) acknowledged: (Position, u64),
    /// A move that was sent and not acknowledged: it may have been stored or not.
    pub(crate) in_flight: Option<Step>,
}

/// What is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The session is another one.
    pub(crate) session: bool,
    /// So many acknowledged moves are gone.
    pub(crate) saves: u64,
}

impl Ledger {
    /// Compares what is told, at a login or by the store, with what was acknowledged.
    ///
    /// Right is the acknowledged state, and also the one after the move that is in flight. Anything
    /// else has lost at least one acknowledged move.
    pub(crate) fn compare(&self, session: SessionId, position: Position, version: u64) -> Loss {
        let (known, acknowledged) = self.acknowledged;
        let Some(own) = self.session else {
            return Loss::default();
        };
        let stands = (position, version) == (known, acknowledged);
        let landed = self
            .in_flight
            .is_some_and(|step| (position, version) == (known.after(step), acknowledged + 1));
        // A session starts at version 1, before any move.
        let lost = match own == session {
            true if stands || landed => 0,
            true => acknowledged.saturating_sub(version).max(1),
            false => acknowledged.saturating_sub(1),
        };
        Loss {
            session: own != session,
            saves: lost,
        }
    }

    /// Takes over what a server told at a login, and answers what that says was lost.
    pub(crate) fn resume(&mut self, session: SessionId, position: Position, version: u64) -> Loss {
        let loss = self.compare(session, position, version);
        *self = Self {
            session: Some(session),
            acknowledged: (position, version),
            in_flight: None,
        };
        loss
    }

    /// Notes an acknowledgement of the move in flight, and answers whether it fits.
    pub(crate) fn acknowledge(&mut self, position: Position, version: u64) -> bool {
        let (known, acknowledged) = self.acknowledged;
        let step = self.in_flight.take();
        self.acknowledged = (position, version);
        step.is_some_and(|step| position == known.after(step)) && version == acknowledged + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold::Partition;

    fn id(seed: u8) -> SessionId {
        SessionId::new(Partition::new(1).unwrap(), [seed; 16])
    }

    fn at(x: i64) -> Position {
        Position { x, y: 0 }
    }

    fn ledger(in_flight: Option<Step>) -> Ledger {
        Ledger {
            session: Some(id(1)),
            acknowledged: (at(5), 6),
            in_flight,
        }
    }

    #[test]
    fn a_first_login_loses_nothing() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.resume(id(1), at(0), 1), Loss::default());
        assert_eq!(ledger.session, Some(id(1)));
    }

    #[test]
    fn the_acknowledged_and_the_move_in_flight_are_right() {
        let step = Step { dx: 1, dy: 0 };
        assert_eq!(ledger(None).compare(id(1), at(5), 6), Loss::default());
        assert_eq!(ledger(Some(step)).compare(id(1), at(5), 6), Loss::default());
        assert_eq!(ledger(Some(step)).compare(id(1), at(6), 7), Loss::default());
    }

    #[test]
    fn everything_else_is_a_loss() {
        let step = Step { dx: 1, dy: 0 };
        let saves = |ledger: Ledger, x, version| ledger.compare(id(1), at(x), version).saves;
        assert_eq!(saves(ledger(None), 3, 4), 2, "two moves back");
        assert_eq!(saves(ledger(None), 4, 6), 1, "another position of this version");
        assert_eq!(saves(ledger(None), 6, 7), 1, "a move that nobody made");
        assert_eq!(saves(ledger(Some(step)), 9, 7), 1, "not the move in flight");
        assert_eq!(saves(ledger(Some(step)), 6, 8), 1, "one move too many");
        let other = ledger(None).compare(id(2), at(0), 1);
        assert_eq!(
            other,
            Loss {
                session: true,
                saves: 5
            }
        );
    }

    #[test]
    fn an_acknowledgement_is_of_the_move_in_flight() {
        let step = Step { dx: 1, dy: 0 };
        let mut good = ledger(Some(step));
        assert!(good.acknowledge(at(6), 7));
        assert_eq!(
            good,
            Ledger {
                session: Some(id(1)),
                acknowledged: (at(6), 7),
                in_flight: None
            }
        );
        assert!(!ledger(Some(step)).acknowledge(at(6), 6));
        assert!(!ledger(Some(step)).acknowledge(at(5), 7));
        assert!(!ledger(None).acknowledge(at(5), 7));
    }
}
