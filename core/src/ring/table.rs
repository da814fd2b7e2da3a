//! The points of a ring, in lines that rings share.
//!
//! The hash space is cut into equal slices, [`DENSITY`] points in each on average. A slice has a
//! *line* of the cache: short words of its points in order, and then that of what follows. So whatever
//! is asked, the answer stands on the one line that the hash names. Only where a slice has more than 15
//! points, or a short word does not tell whether its point is before the key, exact words are asked,
//! which are elsewhere in the *page* of the line. A page is shared by all rings that have it in
//! common: a changed point copies its page, and the page before where it was the first of its page.
//!
//! The slice of a place is the upper half of `place * lines`; the lower half is where it is in there. Of
//! that the low bits tell nothing, since the products of neighbouring places are further apart, and
//! their room holds the number of the point's node (see [`super::word`]). Points at one place are kept
//! in the order of their nodes' ids, which the numbers do not tell.

use std::sync::Arc;

use super::page::{LINES, Page};
use super::word::Words;

/// Points for each line when a table is laid out.
const DENSITY: usize = 8;

/// The points of a ring. A clone shares all pages.
#[derive(Clone)]
pub(super) struct Table {
    pages: Box<[Arc<Page>]>,
    /// Whole pages full.
    lines: u64,
    words: Words,
    len: usize,
}

/// A point of a table, and the ones behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    line: usize,
    at: usize,
}

impl Table {
    /// A table of `len` points (place, node), in order. Node numbers are below the number of nodes
    /// that have points, of which each has 150 or more, or below 31.
    pub(super) fn new(len: usize, points: impl Iterator<Item = (u64, u32)>) -> Self {
        // The ring documents this limit.
        assert!(
            u32::try_from(len).is_ok(),
            "a ring has at most u32::MAX virtual nodes"
        );
        let pages = pages(len);
        let lines = (pages * LINES) as u64;
        let mut table = Self {
            pages: Box::default(),
            lines,
            words: Words::new(nodes_max(pages)),
            len,
        };
        let mut points = points.peekable();
        let first = points.peek().map_or(0, |(_, node)| *node);
        let mut draft = |page: usize| {
            let (mut words, mut starts) = (Vec::with_capacity(DENSITY * LINES), [0; LINES + 1]);
            for line in 0..LINES {
                while let Some((place, node)) =
                    points.next_if(|(place, _)| table.slice_of(*place).0 == page * LINES + line)
                {
                    words.push(table.words.exact(table.slice_of(place).1, node));
                }
                starts[line + 1] = u32::try_from(words.len()).unwrap_or(u32::MAX);
            }
            words.shrink_to_fit();
            let next = points.peek().map_or(first, |(_, node)| *node);
            (words, starts, next)
        };
        // All points first, so that lines lie close to each other: the processor knows the addresses
        // of a limited part of the memory.
        let drafts: Vec<_> = (0..pages).map(&mut draft).collect();
        let page = |(points, starts, next)| Arc::new(Page::new(table.words, points, starts, next));
        let pages = drafts.into_iter().map(page).collect();
        table.pages = pages;
        table
    }

    /// How many points there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether this table may hold so many points: with 5.3 to 10 for each line.
    pub(super) fn suits(&self, len: usize) -> bool {
        let (pages, fitting) = (self.pages.len(), pages(len));
        pages * 5 >= fitting * 4 && pages * 2 <= fitting * 3
    }

    /// The node of the first point at or after a place.
    #[inline]
    pub(super) fn owner(&self, place: u64) -> Option<u32> {
        let (line, key) = self.slice_of(place);
        let page = self.pages.get(line / LINES)?;
        Some(page.owner(self.words, line % LINES, key))
    }

    /// The first point at or after a place.
    #[inline]
    pub(super) fn cursor(&self, place: u64) -> Cursor {
        let (line, key) = self.slice_of(place);
        let page = self.pages.get(line / LINES);
        Cursor {
            line,
            at: page.map_or(0, |page| page.below(self.words, line % LINES, key)),
        }
    }

    /// The node of the point at a cursor, which moves on, around and around.
    ///
    /// # Panics
    /// On a table without points.
    #[inline]
    pub(super) fn next(&self, cursor: &mut Cursor) -> u32 {
        loop {
            let page = &self.pages[cursor.line / LINES];
            if let Some(node) = page.point(self.words, cursor.line % LINES, cursor.at) {
                cursor.at += 1;
                return node;
            }
            cursor.at = 0;
            cursor.line += 1;
            if cursor.line == self.pages.len() * LINES {
                cursor.line = 0;
            }
        }
    }

    /// The points as (place, node), in order.
    pub(super) fn points(&self) -> impl Iterator<Item = (u64, u32)> {
        (0..self.pages.len() * LINES).flat_map(move |line| {
            let points = self.pages[line / LINES].points(line % LINES).iter();
            points.map(move |word| (self.place(line, *word), self.words.node(*word)))
        })
    }

    /// Tells every point's node and how many places fall to it, in the order of points.
    pub(super) fn for_each_arc(&self, mut each: impl FnMut(u32, u128)) {
        let Some(last) = self.points().last().map(|(place, _)| place) else {
            return;
        };
        let mut before = None;
        for (place, node) in self.points() {
            let length = match before {
                Some(before) => u128::from(place - before),
                // From behind the last point over the top to here; the whole ring where both are one.
                None => (1 << 64) - u128::from(last) + u128::from(place),
            };
            each(node, length);
            before = Some(place);
        }
    }

    /// Adds a point. `rank` sorts the nodes of points at one place.
    ///
    /// # Panics
    /// On a table that was laid out without points.
    pub(super) fn insert(&mut self, place: u64, node: u32, rank: impl Fn(u32) -> u32) {
        let (line, key) = self.slice_of(place);
        let page = line / LINES;
        let behind = self.words.last_at(key);
        let is_before =
            |other: &u64| *other <= behind && (*other < key || rank(self.words.node(*other)) < rank(node));
        let at = self.pages[page].points(line % LINES).partition_point(is_before);
        let point = self.words.exact(key, node);
        let is_first = Arc::make_mut(&mut self.pages[page]).insert(self.words, line % LINES, at, point);
        self.len += 1;
        if is_first {
            self.tell_before(page);
        }
    }

    /// Takes a point out; nothing happens where there is none such.
    pub(super) fn remove(&mut self, place: u64, node: u32) {
        let (line, key) = self.slice_of(place);
        let page = line / LINES;
        let point = self.words.exact(key, node);
        let points = self.pages.get(page).map(|page| page.points(line % LINES));
        let Some(at) = points.and_then(|points| points.iter().position(|other| *other == point)) else {
            return;
        };
        let was_first = Arc::make_mut(&mut self.pages[page]).remove(self.words, line % LINES, at);
        self.len -= 1;
        if was_first {
            self.tell_before(page);
        }
    }

    /// Tells the pages before one what follows them now, back to one that has points itself.
    fn tell_before(&mut self, page: usize) {
        let first = self.pages[page].first(self.words);
        let pages = self.pages.len();
        for before in (0..page).rev().chain((page..pages).rev()) {
            let before = Arc::make_mut(&mut self.pages[before]);
            before.set_next(self.words, first);
            if !before.is_empty() {
                return;
            }
        }
    }

    /// A place's line, and where in there a key would be.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves of 128 bits; there are less than 2^32 lines"
    )]
    fn slice_of(&self, place: u64) -> (usize, u64) {
        let product = u128::from(place) * u128::from(self.lines);
        ((product >> 64) as usize, self.words.key(product as u64))
    }

    /// The place of a point: the only one whose product is less than `lines` ahead of its word.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it was 64 bits wide before the multiplication"
    )]
    fn place(&self, line: usize, word: u64) -> u64 {
        let product = (line as u128) << 64 | u128::from(self.words.key(word));
        product.div_ceil(u128::from(self.lines)) as u64
    }
}

/// How many pages a table of so many points is laid out with.
fn pages(len: usize) -> usize {
    len.div_ceil(DENSITY * LINES)
}

/// How many nodes so many pages ever have: each has 150 points, of which a page has 320 on average
/// before the table is laid out anew. It is no more than the lines, as words need it to be.
fn nodes_max(pages: usize) -> u32 {
    u32::try_from(pages * 9 / 4).unwrap_or(u32::MAX).max(31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(points: &[(u64, u32)]) -> Table {
        let table = Table::new(points.len(), points.iter().copied());
        assert_eq!(table.points().collect::<Vec<_>>(), points);
        table
    }

    fn arcs(table: &Table) -> Vec<(u32, u128)> {
        let mut arcs = Vec::new();
        table.for_each_arc(|node, length| arcs.push((node, length)));
        arcs
    }

    /// What a table must answer, whatever its lines are.
    fn assert_answers(table: &Table, points: &[(u64, u32)]) {
        assert_eq!(table.points().collect::<Vec<_>>(), points);
        let near = points
            .iter()
            .flat_map(|(place, _)| [place.wrapping_sub(1), *place, place.wrapping_add(1)]);
        for place in near.chain([0, 1 << 63, u64::MAX]) {
            let next = points.partition_point(|(point, _)| *point < place);
            let (behind, ahead) = points.split_at(next);
            let around: Vec<u32> = ahead.iter().chain(behind).map(|(_, node)| *node).collect();
            assert_eq!(table.owner(place), Some(around[0]), "{place}");
            let mut cursor = table.cursor(place);
            let walk: Vec<u32> = around.iter().map(|_| table.next(&mut cursor)).collect();
            assert_eq!(walk, around, "{place}");
        }
    }

    #[test]
    fn a_place_belongs_to_the_next_point_and_wraps() {
        let table = table(&[(5, 1), (9, 3), (1 << 63, 2)]);
        for (place, node) in [
            (0, 1),
            (5, 1),
            (6, 3),
            (9, 3),
            (10, 2),
            (1 << 63, 2),
            ((1 << 63) + 1, 1),
        ] {
            assert_eq!(table.owner(place), Some(node), "{place}");
        }
        assert_eq!(table.owner(u64::MAX), Some(1));
    }

    #[test]
    fn points_at_one_place_go_to_the_first() {
        let points = [(7, 0), (7, 2), (u64::MAX, 1), (u64::MAX, 3)];
        assert_answers(&table(&points), &points);
        assert_eq!(
            arcs(&table(&points)),
            [(0, 8), (2, 0), (1, u128::from(u64::MAX) - 7), (3, 0)]
        );
    }

    #[test]
    fn arcs_make_up_the_whole_ring() {
        for points in [
            &[(0, 0)][..],
            &[(u64::MAX, 2)],
            &[(3, 0), (3, 1)],
            &[(0, 1), (u64::MAX, 0)],
        ] {
            let sum: u128 = arcs(&table(points)).iter().map(|(_, length)| length).sum();
            assert_eq!(sum, 1 << 64, "{points:?}");
        }
        assert!(arcs(&table(&[])).is_empty());
    }

    #[test]
    fn a_crowded_line_is_searched_to_its_end() {
        for count in [7, 14, 15, 16, 70] {
            let points: Vec<(u64, u32)> = (0..count)
                .map(|place| (2 * place, u32::try_from(place % 30).unwrap()))
                .collect();
            assert_answers(&table(&points), &points);
        }
    }

    /// Points that sit where lines begin and end, crowd on some and leave others empty.
    fn awkward() -> Vec<(u64, u32)> {
        let edge = u64::MAX / 64;
        let mut points: Vec<(u64, u32)> = (0..160_u64)
            .map(|number| {
                let line = number * number % 17;
                (
                    (line * edge).wrapping_add(number / 17).wrapping_sub(3),
                    (number % 29) as u32,
                )
            })
            .collect();
        points.sort_unstable();
        points.dedup();
        points
    }

    #[test]
    fn single_points_come_and_go() {
        let all = awkward();
        let (mut edited, mut present) = (table(&all), all.clone());
        // Whoever comes last at a place is the first there, by its rank.
        let rank = |node: u32| node;
        for (step, point) in all.iter().cycle().step_by(7).take(2 * all.len()).enumerate() {
            if let Ok(at) = present.binary_search(point) {
                if present.len() > 1 {
                    present.remove(at);
                    edited.remove(point.0, point.1);
                    edited.remove(point.0, point.1);
                }
            } else {
                present.push(*point);
                present.sort_unstable();
                edited.insert(point.0, point.1, rank);
            }
            assert_eq!(edited.len(), present.len());
            if step % 9 == 0 {
                assert_answers(&edited, &present);
            }
        }
        // Down to one point, and from there on to another.
        for point in std::mem::take(&mut present) {
            edited.remove(point.0, point.1);
        }
        edited.insert(77, 3, rank);
        assert_answers(&edited, &[(77, 3)]);
    }

    /// What follows a page is told to those before it, back to one in which something stands.
    #[test]
    fn pages_without_points_are_told_what_follows_them() {
        // All crowd at the beginning of the first of three pages.
        let crowd: Vec<(u64, u32)> = (0..600).map(|number| (u64::from(number), number % 30)).collect();
        let mut table = table(&crowd);
        assert_eq!(table.pages.len(), 3);
        for place in [u64::MAX / 6, u64::MAX / 2, u64::MAX - 9] {
            let points = [&crowd[..], &[(place, 30)]].concat();
            table.insert(place, 30, |node| node);
            assert_answers(&table, &points);
            table.remove(place, 30);
            assert_answers(&table, &crowd);
        }
    }

    #[test]
    fn points_at_one_place_are_kept_in_the_order_of_ranks() {
        let mut table = table(&[(50, 4), (60, 9)]);
        let rank = |node: u32| 100 - node;
        for node in [7, 2, 5] {
            table.insert(60, node, rank);
        }
        assert_answers(&table, &[(50, 4), (60, 9), (60, 7), (60, 5), (60, 2)]);
        // The lowest number of all, whose word is the place itself.
        table.insert(50, 0, rank);
        assert_answers(&table, &[(50, 4), (50, 0), (60, 9), (60, 7), (60, 5), (60, 2)]);
        table.insert(50, 8, rank);
        table.insert(50, 3, rank);
        assert_answers(
            &table,
            &[
                (50, 8),
                (50, 4),
                (50, 3),
                (50, 0),
                (60, 9),
                (60, 7),
                (60, 5),
                (60, 2),
            ],
        );
    }

    #[test]
    fn what_did_not_change_is_shared() {
        let points: Vec<(u64, u32)> = (0..40_000_u64)
            .map(|number| (number * (u64::MAX / 40_000), 3))
            .collect();
        let old = table(&points);
        let mut new = old.clone();
        new.insert(u64::MAX / 2 + 99, 5, |node| node);
        let copied = old
            .pages
            .iter()
            .zip(&new.pages)
            .filter(|(old, new)| !Arc::ptr_eq(old, new));
        assert!((1..=2).contains(&copied.count()));
        assert_eq!(old.points().count() + 1, new.points().count());
    }

    #[test]
    fn a_table_suits_what_it_was_laid_out_for() {
        for len in [1, 150, 300, 1_500, 150_000] {
            let points = (0..len as u64).map(|number| (number * (u64::MAX / len as u64), 0));
            let table = Table::new(len, points);
            assert!(table.suits(len) && table.suits(len + len / 10), "{len}");
            assert!(!table.suits(0) && !table.suits(len * 2 + 256), "{len}");
        }
        // Eight points for each line, and 32 lines to a page.
        assert_eq!([0, 1, 256, 257, 25_600].map(pages), [0, 1, 1, 2, 100]);
        assert!(!Table::new(0, std::iter::empty()).suits(150));
        let points = (0..150_000).map(|number| (number * (u64::MAX / 150_000), 0));
        let table = Table::new(150_000, points);
        assert!(table.suits(101_000) && !table.suits(75_000));
        assert_eq!(Table::new(0, std::iter::empty()).owner(5), None);
    }
}
