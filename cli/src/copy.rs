//! Copying the sessions of one fleet to another, on whatever backends, and looking whether all came over.
//!
//! **Writing.** The source is listed page by page. A player's sessions are written one after the other,
//! oldest first, by [`restore`](ringhold::SessionStore::restore) with the fence's nonce of the source: a
//! session keeps id, player, owner, version, data and time to live, and has the next epoch. A copy that is
//! repeated, or goes on after an interruption, draws the same nonces, so what it wrote before is answered
//! as it stands. A session of the player that is there by other means stands in the way: nobody has
//! more sessions afterwards than at the source.
//!
//! **Time.** A session's time starts anew at its time to live. While the copy runs, what came over is
//! touched, so that the first does not expire before the last is written.
//!
//! **Counting.** Both sides are counted per partition, before and after, by `SessionStore::count`. A session that
//! the source counts and its listing does not show is a failure, and so is a partition of either side that got or lost
//! sessions during the copy by other means than the copy.
//!
//! **Verifying.** Both sides are read again. A session whose source was written, taken over or ended since
//! it was read counts as changed, whatever the target has; of all others player, owner, version, time to
//! live and data must be the same. It takes about a hundred bytes of memory for each session.

mod count;
mod report;
mod verify;
mod write;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use ringhold::core::session::{Cursor, ListSessions, SessionPage, Touch};
use ringhold::{Backend, Fence, Partition, SessionId, SessionRecord, Ttl, Version};
use tokio::task::{JoinError, JoinSet};

pub use self::report::{Place, Problem, ProblemKind, Report};

use self::count::{Counts, Numbers};
use self::verify::Verdict;
use self::write::Wrote;
use crate::exit::Failure;
use crate::output::millis;

/// The most sessions that are asked for at once. With the largest data this is 200 MiB.
const PAGE: u16 = 200;

/// How many players, and then sessions, are under way at once.
const IN_FLIGHT: usize = 64;

/// How many sessions are touched at once.
const TOUCHES: usize = 1_000;

/// How often what came over is touched at most.
const TOUCH_PERIOD_MIN: Duration = Duration::from_millis(250);

/// What a copy tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// It got so far.
    Step {
        /// Doing what.
        stage: Stage,
        /// Partitions that are done, of [`Partition::COUNT`].
        partitions: u16,
        /// Sessions that are done.
        sessions: u64,
    },
    /// One session is not on both sides the same.
    Problem(Problem),
}

/// What a copy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It writes to the target.
    Copying,
    /// It compares both sides.
    Verifying,
}

/// Hears what a copy tells. An error ends the copy.
pub type Tell<'t> = &'t mut (dyn FnMut(Event) -> Result<(), Failure> + Send);

/// The source's side of a session as it was read to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Came {
    fence: Fence,
    version: Version,
    ttl: Ttl,
}

impl From<&SessionRecord> for Came {
    fn from(session: &SessionRecord) -> Self {
        Self {
            fence: session.fence,
            version: session.version,
            ttl: session.ttl,
        }
    }
}

/// A session that was written to the target.
#[derive(Debug)]
struct Written {
    came: Came,
    compared: bool,
}

/// A copy from one fleet to another.
#[derive(Debug)]
pub struct Copy {
    from: Backend,
    to: Backend,
    report: Report,
    written: HashMap<SessionId, Written>,
    refused: HashSet<SessionId>,
    counts: Counts,
    /// The shortest time to live of what came over.
    shortest: Option<Ttl>,
    started: Instant,
    touched: Instant,
}

impl Copy {
    /// Of all sessions in `from` to `to`.
    pub fn new(from: Backend, to: Backend) -> Self {
        Self {
            report: Report::new(Place::of(&from), Place::of(&to)),
            from,
            to,
            written: HashMap::new(),
            refused: HashSet::new(),
            counts: Counts::new(),
            shortest: None,
            started: Instant::now(),
            touched: Instant::now(),
        }
    }

    /// What came of it so far, also where it was stopped.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Copies and verifies. It may be stopped anywhere, and repeated as often as wanted.
    ///
    /// # Errors
    /// `No` when not everything is on both sides the same, once all was tried; `Usage` where both sides
    /// are one fleet; `Unavailable` and others that stopped it.
    pub async fn run(&mut self, tell: Tell<'_>) -> Result<(), Failure> {
        self.started = Instant::now();
        self.touched = self.started;
        let outcome = self.run_through(tell).await.and_then(|()| self.report.judge());
        self.report.ok = outcome.is_ok();
        outcome
    }

    async fn run_through(&mut self, tell: Tell<'_>) -> Result<(), Failure> {
        // A copy may be run again.
        self.counts = Counts::new();
        self.written.clear();
        (self.counts.source, self.counts.target) = self.count().await?;
        self.write(tell).await?;
        self.verify(tell).await?;
        self.keep_alive().await?;
        let (source, target) = self.count().await?;
        let disagreement = self.counts.compare(&source, &target);
        self.report.counted = source.sum();
        self.report.counted_at_target = target.sum();
        self.report.unlisted = disagreement.unlisted;
        self.report.partitions_changed = disagreement.partitions_changed;
        Ok(())
    }

    /// The live sessions of both sides.
    async fn count(&self) -> Result<(Numbers, Numbers), Failure> {
        tokio::try_join!(
            Numbers::count(&self.from.sessions, "counting the source"),
            Numbers::count(&self.to.sessions, "counting the target"),
        )
    }

    async fn write(&mut self, tell: Tell<'_>) -> Result<(), Failure> {
        let mut request = ListSessions::all(PAGE);
        let mut partition = Vec::new();
        let mut writing = JoinSet::new();
        loop {
            let page = self.page(&request, tell, true).await?;
            partition.extend(page.sessions);
            // All sessions of a player are in one partition, so those before the last are complete.
            let complete = page.next.map_or(partition.len(), |Cursor(last)| {
                partition.partition_point(|session| session.id.partition() < last.partition())
            });
            for sessions in by_player(partition.drain(..complete)) {
                if writing.len() == IN_FLIGHT {
                    self.wrote(writing.join_next().await, tell)?;
                }
                let (from, to) = (self.from.sessions.clone(), self.to.sessions.clone());
                writing.spawn(async move { write::player(&*from, &*to, sessions).await });
            }
            self.step(Stage::Copying, page.next, self.report.sessions, tell)?;
            self.keep_alive().await?;
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        while !writing.is_empty() {
            self.wrote(writing.join_next().await, tell)?;
        }
        self.step(Stage::Copying, None, self.report.sessions, tell)
    }

    fn wrote(&mut self, wrote: Joined<Vec<Wrote>>, tell: Tell<'_>) -> Result<(), Failure> {
        for wrote in joined(wrote)? {
            self.report.sessions += 1;
            match wrote.outcome {
                Ok(data_bytes) => {
                    self.report.copied += 1;
                    self.counts.copied.add(wrote.id);
                    self.report.data_bytes += data_bytes;
                    let ttl = wrote.came.ttl;
                    self.shortest = Some(self.shortest.map_or(ttl, |shortest| shortest.min(ttl)));
                    let written = Written {
                        came: wrote.came,
                        compared: false,
                    };
                    self.written.insert(wrote.id, written);
                }
                Err(error) => {
                    self.report.refused += 1;
                    self.refused.insert(wrote.id);
                    tell(Event::Problem(Problem::refused(wrote.id, &error)))?;
                }
            }
        }
        Ok(())
    }

    async fn verify(&mut self, tell: Tell<'_>) -> Result<(), Failure> {
        let mut request = ListSessions::all(PAGE);
        let mut comparing = JoinSet::new();
        loop {
            let page = self.page(&request, tell, false).await?;
            for session in page.sessions {
                if self.refused.contains(&session.id) {
                    continue;
                }
                if comparing.len() == IN_FLIGHT {
                    self.compared(comparing.join_next().await, tell)?;
                }
                let came = self.written.get_mut(&session.id).map(|written| {
                    written.compared = true;
                    written.came
                });
                let to = self.to.sessions.clone();
                comparing.spawn(async move { verify::session(&*to, &session, came).await });
            }
            self.step(Stage::Verifying, page.next, self.report.compared(), tell)?;
            self.keep_alive().await?;
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        while !comparing.is_empty() {
            self.compared(comparing.join_next().await, tell)?;
        }
        for (id, _) in self.written.iter().filter(|(_, written)| !written.compared) {
            self.report.changed += 1;
            tell(Event::Problem(Problem::changed(
                *id,
                "it ended since it was copied",
            )))?;
        }
        self.step(Stage::Verifying, None, self.report.compared(), tell)
    }

    fn compared(&mut self, compared: Joined<(SessionId, Verdict)>, tell: Tell<'_>) -> Result<(), Failure> {
        let (id, verdict) = joined(compared)?;
        match verdict {
            Verdict::Same => self.report.verified += 1,
            Verdict::Changed(how) => {
                self.report.changed += 1;
                tell(Event::Problem(Problem::changed(id, how)))?;
            }
            Verdict::Differs(how) => {
                self.report.differs += 1;
                tell(Event::Problem(Problem::differs(id, how)))?;
            }
        }
        Ok(())
    }

    /// A page of the source. What cannot be read there is told `first`, and stops nothing.
    async fn page(
        &mut self,
        request: &ListSessions,
        tell: Tell<'_>,
        first: bool,
    ) -> Result<SessionPage, Failure> {
        let page = self.from.sessions.list(request.clone()).await;
        let page = page.map_err(|error| stopped(error, "reading the source"))?;
        self.counts.listed[usize::from(!first)].add_page(&page);
        if first {
            for unreadable in &page.unreadable {
                self.report.unreadable += 1;
                tell(Event::Problem(Problem::unreadable(unreadable)))?;
            }
        }
        Ok(page)
    }

    fn step(
        &mut self,
        stage: Stage,
        next: Option<Cursor>,
        sessions: u64,
        tell: Tell<'_>,
    ) -> Result<(), Failure> {
        self.report.took_ms = millis(self.started.elapsed());
        tell(Event::Step {
            stage,
            partitions: next.map_or(Partition::COUNT, |Cursor(last)| last.partition().get()),
            sessions,
        })
    }

    /// Touches what came over, where it is time to.
    async fn keep_alive(&mut self) -> Result<(), Failure> {
        let Some(shortest) = self.shortest else {
            return Ok(());
        };
        if self.touched.elapsed() < (shortest.duration() / 3).max(TOUCH_PERIOD_MIN) {
            return Ok(());
        }
        self.touched = Instant::now();
        let touches: Vec<Touch> = self
            .written
            .iter()
            .map(|(id, Written { came, .. })| Touch::new(*id, write::fence(came.fence), came.ttl))
            .collect();
        for touches in touches.chunks(TOUCHES) {
            // Whose session is no longer as it was written shows when it is compared.
            let answer = self.to.sessions.touch_many(touches).await;
            answer.map_err(|error| stopped(error, "keeping alive what was copied"))?;
        }
        Ok(())
    }
}

/// What a task of a set came to; `None` of an empty set.
type Joined<T> = Option<Result<Result<T, Failure>, JoinError>>;

fn joined<T>(joined: Joined<T>) -> Result<T, Failure> {
    match joined {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(Failure::failed(format!("a task ended before its time: {error}"))),
        None => Err(Failure::failed("a task was waited for that was never started")),
    }
}

fn by_player(sessions: impl Iterator<Item = SessionRecord>) -> impl Iterator<Item = Vec<SessionRecord>> {
    let mut players: HashMap<_, Vec<SessionRecord>> = HashMap::new();
    for session in sessions {
        players.entry(session.player.clone()).or_default().push(session);
    }
    players.into_values()
}

/// An error that ends the copy.
fn stopped(error: ringhold::Error, doing: &str) -> Failure {
    Failure::from(error).during(doing)
}
