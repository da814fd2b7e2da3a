//! What players do, where nothing fails.

use std::time::Duration;

use ringhold::{Fleet, LoginOptions, SessionEvent, SessionRecord};
use ringhold_testkit::wait_for;
use tokio::time::timeout;

use crate::support::{Bed, LONG, elsewhere, here, login, player, stored};

/// Touched every 2 s, so that what a touch tells is told soon.
const TTL: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_players_come_back_are_displaced_and_expire() {
    let bed = Bed::start().await;
    let fleet = bed.fleet(2, TTL).await;
    comes_back(&fleet[0], &fleet[1]).await;
    is_displaced(&fleet[0], &fleet[1]).await;
    is_left_behind(&bed, &fleet).await;
    observers_agree(&bed, &fleet).await;
}

async fn comes_back(a: &Fleet, b: &Fleet) {
    let mut ada = here(login(a, "ada").await);
    assert!(ada.is_new());
    *ada.value_mut() = 7;
    ada.save().await.unwrap();
    assert_eq!(elsewhere(login(b, "ada").await).node, a.node());
    let id = ada.id();
    drop(ada);
    let resumed = a
        .login::<u64>(&player("ada"), LoginOptions::new().resume(id))
        .await;
    let mut ada = here(resumed);
    assert_eq!((ada.id(), *ada.value(), ada.is_new()), (id, 7, false));
    *ada.value_mut() = 8;
    ada.save().await.unwrap();
    ada.close().await.unwrap();
    assert!(b.locate(&player("ada")).await.unwrap().is_none());
    let ada = here(login(b, "ada").await);
    assert!(ada.is_new(), "a closed session is no session");
    ada.close().await.unwrap();
}

/// There is no transport: the touch is what tells.
async fn is_displaced(a: &Fleet, b: &Fleet) {
    let mut old = here(login(a, "bob").await);
    *old.value_mut() = 3;
    old.save().await.unwrap();
    let displacing = b
        .login::<u64>(&player("bob"), LoginOptions::new().displace())
        .await;
    let mut new = here(displacing);
    assert_eq!((*new.value(), new.id()), (3, old.id()));
    let told = timeout(LONG, old.event()).await.expect("a touch tells");
    assert_eq!(told, SessionEvent::Displaced { by: Some(b.node()) });
    *old.value_mut() = 4;
    assert!(old.save().await.is_err(), "the old handle wrote");
    *new.value_mut() = 5;
    new.save().await.unwrap();
    assert_eq!(stored(b.backend(), &new.id()).await, Some(5));
    new.close().await.unwrap();
}

async fn is_left_behind(bed: &Bed, fleet: &[Fleet]) {
    let eve = here(login(&fleet[0], "eve").await);
    let id = eve.id();
    drop(eve);
    wait_for("one of the two to handle the expiry", LONG, async || {
        let expired = bed.expired();
        let is_it = |expired: &SessionRecord| (&expired.player, expired.id) == (&player("eve"), id);
        match &expired[..] {
            [expired] if is_it(expired) => Ok(()),
            _ => Err(format!("handled: {expired:?}")),
        }
    })
    .await;
    assert!(here(login(&fleet[1], "eve").await).is_new());
}

async fn observers_agree(bed: &Bed, fleet: &[Fleet]) {
    let gateways = [
        Fleet::builder(bed.backend().await).observe().await.unwrap(),
        Fleet::builder(bed.backend().await).observe().await.unwrap(),
    ];
    let third = bed.node_with("n2", TTL).await;
    for gateway in &gateways {
        wait_for("an observer to see three nodes", LONG, async || {
            let seen = gateway.view().nodes().len();
            if seen == 3 {
                Ok(())
            } else {
                Err(format!("{seen} nodes"))
            }
        })
        .await;
    }
    crate::support::sees(fleet, 3).await;
    let mut ada = here(login(&third, "ada").await);
    ada.save().await.unwrap();
    for gateway in &gateways {
        let located = gateway.locate(&player("ada")).await.unwrap().unwrap();
        assert_eq!(located.session.id, ada.id());
        assert_eq!(located.node.unwrap().node(), third.node());
        assert!(gateway.locate(&player("nobody")).await.unwrap().is_none());
    }
    for number in 0..1_000 {
        let key = format!("world-{number}");
        let owners = gateways.iter().map(|gateway| gateway.owner(&key).unwrap());
        let mut owners = owners.chain(fleet.iter().map(|node| node.owner(&key).unwrap()));
        let first = owners.next().unwrap().node();
        assert!(owners.all(|owner| owner.node() == first), "{key}");
    }
}
