//! More at once than an etcd can apply before attempts are given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_core::discovery::{RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{NodeIncarnation, Timing};
use ringhold_testkit::Make;

use crate::support::{one, open, ttl};

const PLAYERS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_rush_of_logins_is_served_and_holds_up_no_renewal() {
    let cluster = one().await;
    let make = Arc::new(Make::new(
        "slow_a_rush_of_logins_is_served_and_holds_up_no_renewal",
    ));
    let backend = open(&(cluster.url("rush") + "&deadline_ms=45000")).await.unwrap();
    let node = make.node();
    let register = RegisterNode::new(node.clone(), Timing::default());
    let registered = backend.discovery.register(register).await.unwrap();
    let id = NodeIncarnation::new(node.id.clone(), registered.incarnation);

    let began = Instant::now();
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..PLAYERS {
        let (store, make) = (Arc::clone(&backend.sessions), Arc::clone(&make));
        logins.spawn(async move {
            let login = make.login(&make.player(), &make.owner(), ttl(600));
            store.create(login).await
        });
    }
    let (mut longest, mut renewals) = (Duration::ZERO, 0);
    let after = registered.membership.revision;
    while logins.len() > PLAYERS / 10 {
        let renewal = RenewLease::new(id.clone(), after, Load::new(1), make.operation());
        let start = Instant::now();
        backend.discovery.renew(renewal).await.unwrap();
        longest = longest.max(start.elapsed());
        renewals += 1;
        while let Some(login) = logins.try_join_next() {
            login.expect("no panic").unwrap();
        }
    }
    while let Some(login) = logins.join_next().await {
        login.expect("no panic").unwrap();
    }
    let all = began.elapsed();
    println!("{PLAYERS} logins in {all:?}, {renewals} renewals, the longest {longest:?}");
    assert!(
        renewals > 3 && longest < all / 3,
        "{renewals} renewals, {longest:?} of {all:?}"
    );
}
