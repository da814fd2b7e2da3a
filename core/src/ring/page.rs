//! Some neighbouring slices of the hash space: what is copied when a point comes or goes.

use super::word::{ASK, Short, Words, is_below};

/// How many lines a page has.
pub(super) const LINES: usize = 32;

/// How many points a line shows. The last of its words is for what follows them.
const SHOWN: usize = 15;

/// What a lookup sees of one slice, on one cache line: the short words of its points in order, then the
/// word of what follows the slice, as often as there is room. Where there are more points than that,
/// [`ASK`] stands behind those that are shown.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([Short; SHOWN + 1]);

/// Points in order, and the lines that are drawn of them.
pub(super) struct Page {
    lines: [Line; LINES],
    /// Exact words, by slice.
    points: Vec<u64>,
    /// Where the points of each slice begin, and where the last ones end.
    starts: [u32; LINES + 1],
    /// The node of the first point behind this page.
    next: u32,
}

impl Page {
    /// The page of these points, sorted, of which `starts` has the slices.
    pub(super) fn new(words: Words, points: Vec<u64>, starts: [u32; LINES + 1], next: u32) -> Self {
        let mut page = Self {
            lines: [Line([ASK; SHOWN + 1]); LINES],
            points,
            starts,
            next,
        };
        (0..LINES).for_each(|line| page.draw(words, line));
        page
    }

    /// The node of the first point of a line that is not below `key`, or of what follows the line.
    #[inline]
    pub(super) fn owner(&self, words: Words, line: usize, key: u64) -> u32 {
        let (_, found) = self.look(words, line, key);
        found.map_or_else(|| self.search(words, line, key), |found| words.node_of(found))
    }

    /// How many points of a line are below `key`.
    #[inline]
    pub(super) fn below(&self, words: Words, line: usize, key: u64) -> usize {
        let (below, found) = self.look(words, line, key);
        if found.is_some() {
            below
        } else {
            below_of(self.points(line), key)
        }
    }

    /// How many of the points that a line shows are below `key`, and the word behind them, where
    /// that is the answer.
    #[inline]
    fn look(&self, words: Words, line: usize, key: u64) -> (usize, Option<Short>) {
        let shown = &self.lines[line % LINES].0;
        let key = words.short_key(key);
        // All are compared and none is branched upon: where the answer stands is a toss of coins. What
        // is behind the points is never below a key.
        let below = shown.iter().map(|word| is_below(*word, key)).sum::<u32>() as usize & SHOWN;
        let found = shown[below];
        let is_told = found != ASK && !words.are_close(found, key);
        (below, is_told.then_some(found))
    }

    /// As [`owner`](Self::owner), by the exact words.
    #[cold]
    #[inline(never)]
    fn search(&self, words: Words, line: usize, key: u64) -> u32 {
        let points = self.points(line);
        let found = points.get(below_of(points, key));
        found.map_or_else(|| self.following(words, line), |word| words.node(*word))
    }

    /// The points of a line in order.
    pub(super) fn points(&self, line: usize) -> &[u64] {
        &self.points[self.starts[line] as usize..self.starts[line + 1] as usize]
    }

    /// The node of the point at a position in a line.
    #[inline]
    pub(super) fn point(&self, words: Words, line: usize, at: usize) -> Option<u32> {
        let shown = &self.lines[line].0;
        match shown.get(at) {
            Some(word) if *word < words.behind(0) => Some(words.node_of(*word)),
            _ if shown[SHOWN] == ASK => self.points(line).get(at).map(|word| words.node(*word)),
            _ => None,
        }
    }

    /// The node of the first point here, or else of the one that follows.
    pub(super) fn first(&self, words: Words) -> u32 {
        self.points.first().map_or(self.next, |word| words.node(*word))
    }

    /// Whether there are no points.
    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Puts a point before that at a position in a line. Whether it is the first one of the page now.
    pub(super) fn insert(&mut self, words: Words, line: usize, at: usize, point: u64) -> bool {
        let at = self.starts[line] as usize + at;
        self.points.insert(at, point);
        for start in &mut self.starts[line + 1..] {
            *start += 1;
        }
        self.redraw(words, line);
        at == 0
    }

    /// Takes the point at a position in a line out. Whether it was the first one of the page.
    pub(super) fn remove(&mut self, words: Words, line: usize, at: usize) -> bool {
        let at = self.starts[line] as usize + at;
        self.points.remove(at);
        for start in &mut self.starts[line + 1..] {
            *start -= 1;
        }
        self.redraw(words, line);
        at == 0
    }

    /// Sets what follows the page.
    pub(super) fn set_next(&mut self, words: Words, next: u32) {
        self.next = next;
        self.redraw(words, LINES - 1);
    }

    /// Draws a line, and those before it that show what follows them, back to one with points.
    fn redraw(&mut self, words: Words, line: usize) {
        self.draw(words, line);
        for before in (0..line).rev() {
            self.draw(words, before);
            if !self.points(before).is_empty() {
                return;
            }
        }
    }

    fn draw(&mut self, words: Words, line: usize) {
        let points = self.points(line);
        let shown = points.iter().take(SHOWN).map(|point| words.short(*point));
        // At the very end of the slice a point would look like what is behind it.
        let shown = shown.take_while(|word| *word < words.behind(0));
        let mut drawn = [ASK; SHOWN + 1];
        let mut count = 0;
        for (place, word) in drawn.iter_mut().zip(shown) {
            *place = word;
            count += 1;
        }
        if count == points.len() {
            drawn[count..].fill(words.behind(self.following(words, line)));
        }
        self.lines[line] = Line(drawn);
    }

    /// The node of the first point behind a line.
    fn following(&self, words: Words, line: usize) -> u32 {
        let point = self.points.get(self.starts[line + 1] as usize);
        point.map_or(self.next, |word| words.node(*word))
    }
}

impl Clone for Page {
    /// With room for a few points more, since that is what pages are copied for.
    fn clone(&self) -> Self {
        let mut points = Vec::with_capacity(self.points.len() + 4);
        points.extend_from_slice(&self.points);
        Self {
            lines: self.lines,
            points,
            starts: self.starts,
            next: self.next,
        }
    }
}

fn below_of(points: &[u64], key: u64) -> usize {
    points.partition_point(|word| *word < key)
}
