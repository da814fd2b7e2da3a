//! A history as a file: JSON lines, the first of which says how it came about.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::operation::Operation;

/// The form of the file.
const FORMAT: u32 = 1;

/// How a history came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What was asked: the name of a backend.
    pub backend: String,
    /// What the workload drew its choices from. Other interleavings come of the same seed.
    pub seed: u64,
    /// Whether clients repeat by themselves what was not answered, so that one operation may be several
    /// attempts.
    pub repeats: bool,
}

/// What clients asked and were answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// How it came about.
    pub origin: Origin,
    /// In no particular order.
    pub operations: Vec<Operation>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    #[serde(flatten)]
    origin: Origin,
}

impl History {
    /// Writes it, over what is there. O(operations).
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let head = Head {
            format: FORMAT,
            origin: self.origin.clone(),
        };
        line(&mut file, &head)?;
        for operation in &self.operations {
            line(&mut file, operation)?;
        }
        file.flush()
    }

    /// Reads one that was written.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` with the number of a line that is none of a history.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut lines = BufReader::new(File::open(path)?).lines();
        let head = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let head: Head = serde_json::from_str(&head).map_err(|error| bad(1, &error))?;
        if head.format != FORMAT {
            let format = format!("format {} is not {FORMAT}", head.format);
            return Err(bad(1, &format));
        }
        let mut operations = Vec::new();
        for (number, line) in (2..).zip(lines) {
            operations.push(serde_json::from_str(&line?).map_err(|error| bad(number, &error))?);
        }
        Ok(Self {
            origin: head.origin,
            operations,
        })
    }
}

fn line(file: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

fn bad(line: u64, why: &dyn std::fmt::Display) -> io::Error {
    let message = format!("line {line} is none of a history: {why}");
    io::Error::new(io::ErrorKind::InvalidData, message)
}
