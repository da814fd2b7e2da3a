//! What the store says, read whole: the other side of the players' ledgers.

use std::collections::HashMap;
use std::sync::Arc;

use ringhold::core::session::{ListSessions, RemoveSession};
use ringhold::{Backend, NodeId, NodeIncarnation, OperationId, PlayerId, SessionId, SessionRecord};
use tokio::task::JoinSet;

use super::ledger::{Ledger, Loss};
use super::orders::Stopped;
use super::protocol::Position;
use crate::exit::Failure;
use crate::random;

/// Who owns which session.
pub(crate) type Owners = HashMap<SessionId, NodeIncarnation>;

/// Reads the sessions of one demo.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    backend: Backend,
    /// How the names of the demo's players begin. Others' sessions are left alone.
    tag: String,
}

const PAGE: u16 = 1_000;
/// Questions to the store at a time: one after the other, a server far away would take minutes.
const AT_ONCE: usize = 64;

impl Audit {
    /// Reads the sessions of players whose names begin with `tag`.
    pub(crate) const fn new(backend: Backend, tag: String) -> Self {
        Self { backend, tag }
    }

    async fn all(&self, mut each: impl FnMut(SessionRecord)) -> Result<(), Failure> {
        let mut request = ListSessions::all(PAGE);
        loop {
            let page = self.backend.sessions.list(request.clone()).await?;
            let own = |session: &SessionRecord| session.player.as_str().starts_with(&self.tag);
            page.sessions.into_iter().filter(own).for_each(&mut each);
            match page.next {
                Some(next) => request.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// The owner of every live session.
    pub(crate) async fn owners(&self) -> Result<Owners, Failure> {
        let mut owners = HashMap::new();
        self.all(|session| drop(owners.insert(session.id, session.owner)))
            .await?;
        Ok(owners)
    }

    /// What of a player's ledger the store does not have: a player has exactly one live session, the
    /// one it knows, with the last acknowledged position in it.
    pub(crate) async fn missing(&self, player: &PlayerId, ledger: &Ledger) -> Result<Loss, Failure> {
        let found = self.backend.sessions.find(player).await?;
        let [session] = &found[..] else {
            // The first version is the session itself; each move is one more.
            return Ok(Loss {
                session: true,
                saves: ledger.acknowledged.1.saturating_sub(1),
            });
        };
        match postcard::from_bytes::<Position>(&session.data) {
            Ok(position) => Ok(ledger.compare(session.id, position, session.version.get())),
            Err(_) => Ok(Loss {
                session: false,
                saves: 1,
            }),
        }
    }

    /// Compares what players know with what the store has. Tells how many are done.
    pub(crate) async fn compare(
        &self,
        stopped: Vec<Stopped>,
        mut done: impl FnMut(u64),
    ) -> Result<Vec<(Stopped, Loss)>, Failure> {
        let (mut comparing, mut compared) = (JoinSet::new(), Vec::with_capacity(stopped.len()));
        let mut waiting = stopped.into_iter();
        loop {
            for player in waiting.by_ref().take(AT_ONCE - comparing.len()) {
                let audit = self.clone();
                comparing.spawn(async move {
                    let missing = audit.missing(&player.player, &player.ledger).await?;
                    Ok::<_, Failure>((player, missing))
                });
            }
            let Some(ended) = comparing.join_next().await else {
                return Ok(compared);
            };
            compared.push(ended.map_err(|error| Failure::failed(error.to_string()))??);
            done(compared.len() as u64);
        }
    }

    /// Ends every session of the demo.
    pub(crate) async fn remove_all(&self) -> Result<(), Failure> {
        let mut sessions = Vec::new();
        self.all(|session| sessions.push((session.id, session.fence)))
            .await?;
        let mut removing = JoinSet::new();
        for (id, fence) in sessions {
            let request = RemoveSession::new(id, fence, OperationId::from_bytes(random::bytes()?));
            let store = Arc::clone(&self.backend.sessions);
            if removing.len() >= AT_ONCE {
                removing.join_next().await;
            }
            // One that has just changed hands or ended will expire.
            removing.spawn(async move { drop(store.remove(request).await) });
        }
        removing.join_all().await;
        Ok(())
    }
}

/// How many sessions each node has.
pub(crate) fn by_node(owners: &Owners) -> HashMap<NodeId, u64> {
    let mut counts = HashMap::new();
    for owner in owners.values() {
        *counts.entry(owner.node.clone()).or_default() += 1;
    }
    counts
}

/// Sessions whose owner is another one now, although the old one was not among the `killed`.
pub(crate) fn moved<'a>(
    before: &'a Owners,
    now: &'a Owners,
    killed: &'a [NodeIncarnation],
) -> impl Iterator<Item = SessionId> + 'a {
    let changed = before
        .iter()
        .filter(|(id, owner)| now.get(*id).is_some_and(|now| now != *owner));
    changed
        .filter(|(_, owner)| !killed.contains(owner))
        .map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Step;
    use super::*;
    use ringhold::{Fleet, Incarnation, Login, LoginOptions, Nonce, Partition};

    fn node(name: &str) -> NodeIncarnation {
        let incarnation = Incarnation {
            number: 1,
            nonce: Nonce::from_bytes([0; 16]),
        };
        NodeIncarnation::new(NodeId::new(name).unwrap(), incarnation)
    }

    #[test]
    fn who_lost_a_live_owner_was_moved() {
        let id = |seed| SessionId::new(Partition::new(1).unwrap(), [seed; 16]);
        let before = Owners::from([
            (id(1), node("a")),
            (id(2), node("a")),
            (id(3), node("b")),
            (id(4), node("b")),
        ]);
        let now = Owners::from([(id(1), node("a")), (id(2), node("b")), (id(3), node("a"))]);
        let moved = |killed: &[NodeIncarnation]| {
            let mut moved: Vec<SessionId> = super::moved(&before, &now, killed).collect();
            moved.sort();
            moved
        };
        assert_eq!(moved(&[]), [id(2), id(3)]);
        assert_eq!(moved(&[node("b")]), [id(2)]);
        assert_eq!(by_node(&before)[&node("a").node], 2);
    }

    #[tokio::test]
    async fn what_the_store_does_not_have_is_missing() {
        let backend = ringhold::open("memory:").await.unwrap();
        let fleet = Fleet::builder(backend.clone()).node("a").join().await.unwrap();
        let player = PlayerId::new("mine-1").unwrap();
        let login = fleet.login::<Position>(&player, LoginOptions::new());
        let Login::Here(mut session) = login.await.unwrap() else {
            panic!("there is one node")
        };
        let step = Step { dx: 2, dy: 3 };
        let position = Position::default().after(step);
        *session.value_mut() = position;
        session.save().await.unwrap();
        let other = PlayerId::new("other").unwrap();
        let _other = fleet
            .login::<Position>(&other, LoginOptions::new())
            .await
            .unwrap();

        let audit = Audit::new(backend.clone(), "mine-".to_owned());
        let ledger = Ledger {
            session: Some(session.id()),
            acknowledged: (position, 2),
            in_flight: None,
        };
        assert_eq!(audit.missing(&player, &ledger).await.unwrap(), Loss::default());
        let ahead = Ledger {
            acknowledged: (position.after(step), 3),
            ..ledger.clone()
        };
        assert_eq!(
            audit.missing(&player, &ahead).await.unwrap(),
            Loss {
                session: false,
                saves: 1
            }
        );
        assert_eq!(
            audit.owners().await.unwrap(),
            Owners::from([(session.id(), fleet.node())])
        );

        audit.remove_all().await.unwrap();
        assert_eq!(
            audit.missing(&player, &ledger).await.unwrap(),
            Loss {
                session: true,
                saves: 1
            }
        );
        assert_eq!(
            backend.sessions.find(&other).await.unwrap().len(),
            1,
            "others are left alone"
        );
    }
}
