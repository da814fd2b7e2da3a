//! What a handler passes on to the calls that it makes: the time that is left, and the trace.

use std::time::Duration;

use ringhold_core::transport::{PeerRequest, TIME_LEFT_MAX, TraceContext};
use ringhold_core::{Error, ErrorKind, OperationId, Result};
use tokio::time::{Instant, timeout_at};

use super::{CALL, CallOptions};
use crate::random;

tokio::task_local! {
    static SCOPE: Scope;
}

/// The request that a handler works on.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    deadline: Instant,
    trace: TraceContext,
}

impl Scope {
    /// Of a request that has just come in. A trace is begun where it has none.
    pub(super) fn of(request: &PeerRequest) -> Self {
        Self {
            deadline: Instant::now() + request.time_left.min(TIME_LEFT_MAX),
            trace: request.trace.clone().unwrap_or_else(random::trace),
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn trace(&self) -> &TraceContext {
        &self.trace
    }

    /// Runs `work`; the calls that it makes inherit from this request.
    pub(super) async fn run<F: Future>(self, work: F) -> F::Output {
        SCOPE.scope(self, work).await
    }
}

/// What all requests of one call have in common.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) deadline: Instant,
    pub(super) key: Option<OperationId>,
    trace: TraceContext,
    within: Duration,
    /// The end of the request that the call is made for.
    outer: Option<Instant>,
}

impl Terms {
    /// What `options` ask for, within what the handler leaves that this is called in.
    pub(super) fn new(options: &CallOptions) -> Result<Self> {
        let (outer, inherited) = SCOPE
            .try_with(|scope| (scope.deadline, scope.trace.clone()))
            .ok()
            .unzip();
        let key = match options.key {
            None if options.once => Some(random::operation()?),
            key => key,
        };
        let trace = options.trace.clone().or(inherited);
        let within = options.within.unwrap_or(PeerRequest::TIME_LEFT);
        let terms = Self {
            deadline: Instant::now(),
            key,
            trace: trace.unwrap_or_else(random::trace),
            within: within.min(TIME_LEFT_MAX),
            outer,
        };
        Ok(terms.anew())
    }

    /// The same for one more call, whose time begins now.
    pub(super) fn anew(&self) -> Self {
        let deadline = Instant::now() + self.within;
        Self {
            deadline: self.outer.map_or(deadline, |outer| deadline.min(outer)),
            ..self.clone()
        }
    }

    /// The same with half of the time that is left.
    pub(super) fn half(&self) -> Self {
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        Self {
            deadline: now + left / 2,
            ..self.clone()
        }
    }

    /// Those of a call of the runtime's own, which may be repeated.
    pub(super) fn keyed() -> Result<Self> {
        Self::new(&CallOptions::new().once())
    }

    /// The span of one more request.
    pub(super) fn next_span(&self) -> TraceContext {
        self.trace.child(random::quick().to_be_bytes())
    }

    /// How much longer the caller waits.
    ///
    /// # Errors
    /// `Timeout` when that is over.
    pub(super) fn time_left(&self) -> Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(too_late()) } else { Ok(left) }
    }

    /// Waits for `work` as long as the caller does.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        in_time(self.deadline, work).await
    }
}

/// Waits for `work` until `deadline`.
pub(super) async fn in_time<T>(deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout_at(deadline, work)
        .await
        .unwrap_or_else(|_| Err(too_late()))
}

fn too_late() -> Error {
    Error::new(ErrorKind::Timeout, CALL, "the time of the call is over")
}
