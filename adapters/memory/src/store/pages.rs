//! Room for packed sessions: places of one size in pages, many to an allocation.
//!
//! A place is named by a number that stays while the session has its length, so indexes point straight at
//! it. Places that were given back are used again, the last first. A page in which nothing stands is given back,
//! but for one of each size, and the first of a size is no longer than it has to be: so memory follows what is in
//! use now, whatever lengths sessions have or had before.

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

/// What is known of a page. Those of one size that have room are in a list.
#[derive(Debug)]
struct Page {
    /// The place of it that was given back last; its first bytes name the one before.
    free: u32,
    /// How many of its places were ever in use, and how many are.
    made: u32,
    used: u32,
    /// The pages before and behind it in the list.
    before: u32,
    next: u32,
}

impl Page {
    const NEW: Self = Self {
        free: NOWHERE,
        made: 0,
        used: 0,
        before: NOWHERE,
        next: NOWHERE,
    };
}

/// All places of one size.
#[derive(Debug)]
struct Places {
    /// The first page with room.
    open: u32,
    /// A page in which nothing stands: who comes and goes at its border does not make it anew each time.
    spare: u32,
    /// How many places are in use.
    used: usize,
}

impl Places {
    const NONE: Self = Self {
        open: NOWHERE,
        spare: NOWHERE,
        used: 0,
    };
}

/// Places of all sizes. All operations are O(1), but for the allocator's part.
///
/// The pages of all sizes are in one list, so that reading a session looks at nothing else on the way.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Pages {
    list: Vec<Box<[u8]>>,
    /// What is known of each.
    known: Vec<Page>,
    /// Numbers of pages that were given back.
    free: Vec<u32>,
    sizes: Vec<Places>,
    /// Pages that were given back and are still here: see [`dropped`](Self::dropped).
    dropped: Vec<Box<[u8]>>,
}

impl Pages {
    /// The longest session that has a place.
    pub(crate) const BYTES_MAX: usize = 63 * STEP;

    /// So many places there always are, if there is memory: as many pages, with a place in use each at the
    /// least, and beside them a spare one of each size.
    pub(crate) const PLACES_MAX: usize = (1 << (INDEX_BITS - PAGE_BITS_MAX)) - (Self::BYTES_MAX / STEP + 1);

    /// A place for `bytes`, at most [`BYTES_MAX`](Self::BYTES_MAX). What stands in it is whatever stood there.
    pub(crate) fn make(&mut self, bytes: usize) -> Place {
        let size = Size::of(bytes);
        while self.sizes.len() <= size.0 {
            self.sizes.push(Places::NONE);
        }
        let page = match self.sizes[size.0].open {
            NOWHERE => self.add_page(size),
            open => open,
        };
        let places = &mut self.sizes[size.0];
        places.used += 1;
        if places.spare == page {
            places.spare = NOWHERE;
        }
        let known = &mut self.known[page as usize];
        let again = known.free != NOWHERE;
        let in_page = if again { known.free } else { known.made };
        known.made += u32::from(!again);
        known.used += 1;
        let full = known.used >> size.page_bits() != 0;
        let place = Place(number(size.0) << INDEX_BITS | page << size.page_bits() | in_page);
        if again {
            let next = self.at(place).first_chunk();
            let next = next.map_or(NOWHERE, |next| u32::from_le_bytes(*next));
            self.known[page as usize].free = next;
        } else {
            self.grow(size, page, in_page);
        }
        if full {
            self.close(size, page);
        }
        place
    }

    /// Gives a place back.
    pub(crate) fn free(&mut self, place: Place) {
        let (size, index) = (place.size(), place.index());
        let page = number(index >> size.page_bits());
        let in_page = number(index & ((1 << size.page_bits()) - 1));
        let known = &mut self.known[page as usize];
        let was_full = known.used >> size.page_bits() != 0;
        known.used -= 1;
        let is_empty = known.used == 0;
        let before = std::mem::replace(&mut known.free, in_page);
        if let Some(first) = self.at_mut(place).first_chunk_mut() {
            *first = before.to_le_bytes();
        }
        if was_full {
            self.open(size, page);
        }
        let places = &mut self.sizes[size.0];
        places.used -= 1;
        if places.used == 0 {
            let spare = std::mem::replace(&mut places.spare, NOWHERE);
            if spare != NOWHERE {
                self.drop_page(size, spare);
            }
            self.drop_page(size, page);
            if self.free.len() == self.list.len() {
                *self = Self {
                    dropped: self.dropped(),
                    ..Self::default()
                };
            }
        } else if is_empty && places.spare == NOWHERE {
            places.spare = page;
        } else if is_empty {
            self.drop_page(size, page);
        }
    }

    /// Another page, with room. The first of its size begins with one place: there are many partitions, and few
    /// sessions of one length in each while a fleet is small.
    fn add_page(&mut self, size: Size) -> u32 {
        let bits = if self.sizes[size.0].used == 0 {
            0
        } else {
            size.page_bits()
        };
        let bytes = vec![0; size.bytes() << bits].into_boxed_slice();
        let page = if let Some(page) = self.free.pop() {
            self.list[page as usize] = bytes;
            self.known[page as usize] = Page::NEW;
            page
        } else {
            self.list.push(bytes);
            self.known.push(Page::NEW);
            number(self.list.len() - 1)
        };
        self.open(size, page);
        page
    }

    /// Makes a page twice as long, unless this place of it is there already.
    fn grow(&mut self, size: Size, page: u32, in_page: u32) {
        let page = &mut self.list[page as usize];
        if size.bytes() * (in_page as usize + 1) > page.len() {
            let mut longer = Vec::with_capacity(page.len() * 2);
            longer.extend_from_slice(page);
            longer.resize(page.len() * 2, 0);
            *page = longer.into_boxed_slice();
        }
    }

    /// Gives the memory of a page with room back.
    fn drop_page(&mut self, size: Size, page: u32) {
        self.close(size, page);
        self.dropped.push(std::mem::take(&mut self.list[page as usize]));
        self.free.push(page);
    }

    /// The memory that was given back since this was last asked, to be dropped where no lock is held: how long an
    /// allocator takes for that is its own affair.
    pub(crate) fn dropped(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.dropped)
    }

    /// Says that a page has room.
    fn open(&mut self, size: Size, page: u32) {
        let next = std::mem::replace(&mut self.sizes[size.0].open, page);
        if let Some(next) = self.known.get_mut(next as usize) {
            next.before = page;
        }
        let known = &mut self.known[page as usize];
        (known.before, known.next) = (NOWHERE, next);
    }

    /// Says that a page that had room has none.
    fn close(&mut self, size: Size, page: u32) {
        let Page { before, next, .. } = self.known[page as usize];
        match self.known.get_mut(before as usize) {
            Some(before) => before.next = next,
            None => self.sizes[size.0].open = next,
        }
        if let Some(next) = self.known.get_mut(next as usize) {
            next.before = before;
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
mod tests;
