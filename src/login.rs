//! `login`: from a player to a session here, or to where it is. What it takes in the store is in
//! `obtain.rs`.

use std::sync::Arc;

use ringhold_core::id::Address;
use ringhold_core::session::{Displaced, SessionRecord};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeRecord, PlayerId, Result, SessionId, Ttl};

use crate::attached::{Attached, Slot};
use crate::codec::Codec;
use crate::events::SessionEvent;
use crate::node::{Node, NodeStatus, not_attached};
use crate::obtain::{Held, Obtained, obtain};
use crate::save::{self, Kept};
use crate::session::Session;
use crate::shared::lock;
use crate::{peers, touch};

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

/// How often a login starts over when it lost a race.
const RACES_MAX: u32 = 16;

pub(crate) async fn login<T>(
    node: &Arc<Node>,
    player: &PlayerId,
    options: LoginOptions,
    codec: Codec<T>,
    default: T,
) -> Result<Login<T>> {
    let initial = codec.encode("login", &default)?;
    for _ in 0..RACES_MAX {
        if !node.is_attached() {
            return Err(not_attached("login", node));
        }
        // What an earlier handle of the player left to be stored comes first, or it would be fenced.
        let closing = lock(&node.closing).get(player).cloned();
        if let Some((attached, coalescer)) = closing {
            save::flush(node, &attached, &coalescer).await;
        }
        let Held {
            record,
            is_new,
            displaced,
            slot,
        } = match obtain(node, player, &options, &initial).await? {
            Obtained::Here(held) => held,
            Obtained::Elsewhere(redirect) => return Ok(Login::Elsewhere(redirect)),
            Obtained::Again => continue,
        };
        let Some(attached) = attach(node, &record, displaced, slot).await? else {
            continue;
        };
        let value = if is_new {
            Ok(default)
        } else {
            codec.decode(&record.data)
        };
        return match value {
            Ok(value) => Ok(Login::Here(Session::new(
                Arc::clone(node),
                attached,
                codec,
                value,
                is_new,
            ))),
            Err(error) => {
                node.attached.detach(&attached);
                Err(error)
            }
        };
    }
    let context = format!("{RACES_MAX} other logins of this player were faster, one after the other");
    Err(Error::new(ErrorKind::Overloaded, "login", context))
}

/// Makes the player one of this node's, and tells whoever was displaced. `None` when the session was
/// lost again meanwhile.
async fn attach(
    node: &Arc<Node>,
    record: &SessionRecord,
    displaced: Vec<Displaced>,
    slot: Slot,
) -> Result<Option<Arc<Attached>>> {
    let attached = Attached::new(record, slot);
    node.attached.insert(&attached);
    // A login that is dropped on its way holds no place.
    let abandoned = Abandoned {
        node,
        attached: Some(&attached),
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
    abandoned.keep();
    Ok(Some(attached))
}

/// Takes a player out again whose login was dropped before it had a handle.
struct Abandoned<'a> {
    node: &'a Node,
    attached: Option<&'a Arc<Attached>>,
}

impl Abandoned<'_> {
    fn keep(mut self) {
        self.attached = None;
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(attached) = self.attached {
            self.node.attached.detach(attached);
        }
    }
}
