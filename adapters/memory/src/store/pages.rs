//! Room for packed sessions: places of one size in pages, many to an allocation.
//!
//! A place is named by a number that stays while the session has its length, so indexes point straight at
//! it. Places that were given back are used again, the last first; when the last of one size has gone, so have its
//! pages.

/// Sizes go up by so many bytes.
const STEP: usize = 16;

/// How many bits of a place's number count places of its size.
const INDEX_BITS: u32 = 26;

/// No place.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// Where a packed session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(pub(crate) u32);

impl Place {
    fn size(self) -> Size {
        Size((self.0 >> INDEX_BITS) as usize)
    }

    fn index(self) -> usize {
        (self.0 & (1 << INDEX_BITS) - 1) as usize
    }
}

/// A size of places: its bytes by [`STEP`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size(usize);

impl Size {
    fn of(bytes: usize) -> Self {
        Self(bytes.div_ceil(STEP))
    }

    fn bytes(self) -> usize {
        self.0 * STEP
    }

    /// Places of a page, as a power of two: pages have some 4 KiB.
    fn page_bits(self) -> u32 {
        match self.0 {
            0..=8 => 5,
            9..=32 => 4,
            _ => 3,
        }
    }
}

/// All places of one size.
#[derive(Debug)]
struct Places {
    pages: Vec<Box<[u8]>>,
    /// The place that was given back last; its first bytes name the one before.
    free: u32,
    /// How many were ever in use, and how many are.
    made: usize,
    used: usize,
}

/// Places of all sizes.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    sizes: Vec<Places>,
}

impl Pages {
    /// The longest session that has a place.
    pub(crate) const BYTES_MAX: usize = 63 * STEP;

    /// The most places of one size.
    pub(crate) const PLACES_MAX: usize = 1 << INDEX_BITS;

    /// A place for `bytes`, at most [`BYTES_MAX`](Self::BYTES_MAX). What stands in it is whatever stood there.
    pub(crate) fn make(&mut self, bytes: usize) -> Place {
        let size = Size::of(bytes);
        while self.sizes.len() <= size.0 {
            self.sizes.push(Places {
                pages: Vec::new(),
                free: NOWHERE,
                made: 0,
                used: 0,
            });
        }
        let places = &mut self.sizes[size.0];
        places.used += 1;
        if places.free != NOWHERE {
            let place = Place(places.free);
            let next = self.at(place).first_chunk().map_or(NOWHERE, |next| u32::from_le_bytes(*next));
            self.sizes[size.0].free = next;
            return place;
        }
        if places.made >> size.page_bits() == places.pages.len() {
            let page = vec![0; size.bytes() << size.page_bits()];
            places.pages.push(page.into_boxed_slice());
        }
        let index = places.made;
        places.made += 1;
        // Both are far below 2³²: a size is below 64, and an index below `PLACES_MAX`.
        let number = |part: usize| u32::try_from(part).unwrap_or(NOWHERE);
        Place(number(size.0) << INDEX_BITS | number(index))
    }

    /// Gives a place back.
    pub(crate) fn free(&mut self, place: Place) {
        let size = place.size();
        let next = self.sizes[size.0].free;
        if let Some(first) = self.at_mut(place).first_chunk_mut() {
            *first = next.to_le_bytes();
        }
        let places = &mut self.sizes[size.0];
        places.free = place.0;
        places.used -= 1;
        if places.used == 0 {
            places.pages = Vec::new();
            (places.free, places.made) = (NOWHERE, 0);
        }
    }

    /// Whether another length has the same size of places.
    pub(crate) fn fits(place: Place, bytes: usize) -> bool {
        place.size() == Size::of(bytes)
    }

    /// The bytes of a place.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> &[u8] {
        let (size, index) = (place.size(), place.index());
        let page = &self.sizes[size.0].pages[index >> size.page_bits()];
        let start = (index & ((1 << size.page_bits()) - 1)) * size.bytes();
        &page[start..start + size.bytes()]
    }

    /// The same, to write.
    #[inline]
    pub(crate) fn at_mut(&mut self, place: Place) -> &mut [u8] {
        let (size, index) = (place.size(), place.index());
        let page = &mut self.sizes[size.0].pages[index >> size.page_bits()];
        let start = (index & ((1 << size.page_bits()) - 1)) * size.bytes();
        &mut page[start..start + size.bytes()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_apart_and_used_again() {
        let mut pages = Pages::default();
        for bytes in [1, 88, 96, 97, 300, 512, 513, Pages::BYTES_MAX] {
            let places: Vec<Place> = (0..100).map(|_| pages.make(bytes)).collect();
            for (number, place) in (0..).zip(&places) {
                assert!(pages.at(*place).len() >= bytes && Pages::fits(*place, bytes));
                pages.at_mut(*place).fill(number);
            }
            for (number, place) in (0..).zip(&places) {
                assert!(pages.at(*place).iter().all(|byte| *byte == number), "{bytes}");
            }
            for place in &places[40..60] {
                pages.free(*place);
            }
            let again: Vec<Place> = (0..20).map(|_| pages.make(bytes)).collect();
            let mut expected = places[40..60].to_vec();
            expected.reverse();
            assert_eq!(again, expected);
            places.iter().for_each(|place| pages.free(*place));
            assert!(pages.sizes[Size::of(bytes).0].pages.is_empty());
        }
    }
}
