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
#[derive(Clone)]
pub(super) struct Page {
    lines: [Line; LINES],
    /// How many points each line holds itself.
    own: [u8; LINES],
    /// By line: the points from the eighth on, and behind them the word of what follows the slice.
    spilled: Box<[Spill]>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spill {
    line: u8,
    word: u64,
}

impl Page {
    /// Lines without points, to be set before they are read.
    pub(super) fn new() -> Self {
        Self {
            lines: [Line([0; OWN + 1]); LINES],
            own: [0; LINES],
            spilled: Box::default(),
        }
    }

    /// The first word of a line that is not below `word`, be it a point's or that of what follows.
    #[inline]
    pub(super) fn first_from(&self, line: usize, word: u64) -> u64 {
        let words = &self.lines[line % LINES].0;
        // All are compared and none is branched upon: where the answer stands is a toss of coins.
        let below = words[..OWN]
            .iter()
            .map(|own| usize::from(*own < word))
            .sum::<usize>();
        match words[below & OWN] {
            SPILLED => self.spilled_from(line, word),
            found => found,
        }
    }

    #[cold]
    fn spilled_from(&self, line: usize, word: u64) -> u64 {
        let spilled = self.spilled_of(line);
        let below = spilled.partition_point(|spill| spill.word < word);
        // What follows the slice is never below a word of it.
        spilled.get(below).map_or(SPILLED, |spill| spill.word)
    }

    /// How many points of a line are below `word`.
    pub(super) fn below(&self, line: usize, word: u64) -> usize {
        self.points(line).take_while(|point| *point < word).count()
    }

    /// The points of a line in order.
    pub(super) fn points(&self, line: usize) -> impl Iterator<Item = u64> {
        let own = self.lines[line].0.iter().take(usize::from(self.own[line]));
        let spilled = self
            .spilled_of(line)
            .split_last()
            .map_or(&[][..], |(_, points)| points);
        own.copied().chain(spilled.iter().map(|spill| spill.word))
    }

    /// The point at a position in a line.
    #[inline]
    pub(super) fn point(&self, line: usize, at: usize) -> Option<u64> {
        if at < usize::from(self.own[line]) {
            self.lines[line].0.get(at).copied()
        } else if self.is_spilled(line) {
            self.points(line).nth(at)
        } else {
            None
        }
    }

    /// Whether a line has no points.
    pub(super) fn is_empty(&self, line: usize) -> bool {
        self.own[line] == 0
    }

    /// The word of what follows a line.
    pub(super) fn next(&self, line: usize) -> u64 {
        let spilled = self.spilled_of(line).last();
        spilled.map_or(self.lines[line].0[OWN], |spill| spill.word)
    }

    /// Sets a line: its points in order, and what follows it.
    pub(super) fn set(&mut self, line: usize, points: &[u64], next: u64) {
        let (own, rest) = points.split_at(points.len().min(OWN));
        let follows = if rest.is_empty() { next } else { SPILLED };
        let (was_spilled, words) = (self.is_spilled(line), &mut self.lines[line].0);
        words[..own.len()].copy_from_slice(own);
        words[own.len()..].fill(follows);
        self.own[line] = u8::try_from(own.len()).unwrap_or_default();
        if was_spilled || !rest.is_empty() {
            let line = line_number(line);
            let spilled = rest.iter().chain((!rest.is_empty()).then_some(&next));
            let spilled = spilled.map(|word| Spill { line, word: *word });
            let others = self.spilled.iter().filter(|spill| spill.line != line);
            let mut all: Vec<Spill> = others.copied().chain(spilled).collect();
            // Stable, as the words of one line are in order, which their numbers do not tell.
            all.sort_by_key(|spill| spill.line);
            self.spilled = all.into();
        }
    }

    /// Sets what follows a line.
    pub(super) fn set_next(&mut self, line: usize, next: u64) {
        if self.is_spilled(line) {
            let end = self
                .spilled
                .partition_point(|spill| spill.line <= line_number(line));
            self.spilled[end - 1].word = next;
        } else {
            self.lines[line].0[usize::from(self.own[line])..].fill(next);
        }
    }

    fn is_spilled(&self, line: usize) -> bool {
        usize::from(self.own[line]) == OWN && self.lines[line].0[OWN] == SPILLED
    }

    fn spilled_of(&self, line: usize) -> &[Spill] {
        if !self.is_spilled(line) {
            return &[];
        }
        let line = line_number(line);
        let start = self.spilled.partition_point(|spill| spill.line < line);
        let end = self.spilled.partition_point(|spill| spill.line <= line);
        &self.spilled[start..end]
    }
}

/// The number of a line in 8 bits.
fn line_number(line: usize) -> u8 {
    u8::try_from(line).unwrap_or(u8::MAX)
}
