//! Calls between nodes: to whom they go, what travels along, and what becomes of those that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ringhold::core::codec;
use ringhold::{
    CallOptions, Error, ErrorKind, Fleet, FleetName, LoginOptions, NodeId, NodeIncarnation, NodeStatus,
    PeerRequest, Revision, TraceContext, WeakFleet,
};
use tokio::time::Instant;

use crate::hooks::Hooks;
use crate::line::{Answering, Line, builder, hearing, serving};
use crate::support::{LONG, evict, here, holds, is_now, join, login, memory, player, registered_again, sees};

fn options() -> CallOptions {
    CallOptions::new()
}

fn id(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_reaches_the_node_that_is_meant_signed_by_a_node_and_unsigned_by_an_observer() {
    let backend = memory().await;
    let (nodes, heard) = hearing(&backend, 2).await;
    let gateway = Fleet::builder(backend).observe().await.unwrap();
    assert_eq!(nodes[0].call(&id("n1"), "one", options()).await.unwrap(), "n1");
    assert_eq!(
        gateway.call(&nodes[1].node(), "two", options()).await.unwrap(),
        "n1"
    );
    let requests = heard[1].requests();
    assert_eq!(
        (requests[0].body.as_ref(), requests[0].from.as_ref()),
        (&b"one"[..], Some(&nodes[0].node()))
    );
    assert_eq!(
        (requests[1].body.as_ref(), requests[1].from.as_ref()),
        (&b"two"[..], None)
    );
    assert!(
        requests
            .iter()
            .all(|request| request.player.is_none() && request.key.is_none())
    );
    assert_eq!(heard[0].count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_to_oneself_needs_no_transport() {
    let mut backend = memory().await;
    backend.transport = None;
    let (nodes, heard) = hearing(&backend, 2).await;
    let own = nodes[0].call(&nodes[0].node(), "", options()).await;
    assert_eq!((own.unwrap(), heard[0].count()), (Bytes::from("n0"), 1));
    let other = nodes[0].call(&nodes[1].node(), "", options()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Unsupported, "{other}");
}

#[tokio::test(start_paused = true)]
async fn who_is_no_member_or_answers_nothing_says_so() {
    let backend = memory().await;
    let (nodes, _) = hearing(&backend, 1).await;
    let mute = join(&backend, "mute").await;
    sees(&nodes, 2).await;
    let kind = async |node: &NodeIncarnation| {
        let answer = nodes[0].call(node, "", options()).await;
        answer.unwrap_err().kind()
    };
    assert_eq!(kind(&mute.node()).await, ErrorKind::Unsupported);
    let before = evict(&backend, &mute).await;
    registered_again(&mute, &before).await;
    nodes[0]
        .wait_for(|view| view.incarnation(&mute.node()).is_some())
        .await;
    let start = Instant::now();
    assert_eq!(kind(&before).await, ErrorKind::Unavailable, "an old run");
    assert_eq!(start.elapsed(), Duration::ZERO, "is known to be over");
    let nobody = nodes[0].call(&id("nobody"), "", options()).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_call_about_a_player_reaches_the_holder_after_one_read() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, heard) = hearing(&backend, 3).await;
    let gateway = Fleet::builder(hooks.wrap(&backend)).observe().await.unwrap();
    let ada = player("ada");
    let session = here(login(&nodes[1], "ada").await);
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    hooks.before(move |call| {
        counted.fetch_add(usize::from(call.method == "find"), Ordering::SeqCst);
        async { Ok(()) }
    });
    assert_eq!(gateway.call_player(&ada, "", options()).await.unwrap(), "n1");
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    assert_eq!(heard[1].requests()[0].player.as_ref(), Some(&ada));
    assert_eq!(nodes[1].call_player(&ada, "", options()).await.unwrap(), "n1");

    let absent = gateway.call_player(&player("bob"), "", options()).await;
    assert_eq!(
        absent.unwrap_err().kind(),
        ErrorKind::NotFound,
        "nobody holds bob"
    );
    drop(session);
    let detached = gateway.call_player(&ada, "", options()).await;
    assert_eq!(detached.unwrap_err().kind(), ErrorKind::NotFound, "ada hung up");
    assert_eq!(heard[1].count(), 2);
}

/// The player moves between the look and the call: who held it says who does now.
#[tokio::test(start_paused = true)]
async fn a_player_who_has_just_moved_is_followed_once() {
    let (backend, hooks, line) = (memory().await, Hooks::default(), Line::new());
    let backend = line.wrap(&backend);
    let (nodes, heard) = hearing(&backend, 2).await;
    let gateway = Fleet::builder(hooks.wrap(&backend)).observe().await.unwrap();
    let ada = player("ada");
    let _held = here(login(&nodes[0], "ada").await);
    let moved = Arc::new(Mutex::new(None));
    let (fleet, moving) = (nodes.clone(), Arc::clone(&moved));
    hooks.after(move |call| {
        let (fleet, moving) = (fleet.clone(), Arc::clone(&moving));
        async move {
            if call.method == "find" {
                let options = LoginOptions::new().displace();
                let taken = here(fleet[1].login::<u64>(&player("ada"), options).await);
                *moving.lock().unwrap() = Some(taken);
                holds(&fleet[0], 0).await;
            }
            Ok(())
        }
    });
    assert_eq!(gateway.call_player(&ada, "x", options()).await.unwrap(), "n1");
    assert_eq!((heard[0].count(), heard[1].count()), (0, 1));
    let calls = line
        .sent()
        .into_iter()
        .filter(|request| request.from.is_none())
        .count();
    assert_eq!(calls, 2, "to the one that held her, and to the one that does");
}

#[tokio::test(start_paused = true)]
async fn a_second_redirect_is_final() {
    let backend = memory().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let refusing = |to: &'static str| {
        let calls = Arc::clone(&calls);
        Answering(move |request: PeerRequest| {
            calls.fetch_add(1, Ordering::SeqCst);
            let owner = NodeIncarnation::new(id(to), request.target.incarnation);
            async move { Err(Error::not_owner("test", Some(owner))) }
        })
    };
    let nodes = [
        serving(&backend, "n0", refusing("n1")).await,
        serving(&backend, "n1", refusing("n0")).await,
    ];
    sees(&nodes, 2).await;
    let _ada = here(login(&nodes[0], "ada").await);
    let error = nodes[1]
        .call_player(&player("ada"), "", options())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotOwner);
    assert_eq!(
        calls.load(Ordering::SeqCst),
        2,
        "the owner that it names is no member: she is looked up once more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_unavailable_within_the_deadline() {
    let backend = memory().await;
    let (mut nodes, _) = hearing(&backend, 2).await;
    let _ada = here(login(&nodes[1], "ada").await);
    drop(nodes.pop());
    let call = async |fleet: &ringhold::Observer| {
        let start = Instant::now();
        let answer = fleet
            .call_player(&player("ada"), "", options().within(Duration::from_secs(3)))
            .await;
        (answer.unwrap_err().kind(), start.elapsed())
    };
    assert_eq!(
        call(&nodes[0]).await,
        (ErrorKind::Unavailable, Duration::ZERO),
        "not yet known to be dead"
    );
    sees(&nodes, 1).await;
    assert_eq!(
        call(&nodes[0]).await,
        (ErrorKind::Unavailable, Duration::ZERO),
        "known to be dead"
    );
    let late = Fleet::builder(backend).observe().await.unwrap();
    let (kind, waited) = call(&late).await;
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(
        waited <= Duration::from_secs(3),
        "{waited:?}: never seen from here"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_or_never_answers_harms_nobody_else() {
    let backend = memory().await;
    let handler = Answering(|request: PeerRequest| async move {
        match &request.body[..] {
            b"panic" => panic!("on purpose"),
            b"never" => std::future::pending().await,
            _ => Ok(Bytes::from("well")),
        }
    });
    let nodes = [serving(&backend, "a", handler).await, join(&backend, "b").await];
    sees(&nodes, 2).await;
    let (a, within) = (nodes[0].node(), Duration::from_secs(2));
    for caller in &nodes {
        for options in [options(), options().once()] {
            let error = caller.call(&a, "panic", options.clone()).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.is_retryable()),
                (ErrorKind::Unavailable, false)
            );
            assert!(!error.to_string().contains("on purpose"), "{error}");
            let start = Instant::now();
            let error = caller
                .call(&a, "never", options.clone().within(within))
                .await
                .unwrap_err();
            assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Timeout, within));
            assert_eq!(caller.call(&a, "", options).await.unwrap(), "well");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_for_this_run_or_is_no_request_is_refused() {
    let backend = memory().await;
    let (nodes, heard) = hearing(&backend, 1).await;
    let (transport, record) = (backend.transport.clone().unwrap(), nodes[0].record());
    let fleet = || FleetName::new("test").unwrap();
    let request = |fleet, body: Vec<u8>| PeerRequest::new(fleet, nodes[0].node(), Revision::default(), body);
    let frame = |kind: u16, payload: &[u8]| codec::encode_frame(&(kind, payload.to_vec())).unwrap();
    let kind = async |request| {
        transport
            .call(&record, request)
            .await
            .map_err(|error| error.kind())
    };

    assert_eq!(
        kind(request(fleet(), frame(1, b"x"))).await,
        Ok(Bytes::from("n0")),
        "a call"
    );
    let other = FleetName::new("other").unwrap();
    assert_eq!(
        kind(request(other, frame(1, b"x"))).await,
        Err(ErrorKind::InvalidArgument)
    );
    assert_eq!(
        kind(request(fleet(), frame(999, b"x"))).await,
        Err(ErrorKind::Unsupported)
    );
    let mut later = frame(1, b"x");
    later[4..6].copy_from_slice(&999_u16.to_le_bytes());
    assert_eq!(
        kind(request(fleet(), later)).await,
        Err(ErrorKind::Unsupported),
        "a later format"
    );
    let whole = frame(1, b"x");
    for bad in [
        b"".to_vec(),
        b"hello".to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
    ] {
        assert_eq!(kind(request(fleet(), bad)).await, Err(ErrorKind::Corrupt));
    }
    // A message for nobody, a reason that is no text, a hold that is none.
    for bad in [frame(2, b"x"), frame(4, b"\xff"), frame(5, b"x")] {
        assert_eq!(kind(request(fleet(), bad)).await, Err(ErrorKind::Corrupt));
    }
    for large in [
        frame(2, &vec![0; 65_537]),
        frame(3, &vec![0; 65_537]),
        frame(4, &[b'x'; 257]),
    ] {
        let refused = kind(request(fleet(), large).about(player("ada"))).await;
        assert_eq!(refused, Err(ErrorKind::TooLarge));
    }
    let stream = transport
        .open(&record, request(fleet(), frame(4, b"no stream")))
        .await;
    assert_eq!(stream.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(heard[0].count(), 1, "none of these reached the application");
}

/// Whatever a transport lets through, only the run that is meant answers.
#[tokio::test(start_paused = true)]
async fn a_request_for_another_run_is_refused_by_the_node_itself() {
    let (backend, line) = (memory().await, Line::new());
    let (nodes, heard) = hearing(&line.wrap(&backend), 1).await;
    let handler = line.served();
    let fleet = FleetName::new("test").unwrap();
    let request = |target: NodeIncarnation| {
        let body = codec::encode_frame(&(1_u16, vec![7_u8])).unwrap();
        PeerRequest::new(fleet.clone(), target, Revision::default(), body)
    };
    let mut other = nodes[0].node();
    other.incarnation.number += 1;
    assert_eq!(
        handler.handle(request(other)).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let own = request(nodes[0].node());
    assert_eq!(handler.handle(own.clone()).await.unwrap(), "n0");
    let before = evict(&backend, &nodes[0]).await;
    registered_again(&nodes[0], &before).await;
    assert_eq!(
        handler.handle(own).await.unwrap_err().kind(),
        ErrorKind::Unavailable,
        "of its last run"
    );
    let (own, weak) = (request(nodes[0].node()), line.served());
    drop(nodes);
    assert_eq!(
        weak.handle(own).await.unwrap_err().kind(),
        ErrorKind::Unavailable,
        "it has stopped"
    );
    assert_eq!(heard[0].count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_no_more_than_the_time_of_the_call() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 2).await;
    let _ada = here(login(&nodes[1], "ada").await);
    hooks.hang("find");
    let (start, within) = (Instant::now(), Duration::from_secs(2));
    let late = nodes[0]
        .call_player(&player("ada"), "", options().within(within))
        .await;
    assert_eq!(
        (late.unwrap_err().kind(), start.elapsed()),
        (ErrorKind::Timeout, within)
    );
    let own = nodes[1].call_player(&player("ada"), "", options()).await;
    assert_eq!(own.unwrap(), "n1", "her own node asks nobody");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_as_large_as_a_request_can_be_and_no_larger() {
    let backend = memory().await;
    let (nodes, heard) = hearing(&backend, 2).await;
    let most = (1 << 20) - 16;
    nodes[0]
        .call(&nodes[1].node(), vec![0; most], options())
        .await
        .unwrap();
    assert_eq!(heard[1].requests()[0].body.len(), most);
    for node in &nodes {
        let error = nodes[0]
            .call(&node.node(), vec![0; most + 1], options())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}

/// What a handler asks of others has no more time than is left of its own request, and is of the same trace.
#[tokio::test(start_paused = true)]
async fn time_and_trace_are_inherited_over_two_hops() {
    let backend = memory().await;
    let (nodes, heard) = hearing(&backend, 1).await;
    let middle = builder(&backend, "middle")
        .peer_handler_with(|fleet: WeakFleet| {
            Answering(move |_| {
                let fleet = fleet.upgrade().unwrap();
                async move {
                    // sleep: how long this handler works, in simulated time
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let options = CallOptions::new().within(Duration::from_secs(50));
                    fleet.call(&id("n0"), "second", options).await
                }
            })
        })
        .join()
        .await
        .unwrap();
    let gateway = Fleet::builder(backend).observe().await.unwrap();
    gateway.wait_for(|view| view.nodes().len() == 2).await;
    sees(&[nodes[0].clone(), middle.clone()], 2).await;
    let trace = TraceContext::new([7; 16], [1; 8]).with_state("a=1").sampled(true);
    let within = options().within(Duration::from_secs(4)).trace(trace.clone());
    assert_eq!(gateway.call(&id("middle"), "first", within).await.unwrap(), "n0");
    let seen = &heard[0].requests()[0];
    assert_eq!(seen.time_left, Duration::from_secs(3));
    let inherited = seen.trace.as_ref().unwrap();
    assert_eq!(
        (inherited.trace_id(), inherited.state()),
        (trace.trace_id(), Some("a=1"))
    );
    assert!(inherited.is_sampled());
    assert_ne!(
        inherited.span_id(),
        trace.span_id(),
        "each call is a span of its own"
    );
    assert_eq!(seen.from.as_ref(), Some(&middle.node()));

    let late = gateway
        .call(&id("middle"), "", options().within(Duration::from_millis(500)))
        .await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(heard[0].count(), 1, "what nobody waits for is not asked");
    gateway.call(&id("n0"), "", options()).await.unwrap();
    let begun = heard[0].requests()[1].trace.clone().unwrap();
    assert_ne!(
        begun.trace_id(),
        trace.trace_id(),
        "a trace is begun where there is none"
    );
}

#[tokio::test(start_paused = true)]
async fn a_detached_node_answers_for_its_players_and_one_that_has_left_for_nobody() {
    let (backend, hooks, line) = (memory().await, Hooks::default(), Line::new());
    let backend = line.wrap(&backend);
    let node = builder(&hooks.wrap(&backend), "a")
        .peer_handler(Answering(|_| async { Ok(Bytes::from("here")) }))
        .join()
        .await
        .unwrap();
    let gateway = Fleet::builder(backend).observe().await.unwrap();
    let _ada = here(login(&node, "ada").await);
    assert_eq!(line.well(), [true]);
    hooks.fail("renew");
    is_now(&node, NodeStatus::Detached).await;
    assert_eq!(
        gateway.call_player(&player("ada"), "", options()).await.unwrap(),
        "here"
    );
    assert_eq!(line.well(), [true, false]);
    hooks.heal();
    is_now(&node, NodeStatus::Attached).await;
    assert_eq!(line.well().last(), Some(&true));
    let left = node.node();
    node.leave().await.unwrap();
    assert_eq!(line.well().last(), Some(&false));
    let gone = gateway.call(&left, "", options()).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Unavailable);
    let own = node.call(&left, "", options()).await;
    assert_eq!(own.unwrap_err().kind(), ErrorKind::Unavailable, "nor for itself");
}

#[tokio::test(start_paused = true)]
async fn the_address_of_the_transport_is_in_the_record() {
    let (backend, line) = (memory().await, Line::new());
    line.listen_at("peer.test:7000");
    let node = builder(&backend, "a")
        .transport(Arc::new(line.clone()))
        .join()
        .await
        .unwrap();
    assert_eq!(node.record().endpoint("peer").unwrap().as_str(), "peer.test:7000");
    let seen = backend.discovery.members().await.unwrap();
    assert_eq!(
        seen.members[0].record.endpoint("peer").unwrap().as_str(),
        "peer.test:7000"
    );
    let given = builder(&backend, "b")
        .transport(Arc::new(line))
        .endpoint("peer", "public.test:1");
    let given = given.join().await.unwrap();
    assert_eq!(given.record().endpoint("peer").unwrap().as_str(), "public.test:1");
}

#[tokio::test(start_paused = true)]
async fn a_handler_keeps_no_fleet_alive() {
    let backend = memory().await;
    let seen = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&seen);
    let node = builder(&backend, "a")
        .peer_handler_with(move |fleet| {
            *slot.lock().unwrap() = Some(fleet);
            Answering(|_| async { Ok(Bytes::new()) })
        })
        .join()
        .await
        .unwrap();
    let weak = seen.lock().unwrap().clone().unwrap();
    assert_eq!(weak.upgrade().unwrap().node(), node.node());
    let other = join(&backend, "b").await;
    drop(node);
    assert!(weak.upgrade().is_none());
    let gone = tokio::time::timeout(LONG, other.wait_for(|view| view.nodes().len() == 1)).await;
    assert!(gone.is_ok(), "its lease lapses");
}
