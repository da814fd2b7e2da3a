//! The locales that servers collate by: generated on this machine when they are first needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::keeper::installed;
use crate::preload::shared_folder;
use crate::{Error, ErrorKind, Result};

/// The Debian package that holds the sources of locales.
const PACKAGE: &str = "locales";

/// Whether a text can be the name of a locale's source, such as `en_US`.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The environment of a process that collates by the locale `name`, in UTF-8.
pub(crate) fn environment(name: &str) -> Result<[(String, PathBuf); 2]> {
    let folder = shared_folder()?.join("locales");
    let full = format!("{name}.UTF-8");
    generate(&folder, name, &full)?;
    Ok([("LOCPATH".to_owned(), folder), ("LC_ALL".to_owned(), full.into())])
}

/// Generates a locale into `folder`. Processes of one user share it, so that only the first one generates.
fn generate(folder: &Path, name: &str, full: &str) -> Result<()> {
    static BUSY: Mutex<()> = Mutex::new(());
    let _busy = BUSY.lock().unwrap_or_else(PoisonError::into_inner);
    let locale = folder.join(full);
    if locale.join("LC_COLLATE").is_file() {
        return Ok(());
    }
    installed("localedef", "libc-bin")?;
    let doing = "making a folder for locales";
    fs::create_dir_all(folder).map_err(Error::io(doing))?;
    let work = tempfile::tempdir_in(folder).map_err(Error::io(doing))?;
    let result = work.path().join(full);
    let output = Command::new("localedef")
        .args(["--quiet", "--no-archive", "-i", name, "-f", "UTF-8"])
        .arg(&result)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("starting localedef"))?;
    // It ends with 1 for a mere warning, too.
    if !result.join("LC_COLLATE").is_file() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let message = format!(
            "localedef cannot generate {full}: install the sources of locales, on Debian with `apt-get install \
             {PACKAGE}`; it said: {}",
            said.trim()
        );
        return Err(Error::new(ErrorKind::Missing, message));
    }
    match fs::rename(&result, &locale) {
        // Another process was as fast, and made the same.
        Err(_) if locale.join("LC_COLLATE").is_file() => Ok(()),
        outcome => outcome.map_err(Error::io("moving a locale to its folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_names() {
        assert!(is_name("en_US"));
        for other in ["", "../x", "en_US.UTF-8", "a b"] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn locale_without_a_source_is_refused_with_the_package() {
        let failure = environment("xx_NONE").unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Missing);
        assert!(failure.message().contains("apt-get install locales"), "{failure}");
    }
}
