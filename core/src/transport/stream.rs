//! Messages both ways between two nodes, for as long as both want.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::BODY_BYTES_MAX;
use crate::{Error, ErrorKind, Result};

/// The half of a stream that a transport sends on.
///
/// Dropping it without [`end`](Self::end) breaks the stream: the other side is told `Unavailable`.
#[async_trait]
pub trait SendHalf: Send {
    /// Takes one message of at most [`BODY_BYTES_MAX`] bytes, as soon as the other side keeps up.
    async fn send(&mut self, message: Bytes) -> Result<()>;

    /// Says that nothing more comes, and why.
    async fn end(&mut self, why: Result<()>) -> Result<()>;
}

/// The half of a stream that a transport receives on.
#[async_trait]
pub trait ReceiveHalf: Send {
    /// The next message; `None` when the other side has ended well. Cancel safe.
    async fn receive(&mut self) -> Result<Option<Bytes>>;
}

/// The half of a [`PeerStream`] that sends.
pub struct PeerSender {
    half: Box<dyn SendHalf>,
    ended: bool,
}

impl PeerSender {
    /// Sends one message, whole or not at all, behind those before it. Waits where the other side does
    /// not keep up: no more than a few messages are on their way.
    ///
    /// # Cancel safety
    /// Dropping the future is ambiguous: the message may have been sent.
    ///
    /// # Errors
    /// - `TooLarge`: above [`BODY_BYTES_MAX`]; the stream goes on.
    /// - `Unavailable`: the other side, or the way there, is gone.
    /// - `InvalidArgument`: after the end.
    pub async fn send(&mut self, message: impl Into<Bytes> + Send) -> Result<()> {
        let message = message.into();
        if message.len() > BODY_BYTES_MAX {
            let context = format!(
                "has {} bytes; at most {BODY_BYTES_MAX} can be sent",
                message.len()
            );
            return Err(Error::new(ErrorKind::TooLarge, "stream message", context));
        }
        if self.ended {
            let context = "this side has said that nothing more comes";
            return Err(Error::new(ErrorKind::InvalidArgument, "stream message", context));
        }
        self.half.send(message).await
    }

    /// Says that nothing more comes. The other side gets all that was sent, and then the end. What it
    /// sends still arrives here. A repetition does nothing.
    ///
    /// # Errors
    /// `Unavailable`: the other side, or the way there, is gone.
    pub async fn finish(&mut self) -> Result<()> {
        self.end(Ok(())).await
    }

    /// Ends with an error, which the other side is told as it is: its kind, its context, whether it may be
    /// repeated, and the owner that it names.
    ///
    /// # Errors
    /// `Unavailable`: the other side, or the way there, is gone.
    pub async fn fail(&mut self, error: Error) -> Result<()> {
        self.end(Err(error)).await
    }

    async fn end(&mut self, why: Result<()>) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.half.end(why).await
    }
}

impl fmt::Debug for PeerSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSender")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// What a stream ended with, to be told again.
#[derive(Debug, Clone, Copy)]
enum End {
    Well,
    Badly(ErrorKind),
}

/// The half of a [`PeerStream`] that receives.
pub struct PeerReceiver {
    half: Box<dyn ReceiveHalf>,
    ended: Option<End>,
}

impl PeerReceiver {
    /// The next message, in the order in which they were sent; `None` at the end.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost.
    ///
    /// # Errors
    /// - the error that the other side ended with;
    /// - `Unavailable`: the other side, or the way there, is gone. What it sent last may be lost.
    pub async fn receive(&mut self) -> Result<Option<Bytes>> {
        match self.ended {
            Some(End::Well) => return Ok(None),
            Some(End::Badly(kind)) => {
                let context = "the stream has ended with an error that was told";
                return Err(Error::new(kind, "stream", context));
            }
            None => {}
        }
        let received = self.half.receive().await;
        match &received {
            Ok(Some(_)) => {}
            Ok(None) => self.ended = Some(End::Well),
            Err(error) => self.ended = Some(End::Badly(error.kind())),
        }
        received
    }
}

impl fmt::Debug for PeerReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerReceiver")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// An open stream between two nodes. Dropping it, or one half of it, before its end breaks it.
///
/// A stream outlives neither of the two runs that it connects, and nothing of it is repeated.
#[derive(Debug)]
pub struct PeerStream {
    /// Sends.
    pub sender: PeerSender,
    /// Receives.
    pub receiver: PeerReceiver,
}

impl PeerStream {
    /// A stream over the two halves of a transport.
    pub fn new(send: impl SendHalf + 'static, receive: impl ReceiveHalf + 'static) -> Self {
        Self {
            sender: PeerSender {
                half: Box::new(send),
                ended: false,
            },
            receiver: PeerReceiver {
                half: Box::new(receive),
                ended: None,
            },
        }
    }

    /// As [`PeerSender::send`].
    pub async fn send(&mut self, message: impl Into<Bytes> + Send) -> Result<()> {
        self.sender.send(message).await
    }

    /// As [`PeerReceiver::receive`].
    pub async fn receive(&mut self) -> Result<Option<Bytes>> {
        self.receiver.receive().await
    }

    /// As [`PeerSender::finish`].
    pub async fn finish(&mut self) -> Result<()> {
        self.sender.finish().await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    /// What a future that waits for nothing comes to.
    pub(in crate::transport) fn at_once<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits"),
        }
    }

    /// What was told to the transport: messages, and ends.
    type Told = Arc<Mutex<Vec<Result<Option<Bytes>, ErrorKind>>>>;

    struct Sends(Told);

    #[async_trait]
    impl SendHalf for Sends {
        async fn send(&mut self, message: Bytes) -> Result<()> {
            self.0.lock().unwrap().push(Ok(Some(message)));
            Ok(())
        }

        async fn end(&mut self, why: Result<()>) -> Result<()> {
            let end = why.map(|()| None).map_err(|error| error.kind());
            self.0.lock().unwrap().push(end);
            Ok(())
        }
    }

    struct Receives(VecDeque<Result<Option<Bytes>>>);

    #[async_trait]
    impl ReceiveHalf for Receives {
        async fn receive(&mut self) -> Result<Option<Bytes>> {
            self.0.pop_front().expect("nobody asks again")
        }
    }

    fn stream(coming: impl IntoIterator<Item = Result<Option<Bytes>>>) -> (PeerStream, Told) {
        let told = Told::default();
        let receives = Receives(coming.into_iter().collect());
        (PeerStream::new(Sends(Arc::clone(&told)), receives), told)
    }

    fn failed() -> Error {
        Error::new(ErrorKind::Overloaded, "test", "too much")
    }

    #[test]
    fn what_is_sent_goes_on_until_the_end() {
        let (mut stream, told) = stream([]);
        let most = Bytes::from(vec![7; BODY_BYTES_MAX]);
        at_once(stream.send("a")).unwrap();
        at_once(stream.send(most.clone())).unwrap();
        let large = at_once(stream.send(vec![7; BODY_BYTES_MAX + 1])).unwrap_err();
        assert_eq!(large.kind(), ErrorKind::TooLarge);
        assert!(
            format!("{stream:?}").contains("PeerSender { ended: false"),
            "{stream:?}"
        );
        at_once(stream.finish()).unwrap();
        // Once is enough.
        at_once(stream.finish()).unwrap();
        at_once(stream.sender.fail(failed())).unwrap();
        let late = at_once(stream.send("b")).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            *told.lock().unwrap(),
            [Ok(Some("a".into())), Ok(Some(most)), Ok(None)]
        );
        assert!(
            format!("{stream:?}").contains("PeerSender { ended: true"),
            "{stream:?}"
        );
    }

    #[test]
    fn an_error_is_an_end() {
        let (mut stream, told) = stream([]);
        at_once(stream.sender.fail(failed())).unwrap();
        assert_eq!(*told.lock().unwrap(), [Err(ErrorKind::Overloaded)]);
        assert!(at_once(stream.sender.send("a")).is_err());
    }

    #[test]
    fn an_end_is_told_again() {
        let (mut ending, _) = stream([Ok(Some("a".into())), Ok(None)]);
        assert_eq!(at_once(ending.receive()).unwrap(), Some("a".into()));
        assert!(format!("{:?}", ending.receiver).contains("ended: None"));
        for _ in 0..2 {
            assert_eq!(at_once(ending.receive()).unwrap(), None);
        }
        assert!(format!("{:?}", ending.receiver).contains("Well"));

        let (mut failing, _) = stream([Err(failed())]);
        for context in ["too much", "the stream has ended with an error that was told"] {
            let error = at_once(failing.receive()).unwrap_err();
            assert_eq!((error.kind(), error.context()), (ErrorKind::Overloaded, context));
        }
    }
}
