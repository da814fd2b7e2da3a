//! Whether some order of the operations explains all answers.
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993): take any
//! operation that began before every other one ended, see whether the model answers as the store did,
//! go on with the rest, and come back where nothing fits. Lowe's addition ("Testing for
//! linearizability", 2017) makes it quick: a set of operations that have been taken, together with the
//! state they lead to, is tried once. Who is judged is one player's sessions, since a history is
//! linearizable when that of each object is (Herlihy and Wing, "Linearizability", 1990).
//!
//! What was not answered may be taken at any time after its call, or never. What a retrying client
//! answers may have had an earlier attempt whose answer was lost: it may be taken once more, silently,
//! before it is taken with its answer. An attempt that changes nothing is not tried.
//!
//! The worst case is exponential in the operations that overlap, and in those that were not answered;
//! so steps are counted, and too many mean that nothing is known. A step is remembered in 16 bytes.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::model::Player;
use super::operation::{Answer, Operation};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Some order explains all answers.
    Linearizable,
    /// None does; the furthest that any came.
    Not(Stuck),
    /// The steps did not suffice.
    Undecided,
}

/// The longest order that was found, and what does not fit behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stuck {
    /// Positions in the history, in the order that explains them.
    pub(super) order: Vec<usize>,
    /// The one that has to come next, and what a store would answer there.
    pub(super) next: Option<(usize, Answer)>,
}

/// How an operation is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// With its answer.
    Answered,
    /// As an attempt that nobody heard of.
    Silent,
}

/// A search and what it has spent.
#[derive(Debug)]
pub(super) struct Search<'h> {
    operations: &'h [Operation],
    /// Whether clients repeat by themselves.
    repeats: bool,
    list: List,
    /// How many operations with an answer are left.
    left: usize,
    taken: Taken,
    state: Player,
    stack: Vec<Frame>,
    tried: Tried,
    stuck: Stuck,
    steps: u64,
}

#[derive(Debug)]
struct Frame {
    operation: usize,
    way: Way,
    /// What was before it.
    taken: Taken,
    state: Player,
}

impl<'h> Search<'h> {
    /// A search in the operations of one player.
    pub(super) fn new(operations: &'h [Operation], repeats: bool) -> Self {
        let left = operations.iter().filter(|one| !one.answer.is_ambiguous());
        Self {
            operations,
            repeats,
            list: List::new(operations),
            left: left.count(),
            taken: Taken::new(operations.len()),
            state: Player::default(),
            stack: Vec::new(),
            tried: Tried::default(),
            stuck: Stuck::default(),
            steps: 0,
        }
    }

    /// How many operations were tried on the model.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Runs it for at most so many steps.
    pub(super) fn run(&mut self, steps_max: u64) -> Outcome {
        let (mut at, mut from) = (self.list.first(), Way::Answered);
        while self.left > 0 {
            if self.steps > steps_max {
                return Outcome::Undecided;
            }
            let went_on = match at.map(|event| self.list.event(event)) {
                Some(Event::Call(operation)) => {
                    if self.take(operation, from) {
                        (at, from) = (self.list.first(), Way::Answered);
                    } else {
                        (at, from) = (at.and_then(|event| self.list.next(event)), Way::Answered);
                    }
                    true
                }
                // It has ended, and was not taken: some earlier choice was wrong.
                Some(Event::End(operation)) => {
                    self.note(operation);
                    false
                }
                None => false,
            };
            if !went_on {
                let Some((operation, way)) = self.give_back() else {
                    return Outcome::Not(std::mem::take(&mut self.stuck));
                };
                (at, from) = match way {
                    Way::Answered => (Some(self.list.call_of(operation)), Way::Silent),
                    Way::Silent => (self.list.next(self.list.call_of(operation)), Way::Answered),
                };
            }
        }
        Outcome::Linearizable
    }

    /// Takes an operation in one of its ways, from the given one on, where it fits and was not tried.
    fn take(&mut self, operation: usize, from: Way) -> bool {
        let Operation { call, answer, .. } = &self.operations[operation];
        if from == Way::Answered && !answer.is_ambiguous() {
            let mut state = self.state.clone();
            self.steps += 1;
            if state.apply(call) == *answer {
                let taken = self.taken.with(operation);
                if self.tried.insert(&taken, &state) {
                    self.list.lift(operation);
                    self.left -= 1;
                    self.push(operation, Way::Answered, taken, state);
                    return true;
                }
            }
        }
        let may_be_silent = answer.is_ambiguous() || self.repeats && !self.taken.is_begun(operation);
        if !may_be_silent || !call.is_write() {
            return false;
        }
        let mut state = self.state.clone();
        self.steps += 1;
        state.apply(call);
        if state == self.state {
            return false;
        }
        let taken = if answer.is_ambiguous() {
            self.taken.with(operation)
        } else {
            self.taken.with_begun(operation)
        };
        if !self.tried.insert(&taken, &state) {
            return false;
        }
        if answer.is_ambiguous() {
            self.list.lift(operation);
        }
        self.push(operation, Way::Silent, taken, state);
        true
    }

    fn push(&mut self, operation: usize, way: Way, taken: Taken, state: Player) {
        self.stack.push(Frame {
            operation,
            way,
            taken: std::mem::replace(&mut self.taken, taken),
            state: std::mem::replace(&mut self.state, state),
        });
    }

    /// Undoes the last step.
    fn give_back(&mut self) -> Option<(usize, Way)> {
        let Frame {
            operation,
            way,
            taken,
            state,
        } = self.stack.pop()?;
        let ambiguous = self.operations[operation].answer.is_ambiguous();
        if way == Way::Answered {
            self.left += 1;
        }
        if way == Way::Answered || ambiguous {
            self.list.unlift(operation);
        }
        (self.taken, self.state) = (taken, state);
        Some((operation, way))
    }

    /// Remembers how far this went, where nothing went further.
    fn note(&mut self, operation: usize) {
        if self.stuck.next.is_some() && self.stack.len() <= self.stuck.order.len() {
            return;
        }
        let answer = self.state.clone().apply(&self.operations[operation].call);
        self.stuck.order = self.stack.iter().map(|frame| frame.operation).collect();
        self.stuck.next = Some((operation, answer));
    }
}

/// What was tried, as 128 bits of a keyed hash: states whole take gigabytes where many logins went unanswered.
///
/// That two of five million were the same by chance is less likely than 1 to 10^24, and then an order would be
/// missed: a sound store accused, never a broken one passed over.
#[derive(Debug, Default)]
struct Tried {
    keys: [RandomState; 2],
    seen: HashSet<u128>,
}

impl Tried {
    /// Whether it is new.
    fn insert(&mut self, taken: &Taken, state: &Player) -> bool {
        let [low, high] = self.keys.each_ref().map(|key| key.hash_one((taken, state)));
        self.seen.insert(u128::from(high) << 64 | u128::from(low))
    }
}

/// Which operations were taken, and which have had a silent attempt: two bits each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Taken(Box<[u64]>);

impl Taken {
    fn new(operations: usize) -> Self {
        Self(vec![0; (2 * operations).div_ceil(64)].into())
    }

    /// Taken for good; whether it was begun before makes no difference then.
    fn with(&self, operation: usize) -> Self {
        let mut bits = self.0.clone();
        let (word, bit) = place(operation);
        bits[word] = bits[word] & !(0b11 << bit) | 0b01 << bit;
        Self(bits)
    }

    fn with_begun(&self, operation: usize) -> Self {
        let mut bits = self.0.clone();
        let (word, bit) = place(operation);
        bits[word] |= 0b10 << bit;
        Self(bits)
    }

    fn is_begun(&self, operation: usize) -> bool {
        let (word, bit) = place(operation);
        self.0[word] & 0b10 << bit != 0
    }
}

fn place(operation: usize) -> (usize, usize) {
    (2 * operation / 64, 2 * operation % 64)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Call(usize),
    End(usize),
}

/// Calls and ends in the order of time, linked both ways, so that an operation is lifted out and put back
/// in O(1). What was not answered has no end.
#[derive(Debug)]
struct List {
    events: Vec<Event>,
    /// One place more than there are events: the last is before the first and behind the last.
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each operation's call and end stand.
    places: Vec<(usize, Option<usize>)>,
}

impl List {
    fn new(operations: &[Operation]) -> Self {
        let mut timed = Vec::with_capacity(2 * operations.len());
        for (index, operation) in operations.iter().enumerate() {
            // A call comes before an end of the same instant: they overlap.
            timed.push((operation.asked, 0, Event::Call(index)));
            if !operation.answer.is_ambiguous() {
                timed.push((operation.answered, 1, Event::End(index)));
            }
        }
        timed.sort_by_key(|(time, end, _)| (*time, *end));
        let events: Vec<Event> = timed.into_iter().map(|(_, _, event)| event).collect();
        let mut places = vec![(0, None); operations.len()];
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Call(index) => places[*index].0 = at,
                Event::End(index) => places[*index].1 = Some(at),
            }
        }
        let length = events.len() + 1;
        Self {
            events,
            next: (0..length).map(|at| (at + 1) % length).collect(),
            previous: (0..length).map(|at| (at + length - 1) % length).collect(),
            places,
        }
    }

    fn first(&self) -> Option<usize> {
        self.next(self.events.len())
    }

    fn next(&self, at: usize) -> Option<usize> {
        Some(self.next[at]).filter(|next| *next < self.events.len())
    }

    fn event(&self, at: usize) -> Event {
        self.events[at]
    }

    fn call_of(&self, operation: usize) -> usize {
        self.places[operation].0
    }

    fn lift(&mut self, operation: usize) {
        let (call, end) = self.places[operation];
        for at in [Some(call), end].into_iter().flatten() {
            let (previous, next) = (self.previous[at], self.next[at]);
            self.next[previous] = next;
            self.previous[next] = previous;
        }
    }

    /// Puts back what was lifted last.
    fn unlift(&mut self, operation: usize) {
        let (call, end) = self.places[operation];
        for at in [end, Some(call)].into_iter().flatten() {
            let (previous, next) = (self.previous[at], self.next[at]);
            self.next[previous] = at;
            self.previous[next] = at;
        }
    }
}
