//! Which of rustup's toolchains are there.

use crate::run::Call;

/// The compiler with what is not stable yet, where rustup has it.
pub(crate) const NIGHTLY: &str = "+nightly";

/// Whether `cargo +nightly` is there.
pub(crate) fn has_nightly() -> bool {
    // The `cargo` of rustup, which knows what a plus means. The one that runs this program may not.
    Call::new("cargo", [NIGHTLY, "--version"])
        .silent()
        .output()
        .is_ok()
}
