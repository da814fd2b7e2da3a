//! Lines over a connection that may be hostile: no line is longer than the limit, no write waits
//! for ever, and no more is buffered than one line.

use std::fmt;
use std::io;
use std::time::Duration;

use ringhold::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::protocol::{LINE_BYTES_MAX, Reply, Request};

/// Longer than a server needs to give up on its store, which takes 20 s.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(25);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Why no line came, or none could be sent.
#[derive(Debug)]
pub enum Trouble {
    /// The other side closed, or the connection broke.
    Closed(Option<io::Error>),
    /// A line is longer than [`LINE_BYTES_MAX`].
    TooLong,
    /// A line is no UTF-8.
    NotText,
    /// Nothing whole came in time.
    Silent(Duration),
    /// The other side does not read what it is sent.
    NotReading(Duration),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => f.write_str("the other side closed the connection"),
            Self::Closed(Some(error)) => write!(f, "the connection broke: {error}"),
            Self::TooLong => write!(f, "a line has at most {LINE_BYTES_MAX} bytes"),
            Self::NotText => f.write_str("a line is UTF-8"),
            Self::Silent(limit) => write!(f, "no line came for {limit:?}"),
            Self::NotReading(limit) => write!(f, "the other side read nothing for {limit:?}"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Closed(Some(error))
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: [u8; LINE_BYTES_MAX],
    filled: usize,
    write_limit: Duration,
}

impl Wire {
    /// Speaks lines over `stream`; a write that takes longer than `write_limit` fails.
    pub fn new(stream: TcpStream, write_limit: Duration) -> Self {
        // A game waits for each answer; nothing is gained by holding small packets back.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            buffer: [0; LINE_BYTES_MAX],
            filled: 0,
            write_limit,
        }
    }

    /// A client's end of a connection to a game server.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) async fn connect(address: &Address) -> Result<Self, String> {
        let connecting = timeout(CONNECT_LIMIT, TcpStream::connect(address.as_str())).await;
        let stream = connecting
            .map_err(|_| "no connection in time")?
            .map_err(|error| error.to_string())?;
        // A connection to a free port of this host can meet itself when the system picks the very
        // same port for the near end. Nobody listens there.
        if stream.local_addr().ok() == stream.peer_addr().ok() {
            return Err("refused: nobody but ourselves".to_owned());
        }
        Ok(Self::new(stream, WRITE_LIMIT))
    }

    /// What the server says next, within `limit`.
    ///
    /// # Errors
    /// In words, of the connection and for a line that is no reply.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn reply(&mut self, limit: Duration) -> Result<Reply, String> {
        let line = self.line(limit).await.map_err(|trouble| trouble.to_string())?;
        line.parse()
    }

    /// What the server says next, but for messages, which it may bring at any time.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn answer(&mut self, limit: Duration) -> Result<Reply, String> {
        loop {
            match self.reply(limit).await? {
                Reply::From(..) => {}
                reply => return Ok(reply),
            }
        }
    }

    /// Asks something, and gets the answer. Messages that come meanwhile are thrown away.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub(crate) async fn ask(&mut self, request: &Request, limit: Duration) -> Result<Reply, String> {
        self.send(request).await.map_err(|trouble| trouble.to_string())?;
        self.answer(limit).await
    }

    /// The next line without its end, within `limit`.
    ///
    /// # Cancel safety
    /// Cancel safe: what was read stays in the buffer.
    ///
    /// # Errors
    /// All but `NotReading`. After `NotText` the next line can be read.
    pub async fn line(&mut self, limit: Duration) -> Result<String, Trouble> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(end) = self.buffer[..self.filled].iter().position(|byte| *byte == b'\n') {
                return self.take(end);
            }
            if self.filled == self.buffer.len() {
                return Err(Trouble::TooLong);
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]);
            match timeout_at(deadline, read).await {
                Ok(Ok(0)) => return Err(Trouble::Closed(None)),
                Ok(Ok(bytes)) => self.filled += bytes,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(Trouble::Silent(limit)),
            }
        }
    }

    /// Takes the line that ends at `end` out of the buffer.
    fn take(&mut self, end: usize) -> Result<String, Trouble> {
        let line = &self.buffer[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line)
            .map(str::to_owned)
            .map_err(|_| Trouble::NotText);
        self.buffer.copy_within(end + 1..self.filled, 0);
        self.filled -= end + 1;
        text
    }

    /// Sends one line.
    ///
    /// # Errors
    /// `Closed` and `NotReading`; the connection is of no more use then.
    pub async fn send(&mut self, line: &impl fmt::Display) -> Result<(), Trouble> {
        let text = format!("{line}\n");
        match timeout(self.write_limit, self.stream.write_all(text.as_bytes())).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(Trouble::NotReading(self.write_limit)),
        }
    }

    /// Sends a last line and closes in a way that lets the other side read it: a connection that is
    /// closed with unread input is reset, and what was sent may be lost. So a little is read and
    /// thrown away, for a short time.
    pub async fn part(mut self, line: &impl fmt::Display) {
        if self.send(line).await.is_ok() && self.stream.shutdown().await.is_ok() {
            let _ = timeout(LINGER, async {
                for _ in 0..LINGER_READS {
                    if !matches!(self.stream.read(&mut self.buffer).await, Ok(1..)) {
                        break;
                    }
                }
            })
            .await;
        }
    }
}

const LINGER: Duration = Duration::from_millis(500);
const LINGER_READS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LONG: Duration = Duration::from_secs(10);

    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Wire::new(listener.accept().await.unwrap().0, LONG), client)
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_were_cut() {
        let (mut wire, mut client) = pair().await;
        for part in ["a", "da\r\nb", "o", "b\n\n"] {
            client.write_all(part.as_bytes()).await.unwrap();
        }
        for line in ["ada", "bob", ""] {
            assert_eq!(wire.line(LONG).await.unwrap(), line);
        }
        drop(client);
        assert!(matches!(wire.line(LONG).await, Err(Trouble::Closed(None))));
    }

    #[tokio::test]
    async fn the_longest_line_passes_and_a_longer_one_does_not() {
        let (mut wire, mut client) = pair().await;
        let longest = "x".repeat(LINE_BYTES_MAX - 1);
        client.write_all(format!("{longest}\n").as_bytes()).await.unwrap();
        assert_eq!(wire.line(LONG).await.unwrap(), longest);
        client.write_all(&[b'x'; LINE_BYTES_MAX]).await.unwrap();
        assert!(matches!(wire.line(LONG).await, Err(Trouble::TooLong)));
    }

    #[tokio::test]
    async fn what_is_no_text_is_skipped() {
        let (mut wire, mut client) = pair().await;
        client.write_all(b"\xff\xfe\nada\n").await.unwrap();
        assert!(matches!(wire.line(LONG).await, Err(Trouble::NotText)));
        assert_eq!(wire.line(LONG).await.unwrap(), "ada");
    }

    #[tokio::test]
    async fn the_last_line_arrives_although_input_is_left() {
        let (wire, mut client) = pair().await;
        client.write_all("x".repeat(20_000).as_bytes()).await.unwrap();
        let mut said = String::new();
        let reading = client.read_to_string(&mut said);
        let ((), read) = tokio::join!(wire.part(&"ERR line too long"), reading);
        read.unwrap();
        assert_eq!(said, "ERR line too long\n");
    }
}
