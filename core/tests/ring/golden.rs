//! The golden vectors in `tests/golden/ring.txt`: what the specification promises to other programs.
//! Each is checked on the ring and on the oracle.

use ringhold_core::NodeId;
use ringhold_core::ring::{Ring, key_hash, point_hash};

use crate::oracle::{self, Members, Oracle, node};

/// The ring that the lines at hand are about.
#[derive(Default)]
struct Subject {
    members: Members,
    rings: Option<(Ring, Oracle)>,
}

impl Subject {
    fn rings(&mut self) -> &(Ring, Oracle) {
        self.rings
            .get_or_insert_with(|| (oracle::ring(&self.members), Oracle::new(&self.members)))
    }
}

/// A key as the file writes it: `hex:` and digits, `seq:N` for the bytes 0, 1, .. 250, 0, .. N in
/// number, or the text itself.
fn key(text: &str) -> Vec<u8> {
    if let Some(digits) = text.strip_prefix("hex:") {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
        (0..digits.len()).step_by(2).map(byte).collect()
    } else if let Some(len) = text.strip_prefix("seq:") {
        (0..=250).cycle().take(len.parse().expect("a length")).collect()
    } else {
        text.as_bytes().to_vec()
    }
}

fn number(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).expect("a hexadecimal number")
}

fn owner(word: &str) -> Option<&str> {
    (word != "-").then_some(word)
}

/// Checks one line; the words of the file are explained at its top.
fn check(subject: &mut Subject, words: &[&str]) {
    match *words {
        ["key", text, hash] => {
            assert_eq!(key_hash(&key(text)), number(hash));
            assert_eq!(oracle::hash(&key(text)), number(hash));
        }
        ["point", id, index, place] => {
            let index = index.parse().expect("a number");
            assert_eq!(point_hash(&node(id), index), number(place));
            assert_eq!(oracle::point(id, index), number(place));
        }
        ["ring", _] => *subject = Subject::default(),
        ["member", id, weight] => {
            assert!(
                subject.rings.is_none(),
                "members come before what is said about their ring"
            );
            subject
                .members
                .insert(id.to_owned(), weight.parse().expect("a weight"));
        }
        ["fingerprint", hash] => {
            let (ring, oracle) = subject.rings();
            assert_eq!(
                (ring.fingerprint(), oracle.fingerprint()),
                (number(hash), number(hash))
            );
        }
        ["virtual_nodes", count] => {
            let (ring, oracle) = subject.rings();
            let count = count.parse::<usize>().expect("a number");
            assert_eq!((ring.virtual_nodes(), oracle.places().count()), (count, count));
        }
        ["owner", text, id] => {
            let (ring, oracle) = subject.rings();
            assert_eq!(ring.owner(&key(text)).map(NodeId::as_str), owner(id));
            assert_eq!(oracle.owner(&key(text)), owner(id));
        }
        ["place", hash, id] => {
            let (ring, oracle) = subject.rings();
            let found = ring
                .owner_of_hash(number(hash))
                .map(|index| ring.nodes()[index].0.as_str());
            assert_eq!(found, owner(id));
            assert_eq!(oracle.owner_of_hash(number(hash)), owner(id));
        }
        ["successors", text, ref ids @ ..] => {
            let (ring, oracle) = subject.rings();
            assert_eq!(oracle::successors(ring, &key(text)), ids);
            assert_eq!(oracle.successors(&key(text)), ids);
        }
        _ => panic!("a line that the file's head does not explain: {words:?}"),
    }
}

#[test]
fn golden_vectors_hold() {
    let mut subject = Subject::default();
    let mut checked = 0;
    for line in include_str!("../golden/ring.txt").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() || line.starts_with('#') {
            continue;
        }
        println!("{line}");
        check(&mut subject, &words);
        checked += 1;
    }
    assert!(checked > 100, "the file has {checked} lines only");
}
