//! A connection that is not read while its caller asks for more than it may.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::GrpcLimits;
use crate::bucket::Bucket;
use crate::security::Io;

/// So much is still read of a caller that asks for too much: what it has sent already of requests that were
/// admitted. HTTP/2 sends the headers of many requests before the first body of them.
const AHEAD_BYTES: usize = 64 << 10;

/// How fast a caller may ask, over all of its connections.
pub(super) struct Pace {
    state: Mutex<State>,
    /// A debt above this is waited for.
    debt_max: Duration,
}

struct State {
    bucket: Bucket,
    /// Nothing is read until then, beside `ahead`.
    read_at: Option<Instant>,
    /// Bytes that are read all the same.
    ahead: usize,
}

impl Pace {
    pub(super) fn new(limits: &GrpcLimits) -> Self {
        let bucket = Bucket::new(limits.requests_burst.into(), limits.requests_per_second.into());
        Self {
            state: Mutex::new(State {
                bucket,
                read_at: None,
                ahead: 0,
            }),
            debt_max: Duration::from_millis(100),
        }
    }

    /// Whether one more request is within the limit.
    ///
    /// Each request above it is answered at a price, so a caller that goes on is no longer read: what it
    /// asks for, and what refusing it costs, stays at the rate of the limit. What is read ahead of that pause
    /// makes it longer.
    pub(super) fn admit(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let debt = state.bucket.owe();
        if let Some(debt) = debt.filter(|debt| *debt > self.debt_max) {
            if state.read_at.is_none() {
                state.ahead = AHEAD_BYTES;
            }
            state.read_at = Some(Instant::now() + debt);
        }
        debt.is_none()
    }

    /// Whether nobody asked lately.
    pub(super) fn is_calm(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bucket.is_full()
    }

    /// Until when nothing is read.
    fn read_at(&self) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read_at.take_if(|read_at| *read_at <= Instant::now());
        state.read_at.filter(|_| state.ahead == 0)
    }

    /// Counts what was read.
    fn read(&self, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ahead = state.ahead.saturating_sub(bytes);
    }
}

/// A connection that is read at its pace.
pub(super) struct Paced {
    io: Io,
    pace: Arc<Pace>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub(super) fn new(io: Io, pace: Arc<Pace>) -> Self {
        Self {
            io,
            pace,
            pause: None,
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(read_at) = this.pace.read_at() {
            let pause = this.pause.get_or_insert_with(|| Box::pin(sleep_until(read_at)));
            if pause.deadline() != read_at {
                pause.as_mut().reset(read_at);
            }
            ready!(pause.as_mut().poll(cx));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        this.pace.read(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Paced {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
