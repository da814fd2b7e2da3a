//! `login`: from a player to a session here, or to the node that holds it. Its steps in the store
//! are in `obtain.rs`.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::id::Address;
use ringhold_core::session::{Displaced, SessionRecord};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeRecord, PlayerId, Result, SessionId, Ttl};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{sleep, timeout};

use crate::attached::{Attached, Slot};
use crate::codec::Codec;
use crate::events::SessionEvent;
use crate::node::{Node, NodeStatus, not_attached};
use crate::obtain::{self, Found};
use crate::save::{self, Kept};
use crate::session::Session;
use crate::shared::lock;
use crate::{peers, random, touch};

/// How a player logs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginOptions {
    /// Come back to exactly this session.
    pub resume: Option<SessionId>,
    /// Take the player over from whoever holds it, also from a live node.
    pub displace: bool,
    /// The time to live without a touch; `None` for the node's.
    pub ttl: Option<Ttl>,
}

impl LoginOptions {
    /// An ordinary login.
    pub fn new() -> Self {
        Self::default()
    }

    /// Comes back to exactly this session, and fails with `NotFound` when it has ended. The id is
    /// no credential: who the player is has to be proved to the application first.
    #[must_use]
    pub fn resume(mut self, id: SessionId) -> Self {
        self.resume = Some(id);
        self
    }

    /// Takes the player over from whoever holds it. What that holder has not saved is lost.
    #[must_use]
    pub fn displace(mut self) -> Self {
        self.displace = true;
        self
    }

    /// Another time to live than the node's.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// Where a login came out.
#[derive(Debug)]
pub enum Login<T> {
    /// The player is attached here.
    Here(Session<T>),
    /// A node that has not left holds the player.
    Elsewhere(Redirect),
}

/// Where a player is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Redirect {
    /// Who holds the player.
    pub node: NodeIncarnation,
    /// Its record, as far as it is known here.
    pub record: Option<Arc<NodeRecord>>,
}

impl Redirect {
    /// Where an endpoint of that node is reached.
    pub fn address(&self, endpoint: &str) -> Option<&Address> {
        self.record.as_ref()?.endpoint(endpoint)
    }
}

/// How often a login starts over after a lost race.
const RACES_MAX: u32 = 32;
/// How long a login waits for the writes of the player's present stay on this node.
const LANE_WAIT_MAX: Duration = Duration::from_secs(1);

pub(crate) async fn login<T>(
    node: &Arc<Node>,
    player: &PlayerId,
    options: LoginOptions,
    codec: Codec<T>,
    default: T,
) -> Result<Login<T>> {
    let initial = codec.encode("login", &default)?;
    for race in 0..RACES_MAX {
        if race > 0 {
            // Exponential backoff with jitter, so that logins on several nodes do not keep
            // outdating what the others have read.
            sleep(random::jittered(Duration::from_millis(1 << race.min(7)), 0, 100)).await;
        }
        if !node.is_attached() {
            return Err(not_attached("login", node));
        }
        // What an earlier handle of the player left to be stored comes first, or it would be fenced.
        let closing = lock(&node.closing).get(player).cloned();
        if let Some((attached, coalescer)) = closing {
            save::flush(node, &attached, &coalescer).await;
        }
        // Neither a save of the present handle nor another login on this node comes in between. One
        // that is stuck delays no login further: without the lane this one can lose a race.
        let lane = timeout(LANE_WAIT_MAX, lane_of(node, player)).await;
        let held = lane.as_ref().ok().and_then(|lane| lane.as_ref());
        let held = held.map(|(attached, _lane)| attached);
        let found = obtain::find(node, player, &options, &initial, held).await?;
        let (record, value, displaced, slot) = match found {
            Found::Elsewhere(redirect) => return Ok(Login::Elsewhere(redirect)),
            Found::New(record, slot) => (record, None, Vec::new(), slot),
            Found::Claimable(found, slot) => {
                // Before the claim: a value that cannot be read, or whose `Deserialize` panics,
                // displaces no connection and extends no session.
                let value = codec.decode(&found.data)?;
                match obtain::claim(node, &options, &found).await? {
                    Some(claimed) => (claimed, Some(value), vec![Displaced::from(&found)], slot),
                    None => continue,
                }
            }
        };
        let Some(attaching) = attach(node, &record, displaced, slot).await? else {
            continue;
        };
        let is_new = value.is_none();
        let value = value.unwrap_or(default);
        let session = Session::new(Arc::clone(node), attaching.into_attached(), codec, value, is_new);
        return Ok(Login::Here(session));
    }
    let context =
        format!("{RACES_MAX} attempts in a row lost a race to other logins or saves of this player");
    Err(Error::new(ErrorKind::Overloaded, "login", context))
}

/// The player's session here with its lane, if there is one. With the lane, the writes of that session have ended.
async fn lane_of(node: &Node, player: &PlayerId) -> Option<(Arc<Attached>, OwnedMutexGuard<()>)> {
    while let Some(attached) = node.attached.of(player) {
        let lane = Arc::clone(&attached.lane).lock_owned().await;
        if attached.ended().is_none() {
            return Some((attached, lane));
        }
    }
    None
}

/// Makes the player one of this node's, and notifies the displaced holders. `None` when the session
/// was lost again.
async fn attach<'a>(
    node: &'a Arc<Node>,
    record: &SessionRecord,
    displaced: Vec<Displaced>,
    slot: Slot,
) -> Result<Option<Attaching<'a>>> {
    let attached = Attached::new(record, slot);
    node.attached.insert(&attached);
    let attaching = Attaching {
        node,
        attached: Arc::clone(&attached),
        has_handle: false,
    };
    peers::tell_displaced(node, displaced, record.id, record.fence);
    let me = node.me();
    if record.owner != me {
        // The node registered again while the login was on its way: it holds it under its new name.
        let kept = save::reclaim(node, &attached, me).await;
        if matches!(kept, Kept::Lost | Kept::Ended) {
            return Ok(None);
        }
    }
    if matches!(*node.status.borrow(), NodeStatus::Fenced | NodeStatus::Left) {
        // The node stopped meanwhile and has told its players; this one came too late for that.
        node.attached.end(&attached, SessionEvent::Fenced);
        return Err(not_attached("login", node));
    }
    node.attached
        .schedule(&attached, touch::next(record.ttl.duration()));
    node.count_sessions();
    Ok(Some(attaching))
}

/// A stay that has no handle yet. Dropping it, as when a login is dropped or panics, detaches the player.
struct Attaching<'a> {
    node: &'a Node,
    attached: Arc<Attached>,
    has_handle: bool,
}

impl Attaching<'_> {
    /// The stay, for the handle that detaches it from now on.
    fn into_attached(mut self) -> Arc<Attached> {
        self.has_handle = true;
        Arc::clone(&self.attached)
    }
}

impl Drop for Attaching<'_> {
    fn drop(&mut self) {
        if !self.has_handle {
            self.node.attached.detach(&self.attached);
            self.node.count_sessions();
        }
    }
}
