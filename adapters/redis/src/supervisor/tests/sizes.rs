//! Which connection something goes over.

use super::*;
use crate::client::Words;

pub(super) fn large(call: Call) -> Call {
    with_bytes(call, 20_000)
}

fn with_bytes(mut call: Call, bytes: usize) -> Call {
    let mut words = Words::with_room(5, bytes);
    for word in call.command.iter() {
        words.word(word);
    }
    words.word(&vec![7; bytes]);
    call.command = words.finish();
    call
}

/// A read of something that may be large.
fn read(about: u64) -> Call {
    Call {
        script: &script::GET,
        about: Some(about),
        ..call(LOW)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_large_goes_over_a_connection_of_its_own() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.run(call(LOW)).await.unwrap();
    assert_eq!(
        fake.scripts_by_link(0),
        [1],
        "nothing large, and no second connection"
    );
    supervisor.run(large(call(LOW))).await.unwrap();
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(large(call(LOW))).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_was_large_is_expected_to_be_large_again() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.answer_bytes(0, 20_000);
    supervisor.run(read(7)).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [1], "nothing is known of it yet");
    supervisor.run(read(7)).await.unwrap();
    supervisor.run(read(8)).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [2, 1], "of that one alone");
    fake.answer_bytes(0, 200);
    supervisor.run(read(7)).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [2, 2]);
    supervisor.run(read(7)).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [3, 2], "it has become small");
}

#[tokio::test(start_paused = true)]
async fn a_large_write_says_what_reads_of_it_will_be() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    let write = |call: Call| Call {
        about: Some(7),
        ..call
    };
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(write(large(call(LOW)))).await.unwrap();
    // The answer to a write is short whatever it wrote.
    supervisor.run(write(call(LOW))).await.unwrap();
    supervisor.run(write(large(call(LOW)))).await.unwrap();
    supervisor.run(read(7)).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn either_connection_is_made_anew() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(large(call(LOW))).await.unwrap();
    fake.break_links(0);
    let start = Instant::now();
    assert_eq!(by(supervisor.run(large(call(LOW))).await), "0");
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_cut_off_while_idle_costs_no_attempt() {
    let small: fn(Call) -> Call = |call| call;
    for (cut, idle, busy) in [(0, small, large as fn(Call) -> Call), (1, large, small)] {
        let fake = Fake::two_masters();
        let supervisor = connect(&fake).await;
        supervisor.run(call(LOW)).await.unwrap();
        supervisor.run(large(call(LOW))).await.unwrap();
        assert_eq!(fake.scripts_by_link(0), [1, 1]);
        fake.cut_off(0, cut);
        for _ in 0..20 {
            supervisor.run(busy(call(LOW))).await.unwrap();
            // sleep: time passes on the paused clock alone, in which idle connections are looked at.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let start = Instant::now();
        supervisor.run(idle(call(LOW))).await.unwrap();
        assert!(
            start.elapsed() < Duration::from_millis(50),
            "connection {cut}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_that_was_cut_off_is_no_reason_to_replace_the_first() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(large(call(LOW))).await.unwrap();
    fake.cut_off(0, 1);
    // sleep: time passes on the paused clock alone, in which idle connections are looked at.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(
        fake.connections(0),
        2,
        "nothing large is there, and nothing is made"
    );
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(large(call(LOW))).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_second_connection_the_first_one_serves() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.run(call(LOW)).await.unwrap();
    fake.set(0, Behaviour::Unconnected("max number of clients reached"));
    let start = Instant::now();
    let calls = (0..20).map(|_| supervisor.run(large(call(LOW))));
    assert_eq!(
        join_all(calls).await.into_iter().map(by).collect::<String>(),
        "0".repeat(20)
    );
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(fake.scripts_by_link(0), [22], "and the server is not given up");
    // Places become free, and it has one of its own again.
    fake.set(0, Behaviour::Answer);
    tokio::time::advance(Duration::from_secs(1)).await;
    supervisor.run(large(call(LOW))).await.unwrap();
    assert_eq!(fake.scripts_by_link(0), [22, 1]);
}

#[tokio::test(start_paused = true)]
async fn durable_writes_are_apart_as_well() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    let before = fake.connections(0);
    for _ in 0..3 {
        assert_eq!(supervisor.run(durable(LOW, 1)).await.unwrap().replicated, 1);
        assert_eq!(
            supervisor.run(large(durable(LOW, 1))).await.unwrap().replicated,
            1
        );
    }
    assert_eq!(fake.connections(0) - before, 2);
    assert_eq!(fake.scripts_by_link(0)[before..], [3, 3]);
}

#[tokio::test(start_paused = true)]
async fn only_so_much_is_under_way_at_a_time() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(large(call(LOW))).await.unwrap();
    fake.set(0, Behaviour::Late(Duration::from_millis(400)));
    let start = Instant::now();
    let took = |call| {
        let supervisor = &supervisor;
        async move {
            supervisor.run(call).await.unwrap();
            start.elapsed().as_millis()
        }
    };
    // Three of a mebibyte fit into four with all that belongs to them.
    let many = join_all((0..12).map(|_| took(with_bytes(call(LOW), 1 << 20))));
    let (large, small) = tokio::join!(many, took(call(LOW)));
    let turns: Vec<_> = large.chunks(3).map(|turn| turn[0] / 400).collect();
    assert_eq!(
        turns,
        [1, 2, 3, 4],
        "{large:?}: waiting for a turn is not being late"
    );
    assert!((400..450).contains(&small), "{small} ms");
    assert_eq!(fake.scripts_run(0), 15, "nothing was sent twice");
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_no_room_in_time_is_told_that_it_is_too_much() {
    let fake = Fake::two_masters();
    let overall = Duration::from_secs(1);
    let supervisor = connect_with(&fake, |settings| settings.overall = overall).await;
    supervisor.run(call(LOW)).await.unwrap();
    supervisor.run(large(call(LOW))).await.unwrap();
    let before = fake.scripts_run(0);
    fake.set(0, Behaviour::Late(Duration::from_millis(400)));
    let calls = (0..12).map(|_| supervisor.run(with_bytes(call(LOW), 1 << 20)));
    let answers = join_all(calls).await;
    // Three at a time; two turns fit, and the third one is not answered in time.
    let kinds: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().err().map(ringhold_core::Error::kind))
        .collect();
    let turns = [None, None, Some(ErrorKind::Timeout), Some(ErrorKind::Overloaded)];
    assert_eq!(kinds, turns.map(|kind| [kind; 3]).concat());
    // sleep: time passes on the paused clock alone; what was sent arrives.
    tokio::time::sleep(overall).await;
    assert_eq!(
        fake.scripts_run(0) - before,
        6,
        "nothing is sent whose time is over"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_on_a_server_that_hangs_goes_where_an_answer_is() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    supervisor.run(call(LOW)).await.unwrap();
    let before = fake.scripts_run(0);
    fake.set(0, Behaviour::Hang);
    fake.promote(0, 2);
    let start = Instant::now();
    let calls = (0..30).map(|_| supervisor.run(with_bytes(call(LOW), 1 << 20)));
    let answers = join_all(calls).await.into_iter().map(by);
    assert_eq!(answers.collect::<Vec<_>>(), vec!["2"; 30]);
    assert_eq!(fake.scripts_run(0), before);
    // Ten turns of an attempt each would be 5 s.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
