//! Tokens that come back with time.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens: full at first, and filled at a steady rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    tokens_max: f64,
    per_second: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn new(tokens_max: f64, per_second: f64) -> Self {
        Self {
            tokens: tokens_max,
            tokens_max,
            per_second,
            filled_at: Instant::now(),
        }
    }

    /// Takes one where there is one.
    pub(crate) fn take(&mut self) -> bool {
        self.fill();
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Takes one, and goes into debt where there is none: answers for how long, or nothing.
    pub(crate) fn owe(&mut self) -> Option<Duration> {
        self.fill();
        self.tokens -= 1.0;
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / self.per_second))
    }

    /// Puts some in.
    pub(crate) fn put(&mut self, tokens: f64) {
        self.tokens = (self.tokens + tokens).min(self.tokens_max);
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.filled_at);
        self.filled_at = now;
        self.put(passed.as_secs_f64() * self.per_second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_with_time() {
        let mut bucket = Bucket::new(2.0, 4.0);
        assert_eq!([(); 3].map(|()| bucket.take()), [true, true, false]);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!([(); 2].map(|()| bucket.take()), [true, false]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(
            [(); 3].map(|()| bucket.take()),
            [true, true, false],
            "no more than it holds"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_debt_is_paid_with_time() {
        let mut bucket = Bucket::new(1.0, 2.0);
        assert_eq!(bucket.owe(), None);
        assert_eq!(bucket.owe(), Some(Duration::from_millis(500)));
        assert_eq!(bucket.owe(), Some(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!bucket.take(), "the debt alone is paid");
    }
}
