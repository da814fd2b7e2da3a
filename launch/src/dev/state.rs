//! What one run of a program writes down of a cluster for the next one.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::process::Process;
use crate::{Error, ErrorKind, Result, process};

/// The first line; another format has another number.
const FORMAT: &str = "ringhold dev-cluster 1";

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: SocketAddr,
    pub(super) id: String,
    /// Its last process, which may have ended; `None` before the first, or after the machine started
    /// anew.
    pub(super) process: Option<Process>,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// Reads what was written; `None` where nothing was.
pub(super) fn load(folder: &Path) -> Result<Option<Vec<Entry>>> {
    let path = path(folder);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format!("reading {}", path.display()))(error)),
    };
    let entries = parse(&text, &process::boot()?);
    entries.map(Some).ok_or_else(|| {
        let message = format!(
            "{} is not what this version writes: end the servers and remove the folder by hand",
            path.display()
        );
        Error::new(ErrorKind::Invalid, message)
    })
}

/// Writes it as a whole or not at all.
pub(super) fn store(folder: &Path, entries: &[Entry]) -> Result<()> {
    let doing = "writing down the servers";
    let new = folder.join("state.new");
    fs::write(&new, form(entries, &process::boot()?)).map_err(Error::io(doing))?;
    fs::rename(&new, path(folder)).map_err(Error::io(doing))
}

fn form(entries: &[Entry], boot: &str) -> String {
    let mut text = format!("{FORMAT}\n{boot}\n");
    for Entry { address, id, process } in entries {
        let (pid, started) = process.map_or((0, 0), |process| (process.pid, process.started));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{address} {id} {pid} {started}");
    }
    text
}

fn parse(text: &str, boot: &str) -> Option<Vec<Entry>> {
    let mut lines = text.lines();
    if lines.next() != Some(FORMAT) {
        return None;
    }
    let same_boot = lines.next()? == boot;
    let entry = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [address, id, pid, started] = words.as_slice() else {
            return None;
        };
        let process = Process {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        };
        Some(Entry {
            address: address.parse().ok()?,
            id: (*id).to_owned(),
            process: (same_boot && process.pid != 0).then_some(process),
        })
    };
    let entries: Vec<Entry> = lines.map(entry).collect::<Option<_>>()?;
    (!entries.is_empty()).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |port, process| Entry {
            address: ([127, 0, 0, 1], port).into(),
            id: format!("{port:040}"),
            process,
        };
        let process = Process { pid: 7, started: 9 };
        vec![entry(1, Some(process)), entry(2, None)]
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
        store(folder.path(), &entries()).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(entries()));
        fs::write(path(folder.path()), "something else").unwrap();
        assert_eq!(load(folder.path()).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn numbers_of_another_boot_name_nobody() {
        let text = form(&entries(), "one");
        assert_eq!(parse(&text, "one"), Some(entries()));
        let read = parse(&text, "two").unwrap();
        assert!(read.iter().all(|entry| entry.process.is_none()));
        assert_eq!(parse(&format!("{text}127.0.0.1:3 x\n"), "one"), None);
        assert_eq!(parse(&format!("{FORMAT}\none\n"), "one"), None);
    }
}
