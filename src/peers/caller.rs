//! One request on its way: to the record of its target, to this node's own handler or into the transport.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::transport::{PeerRequest, PeerStream};
use ringhold_core::{
    Error, ErrorKind, NodeIncarnation, NodeRecord, PlayerId, Result, SessionRecord, Transport,
};
use tokio::time::{Instant, timeout_at};

use super::frame::Ask;
use super::scope::Terms;
use super::{CALL, PeerTarget, serve};
use crate::node::Node;
use crate::retry;
use crate::shared::Shared;

/// How long a run of a node that is not known here may take to show up. It may have joined a moment ago.
const MEMBER_WAIT: Duration = Duration::from_secs(2);

/// Who makes calls: a node, or somebody who is none and signs nothing.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) shared: Arc<Shared>,
    node: Option<Arc<Node>>,
}

impl Caller {
    /// Calls for `node`, while it runs.
    pub(crate) fn new(shared: Arc<Shared>, node: Option<Arc<Node>>) -> Self {
        let node = node.filter(|node| !node.stop.is_cancelled());
        Self { shared, node }
    }

    /// This node, where that is the one in `record`.
    fn own(&self, record: &NodeRecord) -> Option<&Arc<Node>> {
        self.node.as_ref().filter(|node| node.me() == record.node())
    }

    /// The record of `target`. Waits a moment for a run that was never seen here.
    ///
    /// # Errors
    /// `Unavailable` where it is no member.
    pub(super) async fn member(&self, target: &PeerTarget, terms: &Terms) -> Result<Arc<NodeRecord>> {
        let patience = terms.deadline.min(Instant::now() + MEMBER_WAIT);
        self.member_until(target, patience).await
    }

    pub(super) async fn member_until(
        &self,
        target: &PeerTarget,
        patience: Instant,
    ) -> Result<Arc<NodeRecord>> {
        let PeerTarget { node, incarnation } = target;
        let mut changed = self.shared.subscribe();
        loop {
            changed.mark_unchanged();
            let known = self
                .shared
                .view
                .latest()
                .node(node)
                .map(|node| Arc::clone(&node.record));
            let is_over = match (&known, incarnation) {
                (_, None) => true,
                (Some(known), Some(run)) if known.incarnation == *run => true,
                (Some(known), Some(run)) => known.incarnation.number >= run.number,
                (None, Some(run)) => self
                    .shared
                    .has_departed(&NodeIncarnation::new(node.clone(), *run)),
            };
            let found = known.filter(|known| incarnation.is_none_or(|run| known.incarnation == run));
            if let Some(found) = found {
                return Ok(found);
            }
            if is_over || !matches!(timeout_at(patience, changed.changed()).await, Ok(Ok(()))) {
                let context = match incarnation {
                    Some(run) => format!("{node}#{} is no member of the fleet", run.number),
                    None => format!("{node} is no member of the fleet"),
                };
                return Err(Error::new(ErrorKind::Unavailable, CALL, context));
            }
        }
    }

    /// The player's newest live session, from the store.
    pub(super) async fn session(&self, player: &PlayerId, terms: &Terms) -> Result<Option<SessionRecord>> {
        let store = &self.shared.backend.sessions;
        let found = retry::until_deadline("locate", || store.find(player));
        Ok(terms.in_time(found).await?.into_iter().last())
    }

    /// The record of this node, where it holds the player.
    pub(super) fn holds(&self, player: &PlayerId) -> Option<Arc<NodeRecord>> {
        let node = self.node.as_ref()?;
        node.attached.of(player).map(|_| node.record())
    }

    /// The record of the node that `error` names as the holder, where that is a member.
    pub(super) fn named(&self, error: &Error) -> Option<Arc<NodeRecord>> {
        let owner = error.owner()?;
        crate::shared::record_of(&self.shared.view.latest(), owner)
    }

    /// Asks the node of `record`.
    pub(super) async fn call(
        &self,
        record: &NodeRecord,
        player: Option<&PlayerId>,
        ask: &Ask,
        terms: &Terms,
    ) -> Result<Bytes> {
        ask.check()?;
        let mut request = self.request(record, player, terms)?;
        if let Some(node) = self.own(record) {
            // No answer is lost on this way; what the application has named is remembered all the same.
            request.key = request.key.filter(|_| matches!(ask, Ask::Call(_)));
            let answer = serve::answer(Arc::clone(node), request, ask.clone());
            return terms.in_time(answer).await;
        }
        let transport = self.transport()?;
        request.body = ask.encode()?;
        terms.in_time(transport.call(record, request)).await
    }

    /// Opens a stream to the node of `record`.
    pub(super) async fn open(
        &self,
        record: &NodeRecord,
        player: Option<&PlayerId>,
        ask: &Ask,
        terms: &Terms,
    ) -> Result<PeerStream> {
        ask.check()?;
        let transport = self.transport()?;
        let mut request = self.request(record, player, terms)?;
        // Nothing of a stream is repeated.
        request.key = None;
        request.body = ask.encode()?;
        terms.in_time(transport.open(record, request)).await
    }

    fn request(&self, record: &NodeRecord, player: Option<&PlayerId>, terms: &Terms) -> Result<PeerRequest> {
        let fleet = self.shared.backend.fleet.clone();
        let revision = self.shared.view.load().revision();
        let mut request = PeerRequest::new(fleet, record.node(), revision, Bytes::new())
            .within(terms.time_left()?)
            .traced(terms.next_span());
        request.from = self.node.as_ref().map(|node| node.me());
        request.player = player.cloned();
        request.key = terms.key;
        Ok(request)
    }

    fn transport(&self) -> Result<&Arc<dyn Transport>> {
        self.shared.backend.transport.as_ref().ok_or_else(|| {
            let context = "this backend brings no transport between nodes; give FleetBuilder::transport one";
            Error::new(ErrorKind::Unsupported, CALL, context)
        })
    }
}
