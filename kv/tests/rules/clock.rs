//! The store clock over a stored number: never ahead of real time, at most one cap behind what passed.

use std::time::Duration;

use crate::common::{Reach, TestStore};
use ringhold_core::clock::StoreClock;
use ringhold_core::discovery::RegisterNode;
use ringhold_core::{Clock, ErrorKind, Timing};
use ringhold_kv::clock::{ClockKind, ObservedClock};
use ringhold_kv::discovery::{self, Step};
use ringhold_kv::schema::SESSION_CLOCK;
use ringhold_testkit::{Make, SimulatedClock};

const STEP: Duration = Duration::from_millis(500);

fn observer() -> ObservedClock {
    ObservedClock::new(ClockKind::Sessions, STEP)
}

fn read(store: &TestStore, observed: &ObservedClock, time: Duration) -> u64 {
    store.run(|tx| observed.read(tx, time)).expect("a reading")
}

fn advance(store: &TestStore, observed: &ObservedClock, time: Duration) -> u64 {
    store.run(|tx| observed.advance(tx, time)).expect("a reading")
}

fn stored(store: &TestStore) -> Option<u64> {
    let bytes = store.value(SESSION_CLOCK)?;
    Some(u64::from_le_bytes(bytes[..].try_into().expect("8 bytes")))
}

#[test]
fn it_is_stored_in_steps_and_read_exactly() {
    let (store, clock, millis) = (TestStore::new(Reach::Near), observer(), Duration::from_millis);
    assert_eq!(
        (advance(&store, &clock, millis(9_000)), stored(&store)),
        (0, Some(0))
    );
    assert_eq!(
        (advance(&store, &clock, millis(9_499)), stored(&store)),
        (499, Some(0))
    );
    assert_eq!(
        (advance(&store, &clock, millis(9_500)), stored(&store)),
        (500, Some(500))
    );
    assert_eq!(read(&store, &clock, millis(9_501)), 501);
    assert_eq!(clock.lag(millis(9_700)), millis(200));
}

#[test]
fn an_outage_costs_one_cap_and_a_newcomer_nothing() {
    let (store, old, millis) = (TestStore::new(Reach::Near), observer(), Duration::from_millis);
    advance(&store, &old, millis(1_000));
    let cap = u64::try_from(StoreClock::PARTITION_CAP.as_millis()).expect("3,000");
    let hour = Duration::from_secs(3_600);
    assert_eq!(advance(&store, &old, hour), cap);
    // It knows not how long the reading has stood.
    assert_eq!(read(&store, &observer(), millis(5)), cap);
    // Two that come back from the outage add one cap together.
    let (one, other) = (observer(), observer());
    let now = [&one, &other].map(|clock| read(&store, clock, hour))[0];
    assert_eq!(advance(&store, &one, hour * 2), now + cap);
    assert_eq!(advance(&store, &other, hour * 2), now + cap);
}

#[test]
fn a_tick_that_came_to_nothing_takes_no_time_away() {
    let (store, clock, millis) = (TestStore::new(Reach::Near), observer(), Duration::from_millis);
    advance(&store, &clock, millis(0));
    // Proposed, and not committed.
    let mut tx = store.begin();
    let now = tx.settle(|tx| clock.advance(tx, millis(700))).expect("a reading");
    drop(tx);
    assert_eq!((now, stored(&store)), (700, Some(0)));
    assert_eq!(read(&store, &clock, millis(900)), 900);
    // Of two proposals the earlier one is committed: it is known again, and so is what passed since.
    let mut earlier = store.begin();
    earlier
        .settle(|tx| clock.advance(tx, millis(1_000)))
        .expect("a reading");
    let mut later = store.begin();
    later
        .settle(|tx| clock.advance(tx, millis(1_001)))
        .expect("a reading");
    store.commit(earlier).expect("undisturbed");
    store.commit(later).expect("it minds no other tick");
    assert_eq!(stored(&store), Some(1_000), "the later one lost");
    assert_eq!(read(&store, &clock, millis(1_200)), 1_200);
}

#[test]
fn parts_of_a_millisecond_are_not_lost() {
    let (store, clock) = (
        TestStore::new(Reach::Near),
        ObservedClock::new(ClockKind::Sessions, Duration::ZERO),
    );
    let mut time = Duration::from_secs(1);
    advance(&store, &clock, time);
    for _ in 0..1_000 {
        time += Duration::from_nanos(1_999_999);
        advance(&store, &clock, time);
    }
    assert_eq!(read(&store, &clock, time), 1_999);
}

/// Some processes, each with a monotonic clock of its own that is suspended now and then, look and tick at
/// random: no reading goes back in the store, and none is ahead of the time that has really passed.
#[test]
fn many_processes_are_never_ahead_of_time() {
    for seed in 0..50 {
        let make = Make::with_seed("clocks", seed);
        let (store, real) = (TestStore::new(Reach::Far), SimulatedClock::new());
        let start = real.now();
        let processes: Vec<(ObservedClock, u64)> =
            (0..4).map(|_| (observer(), make.bits() % 1_000_000)).collect();
        let (mut last, mut ticked) = (0, 0);
        for _ in 0..300 {
            real.advance(Duration::from_micros(make.bits() % 400_000));
            let (clock, origin) = &processes[make.below(processes.len())];
            let time = real.now() + Duration::from_millis(*origin);
            let now = match make.below(3) {
                0 => read(&store, clock, time),
                _ => advance(&store, clock, time),
            };
            let passed = u64::try_from(real.now().saturating_sub(start).as_millis()).expect("a test's time");
            assert!(now <= passed, "{now} ms after {passed} ms, seed {seed}");
            let stored = stored(&store).unwrap_or(0);
            assert!(stored >= last, "it went back, seed {seed}");
            ticked += u64::from(stored > last);
            last = stored;
        }
        let passed = u64::try_from(real.now().saturating_sub(start).as_millis()).expect("a test's time");
        assert!(
            ticked > 30 && last > passed / 2,
            "it hardly ran: {last} of {passed} ms, seed {seed}"
        );
    }
}

#[test]
fn a_reading_that_is_none_is_corrupt() {
    let store = TestStore::new(Reach::Far);
    store.set(SESSION_CLOCK, Some(b"noon"));
    let refused = store.run(|tx| observer().read(tx, Duration::ZERO));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
    store.set(SESSION_CLOCK, Some(&u64::MAX.to_le_bytes()));
    assert_eq!(advance(&store, &observer(), Duration::from_secs(9)), u64::MAX);
}

/// A fleet with very short heartbeats has a cap below the step of a store far away, and its time goes on.
#[test]
fn a_step_is_well_below_the_cap() {
    let (store, make) = (TestStore::new(Reach::Far), Make::new("fast fleet"));
    let timing = Timing::new(Duration::from_millis(20), Duration::from_millis(60)).expect("a timing");
    let register = RegisterNode::new(make.node(), timing);
    let registered = store
        .run(|tx| discovery::register(tx, 0, &register))
        .expect("a node");
    assert!(matches!(registered, Step::Done(_)), "{registered:?}");
    let clock = ObservedClock::new(ClockKind::Leases, STEP);
    for time in 0..100 {
        advance(&store, &clock, Duration::from_millis(time * 10));
    }
    assert_eq!(read(&store, &clock, Duration::from_millis(990)), 990);
}

#[test]
fn answers_that_overtake_each_other_take_no_time_away() {
    let (store, clock, millis) = (TestStore::new(Reach::Near), observer(), Duration::from_millis);
    advance(&store, &clock, millis(0));
    // It fetched, and is held up on its way.
    let mut late = store.begin();
    assert_eq!(advance(&store, &clock, millis(500)), 500);
    assert_eq!(read(&store, &clock, millis(700)), 700);
    let now = late.settle(|tx| clock.read(tx, millis(900))).expect("a reading");
    drop(late);
    assert_eq!(now, 900, "what is stored there has stood since 0");
    assert_eq!(read(&store, &clock, millis(900)), 900);
}

#[test]
fn an_outage_of_writes_alone_costs_one_cap_too() {
    let (store, clock, secs) = (TestStore::new(Reach::Near), observer(), Duration::from_secs);
    let cap = u64::try_from(StoreClock::PARTITION_CAP.as_millis()).expect("3,000");
    advance(&store, &clock, secs(0));
    // It is read, and no step of it is stored.
    for time in 1..20 {
        let mut tx = store.begin();
        tx.settle(|tx| clock.advance(tx, secs(time))).expect("a reading");
    }
    assert_eq!(advance(&store, &clock, secs(20)), cap);
    assert_eq!((stored(&store), read(&store, &clock, secs(20))), (Some(cap), cap));
}
