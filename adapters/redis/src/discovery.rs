//! Membership: one slot per fleet, one script per operation.

mod answer;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::discovery::{
    Changes, Departed, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold_core::session::Durability;
use ringhold_core::{
    Discovery, Error, ErrorKind, Incarnation, Membership, NodeIncarnation, Result, Revision, Timing, codec,
};

use self::watch::RedisWatch;
use crate::client::{Elements, malformed};
use crate::schema::Keys;
use crate::script::{self, Script};
use crate::supervisor::{Call, Supervisor};

/// The [`Discovery`] on Redis Cluster and on one Redis.
///
/// Membership lives in one slot per fleet. `register`, `members` and a watch's reset cost the server
/// O(nodes); `renew` O(log nodes) and its answer: at most 64 changes, and the table of loads, with every
/// renewal in fleets of up to 128 nodes and with every eighth in larger ones. The last 256 changes are
/// kept.
///
/// A watch polls, once a heartbeat unless the URL says otherwise, and moves the lease clock on as it
/// does; it holds a position, and at most one answer of changes.
///
/// # Cancel safety
/// Dropping a write's future leaves it open whether the write happens; repeat it unchanged.
#[derive(Debug)]
pub struct RedisDiscovery {
    way: Way,
    poll: Option<Duration>,
    /// How many replicas are to acknowledge a write that does not say so itself.
    replicas: u8,
}

/// The way to the fleet's membership.
#[derive(Debug, Clone)]
struct Way {
    supervisor: Arc<Supervisor>,
    keys: Keys,
}

impl Way {
    /// Runs a script on the membership. Answers its first word, the rest, and how many replicas
    /// acknowledged.
    async fn run(
        &self,
        operation: &'static str,
        script: &'static Script,
        replicas: u8,
        arguments: &[&[u8]],
    ) -> Result<(Bytes, Elements, u8)> {
        let mut words = self.keys.membership(script);
        for argument in arguments {
            words.word(argument);
        }
        let call = Call {
            operation,
            partition: self.keys.home(),
            script,
            command: words.finish(),
            about: None,
            replicas,
        };
        let answer = self.supervisor.run(call).await?;
        let mut elements = Elements::new(operation, answer.reply)?;
        Ok((elements.bytes()?, elements, answer.replicated))
    }
}

impl Way {
    /// Records the size of a whole membership.
    fn whole(&self, membership: Membership) -> Membership {
        let count = membership.members.len() + membership.unreadable.len();
        self.supervisor.has_members(count);
        membership
    }
}

impl RedisDiscovery {
    pub(crate) fn new(supervisor: Arc<Supervisor>, keys: Keys, poll: Option<Duration>, replicas: u8) -> Self {
        Self {
            way: Way { supervisor, keys },
            poll,
            replicas,
        }
    }

    /// What decides who is a member is acknowledged by a replica at least, where one is online.
    fn replicas(&self, durability: Option<Durability>) -> u8 {
        let replicas = match durability {
            None => self.replicas,
            Some(Durability::Replicated(replicas)) => replicas,
            Some(_) => 0,
        };
        replicas.max(1)
    }
}

fn millis(duration: Duration) -> String {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .to_string()
}

fn node_id(node: &NodeIncarnation) -> &[u8] {
    node.node.as_str().as_bytes()
}

/// Number and nonce: 24 bytes.
fn incarnation(incarnation: Incarnation) -> Vec<u8> {
    [
        &incarnation.number.to_le_bytes()[..],
        &incarnation.nonce.to_bytes(),
    ]
    .concat()
}

/// Number and tag of a resume point.
fn resume_point(revision: Revision) -> [String; 2] {
    [revision.number.to_string(), format!("{:016x}", revision.tag)]
}

#[async_trait]
impl Discovery for RedisDiscovery {
    async fn register(&self, request: RegisterNode) -> Result<Registered> {
        const REGISTER: &str = "register";
        let RegisterNode { record, timing, .. } = &request;
        let [heartbeat, lease] = [timing.heartbeat(), timing.lease()].map(millis);
        let number = record.incarnation.number.to_string();
        let arguments = [
            record.id.as_str().as_bytes(),
            &codec::encode_node(record)?,
            heartbeat.as_bytes(),
            lease.as_bytes(),
            &record.incarnation.nonce.to_bytes(),
            number.as_bytes(),
        ];
        let replicas = self.replicas(request.durability);
        let (status, mut elements, replicated) = self
            .way
            .run(REGISTER, &script::REGISTER, replicas, &arguments)
            .await?;
        let (kind, context) = match &status[..] {
            b"done" => {
                let incarnation = Incarnation {
                    number: elements.number()?,
                    nonce: record.incarnation.nonce,
                };
                let membership = self
                    .way
                    .whole(answer::membership(REGISTER, elements.elements()?)?);
                let mut registered = Registered::new(incarnation, membership);
                registered.replicated = replicated;
                return Ok(registered);
            }
            b"timing" => {
                let stored = answer::timing(REGISTER, elements.number()?, elements.number()?)?;
                let words = |timing: &Timing| format!("{:?} / {:?}", timing.heartbeat(), timing.lease());
                let context = format!(
                    "the fleet runs by heartbeat / lease {} and the node asks for {}; start it with the \
                     fleet's, or stop every node first",
                    words(&stored),
                    words(timing)
                );
                (ErrorKind::InvalidArgument, context)
            }
            b"superseded" => {
                let context = format!("a later run of {} has registered since; stop this one", record.id);
                (ErrorKind::Superseded, context)
            }
            b"exhausted" => {
                let context = format!(
                    "node {} has used up its incarnation numbers; take another id",
                    record.id
                );
                (ErrorKind::InvalidArgument, context)
            }
            _ => return Err(malformed(REGISTER, "an unknown status")),
        };
        Err(Error::new(kind, REGISTER, context))
    }

    async fn renew(&self, request: RenewLease) -> Result<Renewed> {
        const RENEW: &str = "renew";
        let node = &request.node;
        request.check()?;
        let record = match &request.record {
            None => Vec::new(),
            Some(record) => codec::encode_node(record)?,
        };
        let [number, tag] = resume_point(request.after);
        let arguments = [
            node_id(node),
            &incarnation(node.incarnation),
            number.as_bytes(),
            tag.as_bytes(),
            &request.load.sessions.to_le_bytes(),
            &request.operation.to_bytes(),
            &record,
        ];
        let (status, mut elements, replicated) = self
            .way
            .run(RENEW, &script::RENEW, self.replicas, &arguments)
            .await?;
        match &status[..] {
            b"done" => {}
            b"superseded" => {
                let context = format!(
                    "{}#{} registered after {node}; stop this one",
                    node.node,
                    elements.number()?
                );
                return Err(Error::new(ErrorKind::Superseded, RENEW, context));
            }
            b"lost" => {
                let context = format!("{node} is no member any more; register again with a new incarnation");
                return Err(Error::new(ErrorKind::LeaseLost, RENEW, context));
            }
            _ => return Err(malformed(RENEW, "an unknown status")),
        }
        let resumed = elements.number()? == 1;
        // A change that cannot be read here is one of a member that `members` shows as unreadable.
        let changes = match answer::updates(RENEW, elements.elements()?) {
            Ok(updates) if resumed => Changes::Updates(updates),
            _ => Changes::ResetNeeded,
        };
        let mut renewed = Renewed::new(changes);
        renewed.next_lapse = match elements.next()? {
            crate::client::Reply::Integer(-1) => None,
            other => Some(Duration::from_millis(other.into_number(RENEW)?)),
        };
        let mut loads = elements.elements()?;
        if !loads.is_empty() {
            let loads = answer::loads(RENEW, loads.elements()?)?;
            self.way.supervisor.has_members(loads.len());
            renewed.loads = Some(loads);
        }
        renewed.replicated = replicated;
        Ok(renewed)
    }

    async fn leave(&self, request: LeaveFleet) -> Result<Departed> {
        const LEAVE: &str = "leave";
        let arguments = [
            node_id(&request.node),
            &incarnation(request.node.incarnation),
            &request.operation.to_bytes(),
        ];
        let (_, _, replicated) = self
            .way
            .run(LEAVE, &script::LEAVE, self.replicas, &arguments)
            .await?;
        let mut departed = Departed::default();
        departed.replicated = replicated;
        Ok(departed)
    }

    async fn evict(&self, request: EvictNode) -> Result<Evicted> {
        const EVICT: &str = "evict";
        let arguments = [
            node_id(&request.target),
            &incarnation(request.target.incarnation),
            &request.operation.to_bytes(),
        ];
        let replicas = self.replicas(request.durability);
        let (_, mut elements, replicated) = self.way.run(EVICT, &script::EVICT, replicas, &arguments).await?;
        let mut evicted = Evicted::new(elements.number()? == 1);
        evicted.replicated = replicated;
        Ok(evicted)
    }

    async fn members(&self) -> Result<Membership> {
        const MEMBERS: &str = "members";
        let (_, mut elements, _) = self.way.run(MEMBERS, &script::MEMBERS, 0, &[]).await?;
        Ok(self.way.whole(answer::membership(MEMBERS, elements.elements()?)?))
    }

    async fn timing(&self) -> Result<Option<Timing>> {
        const TIMING: &str = "timing";
        let (_, mut elements, _) = self.way.run(TIMING, &script::TIMING, 0, &[]).await?;
        if elements.is_empty() {
            return Ok(None);
        }
        answer::timing(TIMING, elements.number()?, elements.number()?).map(Some)
    }

    async fn watch(&self, after: Option<Revision>) -> Result<Box<dyn Watch>> {
        Ok(Box::new(RedisWatch::new(self.way.clone(), self.poll, after)))
    }
}
