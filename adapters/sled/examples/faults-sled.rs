//! `cargo xtask faults --backend sled`: kills amid writes, what they cost, and how fast it is.

#[path = "../tests/bed/mod.rs"]
mod bed;

use std::process::ExitCode;

use bed::Bed;
use ringhold_testkit::embedded::faults;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if faults(&Bed, "sled", folder.path()).await {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
