//! Bodies in small pieces.
//!
//! HTTP/2 takes each piece whole and keeps it until the other side makes room, also when its call or stream is
//! over: nothing takes it back. What has not been handed over yet goes with its owner.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// The most bytes of one piece: what is given to read ahead to one call or stream.
const CHUNK_BYTES_MAX: usize = 32 << 10;

/// A body whose pieces are small.
struct Chunks {
    body: Body,
    /// What is left of a piece that was not.
    rest: Bytes,
    _held: Option<Held>,
}

/// Counts bodies that somebody has.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that is counted until it is dropped.
struct Held(Count);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same body in small pieces.
pub(crate) fn chunked(body: Body) -> Body {
    in_chunks(body, None)
}

/// The same body in small pieces, counted until it has been sent or dropped.
pub(crate) fn counted(body: Body, count: &Count) -> Body {
    count.0.fetch_add(1, Ordering::Relaxed);
    in_chunks(body, Some(Held(count.clone())))
}

fn in_chunks(body: Body, held: Option<Held>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let rest = Bytes::new();
    Body::new(Chunks {
        body,
        rest,
        _held: held,
    })
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(CHUNK_BYTES_MAX));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[tokio::test]
    async fn large_pieces_become_small_ones_and_nothing_is_lost() {
        for bytes in [0, 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 5 * CHUNK_BYTES_MAX] {
            let data: Bytes = (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let with = trailers.clone();
            let body = Full::new(data.clone()).with_trailers(async move { Some(Ok(with)) });
            let (mut body, mut got, mut last) = (chunked(Body::new(body)), Vec::new(), None);
            assert_eq!(body.size_hint().lower(), bytes as u64);
            while let Some(frame) = body.frame().await {
                match frame.unwrap().into_data() {
                    Ok(piece) => {
                        assert!(piece.len() <= CHUNK_BYTES_MAX, "{} bytes", piece.len());
                        got.extend_from_slice(&piece);
                    }
                    Err(other) => last = other.into_trailers().ok(),
                }
            }
            assert_eq!((got, last), (data.to_vec(), Some(trailers)));
        }
    }
}
