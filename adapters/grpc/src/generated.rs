//! The code of `proto/`, made by `cargo xtask codegen`.

/// `ringhold.v1`.
#[expect(
    unreachable_pub,
    clippy::pedantic,
    reason = "made by a generator, and not for users"
)]
pub(crate) mod v1 {
    include!("generated/ringhold.v1.rs");
}

/// The protocol files, for reflection.
pub(crate) const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/ringhold.v1.bin");
