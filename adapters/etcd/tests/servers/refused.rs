//! Members that are not there, never answer, or are something else.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use ringhold_core::ErrorKind;
use ringhold_testkit::Make;
use ringhold_testkit::launch::EtcdOptions;

use crate::support::{one, open, start, ttl};

/// Accepts, reads, and never says a word.
fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut bytes = [0; 1_024];
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
            });
        }
    });
    address
}

/// A port on which nobody listens.
fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_within_the_deadline() {
    for (address, kind) in [(closed(), ErrorKind::Unavailable), (mute(), ErrorKind::Timeout)] {
        let began = Instant::now();
        let error = open(&format!("etcd://{address}?deadline_ms=1000"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout),
            "{error}"
        );
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.is_retryable() && error.context().contains(&address.to_string()),
            "{error}"
        );
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_never_answers_is_left_out() {
    let cluster = one().await;
    let make = Make::new("a_member_that_never_answers_is_left_out");
    let url = format!(
        "etcd://{}?node={}&node={}&fleet=mute",
        mute(),
        closed(),
        cluster.address(0)
    );
    let backend = open(&url).await.unwrap();
    let began = Instant::now();
    for _ in 0..50 {
        let login = make.login(&make.player(), &make.owner(), ttl(60));
        backend.sessions.create(login).await.unwrap();
    }
    // One attempt on a member that is mute is 0.8 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_be_under_way_is_overloaded_at_once() {
    let cluster = start(EtcdOptions::new()).await;
    let make = Make::new("more_than_may_be_under_way_is_overloaded_at_once");
    let backend = open(&(cluster.url("many") + "&in_flight_max=2&deadline_ms=2000"))
        .await
        .unwrap();
    for index in 0..cluster.len() {
        cluster.stop(index).unwrap();
    }
    let player = make.player();
    let (first, second) = (backend.sessions.find(&player), backend.sessions.find(&player));
    let third = async {
        // Both are on their way once they were polled.
        tokio::task::yield_now().await;
        let began = Instant::now();
        (backend.sessions.find(&player).await, began.elapsed())
    };
    let (first, second, (third, took)) = tokio::join!(first, second, third);
    assert_eq!(third.unwrap_err().kind(), ErrorKind::Overloaded);
    assert!(took < Duration::from_secs(1), "{took:?}");
    for waited in [first, second] {
        let error = waited.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(error.context().contains("no answer in 2s"), "{error}");
    }
    for index in 0..cluster.len() {
        cluster.resume(index).unwrap();
    }
    ringhold_testkit::wait_for("the members to be back", Duration::from_secs(20), async || {
        backend
            .sessions
            .find(&player)
            .await
            .map_err(|error| error.to_string())
    })
    .await;
}
