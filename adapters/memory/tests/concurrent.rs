//! Many tasks on several threads at one player, one session, one fleet.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringhold_core::discovery::RegisterNode;
use ringhold_core::session::{
    ClaimSession, CreateOutcome, CreateSession, OnExisting, TakeExpired, TakeoverFrom,
};
use ringhold_core::{
    Discovery, ErrorKind, FleetName, Limits, Membership, Partition, Result, SessionStore, Timing, Ttl,
};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::{Make, SimulatedClock, within};

const TASKS: u64 = 100;
const ANYONE: OnExisting = OnExisting::Takeover {
    from: TakeoverFrom::Anyone,
};

fn backend(clock: &SimulatedClock) -> MemoryBackend {
    let fleet = FleetName::new("concurrent").expect("a word");
    MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(clock.clone()))
}

/// Runs `TASKS` futures at once and answers what they came to.
async fn at_once<T, F>(mut task: impl FnMut() -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(task())).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(within("a task ends", task).await.expect("no task panics"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_of_one_player_form_one_chain_of_fences() -> Result<()> {
    let make = Make::new("chain");
    let sessions = backend(&SimulatedClock::new()).sessions();
    let player = make.player();
    let answers = at_once(|| {
        let login: CreateSession = make.login_with(&player, &make.owner(), Ttl::MAX, ANYONE);
        let sessions = Arc::clone(&sessions);
        async move {
            // Each is tried twice at once, as after a timeout that was none.
            let (first, again) = tokio::join!(sessions.create(login.clone()), sessions.create(login));
            (first, again)
        }
    })
    .await;
    let mut epochs = BTreeSet::new();
    let mut new = 0;
    for (first, again) in answers {
        let created = first?;
        new += usize::from(created.outcome == CreateOutcome::New);
        assert!(epochs.insert(created.session.fence.epoch), "one owner per epoch");
        match again {
            Ok(again) => assert_eq!(again.session.fence, created.session.fence),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced),
        }
    }
    assert_eq!((new, epochs), (1, (1..=TASKS).collect()));
    assert_eq!(sessions.find(&player).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_claims_wins() -> Result<()> {
    let make = Make::new("claims");
    let sessions = backend(&SimulatedClock::new()).sessions();
    let login = make.login(&make.player(), &make.owner(), Ttl::MAX);
    let seen = sessions.create(login).await?.session;
    let answers = at_once(|| {
        let claim = ClaimSession::new(seen.id, seen.fence, make.owner(), make.nonce(), Ttl::MAX);
        let sessions = Arc::clone(&sessions);
        async move { sessions.claim(claim).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let lost = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert!(lost.into_iter().all(|error| error.kind() == ErrorKind::Fenced));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweepers_at_once_share_the_expired() -> Result<()> {
    const SESSIONS: usize = 2_000;
    let make = Make::new("sweepers");
    let clock = SimulatedClock::new();
    let sessions = backend(&clock).sessions();
    for _ in 0..SESSIONS {
        sessions
            .create(make.login(&make.player(), &make.owner(), Ttl::MIN))
            .await?;
    }
    clock.advance(Ttl::MIN.duration());
    let all: Vec<Partition> = Partition::all().collect();
    let answers = at_once(|| {
        let take = TakeExpired::new(all.clone(), 1_000, make.nonce());
        let sessions = Arc::clone(&sessions);
        async move { sessions.take_expired(take).await }
    })
    .await;
    let mut ids = BTreeSet::new();
    for taken in answers {
        for taken in taken?.sessions {
            assert!(ids.insert(taken.session.id), "it was given to one sweeper");
        }
    }
    assert_eq!(ids.len(), SESSIONS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_follows_while_everybody_registers() -> Result<()> {
    let make = Make::new("registers");
    let discovery = backend(&SimulatedClock::new()).discovery();
    let mut watch = discovery.watch(None).await?;
    let follower = tokio::spawn(async move {
        let mut membership = Membership::default();
        while membership.members.len() < usize::try_from(TASKS).unwrap_or(usize::MAX) {
            membership.apply(&watch.next().await?)?;
        }
        Ok::<_, ringhold_core::Error>(membership)
    });
    let answers = at_once(|| {
        let request = RegisterNode::new(make.node(), Timing::default());
        let discovery = Arc::clone(&discovery);
        async move { discovery.register(request).await }
    })
    .await;
    assert!(answers.iter().all(Result::is_ok));
    let seen = within("the watch sees all", follower)
        .await
        .expect("it does not panic")?;
    assert_eq!(seen, discovery.members().await?);
    Ok(())
}
