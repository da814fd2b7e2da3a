//! What a command says while it works: a bar on a terminal, lines elsewhere, always on standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

const TICK: Duration = Duration::from_millis(100);

impl Progress {
    /// Progress on standard error.
    pub(crate) fn new() -> Self {
        Self {
            bar: io::stderr().is_terminal().then(ProgressBar::new_spinner),
        }
    }

    /// Something begins that takes `steps`, or has no steps that could be counted.
    pub(crate) fn begin(&self, doing: &str, steps: Option<u64>) {
        let Some(bar) = &self.bar else { return };
        let template = if steps.is_some() {
            "{spinner} {msg} {wide_bar} {pos}/{len}"
        } else {
            "{spinner} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━╌"));
        }
        bar.reset();
        bar.set_length(steps.unwrap_or(0));
        bar.set_message(doing.to_owned());
        bar.enable_steady_tick(TICK);
    }

    /// Says beside the bar how it goes. Nobody makes up words where there is no bar.
    pub(crate) fn say(&self, words: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_message(words());
        }
    }

    /// So many steps are done.
    pub(crate) fn at(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    /// What was begun is done, and this came of it.
    pub(crate) fn done(&self, what: impl fmt::Display) {
        match &self.bar {
            Some(bar) => bar.println(what.to_string()),
            // Nobody has to read it.
            None => drop(writeln!(io::stderr(), "{what}")),
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
