//! The verdict on a history, player by player.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::file::History;
use super::operation::{Answer, Number, Operation};
use super::picture::picture;
use super::rules;
use super::search::{Outcome, Search, Stuck};

/// How many steps the search for one player's order may take; some seconds.
pub const STEPS_MAX: u64 = 5_000_000;

/// What a checker found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// How many players there were.
    pub players: usize,
    /// How many operations.
    pub operations: usize,
    /// How many of them, all of which may write, were not answered.
    pub ambiguous: usize,
    /// The most steps that one player's order took.
    pub steps_max: u64,
    /// What does not hold, one for each player at most.
    pub complaints: Vec<Complaint>,
}

/// What is wrong with the history of one player.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Complaint {
    /// Whose history it is.
    pub player: Number,
    /// What is wrong.
    pub kind: ComplaintKind,
    /// The same in words, with a picture of what matters.
    pub text: String,
}

/// The kinds of complaints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ComplaintKind {
    /// Two owners in one epoch, two texts in one version, or something that went back.
    Broken,
    /// No order explains the answers.
    NotLinearizable,
    /// The search has ended before it knew. Nothing is shown by such a history.
    Undecided,
}

impl Verdict {
    /// Whether all was decided, and all holds.
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            players,
            operations,
            ambiguous,
            steps_max,
            complaints,
        } = self;
        write!(
            f,
            "{operations} operations on {players} players, {ambiguous} writes without an answer, at most {steps_max} steps: "
        )?;
        if complaints.is_empty() {
            return f.write_str("linearizable");
        }
        write!(f, "{} COMPLAINTS", complaints.len())?;
        complaints
            .iter()
            .try_for_each(|complaint| write!(f, "\n\n{}", complaint.text))
    }
}

/// Judges a history: each player's operations have an order that explains their answers and keeps to
/// their times; an epoch has one owner and a version one text, and neither goes back.
///
/// What was not answered may have happened at any time after it was asked, or never. A read without an
/// answer says nothing.
pub fn check(history: &History) -> Verdict {
    check_within(history, STEPS_MAX)
}

/// The same, with another bound for each player's search.
pub fn check_within(history: &History, steps_max: u64) -> Verdict {
    let mut players: BTreeMap<Number, Vec<Operation>> = BTreeMap::new();
    for operation in &history.operations {
        players
            .entry(operation.player)
            .or_default()
            .push(operation.clone());
    }
    let mut verdict = Verdict {
        players: players.len(),
        operations: history.operations.len(),
        ..Verdict::default()
    };
    for (player, mut operations) in players {
        operations.retain(|one| !one.answer.is_ambiguous() || one.call.is_write());
        operations.sort_by_key(|one| (one.asked, one.answered));
        verdict.ambiguous += operations.iter().filter(|one| one.answer.is_ambiguous()).count();
        let judge = Judge {
            repeats: history.origin.repeats,
            steps_max,
        };
        let (steps, complaint) = judge.judge(player, &operations);
        verdict.steps_max = verdict.steps_max.max(steps);
        verdict.complaints.extend(complaint);
    }
    verdict
}

struct Judge {
    repeats: bool,
    steps_max: u64,
}

impl Judge {
    fn judge(&self, player: Number, operations: &[Operation]) -> (u64, Option<Complaint>) {
        let mut search = Search::new(operations, self.repeats);
        let outcome = search.run(self.steps_max);
        let steps = search.steps();
        let broken = rules::broken(operations);
        let mut text = String::new();
        for (what, shown) in &broken {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "player {player}: {what}\n{}", picture(operations, shown));
        }
        let kind = match outcome {
            Outcome::Linearizable if broken.is_empty() => return (steps, None),
            Outcome::Linearizable => ComplaintKind::Broken,
            Outcome::Not(stuck) => {
                let head = format!("player {player}: no order explains these answers\n");
                text.insert_str(0, &(head + &self.explain(operations, stuck)));
                if broken.is_empty() {
                    ComplaintKind::NotLinearizable
                } else {
                    ComplaintKind::Broken
                }
            }
            Outcome::Undecided => {
                let count = operations.len();
                let head = format!(
                    "player {player}: NOT DECIDED within {} steps, {count} operations\n",
                    self.steps_max
                );
                text.insert_str(0, &head);
                ComplaintKind::Undecided
            }
        };
        (steps, Some(Complaint { player, kind, text }))
    }

    /// The smallest part of a history that no order explains: its shortest beginning, without the reads
    /// that make no difference.
    fn explain(&self, operations: &[Operation], whole: Stuck) -> String {
        let mut ends: Vec<u64> = operations
            .iter()
            .filter(|one| !one.answer.is_ambiguous())
            .map(|one| one.answered)
            .collect();
        ends.sort_unstable();
        let mut best = (operations.to_vec(), whole);
        // A beginning of what is linearizable is so too: the first end that breaks it is found by halving.
        let (mut low, mut high) = (0, ends.len().saturating_sub(1));
        while low < high {
            let middle = usize::midpoint(low, high);
            let beginning = until(operations, ends[middle]);
            match self.stuck(&beginning) {
                Some(stuck) => {
                    best = (beginning, stuck);
                    high = middle;
                }
                None => low = middle + 1,
            }
        }
        let mut at = 0;
        while at < best.0.len() {
            if best.0[at].call.is_write() {
                at += 1;
                continue;
            }
            let mut fewer = best.0.clone();
            fewer.remove(at);
            match self.stuck(&fewer) {
                Some(stuck) => best = (fewer, stuck),
                None => at += 1,
            }
        }
        let (operations, stuck) = best;
        let all: Vec<usize> = (0..operations.len()).collect();
        let mut text = picture(&operations, &all);
        let order: Vec<String> = stuck.order.iter().map(|index| (index + 1).to_string()).collect();
        if let Some((index, answer)) = stuck.next {
            let order = if order.is_empty() {
                "empty".to_owned()
            } else {
                order.join(" ")
            };
            let _ = writeln!(
                text,
                "the longest order that fits is {order}; behind it, {} would be answered: {answer}",
                index + 1,
            );
        }
        text
    }

    fn stuck(&self, operations: &[Operation]) -> Option<Stuck> {
        match Search::new(operations, self.repeats).run(self.steps_max) {
            Outcome::Not(stuck) => Some(stuck),
            _ => None,
        }
    }
}

/// What was asked until `end`; what was answered later was not answered.
fn until(operations: &[Operation], end: u64) -> Vec<Operation> {
    let begun = operations.iter().filter(|one| one.asked <= end);
    begun
        .filter_map(|one| {
            let mut one = one.clone();
            if one.answered > end && !one.answer.is_ambiguous() {
                if !one.call.is_write() {
                    return None;
                }
                one.answer = Answer::None("it came later".to_owned());
            }
            Some(one)
        })
        .collect()
}
