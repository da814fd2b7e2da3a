//! The library that gives a server another time: C, compiled on this machine when it is first needed.
//!
//! Jemalloc, which Redis is built with, asks for the time before a general library of that kind is
//! ready, and hangs; this one needs nothing but a system call.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::keeper::installed;
use crate::{Error, ErrorKind, Result};

const SOURCE: &str = include_str!("clock.c");

/// The name of the environment variable that [`SOURCE`] reads.
pub(crate) const VARIABLE: &str = "RINGHOLD_CLOCK_FILE";

/// The compiled library. Processes of one user share it, so that only the first one compiles.
pub(crate) fn library() -> Result<PathBuf> {
    static BUSY: Mutex<()> = Mutex::new(());
    let _busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = shared_folder()?;
    let library = folder.join(format!("clock-{:016x}.so", fingerprint(SOURCE)));
    if !library.is_file() {
        compile(&folder, &library)?;
    }
    Ok(library)
}

/// The folder of what processes of one user make once and share.
pub(crate) fn shared_folder() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("ringhold-launch-{user}"));
    own_folder(&folder, user)?;
    Ok(folder)
}

/// Whatever lies in a folder that others can write to must not be loaded into a process.
fn own_folder(folder: &Path, user: u32) -> Result<()> {
    let doing = format!("making {}", folder.display());
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        outcome => outcome.map_err(Error::io(&doing))?,
    }
    let entry = fs::symlink_metadata(folder).map_err(Error::io(&doing))?;
    if entry.is_dir() && entry.uid() == user && entry.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Io,
        format!(
            "{} is not a folder that only this user writes to: remove it",
            folder.display()
        ),
    ))
}

fn compile(folder: &Path, library: &Path) -> Result<()> {
    installed("cc", "gcc libc6-dev")?;
    let work = tempfile::tempdir_in(folder).map_err(Error::io("making a folder to compile in"))?;
    let (source, result) = (work.path().join("clock.c"), work.path().join("clock.so"));
    fs::write(&source, SOURCE).map_err(Error::io("writing clock.c"))?;
    let output = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&result, &source])
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("starting cc"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::new(
            ErrorKind::Start,
            format!("cc cannot compile the settable clock: {said}"),
        ));
    }
    // Another process may have been as fast; both made the same.
    fs::rename(&result, library).map_err(Error::io("moving the settable clock to its place"))
}

/// FNV-1a: a changed source has another name.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_compiled_once() {
        let (first, second) = (library().unwrap(), library().unwrap());
        assert!(first == second && first.is_file());
    }

    #[test]
    fn a_folder_that_others_write_to_is_not_trusted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("own");
        let user = rustix::process::geteuid().as_raw();
        own_folder(&folder, user).unwrap();
        own_folder(&folder, user).unwrap();
        assert!(own_folder(&folder, user + 1).is_err());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(own_folder(&folder, user).is_err());
    }
}
