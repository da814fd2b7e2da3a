//! A connection that writes what comes together in one piece.
//!
//! HTTP/2 writes whenever a request or an answer has been put in, and each write is a TLS record and a system
//! call. With many calls under way most of the time would go there. So what is written is gathered, and goes
//! out when the tasks that are ready to run had their turn, or when there is much of it. Where nobody else is
//! ready that is at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is gathered at most.
const GATHERED_MAX: usize = 32 << 10;

/// A connection with a buffer in front of its writing side.
pub(crate) struct Batched<T> {
    inner: T,
    gathered: Vec<u8>,
    /// So much of that is written.
    written: usize,
    /// Others had their turn since something was gathered.
    waited: bool,
}

impl<T: AsyncWrite + Unpin> Batched<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            gathered: Vec::new(),
            written: 0,
            waited: false,
        }
    }

    /// Writes all that is gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let left = &self.gathered[self.written..];
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        self.written = 0;
        self.waited = false;
        self.gathered.clear();
        Poll::Ready(Ok(()))
    }

    fn has_room(&self) -> bool {
        self.gathered.len() < GATHERED_MAX
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Batched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Batched<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.has_room() {
            ready!(this.poll_drain(cx))?;
        }
        let before = this.gathered.len();
        for slice in slices {
            let room = GATHERED_MAX - this.gathered.len();
            this.gathered.extend_from_slice(&slice[..slice.len().min(room)]);
            if !this.has_room() {
                break;
            }
        }
        Poll::Ready(Ok(this.gathered.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.gathered.is_empty() && !this.waited && this.has_room() {
            this.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn what_comes_together_goes_out_in_one_piece() {
        let (near, mut far) = duplex(1 << 20);
        let mut batched = Batched::new(near);
        for byte in 0..100 {
            batched.write_all(&[byte; 10]).await.unwrap();
        }
        let mut buffer = vec![0; 1 << 20];
        let mut reading = std::pin::pin!(far.read(&mut buffer));
        let nothing = std::future::poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending()));
        assert!(nothing.await, "nothing goes out before it is flushed");
        batched.flush().await.unwrap();
        assert_eq!(reading.await.unwrap(), 1_000);
    }

    #[tokio::test]
    async fn much_goes_out_in_order_through_a_narrow_pipe() {
        let (near, mut far) = duplex(1_000);
        let sent: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            let mut batched = Batched::new(near);
            for piece in sent.chunks(777) {
                batched.write_all(piece).await.unwrap();
            }
            batched.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        writing.await.unwrap();
        assert!(got == expected, "every byte once, in order");
    }
}
