//! Which connection something goes over.

use super::*;
use crate::client::Words;

fn large(mut call: Call) -> Call {
    let mut words = Words::with_room(4, 20_000);
    for word in call.command.iter() {
        words.word(word);
    }
    words.word(&[7; 20_000]);
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
