//! The rules of streams between nodes, but for their ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::ErrorKind;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerReceiver, PeerSender, PeerStream};
use tokio::task::{self, JoinHandle};
use tokio::time::{sleep, timeout};

use super::bed::{Bed, FAIL, PANIC, WAIT, comes_through};
use crate::expect::{done, refused};
use crate::{TransportHarness, poll_once, within};

/// The most that may be on its way to one who does not read.
const AHEAD_BYTES_MAX: usize = 32 << 20;

/// `a_stream_carries_both_ways`.
pub async fn a_stream_carries_both_ways<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_stream_carries_both_ways", harness).await;
    for mut request in [bed.request(""), bed.full_request("a stream")] {
        let (mut here, mut there, got) = bed.stream_of(request.clone()).await;
        let left = std::mem::replace(&mut request.time_left, got.time_left);
        assert_eq!(got, request, "the stream's request is what was sent");
        assert!(got.time_left <= left, "time does not grow on the way of a stream");

        // The handler may well be the first to say something.
        for word in ["one", "", "two"] {
            passes("from the handler", &mut there, &mut here, word).await;
            passes("to the handler", &mut here, &mut there, word).await;
        }
        let (out, back) = (messages(bed.make.bits()), messages(bed.make.bits()));
        let (here, there) = (&mut here, &mut there);
        within("messages both ways", async {
            tokio::join!(
                send_all(&mut here.sender, &out),
                receive_all(&mut there.receiver, &out),
                send_all(&mut there.sender, &back),
                receive_all(&mut here.receiver, &back),
            )
        })
        .await;
    }
}

/// Messages of many sizes, no two alike.
fn messages(seed: u64) -> Vec<Bytes> {
    const SIZES: [usize; 5] = [8, 200, 9, 70_000, 4_096];
    let sizes = (0..60)
        .map(|number| SIZES[number % SIZES.len()])
        .chain([BODY_BYTES_MAX]);
    let message = |(number, size): (u64, usize)| {
        let head = seed.wrapping_add(number).to_le_bytes();
        head.into_iter().cycle().take(size).collect()
    };
    (0..).zip(sizes).map(message).collect()
}

async fn send_all(sender: &mut PeerSender, messages: &[Bytes]) {
    for message in messages {
        done("send", sender.send(message.clone()).await);
    }
}

/// Reads as one does who has other things to do too.
async fn receive_all(receiver: &mut PeerReceiver, messages: &[Bytes]) {
    for (number, expected) in messages.iter().enumerate() {
        let next = loop {
            if let Some(next) = poll_once(receiver.receive()).await {
                break next;
            }
            if let Ok(next) = timeout(Duration::from_millis(1), receiver.receive()).await {
                break next;
            }
        };
        let message = done("receive", next).expect("a message before the end");
        // A megabyte of text helps nobody.
        let sizes = (message.len(), expected.len());
        assert!(
            message == expected,
            "message {number} is not the one that was sent; bytes: {sizes:?}"
        );
    }
}

/// Checks that one message arrives, with nothing behind it.
async fn passes(what: &str, from: &mut PeerStream, to: &mut PeerStream, message: &'static str) {
    done(what, within("send", from.send(message)).await);
    let received = done(what, within("a message to arrive", to.receive()).await);
    assert_eq!(received.as_deref(), Some(message.as_bytes()), "{what}");
}

/// `a_refused_stream_is_an_error`.
pub async fn a_refused_stream_is_an_error<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_refused_stream_is_an_error", harness).await;
    for (number, expected) in bed.errors().iter().enumerate() {
        let opened = bed.open(bed.request(format!("{FAIL}{number}"))).await;
        comes_through("a stream that is refused", opened, expected);
    }
    refused(
        "a stream whose handler panics",
        bed.open(bed.request(PANIC)).await,
        ErrorKind::Unavailable,
    );
    let calls = bed.calls();
    // On a busy machine the shorter times may be over before the handler is asked.
    for time_left in [200, 1_000, 5_000].map(Duration::from_millis) {
        let opened = bed.open(bed.request(WAIT).within(time_left)).await;
        refused("a stream that is not decided on", opened, ErrorKind::Timeout);
        if bed.calls() > calls {
            break;
        }
    }
    assert!(bed.calls() > calls, "the handler was not asked for a stream");
    bed.idle("the handler's future to be dropped").await;

    let (mut here, mut there) = bed.stream().await;
    passes("a stream after those", &mut here, &mut there, "abc").await;
    bed.serves("a call after those").await;
}

/// `a_reader_holds_back_its_sender`.
pub async fn a_reader_holds_back_its_sender<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_reader_holds_back_its_sender", harness).await;
    let messages = Arc::new(large_messages());
    let (here, there) = bed.stream().await;
    let (to_handler, to_caller) = (
        Flood::new(here.sender, &messages),
        Flood::new(there.sender, &messages),
    );
    for flood in [&to_handler, &to_caller] {
        let sent = flood.settled().await;
        assert!(
            sent * BODY_BYTES_MAX <= AHEAD_BYTES_MAX && sent < messages.len(),
            "{sent} messages of {BODY_BYTES_MAX} bytes were sent to one who does not read"
        );
    }
    bed.serves("a call beside a stream that is not read").await;
    let (mut ours, mut theirs) = bed.stream().await;
    for _ in 0..3 {
        passes("another stream", &mut ours, &mut theirs, "out").await;
        passes("another stream", &mut theirs, &mut ours, "back").await;
    }

    let (mut here, mut there) = (here.receiver, there.receiver);
    within("all messages of one who was held back", async {
        tokio::join!(
            receive_all(&mut there, &messages),
            receive_all(&mut here, &messages)
        )
    })
    .await;
    for flood in [to_handler, to_caller] {
        let sending = within("the sender to be done", flood.sending).await;
        sending.expect("a sender does not panic");
    }
}

/// More than may be on its way: 40 messages of the largest size, no two alike.
fn large_messages() -> Vec<Bytes> {
    const COUNT: usize = 40;
    // Windows of one text without a short period.
    let text = (0_u32..).flat_map(u32::to_le_bytes).take(BODY_BYTES_MAX + COUNT);
    let text: Bytes = text.collect();
    (0..COUNT)
        .map(|start| text.slice(start..start + BODY_BYTES_MAX))
        .collect()
}

/// Sends as fast as it is let.
struct Flood {
    sent: Arc<AtomicUsize>,
    /// Holds the sender to its end, so that nothing breaks.
    sending: JoinHandle<PeerSender>,
}

impl Flood {
    fn new(mut sender: PeerSender, messages: &Arc<Vec<Bytes>>) -> Self {
        let (messages, sent) = (Arc::clone(messages), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&sent);
        let sending = task::spawn(async move {
            for message in &*messages {
                done("send", sender.send(message.clone()).await);
                counted.fetch_add(1, Ordering::SeqCst);
            }
            sender
        });
        Self { sent, sending }
    }

    /// How much was sent when no more is.
    async fn settled(&self) -> usize {
        let mut before = None;
        loop {
            let sent = self.sent.load(Ordering::SeqCst);
            if before.replace(sent) == Some(sent) || self.sending.is_finished() {
                return sent;
            }
            // sleep: that nothing more is sent shows only in that time passes without it
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// `a_large_message_is_too_large`, and exactly the limit is not.
pub async fn a_large_message_is_too_large<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_large_message_is_too_large", harness).await;
    let (mut here, mut there) = bed.stream().await;
    let most = Bytes::from(vec![0xa5; BODY_BYTES_MAX]);
    let over = Bytes::from(vec![0xa5; BODY_BYTES_MAX + 1]);
    for _ in 0..2 {
        let (from, to) = (&mut here, &mut there);
        let sent = within("send", from.send(over.clone())).await;
        refused("a message with one byte over", sent, ErrorKind::TooLarge);
        let what = "a message of as much as is allowed";
        let sending = async { done(what, from.send(most.clone()).await) };
        let both = async { tokio::join!(sending, to.receive()) };
        let ((), received) = within(what, both).await;
        let received = done(what, received);
        let bytes = received.as_ref().map(Bytes::len);
        assert!(
            received.as_ref() == Some(&most),
            "as much as is allowed must arrive whole; bytes: {bytes:?}"
        );
        passes("a message after those", from, to, "abc").await;
        std::mem::swap(&mut here, &mut there);
    }
}
