//! The rules of how streams between nodes end.

use std::time::Duration;

use ringhold_core::transport::{PeerReceiver, PeerSender, PeerStream};
use ringhold_core::{Error, ErrorKind};
use tokio::task;
use tokio::time::sleep;

use super::bed::{Bed, comes_through};
use crate::expect::{done, refused};
use crate::{TransportHarness, within};

const WORDS: [&str; 3] = ["one", "two", "three"];

/// `a_stream_ends_as_it_was_ended`.
pub async fn a_stream_ends_as_it_was_ended<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_stream_ends_as_it_was_ended", harness).await;
    for handler_is_first in [false, true] {
        let (first, last) = sides(&mut bed, handler_is_first).await;
        ends_well(first, last).await;
        let (first, last) = sides(&mut bed, handler_is_first).await;
        ends_and_is_dropped(first, last).await;
        for number in 0..bed.errors().len() {
            let (first, last) = sides(&mut bed, handler_is_first).await;
            // Made twice, since an error is not to be cloned.
            let (told, expected) = (bed.errors().swap_remove(number), bed.errors().swap_remove(number));
            ends_with(first, last, told, &expected).await;
        }
    }
    bed.serves("a call after streams have ended").await;
}

/// The two sides of a stream, by who does something first.
async fn sides(bed: &mut Bed, handler_is_first: bool) -> (PeerStream, PeerStream) {
    let (here, there) = bed.stream().await;
    if handler_is_first {
        (there, here)
    } else {
        (here, there)
    }
}

/// One side ends well; the other gets everything, says its own, and ends well too.
async fn ends_well(mut first: PeerStream, mut last: PeerStream) {
    say(&mut first.sender).await;
    finish(&mut first.sender).await;
    hear(&mut last.receiver).await;
    for _ in 0..2 {
        hear_the_end(&mut last.receiver).await;
    }
    say(&mut last.sender).await;
    hear(&mut first.receiver).await;
    say(&mut last.sender).await;
    finish(&mut last.sender).await;
    hear(&mut first.receiver).await;
    hear_the_end(&mut first.receiver).await;
}

/// Both have ended, and one is gone before the other has read.
async fn ends_and_is_dropped(mut first: PeerStream, mut last: PeerStream) {
    finish(&mut last.sender).await;
    hear_the_end(&mut first.receiver).await;
    say(&mut first.sender).await;
    finish(&mut first.sender).await;
    drop(first);
    hear(&mut last.receiver).await;
    hear_the_end(&mut last.receiver).await;
}

/// One side ends with an error, and the other goes on.
async fn ends_with(mut first: PeerStream, mut last: PeerStream, told: Error, expected: &Error) {
    say(&mut first.sender).await;
    done(
        "fail",
        within("an end with an error", first.sender.fail(told)).await,
    );
    hear(&mut last.receiver).await;
    let end = within("the end of a stream", last.receive()).await;
    comes_through("the end of a stream", end, expected);
    refused(
        "the end, told again",
        within("the end of a stream", last.receive()).await,
        expected.kind(),
    );
    say(&mut last.sender).await;
    finish(&mut last.sender).await;
    hear(&mut first.receiver).await;
    hear_the_end(&mut first.receiver).await;
}

async fn say(sender: &mut PeerSender) {
    for word in WORDS {
        done("send", within("send", sender.send(word)).await);
    }
}

async fn finish(sender: &mut PeerSender) {
    done("finish", within("an end", sender.finish()).await);
}

async fn hear(receiver: &mut PeerReceiver) {
    for word in WORDS {
        let message = within("a message to arrive", receiver.receive()).await;
        let message = done("receive what was sent before the end", message);
        assert_eq!(
            message.as_deref(),
            Some(word.as_bytes()),
            "all that was sent comes before the end"
        );
    }
}

async fn hear_the_end(receiver: &mut PeerReceiver) {
    let end = within("the end of a stream", receiver.receive()).await;
    assert_eq!(done("receive the end", end), None, "nothing is behind the end");
}

/// `a_dropped_stream_is_unavailable`.
pub async fn a_dropped_stream_is_unavailable<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_dropped_stream_is_unavailable", harness).await;
    for handler_is_first in [false, true] {
        for used in [false, true] {
            let (mut first, mut last) = sides(&mut bed, handler_is_first).await;
            if used {
                say(&mut first.sender).await;
                hear(&mut last.receiver).await;
                say(&mut last.sender).await;
                hear(&mut first.receiver).await;
            }
            drop(first);
            is_gone_for_its_reader("a stream that was dropped", &mut last.receiver).await;
            is_gone_for_its_sender("a stream that was dropped", &mut last.sender).await;
        }

        let (first, mut last) = sides(&mut bed, handler_is_first).await;
        drop(first.sender);
        is_gone_for_its_reader("a stream whose sender was dropped", &mut last.receiver).await;
        drop(first.receiver);

        let (first, mut last) = sides(&mut bed, handler_is_first).await;
        drop(first.receiver);
        is_gone_for_its_sender("a stream whose receiver was dropped", &mut last.sender).await;
        drop(first.sender);
    }
    bed.serves("a call after streams were dropped").await;
}

async fn is_gone_for_its_reader(what: &str, receiver: &mut PeerReceiver) {
    for _ in 0..2 {
        let told = within("a reader to be told", receiver.receive()).await;
        refused(what, told, ErrorKind::Unavailable);
    }
}

/// What is on its way when the other side goes may still be taken.
async fn is_gone_for_its_sender(what: &str, sender: &mut PeerSender) {
    let told = within("a sender to be told", async {
        loop {
            if let Err(error) = sender.send("to nobody").await {
                return error;
            }
            // sleep: the pause between two looks at the condition
            sleep(Duration::from_millis(5)).await;
        }
    });
    refused(what, Err::<(), _>(told.await), ErrorKind::Unavailable);
}

/// `streams_end_with_their_server`.
pub async fn streams_end_with_their_server<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("streams_end_with_their_server", harness).await;
    let mut reading = Vec::new();
    for _ in 0..3 {
        let (mut here, mut there) = bed.stream().await;
        say(&mut here.sender).await;
        hear(&mut there.receiver).await;
        for (side, mut stream) in [("the caller's side", here), ("the handler's side", there)] {
            let read = task::spawn(async move {
                is_gone_for_its_reader(side, &mut stream.receiver).await;
                is_gone_for_its_sender(side, &mut stream.sender).await;
                // Held until then, so that neither side ends by the other's being dropped.
                stream
            });
            reading.push(read);
        }
    }
    // Nobody reads this one when its server goes.
    let (mut here, mut there) = bed.stream().await;
    bed.guard = None;
    let mut held = Vec::new();
    for read in reading {
        match within("a reader to end", read).await {
            Ok(stream) => held.push(stream),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    for (side, stream) in [
        ("the caller's side", &mut here),
        ("the handler's side", &mut there),
    ] {
        is_gone_for_its_sender(side, &mut stream.sender).await;
        is_gone_for_its_reader(side, &mut stream.receiver).await;
    }
    let opened = bed.open(bed.request("stream")).await;
    refused(
        "a stream to a server that is gone",
        opened,
        ErrorKind::Unavailable,
    );
}
