//! Limits that are checked before any I/O, the same in every adapter.

use bytes::Bytes;

use crate::{Error, ErrorKind, Result};

/// Sizes that a backend accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    data_bytes_max: usize,
}

impl Limits {
    /// The most bytes of session data that any backend can be configured for: 1 MiB.
    pub const DATA_BYTES_CEILING: usize = 1 << 20;

    /// The most live sessions of one player: 64. One script, and one transaction, can always end them all.
    pub const SESSIONS_PER_PLAYER_MAX: u16 = 64;

    /// The most bytes of data of one session. 65,536 unless configured.
    pub const fn data_bytes_max(&self) -> usize {
        self.data_bytes_max
    }

    /// The same limits with another size of session data.
    ///
    /// # Errors
    /// `InvalidArgument` above [`DATA_BYTES_CEILING`](Self::DATA_BYTES_CEILING).
    pub fn with_data_bytes_max(mut self, bytes: usize) -> Result<Self> {
        if bytes > Self::DATA_BYTES_CEILING {
            let context = format!(
                "data_bytes_max is {bytes}; it takes 0 to {}",
                Self::DATA_BYTES_CEILING
            );
            return Err(Error::new(ErrorKind::InvalidArgument, "limits", context));
        }
        self.data_bytes_max = bytes;
        Ok(self)
    }

    /// Refuses session data that is too large.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn check_data(&self, operation: &'static str, data: &Bytes) -> Result<()> {
        if data.len() <= self.data_bytes_max {
            return Ok(());
        }
        let context = format!(
            "session data has {} bytes and {} are allowed; store less, or raise data_bytes_max",
            data.len(),
            self.data_bytes_max
        );
        Err(Error::new(ErrorKind::TooLarge, operation, context))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            data_bytes_max: 64 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_over_is_too_large() {
        let limits = Limits::default();
        assert!(limits.check_data("save", &Bytes::from(vec![0; 65_536])).is_ok());
        let error = limits
            .check_data("save", &Bytes::from(vec![0; 65_537]))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(
            limits
                .with_data_bytes_max(Limits::DATA_BYTES_CEILING + 1)
                .is_err()
        );
    }

    #[test]
    fn another_size_counts_from_then_on() {
        assert_eq!(Limits::default().data_bytes_max(), 65_536);
        let limits = Limits::default().with_data_bytes_max(3).unwrap();
        assert_eq!(limits.data_bytes_max(), 3);
        assert!(limits.check_data("save", &Bytes::from_static(b"abc")).is_ok());
        assert!(limits.check_data("save", &Bytes::from_static(b"abcd")).is_err());
        let most = limits.with_data_bytes_max(Limits::DATA_BYTES_CEILING).unwrap();
        assert_eq!(most.data_bytes_max(), 1_048_576);
    }
}
