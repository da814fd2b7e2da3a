//! Some neighbouring lines of the table: what is copied when one of them changes.

/// How many lines a page has.
pub(super) const LINES: usize = 32;

/// How many points a line holds itself. The last of its words is for what follows them.
const OWN: usize = 7;

/// What stands behind the points of a line whose other points are spilled. No node's number is all
/// ones, so nothing else looks like it.
const SPILLED: u64 = u64::MAX;

/// One slice of the hash space, on one cache line: the words of its points in order, then the word of
/// what follows the slice, as often as there is room.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; OWN + 1]);

/// Lines that lie side by side. Words are made by the table; here they are numbers with an order.
///
/// `end` is the least word of what follows a line. A point that reaches it is at the very last place
/// of its slice and is spilled, so that a look at a word tells whether it is a point.
#[derive(Clone)]
pub(super) struct Page {
    lines: [Line; LINES],
    /// By line: the points that it does not hold itself, and behind them the word of what follows.
    spilled: Box<[Spill]>,
}

#[derive(Clone, Copy)]
struct Spill {
    line: u8,
    word: u64,
}

impl Page {
    /// Lines without points, to be set before they are read.
    pub(super) fn new() -> Self {
        Self {
            lines: [Line([SPILLED; OWN + 1]); LINES],
            spilled: Box::default(),
        }
    }

    /// The first word of a line that is not below `word`, be it a point's or that of what follows.
    #[inline]
    pub(super) fn first_from(&self, line: usize, word: u64) -> u64 {
        let line = line % LINES;
        match self.lines[line].0[self.own_below(line, word)] {
            SPILLED => {
                let below = |spill: &Spill| spill.word < word;
                let (_, spilled) = split(self.spilled_of(line), below);
                // What follows the slice is never below a word of it.
                spilled.first().map_or(SPILLED, |spill| spill.word)
            }
            found => found,
        }
    }

    /// How many points of a line are below `word`.
    pub(super) fn below(&self, line: usize, word: u64) -> usize {
        let own = self.own_below(line, word);
        if self.lines[line].0[own] < SPILLED {
            return own;
        }
        let (spilled, _) = split(self.spilled_of(line), |spill| spill.word < word);
        own + spilled.len()
    }

    /// How many of the words that a line holds itself are below `word`, up to 7.
    #[inline]
    fn own_below(&self, line: usize, word: u64) -> usize {
        let words = &self.lines[line].0[..OWN];
        // All are compared and none is branched upon: where the answer stands is a toss of coins.
        words.iter().map(|own| usize::from(*own < word)).sum::<usize>() & OWN
    }

    /// The points of a line in order.
    pub(super) fn points(&self, line: usize, end: u64) -> impl Iterator<Item = u64> {
        let own = self.lines[line].0[..self.own_below(line, end)].iter();
        let spilled = self.spilled_of(line);
        let spilled = spilled.split_last().map_or(&[][..], |(_, points)| points);
        own.copied().chain(spilled.iter().map(|spill| spill.word))
    }

    /// The point at a position in a line.
    #[inline]
    pub(super) fn point(&self, line: usize, at: usize, end: u64) -> Option<u64> {
        let words = &self.lines[line].0;
        match words.get(at) {
            Some(word) if *word < end => Some(*word),
            _ if words[OWN] == SPILLED => self.points(line, end).nth(at),
            _ => None,
        }
    }

    /// The word of what follows a line.
    pub(super) fn next(&self, line: usize) -> u64 {
        let spilled = self.spilled_of(line).last();
        spilled.map_or(self.lines[line].0[OWN], |spill| spill.word)
    }

    /// Sets a line: its points in order, and what follows it.
    pub(super) fn set(&mut self, line: usize, points: &[u64], next: u64, end: u64) {
        let own = points.iter().take(OWN).take_while(|point| **point < end).count();
        let (own, rest) = points.split_at(own);
        let was_spilled = self.is_spilled(line);
        let words = &mut self.lines[line].0;
        words[..own.len()].copy_from_slice(own);
        words[own.len()..].fill(if rest.is_empty() { next } else { SPILLED });
        if was_spilled || !rest.is_empty() {
            let number = line_number(line);
            let (before, others) = split(&self.spilled, |spill| spill.line < number);
            let (_, after) = split(others, |spill| spill.line == number);
            let spilled = rest.iter().chain((!rest.is_empty()).then_some(&next));
            let spilled = spilled.map(|word| Spill {
                line: number,
                word: *word,
            });
            let all = before.iter().copied().chain(spilled).chain(after.iter().copied());
            self.spilled = all.collect();
        }
    }

    /// Sets what follows a line.
    pub(super) fn set_next(&mut self, line: usize, next: u64, end: u64) {
        if self.is_spilled(line) {
            let number = line_number(line);
            if let Some(last) = self.spilled.iter_mut().rfind(|spill| spill.line == number) {
                last.word = next;
            }
        } else {
            let own = self.own_below(line, end);
            self.lines[line].0[own..].fill(next);
        }
    }

    fn is_spilled(&self, line: usize) -> bool {
        self.lines[line].0[OWN] == SPILLED
    }

    #[cold]
    fn spilled_of(&self, line: usize) -> &[Spill] {
        let number = line_number(line);
        let (_, from) = split(&self.spilled, |spill| spill.line < number);
        split(from, |spill| spill.line == number).0
    }
}

/// Sorted things in two: those for which `is_before` holds, and the others.
fn split<T>(sorted: &[T], is_before: impl FnMut(&T) -> bool) -> (&[T], &[T]) {
    sorted.split_at(sorted.partition_point(is_before))
}

/// The number of a line in 8 bits.
fn line_number(line: usize) -> u8 {
    u8::try_from(line).unwrap_or(u8::MAX)
}
