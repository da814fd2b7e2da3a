//! An index from hashes to numbers, with one cache line for a lookup.
//!
//! Open addressing with linear probing. An entry is one word: 32 bits of the hash, and the number plus one. The
//! hash stands in order, since its first place is its share of the table, so growing needs neither the keys nor
//! a power of two: it goes through the words once and makes a quarter more room.

/// The fewest places of a table that is not empty.
const PLACES_MIN: usize = 8;

/// Numbers by the hash of their key. The keys are the caller's, who compares them.
///
/// Hashes have to be keyed where keys come from strangers. All operations are O(1); the one that makes
/// room is O(places), about 2 ns for each.
#[derive(Debug, Default)]
pub(crate) struct Table {
    places: Box<[u64]>,
    len: usize,
}

const fn word(hash: u32, number: u32) -> u64 {
    (hash as u64) << 32 | (number as u64 + 1)
}

/// The parts of a word that is not empty.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each half of the word is what it was made of"
)]
const fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, (word as u32).wrapping_sub(1))
}

impl Table {
    /// How many numbers it holds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All numbers, in no useful order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.places.iter().filter(|word| **word != 0);
        words.map(|word| parts(*word).1)
    }

    /// The number under `hash` that `is_meant`.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = home(hash, self.places.len());
        loop {
            let word = *self.places.get(at)?;
            if word == 0 {
                return None;
            }
            let (known, number) = parts(word);
            if known == hash && is_meant(number) {
                return Some(number);
            }
            at = self.after(at);
        }
    }

    /// Enters a number below 2³² − 1 that is not there yet.
    pub(crate) fn insert(&mut self, hash: u32, number: u32) {
        // Four fifths full at most: then a lookup that fails reads 13 words.
        if (self.len + 1) * 5 > self.places.len() * 4 {
            self.resize(self.places.len() + self.places.len() / 4 + PLACES_MIN);
        }
        self.put(word(hash, number));
        self.len += 1;
    }

    /// Changes the number `old` under `hash`.
    pub(crate) fn replace(&mut self, hash: u32, old: u32, new: u32) {
        if let Some(at) = self.position(hash, old) {
            self.places[at] = word(hash, new);
        }
    }

    /// Takes a number out, and moves up what stood behind it for want of room.
    pub(crate) fn remove(&mut self, hash: u32, number: u32) {
        let Some(mut hole) = self.position(hash, number) else {
            return;
        };
        let mut at = hole;
        loop {
            at = self.after(at);
            let word = self.places[at];
            if word == 0 {
                break;
            }
            let wanted = home(parts(word).0, self.places.len());
            let stays = if hole <= at {
                hole < wanted && wanted <= at
            } else {
                hole < wanted || wanted <= at
            };
            if !stays {
                self.places[hole] = word;
                hole = at;
            }
        }
        self.places[hole] = 0;
        self.len -= 1;
        if self.places.len() > 8 * PLACES_MIN && self.len * 4 < self.places.len() {
            self.resize(self.places.len() / 2);
        }
    }

    fn position(&self, hash: u32, number: u32) -> Option<usize> {
        let mut at = home(hash, self.places.len());
        loop {
            match *self.places.get(at)? {
                0 => return None,
                known if known == word(hash, number) => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    fn put(&mut self, word: u64) {
        let mut at = home(parts(word).0, self.places.len());
        while self.places[at] != 0 {
            at = self.after(at);
        }
        self.places[at] = word;
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.places, vec![0; places].into_boxed_slice());
        for word in old {
            if word != 0 {
                self.put(word);
            }
        }
    }
}

/// The first place of a hash among so many.
#[inline]
fn home(hash: u32, places: usize) -> usize {
    ((u64::from(hash) * places as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The same changes to a table and to a map; hashes are few, so that many collide and some wrap.
    #[test]
    fn it_holds_what_a_map_holds() {
        for spread in [1_u32, 7, 1 << 20] {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            let mut state = u64::from(spread);
            let mut draw = || {
                state = state
                    .wrapping_mul(0x5851_f42d_4c95_7f2d)
                    .wrapping_add(0x1405_7b7e_f767_814f);
                u32::try_from(state >> 33).unwrap()
            };
            for step in 0..20_000 {
                let (number, action) = (draw() % 400, draw() % 8);
                let hash = (number % spread).wrapping_mul(0x9e37_79b9).wrapping_sub(3);
                let known = map.contains_key(&number);
                match action {
                    // It fills, and empties again.
                    0..=3 if !known && step % 4_000 < 2_000 => {
                        table.insert(hash, number);
                        map.insert(number, hash);
                    }
                    4 if known => {
                        table.replace(hash, number, number + 1_000);
                        assert_eq!(
                            table.find(hash, |found| found == number + 1_000),
                            Some(number + 1_000)
                        );
                        table.replace(hash, number + 1_000, number);
                    }
                    _ => {
                        table.remove(hash, number);
                        map.remove(&number);
                    }
                }
                let found = table.find(hash, |found| found == number);
                assert_eq!(found.is_some(), map.contains_key(&number));
                assert_eq!(table.len(), map.len());
            }
            for (number, hash) in &map {
                assert_eq!(table.find(*hash, |found| found == *number), Some(*number));
            }
            let mut all: Vec<_> = table.iter().collect();
            all.sort_unstable();
            assert_eq!(all, map.keys().copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn it_gives_room_back() {
        let mut table = Table::default();
        assert_eq!(table.find(5, |_| true), None);
        (0..10_000).for_each(|number| table.insert(number << 16, number));
        let full = table.places.len();
        assert!(full < 15_000, "{full} places for 10,000");
        (0..10_000).for_each(|number| table.remove(number << 16, number));
        assert!(table.len() == 0 && table.places.len() < 100);
    }
}
