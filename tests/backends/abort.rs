//! A process whose expiry handler aborts it, again and again, loses no expiry.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold::core::session::TakeExpired;
use ringhold::{ExpiryOptions, Fleet, FleetBuilder, Partition, SessionId, Ttl};
use ringhold_testkit::{Make, wait_for};

/// Set to the URL for the processes that abort.
const URL: &str = "RINGHOLD_TEST_ABORT_URL";
const NAME: &str = "abort::slow_abort_in_handlers_loses_none_of_5000_expiries";
const SESSIONS: usize = 5_000;
const PERMITS: usize = 256;
/// How many handlers of one process succeed before it aborts.
const LIFE: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(60);

async fn node(url: &str) -> FleetBuilder {
    let options = ExpiryOptions::new()
        .permits(PERMITS)
        .visibility(Duration::from_secs(1));
    Fleet::builder(ringhold::open(url).await.unwrap())
        .node("a")
        .expiry_options(options)
}

/// The test runs itself, in processes that abort in the middle of a handler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_abort_in_handlers_loses_none_of_5000_expiries() {
    if let Ok(url) = std::env::var(URL) {
        return abort_in_a_handler(&url).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("abort.redb");
    let url = format!("redb://{}?fleet=abort", file.display());
    let ids = sessions(&url).await;

    let mut handled: HashMap<String, usize> = HashMap::new();
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(URL, &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Only whole lines: those of handlers that returned `Ok`, or were about to.
        for line in lines.map_while(std::result::Result::ok) {
            if let Some(id) = line.strip_prefix("handled ") {
                *handled.entry(id.to_owned()).or_default() += 1;
            }
        }
        let status = child.wait().unwrap();
        assert!(!status.success(), "the process ended by itself");
    }
    assert!(handled.len() < SESSIONS, "the processes aborted too late");

    // The last one lives.
    let handled = Arc::new(Mutex::new(handled));
    let calls = Arc::clone(&handled);
    let node = node(&url).await.on_expired(move |session| {
        *calls.lock().unwrap().entry(session.id.to_string()).or_default() += 1;
        async { Ok::<(), &str>(()) }
    });
    let node = node.join().await.unwrap();
    wait_for("all expiries to be handled", LIMIT, async || {
        let lost = ids.len() - handled.lock().unwrap().len();
        if lost == 0 {
            Ok(())
        } else {
            Err(format!("{lost} of {SESSIONS} lost"))
        }
    })
    .await;
    node.leave().await.unwrap();
    let handled = handled.lock().unwrap().clone();
    let again = handled.values().filter(|calls| **calls > 1).count();
    assert_eq!(handled.into_keys().collect::<HashSet<_>>(), ids);
    // Those whose acknowledgement was not on the disk when a process aborted.
    assert!(again < LIFE * 3 / 2, "{again} were handled again");
    // sleep: longer than the visibility timeout
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let take = TakeExpired::new(Partition::all().collect(), 1_000, Make::new("left").nonce());
    let left = node.backend().sessions.take_expired(take).await.unwrap();
    assert_eq!(left.sessions, [], "handled, and not acknowledged");
}

/// Sessions that expire after a second, and no owner that is a member.
async fn sessions(url: &str) -> HashSet<String> {
    let backend = ringhold::open(url).await.unwrap();
    let make = Arc::new(Make::new("abort"));
    let mut creating = tokio::task::JoinSet::new();
    for _ in 0..SESSIONS {
        let (sessions, make) = (Arc::clone(&backend.sessions), Arc::clone(&make));
        creating.spawn(async move {
            let login = make.login(&make.player(), &make.owner(), Ttl::MIN);
            sessions.create(login).await.unwrap().session.id
        });
    }
    let ids: Vec<SessionId> = creating.join_all().await;
    ids.iter().map(SessionId::to_string).collect()
}

/// Joins, handles some expiries, and aborts.
async fn abort_in_a_handler(url: &str) {
    let count = AtomicUsize::new(0);
    let node = node(url).await.on_expired(move |session| {
        if count.fetch_add(1, Ordering::SeqCst) == LIFE {
            std::process::abort();
        }
        // In one piece, so that no line is half of one.
        let line = format!("handled {}\n", session.id);
        let written = std::io::stdout().lock().write_all(line.as_bytes());
        async move { written }
    });
    let _node = node.join().await.unwrap();
    // sleep: until a handler aborts the process
    tokio::time::sleep(LIMIT).await;
    panic!("no handler aborted");
}
