//! A runtime that stands still while a server is asked.

use ringhold_testkit::Log;
use tokio::time::advance;

use super::*;

/// The server hangs while it is probed; whether the log says so depends on whose fault the silence is.
async fn log_of_a_hang(stands_still: bool) -> String {
    let log = Log::default();
    let _listening = log.listen();
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Hang);
    let running = {
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(async move { supervisor.run(call(LOW)).await })
    };
    // sleep: time passes on the paused clock alone, until the attempt is over and the probe is under way.
    tokio::time::sleep(Duration::from_millis(600)).await;
    if stands_still {
        // All of it at once, as for a runtime that a blocking call has stopped.
        advance(Duration::from_secs(7)).await;
    } else {
        // sleep: time passes on the paused clock alone, until the probe is over.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    fake.set(0, Behaviour::Answer);
    assert_eq!(by(running.await.expect("no panic")), "0");
    log.text()
}

#[tokio::test(start_paused = true)]
async fn server_is_not_blamed_for_a_probe_that_ended_late() {
    for (stands_still, expected) in [(true, 0), (false, 1)] {
        let log = log_of_a_hang(stands_still).await;
        let of_the_server = || log.lines().filter(|line| line.contains("address=paper:7000"));
        for words in ["the server does not answer", "the server answers again"] {
            let found = of_the_server().filter(|line| line.contains(words)).count();
            assert_eq!(found, expected, "{words:?} in:\n{log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn error_of_an_attempt_that_ended_late_names_the_runtime() {
    for (stands_still, expected) in [
        (true, "this runtime or its process stood still for"),
        (false, "no answer of"),
    ] {
        let fake = Fake::two_masters();
        let attempt = Duration::from_secs(1);
        // The one attempt is all that the operation has time for.
        let supervisor = connect_with(&fake, |settings| {
            (settings.attempt, settings.overall) = (attempt, attempt);
        })
        .await;
        fake.set(0, Behaviour::Hang);
        let running = {
            let supervisor = Arc::clone(&supervisor);
            tokio::spawn(async move { supervisor.run(call(LOW)).await })
        };
        tokio::task::yield_now().await;
        advance(if stands_still { attempt * 7 } else { attempt }).await;
        let error = running.await.expect("no panic").expect_err("a server that hangs");
        assert!(error.context().contains(expected), "{error}");
    }
}
