//! The rules of calls between nodes.

use std::time::Duration;

use bytes::Bytes;
use ringhold_core::ErrorKind;
use ringhold_core::transport::BODY_BYTES_MAX;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bed::{Bed, FAIL, PANIC, TOO_MUCH, WAIT, comes_through};
use crate::expect::{done, refused};
use crate::{TransportHarness, within};

/// `call_reaches_the_handler`.
pub async fn call_reaches_the_handler<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("call_reaches_the_handler", harness).await;
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    for (body, full) in [(&b"abc"[..], false), (&all_bytes, true), (b"", true)] {
        let body = Bytes::copy_from_slice(body);
        let mut request = if full {
            bed.full_request(body.clone())
        } else {
            bed.request(body.clone())
        };
        let call = bed.transport.call(&bed.record, request.clone());
        let reply = done("call", within("a call", call).await);
        let expected: Vec<u8> = body.iter().rev().copied().collect();
        assert_eq!(reply, expected, "the reply is what the handler answered");
        let got = within("the request", bed.got.recv())
            .await
            .expect("the handler lives");
        let left = std::mem::replace(&mut request.time_left, got.time_left);
        assert_eq!(got, request, "the request is what was sent");
        assert!(got.time_left <= left, "time does not grow on the way");
    }
    assert_eq!(bed.calls(), 3, "each call reaches the handler once");
}

/// `an_error_keeps_its_kind`.
pub async fn an_error_keeps_its_kind<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("an_error_keeps_its_kind", harness).await;
    for (number, expected) in bed.errors().iter().enumerate() {
        let result = bed.call(format!("{FAIL}{number}")).await;
        comes_through("a call that fails", result, expected);
    }
    bed.serves("a call after errors").await;
}

/// `nobody_serves_is_unavailable`.
pub async fn nobody_serves_is_unavailable<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("nobody_serves_is_unavailable", harness).await;
    let nobody = bed.make.run_of(bed.make.node_id());
    let mut request = bed.request("abc");
    request.target = nobody.node();
    let call = within("a call of nobody", bed.transport.call(&nobody, request.clone()));
    refused(
        "a call of a node that never served",
        call.await,
        ErrorKind::Unavailable,
    );
    let open = within("a stream to nobody", bed.transport.open(&nobody, request));
    refused(
        "a stream to a node that never served",
        open.await,
        ErrorKind::Unavailable,
    );

    bed.serves("a call while the guard lives").await;
    let calls = bed.calls();
    bed.guard = None;
    for _ in 0..2 {
        let called = bed.call("abc").await;
        refused(
            "a call after the guard was dropped",
            called,
            ErrorKind::Unavailable,
        );
        refused(
            "a stream after the guard was dropped",
            bed.open(bed.request("abc")).await,
            ErrorKind::Unavailable,
        );
    }
    assert_eq!(bed.calls(), calls, "no call reached the handler");
}

/// `an_older_run_is_not_called`: nor any other run than the one that serves.
pub async fn an_older_run_is_not_called<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("an_older_run_is_not_called", harness).await;
    for record in bed.other_runs() {
        let mut request = bed.request("abc");
        request.target = record.node();
        let call = within(
            "a call of another run",
            bed.transport.call(&record, request.clone()),
        );
        refused(
            "a call of another run than the one that serves",
            call.await,
            ErrorKind::Unavailable,
        );
        let open = within("a stream to another run", bed.transport.open(&record, request));
        refused(
            "a stream to another run than the one that serves",
            open.await,
            ErrorKind::Unavailable,
        );
    }
    assert_eq!(bed.calls(), 0, "no call reached the handler");
    bed.serves("a call of the run that serves").await;
}

/// `calls_run_beside_each_other`.
pub async fn calls_run_beside_each_other<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("calls_run_beside_each_other", harness).await;
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(bed.waiting().await);
    }
    bed.serves("a call beside 32 that wait").await;
    assert!(
        held.iter().all(|call| !call.is_finished()),
        "the others still wait"
    );
    bed.handler.gate.add_permits(held.len());
    for call in held {
        let reply = within("a call that waited", call)
            .await
            .expect("a call does not panic");
        assert_eq!(done("a call that waited", reply), "tiaw");
    }
}

/// `a_panic_is_an_error`.
pub async fn a_panic_is_an_error<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_panic_is_an_error", harness).await;
    let held = bed.waiting().await;
    for _ in 0..3 {
        refused(
            "a call whose handler panics",
            bed.call(PANIC).await,
            ErrorKind::Unavailable,
        );
        bed.serves("a call after a panic").await;
    }
    let mut panics: JoinSet<_> = (0..8).map(|_| bed.calling(PANIC)).collect();
    while let Some(call) = panics.join_next().await {
        let reply = call
            .expect("the set is not aborted")
            .expect("a caller does not panic");
        refused(
            "one of many calls whose handlers panic",
            reply,
            ErrorKind::Unavailable,
        );
    }
    bed.handler.gate.add_permits(1);
    let reply = within("a call beside panics", held)
        .await
        .expect("a caller does not panic");
    assert_eq!(done("a call beside panics", reply), "tiaw");
}

/// `a_large_body_is_too_large`, and exactly the limit is not.
pub async fn a_large_body_is_too_large<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("a_large_body_is_too_large", harness).await;
    let most = vec![0xa5; BODY_BYTES_MAX];
    let over = vec![0xa5; BODY_BYTES_MAX + 1];
    refused(
        "a request with one byte over",
        bed.call(over).await,
        ErrorKind::TooLarge,
    );
    assert_eq!(bed.calls(), 0, "it was not sent");
    assert_eq!(
        done("a request of as much as is allowed", bed.call(most.clone()).await),
        most
    );
    refused(
        "a reply with one byte over",
        bed.call(TOO_MUCH).await,
        ErrorKind::TooLarge,
    );
    bed.serves("a call after that").await;
}

/// `a_call_ends_when_its_time_is_over`, and not before.
pub async fn a_call_ends_when_its_time_is_over<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("a_call_ends_when_its_time_is_over", harness).await;
    bed.serves("a call before that").await;
    let calls = bed.calls();
    // On a busy machine the shorter times may be over before the handler is called.
    for time_left in [200, 1_000, 5_000].map(Duration::from_millis) {
        let (request, begun) = (bed.request(WAIT).within(time_left), Instant::now());
        let called = within("a late call to end", bed.transport.call(&bed.record, request)).await;
        refused("a call that is not answered", called, ErrorKind::Timeout);
        let took = begun.elapsed();
        assert!(
            took >= time_left / 2,
            "it must not end before its time is over: after {took:?} of {time_left:?}"
        );
        if bed.calls() > calls {
            break;
        }
    }
    assert!(bed.calls() > calls, "no call was with the handler");
    bed.idle("the handler's future to be dropped").await;
    bed.serves("a call after that").await;
}
