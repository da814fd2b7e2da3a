//! A program that is killed cannot clean up, and leaves nothing behind all the same.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringhold_launch::{RedisOptions, RedisServer};

/// Set for the process that this test starts and kills.
const VICTIM: &str = "RINGHOLD_TEST_VICTIM";

#[test]
fn a_killed_program_leaves_no_server_and_no_folder() {
    if std::env::var_os(VICTIM).is_some() {
        let server = RedisServer::start(&RedisOptions::new()).unwrap();
        println!("\nserver {}", server.pid().unwrap());
        loop {
            std::thread::park();
        }
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_killed_program_leaves_no_server_and_no_folder",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let server = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("server ").map(str::to_owned))
        .unwrap();
    let working_folder = PathBuf::from(format!("/proc/{server}/cwd"));
    let folder = working_folder.read_link().unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let killed = Instant::now();
    // What is left of a process whose parent is gone has no working folder any more.
    while working_folder.read_link().is_ok() || folder.exists() {
        let left = format!("{server} in {}", folder.display());
        assert!(killed.elapsed() < Duration::from_secs(20), "{left}");
        std::thread::yield_now();
    }
}
