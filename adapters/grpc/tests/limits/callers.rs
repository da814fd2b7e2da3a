//! Callers that ask for too much.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ringhold_core::{ErrorKind, Transport as _};
use ringhold_testkit::{PausedTime, poll_once, within};
use tokio::net::TcpStream;

use crate::bed::{Bed, WAIT, WAIT_MAX, caller, record, refused};
use crate::way::Way;

#[tokio::test]
async fn more_requests_than_allowed_are_overloaded_and_others_are_not() {
    let _time = PausedTime::new();
    let bed = Bed::new(|limits| {
        limits.requests_per_second = 1;
        limits.requests_burst = 5;
    })
    .await;
    let fast = caller(|_| {});
    for _ in 0..5 {
        bed.call(&fast, "").await.unwrap();
    }
    refused(bed.call(&fast, "").await, ErrorKind::Overloaded);
    let opened = within("a stream", fast.open(&bed.record, bed.request(""))).await;
    assert!(opened.is_ok(), "on a connection of its own");
    bed.serves_others().await;
}

/// Returns once `count` no longer grows while the tasks and the sockets are polled again and again.
async fn settled(count: &AtomicUsize) {
    let (mut seen, mut unchanged) = (0, 0);
    while unchanged < 2_000 {
        let now = count.load(Ordering::SeqCst);
        unchanged = if now == seen { unchanged + 1 } else { 0 };
        seen = now;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_flood_is_no_longer_read() {
    const CALLS: usize = 3_000;
    let time = PausedTime::new();
    let bed = Bed::new(|limits| {
        limits.requests_per_second = 100;
        limits.requests_burst = 10;
    })
    .await;
    let flooding = caller(|limits| (limits.calls_max, limits.queue_max) = (400, CALLS));
    let answered = AtomicUsize::new(0);
    let call = async |_| {
        let request = bed.request("").within(Duration::from_millis(500));
        let answer = flooding.call(&bed.record, request).await;
        answered.fetch_add(1, Ordering::SeqCst);
        answer
    };
    let deadline = async {
        settled(&answered).await;
        time.advance(Duration::from_millis(600)).await;
    };
    let flood = async { tokio::join!(join_all((0..CALLS).map(call)), deadline) };
    let (answers, ()) = within("the flood", flood).await;
    let count = |kind| {
        let errors = answers.iter().filter_map(|answer| answer.as_ref().err());
        errors.filter(|error| error.kind() == kind).count()
    };
    let (overloaded, late) = (count(ErrorKind::Overloaded), count(ErrorKind::Timeout));
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(served + overloaded + late, CALLS, "{answers:?}");
    // The burst of each of the two connections that so many calls take.
    assert!((10..=20).contains(&served), "{served} were served");
    assert!(overloaded > 0, "{served} were served and {late} not read");
    assert!(
        late > 0,
        "all were read: {served} served, {overloaded} overloaded"
    );
    bed.serves_others().await;
}

#[tokio::test]
async fn calls_beyond_the_queue_are_overloaded_at_once() {
    let bed = Bed::new(|_| {}).await;
    let caller = caller(|limits| (limits.calls_max, limits.queue_max) = (1, 1));
    let call = |body| caller.call(&bed.record, bed.request(body));
    let (mut first, mut second) = (call(WAIT), call("queued"));
    tokio::select! {
        biased;
        answer = &mut first => panic!("the handler waits: {answer:?}"),
        () = bed.running(1) => {}
    }
    assert!(poll_once(&mut second).await.is_none());
    refused(poll_once(call("")).await.expect("at once"), ErrorKind::Overloaded);
    bed.handler.gate.add_permits(1);
    assert_eq!(within("the first", first).await.unwrap(), WAIT);
    assert_eq!(within("the second", second).await.unwrap(), "queued");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_overloaded() {
    let mut bed = Bed::new(|_| {}).await;
    // Two connections with one stream each.
    let caller = caller(|limits| (limits.streams_max, limits.peer_streams_max) = (1, 2));
    let open = || within("a stream", caller.open(&bed.record, bed.request("")));
    let (first, second) = (open().await.unwrap(), open().await.unwrap());
    refused(open().await, ErrorKind::Overloaded);
    drop(first);
    let freed = async || open().await.map(drop).map_err(|error| error.to_string());
    ringhold_testkit::wait_for("a place for a stream", WAIT_MAX, freed).await;
    drop(second);
    assert!(bed.streams.recv().await.is_some());
}

#[tokio::test]
async fn connections_above_the_limit_are_closed() {
    let bed = Bed::new(|limits| {
        limits.connections_max = 2;
        limits.handshake = Duration::from_secs(60);
    })
    .await;
    // Those who have asked for something keep their places.
    let held = [caller(|_| {}), caller(|_| {})];
    for held in &held {
        bed.call(held, "").await.unwrap();
    }
    let caller = caller(|_| {});
    refused(bed.call(&caller, "").await, ErrorKind::Unavailable);
    drop(held);
    let again = async || {
        bed.call(&caller, "")
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    ringhold_testkit::wait_for("a place for a connection", WAIT_MAX, again).await;
}

#[tokio::test]
async fn connections_that_ask_for_nothing_keep_nobody_out() {
    let bed = Bed::new(|limits| {
        limits.connections_max = 4;
        limits.handshake = Duration::from_secs(600);
    })
    .await;
    let served = caller(|_| {});
    bed.call(&served, "").await.unwrap();
    let mut silent = Vec::new();
    for round in 0..3 {
        for _ in 0..10 {
            silent.push(TcpStream::connect(bed.address()).await.unwrap());
        }
        let newcomer = caller(|_| {});
        assert_eq!(bed.call(&newcomer, "in").await.unwrap(), "in", "round {round}");
        assert_eq!(bed.call(&served, "on").await.unwrap(), "on", "round {round}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_calls_along() {
    let bed = Bed::new(|_| {}).await;
    let leaving = caller(|_| {});
    tokio::select! {
        biased;
        answer = leaving.call(&bed.record, bed.request(WAIT)) => panic!("the handler waits: {answer:?}"),
        () = bed.running(1) => {}
    }
    bed.running(0).await;
    bed.running(0).await;
    bed.serves_others().await;
}

#[tokio::test]
async fn a_caller_above_its_rate_is_overloaded_and_keeps_its_connection() {
    let time = PausedTime::new();
    let bed = Bed::new(|limits| {
        limits.requests_per_second = 20_000;
        limits.requests_burst = 20;
    })
    .await;
    let (way, fast) = (Way::to(bed.address()).await, caller(|_| {}));
    let record = record(&bed.record.node(), &way.address);
    for round in 0..3 {
        // Fewer than the 2,000 above the burst after which a connection is not read for a time, and in all more
        // than the 1,024 streams that HTTP/2 lets a server reset.
        let calls = async |_| {
            let mut answers = Vec::new();
            for _ in 0..14 {
                answers.push(fast.call(&record, bed.request("")).await);
            }
            answers
        };
        let answers = within("the calls", join_all((0..64).map(calls))).await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        let served = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(
            (20..=40).contains(&served),
            "{served} were served in round {round}"
        );
        for answer in answers.into_iter().filter(Result::is_err) {
            refused(answer, ErrorKind::Overloaded);
        }
        // The debt is paid and the burst is there again.
        time.advance(Duration::from_millis(200)).await;
    }
    let connections = way.asked.load(Ordering::SeqCst);
    assert!(connections <= 2, "2,688 calls made {connections} connections");
    bed.serves_others().await;
}
