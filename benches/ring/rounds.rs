//! Interleaved rounds: what is compared runs in turns, so that whatever else the machine does meets
//! all of it alike, and ratios hold where times do not.

use std::hint::black_box;
use std::time::Instant;

use crate::Effort;

/// One of the things that are compared. It is told how often to do its work.
pub(crate) type Runner<'a> = Box<dyn FnMut(u32) + 'a>;

/// A runner that calls `call` again and again, in a loop that is compiled together with it.
pub(crate) fn each<'a>(mut call: impl FnMut() + 'a) -> Runner<'a> {
    Box::new(move |calls| (0..calls).for_each(|_| call()))
}

/// Makes the compiler believe that an answer is wanted.
pub(crate) fn used<T>(answer: T) {
    let _: T = black_box(answer);
}

/// Nanoseconds for one call of each runner, by rounds.
pub(crate) struct Rounds(Vec<Vec<f64>>);

impl Rounds {
    /// Runs each in turns; the first round is for warming up and does not count. Nor does the beginning
    /// of a turn, in which what the others left of the cache is made its own.
    pub(crate) fn run(effort: Effort, mut runners: Vec<Runner<'_>>) -> Self {
        let mut taken = vec![Vec::with_capacity(effort.rounds); runners.len()];
        for round in 0..=effort.rounds {
            for (runner, taken) in runners.iter_mut().zip(&mut taken) {
                runner(effort.calls / 2);
                let start = Instant::now();
                runner(effort.calls);
                let ns = start.elapsed().as_secs_f64() * 1e9 / f64::from(effort.calls);
                if round > 0 {
                    taken.push(ns);
                }
            }
        }
        Self(taken)
    }

    /// The median time of a runner.
    pub(crate) fn median_ns(&self, runner: usize) -> f64 {
        median(self.0[runner].clone())
    }

    /// The median of what a runner took in one round for what another took in it.
    pub(crate) fn ratio(&self, runner: usize, other: usize) -> f64 {
        let pairs = self.0[runner].iter().zip(&self.0[other]);
        median(pairs.map(|(one, other)| one / other).collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Keys of 16 bytes that never repeat, so that no lookup finds its line warm: splitmix64, twice.
pub(crate) struct Keys(u64);

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn next(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.number().to_le_bytes());
        key[8..].copy_from_slice(&self.number().to_le_bytes());
        key
    }

    /// Makes what comes depend on an answer.
    pub(crate) fn mix(&mut self, answer: Option<usize>) {
        self.0 ^= answer.unwrap_or_default() as u64;
    }
}
