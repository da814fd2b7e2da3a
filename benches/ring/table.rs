//! What was measured, as a table.

use std::fmt::{self, Write as _};

use crate::rounds::Rounds;

/// Lines of text; shown at the end, so that nothing stands between them.
#[derive(Default)]
pub(crate) struct Table(String);

impl Table {
    /// What the next rows are about, and whose figures stand side by side.
    pub(crate) fn head(&mut self, what: &str, ours: &str, other: &str) {
        let _ = writeln!(
            self.0,
            "\n{what:<52}{ours:>10}{other:>14}{:>8}{:>12}",
            "ratio", "promised"
        );
    }

    /// The first runner of some rounds beside the second, which promises a ratio.
    pub(crate) fn ratio(&mut self, what: &str, rounds: &Rounds, promised: f64) {
        let (ours, other) = (rounds.median_ns(0), rounds.median_ns(1));
        let ratio = rounds.ratio(0, 1);
        let verdict = verdict(ratio, promised);
        let _ = writeln!(
            self.0,
            "{what:<52}{ours:>10.1}{other:>14.1}{ratio:>8.2}{:>12}{verdict}",
            format!("≤ {promised:.2}")
        );
    }

    /// A figure beside another, which promises the figure itself.
    pub(crate) fn row(&mut self, what: &str, measured: f64, other: Option<f64>, ratio: f64, promised: f64) {
        let other = other.map_or_else(String::new, |other| format!("{other:.1}"));
        let verdict = verdict(measured, promised);
        let _ = writeln!(
            self.0,
            "{what:<52}{measured:>10.1}{other:>14}{ratio:>8.2}{:>12}{verdict}",
            format!("≤ {promised:.1}")
        );
    }
}

fn verdict(measured: f64, promised: f64) -> &'static str {
    if measured <= promised {
        "  kept"
    } else {
        "  MISSED"
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)
    }
}
