//! Small files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The most bytes of one file.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a file of at most 1 MiB. Blocks.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("is longer than {BYTES_MAX} bytes"));
    }
    Ok(bytes)
}
