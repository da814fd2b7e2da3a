//! Servers of a few lines: what they answer, no real one does on request.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Listens on a free port until it is dropped. Its connections end with their clients.
pub(crate) struct Fake {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Fake {
    /// Each connection gets a thread that runs `serve`.
    pub(crate) fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let (serve, flag) = (Arc::new(serve), Arc::clone(&stopped));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let serve = Arc::clone(&serve);
                    thread::spawn(move || serve(stream));
                }
            }
        });
        Self { address, stopped }
    }

    /// Answers each command, by its words, with these bytes.
    pub(crate) fn answering(answer: impl Fn(&[String]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serving(move |stream| {
            let mut reader = BufReader::new(stream);
            while let Some(words) = command(&mut reader) {
                if reader.get_mut().write_all(&answer(&words)).is_err() {
                    return;
                }
            }
        })
    }

    /// A server that is in order but for what its scripts answer. The first one asks for the
    /// schema and gets it.
    pub(crate) fn with_scripts_that_answer(bytes: &'static [u8]) -> Self {
        Self::answering(move |words| match words[0].as_str() {
            "PING" => b"+PONG\r\n".to_vec(),
            "SCRIPT" => bulk("0"),
            "INFO" => bulk("redis_version:7.0.15\r\nredis_mode:standalone\r\nrole:master\r\n"),
            "EVALSHA" if words[3].ends_with(":schema") => bulk("2"),
            "EVALSHA" => bytes.to_vec(),
            _ => b"-ERR unknown command\r\n".to_vec(),
        })
    }

    /// A URL of it with short deadlines.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}?deadline_ms=1000&attempt_ms=300", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener; one that is gone already needs none.
        let _ = TcpStream::connect(self.address);
    }
}

/// A string as the protocol writes it.
pub(crate) fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// The words of the next command; `None` when the client is gone.
fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let count = number(reader, '*')?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; number(reader, '$')? + 2];
            reader.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            Some(String::from_utf8_lossy(&word).into_owned())
        })
        .collect()
}

fn number(reader: &mut impl BufRead, mark: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(mark)?.parse().ok()
}
