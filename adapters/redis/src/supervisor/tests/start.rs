//! The first topology: seeds that are dead, slow, or restarted meanwhile.

use std::time::Duration;

use ringhold_core::ErrorKind;
use tokio::time::Instant;

use super::fake::{Behaviour, Fake};
use super::{LOW, by, call, connect_with, open};
use crate::supervisor::Address;

#[tokio::test(start_paused = true)]
async fn dead_seeds_do_not_hold_up_the_one_that_answers() {
    let fake = Fake::two_masters();
    fake.set(0, Behaviour::Hang);
    let start = Instant::now();
    let opened = open(&fake, |settings| {
        settings.seeds = (0..63).map(|number| hole(&fake, number)).collect();
        settings.seeds.push(fake.address(1));
    });
    opened.await.expect("the last seed answers");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dead_seeds_are_given_up_in_time() {
    let fake = Fake::two_masters();
    fake.set(0, Behaviour::Hang);
    let start = Instant::now();
    let opened = open(&fake, |settings| {
        settings.attempt = Duration::from_secs(10);
        settings.seeds = (0..64).map(|number| hole(&fake, number)).collect();
    });
    let error = opened.await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(16), "{:?}", start.elapsed());
}

/// The last round is cut short by the deadline, and has less to say than those before it.
#[tokio::test(start_paused = true)]
async fn the_reason_is_told_though_the_last_round_is_late() {
    let fake = Fake::two_masters();
    fake.set(0, Behaviour::Unconnected("the certificate is for somebody else"));
    let opening = {
        let fake = std::sync::Arc::clone(&fake);
        tokio::spawn(async move { open(&fake, |settings| settings.seeds = vec![fake.address(0)]).await })
    };
    // sleep: time passes on the paused clock alone; some rounds have failed by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    fake.set(0, Behaviour::Hang);
    let error = opening.await.expect("no panic").expect_err("nobody answers");
    let told = format!("{error:?}").contains("the certificate is for somebody else");
    assert!(told, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_restarts_meanwhile_is_asked_on_a_new_connection() {
    let fake = Fake::two_masters();
    fake.set(0, Behaviour::Late(Duration::from_millis(100)));
    let opening = {
        let fake = std::sync::Arc::clone(&fake);
        tokio::spawn(async move { open(&fake, |settings| settings.seeds = vec![fake.address(0)]).await })
    };
    // sleep: time passes on the paused clock alone; the connection is made by then, and the topology is not known.
    tokio::time::sleep(Duration::from_millis(150)).await;
    fake.break_links(0);
    opening.await.expect("no panic").expect("the seed answers again");
}

#[tokio::test(start_paused = true)]
async fn connections_that_take_longer_than_an_attempt_are_made() {
    let fake = Fake::two_masters();
    fake.connect_in(Duration::from_millis(900));
    // The second master is no seed, so that a call is the first that needs a connection to it.
    let supervisor = connect_with(&fake, |settings| settings.seeds = vec![fake.address(0)]).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    assert_eq!(by(supervisor.run(call(super::HIGH)).await), "1");
}

/// Another address of the first server, which hangs.
fn hole(fake: &Fake, number: usize) -> Address {
    Address::new(format!("hole{number}"), fake.address(0).port)
}
