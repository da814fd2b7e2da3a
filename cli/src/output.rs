//! Where commands write: tables for people, JSON for programs, and text that cannot play tricks on
//! a terminal.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::exit::Failure;

/// Standard output, or a test's buffer.
pub struct Output<'w> {
    json: bool,
    writer: &'w mut (dyn Write + Send),
}

impl<'w> Output<'w> {
    /// Writes to `writer`, as JSON or for people.
    pub fn new(json: bool, writer: &'w mut (dyn Write + Send)) -> Self {
        Self { json, writer }
    }

    /// Whether a program reads.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes one line and flushes, so that a reader of a pipe sees it at once.
    ///
    /// # Errors
    /// Of the writer; a closed pipe ends the command in peace.
    pub fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.writer, "{line}")?;
        Ok(self.writer.flush()?)
    }

    /// Writes one JSON value as one line.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
        self.line(text)
    }

    /// Writes `value` for a program, or what `words` makes of it for a person.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn show<T: Serialize>(&mut self, value: &T, words: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json {
            self.value(value)
        } else {
            self.line(words(value))
        }
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

/// A table without borders, with these headings. Those that begin with `>` stand over numbers, which
/// are aligned to the right.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        headings
            .iter()
            .map(|heading| Cell::new(heading.trim_start_matches('>'))),
    );
    for (index, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// The lines of a table without blanks at their ends.
pub(crate) fn lines(table: &Table) -> String {
    table.trim_fmt()
}

/// A text from elsewhere, with everything escaped that a terminal could take for a command or that
/// does not show.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Characters that reorder or hide the text around them.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// A number with its thousands set apart: `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many things of a kind: `1 node`, `2,000 players`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A part of a whole as `19.8 %`.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            (counted(1, "node"), counted(2_000, "node")),
            ("1 node".to_owned(), "2,000 nodes".to_owned())
        );
    }

    #[test]
    fn nothing_reaches_the_terminal_unescaped() {
        assert_eq!(shown("ada"), "ada");
        assert_eq!(shown("a\x1b[2J\r\n\0"), "a\\u{1b}[2J\\u{d}\\u{a}\\u{0}");
        assert_eq!(shown("a\u{202e}b\u{9b}"), "a\\u{202e}b\\u{9b}");
        assert_eq!(shown("\u{1F3AE} é"), "\u{1F3AE} é");
    }

    #[test]
    fn tables_end_their_lines_without_blanks() {
        let mut table = table(&["NODE", ">SESSIONS"]);
        table.add_row(["eu-1", "7"]);
        table.add_row(["eu-22", "1,000"]);
        assert_eq!(lines(&table), "NODE   SESSIONS\neu-1          7\neu-22     1,000");
    }

    #[test]
    fn a_closed_pipe_ends_in_peace() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let failure = Output::new(false, &mut Closed).line("x").unwrap_err();
        assert_eq!(failure.exit(), crate::exit::Exit::Done);
    }

    #[test]
    fn one_line_a_value() {
        let mut buffer = Vec::new();
        Output::new(true, &mut buffer)
            .show(&["a\nb"], |_| String::new())
            .unwrap();
        assert_eq!(buffer, b"[\"a\\nb\"]\n");
    }
}
