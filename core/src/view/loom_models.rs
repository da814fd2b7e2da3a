//! Models of what a view's threads count: reservations while the view changes, and turns.
//! `published/loom_models.rs` says how they run.

use std::sync::Arc;

use loom::model;
use loom::thread;

use super::*;
use crate::membership::Member;
use crate::policy::{BalancingPolicy, Candidates, RoundRobin};
use crate::published::Published;
use crate::{Nonce, Revision};

/// The view of these nodes that follows another.
fn follow(view: &View, ids: &[&str]) -> View {
    let members = ids.iter().map(|id| {
        let nonce = Nonce::from_bytes([1; 16]);
        let mut record = NodeRecord::new(NodeId::new(id).unwrap(), Incarnation { number: 1, nonce });
        record.zone = Zone::new("east").unwrap();
        Member::new(record, Load::default())
    });
    let revision = Revision::new(view.revision().number + 1, 1);
    view.next(&Membership::new(revision, members.collect()), None, |_| false)
}

fn turn(view: &View, request: &PlaceRequest<'_>) -> usize {
    let mut out = Candidates::with_limit(1);
    RoundRobin.rank(view, request, &mut out);
    out.first().unwrap()
}

#[test]
fn reservations_are_taken_back_once_over_a_change_of_the_view() {
    model(|| {
        let cell = Published::new(Arc::new(follow(&View::empty(), &["a"])));
        let other = thread::spawn({
            let mut reader = cell.reader();
            move || {
                drop(reader.get().reserve(0));
                reader.get().reserve(0)
            }
        });
        let mut reader = cell.reader();
        let early = reader.get().reserve(0);
        cell.update(|view| follow(view, &["0", "a"]));
        early.release();
        // The other's dropped reservation is seen by one of these.
        for now in 0..2 {
            cell.latest()
                .expire_expected(Duration::from_secs(now), Duration::ZERO);
        }
        let kept = other.join().unwrap();
        cell.latest()
            .expire_expected(Duration::from_secs(2), Duration::ZERO);
        let latest = cell.latest();
        let counters = &latest.node(&kept.record().id).unwrap().counters;
        assert_eq!(
            counters.reserved(),
            1,
            "one reservation is held, whichever view it is of"
        );
        kept.release();
        assert_eq!(counters.reserved(), 0);
    });
}

#[test]
fn two_threads_take_turns_while_the_view_changes() {
    model(|| {
        let old = Arc::new(follow(&View::empty(), &["a", "b"]));
        let new = Arc::new(follow(&old, &["a", "b", "c"]));
        let request = PlaceRequest::new(b"", 0);
        let other = thread::spawn({
            let old = Arc::clone(&old);
            move || turn(&old, &PlaceRequest::new(b"", 0))
        });
        let mut taken = vec![turn(&new, &request), turn(&new, &request)];
        taken.push(other.join().unwrap());
        taken.sort_unstable();
        // The old view knows nothing of the third node, so that may have had its turn already.
        assert!(taken == [0, 1, 2] || taken == [0, 0, 1], "{taken:?}");
    });
}

#[test]
fn no_turn_is_given_twice_to_those_who_look_at_all() {
    model(|| {
        let view = Arc::new(follow(&View::empty(), &["a", "b"]));
        let other = thread::spawn({
            let view = Arc::clone(&view);
            move || {
                let zone = Zone::new("east").unwrap();
                turn(&view, &PlaceRequest::new(b"", 0).in_zone(&zone))
            }
        });
        let zone = Zone::new("east").unwrap();
        let own = turn(&view, &PlaceRequest::new(b"", 0).in_zone(&zone));
        assert_ne!(own, other.join().unwrap());
    });
}
