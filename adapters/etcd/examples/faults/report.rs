//! The table.

use std::fmt;
use std::time::Duration;

use crate::fleet::{FleetSeen, NODES};
use crate::load::Seen;

/// The longest that an operation may take.
const LONGEST_MAX: Duration = Duration::from_secs(5);

/// One fault and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) rounds: usize,
    pub(crate) seen: Seen,
    /// The longest that it took until there was another leader, where there had to be one.
    elected: Option<Duration>,
    /// Changes that the watch told.
    told: u64,
    missed: u64,
    deaths: u64,
    /// The longest time between two answered renewals of a node.
    gap: Duration,
    /// The longest time in which the watch told of no change, while there was one each 0.2 s.
    quiet: Duration,
    broken: Vec<String>,
}

impl Row {
    pub(crate) fn new(
        fault: &'static str,
        rounds: usize,
        elected: Option<Duration>,
        sessions: Seen,
        fleet: &FleetSeen,
    ) -> Self {
        let mut seen = sessions;
        seen.add(&fleet.seen);
        let mut row = Self {
            fault,
            rounds,
            elected,
            seen,
            told: fleet.told,
            missed: fleet.missed,
            deaths: fleet.deaths,
            gap: fleet.gap,
            quiet: fleet.quiet,
            broken: Vec::new(),
        };
        row.must(seen.errors == 0, format!("{} errors", seen.errors));
        row.must(seen.lost == 0, format!("{} acknowledged writes lost", seen.lost));
        row.must(sessions.acknowledged > 0, "nothing was acknowledged");
        row.must(
            seen.longest < LONGEST_MAX,
            format!("an operation took {:.1?}", seen.longest),
        );
        row.must(fleet.missed == 0, format!("{} changes missed", fleet.missed));
        row.must(fleet.told > 0, "the watch told nothing");
        row.must(fleet.deaths == 0, format!("{} false deaths", fleet.deaths));
        row
    }

    fn must(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        let verdict = if row.broken.is_empty() {
            "holds".to_owned()
        } else {
            row.broken.join(", ")
        };
        eprintln!("  {}: {verdict}", row.fault);
        self.rows.push(row);
    }

    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.broken.is_empty())
    }

    /// One JSON object per line.
    pub(crate) fn json(&self) -> String {
        let line = |row: &Row| {
            let elected = row
                .elected
                .map_or_else(|| "null".to_owned(), |time| format!("{:.3}", time.as_secs_f64()));
            format!(
                "{{\"fault\":{:?},\"rounds\":{},\"acknowledged\":{},\"errors\":{},\"lost\":{},\"longest_s\":{:.3},\"elected_s\":{elected},\
                 \"changes_told\":{},\"changes_missed\":{},\"false_deaths\":{},\"renewal_gap_s\":{:.3},\
                 \"watch_quiet_s\":{:.3},\"broken\":{:?}}}\n",
                row.fault,
                row.rounds,
                row.seen.acknowledged,
                row.seen.errors,
                row.seen.lost,
                row.seen.longest.as_secs_f64(),
                row.told,
                row.missed,
                row.deaths,
                row.gap.as_secs_f64(),
                row.quiet.as_secs_f64(),
                row.broken
            )
        };
        self.rows.iter().map(line).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | rounds | acknowledged | errors | lost | longest operation | new leader at most | changes told | missed or out of order | \
             false deaths of {NODES} nodes | longest between renewals | watch silent at most | |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let elected = row
                .elected
                .map_or_else(String::new, |time| format!("{:.1} s", time.as_secs_f64()));
            let verdict = if row.broken.is_empty() {
                String::new()
            } else {
                format!("**BROKEN**: {}", row.broken.join(", "))
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {:.2} s | {elected} | {} | {} | {} | {:.1} s | {:.1} s | {verdict} |",
                row.fault,
                row.rounds,
                row.seen.acknowledged,
                row.seen.errors,
                row.seen.lost,
                row.seen.longest.as_secs_f64(),
                row.told,
                row.missed,
                row.deaths,
                row.gap.as_secs_f64(),
                row.quiet.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
