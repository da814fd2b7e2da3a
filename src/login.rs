//! `login`: from a player to a session here, or to where it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::id::Address;
use ringhold_core::session::{
    ClaimSession, CreateOutcome, CreateSession, Created, OnExisting, SessionRecord, TakeoverFrom,
};
use ringhold_core::{
    Error, ErrorKind, NodeIncarnation, NodeRecord, NodeState, PlayerId, Result, SessionId, Ttl,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::attached::{Attached, Slot};
use crate::events::SessionEvent;
use crate::node::{Node, NodeStatus, not_attached};
use crate::session::{Codec, Session};
use crate::shared::record_of;
use crate::{peers, random, retry, save, touch};

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

/// Values as postcard.
pub(crate) fn postcard_codec<T: Serialize + DeserializeOwned>() -> Codec<T> {
    Codec {
        encode: |value| {
            postcard::to_stdvec(value).map(Bytes::from).map_err(|error| {
                Error::new(ErrorKind::InvalidArgument, "save", "the value cannot be encoded")
                    .with_source(error)
            })
        },
        decode: |bytes| match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(Error::new(
                ErrorKind::Corrupt,
                "login",
                "the stored value has bytes to spare",
            )),
            Err(error) => {
                let context = "the stored value is not of the type that was asked for";
                Err(Error::new(ErrorKind::Corrupt, "login", context).with_source(error))
            }
        },
    }
}

/// Bytes as they are.
pub(crate) fn raw_codec() -> Codec<Bytes> {
    Codec {
        encode: |bytes| Ok(bytes.clone()),
        decode: |bytes| Ok(bytes.clone()),
    }
}

/// No login waits longer for a fresh view.
const FRESH_VIEW_DEADLINE: Duration = Duration::from_secs(5);
/// How often a login starts over when it lost a race.
const RACES_MAX: u32 = 16;

pub(crate) async fn login<T>(
    node: &Arc<Node>,
    player: &PlayerId,
    options: LoginOptions,
    codec: Codec<T>,
    default: T,
) -> Result<Login<T>> {
    if options
        .resume
        .is_some_and(|id| id.partition() != player.partition())
    {
        return Err(ended_session());
    }
    let initial = (codec.encode)(&default)?;
    for _ in 0..RACES_MAX {
        if !node.is_attached() {
            return Err(not_attached("login", node));
        }
        check_resume(node, player, &options).await?;
        let slot = take_slot(node, player).await?;
        let created = create(node, player, &options, initial.clone()).await?;
        let is_new = created.outcome == CreateOutcome::New;
        let record = match created.outcome {
            CreateOutcome::Elsewhere => match claim(node, &options, created.session).await? {
                Claim::Won(record) => record,
                Claim::Lost => continue,
                Claim::Held(redirect) => return Ok(Login::Elsewhere(redirect)),
            },
            _ => created.session,
        };
        let attached = Attached::new(&record, slot);
        if is_new && options.resume.is_some() {
            // It ended between the look and the login: a new one was not asked for.
            save::remove(node, &attached).await?;
            return Err(ended_session());
        }
        node.attached.insert(&attached);
        peers::tell_displaced(node, created.displaced);
        if matches!(*node.status.borrow(), NodeStatus::Fenced | NodeStatus::Left) {
            // The node stopped meanwhile and has told its players; this one came too late for that.
            node.attached.end(&attached, SessionEvent::Fenced);
            return Err(not_attached("login", node));
        }
        node.attached
            .schedule(&attached, touch::next(record.ttl.duration()));
        node.count_sessions();
        let value = if is_new {
            Ok(default)
        } else {
            (codec.decode)(&record.data)
        };
        let session = |value| Session::new(Arc::clone(node), Arc::clone(&attached), codec, value, is_new);
        return match value {
            Ok(value) => Ok(Login::Here(session(value))),
            Err(error) => {
                node.attached.detach(&attached);
                Err(error)
            }
        };
    }
    let context = format!("{RACES_MAX} other logins of this player were faster, one after the other");
    Err(Error::new(ErrorKind::Overloaded, "login", context))
}

fn ended_session() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "login",
        "the session to resume has ended; log in without it",
    )
}

/// Where a session is asked for by its id: it must be one of the player's live ones.
async fn check_resume(node: &Arc<Node>, player: &PlayerId, options: &LoginOptions) -> Result<()> {
    let Some(id) = options.resume else { return Ok(()) };
    let store = &node.backend().sessions;
    let found = retry::until_deadline("login", || store.get(&id)).await?;
    let is_theirs = found.is_some_and(|session| session.player == *player);
    if is_theirs { Ok(()) } else { Err(ended_session()) }
}

/// Takes a place on this node. A full node still takes those back whom it, or a node that has left,
/// holds: they have nowhere else to go.
async fn take_slot(node: &Arc<Node>, player: &PlayerId) -> Result<Slot> {
    let record = node.record();
    let free = record.state == NodeState::Ready && record.weight.get() > 0;
    if free && let Some(slot) = node.attached.try_take(record.capacity) {
        return Ok(slot);
    }
    let store = &node.backend().sessions;
    let found = retry::until_deadline("login", || store.find(player)).await?;
    if !found.is_empty()
        && let Some(slot) = node.attached.try_take(None)
    {
        return Ok(slot);
    }
    let context = if free {
        format!(
            "this node takes {} players and is full; place the player elsewhere",
            node.attached.taken()
        )
    } else {
        format!(
            "this node is {} and takes no new players; place the player elsewhere",
            record.state.as_str()
        )
    };
    Err(Error::new(ErrorKind::Overloaded, "login", context).with_retryable(false))
}

async fn create(node: &Arc<Node>, player: &PlayerId, options: &LoginOptions, data: Bytes) -> Result<Created> {
    let id = random::session_id(player.partition())?;
    let ttl = options.ttl.unwrap_or(node.session_ttl);
    let from = if options.displace {
        TakeoverFrom::Anyone
    } else {
        TakeoverFrom::Own
    };
    let request = CreateSession::new(id, player.clone(), node.me(), random::nonce()?, ttl)
        .with_data(data)
        .with_on_existing(OnExisting::Takeover { from });
    let store = &node.backend().sessions;
    retry::until_deadline("login", || store.create(request.clone())).await
}

/// What came of a claim.
enum Claim {
    /// The session is this node's.
    Won(SessionRecord),
    /// Somebody else was faster: look again.
    Lost,
    /// Its owner has not left.
    Held(Redirect),
}

/// Claims a session whose owner has left, and no other.
async fn claim(node: &Arc<Node>, options: &LoginOptions, session: SessionRecord) -> Result<Claim> {
    if !has_left(node, &session.owner).await? {
        let record = node.shared.view.with(|view| record_of(view, &session.owner));
        return Ok(Claim::Held(Redirect {
            node: session.owner,
            record,
        }));
    }
    let ttl = options.ttl.unwrap_or(node.session_ttl);
    let request = ClaimSession::new(session.id, session.fence, node.me(), random::nonce()?, ttl);
    let store = &node.backend().sessions;
    match retry::until_deadline("login", || store.claim(request.clone())).await {
        Ok(claimed) => Ok(Claim::Won(claimed.session)),
        Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound) => Ok(Claim::Lost),
        Err(error) => Err(error),
    }
}

/// Whether exactly this run of the owner has left.
///
/// Only a view that was renewed within one heartbeat may say so, and of an owner that was never
/// seen here only one that was renewed after the question came up: it may have joined just now.
async fn has_left(node: &Arc<Node>, owner: &NodeIncarnation) -> Result<bool> {
    let asked = Instant::now();
    loop {
        if node.shared.view.latest().incarnation(owner).is_some() {
            return Ok(false);
        }
        let fresh = node.contact.age() <= node.timing.heartbeat();
        if fresh && node.shared.has_departed(owner) {
            return Ok(true);
        }
        if asked.elapsed() > FRESH_VIEW_DEADLINE {
            return Err(not_attached("login", node));
        }
        node.contact.renewed_from_now(FRESH_VIEW_DEADLINE).await?;
        if node.shared.view.latest().incarnation(owner).is_none() {
            return Ok(true);
        }
    }
}
