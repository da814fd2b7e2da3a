//! What the servers' own tool measures of them: plain `GET` and `SET`.

use std::process::Command;

use crate::Effort;
use crate::scene::Scene;
use crate::way::DATA_BYTES;

/// Runs `redis-benchmark` with as many connections as there are tasks, none of them with two requests at
/// once, and prints its figures.
pub(crate) fn run(scene: &Scene, tasks: usize, effort: Effort) {
    let address = scene.cluster.address(0);
    // About a second of each; far fewer only show that it runs.
    let requests = if effort.rounds == 1 {
        1_000
    } else {
        8_000 + 1_000 * tasks.min(60)
    };
    let output = Command::new("redis-benchmark")
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(["--cluster", "--csv", "-t", "get,set", "-P", "1"])
        .args(["-c", &tasks.to_string(), "-n", &requests.to_string()])
        .args(["-d", &DATA_BYTES.to_string()])
        .output()
        .expect("redis-benchmark comes with redis-server");
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut told = 0;
    for line in printed.lines() {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim_matches('"')).collect();
        // Name, requests per second, average, least, p50, p95, p99, most; the times in milliseconds.
        if let [name @ ("GET" | "SET"), per_s, _, _, _, _, p99, _] = fields[..] {
            println!("redis-benchmark -c {tasks} -P 1: {name} {per_s} /s, p99 {p99} ms");
            told += 1;
        }
    }
    assert_eq!(told, 2, "redis-benchmark tells of both: {printed}");
    scene.empty();
}
