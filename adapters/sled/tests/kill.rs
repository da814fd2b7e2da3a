//! Kills amid writes: what was acknowledged is there, or is within the window of `durability=fast`.

mod bed;

use std::process::Command;
use std::time::Duration;

use bed::Bed;
use ringhold_sled::EmbeddedDurability;
use ringhold_testkit::embedded::{EmbeddedOpening, Kills, child, kills};

/// Does nothing, but in the processes that the other tests start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    child(&Bed).await;
}

fn this_program() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "writer", "--nocapture"]);
    command
}

async fn killed(number: usize, fast: bool) -> Kills {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut opening = EmbeddedOpening::new(folder.path().join("killed"));
    opening.fast = fast;
    let kills = kills(&Bed, &opening, this_program, number).await;
    println!("{kills:?}");
    assert!(
        kills.acknowledged > number * 10,
        "too little was written: {kills:?}"
    );
    assert!(kills.faults.is_empty(), "{kills:#?}");
    assert!(kills.reopen_max < Duration::from_secs(1), "{kills:?}");
    kills
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_nothing_acknowledged_is_lost() {
    let kills = killed(50, false).await;
    assert_eq!(kills.lost, 0, "{kills:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_fast_loses_no_more_than_its_window() {
    let kills = killed(20, true).await;
    // The window, and what a busy machine adds until this test has read of it.
    assert!(kills.lost_span < EmbeddedDurability::FAST_WINDOW * 5, "{kills:?}");
}
