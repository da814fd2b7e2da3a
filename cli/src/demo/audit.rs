//! What the store says, read whole: the other side of the players' ledgers.

use std::collections::HashMap;

use ringhold::core::session::{ListSessions, RemoveSession};
use ringhold::{Backend, NodeId, NodeIncarnation, OperationId, PlayerId, SessionId, SessionRecord};

use super::ledger::{Ledger, Loss};
use super::protocol::Position;
use crate::exit::Failure;
use crate::random;

/// Who owns which session.
pub(crate) type Owners = HashMap<SessionId, NodeIncarnation>;

const PAGE: u16 = 1_000;

async fn all(backend: &Backend, mut each: impl FnMut(SessionRecord)) -> Result<(), Failure> {
    let mut request = ListSessions::all(PAGE);
    loop {
        let page = backend.sessions.list(request.clone()).await?;
        if let Some(unreadable) = page.unreadable.first() {
            let context = format!(
                "the session {} cannot be read: {}",
                unreadable.id, unreadable.context
            );
            return Err(Failure::failed(context));
        }
        page.sessions.into_iter().for_each(&mut each);
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Reads the owner of every live session.
pub(crate) async fn owners(backend: &Backend) -> Result<Owners, Failure> {
    let mut owners = HashMap::new();
    all(backend, |session| drop(owners.insert(session.id, session.owner))).await?;
    Ok(owners)
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
    before
        .iter()
        .filter(|(id, owner)| now.get(*id).is_some_and(|now| now != *owner) && !killed.contains(owner))
        .map(|(id, _)| *id)
}

/// What of a player's ledger the store does not have: a player has exactly one live session, the
/// one it knows, with the last acknowledged position in it.
pub(crate) async fn missing(backend: &Backend, player: &PlayerId, ledger: &Ledger) -> Result<Loss, Failure> {
    let found = backend.sessions.find(player).await?;
    let [session] = &found[..] else {
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

/// Ends every session, so that nothing of the demo stays behind.
pub(crate) async fn remove_all(backend: &Backend) -> Result<(), Failure> {
    let mut sessions = Vec::new();
    all(backend, |session| sessions.push((session.id, session.fence))).await?;
    for (id, fence) in sessions {
        let request = RemoveSession::new(id, fence, OperationId::from_bytes(random::bytes()?));
        // One that has just changed hands or ended will expire.
        let _ = backend.sessions.remove(request).await;
    }
    Ok(())
}
