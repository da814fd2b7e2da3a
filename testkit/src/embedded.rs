//! What a store in one process is put through beside the contracts: restarts, damaged files, kills.

mod damage;
mod departed;
mod kill;
mod place;
mod program;
mod restart;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ringhold_core::{Backend, FleetName, Result};

use crate::SimulatedClock;

pub use damage::{Damages, survives_damage};
pub use departed::departed_ids_are_dropped;
pub use kill::{Kills, child, kills};
pub use place::{
    a_full_disk_is_survived, bad_places_are_told, full_disk, one_path_is_one_store, other_process,
};
pub use program::faults;
pub use restart::{restarts, two_fleets_share_a_place};

/// What is opened, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmbeddedOpening {
    /// The file or folder.
    pub path: PathBuf,
    /// The fleet.
    pub fleet: FleetName,
    /// Whether writes are acknowledged before they are on the disk.
    pub fast: bool,
    /// The monotonic clock and the time of day; `None` for this machine's.
    pub clocks: Option<(SimulatedClock, SimulatedClock)>,
}

impl EmbeddedOpening {
    /// The fleet `arena` at `path`, durable, by this machine's clocks.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            fleet: FleetName::new("arena").expect("a word"),
            fast: false,
            clocks: None,
        }
    }
}

/// Opens stores for these tests.
#[async_trait]
pub trait EmbeddedHarness: Send + Sync {
    /// Opens a fleet.
    async fn open(&self, opening: &EmbeddedOpening) -> Result<Backend>;

    /// What does not fit together of all that is stored of the fleet's sessions.
    async fn faults(&self, opening: &EmbeddedOpening) -> Result<Vec<String>>;

    /// How many keys are stored of the fleet, and the bytes of keys and values.
    async fn size(&self, opening: &EmbeddedOpening) -> Result<(usize, usize)>;
}

/// A folder of its own below `folder`, or a file's path in it.
fn fresh(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("store-{number}"))
}
