//! Random operations, after each of which every key and member is accounted for, and after whose
//! end nothing is left.

use std::collections::HashSet;
use std::time::Duration;

use ringhold_core::session::{ClaimSession, OnExisting, RemoveSession, RestoreSession, TakenSession};
use ringhold_core::{SessionRecord, Ttl};

use super::super::expiry::tick;
use super::super::head::Flags;
use super::super::pages::NOWHERE;
use super::super::partition::SessionPartition;
use super::{ANYONE, SECOND, Scene};

const STEPS: usize = 10_000;
const PLAYERS: usize = 40;
const MAX: u16 = 3;

/// Checks what has to hold between two operations.
pub(super) fn check(partition: &SessionPartition, time: Duration) {
    let now = partition.clock.read(time);
    let records = &partition.records;
    assert_eq!(
        partition.expiry.len(),
        records.len(),
        "one index entry per session"
    );
    let (mut listed, mut players, mut owners) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut extras = 0;
    for place in records.places() {
        let (player, head) = (records.player_id(place), records.head(place));
        let id = head.id;
        assert_eq!(records.find(&id), Some(place));
        assert!(
            partition.expiry.holds(place, &head, records.due(&head)),
            "{id} is not where it is armed"
        );
        let armed = (head.armed_at == NOWHERE) || head.armed <= tick(records.due(&head));
        assert!(armed, "{id} comes up late");
        owners.insert(records.owner(&head).clone());
        extras += usize::from(records.extra(&head).is_some());
        let linked = head.flags.has(Flags::LINKED);
        assert!(linked || !head.is_live(now), "{id} was unlinked and lives");
        let login = head.flags.has(Flags::MADE) || records.login(&head).is_some();
        assert!(linked || !login, "{id} was unlinked and has a login");
        if linked && players.insert(player.clone()) {
            for (place, head) in records.linked(&player) {
                assert!(listed.insert(place), "{} is listed twice", head.id);
                assert!(
                    records.is_of(place, &player),
                    "{} is listed for {player}",
                    head.id
                );
            }
        }
    }
    for place in records.places() {
        let linked = records.head(place).flags.has(Flags::LINKED);
        assert_eq!(linked, listed.contains(&place), "linked exactly while listed");
    }
    assert_eq!(records.counts(), (owners.len(), extras, players.len()));
    let (tombstones, queued) = partition.tombstones.len();
    assert_eq!(tombstones, queued, "no id is buried twice");
}

impl Scene {
    /// One random operation. Errors are answers too; what may not go wrong is the account.
    fn step(&mut self, known: &mut Vec<SessionRecord>, taken: &mut Vec<TakenSession>) {
        let player = self.make.below(PLAYERS);
        self.player = ringhold_core::PlayerId::new(format!("player-{player}")).unwrap();
        if self.make.below(3) == 0 {
            self.owner.incarnation.number = 1 + self.make.bits() % 4;
        }
        let at = self.make.below(known.len());
        let session = known.get(at).cloned();
        let time = self.time;
        let ttl = Ttl::from_millis(1_000 + self.make.bits() % 9_000).unwrap();
        match (self.make.below(16), session) {
            (0..=4, _) | (_, None) => {
                let rules = [
                    ANYONE,
                    OnExisting::Existing,
                    OnExisting::default(),
                    OnExisting::Reject,
                    OnExisting::Replace,
                    OnExisting::Allow { max: MAX },
                ];
                let mut request = self.request(rules[self.make.below(rules.len())]);
                request.ttl = ttl;
                let first = self
                    .partition
                    .create(time, request.clone())
                    .map(|created| created.session);
                let again = self
                    .partition
                    .create(time, request)
                    .map(|created| created.session);
                assert_eq!(
                    first.as_ref().ok(),
                    again.as_ref().ok(),
                    "a repetition answers the same"
                );
                known.extend(first);
            }
            (5..=7, Some(session)) => drop(self.touch(&session, ttl)),
            (8, Some(session)) => {
                // Of all lengths: it moves to other places, and out of them.
                let long = self.make.below(4) == 0;
                let len = self.make.below(if long { 2_000 } else { 40 });
                let save = self.make.save(&session, &[7; 2_000][..len]);
                let _ = self.partition.save(time, &save);
            }
            (9, Some(session)) => {
                let claim = ClaimSession::new(
                    session.id,
                    session.fence,
                    self.owner.clone(),
                    self.make.nonce(),
                    ttl,
                );
                known.extend(self.partition.claim(time, &claim).map(|claimed| claimed.session));
            }
            (10, Some(session)) => {
                let remove = RemoveSession::new(session.id, session.fence, self.make.operation());
                if self.partition.remove(time, &remove).is_ok() {
                    self.partition.remove(time, &remove).unwrap();
                    known.swap_remove(at);
                }
            }
            (11, Some(session)) => {
                let mut restore = RestoreSession::new(session, self.make.nonce());
                restore.live_max = MAX;
                known.extend(
                    self.partition
                        .restore(time, restore)
                        .map(|restored| restored.session),
                );
            }
            (12..=13, _) => {
                let limit = self.make.below(4);
                taken.extend(self.take(limit).0);
            }
            (14, _) => {
                let at = self.make.below(taken.len());
                if at < taken.len() {
                    let _ = self.ack(&taken.swap_remove(at));
                }
            }
            _ => self.time += SECOND * u32::try_from(self.make.below(3)).unwrap(),
        }
    }
}

#[test]
fn every_key_and_member_is_accounted_for() {
    let mut scene = Scene::new("account");
    let (mut known, mut taken) = (Vec::new(), Vec::new());
    let mut most = 0;
    for step in 0..STEPS {
        scene.step(&mut known, &mut taken);
        if step % 16 == 0 {
            check(&scene.partition, scene.time);
        }
        most = most.max(scene.partition.records.len());
        let live = scene.partition.find(scene.time, &scene.player).len();
        assert!(live <= usize::from(MAX), "{live} live sessions of one player");
        if known.len() > 200 {
            known.drain(..100);
        }
    }
    assert!(most > PLAYERS, "the walk went somewhere: {most}");
    assert!(scene.partition.tombstones.len().0 > 0);

    // Everything expires, is taken and acknowledged; then the tombstones go.
    for _ in 0..40 {
        scene.time += SECOND * 3;
        for taken in scene.take(1_000).0 {
            scene.ack(&taken).unwrap();
        }
    }
    assert_eq!(
        (scene.partition.records.len(), scene.partition.records.counts()),
        (0, (0, 0, 0))
    );
    scene.pass(super::MINUTE);
    check(&scene.partition, scene.time);
    assert_eq!(scene.partition.expiry.len(), 0);
    assert_eq!(scene.partition.tombstones.len(), (0, 0));
}
