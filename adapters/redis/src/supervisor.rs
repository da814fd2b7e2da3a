//! Between the operations and the servers: topology, deadlines, retries, redirects.
//!
//! A client library brings bytes to one server; everything that a cluster does to a caller is met
//! here, since a library that meets it for all servers together can be jammed by one of them.
//!
//! - **Attempts.** Each has a deadline below cluster-node-timeout (`latency.rs`), and an answer after it never counts: a
//!   server that hung, and wakes up deposed, acknowledges nothing. What it may have done is harmless,
//!   because every write is idempotent and is repeated until it is answered.
//! - **Servers.** One that is late, or whose connection broke, is looked at by one watchdog, with a
//!   plain `PING` on a fresh connection. If it answers and serves, that connection takes the old one's place; if not,
//!   its callers wait until it answers or another server has its partitions. Nobody else waits. Where no fresh
//!   connection is to be had, the one that stands is asked: a server that is full serves those whom it has.
//!   A server that was away for longer is given back once the others have been asked for the topology:
//!   it may have been deposed, and not know it.
//! - **Demotion.** A single server that says that it is a replica loses its connections. The next ones resolve the name
//!   again and try each of its addresses (`dial.rs`), with backoff, until a master is behind it.
//! - **Large requests and answers** use a second connection to the same server (`sizes.rs`), and writes that wait for
//!   replicas use two lanes, so that no small call waits for them. A server without room for a second connection
//!   serves all over the first. The watchdog probes both.
//! - **Topology.** Up to three servers are asked at a time, and the greatest epoch wins: periodically, after a redirect,
//!   and up to ten times a second while a server with partitions does not answer (once a second if no failover follows, or
//!   in a large fleet).
//! - **Retries** are jittered and drawn from a budget; redirects are followed at once, a few in a row.

mod budget;
mod dial;
mod failure;
mod inquiry;
mod lane;
mod latency;
mod lost;
mod mend;
mod node;
mod owners;
mod sizes;
mod topology;
mod watchdog;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Partition, Result};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use self::budget::Budget;
use self::dial::Dialer;
use self::failure::link_error;
use self::inquiry::ASK_MAX;
pub(crate) use self::inquiry::NODE_TIMEOUT;
use self::lane::Write;
use self::latency::Bounds;
use self::node::Node;
use self::owners::{Epochs, Owners};
use self::sizes::{Size, Sizes};
pub(crate) use self::topology::Address;
use crate::client::{Command, Connector, LinkError, Reply};
use crate::error::{Verdict, judge};
use crate::random;
use crate::resolver::Resolver;
use crate::script::{self, Kind, Script};

/// One operation: a script on the keys of one slot.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The operation's name, for errors.
    pub(crate) operation: &'static str,
    /// Whose slot it is in.
    pub(crate) partition: Partition,
    pub(crate) script: &'static Script,
    /// What runs it by its name.
    pub(crate) command: Command,
    /// A hash of what may be large in it, or in its answer.
    pub(crate) about: Option<u64>,
    /// How many replicas are to acknowledge it; 0 for none.
    pub(crate) replicas: u8,
}

/// What a script answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// How many replicas have acknowledged it; 0 where none was asked for.
    pub(crate) replicated: u8,
}

/// What can be set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether the servers are a Redis Cluster, or one server.
    pub(crate) cluster: bool,
    /// Whether servers are known by the names that they announce: certificates are for names.
    pub(crate) by_name: bool,
    /// Who is asked first.
    pub(crate) seeds: Vec<Address>,
    /// An attempt takes no longer.
    pub(crate) attempt: Duration,
    /// An operation takes no longer, retries included.
    pub(crate) overall: Duration,
    /// A server that takes longer for a `PING` does not answer.
    pub(crate) probe: Duration,
    /// Calls under way on one server's partitions.
    pub(crate) in_flight_max: usize,
    /// The known number of nodes in the fleet: all of them ask for the topology.
    pub(crate) members: Arc<AtomicUsize>,
}

/// The pause before a retry, before jitter.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// A timer is this late only where its runtime or its process stood still.
const LATE_MIN: Duration = Duration::from_millis(250);
/// How many redirects in a row are followed without a pause.
const REDIRECTS_AT_ONCE: u32 = 5;
/// One to connect or for a write under way, its own, and one for what queues between them.
const LANE_TURNS: u32 = 3;
/// Callers that waited for a server do not all come back in the same millisecond.
const SPREAD_MS: u64 = 20;

/// The way to the servers. A clone of its `Arc` shares it; dropping the last one ends its tasks.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    dialer: Arc<Dialer>,
    bounds: Arc<Bounds>,
    /// Who has each partition.
    owners: watch::Sender<Owners>,
    /// Since when, in the cluster's count.
    epochs: Mutex<Epochs>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// Held by whoever asks for the topology.
    refreshing: tokio::sync::Mutex<()>,
    /// Rung when the topology is to be asked for.
    stale: Notify,
    budget: Budget,
    sizes: Sizes,
}

impl Supervisor {
    /// Asks the seeds for the topology, and watches it from then on.
    ///
    /// # Errors
    /// `Unavailable` when no seed answers in time, `InvalidArgument` when one refuses the password;
    /// those of the first answer that cannot be read.
    pub(crate) async fn connect(
        settings: Settings,
        connector: Arc<dyn Connector>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Arc<Self>> {
        let dialer = Arc::new(Dialer::new(connector, resolver, settings.cluster));
        let none: Owners = vec![None; usize::from(Partition::COUNT)].into();
        let shared = Arc::new(Shared {
            bounds: Arc::new(Bounds::new(settings.attempt, settings.probe, settings.cluster)),
            settings,
            dialer,
            owners: watch::Sender::new(none),
            epochs: Mutex::default(),
            nodes: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            stale: Notify::new(),
            budget: Budget::new(),
            sizes: Sizes::new(),
        });
        shared.first_topology().await?;
        let task = tokio::spawn(watchdog::follow_topology(Arc::downgrade(&shared)));
        let mut tasks = vec![AbortOnDropHandle::new(task)];
        if shared.settings.cluster {
            let reading = tokio::spawn(inquiry::follow_node_timeout(Arc::downgrade(&shared)));
            tasks.push(AbortOnDropHandle::new(reading));
        }
        Ok(Arc::new(Self {
            shared,
            _tasks: tasks,
        }))
    }

    /// Records the number of nodes in the fleet.
    pub(crate) fn has_members(&self, count: usize) {
        self.shared.settings.members.store(count, Ordering::Relaxed);
    }

    /// Runs a script until it was answered in time, has failed for good, or the overall deadline has
    /// passed.
    ///
    /// # Errors
    /// `Overloaded` at once when too many calls are under way on this shard; at the overall deadline
    /// `Timeout` where the write may have happened, `Overloaded` where something large waited for room, else
    /// `Unavailable`; what `error.rs` makes of a refusal.
    ///
    /// # Cancel safety
    /// Dropping the future gives everything back; the script may run nevertheless.
    pub(crate) async fn run(&self, call: Call) -> Result<Answer> {
        self.shared.run(call).await
    }

    /// Sends plain commands to the server that has `partition` until it answers or the overall deadline has passed.
    pub(crate) async fn ask(&self, partition: Partition, commands: &[Command]) -> Result<Vec<Reply>> {
        self.shared
            .ask(partition, commands, self.shared.settings.overall)
            .await
    }

    /// The same for at most five seconds, for inquiries that `open` can do without.
    pub(crate) async fn ask_briefly(&self, partition: Partition, commands: &[Command]) -> Result<Vec<Reply>> {
        self.shared.ask(partition, commands, ASK_MAX).await
    }

    /// The fewest replicas that a master has online.
    pub(crate) fn replicas_min(&self) -> u8 {
        let owners = self.shared.owners.borrow().clone();
        let replicas = owners
            .iter()
            .flatten()
            .map(|node| node.replicas.load(Ordering::Relaxed));
        replicas.min().unwrap_or(0)
    }

    /// One partition of each master, for what is asked at the start.
    pub(crate) fn masters(&self) -> Vec<(Partition, Address)> {
        self.shared.masters()
    }
}

/// One attempt at one server: its call and its times.
struct Exchange<'a> {
    target: &'a Target,
    call: &'a Call,
    size: Size,
    replicas: u8,
    /// When the last of it was sent.
    asked: Instant,
    /// The deadline of the answer; before that, of the operation.
    until: Instant,
    /// Whether anything may have reached the server.
    sent: bool,
    /// The reason that a lost key was not rebuilt.
    unmended: Option<Error>,
}

/// Where the next attempt goes.
struct Target {
    node: Arc<Node>,
    asking: bool,
}

impl Shared {
    async fn run(self: &Arc<Self>, call: Call) -> Result<Answer> {
        let mut now = Instant::now();
        let deadline = now + self.settings.overall;
        let operation = call.operation;
        let mut owner = self.owner(call.partition);
        // The shard that a call began on carries it, wherever it ends.
        let _place = match &owner {
            Some(node) => Some(node.enter().ok_or_else(|| {
                let context = format!(
                    "{} calls are under way on the shard of {}; raise in_flight_max, or slow down",
                    self.settings.in_flight_max, node.address
                );
                Error::new(ErrorKind::Overloaded, operation, context)
            })?),
            None => None,
        };
        self.budget.earn();
        let size = self.sizes.expect(&call);
        let mut last: Option<Error> = None;
        let mut pause = PAUSE_MIN;
        let mut redirects = 0;
        let mut redirected: Option<Target> = None;
        let mut unanswered = false;
        loop {
            let target = match redirected.take() {
                Some(target) => target,
                None => match owner.take().filter(|node| *node.answers.borrow()) {
                    Some(node) => Target { node, asking: false },
                    None => match timeout_at(deadline, self.answering(call.partition)).await {
                        Ok(node) => {
                            now = Instant::now();
                            Target { node, asking: false }
                        }
                        Err(_) => return Err(self.gave_up(&call, unanswered, last)),
                    },
                },
            };
            let mut room = None;
            if size == Size::Large {
                let given = timeout_at(deadline, target.node.room(Sizes::pieces(&call))).await;
                now = Instant::now();
                // It may have gone while others had its room.
                if !target.asking && !*target.node.answers.borrow() {
                    continue;
                }
                // What comes at the deadline comes too late: others gave up there, too.
                match given {
                    Ok(given) if now < deadline => room = given,
                    _ => return Err(self.no_room(&call, &target.node, unanswered, last)),
                }
            }
            let generation = target.node.generation();
            let judged = self.judged(&target, &call, size, now, deadline, &mut unanswered);
            let verdict = match judged.await {
                Ok(answer) => return Ok(answer),
                Err(verdict) => verdict,
            };
            drop(room);
            now = Instant::now();
            self.act_on(&verdict, &target.node, generation);
            match verdict {
                Verdict::Moved(address) => {
                    let node = self.node(address);
                    self.learn(call.partition, &node);
                    self.stale.notify_one();
                    redirects += 1;
                    if redirects <= REDIRECTS_AT_ONCE {
                        redirected = Some(Target { node, asking: false });
                        continue;
                    }
                    redirects = 0;
                }
                Verdict::Ask(address) => {
                    redirects += 1;
                    if redirects <= REDIRECTS_AT_ONCE {
                        let node = self.node(address);
                        redirected = Some(Target { node, asking: true });
                        continue;
                    }
                    redirects = 0;
                }
                // One that the overall deadline cut short says less than the one before it.
                Verdict::Again(error) if last.is_none() || now < deadline => last = Some(error),
                // And of a script that is not known, `attempt` has sent the source already.
                Verdict::Again(_) | Verdict::NoScript => {}
                Verdict::Stale(error) | Verdict::Demoted(error) | Verdict::Down(error) => last = Some(error),
                Verdict::Final(error) => return Err(error),
            }
            let wait = async {
                sleep(random::jittered(pause)).await;
                self.budget.spend().await;
            };
            let waited = timeout_at(deadline, wait).await;
            now = Instant::now();
            // An attempt at the deadline could only send, and make an unsent call one without an answer.
            if waited.is_err() || now >= deadline {
                return Err(self.gave_up(&call, unanswered, last));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Looks after a server, or the topology, where an attempt shows that this is needed. Its links were of `generation`.
    fn act_on(self: &Arc<Self>, verdict: &Verdict, node: &Arc<Node>, generation: u64) {
        match verdict {
            Verdict::Stale(_) => self.stale.notify_one(),
            Verdict::Demoted(_) => {
                self.stale.notify_one();
                node.end_links(generation);
                watchdog::suspect(self, node);
            }
            Verdict::Down(_) => watchdog::suspect(self, node),
            Verdict::Moved(_)
            | Verdict::Ask(_)
            | Verdict::NoScript
            | Verdict::Again(_)
            | Verdict::Final(_) => {}
        }
    }

    /// One attempt that begins now, within its deadline, and what to do when it brought no answer.
    async fn judged(
        self: &Arc<Self>,
        target: &Target,
        call: &Call,
        size: Size,
        now: Instant,
        deadline: Instant,
        unanswered: &mut bool,
    ) -> Result<Answer, Verdict> {
        let (operation, node) = (call.operation, &target.node);
        let replicas = match call.script.kind {
            Kind::Read => 0,
            Kind::Write | Kind::Tidy => call.replicas.min(node.replicas.load(Ordering::Relaxed)),
        };
        let mut exchange = Exchange {
            target,
            call,
            size,
            replicas,
            asked: now,
            until: deadline,
            sent: false,
            unmended: None,
        };
        let outcome = self.attempt(&mut exchange).await;
        let Exchange {
            asked,
            until,
            sent,
            unmended,
            ..
        } = exchange;
        if matches!(outcome, Ok(Ok(_))) {
            node.heard_since(asked, size);
        } else {
            *unanswered |= sent;
        }
        if let Some(error) = unmended {
            return Err(Verdict::Again(error));
        }
        Err(match outcome {
            Ok(Ok((Reply::Error(error), _)) | Err(LinkError::Refused(error))) => {
                judge(operation, &error, &node.address)
            }
            Ok(Ok((reply, replicated))) => {
                self.sizes.note(call, &reply);
                return Ok(Answer { reply, replicated });
            }
            Ok(Err(error @ LinkError::Denied(_))) => {
                Verdict::Final(link_error(operation, &node.address, error))
            }
            Ok(Err(error)) => {
                watchdog::suspect(self, node);
                Verdict::Again(link_error(operation, &node.address, error))
            }
            Err(_) => {
                let late = lateness(until);
                // Where this runtime stood still, a master of a cluster may have been deposed since then. A single server
                // has done nothing: to connect again would take more of the time that is short here.
                if late.is_none() || self.settings.cluster {
                    watchdog::suspect(self, node);
                }
                let context = match late {
                    None => format!("no answer of {} within {:?}", node.address, until - asked),
                    Some(late) => {
                        format!("this runtime or its process stood still for {late:?} beyond the attempt")
                    }
                };
                Verdict::Again(Error::new(ErrorKind::Timeout, operation, context))
            }
        })
    }

    /// One attempt at one server. A script that it does not know is sent whole, and one that it refuses because it is
    /// out of memory in the form for this, where there is one. One that found a key of its partition lost is sent
    /// again, once, after the key was rebuilt; while its slot may be on its way to another server, it is not rebuilt. Each
    /// has the time of an attempt, since the answer before it came in time.
    async fn attempt(&self, exchange: &mut Exchange<'_>) -> Result<Result<(Reply, u8), LinkError>, Elapsed> {
        let (call, deadline) = (exchange.call, exchange.until);
        // A lane has the deadline of an attempt for what it sends; in it, a write may queue behind another.
        let turns = if exchange.replicas > 0 { LANE_TURNS } else { 1 };
        let (mut script, mut by_source, mut other) = (call.script, false, None);
        let mut rebuilt = false;
        loop {
            let attempt = exchange.target.node.latency.attempt() * turns;
            exchange.until = deadline.min(exchange.asked + attempt);
            let command = other.as_ref().unwrap_or(&call.command);
            let answer = timeout_at(exchange.until, self.send(exchange, command)).await?;
            let Ok((Reply::Error(error), _)) = &answer else {
                return Ok(answer);
            };
            let code = error.code.as_str();
            if code == "NOSCRIPT" && !by_source {
                (by_source, other) = (true, Some(script.whole(&call.command)));
            } else if code == "OOM"
                && let Some(at_limit) = script.at_limit
            {
                (script, by_source) = (at_limit, false);
                other = Some(script.named(&call.command));
            } else if code == "RINGHOLD_LOST" && !rebuilt {
                if let Err(error) = self.settled(call, &exchange.target.node, deadline).await {
                    exchange.unmended = Some(error);
                    return Ok(answer);
                }
                (script, by_source) = (&script::MEND, false);
                other = Some(script.named(&call.command));
            } else if code == "RINGHOLD_REBUILT" && !rebuilt {
                lost::report(call.partition, &exchange.target.node.address, &error.detail);
                (script, by_source, other, rebuilt) = (call.script, false, None, true);
            } else {
                return Ok(answer);
            }
            exchange.asked = Instant::now();
        }
    }

    async fn send(&self, exchange: &mut Exchange<'_>, command: &Command) -> Result<(Reply, u8), LinkError> {
        let Target { node, asking } = exchange.target;
        let behind;
        let commands = if *asking {
            behind = [Command::of(&["ASKING"]), command.clone()];
            &behind[..]
        } else {
            std::slice::from_ref(command)
        };
        if exchange.replicas > 0 {
            exchange.sent = true;
            return self
                .send_in_lane(node, exchange.size, commands, exchange.replicas)
                .await;
        }
        let link = node.connected(&self.dialer, exchange.size).await?;
        exchange.sent = true;
        match link.send(commands).await {
            Ok(replies) => Ok((outcome(replies), 0)),
            Err(error) => {
                node.forget(&link);
                Err(error)
            }
        }
    }

    async fn send_in_lane(
        &self,
        node: &Arc<Node>,
        size: Size,
        commands: &[Command],
        replicas: u8,
    ) -> Result<(Reply, u8), LinkError> {
        let (done, answer) = oneshot::channel();
        let write = Write {
            commands: commands.to_vec(),
            replicas,
            done,
        };
        let full = || LinkError::Broken("too many writes wait for replicas".into());
        node.lane(size, &self.dialer).push(write).map_err(|()| full())?;
        answer
            .await
            .unwrap_or_else(|gone| Err(LinkError::Broken(Box::new(gone))))
    }

    /// The server that has a partition, once it is known and answers.
    async fn answering(&self, partition: Partition) -> Arc<Node> {
        let mut owners = self.owners.subscribe();
        let mut waited = false;
        loop {
            let node = owners.borrow_and_update()[usize::from(partition.get())].clone();
            let Some(node) = node else {
                self.stale.notify_one();
                // The sender is in `self`, so it is not gone.
                let _ = owners.changed().await;
                waited = true;
                continue;
            };
            let mut answers = node.answers.subscribe();
            if *answers.borrow_and_update() {
                if waited {
                    sleep(Duration::from_millis(random::below(SPREAD_MS))).await;
                }
                return node;
            }
            waited = true;
            tokio::select! {
                _ = answers.changed() => {}
                _ = owners.changed() => {}
            }
        }
    }
}

/// The outcome of the commands of one call: the first error, also of what comes before its script, or the
/// script's reply.
fn outcome(replies: impl IntoIterator<Item = Reply>) -> Reply {
    let failed_first = |first, next| match first {
        Reply::Error(_) => first,
        _ => next,
    };
    replies.into_iter().reduce(failed_first).unwrap_or(Reply::Nil)
}

/// How long ago a deadline was whose timer has fired only now; `None` where that is no more than a moment. A late timer
/// shows that this runtime or its process stood still, and says nothing of a server.
fn lateness(deadline: Instant) -> Option<Duration> {
    Some(deadline.elapsed()).filter(|late| *late >= LATE_MIN)
}
