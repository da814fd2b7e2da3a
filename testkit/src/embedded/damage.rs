//! Damaged files: whatever is done to them, there is an answer or a typed error.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ringhold_core::session::{ListSessions, SaveSession};
use ringhold_core::{Backend, Error, ErrorKind, PlayerId, Result, SessionRecord, Ttl};

use super::{EmbeddedHarness, EmbeddedOpening, fresh};
use crate::Make;

/// What became of damaged stores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damages {
    /// Damages that were told as an error, at opening or later, by kind.
    pub told: BTreeMap<&'static str, usize>,
    /// Damages after which everything was there.
    pub harmless: usize,
    /// Damages after which something was missing or old, and nothing was told.
    pub silent: Vec<String>,
    /// Damages after which more than `Corrupt`, `Unavailable`, `Unsupported` or `InvalidArgument` was told,
    /// or what was told cannot be right.
    pub wrong: Vec<String>,
}

/// The files of a store, by their paths in it; one with an empty path where the store is a file.
type Image = BTreeMap<PathBuf, Vec<u8>>;

/// Makes a store, damages copies of it in many ways, and uses each.
///
/// Panics of the libraries are caught by the adapter; an abort, a hang or an allocation without bounds ends
/// this test.
pub async fn survives_damage(harness: &dyn EmbeddedHarness, folder: &Path, rounds: usize) -> Damages {
    let make = Make::new("damage");
    let sound = EmbeddedOpening::new(folder.join("sound"));
    let players = fill(harness, &sound, &make).await;
    let image = read(&sound.path);
    let mut damages = Damages::default();
    // What the libraries panic with is not worth its lines; this test's own findings are told at the end.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_: &PanicHookInfo<'_>| {}));
    for round in 0..rounds {
        let opening = EmbeddedOpening::new(fresh(folder, round));
        let mut copy = image.clone();
        let words = damage(&mut copy, round, &make);
        write(&opening.path, &copy);
        match look(harness, &opening, &players).await {
            Ok(()) => damages.harmless += 1,
            Err(Found::Told(error)) => match error.kind() {
                ErrorKind::Corrupt
                | ErrorKind::Unavailable
                | ErrorKind::Unsupported
                | ErrorKind::InvalidArgument => *damages.told.entry(error.kind().as_str()).or_default() += 1,
                _ => damages.wrong.push(format!("{words}: {error}")),
            },
            Err(Found::Silent(what)) => damages.silent.push(format!("{words}: {what}")),
        }
        remove(&opening.path);
    }
    panic::set_hook(hook);
    damages
}

enum Found {
    Told(Error),
    Silent(String),
}

impl From<Error> for Found {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

/// Sessions of many players, written over more than once, as they then are.
async fn fill(
    harness: &dyn EmbeddedHarness,
    opening: &EmbeddedOpening,
    make: &Make,
) -> BTreeMap<PlayerId, Bytes> {
    let backend = harness.open(opening).await.expect("a new store");
    let owner = make.owner();
    let mut players = BTreeMap::new();
    for _ in 0..120 {
        let login = make.login(&make.player(), &owner, Ttl::MAX);
        let SessionRecord {
            id,
            player,
            fence,
            version,
            ttl,
            ..
        } = backend
            .sessions
            .create(login)
            .await
            .expect("a new session")
            .session;
        let data = Bytes::from(vec![b'd'; 100 + make.below(2_000)]);
        let save = SaveSession::new(id, fence, version, ttl, data.clone(), make.operation());
        backend.sessions.save(save).await.expect("its owner saves");
        players.insert(player, data);
    }
    players
}

/// Uses a store in every way, and compares.
async fn look(
    harness: &dyn EmbeddedHarness,
    opening: &EmbeddedOpening,
    players: &BTreeMap<PlayerId, Bytes>,
) -> Result<(), Found> {
    let backend: Backend = harness.open(opening).await?;
    let mut silent = None;
    for (player, data) in players {
        match backend.sessions.find(player).await?.as_slice() {
            [one] if one.data == *data => {}
            found => silent = Some(format!("{player} has {found:?}")),
        }
    }
    let mut page = backend.sessions.list(ListSessions::all(1_000)).await?;
    if let Some(unreadable) = page.unreadable.pop() {
        return Err(Error::new(unreadable.kind, "list", unreadable.context).into());
    }
    if page.sessions.len() != players.len() {
        silent = Some(format!("{} sessions of {}", page.sessions.len(), players.len()));
    }
    let faults = harness.faults(opening).await?;
    // What was found in pieces was told.
    if let Some(fault) = faults.first().filter(|_| silent.is_none()) {
        silent = Some(fault.clone());
    }
    // It can still be written to, or says why not.
    let make = Make::new("after the damage");
    let created = backend
        .sessions
        .create(make.login(&make.player(), &make.owner(), Ttl::MAX))
        .await?;
    let session = created.session;
    let save = SaveSession::new(
        session.id,
        session.fence,
        session.version,
        session.ttl,
        vec![1; 4_000],
        make.operation(),
    );
    backend.sessions.save(save).await?;
    silent.map_or(Ok(()), |what| Err(Found::Silent(what)))
}

/// Damages one file in a way that depends on the round; says how.
fn damage(image: &mut Image, round: usize, make: &Make) -> String {
    let number = make.below(image.len());
    let (path, bytes) = image.iter_mut().nth(number).expect("a store has files");
    let (name, len) = (path.display().to_string(), bytes.len());
    match round % 8 {
        0 => {
            let end = make.below(len);
            bytes.truncate(end);
            format!("{name:?} of {len} bytes ends at {end}")
        }
        1 => {
            // Files are made of pages: an end between two of them looks well.
            let end = make.below(len.div_ceil(4_096)) * 4_096;
            bytes.truncate(end);
            format!("{name:?} of {len} bytes ends at {end}")
        }
        2 if make.below(4) == 0 => {
            bytes.clear();
            format!("{name:?} is empty")
        }
        3 if make.below(4) == 0 => {
            for byte in bytes.iter_mut() {
                *byte = make.bits().to_le_bytes()[0];
            }
            format!("{name:?} of {len} bytes is random")
        }
        4 => {
            let (from, some) = (make.below(len), 1 + make.below(8_192));
            for byte in bytes.iter_mut().skip(from).take(some) {
                *byte = 0;
            }
            format!("{name:?}: {some} bytes at {from} of {len} are zero")
        }
        5 => {
            let (from, some) = (make.below(len), 1 + make.below(512));
            for byte in bytes.iter_mut().skip(from).take(some) {
                *byte = make.bits().to_le_bytes()[0];
            }
            format!("{name:?}: {some} bytes at {from} of {len} are random")
        }
        6 => {
            // What says where everything is stands at the beginning.
            let (at, bit) = (make.below(len.min(1_024)), make.below(8));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            format!("{name:?}: bit {bit} at {at} of {len} is flipped")
        }
        _ => {
            let (at, bit) = (make.below(len), make.below(8));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            format!("{name:?}: bit {bit} at {at} of {len} is flipped")
        }
    }
}

fn read(path: &Path) -> Image {
    if path.is_file() {
        let bytes = fs::read(path).expect("a file");
        return BTreeMap::from([(PathBuf::new(), bytes)]);
    }
    let mut image = Image::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(path.join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let inner = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(inner);
            } else {
                image.insert(inner, fs::read(entry.path()).expect("a file"));
            }
        }
    }
    image
}

fn write(path: &Path, image: &Image) {
    for (inner, bytes) in image {
        let whole = if inner.as_os_str().is_empty() {
            path.to_path_buf()
        } else {
            path.join(inner)
        };
        if let Some(folder) = whole.parent() {
            fs::create_dir_all(folder).expect("a folder");
        }
        fs::write(whole, bytes).expect("a file");
    }
}

fn remove(path: &Path) {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.expect("it was made here");
}
