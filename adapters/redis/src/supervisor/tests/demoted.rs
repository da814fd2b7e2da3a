//! Single servers that become replicas while the name or the address that leads to them moves on.

use super::*;

fn refuse(line: &str) -> Behaviour {
    Behaviour::Refuse(line.to_owned())
}

#[tokio::test(start_paused = true)]
async fn call_on_a_demoted_server_follows_the_name_within_two_seconds() {
    for replicas in [0, 1] {
        let fake = Fake::two_masters();
        fake.name(NAME, &[0]);
        let supervisor = one_server(&fake).await.expect("a master");
        assert_eq!(by(supervisor.run(durable(LOW, replicas)).await), "0");
        fake.set(0, refuse("READONLY You can't write against a read only replica."));
        let running: Vec<_> = (0..100)
            .map(|_| {
                let supervisor = Arc::clone(&supervisor);
                tokio::spawn(async move { supervisor.run(durable(LOW, replicas)).await })
            })
            .collect();
        // sleep: time passes on the paused clock alone, in which the name leads to the replica.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let connections = fake.connections(0);
        assert!(
            (5..=40).contains(&connections),
            "{connections} connections in 10 s"
        );
        fake.name(NAME, &[1]);
        let moved = Instant::now();
        for answer in join_all(running).await {
            assert_eq!(by(answer.expect("no panic")), "1");
        }
        assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connection_to_a_demoted_server_is_replaced() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0]);
    let supervisor = one_server(&fake).await.expect("a master");
    fake.name(NAME, &[1]);
    fake.set(0, refuse("READONLY"));
    // sleep: time passes on the paused clock alone, in which only the topology is asked for.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "1");
    assert_eq!(fake.scripts_run(0), 0, "the demoted server gets no call");
}

#[tokio::test(start_paused = true)]
async fn write_of_a_lane_that_was_unblocked_is_retried_on_another_connection() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0]);
    let supervisor = one_server(&fake).await.expect("a master");
    assert_eq!(by(supervisor.run(durable(LOW, 1)).await), "0");
    fake.set(
        0,
        Behaviour::RefuseWait("UNBLOCKED force unblock from blocking operation"),
    );
    fake.name(NAME, &[1]);
    let answer = supervisor.run(durable(LOW, 1)).await.expect("an answer");
    assert_eq!((answer.replicated, by(Ok(answer))), (1, "1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn master_among_several_addresses_is_found() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0, 1, 2]);
    fake.set(0, Behaviour::Hang);
    fake.set(1, refuse("READONLY"));
    let start = Instant::now();
    let supervisor = one_server(&fake).await.expect("a master");
    assert!(
        start.elapsed() < Duration::from_millis(150),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(by(supervisor.run(call(LOW)).await), "2");
}

#[tokio::test(start_paused = true)]
async fn name_that_leads_to_replicas_alone_is_an_error_that_says_so() {
    let fake = Fake::two_masters();
    fake.name(NAME, &[0, 1]);
    fake.set(0, refuse("READONLY"));
    fake.set(1, Behaviour::Unconnected("connection refused"));
    let error = one_server(&fake).await.expect_err("no master");
    assert!(
        error.is_retryable() && error.context().contains("the server is a replica"),
        "{error}"
    );
}
