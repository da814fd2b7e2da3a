//! Commands as they go to a client library.

use std::fmt;
use std::ops::Index;

use bytes::Bytes;

/// One command: its name and its arguments, in one piece of memory. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Command {
    bytes: Bytes,
    /// Where each word ends.
    ends: Vec<usize>,
}

impl Command {
    /// A command of these words.
    pub(crate) fn of<W: AsRef<[u8]>>(words: &[W]) -> Self {
        let mut command = Words::with_room(words.len(), words.iter().map(|word| word.as_ref().len()).sum());
        for word in words {
            command.word(word.as_ref());
        }
        command.finish()
    }

    /// How many words it has.
    pub(crate) fn words(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes its words have together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Its words in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| &self[index])
    }

    /// Its words in order, which share its memory.
    #[cfg(feature = "fred")]
    pub(crate) fn shared(&self) -> impl Iterator<Item = Bytes> {
        self.iter().map(|word| self.bytes.slice_ref(word))
    }

    /// The same with other words instead of as many first ones.
    pub(crate) fn with_first(&self, first: &[&[u8]]) -> Self {
        let mut command = Words::with_room(self.words(), self.bytes() + first.concat().len());
        for word in first.iter().copied().chain(self.iter().skip(first.len())) {
            command.word(word);
        }
        command.finish()
    }
}

impl Index<usize> for Command {
    type Output = [u8];

    fn index(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is behind its name may be secret.
        f.debug_struct("Command")
            .field(
                "name",
                &self.iter().next().unwrap_or_default().escape_ascii().to_string(),
            )
            .field("words", &self.words())
            .field("bytes", &self.bytes())
            .finish()
    }
}

/// A command that is being written.
#[derive(Debug)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    /// With room for so many words and bytes; more take more room.
    pub(crate) fn with_room(words: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ends: Vec::with_capacity(words),
        }
    }

    /// The next word.
    pub(crate) fn word(&mut self, word: &[u8]) -> &mut Self {
        self.joined(&[word])
    }

    /// The next word, which is these parts one after the other.
    pub(crate) fn joined(&mut self, parts: &[&[u8]]) -> &mut Self {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
        self
    }

    /// The next word, a number in decimal.
    pub(crate) fn decimal(&mut self, number: u64) -> &mut Self {
        self.word(number.to_string().as_bytes())
    }

    /// The command.
    pub(crate) fn finish(self) -> Command {
        Command {
            bytes: self.bytes.into(),
            ends: self.ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_bounds() {
        let command = Command::of(&[&b"ECHO"[..], b"", b"\r\n$3"]);
        assert_eq!(command.iter().collect::<Vec<_>>(), [&b"ECHO"[..], b"", b"\r\n$3"]);
        assert_eq!((command.words(), command.bytes()), (3, 8));
        let other = command.with_first(&[b"GET"]);
        assert_eq!(other, Command::of(&[&b"GET"[..], b"", b"\r\n$3"]));
    }

    #[test]
    fn what_is_behind_the_name_is_not_shown() {
        let shown = format!("{:?}", Command::of(&["AUTH", "hunter2"]));
        assert!(shown.contains("AUTH") && !shown.contains("hunter2"), "{shown}");
    }
}
