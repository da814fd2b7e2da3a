//! Two backends whose clocks go together.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ringhold::core::session::TakeExpired;
use ringhold::core::{Backend, Limits, Partition};
use ringhold::memory::MemoryBackend;
use ringhold::{ErrorKind, Nonce, Result};
use ringhold_testkit::{Make, SimulatedClock};

use crate::subjects::{EVERY, Subject};

/// How many requests there are in one of them.
pub(crate) const STEPS: usize = 300;

/// The reference implementation and another backend, both empty.
pub(crate) struct Pair<'s> {
    pub(crate) memory: Backend,
    pub(crate) other: Backend,
    clock: SimulatedClock,
    subject: &'s dyn Subject,
}

impl<'s> Pair<'s> {
    pub(crate) async fn new(subject: &'s dyn Subject, make: &Make) -> Self {
        let (fleet, clock) = (make.fleet(), SimulatedClock::new());
        let other = subject.open(fleet.clone(), &clock).await;
        let memory = MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(clock.clone()));
        Self {
            memory: memory.backend(),
            other,
            clock,
            subject,
        }
    }

    /// Moves both clocks on. Both start at a whole millisecond and go by whole ones, as stores cut the
    /// rest off.
    pub(crate) async fn pass(&self, millis: u64) {
        let (mut duration, step) = (Duration::from_millis(millis), self.subject.step());
        if duration.is_zero() {
            return;
        }
        duration = duration.max(step);
        self.clock.advance(duration);
        self.subject.pass(duration).await;
        if !step.is_zero() {
            for backend in [&self.memory, &self.other] {
                self.tick(backend).await;
            }
        }
    }

    /// Has a backend look at its clocks.
    async fn tick(&self, backend: &Backend) {
        let everywhere = TakeExpired::new(Partition::all().collect(), 0, Nonce::from_bytes([0; 16]));
        backend.sessions.take_expired(everywhere).await.expect("a tick");
        backend.discovery.members().await.expect("a look");
    }
}

/// How long passes before the next request: mostly nothing, sometimes more than a clock's cap.
pub(crate) fn pause(make: &Make) -> u64 {
    match make.below(20) {
        0..=10 => 0,
        11..=13 => 1 + make.bits() % 20,
        14..=16 => 100 * (1 + make.bits() % 10),
        17..=18 => make.bits() % 3_500,
        _ => 10_000,
    }
}

/// One of `values`; none where there are none.
pub(crate) fn pick<'a, T>(make: &Make, values: &'a [T]) -> Option<&'a T> {
    values.get(make.below(values.len()))
}

/// One of the last `recent` of `values`.
pub(crate) fn pick_recent<'a, T>(make: &Make, values: &'a [T], recent: usize) -> Option<&'a T> {
    pick(make, &values[values.len().saturating_sub(recent)..])
}

/// The lines of two answers from the first that differs to the last.
fn difference(memory: &str, other: &str) -> String {
    let same = |pairs: &mut dyn Iterator<Item = (&str, &str)>| pairs.take_while(|(a, b)| a == b).count();
    let (memory, other): (Vec<&str>, Vec<&str>) = (memory.lines().collect(), other.lines().collect());
    let before = same(&mut memory.iter().copied().zip(other.iter().copied()));
    let after = same(&mut memory.iter().rev().copied().zip(other.iter().rev().copied()));
    let cut = |lines: &[&str]| lines[before..(lines.len() - after).max(before)].join("\n");
    format!(
        "from line {before} on\nmemory:\n{}\nother:\n{}",
        cut(&memory),
        cut(&other)
    )
}

/// Errors are compared by their kinds: their words are the adapter's own.
pub(crate) fn kinds<T>(result: Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

/// What was asked and answered: told where the two differ, and counted over all sequences.
#[derive(Default)]
pub(crate) struct Story {
    told: Vec<String>,
    met: BTreeSet<String>,
}

impl Story {
    /// How many steps are told where the two differ.
    const TOLD: usize = 60;

    /// Begins with an empty fleet.
    pub(crate) fn begin(&mut self) {
        self.told.clear();
    }

    /// Adds one step, in which both answered the same.
    pub(crate) fn same<A: PartialEq + Debug>(
        &mut self,
        asked: &impl Debug,
        memory: &Result<A, ErrorKind>,
        other: &Result<A, ErrorKind>,
    ) {
        let asked = format!("{asked:?}");
        if memory != other {
            let told = self.told[self.told.len().saturating_sub(Self::TOLD)..].join("\n");
            panic!(
                "step {}: the two differ (or the data does, which is not shown)\n{told}\nasked: {asked}\n{}",
                self.told.len(),
                difference(&format!("{memory:#?}"), &format!("{other:#?}"))
            );
        }
        let request = asked.split('(').next().unwrap_or_default();
        let came_to = memory.as_ref().map_or_else(|kind| kind.as_str(), |_| "ok");
        self.met.insert(format!("{request} {came_to}"));
        self.told.push(format!("{asked} => {memory:?}"));
    }

    /// Whether the random requests came to everything that they can come to, where all of them were
    /// played: a model that meets only refusals shows little. Of fewer, most have to be met.
    pub(crate) fn met(&self, sequences: usize, outcomes: &[&str]) {
        let met: Vec<&str> = self.met.iter().map(String::as_str).collect();
        if sequences == EVERY {
            assert_eq!(met, outcomes);
        } else {
            assert!(
                met.len() * 4 >= outcomes.len() * 3,
                "only these were met: {met:?}"
            );
        }
    }
}
