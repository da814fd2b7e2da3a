//! URLs, credentials and certificates of Ringhold's backends and transports, read in one way.
//!
//! Adapters use this crate; applications do not.

mod url;

pub use self::url::{UrlReader, parse};
