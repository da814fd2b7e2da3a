//! Connections that are slow to make, and fleets that are large.

use super::sizes::large;
use super::*;

/// A call that goes on by itself.
fn spawn(supervisor: &Arc<Supervisor>, call: Call) -> tokio::task::JoinHandle<Result<Answer>> {
    let supervisor = Arc::clone(supervisor);
    tokio::spawn(async move { supervisor.run(call).await })
}

#[tokio::test(start_paused = true)]
async fn connection_that_takes_nine_seconds_is_made() {
    let fake = Fake::two_masters();
    let supervisor = connect_with(&fake, |settings| settings.overall = Duration::from_secs(45)).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    fake.connect_in(Duration::from_secs(9));
    fake.break_links(0);
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
}

/// Has a supervisor take the round trips to its one server for two seconds long.
fn seem_far(supervisor: &Supervisor) {
    let node = supervisor.shared.owners_now().next().expect("a server");
    node.latency.measured(Duration::from_secs(4));
    assert!(node.latency.attempt() > Duration::from_secs(5), "{node:?}");
}

#[tokio::test(start_paused = true)]
async fn busy_server_that_was_slow_for_a_moment_is_left_in_time_when_it_hangs() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0]);
    let supervisor = one_server(&fake).await.expect("a master");
    seem_far(&supervisor);
    for _ in 0..30 {
        assert_eq!(by(supervisor.run(call(LOW)).await), "0");
        // sleep: time passes on the paused clock alone; the connection is never idle.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fake.set(0, Behaviour::Hang);
    fake.name(NAME, &[1]);
    let hung = Instant::now();
    assert_eq!(by(supervisor.run(call(LOW)).await), "1");
    assert!(hung.elapsed() < Duration::from_secs(2), "{:?}", hung.elapsed());
}

#[tokio::test(start_paused = true)]
async fn hung_connection_has_one_ping_that_ends_with_the_supervisor() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0]);
    let supervisor = one_server(&fake).await.expect("a master");
    seem_far(&supervisor);
    fake.set(0, Behaviour::Hang);
    let before = fake.pings(0);
    // sleep: time passes on the paused clock alone, in which the connection is idle.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(fake.pings(0) - before, 1);
    drop(supervisor);
    // sleep: time passes on the paused clock alone, for tasks to end.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(Arc::strong_count(&fake), 1, "a ping goes on");
}

#[tokio::test(start_paused = true)]
async fn connection_that_hangs_does_not_hold_up_a_name_that_moved() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0]);
    let supervisor = one_server(&fake).await.expect("a master");
    fake.set(0, Behaviour::Hang);
    let running = spawn(&supervisor, call(LOW));
    // sleep: time passes on the paused clock alone, until a connection is waited for with all patience.
    tokio::time::sleep(Duration::from_secs(25)).await;
    fake.name(NAME, &[1]);
    let moved = Instant::now();
    assert_eq!(by(running.await.expect("no panic")), "1");
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
}

#[tokio::test(start_paused = true)]
async fn large_calls_use_the_first_connection_until_a_slow_second_one_is_made() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    fake.connect_in(Duration::from_millis(450));
    let start = Instant::now();
    assert_eq!(by(supervisor.run(large(call(LOW))).await), "0");
    assert!(
        start.elapsed() < Duration::from_millis(200),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(fake.scripts_by_link(0), [2]);
    // sleep: time passes on the paused clock alone, in which the second connection is made.
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(by(supervisor.run(large(call(LOW))).await), "0");
    assert_eq!(fake.scripts_by_link(0), [2, 1]);
    assert_eq!(fake.connections(0), 2);
}

/// How often the second server is asked for the topology in ten seconds in which the first one does not answer.
async fn topologies(members: usize) -> usize {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.has_members(members);
    fake.set(0, Behaviour::Hang);
    let running = spawn(&supervisor, call(LOW));
    let asked = || fake.topologies(1) + fake.topologies(2);
    let before = asked();
    // sleep: time passes on the paused clock alone; what ten seconds cost is counted.
    tokio::time::sleep(Duration::from_secs(10)).await;
    fake.promote(0, 2);
    let promoted = Instant::now();
    assert_eq!(by(running.await.expect("no panic")), "2");
    assert!(
        promoted.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        promoted.elapsed()
    );
    asked() - before
}

#[tokio::test(start_paused = true)]
async fn large_fleet_asks_for_the_topology_less_often() {
    for (members, range) in [
        (0, 150..=300),
        (100, 150..=300),
        (200, 30..=80),
        (1_000, 8..=25),
        (1_000_000, 8..=25),
    ] {
        let asked = topologies(members).await;
        assert!(
            range.contains(&asked),
            "{members} members asked {asked} times each in 10 s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn attempt_stays_below_the_shortest_node_timeout_of_the_masters() {
    let fake = Fake::two_masters();
    fake.set_node_timeout(0, 15_000);
    fake.set_node_timeout(1, 4_000);
    let supervisor = connect(&fake).await;
    // With a round trip that every bound cuts off.
    let attempt = || {
        let node = supervisor.shared.owners_now().next().expect("a server");
        node.latency.measured(Duration::MAX);
        node.latency.attempt()
    };
    // sleep: time passes on the paused clock alone, in which the timeouts are read.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(attempt(), Duration::from_secs(3));

    fake.set_node_timeout(2, 2_000);
    fake.promote(0, 2);
    // sleep: as above.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(attempt(), Duration::from_millis(1_500), "another master");

    fake.set_node_timeout(1, 1_000);
    // sleep: as above.
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert_eq!(attempt(), Duration::from_millis(750), "another setting");
}
