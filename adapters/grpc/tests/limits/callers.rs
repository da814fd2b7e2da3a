//! Callers that ask for too much.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_core::{ErrorKind, Transport as _};
use ringhold_testkit::{poll_once, within};
use tokio::net::TcpStream;

use crate::bed::{Bed, WAIT, caller, refused};

#[tokio::test]
async fn more_requests_than_allowed_are_overloaded_and_others_are_not() {
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

#[tokio::test]
async fn a_flood_is_no_longer_read() {
    let bed = Bed::new(|limits| {
        limits.requests_per_second = 100;
        limits.requests_burst = 10;
    })
    .await;
    let flooding = Arc::new(caller(|limits| limits.calls_max = 400));
    let calls = || {
        (0..400).map(|_| {
            let (flooding, record, request) = (Arc::clone(&flooding), bed.record.clone(), bed.request(""));
            async move {
                flooding
                    .call(&record, request.within(Duration::from_millis(500)))
                    .await
            }
        })
    };
    let (mut answers, start) = (Vec::new(), Instant::now());
    for _ in 0..5 {
        answers.extend(within("the flood", futures_util::future::join_all(calls())).await);
    }
    let count = |kind| {
        let errors = answers.iter().filter_map(|answer| answer.as_ref().err());
        errors.filter(|error| error.kind() == kind).count()
    };
    let (overloaded, late) = (count(ErrorKind::Overloaded), count(ErrorKind::Timeout));
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(served + overloaded + late, 2_000, "{answers:?}");
    // 10 at once and 100 in a second on each connection, of which so many calls take two.
    let most = 2.0 * (10.0 + 100.0 * start.elapsed().as_secs_f64());
    let served = u32::try_from(served).map_or(f64::INFINITY, f64::from);
    assert!((10.0..=most).contains(&served), "{served} were served");
    assert!(overloaded > 0, "{answers:?}");
    assert!(late > 0, "what comes behind them is not read: {answers:?}");
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
    ringhold_testkit::wait_for("a place for a stream", Duration::from_secs(20), freed).await;
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
    ringhold_testkit::wait_for("a place for a connection", Duration::from_secs(20), again).await;
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
    let bed = Bed::new(|limits| {
        limits.requests_per_second = 20_000;
        limits.requests_burst = 200;
    })
    .await;
    let fast = Arc::new(caller(|_| {}));
    let calls = (0..64).map(|_| {
        let (fast, record, request) = (Arc::clone(&fast), bed.record.clone(), bed.request(""));
        async move {
            let mut answers = Vec::new();
            for _ in 0..500 {
                answers.push(fast.call(&record, request.clone()).await);
            }
            answers
        }
    });
    let answers = within("the calls", futures_util::future::join_all(calls)).await;
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for answer in answers.into_iter().flatten() {
        let said = answer.map_or_else(|error| error.to_string(), |_| "served".to_owned());
        *seen.entry(said).or_default() += 1;
    }
    assert!(
        seen.keys()
            .all(|said| said == "served" || said.contains("overloaded")),
        "{seen:#?}"
    );
    bed.serves_others().await;
}
