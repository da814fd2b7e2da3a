//! How much a folder must hold at least.
//!
//! sled takes damage in the middle of its log for the torn end that a crash leaves: it opens with what stands
//! before, and says nothing. So commits are counted, and a file beside sled's own says up to which of them all
//! was on the disk once: at closing, and every second while something is written. A folder that holds fewer
//! was damaged. What was written after the floor was last set can still be lost in silence.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ringhold_core::{Error, ErrorKind, Result};

const NAME: &str = "ringhold-floor";
const NEW_NAME: &str = "ringhold-floor.new";
const WORD: &str = "ringhold";

/// The file of a folder that says it.
#[derive(Debug, Clone)]
pub(crate) struct Floor {
    folder: PathBuf,
}

impl Floor {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// The number of the last commit that must be there; 0 in a new folder.
    ///
    /// # Errors
    /// `Corrupt` where the file cannot be read as one.
    pub(crate) fn read(&self) -> Result<u64> {
        let path = self.folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => {
                let context = format!("{} cannot be read: {error}", path.display());
                return Err(Error::new(ErrorKind::Unavailable, "sled", context).with_source(error));
            }
        };
        parse(&text).ok_or_else(|| {
            let context = format!(
                "{} is damaged; look whether the rest is, and delete it to go on with what is there",
                path.display()
            );
            Error::new(ErrorKind::Corrupt, "sled", context)
        })
    }

    /// Compares what is there with what must be.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn check(&self, commits: u64) -> Result<()> {
        let floor = self.read()?;
        if commits >= floor {
            return Ok(());
        }
        let context = format!(
            "{} holds {commits} commits of the {floor} that were on the disk: it is damaged, or old; bring a copy \
             back, or delete {NAME} in it to go on with what is there",
            self.folder.display()
        );
        Err(Error::new(ErrorKind::Corrupt, "sled", context))
    }

    /// Says that `commits` are on the disk. A crash leaves the old file or the new one.
    pub(crate) fn set(&self, commits: u64) -> io::Result<()> {
        let new = self.folder.join(NEW_NAME);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(text(commits).as_bytes())?;
        file.sync_all()?;
        fs::rename(new, self.folder.join(NAME))
    }
}

/// The number twice, the second time with all bits turned: enough to tell it from anything else.
fn text(commits: u64) -> String {
    format!("{WORD} {commits:016x} {:016x}\n", !commits)
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let given = std::str::from_utf8(bytes).ok()?;
    let commits = given.split(' ').nth(1)?;
    let commits = u64::from_str_radix(commits, 16).ok()?;
    (given == text(commits)).then_some(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_read_as_it_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let floor = Floor::of(folder.path());
        assert_eq!(floor.read().unwrap(), 0);
        floor.set(7).unwrap();
        floor.set(u64::MAX - 3).unwrap();
        assert_eq!(floor.read().unwrap(), u64::MAX - 3);
        floor.check(u64::MAX - 3).unwrap();
        assert_eq!(floor.check(8).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn no_flipped_bit_makes_another_floor() {
        let good = text(0x1234_5678).into_bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(parse(&bad), None, "{at} {bit}");
            }
            assert_eq!(parse(&good[..at]), None);
        }
    }
}
