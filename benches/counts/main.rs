//! How many instructions the hot paths take: `cargo xtask counts`.
//!
//! Each work runs in a process of its own under valgrind, which counts what happens in
//! [`instructions_from_here`] and nothing else. Times say little on a machine that others use; these
//! figures are the same on each run, and `figures.txt` has what they were.
//!
//! A package of its own, so that the optimised build is one of the library alone.

use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};

use ringhold::{Fleet, Observer};
use ringhold_core::codec::{SessionHeader, decode_session, encode_session};
use ringhold_core::discovery::RegisterNode;
use ringhold_core::policy::{
    BalancingPolicy, BoundedLoad, Candidates, ConsistentHash, LeastConnections, RoundRobin,
};
use ringhold_core::view::{PlaceRequest, View};
use ringhold_core::{Incarnation, NodeId, NodeRecord, Nonce, Timing};

const NODES: usize = 1_000;
const CALLS: usize = 2_000;

/// Does something so often.
type Work = fn(usize);

/// What is counted, by name.
const WORKS: &[(&str, Work)] = &[
    ("ring/owner", ring_owner),
    ("ring/three-successors", ring_successors),
    ("router/owner", router_owner),
    ("fleet/owner", fleet_owner),
    ("fleet/place", fleet_place),
    ("codec/session-header", session_header),
    ("codec/session-decode", session_decode),
    ("codec/session-encode", session_encode),
    ("policy/consistent-hash", |calls| policy(calls, &ConsistentHash)),
    ("policy/round-robin", |calls| policy(calls, &RoundRobin)),
    ("policy/least-connections", |calls| {
        policy(calls, &LeastConnections);
    }),
    ("policy/bounded-load", |calls| {
        policy(calls, &BoundedLoad::default());
    }),
    ("policy/bounded-load-at-bounds", |calls| {
        policy_at_bounds(calls, &BoundedLoad::default());
    }),
];

/// A session as stores keep it: one of core's golden files.
const SESSION: &[u8] = include_bytes!("../../core/tests/golden/session-v1.bin");

/// Calls `call` with keys that differ. Its name is what valgrind is told to count.
#[inline(never)]
fn instructions_from_here(calls: usize, mut call: impl FnMut(&[u8])) {
    for number in 0..calls {
        let key = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        call(black_box(&key.to_le_bytes()));
    }
}

fn ring_owner(calls: usize) {
    let view = observer().view();
    instructions_from_here(calls, |key| used(view.ring().owner_index(key)));
}

fn ring_successors(calls: usize) {
    let view = observer().view();
    instructions_from_here(calls, |key| {
        used(view.ring().successors(key).take(3).sum::<usize>());
    });
}

fn router_owner(calls: usize) {
    let mut router = observer().router();
    instructions_from_here(calls, |key| used(router.owner(key)));
}

fn fleet_owner(calls: usize) {
    let observer = observer();
    used(observer.owner("first"));
    instructions_from_here(calls, |key| used(observer.owner(key)));
}

fn fleet_place(calls: usize) {
    let observer = observer();
    used(observer.place("first"));
    instructions_from_here(calls, |key| used(observer.place(key)));
}

fn session_header(calls: usize) {
    instructions_from_here(calls, |_| used(SessionHeader::read(black_box(SESSION))));
}

fn session_decode(calls: usize) {
    instructions_from_here(calls, |_| used(decode_session(black_box(SESSION))));
}

fn session_encode(calls: usize) {
    let session = decode_session(SESSION).expect("a golden file");
    instructions_from_here(calls, |_| used(encode_session(black_box(&session))));
}

fn policy(calls: usize, policy: &dyn BalancingPolicy) {
    rank(calls, &observer().view(), policy);
}

/// Every second node carries much more than its share.
fn policy_at_bounds(calls: usize, policy: &dyn BalancingPolicy) {
    let view = observer().view();
    for node in view.nodes().iter().step_by(2) {
        node.counters.set_sessions(10);
    }
    rank(calls, &view, policy);
}

fn rank(calls: usize, view: &View, policy: &dyn BalancingPolicy) {
    let mut out = Candidates::with_limit(1);
    instructions_from_here(calls / 10, |key| {
        policy.rank(view, &PlaceRequest::new(key, 7), &mut out);
        used(out.first());
    });
}

/// Makes the compiler believe that an answer is wanted.
fn used<T>(answer: T) {
    let _: T = black_box(answer);
}

/// One that sees 1,000 nodes. Its tasks rest, since nobody drives its runtime any more.
fn observer() -> Observer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let observer = runtime.block_on(async {
        let backend = ringhold::open("memory:").await.expect("a backend");
        let timing = Timing::new(Timing::HEARTBEAT_MAX, Timing::LEASE_MAX).expect("periods");
        for number in 0..NODES {
            let id = NodeId::new(format!("node-{number}")).expect("a node id");
            let nonce = Nonce::from_bytes((number as u128).to_le_bytes());
            let record = NodeRecord::new(id, Incarnation { number: 0, nonce });
            let joined = backend
                .discovery
                .register(RegisterNode::new(record, timing))
                .await;
            joined.expect("it joins");
        }
        let builder = Fleet::builder(backend).policy(ConsistentHash::new());
        builder.observe().await.expect("an observer")
    });
    // Its tasks are kept, not ended: an observer may be asked for as long as it lives.
    std::mem::forget(runtime);
    observer
}

/// Runs this program once more under valgrind, and answers the instructions of one call.
fn count(work: &str, calls: usize) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let out = std::env::temp_dir().join(format!("ringhold-counts-{}.out", std::process::id()));
    let status = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*instructions_from_here*",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(&program)
        .arg(work)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("valgrind did not start: {error}; `cargo xtask setup` installs it"))?;
    let told = std::fs::read_to_string(&out).map_err(|error| error.to_string())?;
    std::fs::remove_file(&out).map_err(|error| error.to_string())?;
    let total = told.lines().find_map(|line| line.strip_prefix("totals: "));
    match total.and_then(|total| total.trim().parse::<u64>().ok()) {
        Some(total) if status.success() && total > 0 => Ok(total / calls as u64),
        _ => Err(format!("valgrind counted nothing for {work} ({status})")),
    }
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    for (name, work) in WORKS {
        match &wanted {
            Some(wanted) if wanted == name => work(CALLS),
            Some(_) => {}
            None => {
                let calls = if name.starts_with("policy/") {
                    CALLS / 10
                } else {
                    CALLS
                };
                match count(name, calls) {
                    Ok(instructions) => println!("{name} {instructions}"),
                    Err(problem) => {
                        eprintln!("error: {problem}");
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}
