//! Random bytes of the operating system.

use crate::exit::Failure;

/// So many random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the operating system gives no random bytes: {error}")))?;
    Ok(bytes)
}
