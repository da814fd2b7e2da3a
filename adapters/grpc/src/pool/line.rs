//! One connection to a node: made when it is needed, and not asked for while it is known to be broken.
//!
//! After a failure, calls fail at once until a pause is over, which grows from failure to failure. The first
//! call after it tries again, alone; when that succeeds, all may. A connection that ends sooner than it was of
//! use is a failure too, however it ends.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ringhold_core::{Error, ErrorKind, NodeId, Result};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::body::Body;

use super::channel::Channel;
use crate::GrpcLimits;
use crate::batch::Batched;
use crate::security::{Io, Secured};
use crate::server::{CONNECTION_BYTES_MAX, SEND_BYTES_MAX};

/// Pauses are drawn from nothing to this, twice as much after each failure.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A connection that breaks sooner counts as none.
const USEFUL_MIN: Duration = Duration::from_secs(1);
/// What one answer may be ahead of its reader.
const WINDOW_BYTES: u32 = 64 << 10;

/// What it takes to make a connection.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) secured: Arc<Secured>,
    pub(super) limits: GrpcLimits,
    pub(super) node: NodeId,
    pub(super) host: String,
    pub(super) port: u16,
}

/// A connection, or the lack of one.
pub(crate) struct Line {
    dial: Arc<Dial>,
    /// What may be under way on it.
    pub(super) places: Arc<Semaphore>,
    places_max: usize,
    state: Mutex<State>,
    changed: Notify,
    started: Instant,
    /// Milliseconds from the start to the last use.
    used: AtomicU64,
}

struct State {
    phase: Phase,
    /// Which attempt the phase is of: what an earlier one still has to say says nothing of this one.
    attempt: u64,
    /// In a row; a connection that was of use ends the row.
    failures: u32,
    /// Why the last one failed.
    why: Option<Why>,
    /// Until then nothing is tried.
    until: Instant,
}

/// What can be told more than once of a failure.
struct Why {
    kind: ErrorKind,
    words: String,
}

enum Phase {
    Closed,
    Dialling(Task),
    Open(
        Channel,
        #[expect(dead_code, reason = "held, so that the task ends with it")] Task,
    ),
}

/// What there is for who asks for the connection.
enum Asked<'a> {
    Open(Channel),
    /// It is being made, and this says when that has come to its end.
    Dialling(Notified<'a>),
}

/// The task of a connection, which ends with this.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Line {
    pub(super) fn new(dial: Dial, places: usize) -> Self {
        Self {
            dial: Arc::new(dial),
            places: Arc::new(Semaphore::new(places)),
            places_max: places,
            state: Mutex::new(State {
                phase: Phase::Closed,
                attempt: 0,
                failures: 0,
                why: None,
                until: Instant::now(),
            }),
            changed: Notify::new(),
            started: Instant::now(),
            used: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock runs foreign code.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open connection, made where there is none.
    ///
    /// # Errors
    /// Why the last attempt failed, at once while it is too early for the next.
    pub(crate) async fn channel(self: &Arc<Self>) -> Result<Channel> {
        match self.ask()? {
            Asked::Open(channel) => return Ok(channel),
            Asked::Dialling(changed) => changed.await,
        }
        let state = self.state();
        match &state.phase {
            Phase::Open(channel, _) => Ok(channel.clone()),
            _ => Err(state.refusal(&self.dial)),
        }
    }

    /// The connection where it is open, and nobody waits for it; where it is not, its making begins.
    pub(super) fn open(self: &Arc<Self>) -> Option<Channel> {
        match self.ask() {
            Ok(Asked::Open(channel)) => Some(channel),
            Ok(Asked::Dialling(_)) | Err(_) => None,
        }
    }

    /// The connection where it is open already; none is made for this call.
    pub(super) fn standing(self: &Arc<Self>) -> Option<Channel> {
        let stands = matches!(&self.state().phase, Phase::Open(channel, _) if !channel.is_closed());
        // A use like any other, or it would end as one that nobody uses, or never for all that waits on it.
        if stands { self.open() } else { None }
    }

    fn ask(self: &Arc<Self>) -> Result<Asked<'_>> {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Relaxed);
        let mut state = self.state();
        match &state.phase {
            Phase::Open(channel, _) if !channel.is_closed() => {
                // Where the other side takes nothing, what callers have given up still waits, and only the
                // end of the connection takes it back.
                if channel.unsent() < 3 * self.places_max.max(64) {
                    return Ok(Asked::Open(channel.clone()));
                }
                let attempt = state.attempt;
                drop(state);
                self.closed(attempt, Some(Why::new("it takes no more requests")));
                return Err(self.state().refusal(&self.dial));
            }
            // One whose runtime ended before it began has said nothing.
            Phase::Dialling(task) if !task.0.is_finished() => {
                if state.failures > 0 {
                    return Err(state.refusal(&self.dial));
                }
            }
            _ if state.failures > 0 && Instant::now() < state.until => {
                return Err(state.refusal(&self.dial));
            }
            _ => {
                state.attempt += 1;
                let run = run(Arc::downgrade(self), state.attempt, Arc::clone(&self.dial));
                state.phase = Phase::Dialling(Task(tokio::spawn(run).abort_handle()));
            }
        }
        // Under the lock, so that no change is missed.
        Ok(Asked::Dialling(self.changed.notified()))
    }

    /// A place for a call. Who has a turn finds one: there are as many.
    pub(super) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// How much is under way.
    pub(super) fn under_way(&self) -> usize {
        self.places_max.saturating_sub(self.places.available_permits())
    }

    pub(super) fn is_idle(&self, idle: Duration) -> bool {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        let unused = self.started.elapsed().saturating_sub(used);
        unused >= idle && self.under_way() == 0
    }

    fn opened(&self, attempt: u64, channel: Channel) {
        let mut state = self.state();
        if state.attempt != attempt {
            return;
        }
        let phase = std::mem::replace(&mut state.phase, Phase::Closed);
        // Its task is the one that says so.
        state.phase = match phase {
            Phase::Dialling(task) => Phase::Open(channel, task),
            other => other,
        };
        drop(state);
        self.changed.notify_waiters();
    }

    /// The connection has stood for so long that earlier failures say nothing of the next.
    fn useful(&self, attempt: u64) {
        let mut state = self.state();
        if state.attempt == attempt {
            (state.failures, state.why) = (0, None);
        }
    }

    fn closed(&self, attempt: u64, why: Option<Why>) {
        let mut state = self.state();
        if state.attempt != attempt {
            return;
        }
        // This aborts the task that is saying so, which has nothing more to say.
        state.phase = Phase::Closed;
        if let Some(why) = why {
            state.failures = state.failures.saturating_add(1);
            state.why = Some(why);
            let longest = PAUSE.saturating_mul(1 << state.failures.min(8)) / 2;
            state.until = Instant::now() + jittered(longest.min(PAUSE_MAX));
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    fn refusal(&self, dial: &Dial) -> Error {
        let Dial { node, host, port, .. } = dial;
        let (kind, words) = self
            .why
            .as_ref()
            .map_or((ErrorKind::Unavailable, "the connection was closed"), |why| {
                (why.kind, &why.words)
            });
        Error::new(kind, "call", format!("node {node} at {host}:{port}: {words}"))
    }
}

impl Why {
    fn new(words: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            words: words.into(),
        }
    }
}

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
            _ => ErrorKind::Unavailable,
        };
        let mut words = error.context().to_owned();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        Self { kind, words }
    }
}

/// Says that an attempt has come to nothing, also where its task ends with its runtime.
struct Attempt<'a> {
    line: &'a Weak<Line>,
    number: u64,
    outcome: Option<Why>,
}

impl Attempt<'_> {
    fn succeeded(mut self) {
        self.outcome = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let (Some(line), Some(why)) = (self.line.upgrade(), self.outcome.take()) {
            line.closed(self.number, Some(why));
        }
    }
}

/// Makes a connection, and keeps it going until it ends or nobody uses it.
async fn run(line: Weak<Line>, number: u64, dial: Arc<Dial>) {
    let limits = &dial.limits;
    let mut attempt = Attempt {
        line: &line,
        number,
        outcome: Some(Why::new("the attempt to connect was given up")),
    };
    let made = match timeout(limits.connect, connect(&dial)).await {
        Ok(made) => made,
        Err(_) => Err(Why::new(format!("no connection within {:?}", limits.connect))),
    };
    let (send, connection) = match made {
        Ok(made) => made,
        Err(why) => {
            attempt.outcome = Some(why);
            return;
        }
    };
    attempt.succeeded();
    match line.upgrade() {
        Some(line) => line.opened(number, Channel::new(send)),
        None => return,
    }
    let opened = Instant::now();
    let useful = async {
        // sleep: that nothing happens is what is waited for.
        sleep(USEFUL_MIN).await;
        if let Some(line) = line.upgrade() {
            line.useful(number);
        }
        pending::<()>().await;
    };
    let why = tokio::select! {
        () = useful => None,
        // One that was of use is made anew at once, and what comes of that says more.
        ended = connection => (opened.elapsed() < USEFUL_MIN).then(|| match ended {
            Ok(()) => Why::new("the other side closed the connection at once"),
            Err(error) => Why::new(format!("the connection broke: {error}")),
        }),
        () = idle(&line, limits.idle) => None,
    };
    if let Some(line) = line.upgrade() {
        line.closed(number, why);
    }
}

type Connection = http2::Connection<TokioIo<Batched<Io>>, Body, TokioExecutor>;

async fn connect(dial: &Dial) -> Result<(http2::SendRequest<Body>, Connection), Why> {
    let limits = &dial.limits;
    let tcp = TcpStream::connect((dial.host.as_str(), dial.port)).await;
    let tcp = tcp.map_err(|error| Why::new(format!("no connection: {error}")))?;
    // Small requests are not held back for more to come. Where it fails they are only slower.
    let _ = tcp.set_nodelay(true);
    let io = dial.secured.connect(tcp, &dial.host, &dial.node).await?;
    let made = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES_MAX)
        .max_header_list_size(limits.header_bytes_max)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive_answer)
        .handshake(TokioIo::new(Batched::new(io)))
        .await;
    made.map_err(|error| Why::new(format!("no connection: {error}")))
}

/// Returns when the connection was not used for so long, or its node is forgotten.
async fn idle(line: &Weak<Line>, idle: Duration) {
    while line.upgrade().is_some_and(|line| !line.is_idle(idle)) {
        // sleep: that nothing happens is what is waited for.
        sleep(idle / 4).await;
    }
}

/// A random part of a pause, so that those who wait do not come back at once.
pub(crate) fn jittered(longest: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the pause is as long as it gets.
    if getrandom::fill(&mut random).is_err() {
        return longest;
    }
    longest.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;

    fn line(listener: &tokio::net::TcpListener) -> Arc<Line> {
        let dial = Dial {
            secured: Arc::new(Secured::load(&Security::Plain, None).unwrap()),
            limits: GrpcLimits::default(),
            node: NodeId::new("eu-1").unwrap(),
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
        };
        Arc::new(Line::new(dial, 1))
    }

    #[tokio::test]
    async fn what_an_earlier_attempt_says_ends_no_later_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = line(&listener);
        line.channel().await.unwrap();
        // Its connection is known to be closed before its task has said so.
        line.state().phase = Phase::Closed;
        let again = line.channel();
        tokio::pin!(again);
        assert!(ringhold_testkit::poll_once(&mut again).await.is_none());
        line.closed(1, Some(Why::new("late")));
        again.await.unwrap();
        line.closed(1, None);
        assert!(matches!(line.state().phase, Phase::Open(..)));
        line.closed(2, None);
        assert!(matches!(line.state().phase, Phase::Closed));
    }

    #[tokio::test]
    async fn who_finds_it_standing_uses_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = line(&listener);
        assert!(line.standing().is_none());
        assert!(matches!(line.state().phase, Phase::Closed), "nothing was begun");
        line.channel().await.unwrap();
        let before = line.used.load(Ordering::Relaxed);
        let later = async {
            while line.started.elapsed() <= Duration::from_millis(before + 1) {
                tokio::task::yield_now().await;
            }
        };
        ringhold_testkit::within("a later time", later).await;
        assert!(line.standing().is_some());
        assert!(line.used.load(Ordering::Relaxed) > before);
    }

    #[tokio::test]
    async fn an_attempt_that_never_began_is_made_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = line(&listener);
        let never = tokio::spawn(async {});
        let abort = never.abort_handle();
        never.await.unwrap();
        line.state().phase = Phase::Dialling(Task(abort));
        ringhold_testkit::within("a connection", line.channel())
            .await
            .unwrap();
    }
}
