//! Very many sessions, and very many ends.

use super::super::sweep::PURGED_MAX;
use super::*;

/// `count` live sessions of the scene's player, each `ttl` long, oldest first.
fn fill(scene: &mut Scene, count: usize, ttl: Ttl) -> Vec<SessionRecord> {
    let allow = OnExisting::Allow { max: u16::MAX };
    let mut login = || {
        let mut request = scene.request(allow);
        request.ttl = ttl;
        scene.partition.create(scene.time, request).unwrap().session
    };
    (0..count).map(|_| login()).collect()
}

#[test]
fn very_many_are_replaced_in_one_walk_and_told_in_order() {
    let mut scene = Scene::new("replaced");
    let sessions = fill(&mut scene, 400, Ttl::MAX);
    let kept = OnExisting::Allow { max: 101 };
    let created = scene.partition.create(scene.time, scene.request(kept)).unwrap();
    let displaced: Vec<_> = created.displaced.iter().map(|old| old.id).collect();
    let (gone, rest) = sessions.split_at(300);
    assert_eq!(
        displaced,
        gone.iter().map(|session| session.id).collect::<Vec<_>>()
    );
    account::check(&scene.partition, scene.time);

    let created = scene
        .partition
        .create(scene.time, scene.request(OnExisting::Replace))
        .unwrap();
    let displaced: Vec<_> = created.displaced.iter().map(|old| old.id).collect();
    assert_eq!(displaced.len(), 101);
    assert!(
        rest.iter()
            .map(|session| session.id)
            .eq(displaced[..100].iter().copied())
    );
    assert_eq!(scene.partition.find(scene.time, &scene.player), [created.session]);
    account::check(&scene.partition, scene.time);
}

#[test]
fn the_living_and_the_expired_of_one_list_go_their_own_ways() {
    let mut scene = Scene::new("mixed");
    let mut expected = Vec::new();
    for _ in 0..50 {
        fill(&mut scene, 1, TTL);
        expected.extend(
            fill(&mut scene, 1, Ttl::MAX)
                .into_iter()
                .map(|session| session.id),
        );
    }
    scene.pass(SECOND * 2);
    let request = scene.request(OnExisting::Allow { max: 41 });
    let created = scene.partition.create(scene.time, request).unwrap();
    let displaced: Vec<_> = created.displaced.iter().map(|old| old.id).collect();
    assert_eq!(
        displaced,
        expected[..10],
        "only living ones are displaced, the oldest"
    );
    account::check(&scene.partition, scene.time);
    let linked: Vec<_> = scene
        .partition
        .records
        .linked(&scene.player)
        .map(|(_, head)| head.id)
        .collect();
    assert_eq!(linked[..40], expected[10..]);
    assert_eq!(linked[40..], [created.session.id]);
    assert_eq!(scene.take(100).0.len(), 50, "the expired ones are delivered");
}

#[test]
fn a_take_forgets_a_bounded_number_of_tombstones() {
    let mut scene = Scene::new("purge");
    let count = PURGED_MAX + 10;
    for session in fill_players(&mut scene, count) {
        let remove = RemoveSession::new(session.id, session.fence, scene.make.operation());
        scene.partition.remove(scene.time, &remove).unwrap();
    }
    assert_eq!(scene.partition.tombstones.len().0, count);
    for _ in 0..25 {
        scene.time += SECOND * 3;
        scene.touch_nobody();
    }
    assert_eq!(scene.take_once(10), (0, true), "there is more to forget");
    assert_eq!(scene.partition.tombstones.len().0, 10);
    assert_eq!(scene.take(10), (vec![], false));
    assert_eq!(scene.partition.tombstones.len().0, 0);
}

/// `count` sessions of as many players.
fn fill_players(scene: &mut Scene, count: usize) -> Vec<SessionRecord> {
    let mut login = || {
        scene.player = scene.make.player();
        scene.login(ANYONE)
    };
    (0..count).map(|_| login()).collect()
}

impl Scene {
    /// Moves the partition's clock on by a write that sweeps nothing.
    fn touch_nobody(&mut self) {
        self.partition.touch_many(self.time, &[], &mut Vec::new());
    }
}

#[test]
fn a_take_says_more_only_where_there_is() {
    let mut scene = Scene::new("more");
    let sessions = fill_players(&mut scene, 3);
    // Its entry in the index comes up, and it is not due.
    scene.touch(&sessions[2], Ttl::MAX);
    scene.pass(SECOND * 2);
    assert_eq!(scene.take(0), (vec![], true), "a tick says that sessions are due");
    assert!(scene.take(1).1);
    let (taken, more) = scene.take(1);
    assert_eq!(
        (taken.len(), more),
        (1, false),
        "as many as the limit, and no more"
    );
}
