//! One player and a hundred logins at once, on five nodes that are processes, each of which takes the
//! player from whoever has it: what clients see, and what the store says in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold::{PlayerId, SessionRecord};
use ringhold_cli::demo::protocol::Reply;
use ringhold_testkit::within;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::node::Node;
use crate::{LIMIT, cluster};

const NODES: usize = 5;
const LOGINS: usize = 100;
const PLAYER: &str = "ada";
/// What is told by a call is told by then. A touch, which tells the same, comes after 16 s at the earliest.
const CALLED: Duration = Duration::from_secs(10);
/// A touch period of the demo's sessions, and room for a busy machine: what is not told by then never is.
const BACKSTOP: Duration = Duration::from_secs(45);

/// A connection that was attached.
struct Stay {
    node: usize,
    session: String,
    epoch: u64,
    nonce: [u8; 16],
    stream: BufReader<TcpStream>,
}

/// How a stay ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Bye(String),
    /// The connection broke, or closed without a word.
    Broken,
}

fn start(url: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = (1..=NODES)
        .map(|number| Node::start(url, &format!("node-{number}")))
        .collect();
    for node in &mut nodes {
        node.sees(NODES);
    }
    nodes
}

/// Takes the player over, here. `None` where the node does not answer.
async fn take(node: usize, address: &str) -> Option<Stay> {
    let mut stream = BufReader::new(TcpStream::connect(address).await.ok()?);
    let login = format!("LOGIN {PLAYER} TAKE\n");
    stream.get_mut().write_all(login.as_bytes()).await.ok()?;
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    match line.trim_end().parse() {
        Ok(Reply::Here { session, fence, .. }) => Some(Stay {
            node,
            session: session.to_string(),
            epoch: fence.epoch,
            nonce: fence.nonce.to_bytes(),
            stream,
        }),
        other => panic!("node {node} answered {other:?}"),
    }
}

impl Stay {
    async fn end(&mut self) -> End {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        match line.trim_end().parse() {
            Ok(Reply::Bye(reason)) if read.is_ok() => End::Bye(reason),
            _ if line.is_empty() => End::Broken,
            _ => panic!("node {} said {line:?}", self.node),
        }
    }

    async fn plays(&mut self) -> bool {
        let mut line = String::new();
        self.stream.get_mut().write_all(b"MOVE 1 1\n").await.unwrap();
        self.stream.read_line(&mut line).await.unwrap();
        line.starts_with("POS ")
    }
}

/// Waits until all these stays have ended, each with the time that it took; says which have not where they
/// do not.
async fn all_ended(stays: Vec<Stay>, limit: Duration) -> Vec<(Stay, End, Duration)> {
    let (all, started) = (stays.len(), Instant::now());
    let mut ending = JoinSet::new();
    for mut stay in stays {
        ending.spawn(async move {
            let end = stay.end().await;
            (stay, end, started.elapsed())
        });
    }
    let mut ended = Vec::new();
    let collect = async {
        while let Some(next) = ending.join_next().await {
            ended.push(next.unwrap());
        }
    };
    let whole = timeout(limit, collect).await.is_ok();
    let epochs: Vec<u64> = ended.iter().map(|(stay, ..)| stay.epoch).collect();
    assert!(
        whole,
        "{} of {all} ended within {limit:?}: those of the epochs {epochs:?}",
        ended.len()
    );
    ended
}

/// Each stay has a fence of its own, and no two have an epoch in common; all are of one session.
fn assert_history(stays: &[&Stay]) {
    let mut by_epoch = BTreeMap::new();
    let mut by_nonce = BTreeMap::new();
    for stay in stays {
        let twice = by_epoch.insert(stay.epoch, stay.node);
        assert_eq!(
            twice, None,
            "epoch {} has two owners, one is {}",
            stay.epoch, stay.node
        );
        let twice = by_nonce.insert(stay.nonce, stay.node);
        assert_eq!(twice, None, "the fence of epoch {} was given twice", stay.epoch);
        assert_eq!(stay.session, stays[0].session, "there is one session");
    }
}

/// What the store says: one session.
async fn stored(url: &str) -> SessionRecord {
    let backend = ringhold::open(url).await.unwrap();
    let found = backend
        .sessions
        .find(&PlayerId::new(PLAYER).unwrap())
        .await
        .unwrap();
    let [session] = &found[..] else {
        panic!("{} sessions stayed", found.len())
    };
    session.clone()
}

/// Where a login goes: some node, the same at each run of the test.
fn somewhere(login: usize) -> usize {
    let mixed = (login as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 33).unwrap() % NODES
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_of_a_hundred_logins_on_five_nodes_one_stays() {
    let cluster = cluster();
    let url = cluster.url("taken");
    let nodes = start(&url);
    let mut logins = JoinSet::new();
    for login in 0..LOGINS {
        let node = somewhere(login);
        let address = nodes[node].address.clone();
        logins.spawn(async move {
            within("an answer", take(node, &address))
                .await
                .expect("an answer")
        });
    }
    let mut stays = logins.join_all().await;
    assert_history(&stays.iter().collect::<Vec<_>>());

    stays.sort_by_key(|stay| stay.epoch);
    let mut last = stays.pop().unwrap();
    assert_eq!(last.epoch, LOGINS as u64, "each login is one owner more");
    for (stay, end, _) in all_ended(stays, CALLED).await {
        let told = End::Bye("displaced".to_owned());
        assert_eq!(end, told, "epoch {} on node {}", stay.epoch, stay.node);
    }
    assert!(within("an answer", last.plays()).await);
    let session = stored(&url).await;
    assert_eq!(
        (
            session.fence.epoch,
            session.fence.nonce.to_bytes(),
            &session.owner
        ),
        (last.epoch, last.nonce, &nodes[last.node].incarnation)
    );
    for node in nodes {
        node.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_node_that_is_killed_amid_the_logins_leaves_one_owner() {
    let cluster = cluster();
    let url = cluster.url("killed");
    let mut nodes = start(&url);
    let (condemned, attached) = (NODES - 1, Arc::new(Semaphore::new(0)));
    let mut logins = JoinSet::new();
    for login in 0..LOGINS {
        let (node, attached) = (somewhere(login), Arc::clone(&attached));
        let address = nodes[node].address.clone();
        logins.spawn(async move {
            let stay = within("an answer", take(node, &address)).await;
            attached.add_permits(usize::from(stay.is_some()));
            assert!(stay.is_some() || node == condemned, "node {node} does not answer");
            stay
        });
    }
    let some = attached.acquire_many(20);
    within("some logins", some).await.unwrap().forget();
    nodes.pop().unwrap().kill();
    let mut stays: Vec<Stay> = logins.join_all().await.into_iter().flatten().collect();
    // Whoever the killed node made the owner last: the next login takes the player from there, too.
    let mut last = within("an answer", take(0, &nodes[0].address)).await.unwrap();
    assert_history(&stays.iter().chain([&last]).collect::<Vec<_>>());
    assert!(stays.iter().all(|stay| stay.epoch < last.epoch));

    // What the killed node had to tell was lost with it, and then the touch tells it.
    let left_behind: Vec<Stay> = stays.extract_if(.., |stay| stay.node == condemned).collect();
    let mut late = 0;
    for (stay, end, took) in all_ended(stays, BACKSTOP).await {
        let told = matches!(&end, End::Bye(reason) if reason == "displaced" || reason == "fenced");
        assert!(
            told,
            "epoch {} on node {} ended with {end:?}",
            stay.epoch, stay.node
        );
        late += usize::from(took > CALLED);
    }
    let condemned_logins = (0..LOGINS).filter(|login| somewhere(*login) == condemned);
    assert!(late <= condemned_logins.count(), "{late} were told by a touch");
    for (stay, end, _) in all_ended(left_behind, LIMIT).await {
        let told = End::Bye("displaced".to_owned());
        assert!(end == told || end == End::Broken, "epoch {}: {end:?}", stay.epoch);
    }
    assert!(within("an answer", last.plays()).await);
    let session = stored(&url).await;
    assert_eq!(
        (
            session.fence.epoch,
            session.fence.nonce.to_bytes(),
            &session.owner
        ),
        (last.epoch, last.nonce, &nodes[0].incarnation)
    );
    for node in nodes {
        node.end();
    }
}
