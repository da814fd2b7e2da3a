//! Bytes that no client of ours sends.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use ringhold_grpc::GrpcLimits;
use ringhold_testkit::{PausedTime, poll_once, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::bed::Bed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

type Body = BoxBody<Bytes, Infallible>;

/// A connection without a client of gRPC.
struct Raw {
    send: SendRequest<Body>,
    task: JoinHandle<hyper::Result<()>>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Raw {
    async fn new(bed: &Bed) -> Self {
        Self::with_window(bed, 64 << 10).await
    }

    /// One that takes so many bytes of each answer, before it has read some.
    async fn with_window(bed: &Bed, bytes: u32) -> Self {
        let tcp = TcpStream::connect(bed.address()).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let handshake = builder
            .initial_stream_window_size(bytes)
            .handshake(TokioIo::new(tcp));
        let (send, connection) = handshake.await.unwrap();
        Self {
            send,
            task: tokio::spawn(connection),
        }
    }

    /// The status of an answer, wherever it stands.
    async fn status(&mut self, method: &str, headers: &[(&str, &str)], body: Body) -> Code {
        let mut request = Request::post(format!("http://node/ringhold.v1.Peer/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = self.send.send_request(request.body(body).unwrap());
        let answer = within("an answer", sent).await.unwrap();
        if let Some(status) = status(answer.headers()) {
            return status;
        }
        let answer = within("the end of an answer", answer.into_body().collect())
            .await
            .unwrap();
        status(answer.trailers().expect("trailers")).expect("a status")
    }

    async fn call(&mut self, body: impl Into<Bytes>) -> Code {
        self.status("Call", &[], Full::new(body.into()).boxed()).await
    }
}

fn status(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()))
}

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.put_slice(message);
    bytes.freeze()
}

/// The fields of a good request, written out once more: the protocol is what others rely on.
#[derive(Clone, PartialEq, Message)]
struct CallRequest {
    #[prost(string, tag = "1")]
    fleet: String,
    #[prost(message, optional, tag = "3")]
    target: Option<NodeRun>,
    #[prost(bytes = "vec", tag = "7")]
    body: Vec<u8>,
    /// Of a version that is to come.
    #[prost(string, tag = "2000")]
    later: String,
}

#[derive(Clone, PartialEq, Message)]
struct NodeRun {
    #[prost(string, tag = "1")]
    node: String,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "vec", tag = "3")]
    nonce: Vec<u8>,
}

fn good() -> CallRequest {
    CallRequest {
        fleet: "arena".into(),
        target: Some(NodeRun {
            node: "eu-1".into(),
            number: 1,
            nonce: vec![7; 16],
        }),
        body: b"x".to_vec(),
        later: "who knows".into(),
    }
}

#[tokio::test]
async fn messages_that_are_none_are_answered_with_a_status() {
    let bed = Bed::new(|_| {}).await;
    let mut raw = Raw::new(&bed).await;
    assert_eq!(
        raw.call(framed(&good().encode_to_vec())).await,
        Code::Ok,
        "unknown fields are passed over"
    );

    let mut without = good();
    without.target = None;
    assert_eq!(
        raw.call(framed(&without.encode_to_vec())).await,
        Code::InvalidArgument
    );
    let mut other_run = good();
    other_run.target.as_mut().unwrap().number = 2;
    assert_eq!(
        raw.call(framed(&other_run.encode_to_vec())).await,
        Code::Unavailable
    );
    assert_eq!(raw.call(framed(b"")).await, Code::InvalidArgument);
    assert_eq!(raw.call(framed(&[0xff; 40])).await, Code::Internal);
    assert_ne!(raw.call(Bytes::new()).await, Code::Ok, "no message at all");

    let whole = framed(&good().encode_to_vec());
    for length in [1, 4, 5, whole.len() - 1] {
        assert_ne!(
            raw.call(whole.slice(..length)).await,
            Code::Ok,
            "cut to {length} bytes"
        );
    }
    let mut oversize = whole.to_vec();
    oversize[1..5].copy_from_slice(&(2_u32 << 20).to_be_bytes());
    assert_eq!(
        raw.call(oversize).await,
        Code::OutOfRange,
        "by its length, before it is there"
    );
    let mut large = good();
    large.body = vec![0; (1 << 20) + 1];
    assert_eq!(raw.call(framed(&large.encode_to_vec())).await, Code::OutOfRange);

    let body = || Full::new(whole.clone()).boxed();
    assert_eq!(
        raw.status("Call", &[("grpc-timeout", "soon")], body()).await,
        Code::InvalidArgument
    );
    assert_eq!(
        raw.status("Call", &[("traceparent", "00-x")], body()).await,
        Code::Ok
    );
    assert_eq!(raw.status("Shout", &[], body()).await, Code::Unimplemented);
    assert_eq!(
        raw.status("Open", &[], body()).await,
        Code::Internal,
        "it is no frame of a stream"
    );
    // A message before there is a stream.
    let message = Full::new(framed(&[0x12, 1, b'x'])).boxed();
    assert_eq!(raw.status("Open", &[], message).await, Code::InvalidArgument);
    assert_eq!(raw.call(whole.clone()).await, Code::Ok, "the connection goes on");
    bed.serves_others().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let bed = Bed::new(|_| {}).await;
    let mut raw = Raw::new(&bed).await;
    for method in ["Call", "Open"] {
        let start =
            futures_util::stream::iter([Ok(hyper::body::Frame::data(Bytes::from_static(&[0, 0, 0])))]);
        let never = futures_util::StreamExt::chain(start, futures_util::stream::pending());
        let body = StreamBody::new(never).boxed();
        let status = raw.status(method, &[("grpc-timeout", "150m")], body).await;
        assert_eq!(status, Code::DeadlineExceeded, "{method}");
    }
    bed.serves_others().await;
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let time = PausedTime::new();
    let bed = Bed::new(|_| {}).await;
    for window in [0, 64 << 10] {
        let mut raw = Raw::with_window(&bed, window).await;
        let mut large = good();
        large.body = vec![7; 100_000];
        let request = Request::post("http://node/ringhold.v1.Peer/Call")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "1S")
            .body(Full::new(framed(&large.encode_to_vec())).boxed())
            .unwrap();
        let answer = within("an answer", raw.send.send_request(request)).await.unwrap();
        assert_eq!(status(answer.headers()), None, "it has a body");
        time.advance(Duration::from_millis(1_100)).await;
        let read = within("the end of the answer", answer.into_body().collect()).await;
        assert!(
            read.is_err(),
            "the answer waited, with a window of {window} bytes"
        );
    }
    bed.serves_others().await;
}

#[tokio::test]
async fn headers_above_the_limit_are_refused() {
    let bed = Bed::new(|_| {}).await;
    let mut raw = Raw::new(&bed).await;
    let large = "x".repeat(20 << 10);
    let request = Request::post("http://node/ringhold.v1.Peer/Call")
        .header("large", large)
        .body(Full::new(framed(&good().encode_to_vec())).boxed())
        .unwrap();
    let answer = within("an answer", raw.send.send_request(request)).await;
    assert!(
        answer.as_ref().map_or(true, |answer| answer.status() == 431),
        "{answer:?}"
    );
    bed.serves_others().await;
}

#[tokio::test]
async fn bytes_that_are_no_http2_end_their_connection_alone() {
    let bed = Bed::new(|_| {}).await;
    let too_long = [PREFACE, SETTINGS, &[0x10, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 64]].concat();
    let no_stream = [PREFACE, SETTINGS, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 7]].concat();
    for garbage in [
        b"GET / HTTP/1.1\r\nhost: node\r\n\r\n".to_vec(),
        vec![0xff; 4_096],
        [PREFACE, &[0xff; 64]].concat(),
        too_long,
        no_stream,
    ] {
        let mut tcp = TcpStream::connect(bed.address()).await.unwrap();
        tcp.write_all(&garbage).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, as it likes; what counts is that it ends.
        let _ = within("the end of the connection", tcp.read_to_end(&mut answer)).await;
        bed.serves_others().await;
    }
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let (time, handshake) = (PausedTime::new(), Duration::from_millis(100));
    let bed = Bed::new(|limits| limits.handshake = handshake).await;
    for start in [&b""[..], &PREFACE[..9], &[PREFACE, SETTINGS].concat()] {
        let mut tcp = TcpStream::connect(bed.address()).await.unwrap();
        tcp.write_all(start).await.unwrap();
        let mut answer = Vec::new();
        let mut end = std::pin::pin!(tcp.read_to_end(&mut answer));
        let closing = async {
            while poll_once(&mut end).await.is_none() {
                time.advance(handshake).await;
            }
        };
        within("the end of the connection", closing).await;
    }
    bed.serves_others().await;
}

/// The first request may be on its way when the server's patience ends: as on the connection that a caller
/// opens when it has many calls, and uses when it has many again.
#[tokio::test]
async fn what_is_asked_as_a_silent_connection_closes_is_answered() {
    const HEADERS: u8 = 1;
    const SETTINGS_KIND: u8 = 4;
    const GOAWAY: u8 = 7;
    // Stream 1, with its end: POST, http, and a path that nobody serves.
    const REQUEST: &[u8] = &[0, 0, 6, HEADERS, 5, 0, 0, 0, 1, 0x83, 0x86, 0x04, 2, b'/', b'x'];
    let time = PausedTime::new();
    let bed = Bed::new(|_| {}).await;
    let mut tcp = TcpStream::connect(bed.address()).await.unwrap();
    tcp.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    within("the server's settings", until(&mut tcp, SETTINGS_KIND)).await;
    time.advance(GrpcLimits::default().handshake * 2).await;
    within("the server's farewell", until(&mut tcp, GOAWAY)).await;
    tcp.write_all(REQUEST).await.unwrap();
    within("an answer", until(&mut tcp, HEADERS)).await;
}

/// Reads frames until one of this kind has come.
async fn until(tcp: &mut TcpStream, kind: u8) {
    loop {
        let mut head = [0; 9];
        tcp.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        tcp.read_exact(&mut payload).await.unwrap();
        if head[3] == kind {
            return;
        }
    }
}
