//! The peer plane beside a bare tonic echo, when a peer dies, and when one floods:
//! `cargo bench -p ringhold-grpc --bench peer_plane`.
//!
//! All over mutual TLS on loopback, servers in processes of their own, which are this program again. What
//! is compared runs in turns in one run; ratios are medians over the rounds. `-- overhead`, `kill` or `flood`
//! runs that part alone. `-- --test` runs each part once and briefly: it proves that the bench runs, and asserts
//! nothing about timing. A bound that is not kept is a row that says so.

mod bare;
mod certificates;
mod flood;
mod kill;
mod load;
mod overhead;
mod process;

use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How often each is measured.
    pub(crate) rounds: usize,
    /// How long each time.
    pub(crate) period: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((role, arguments)) = process::role(&arguments) {
        return process::run(role, arguments);
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let parts = ["overhead", "kill", "flood"];
    let all = !parts.iter().any(|part| has(part));
    let effort = if has("--test") {
        Effort {
            rounds: 1,
            period: Duration::from_millis(300),
        }
    } else {
        Effort {
            rounds: 9,
            period: Duration::from_secs(2),
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let certificates = certificates::Certificates::new();
    runtime.block_on(async {
        if all || has("overhead") {
            overhead::run(&certificates, effort).await;
        }
        if all || has("kill") {
            kill::run(&certificates, effort).await;
        }
        if all || has("flood") {
            flood::run(&certificates, effort).await;
        }
    });
}
