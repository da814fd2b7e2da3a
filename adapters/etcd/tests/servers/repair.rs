//! Faults among what etcd stores are found and repaired.

use ringhold_core::session::{OnExisting, RepairSessions, SessionFault, SessionProblem};
use ringhold_core::{SessionStore, Ttl};
use ringhold_testkit::Make;

use crate::support::{one, open, raw};

/// All faults, part by part.
async fn faults(store: &dyn SessionStore, request: RepairSessions) -> Vec<SessionFault> {
    let (mut request, mut faults) = (request, Vec::new());
    loop {
        let part = store.repair(request.clone()).await.unwrap();
        faults.extend(part.faults);
        match part.next {
            Some(next) => request = request.after(next),
            None => return faults,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_hundred_sessions_are_found_and_repaired() {
    let cluster = one().await;
    let make = Make::new("a repair on etcd");
    let store = open(&cluster.url("repair")).await.unwrap().sessions;
    let mut created = Vec::new();
    for _ in 0..100 {
        let login = make.login(&make.player(), &make.owner(), Ttl::MAX);
        created.push(store.create(login).await.unwrap().session);
    }
    assert_eq!(faults(&*store, RepairSessions::check()).await, []);
    let mut raw = raw(&cluster).await;
    for (index, session) in created.iter().enumerate() {
        let key = match index % 4 {
            0 => format!("/ringhold/repair/body/{}", session.id),
            1 => format!("/ringhold/repair/player/{}", session.player),
            2 => format!("/ringhold/repair/session/{}", session.id),
            _ => continue,
        };
        raw.delete(key, None).await.unwrap();
    }
    let found = faults(&*store, RepairSessions::check()).await;
    let of = |problem| found.iter().filter(|fault| fault.problem == problem).count();
    assert_eq!(of(SessionProblem::Unreadable), 25, "without their bodies");
    assert_eq!(of(SessionProblem::NotIndexed), 25, "without their lists");
    assert_eq!(
        of(SessionProblem::Dangling),
        75,
        "lists, bodies and due keys without their sessions"
    );

    let repaired = faults(&*store, RepairSessions::repair()).await;
    assert!(repaired.iter().all(|fault| fault.repaired), "{repaired:?}");
    assert_eq!(faults(&*store, RepairSessions::check()).await, []);
    for (index, session) in created.iter().enumerate() {
        let login = make.login_with(&session.player, &make.owner(), Ttl::MAX, OnExisting::Existing);
        let found = store.create(login).await.unwrap().session;
        assert_eq!(
            found.id == session.id,
            index % 4 == 1 || index % 4 == 3,
            "{index}"
        );
    }
}
