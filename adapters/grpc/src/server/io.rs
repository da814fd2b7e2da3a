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
pub(super) struct Paced<I> {
    io: I,
    pace: Arc<Pace>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<I> Paced<I> {
    pub(super) fn new(io: I, pace: Arc<Pace>) -> Self {
        Self {
            io,
            pace,
            pause: None,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Paced<I> {
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

impl<I: AsyncWrite + Unpin> AsyncWrite for Paced<I> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::advance;

    /// 10 requests per second after the first 5.
    fn pace() -> Arc<Pace> {
        let mut limits = GrpcLimits::default();
        (limits.requests_per_second, limits.requests_burst) = (10, 5);
        Arc::new(Pace::new(&limits))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_above_the_burst_are_admitted_at_the_rate() {
        let pace = pace();
        let admitted = |requests: usize| (0..requests).filter(|_| pace.admit()).count();
        assert_eq!(admitted(20), 5);
        assert!(!pace.is_calm());
        // The 15 that were refused are paid for first.
        advance(Duration::from_millis(1_500)).await;
        assert_eq!(admitted(1), 0);
        advance(Duration::from_millis(300)).await;
        assert_eq!(admitted(4), 2);
        advance(Duration::from_secs(60)).await;
        assert!(pace.is_calm());
        assert_eq!(admitted(20), 5, "no more than the burst, after any time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_above_its_rate_is_read_ahead_and_then_paused_until_its_debt_is_paid() {
        let (pace, (mut caller, served)) = (pace(), duplex(2 * AHEAD_BYTES));
        let mut served = Paced::new(served, Arc::clone(&pace));
        caller.write_all(&vec![0; 2 * AHEAD_BYTES]).await.unwrap();
        let mut bytes = vec![0; AHEAD_BYTES];

        // A debt of 100 ms is not above the limit: nothing is counted as read ahead.
        assert_eq!((0..6).filter(|_| pace.admit()).count(), 5);
        served.read_exact(&mut bytes[..100]).await.unwrap();
        assert!(!pace.admit());
        served.read_exact(&mut bytes).await.unwrap();

        let start = Instant::now();
        assert_eq!(served.read(&mut bytes).await.unwrap(), AHEAD_BYTES - 100);
        assert_eq!(
            start.elapsed(),
            Duration::from_millis(200),
            "two requests in debt"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_grows_with_the_requests_that_are_admitted_during_it() {
        let (pace, (mut caller, served)) = (pace(), duplex(2 * AHEAD_BYTES));
        let mut served = Paced::new(served, Arc::clone(&pace));
        caller.write_all(&vec![0; 2 * AHEAD_BYTES]).await.unwrap();
        assert_eq!((0..10).filter(|_| pace.admit()).count(), 5);
        let mut bytes = vec![0; AHEAD_BYTES];
        served.read_exact(&mut bytes).await.unwrap();

        // Another connection of the caller, whose requests were read already.
        let (start, other) = (Instant::now(), Arc::clone(&pace));
        let asking = async {
            advance(Duration::from_millis(400)).await;
            assert!((0..5).all(|_| !other.admit()));
        };
        let (read, ()) = tokio::join!(served.read(&mut bytes), asking);
        assert_eq!(read.unwrap(), AHEAD_BYTES);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
