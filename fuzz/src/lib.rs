//! The bodies of the fuzz targets. Each takes any bytes, and panics when a promise is broken.
//!
//! `cargo xtask fuzz` runs them all, and `cargo +nightly fuzz run ring` one of them. The files
//! `corpus/TARGET/seed-…` are where a run starts from; `tests/seeds.rs` runs every body over them, and
//! over each beginning of them, on any toolchain.

mod input;
mod peek;

pub mod frame;
pub mod node_record;
pub mod policy;
pub mod ring;
pub mod session_record;
pub mod store_ops;
#[cfg(feature = "url")]
pub mod url;

/// A body.
pub type Target = fn(&[u8]);

/// The targets by name; `url` with its feature.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame::run),
    ("node_record", node_record::run),
    ("policy", policy::run),
    ("ring", ring::run),
    ("session_record", session_record::run),
    ("store_ops", store_ops::run),
    #[cfg(feature = "url")]
    ("url", url::run),
];
