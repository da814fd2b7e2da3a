//! Operations as a picture in text: a lane for each client, time from left to right, and a list.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::operation::{Number, Operation};

/// How many characters the lanes have.
const WIDTH: usize = 96;

/// Draws the operations at these positions; they are numbered from 1 in the order given by `operations`.
pub(super) fn picture(operations: &[Operation], shown: &[usize]) -> String {
    let chosen: Vec<(usize, &Operation)> = shown
        .iter()
        .filter_map(|index| operations.get(*index).map(|operation| (*index, operation)))
        .collect();
    // Lanes have a column for each moment at which something begins or ends, not for each millisecond: a
    // wait of seconds would leave no room for what happened around it.
    let mut moments: Vec<u64> = chosen
        .iter()
        .flat_map(|(_, one)| [one.asked, one.answered])
        .collect();
    moments.sort_unstable();
    moments.dedup();
    let column = |time: u64| {
        let place = moments.partition_point(|moment| *moment < time);
        place * (WIDTH - 1) / moments.len().saturating_sub(1).max(1)
    };
    let mut lanes: BTreeMap<Number, Vec<char>> = BTreeMap::new();
    let mut text = String::new();
    for (index, one) in &chosen {
        let lane = lanes.entry(one.client).or_insert_with(|| vec![' '; WIDTH]);
        let (from, to) = (column(one.asked), column(one.answered));
        let open = one.answer.is_ambiguous();
        for place in &mut lane[from..=to] {
            *place = if open { '~' } else { '-' };
        }
        lane[to] = if open { '?' } else { '|' };
        for (place, digit) in lane[from..].iter_mut().zip((index + 1).to_string().chars()) {
            *place = digit;
        }
    }
    for (client, lane) in lanes {
        let lane: String = lane.into_iter().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  client {client:<4} {}", lane.trim_end());
    }
    let start = moments.first().copied().unwrap_or_default();
    for (index, one) in chosen {
        let _ = writeln!(
            text,
            "  {:>3}  {} to {} ms, client {}: {} => {}",
            index + 1,
            millis(one.asked - start),
            millis(one.answered - start),
            one.client,
            one.call,
            one.answer
        );
    }
    text
}

fn millis(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1_000_000, nanos / 1_000 % 1_000)
}
