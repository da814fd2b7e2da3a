//! Streams between two nodes, over one HTTP/2 stream.
//!
//! What is sent waits in a short queue until HTTP/2 takes it; what comes is moved by one task into another
//! short queue. So a side that does not read holds the other one back, and a stream that broke is noticed
//! while nobody reads. Each direction ends with a frame that says so, also where its sender was dropped.
//! A receiver that was dropped breaks the stream as a whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt as _, unfold};
use ringhold_core::transport::{BODY_BYTES_MAX, PeerStream, ReceiveHalf, SendHalf};
use ringhold_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use crate::error::{from_detail, from_status, to_detail, to_status};
use crate::generated::v1::stream_frame::Step;
use crate::generated::v1::{End, StreamFrame};

/// How many messages wait in one queue.
const AHEAD_MAX: usize = 4;

const STREAM: &str = "stream";

/// Our half of a stream that is not connected yet.
pub(crate) struct Half {
    /// For whoever uses the stream.
    pub(crate) stream: PeerStream,
    /// What is sent.
    pub(crate) outgoing: Outgoing,
    /// What is to be done with what comes.
    pub(crate) incoming: Incoming,
}

/// The frames of our direction.
pub(crate) struct Outgoing {
    frames: mpsc::Receiver<StreamFrame>,
    broken: CancellationToken,
    /// Done when the other direction has ended.
    heard: CancellationToken,
    ended: bool,
    /// Breaks the stream when HTTP/2 lets this go.
    guard: Option<DropGuard>,
}

/// The frames that a caller sends: a type with a name, which the compiler needs to see that whoever holds it
/// is `Send`.
pub(crate) struct CallerFrames(BoxStream<'static, StreamFrame>);

impl Stream for CallerFrames {
    type Item = StreamFrame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<StreamFrame>> {
        self.0.as_mut().poll_next(cx)
    }
}

/// Where the frames of the other direction go.
pub(crate) struct Incoming {
    items: mpsc::Sender<Item>,
    broken: CancellationToken,
    heard: DropGuard,
}

enum Item {
    Message(Bytes),
    End(Result<()>),
}

struct Sender {
    frames: mpsc::Sender<StreamFrame>,
    broken: CancellationToken,
}

struct Receiver {
    items: mpsc::Receiver<Item>,
}

/// A new stream's half on this side.
pub(crate) fn half() -> Half {
    let (frames, frames_out) = mpsc::channel(AHEAD_MAX);
    let (items_in, items) = mpsc::channel(AHEAD_MAX);
    let (broken, heard) = (CancellationToken::new(), CancellationToken::new());
    let sender = Sender {
        frames,
        broken: broken.clone(),
    };
    Half {
        stream: PeerStream::new(sender, Receiver { items }),
        outgoing: Outgoing {
            frames: frames_out,
            guard: Some(broken.clone().drop_guard()),
            broken: broken.clone(),
            heard: heard.clone(),
            ended: false,
        },
        incoming: Incoming {
            items: items_in,
            broken,
            heard: heard.drop_guard(),
        },
    }
}

impl Outgoing {
    /// As a caller sends it, behind the frame that opens the stream. It is over with the end of this
    /// direction.
    pub(crate) fn of_caller(self, opening: StreamFrame) -> CallerFrames {
        let frames = unfold(self, |mut this| async move {
            if this.ended {
                return None;
            }
            let frame = this.frame().await?;
            if this.ended {
                // From here on the answer alone says whether the stream stands.
                this.guard.take().map(DropGuard::disarm);
            }
            Some((frame, this))
        });
        CallerFrames(
            futures_util::stream::once(async { opening })
                .chain(frames)
                .boxed(),
        )
    }

    /// As a server sends it. It is over when both directions have ended, and with an error where the
    /// stream broke.
    pub(crate) fn of_server(self) -> BoxStream<'static, Result<StreamFrame, Status>> {
        let frames = unfold(Some(self), |this| async move {
            let mut this = this?;
            if !this.ended {
                return Some(match this.frame().await {
                    Some(frame) => (Ok(frame), Some(this)),
                    None => (Err(to_status(&gone())), None),
                });
            }
            tokio::select! {
                biased;
                () = this.heard.cancelled() => None,
                () = this.broken.cancelled() => Some((Err(to_status(&gone())), None)),
            }
        });
        frames.boxed()
    }

    /// The next frame; `None` where the stream broke.
    async fn frame(&mut self) -> Option<StreamFrame> {
        tokio::select! {
            // What was sent before a break is not held back.
            biased;
            frame = self.frames.recv() => {
                // A sender that was dropped did not say why.
                let frame = frame.unwrap_or_else(|| end(Err(gone())));
                self.ended = matches!(frame.step, Some(Step::End(_)));
                Some(frame)
            }
            () = self.broken.cancelled() => None,
        }
    }
}

impl Incoming {
    /// Moves what comes on the server's side, until the stream is over or the node stops.
    pub(crate) async fn serve(self, frames: Streaming<StreamFrame>, mut stopped: watch::Receiver<()>) {
        let broken = self.broken.clone();
        tokio::select! {
            biased;
            // Nobody ever sends: it changes by being closed.
            _ = stopped.changed() => broken.cancel(),
            () = self.forward(frames, false) => {
                // The other direction may go on, and it ends with the node too.
                tokio::select! {
                    _ = stopped.changed() => broken.cancel(),
                    () = broken.cancelled() => {}
                }
            }
        }
    }

    /// Moves what comes on the caller's side, until the stream is over.
    pub(crate) async fn receive(self, frames: Streaming<StreamFrame>) {
        self.forward(frames, true).await;
    }

    async fn forward(self, mut frames: Streaming<StreamFrame>, to_the_last: bool) {
        let Self { items, broken, heard } = self;
        let ended = tokio::select! {
            biased;
            () = broken.cancelled() => false,
            ended = move_frames(&mut frames, &items) => ended,
        };
        if !ended {
            drop(frames);
            broken.cancel();
            return;
        }
        drop((items, heard));
        if to_the_last {
            // The server closes when both directions have ended, or breaks the one that goes on.
            tokio::select! {
                () = broken.cancelled() => {}
                () = async { while let Ok(Some(_)) = frames.message().await {} } => {}
            }
            broken.cancel();
        }
    }
}

/// Whether the other direction came to its end, and not to a break or to nobody who reads it.
async fn move_frames(frames: &mut Streaming<StreamFrame>, items: &mpsc::Sender<Item>) -> bool {
    loop {
        let frame = tokio::select! {
            biased;
            () = items.closed() => return false,
            frame = frames.message() => frame,
        };
        let (item, last) = match frame {
            Ok(Some(frame)) => match frame.step {
                Some(Step::Message(message)) if message.len() <= BODY_BYTES_MAX => {
                    (Item::Message(message), None)
                }
                Some(Step::End(End { error: None })) => (Item::End(Ok(())), Some(true)),
                Some(Step::End(End { error: Some(detail) })) => {
                    (Item::End(Err(from_detail(STREAM, detail))), Some(true))
                }
                Some(Step::Message(_)) => (corrupt("sent a message above the limit"), Some(false)),
                Some(Step::Opening(_)) => (corrupt("opened the stream a second time"), Some(false)),
                // Of a version that is to come.
                None => continue,
            },
            // Over without its end.
            Ok(None) => return false,
            Err(status) => (Item::End(Err(from_status(STREAM, status).0)), Some(false)),
        };
        if items.send(item).await.is_err() {
            // Who has dropped its receiver does not miss the end.
            return last == Some(true);
        }
        if let Some(ended) = last {
            return ended;
        }
    }
}

fn end(why: Result<()>) -> StreamFrame {
    let error = why.err().map(|error| to_detail(&error));
    StreamFrame {
        step: Some(Step::End(End { error })),
    }
}

fn gone() -> Error {
    let context = "the other side of the stream is gone";
    Error::new(ErrorKind::Unavailable, STREAM, context)
}

fn corrupt(what: &str) -> Item {
    let context = format!("the other side {what}");
    Item::End(Err(Error::new(ErrorKind::Corrupt, STREAM, context)))
}

impl Sender {
    async fn put(&mut self, frame: StreamFrame) -> Result<()> {
        tokio::select! {
            biased;
            () = self.broken.cancelled() => Err(gone()),
            sent = self.frames.send(frame) => sent.map_err(|_| gone()),
        }
    }
}

#[async_trait]
impl SendHalf for Sender {
    async fn send(&mut self, message: Bytes) -> Result<()> {
        let step = Some(Step::Message(message));
        self.put(StreamFrame { step }).await
    }

    async fn end(&mut self, why: Result<()>) -> Result<()> {
        self.put(end(why)).await
    }
}

#[async_trait]
impl ReceiveHalf for Receiver {
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        match self.items.recv().await {
            Some(Item::Message(message)) => Ok(Some(message)),
            Some(Item::End(why)) => why.map(|()| None),
            None => Err(gone()),
        }
    }
}
