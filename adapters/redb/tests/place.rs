//! Paths that cannot be one, one that is opened twice, and a disk that is full.

mod bed;

use std::process::Command;

use bed::Bed;
use ringhold_testkit::embedded::{
    a_full_disk_is_survived, bad_places_are_told, full_disk, one_path_is_one_store, other_process,
};

/// Does nothing, but in the processes that the other tests start.
#[tokio::test]
async fn other() {
    other_process(&Bed).await;
}

/// The same.
#[tokio::test]
async fn full() {
    full_disk(&Bed, || {
        let (_, most) = rlimit::getrlimit(rlimit::Resource::FSIZE).expect("a limit");
        rlimit::setrlimit(rlimit::Resource::FSIZE, most, most).expect("the soft limit may rise");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_a_file_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    bad_places_are_told(&Bed, folder.path(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_path_is_one_store_of_one_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let this_program = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "other", "--nocapture"]);
        command
    };
    one_path_is_one_store(&Bed, folder.path(), this_program).await;
}

#[test]
fn slow_a_full_disk_is_told_and_survived() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = std::env::current_exe().expect("this program");
    let program = program.to_str().expect("a path of text");
    a_full_disk_is_survived(folder.path(), program, &["--exact", "full", "--nocapture"]);
}
