//! Paused tokio time for tests that use real sockets.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::WAIT_MAX;

/// Paused tokio time that only [`advance`](Self::advance) moves, until the value is dropped.
///
/// `#[tokio::test(start_paused = true)]` moves time whenever the runtime has nothing to do. A runtime that
/// waits for a socket has nothing to do either, so timeouts elapse there before the bytes arrive. tokio holds
/// paused time still while a blocking task runs; this value owns such a task.
///
/// A test that waits forever does not hang: after [`WAIT_MAX`] of real time the paused time moves by itself
/// again, so that the timeouts of [`within`](crate::within) and [`wait_for`](crate::wait_for) elapse.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use ringhold_testkit::PausedTime;
/// use tokio::time::Instant;
///
/// let (time, start) = (PausedTime::new(), Instant::now());
/// time.advance(Duration::from_secs(1)).await;
/// assert_eq!(start.elapsed(), Duration::from_secs(1));
/// # });
/// ```
#[derive(Debug)]
pub struct PausedTime {
    _held: Sender<()>,
}

impl PausedTime {
    /// Pauses the time of the current runtime.
    ///
    /// # Panics
    /// Outside a current-thread runtime, or where its time is paused already.
    #[expect(clippy::new_without_default, reason = "it changes the runtime")]
    pub fn new() -> Self {
        tokio::time::pause();
        let (held, released) = channel();
        tokio::task::spawn_blocking(move || hold(&released));
        Self { _held: held }
    }

    /// Moves the time forward and lets the tasks run whose timers elapsed. Timers have a resolution of 1 ms: one
    /// that is due exactly then may elapse 1 ms later.
    ///
    /// Not cancel-safe: the time has moved once the future was polled.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::advance(duration).await;
    }

    /// Lets the time move by itself again.
    pub fn resume(self) {
        tokio::time::resume();
    }
}

fn hold(released: &Receiver<()>) {
    if released.recv_timeout(WAIT_MAX) == Err(RecvTimeoutError::Timeout) {
        eprintln!("paused time moves again: the test took more than {WAIT_MAX:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, timeout};

    #[tokio::test]
    async fn no_timeout_elapses_while_a_socket_is_silent() {
        const LATER: Duration = Duration::from_millis(30);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (writer, _) = listener.accept().await.unwrap();
        let writer = writer.into_std().unwrap();
        let (time, start) = (PausedTime::new(), Instant::now());
        // Another thread, in real time: the runtime has nothing to do until then.
        let closing = std::thread::spawn(move || {
            // The socket has to be silent for a while; waking up early does no harm.
            std::thread::park_timeout(LATER);
            drop(writer);
        });
        let read = timeout(Duration::from_millis(1), reader.read(&mut [0])).await;
        assert_eq!(read.expect("the timeout does not elapse").unwrap(), 0);
        assert_eq!(start.elapsed(), Duration::ZERO);
        closing.join().unwrap();
        time.advance(LATER).await;
        assert_eq!(start.elapsed(), LATER);
    }
}
