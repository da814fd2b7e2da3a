//! Room for packed sessions: places of one size in pages, many to an allocation.
//!
//! A place is named by a number that stays while the session has its length, so indexes point straight at
//! it. Places that were given back are used again, the last first; when the last of one size has gone, so have its
//! pages.

/// Sizes go up by so many bytes.
const STEP: usize = 16;

/// How many bits of a place's number count places of its size.
const INDEX_BITS: u32 = 26;

/// Most places of a page, as a power of two.
const PAGE_BITS_MAX: u32 = 6;

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
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
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

    /// Places of a page, as a power of two: pages have some 8 KiB.
    #[inline]
    fn page_bits(self) -> u32 {
        match self.0 {
            0..=8 => PAGE_BITS_MAX,
            9..=32 => 5,
            _ => 4,
        }
    }
}

/// All places of one size.
#[derive(Debug)]
struct Places {
    /// Its pages, by their numbers.
    pages: Vec<u32>,
    /// The place that was given back last; its first bytes name the one before.
    free: u32,
    /// How many of its last page were ever in use, and how many of all are.
    made: u32,
    used: usize,
}

impl Places {
    const NONE: Self = Self {
        pages: Vec::new(),
        free: NOWHERE,
        made: 0,
        used: 0,
    };
}

/// Places of all sizes.
///
/// The pages of all sizes are in one list, so that reading a session looks at nothing else on the way.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Pages {
    list: Vec<Box<[u8]>>,
    /// Numbers of pages that were given back.
    free: Vec<u32>,
    sizes: Vec<Places>,
}

impl Pages {
    /// The longest session that has a place.
    pub(crate) const BYTES_MAX: usize = 63 * STEP;

    /// So many places there always are, if there is memory: as many pages, with a place each at the least.
    pub(crate) const PLACES_MAX: usize = 1 << (INDEX_BITS - PAGE_BITS_MAX);

    /// A place for `bytes`, at most [`BYTES_MAX`](Self::BYTES_MAX). What stands in it is whatever stood there.
    pub(crate) fn make(&mut self, bytes: usize) -> Place {
        let size = Size::of(bytes);
        while self.sizes.len() <= size.0 {
            self.sizes.push(Places::NONE);
        }
        let places = &mut self.sizes[size.0];
        places.used += 1;
        if places.free != NOWHERE {
            let place = Place(places.free);
            let next = self
                .at(place)
                .first_chunk()
                .map_or(NOWHERE, |next| u32::from_le_bytes(*next));
            self.sizes[size.0].free = next;
            return place;
        }
        if places.pages.is_empty() || places.made >> size.page_bits() != 0 {
            let page = vec![0; size.bytes() << size.page_bits()].into_boxed_slice();
            let number = if let Some(number) = self.free.pop() {
                self.list[number as usize] = page;
                number
            } else {
                self.list.push(page);
                number(self.list.len() - 1)
            };
            places.pages.push(number);
            places.made = 0;
        }
        let page = places.pages.last().copied().unwrap_or(NOWHERE);
        let index = page << size.page_bits() | places.made;
        places.made += 1;
        Place(number(size.0) << INDEX_BITS | index)
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
            let gone = std::mem::replace(places, Places::NONE);
            for page in &gone.pages {
                self.list[*page as usize] = Box::default();
            }
            self.free.extend(gone.pages);
            if self.free.len() == self.list.len() {
                *self = Self::default();
            }
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
        let start = (index & ((1 << size.page_bits()) - 1)) * size.bytes();
        &self.list[index >> size.page_bits()][start..start + size.bytes()]
    }

    /// The same, to write.
    #[inline]
    pub(crate) fn at_mut(&mut self, place: Place) -> &mut [u8] {
        let (size, index) = (place.size(), place.index());
        let start = (index & ((1 << size.page_bits()) - 1)) * size.bytes();
        &mut self.list[index >> size.page_bits()][start..start + size.bytes()]
    }
}

/// A number of a page or a size, which is far below 2³².
fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(NOWHERE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_apart_and_used_again() {
        let mut pages = Pages::default();
        for bytes in [1, 88, 96, 97, 300, 512, 513, Pages::BYTES_MAX] {
            let places: Vec<Place> = (0..200).map(|_| pages.make(bytes)).collect();
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
            for place in &places {
                pages.free(*place);
            }
            assert!(
                pages.list.is_empty() && pages.sizes.is_empty(),
                "all memory went back"
            );
        }
    }

    #[test]
    fn sizes_share_the_pages_that_were_given_back() {
        let mut pages = Pages::default();
        let kept = pages.make(300);
        let short: Vec<Place> = (0..200).map(|_| pages.make(100)).collect();
        let in_use = pages.list.len();
        for place in &short {
            pages.free(*place);
        }
        let long: Vec<Place> = (0..16).map(|_| pages.make(900)).collect();
        assert_eq!(pages.list.len(), in_use);
        pages.at_mut(kept).fill(1);
        for place in &long {
            pages.at_mut(*place).fill(2);
        }
        assert!(pages.at(kept).iter().all(|byte| *byte == 1));
    }
}
