//! The stored form of records: an envelope with a fixed header, and a postcard body.

mod bounded;

pub(crate) use bounded::{bounded_map, bounded_str};

/// The oldest format of stored records that this build reads.
pub const FORMAT_OLDEST: u16 = 1;
/// The newest format of stored records that this build reads, and the one that it writes where
/// every live node reads it.
pub const FORMAT_NEWEST: u16 = 1;
