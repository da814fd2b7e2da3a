//! Guests come, talk across nodes, are taken over across nodes, and go.

use std::time::Duration;

use super::Script;
use crate::demo::guests::{Guests, Host, Taken, Talked};
use crate::demo::report::tenths;
use crate::exit::Failure;
use crate::output::{counted, grouped};
use crate::peer::{self, NO_WAY};
use crate::random;

impl Script<'_> {
    /// Has guests talk, and log in a second time, while everybody plays.
    pub(super) async fn talk(&mut self) -> Result<(), Failure> {
        let skipped = if !peer::is_between_nodes(self.backend) {
            Some(NO_WAY)
        } else if self.nodes.len() < 2 {
            Some("one node alone has nobody to talk to")
        } else {
            None
        };
        if let Some(why) = skipped {
            self.report.peers_skipped = Some(why);
            self.progress.done(format!("no messages between nodes: {why}"));
            return Ok(());
        }
        self.progress.begin("guests talk across nodes", None);
        let hosts = self.nodes.iter().map(|node| Host {
            name: node.name.clone(),
            address: node.address.clone(),
        });
        let tag = format!("guest-{:08x}-", u32::from_le_bytes(random::bytes()?));
        let mut guests = Guests::arrive(hosts.collect(), &tag).await?;
        let talked = guests.talk(&tag).await?;
        self.note_talk(talked);
        let taken = guests.be_taken(self.backend).await?;
        self.note_taken(taken);
        guests.quit().await?;
        // What the nodes themselves have to say, if one fell meanwhile.
        self.look().await.map(drop)
    }

    fn note_talk(&mut self, mut talked: Talked) {
        let report = &mut self.report;
        report.messages_sent = talked.sent;
        report.messages_delivered = talked.delivered;
        report.messages_lost = talked.sent - talked.delivered;
        report.messages_astray = talked.astray;
        report.message_ms_p50 = quantile_ms(&mut talked.times, 50);
        report.message_ms_p99 = quantile_ms(&mut talked.times, 99);
        self.progress.done(format!(
            "{} between guests on different nodes, {} arrived: {} in the middle, 99 % within {}",
            counted(talked.sent, "message"),
            grouped(talked.delivered),
            shown_ms(report.message_ms_p50),
            shown_ms(report.message_ms_p99)
        ));
        self.warn(talked.trouble.as_deref());
    }

    fn note_taken(&mut self, mut taken: Taken) {
        let report = &mut self.report;
        report.displaced_logins = taken.logins;
        report.displaced_left = taken.left;
        report.displaced_ms_p50 = quantile_ms(&mut taken.times, 50);
        report.displaced_ms_max = quantile_ms(&mut taken.times, 100);
        self.progress.done(format!(
            "{} taken over on another node: the first connection ended after {} in the middle, {} at most",
            counted(taken.logins, "guest"),
            shown_ms(report.displaced_ms_p50),
            shown_ms(report.displaced_ms_max)
        ));
        self.warn(taken.trouble.as_deref());
    }

    fn warn(&self, trouble: Option<&str>) {
        if let Some(trouble) = trouble {
            self.progress.done(format!("the last trouble was: {trouble}"));
        }
    }
}

/// The time that so many per cent took at most, in milliseconds; `None` where nothing was measured.
fn quantile_ms(times: &mut [Duration], percent: usize) -> Option<f64> {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100);
    let time = times.get(rank.checked_sub(1)?)?;
    Some(tenths(time.as_secs_f64() * 1_000.0))
}

fn shown_ms(time: Option<f64>) -> String {
    time.map_or("-".to_owned(), |time| format!("{time:.1} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        for (percent, time) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert_eq!(quantile_ms(&mut times, percent), Some(time));
        }
        assert_eq!(quantile_ms(&mut [Duration::from_micros(260)], 50), Some(0.3));
        assert_eq!(quantile_ms(&mut [], 99), None);
    }
}
