//! Targets that others are in, and sides that change meanwhile.

use std::collections::BTreeMap;
use std::future::Future;

use ringhold::core::session::{ClaimSession, RemoveSession};
use ringhold::{Backend, SessionRecord};
use ringhold_cli::copy::{Copy, Event, ProblemKind, Stage};
use ringhold_cli::exit::Exit;
use ringhold_testkit::Make;

use crate::support::{Told, all, login, memory, populate, run, ttl};

async fn remove(backend: &Backend, make: &Make, session: &SessionRecord) {
    let remove = RemoveSession::new(session.id, session.fence, make.operation());
    backend.sessions.remove(remove).await.unwrap();
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_session_by_session() {
    let make = Make::new("in the way");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    let sessions = populate(&from, &make, 50).await;
    run(&mut Copy::new(from.clone(), to.clone())).await.0.unwrap();
    let owner = make.owner();

    // One ended there.
    let ended = login(&from, &make, &make.player(), &owner, ttl(30)).await;
    // One is held there by somebody.
    let held = login(&from, &make, &make.player(), &owner, ttl(30)).await;
    run(&mut Copy::new(from.clone(), to.clone())).await.0.unwrap();
    let copy_of = async |session: &SessionRecord| to.sessions.get(&session.id).await.unwrap().unwrap();
    remove(&to, &make, &copy_of(&ended).await).await;
    let claim = ClaimSession::new(
        held.id,
        copy_of(&held).await.fence,
        make.owner(),
        make.nonce(),
        ttl(30),
    );
    to.sessions.claim(claim).await.unwrap();
    // One has a player who has logged in there; and of one who has two, one has not come yet.
    let doubled = login(&from, &make, &make.player(), &owner, ttl(30)).await;
    login(&to, &make, &doubled.player, &make.owner(), ttl(30)).await;
    let pair = make.player();
    let first = login(&from, &make, &pair, &owner, ttl(30)).await;
    let second = login(&from, &make, &pair, &owner, ttl(30)).await;
    login(&to, &make, &pair, &make.owner(), ttl(30)).await;
    // And two come over as ever.
    populate(&from, &make, 2).await;

    let before = all(&to).await;
    let mut copy = Copy::new(from.clone(), to.clone());
    let (outcome, told) = run(&mut copy).await;
    let failure = outcome.unwrap_err();
    assert_eq!(failure.exit(), Exit::No);
    assert!(failure.message().contains("4 refused by the target"), "{failure}");
    let refused = told.of(ProblemKind::Refused);
    let kinds: BTreeMap<_, _> = refused
        .iter()
        .map(|(id, message)| (*id, message.split(": ").nth(1).unwrap()))
        .collect();
    let expected = [
        (ended.id, "fenced"),
        (held.id, "fenced"),
        (doubled.id, "already_exists"),
        (second.id, "already_exists"),
    ];
    assert_eq!(kinds, BTreeMap::from(expected));
    let report = copy.report();
    assert_eq!(
        (report.copied, report.verified, report.differs, report.changed),
        (sessions + 3, sessions + 3, 0, 0)
    );
    // Nothing of the others was touched, and the first of the pair came.
    let after = all(&to).await;
    for (id, session) in before {
        assert_eq!(after.get(&id), Some(&session));
    }
    assert!(after.contains_key(&first.id) && !after.contains_key(&doubled.id));
}

/// Something that happens between copying and verifying.
async fn meanwhile<F: Future<Output = ()> + Send>(
    copy: &mut Copy,
    happens: impl FnOnce() -> F + Send,
) -> (Exit, Told) {
    let (mut told, mut happens) = (Told::default(), Some(happens));
    let outcome = copy
        .run(&mut |event| {
            let verifies = matches!(
                event,
                Event::Step {
                    stage: Stage::Copying,
                    partitions: 1_024,
                    ..
                }
            );
            told.hear(event);
            // The last step of copying is told twice, by the last page and at the end.
            let copied = told
                .steps
                .iter()
                .filter(|(.., partitions, _)| *partitions == 1_024)
                .count();
            if verifies
                && copied == 2
                && let Some(happens) = happens.take()
            {
                let runtime = tokio::runtime::Handle::current();
                tokio::task::block_in_place(|| runtime.block_on(happens()));
            }
            Ok(())
        })
        .await;
    assert!(happens.is_none(), "nothing happened");
    (outcome.unwrap_err().exit(), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_told_from_what_differs() {
    let make = Make::new("changes");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    populate(&from, &make, 300).await;
    let owner = make.owner();
    let mut own = Vec::new();
    for _ in 0..6 {
        own.push(login(&from, &make, &make.player(), &owner, ttl(30)).await);
    }
    let [saved, removed, claimed, ended, written, taken] = &own[..] else {
        panic!("six were made")
    };
    let late = make.player();
    let mut copy = Copy::new(from.clone(), to.clone());
    let (exit, told) = meanwhile(&mut copy, || async {
        // At the source: a write, an end, a change of owner, a new one.
        from.sessions.save(make.save(saved, b"new")).await.unwrap();
        remove(&from, &make, removed).await;
        let claim = ClaimSession::new(claimed.id, claimed.fence, make.owner(), make.nonce(), ttl(30));
        from.sessions.claim(claim).await.unwrap();
        login(&from, &make, &late, &owner, ttl(30)).await;
        // At the target: an end, a write, a change of owner.
        let there = async |session: &SessionRecord| to.sessions.get(&session.id).await.unwrap().unwrap();
        remove(&to, &make, &there(ended).await).await;
        to.sessions
            .save(make.save(&there(written).await, b"theirs"))
            .await
            .unwrap();
        let claim = ClaimSession::new(
            taken.id,
            there(taken).await.fence,
            make.owner(),
            make.nonce(),
            ttl(30),
        );
        to.sessions.claim(claim).await.unwrap();
    })
    .await;
    assert_eq!(exit, Exit::No);
    let late = from.sessions.find(&late).await.unwrap().remove(0);
    let changed = told.of(ProblemKind::Changed);
    assert_eq!(changed.len(), 4, "{changed:?}");
    for (session, words) in [
        (saved, "written or taken over"),
        (removed, "ended"),
        (claimed, "written or taken over"),
        (&late, "made since"),
    ] {
        assert!(changed[&session.id].contains(words), "{changed:?}");
    }
    let differs = told.of(ProblemKind::Differs);
    assert_eq!(differs.len(), 3, "{differs:?}");
    for (session, words) in [
        (ended, "no longer there"),
        (
            written,
            "version, data differ: the copy has been written there since",
        ),
        (taken, "owner differ: the target's fleet has taken it over"),
    ] {
        assert!(differs[&session.id].contains(words), "{differs:?}");
    }
    let report = copy.report();
    assert_eq!((report.changed, report.differs), (4, 3));
    // One was removed and one was made at the source, and one ended at the target.
    assert!((1..=3).contains(&report.partitions_changed), "{report:?}");
    assert_eq!(report.verified, report.copied - 6);

    // What the source wrote since is known for what it is, and not thrown away.
    let mut again = Copy::new(from.clone(), to.clone());
    let (outcome, told) = run(&mut again).await;
    assert_eq!(outcome.unwrap_err().exit(), Exit::No);
    let differs = told.of(ProblemKind::Differs);
    assert!(
        differs[&saved.id].contains("an earlier copy stands there, and the source has gone on"),
        "{differs:?}"
    );
    let refused = told.of(ProblemKind::Refused);
    assert!(refused[&claimed.id].contains("fenced"), "{refused:?}");
    assert_eq!(again.report().changed, 0);
}

#[tokio::test]
async fn data_that_the_target_does_not_take_is_told() {
    let make = Make::new("large data");
    let (from, _) = memory("eu");
    let to = ringhold::open("memory:?data_bytes_max=3").await.unwrap();
    let session = login(&from, &make, &make.player(), &make.owner(), ttl(30)).await;
    let small = login(&from, &make, &make.player(), &make.owner(), ttl(30)).await;
    from.sessions.save(make.save(&session, b"large")).await.unwrap();
    from.sessions.save(make.save(&small, b"ok.")).await.unwrap();
    let (outcome, told) = run(&mut Copy::new(from, to.clone())).await;
    assert_eq!(outcome.unwrap_err().exit(), Exit::No);
    let refused = told.of(ProblemKind::Refused);
    assert!(
        refused[&session.id].contains("raise data_bytes_max"),
        "{refused:?}"
    );
    assert_eq!(all(&to).await.keys().collect::<Vec<_>>(), [&small.id]);
}
