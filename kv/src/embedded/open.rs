//! Opening: which files are open in this process, and what a path may be.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Result};

use super::engine::{Engine, lock};
use super::slot::{Closed, Slot};
use super::{Driver, Opening};

/// The files that are open in this process: two backends on one path share one engine, since a file has one
/// writer. An entry whose handles are all gone is one that is being closed, or was.
/// Held for a moment only; who opens a file, or waits for one, holds its own [`Place`].
static OPEN: Mutex<BTreeMap<(&'static str, PathBuf), Arc<Place>>> = Mutex::new(BTreeMap::new());

/// A path that is open, or is being opened or closed.
type Place = Mutex<Option<Entry>>;

struct Entry {
    engine: Weak<Engine>,
    closed: Arc<Closed>,
}

impl Entry {
    fn is_over(&self) -> bool {
        self.engine.strong_count() == 0 && self.closed.wait(Duration::ZERO)
    }
}

/// How long an opening waits for the same file to be closed by this process.
const CLOSING_MAX: Duration = Duration::from_secs(20);

/// The engine of a path. Blocks.
pub(super) fn engine(driver: Driver, path: &Path) -> Result<Arc<Engine>> {
    let path = located(driver, path)?;
    let place = place((driver.scheme, path.clone()));
    let mut entry = lock(&place);
    if let Some(entry) = &*entry {
        if let Some(engine) = entry.engine.upgrade() {
            return Ok(engine);
        }
        if !entry.closed.wait(CLOSING_MAX) {
            let context = format!("this process is still closing {}", path.display());
            return Err(Error::new(ErrorKind::Unavailable, OPEN_OPERATION, context));
        }
    }
    let closed = Arc::new(Closed::default());
    let opener = {
        let path = path.clone();
        Box::new(move |opening: Opening| (driver.open)(&path, opening))
    };
    let slot = Slot::open(path.display().to_string(), opener, Arc::clone(&closed))?;
    let engine = Arc::new(Engine::start(slot)?);
    *entry = Some(Entry {
        engine: Arc::downgrade(&engine),
        closed,
    });
    // A new file has this path from now on: on some systems it differs, say in its case.
    if let Ok(now) = path.canonicalize()
        && now != path
    {
        lock(&OPEN).insert((driver.scheme, now), Arc::clone(&place));
    }
    Ok(engine)
}

/// The place of a path. Those that nobody has or asks for are forgotten.
fn place(key: (&'static str, PathBuf)) -> Arc<Place> {
    let mut open = lock(&OPEN);
    open.retain(|_, place| {
        // Whoever holds a second one got it under the lock of this table.
        let is_asked_for = Arc::strong_count(place) > 1;
        is_asked_for || lock(place).as_ref().is_some_and(|entry| !entry.is_over())
    });
    Arc::clone(open.entry(key).or_default())
}

const OPEN_OPERATION: &str = "open";

/// The path with links followed, so that one file has one name; checked as far as it is there already.
fn located(driver: Driver, path: &Path) -> Result<PathBuf> {
    let refused = |context: String| Error::new(ErrorKind::InvalidArgument, OPEN_OPERATION, context);
    // A slash at the end says nothing: with it, a file would be found only while it is not there yet.
    let path: &Path = &path.components().collect::<PathBuf>();
    let shown = path.display();
    let is_folder = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(refused(format!("{shown} cannot be looked at: {error}")).with_source(error));
        }
    };
    match (is_folder, driver.folder) {
        (Some(true), false) => {
            let name = driver.scheme;
            return Err(refused(format!(
                "{shown} is a folder; {name} keeps all in one file"
            )));
        }
        (Some(false), true) => {
            let name = driver.scheme;
            return Err(refused(format!(
                "{shown} is a file; {name} keeps all in one folder"
            )));
        }
        _ => {}
    }
    if is_folder.is_some() {
        return path
            .canonicalize()
            .map_err(|error| refused(format!("{shown} cannot be found: {error}")).with_source(error));
    }
    if path.is_symlink() {
        return Err(refused(format!("{shown} is a link that leads nowhere")));
    }
    let Some(name) = path.file_name() else {
        return Err(refused(format!("{shown} has no name at its end")));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|error| {
        let context = format!("there is no folder {}; make it first", parent.display());
        refused(context).with_source(error)
    })?;
    Ok(parent.join(name))
}
