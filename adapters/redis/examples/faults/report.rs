//! The table.

use std::fmt;
use std::time::Duration;

use crate::load::Seen;

/// One fault and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) fault: String,
    pub(crate) rounds: usize,
    pub(crate) seen: Seen,
    /// The longest that the cluster took to promote a replica, where it had to.
    pub(crate) promotion: Option<Duration>,
    /// What else is worth telling.
    pub(crate) note: String,
    /// What was broken.
    pub(crate) broken: Vec<String>,
}

impl Row {
    pub(crate) fn new(fault: impl Into<String>) -> Self {
        Self {
            fault: fault.into(),
            rounds: 0,
            seen: Seen::default(),
            promotion: None,
            note: String::new(),
            broken: Vec::new(),
        }
    }

    /// Notes what does not hold.
    pub(crate) fn must(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }

    /// No error reached a caller and nothing that was acknowledged is gone.
    pub(crate) fn must_lose_nothing(&mut self) {
        let Seen {
            errors,
            lost,
            acknowledged,
            ..
        } = self.seen;
        self.must(errors == 0, format!("{errors} errors"));
        self.must(lost == 0, format!("{lost} acknowledged writes lost"));
        self.must(acknowledged > 0, "nothing was acknowledged");
    }
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(&'static str, Row)>,
}

impl Report {
    pub(crate) fn add(&mut self, client: &'static str, row: Row) {
        eprintln!(
            "  {}: {}",
            row.fault,
            if row.broken.is_empty() {
                "holds".to_owned()
            } else {
                row.broken.join(", ")
            }
        );
        self.rows.push((client, row));
    }

    pub(crate) fn holds(&self) -> bool {
        self.rows.iter().all(|(_, row)| row.broken.is_empty())
    }

    /// One JSON object per line.
    pub(crate) fn json(&self) -> String {
        let line = |(client, row): &(&str, Row)| {
            let promotion = row
                .promotion
                .map_or_else(|| "null".to_owned(), |time| format!("{:.3}", time.as_secs_f64()));
            format!(
                "{{\"client\":{client:?},\"fault\":{:?},\"rounds\":{},\"acknowledged\":{},\"short\":{},\"errors\":{},\"lost\":{},\
                 \"longest_s\":{:.3},\"promotion_s\":{promotion},\"note\":{:?},\"broken\":{:?}}}\n",
                row.fault,
                row.rounds,
                row.seen.acknowledged,
                row.seen.short,
                row.seen.errors,
                row.seen.lost,
                row.seen.longest.as_secs_f64(),
                row.note,
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
            "| fault | client | rounds | acknowledged | errors | lost | longest operation | promotion at most | |\n|---|---|---|---|---|---|---|---|---|"
        )?;
        for (client, row) in &self.rows {
            let promotion = row
                .promotion
                .map_or_else(String::new, |time| format!("{:.1} s", time.as_secs_f64()));
            let verdict = if row.broken.is_empty() {
                row.note.clone()
            } else {
                format!("**BROKEN**: {} {}", row.broken.join(", "), row.note)
            };
            writeln!(
                f,
                "| {} | {client} | {} | {} | {} | {} | {:.2} s | {promotion} | {verdict} |",
                row.fault,
                row.rounds,
                row.seen.acknowledged,
                row.seen.errors,
                row.seen.lost,
                row.seen.longest.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
