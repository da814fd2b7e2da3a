//! The session store beside the bare client on a real Redis Cluster:
//! `cargo bench -p ringhold-redis --bench stores_speed`.
//!
//! The same scripts with the same arguments go to the same servers, 3 masters with a replica each, through
//! [`RedisSessions`](ringhold_redis::RedisSessions) and through one connection of the `redis` crate to each
//! master; beside them stand the figures of `redis-benchmark`. What is compared runs in turns in one run;
//! ratios are medians over the rounds. After that, small operations amid large values.
//!
//! Words choose parts: `1`, `50`, `500` (tasks in flight), `large`; none means all. `-- --test` runs each
//! part once and briefly, and checks that all is answered and not how fast.

mod bare;
mod benchmark;
mod compare;
mod large;
mod load;
mod scene;
mod way;

#[path = "../../src/schema/tags.rs"]
mod tags;

use std::time::Duration;

use self::scene::Scene;

/// How many tasks are in flight.
const TASKS: [usize; 3] = [1, 50, 500];

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
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let effort = if has("--test") {
        Effort {
            rounds: 1,
            period: Duration::from_millis(250),
        }
    } else {
        Effort {
            rounds: 9,
            period: Duration::from_millis(700),
        }
    };
    let all = arguments.iter().all(|argument| argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let scene = runtime.block_on(Scene::new());
    for tasks in TASKS {
        if all || has(&tasks.to_string()) {
            benchmark::run(&scene, tasks, effort);
            runtime.block_on(compare::run(&scene, tasks, effort));
        }
    }
    if all || has("large") {
        runtime.block_on(large::run(&scene, effort));
    }
}
