//! What an outage leaves behind: servers that stay away, servers that come back deposed, replicas
//! that do not acknowledge, passwords that changed.

use super::*;

/// Calls, one every so often, of which each goes on by itself.
async fn stream(
    supervisor: &Arc<Supervisor>,
    count: usize,
    every: Duration,
    call: impl Fn() -> Call,
) -> Vec<(Result<Answer>, Duration)> {
    let mut calls = Vec::with_capacity(count);
    for _ in 0..count {
        let (supervisor, call) = (Arc::clone(supervisor), call());
        calls.push(tokio::spawn(async move {
            let start = Instant::now();
            (supervisor.run(call).await, start.elapsed())
        }));
        // sleep: time passes on the paused clock alone.
        tokio::time::sleep(every).await;
    }
    let answers = join_all(calls).await;
    answers
        .into_iter()
        .map(|answer| answer.expect("no panic"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_without_partitions_that_stays_away_costs_next_to_nothing() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(2, Behaviour::Hang);
    // sleep: time passes on the paused clock alone, until the third server has been noticed.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let before = fake.topologies(0) + fake.topologies(1);
    // sleep: time passes on the paused clock alone; what a minute costs is counted.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = fake.topologies(0) + fake.topologies(1) - before;
    assert!(asked <= 60, "{asked} times asked for the topology in a minute");
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_lasts_is_asked_about_less_often() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Hang);
    // sleep: time passes on the paused clock alone, until no failover is to be expected any more.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = fake.topologies(1);
    // sleep: time passes on the paused clock alone; what a minute costs is counted.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = fake.topologies(1) - before;
    assert!(
        (30..=150).contains(&asked),
        "{asked} times asked for the topology in a minute"
    );
    fake.promote(0, 2);
    let start = Instant::now();
    assert_eq!(by(supervisor.run(call(LOW)).await), "2");
    assert!(
        start.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wakes_up_deposed_gets_no_call() {
    for offset in 0..30 {
        let fake = Fake::two_masters();
        let supervisor = connect(&fake).await;
        fake.set(0, Behaviour::Hang);
        let running = {
            let supervisor = Arc::clone(&supervisor);
            tokio::spawn(async move { supervisor.run(call(LOW)).await })
        };
        // sleep: time passes on the paused clock alone, up to any moment between two looks.
        tokio::time::sleep(Duration::from_millis(1_200 + 17 * offset)).await;
        fake.promote(0, 2);
        fake.keep_old_view(0);
        fake.set(0, Behaviour::Answer);
        assert_eq!(by(running.await.expect("no panic")), "2", "offset {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_that_do_not_acknowledge_make_no_call_fail_or_be_repeated() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(durable(LOW, 1)).await), "0");
    fake.stick_replicas(0);
    let (scripts, connections) = (fake.scripts_run(0), fake.connections(0));
    let count = 3_000;
    let answers = stream(&supervisor, count, Duration::from_millis(1), || durable(LOW, 1)).await;
    let mut slowest = Duration::ZERO;
    for (answer, took) in answers {
        assert_eq!(answer.expect("an answer").replicated, 0);
        slowest = slowest.max(took);
    }
    assert!(slowest < Duration::from_millis(700), "{slowest:?}");
    assert_eq!(fake.scripts_run(0) - scripts, count, "each ran once");
    assert_eq!(fake.connections(0), connections, "nobody was suspected");
}

#[tokio::test(start_paused = true)]
async fn a_lane_to_a_hung_server_sends_its_callers_to_the_next_master() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(durable(LOW, 1)).await), "0");
    fake.set(0, Behaviour::Hang);
    let answers = {
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(
            async move { stream(&supervisor, 2_000, Duration::from_millis(2), || durable(LOW, 1)).await },
        )
    };
    // sleep: time passes on the paused clock alone; a failover takes four seconds of it.
    tokio::time::sleep(Duration::from_secs(4)).await;
    fake.promote(0, 2);
    for (answer, took) in answers.await.expect("no panic") {
        assert_eq!(by(answer), "2");
        assert!(took < Duration::from_millis(4_500), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_further_connection_serves_over_the_one_that_stands() {
    let full = |fake: &Fake| fake.set(0, Behaviour::Unconnected("max number of clients reached"));
    let denying = |fake: &Fake| {
        fake.set(0, Behaviour::Answer);
        fake.deny();
    };
    for refuse in [full, denying] {
        let fake = Fake::two_masters();
        let supervisor = connect(&fake).await;
        assert_eq!(by(supervisor.run(call(LOW)).await), "0");
        let connections = fake.connections(0);
        // One answer is late, so that a watchdog looks at the server.
        fake.set(0, Behaviour::Late(Duration::from_millis(600)));
        let running = {
            let supervisor = Arc::clone(&supervisor);
            tokio::spawn(async move { supervisor.run(call(LOW)).await })
        };
        // sleep: time passes on the paused clock alone, until the call is on its way.
        tokio::time::sleep(Duration::from_millis(100)).await;
        refuse(&fake);
        let start = Instant::now();
        assert_eq!(by(running.await.expect("no panic")), "0");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        // sleep: time passes on the paused clock alone, for the watchdog to look.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(by(supervisor.run(call(LOW)).await), "0");
        assert_eq!(fake.connections(0), connections);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_to_which_no_connection_stands_or_is_made_is_waited_for() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    fake.set(0, Behaviour::Unconnected("max number of clients reached"));
    fake.break_links(0);
    let running = tokio::spawn(async move { supervisor.run(call(LOW)).await });
    // sleep: time passes on the paused clock alone, in which the server is full.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!running.is_finished());
    fake.set(0, Behaviour::Answer);
    assert_eq!(by(running.await.expect("no panic")), "0");
}

#[tokio::test(start_paused = true)]
async fn a_password_that_changed_is_told_to_who_waits() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    fake.deny();
    fake.break_links(0);
    let start = Instant::now();
    for _ in 0..3 {
        let error = supervisor.run(call(LOW)).await.expect_err("nobody lets it in");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        // sleep: time passes on the paused clock alone, for watchdogs to look.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_write_ends_as_a_timeout_and_an_unsent_one_does_not() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    fake.set(0, Behaviour::Hang);
    let error = supervisor.run(call(LOW)).await.expect_err("it hangs");
    assert_eq!(
        error.kind(),
        ErrorKind::Timeout,
        "{error}: it may have been written"
    );
    let error = supervisor.run(call(LOW)).await.expect_err("it hangs");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}: nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn older_epochs_are_not_believed_unless_nothing_else_is_told() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.promote(0, 2);
    // sleep: time passes on the paused clock alone, in which the topology is looked at.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "2");
    // Whoever is asked now has not heard of the promotion.
    (0..3).for_each(|index| fake.keep_old_view(index));
    // sleep: time passes on the paused clock alone, in which the topology is looked at.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "2");
    // sleep: time passes on the paused clock alone, until the cluster must be another one.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
}
