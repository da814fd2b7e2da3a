//! Log lines that a test reads.

use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

/// The log of a thread, as lines of text. A clone shares it.
///
/// ```
/// use ringhold_testkit::Log;
///
/// let log = Log::default();
/// let listening = log.listen();
/// tracing::warn!(player = "ada", "slow");
/// drop(listening);
/// tracing::warn!("too late");
/// assert!(log.text().contains("slow player=\"ada\"") && !log.text().contains("too late"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

/// Writes down what this thread logs until it is dropped.
#[must_use = "nothing is written down once it is dropped"]
pub struct Listening(
    #[expect(dead_code, reason = "its drop ends the listening")] tracing::subscriber::DefaultGuard,
);

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

impl Log {
    /// Writes down what this thread logs from now on, at the level `INFO` and above.
    pub fn listen(&self) -> Listening {
        self.listen_from(tracing::Level::INFO)
    }

    /// Writes down what this thread logs from now on, at every level.
    pub fn listen_to_all(&self) -> Listening {
        self.listen_from(tracing::Level::TRACE)
    }

    fn listen_from(&self, level: tracing::Level) -> Listening {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || Writer(log.clone()))
            .with_ansi(false)
            .finish();
        Listening(tracing::subscriber::set_default(subscriber))
    }

    /// All that was written down until now.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

struct Writer(Log);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
