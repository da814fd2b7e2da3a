//! Views that follow each other.

use super::*;
use crate::Nonce;
use crate::Weight;
use crate::membership::Member;

fn record(id: &str, number: u64) -> NodeRecord {
    let nonce = Nonce::from_bytes([u8::try_from(number).unwrap(); 16]);
    NodeRecord::new(NodeId::new(id).unwrap(), Incarnation { number, nonce })
}

fn with_weight(mut record: NodeRecord, weight: u32) -> NodeRecord {
    record.weight = Weight::new(weight).unwrap();
    record
}

/// The membership of these records, each with a load.
fn membership(number: u64, members: Vec<(NodeRecord, u32)>) -> Membership {
    let members = members
        .into_iter()
        .map(|(record, sessions)| Member::new(record, Load::new(sessions)));
    Membership::new(Revision::new(number, number << 48), members.collect())
}

fn follow(view: &View, members: Vec<(NodeRecord, u32)>) -> View {
    view.next(&membership(view.revision().number + 1, members), None, |_| false)
}

fn sessions(view: &View, id: &str) -> u32 {
    view.node(&NodeId::new(id).unwrap()).unwrap().counters.sessions()
}

#[test]
fn an_empty_view_answers_nothing() {
    let view = View::empty();
    assert!(view.owner(b"ada").is_none() && view.nodes().is_empty());
    assert!(view.node(&NodeId::new("a").unwrap()).is_none());
    assert!(!view.takes(0, &PlaceRequest::new(b"ada", 0)));
    assert_eq!(view.revision(), Revision::default());
}

#[test]
fn nodes_stand_by_id_as_in_the_ring() {
    let view = follow(
        &View::empty(),
        vec![(record("c", 1), 0), (record("a", 1), 0), (record("b", 1), 0)],
    );
    let ids: Vec<_> = view.nodes().iter().map(|node| node.record.id.clone()).collect();
    assert!(ids.iter().eq(view.ring().nodes().iter().map(|(id, _)| id)));
    for key in 0..100_u8 {
        assert_eq!(
            Some(&view.owner(&[key]).unwrap().record.id),
            view.ring().owner(&[key])
        );
    }
    assert!(view.incarnation(&record("b", 1).node()).is_some());
    assert!(view.incarnation(&record("b", 2).node()).is_none());
    assert!(view.incarnation(&record("d", 1).node()).is_none());
    assert_eq!(view.revision(), Revision::new(1, 1 << 48));
}

#[test]
fn the_ring_is_shared_while_ids_and_weights_stand() {
    let first = follow(&View::empty(), vec![(record("a", 1), 0), (record("b", 1), 0)]);
    let mut changed = record("b", 2);
    changed.state = NodeState::Draining;
    changed.capacity = Some(1);
    let second = follow(&first, vec![(record("a", 1), 5), (changed, 0)]);
    assert!(Arc::ptr_eq(first.ring(), second.ring()));
    let suspicious = first.next(
        &membership(3, vec![(record("a", 1), 0), (record("b", 1), 0)]),
        None,
        |_| true,
    );
    assert!(Arc::ptr_eq(first.ring(), suspicious.ring()));
}

#[test]
fn any_change_of_ids_and_weights_makes_the_ring_of_the_members() {
    let sets: [&[(&str, u32)]; 8] = [
        &[("a", 1), ("b", 1)],
        &[("a", 1), ("b", 2)],
        &[("b", 2)],
        &[("b", 2), ("c", 1), ("d", 0)],
        &[("a", 3), ("c", 1), ("e", 1)],
        &[],
        &[("x", 1), ("y", 1), ("z", 1)],
        &[("w", 1), ("y", 1)],
    ];
    let mut view = View::empty();
    for members in sets {
        let records = members
            .iter()
            .map(|(id, weight)| (with_weight(record(id, 1), *weight), 0));
        let old = Arc::clone(view.ring());
        view = follow(&view, records.collect());
        let weights = members
            .iter()
            .map(|(id, weight)| (NodeId::new(id).unwrap(), Weight::new(*weight).unwrap()));
        assert_eq!(**view.ring(), Ring::new(weights));
        assert!(!Arc::ptr_eq(&old, view.ring()));
        assert_eq!(view.nodes().len(), members.len());
    }
}

#[test]
fn counters_stay_with_their_incarnation() {
    let first = follow(&View::empty(), vec![(record("a", 1), 4), (record("b", 1), 6)]);
    let held = first.reserve(1);
    let second = follow(&first, vec![(record("b", 1), 7), (record("c", 1), 0)]);
    assert_eq!(
        (sessions(&second, "b"), second.nodes()[0].counters.reserved()),
        (7, 1)
    );
    // The next run of the same id starts with nothing.
    let third = follow(&second, vec![(record("b", 2), 0), (record("c", 1), 0)]);
    assert_eq!(third.nodes()[0].counters.total(), 0);
    // A run with the same number and another nonce is another one, too.
    let mut twin = record("b", 1);
    twin.incarnation.nonce = Nonce::from_bytes([9; 16]);
    assert_eq!(follow(&second, vec![(twin, 0)]).nodes()[0].counters.total(), 0);
    held.release();
    assert_eq!(
        (
            third.nodes()[0].counters.total(),
            second.nodes()[0].counters.reserved()
        ),
        (0, 0)
    );
}

#[test]
fn a_released_reservation_is_taken_from_the_counter_that_it_was_added_to() {
    let mut view = follow(&View::empty(), vec![(record("a", 1), 2), (record("b", 1), 0)]);
    let held = [view.reserve(0), view.reserve(0), view.reserve(1)];
    assert_eq!(held[0].record().id.as_str(), "a");
    for _ in 0..3 {
        view = follow(&view, vec![(record("a", 1), 2), (record("b", 1), 0)]);
    }
    assert_eq!(
        (view.nodes()[0].counters.total(), view.nodes()[1].counters.total()),
        (4, 1)
    );
    held.into_iter().for_each(Reservation::release);
    assert_eq!(
        (view.nodes()[0].counters.total(), view.nodes()[1].counters.total()),
        (2, 0)
    );
}

#[test]
fn own_sessions_are_counted_where_they_are() {
    let own = record("a", 1).node();
    let first = follow(&View::empty(), vec![(record("a", 1), 0), (record("b", 1), 0)]);
    first.nodes()[0].counters.set_sessions(1);
    let told = membership(2, vec![(record("a", 1), 90), (record("b", 1), 90)]);
    let second = first.next(&told, Some(&own), |_| false);
    assert_eq!((sessions(&second, "a"), sessions(&second, "b")), (1, 90));
}

const LIMIT: Duration = Duration::from_secs(3);

/// The sum of sessions and reservations of the first node.
fn total(view: &View) -> u32 {
    view.nodes()[0].counters.total()
}

fn send(view: &View, players: u32) {
    for _ in 0..players {
        drop(view.reserve(0));
    }
}

#[test]
fn a_dropped_reservation_counts_until_its_player_is_reported() {
    let mut view = follow(&View::empty(), vec![(record("a", 1), 5)]);
    send(&view, 10);
    assert_eq!(total(&view), 15);
    // The report does not show them yet, then three, then two more while three others left, then all.
    for (sessions, expected) in [(5, 15), (8, 15), (5, 12), (7, 12), (20, 20), (19, 19)] {
        view = follow(&view, vec![(record("a", 1), sessions)]);
        assert_eq!(total(&view), expected, "at {sessions} sessions");
    }
    assert_eq!(view.nodes()[0].counters.reserved(), 0);
}

#[test]
fn a_reported_player_takes_back_no_reservation_that_is_held() {
    let view = follow(&View::empty(), vec![(record("a", 1), 0)]);
    let held = view.reserve(0);
    send(&view, 1);
    let view = follow(&view, vec![(record("a", 1), 9)]);
    assert_eq!((view.nodes()[0].counters.reserved(), total(&view)), (1, 10));
    view.expire_expected(LIMIT * 10, LIMIT);
    assert_eq!(view.nodes()[0].counters.reserved(), 1);
    held.release();
    assert_eq!(total(&view), 9);
}

#[test]
fn an_expected_login_whose_player_does_not_arrive_counts_for_the_limit() {
    let seconds = Duration::from_secs;
    let view = follow(&View::empty(), vec![(record("a", 1), 0)]);
    let mut seen = Vec::new();
    for now in 100..108 {
        if now < 103 {
            send(&view, 2);
        }
        view.expire_expected(seconds(now), LIMIT);
        seen.push(total(&view));
    }
    assert_eq!(seen, [2, 4, 6, 4, 2, 0, 0, 0]);
    // The oldest arrive first: what is left expires when its own time has come.
    send(&view, 2);
    view.expire_expected(seconds(200), LIMIT);
    send(&view, 2);
    view.expire_expected(seconds(201), LIMIT);
    let view = follow(&view, vec![(record("a", 1), 3)]);
    assert_eq!(total(&view), 4);
    view.expire_expected(seconds(203), LIMIT);
    assert_eq!(total(&view), 4);
    view.expire_expected(seconds(204), LIMIT);
    assert_eq!(total(&view), 3);
}

#[test]
fn an_expected_login_fills_a_node_of_limited_capacity() {
    let mut limited = record("a", 1);
    limited.capacity = Some(1);
    let view = follow(&View::empty(), vec![(limited, 0)]);
    send(&view, 1);
    assert!(!view.takes(0, &PlaceRequest::new(b"", 0)));
    view.expire_expected(Duration::ZERO, LIMIT);
    view.expire_expected(LIMIT, LIMIT);
    assert!(view.takes(0, &PlaceRequest::new(b"", 0)));
}

#[test]
fn a_total_never_overflows() {
    let counters = NodeCounters::default();
    counters.set_sessions(u32::MAX);
    counters.reserve();
    assert_eq!(counters.total(), u32::MAX);
}

#[test]
fn suspicion_is_of_an_exact_run_or_a_lapsed_lease() {
    let mut members = membership(
        1,
        vec![(record("a", 1), 0), (record("b", 1), 0), (record("c", 1), 0)],
    );
    members.members[2].lapsed = true;
    let view = View::empty().next(&members, None, |node| *node == record("a", 1).node());
    assert_eq!(
        view.nodes().iter().map(|node| node.suspect).collect::<Vec<_>>(),
        [true, false, true]
    );
    let view = View::empty().next(&members, None, |node| *node == record("a", 2).node());
    assert!(!view.nodes()[0].suspect);
    let request = PlaceRequest::new(b"", 0);
    assert!(view.takes(0, &request) && view.takes(1, &request) && !view.takes(2, &request));
}

#[test]
fn a_place_is_taken_by_state_zone_labels_and_capacity() {
    let zone = Zone::new("east").unwrap();
    let label = |key: &str, value: &str| (LabelKey::new(key).unwrap(), LabelValue::new(value).unwrap());
    let mut first = record("a", 1);
    first.zone = zone.clone();
    first.capacity = Some(3);
    for (key, value) in [label("map", "ice"), label("mode", "duel")] {
        first.labels.insert(key, value).unwrap();
    }
    let mut view = follow(
        &View::empty(),
        vec![(first.clone(), 2), (with_weight(record("b", 1), 0), 0)],
    );
    let request = PlaceRequest::new(b"", 0);
    assert!(view.takes(0, &request));
    assert!(!view.takes(1, &request), "weight 0");
    assert!(!view.takes(2, &request), "no such node");

    assert!(view.takes(0, &request.in_zone(&zone)));
    assert!(!view.takes(0, &request.in_zone(&Zone::new("west").unwrap())));
    assert!(!view.takes(0, &request.in_zone(&Zone::default())));

    let [ice, duel, fire, other] =
        [("map", "ice"), ("mode", "duel"), ("map", "fire"), ("x", "")].map(|(k, v)| label(k, v));
    assert!(view.takes(0, &request.with_labels(&[ice.clone(), duel])));
    assert!(!view.takes(0, &request.with_labels(&[ice, fire])));
    assert!(!view.takes(0, &request.with_labels(&[other])));

    let held = view.reserve(0);
    assert!(
        !view.takes(0, &request),
        "two sessions and a reservation fill three places"
    );
    held.release();
    assert!(view.takes(0, &request));
    for state in [NodeState::Joining, NodeState::Draining] {
        first.state = state;
        view = follow(&view, vec![(first.clone(), 0)]);
        assert!(!view.takes(0, &request), "{state:?}");
    }
}
