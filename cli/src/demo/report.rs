//! What came of a demo: one object for programs, and a page for people.

use comfy_table::Table;
use serde::Serialize;

use crate::output::{counted, grouped, lines, percent, table};

/// Everything that was measured and counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The backend's scheme.
    pub backend: &'static str,
    /// The fleet's name.
    pub fleet: String,
    /// Nodes at the start.
    pub nodes: u16,
    /// Players.
    pub players: usize,
    /// Nodes that are processes of their own, the one that joins included; 0 when all are in one.
    pub processes: u16,
    /// The processes that were started: the nodes in their order, and the players.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pids: Vec<u32>,
    /// The heartbeat of the fleet.
    pub heartbeat_ms: u64,
    /// The lease of its nodes.
    pub lease_ms: u64,
    /// Logins in a second while everybody logged in.
    pub logins_per_s: f64,
    /// Acknowledged saves in a second while everybody played at a game's pace.
    pub saves_per_s: f64,
    /// Acknowledged saves in a second while nobody paused.
    pub saves_per_s_racing: f64,
    /// Half of the batches of `owner` lookups took less than this for one.
    pub owner_ns_p50: f64,
    /// Messages that guests sent to guests on other nodes.
    pub messages_sent: u64,
    /// Those that arrived.
    pub messages_delivered: u64,
    /// Those that did not.
    pub messages_lost: u64,
    /// Those that arrived twice, in another order, or from another node than the one they were sent on.
    pub messages_astray: u64,
    /// Half of them took at most this, from one client to the other.
    pub message_ms_p50: Option<f64>,
    /// Of 100 of them, 99 took at most this.
    pub message_ms_p99: Option<f64>,
    /// Guests who logged in on another node than the one that held them, and were taken over.
    pub displaced_logins: u64,
    /// First connections that were not told so within 10 s, or sessions that the second does not hold alone.
    pub displaced_left: u64,
    /// Half of the first connections were told at most this after the second login was answered.
    pub displaced_ms_p50: Option<f64>,
    /// The longest that one of them took.
    pub displaced_ms_max: Option<f64>,
    /// Why there were no guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers_skipped: Option<&'static str>,
    /// Nodes that were killed.
    pub killed: u16,
    /// From the kill until every other node had seen them leave.
    pub detect_ms: Option<u64>,
    /// From the kill until every player of theirs had a move acknowledged elsewhere.
    pub recovered_ms: Option<u64>,
    /// How many players that were.
    pub players_recovered: usize,
    /// Live sessions in the store before the kill.
    pub sessions_before: u64,
    /// Live sessions in the store at the end.
    pub sessions_after: u64,
    /// Players whose session was gone, doubled or another one.
    pub sessions_lost: u64,
    /// Moves that were acknowledged.
    pub saves_acknowledged: u64,
    /// Acknowledged moves that were gone afterwards.
    pub saves_lost: u64,
    /// Players whose owner changed although it lived.
    pub moved_needlessly: u64,
    /// Connections that a live node ended.
    pub kicked: u64,
    /// Connections that players dropped in order to come back.
    pub reconnects: u64,
    /// Logins that were told to go elsewhere.
    pub redirects: u64,
    /// Node by node.
    pub by_node: Vec<NodeReport>,
    /// Nothing was lost, nobody was moved or kicked needlessly, and everyone plays.
    pub ok: bool,
    /// Why the demo did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One node before the kill and at the end.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub node: String,
    /// Its process, where it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// It joined while everybody played.
    pub joined: bool,
    /// It was killed.
    pub killed: bool,
    /// Its part of the keys before the kill, 0 to 1.
    pub ring_before: f64,
    /// Its sessions before the kill.
    pub sessions_before: u64,
    /// Its part of the keys at the end, 0 to 1.
    pub ring_after: f64,
    /// Its sessions at the end.
    pub sessions_after: u64,
}

impl Report {
    /// What was lost, in words; `None` when nothing was.
    pub fn losses(&self) -> Option<String> {
        let counts = [
            (self.sessions_lost, "sessions lost"),
            (self.saves_lost, "acknowledged saves lost"),
            (self.moved_needlessly, "players moved needlessly"),
            (self.kicked, "connections ended by live nodes"),
            (self.messages_lost, "messages between nodes lost"),
            (
                self.messages_astray,
                "messages between nodes doubled or disordered",
            ),
            (
                self.displaced_left,
                "displaced logins that left a connection behind",
            ),
        ];
        let losses: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(count)))
            .collect();
        (!losses.is_empty()).then(|| losses.join(", "))
    }

    /// The page for people.
    pub fn page(&self) -> String {
        format!("{}\n\n{}", self.node_table(), self.fact_table())
    }

    fn node_table(&self) -> String {
        let mut table = table(&["NODE", ">RING", ">SESSIONS", ">RING AFTER", ">SESSIONS AFTER", ""]);
        for node in &self.by_node {
            let after = if node.killed {
                ["-".to_owned(), "-".to_owned()]
            } else {
                [percent(node.ring_after), grouped(node.sessions_after)]
            };
            let [ring_after, sessions_after] = after;
            let note = match (node.joined, node.killed) {
                (true, _) => "joined",
                (_, true) => "killed",
                _ => "",
            };
            table.add_row([
                node.node.clone(),
                percent(node.ring_before),
                grouped(node.sessions_before),
                ring_after,
                sessions_after,
                note.to_owned(),
            ]);
        }
        let (before, after) = (grouped(self.sessions_before), grouped(self.sessions_after));
        table.add_row(["all", "", &before, "", &after, ""]);
        lines(&table)
    }

    fn fact_table(&self) -> String {
        let millis = |value: Option<u64>| value.map_or("-".to_owned(), |ms| format!("{} ms", grouped(ms)));
        let rate = |value: f64| format!("{} /s", grouped(whole(value)));
        let mut facts = table(&["", ">"]);
        let noticed = format!("noticed, with a lease of {} ms, after", grouped(self.lease_ms));
        facts.add_row([noticed, millis(self.detect_ms)]);
        let again = format!(
            "{} of killed nodes in play again after",
            counted(self.players_recovered as u64, "player")
        );
        facts.add_row([again, millis(self.recovered_ms)]);
        facts.add_row(["logins".to_owned(), rate(self.logins_per_s)]);
        facts.add_row(["saves at a game's pace".to_owned(), rate(self.saves_per_s)]);
        facts.add_row(["saves without pauses".to_owned(), rate(self.saves_per_s_racing)]);
        facts.add_row([
            "owner(key), median".to_owned(),
            format!("{:.0} ns", self.owner_ns_p50),
        ]);
        self.add_peers(&mut facts);
        facts.add_row([
            "connections dropped by players, who came back".to_owned(),
            grouped(self.reconnects),
        ]);
        facts.add_row(["saves acknowledged".to_owned(), grouped(self.saves_acknowledged)]);
        facts.add_row(["saves lost".to_owned(), grouped(self.saves_lost)]);
        facts.add_row(["sessions lost".to_owned(), grouped(self.sessions_lost)]);
        facts.add_row([
            "players moved needlessly".to_owned(),
            grouped(self.moved_needlessly),
        ]);
        facts.add_row(["connections ended by live nodes".to_owned(), grouped(self.kicked)]);
        // Without the line of the empty headings.
        lines(&facts).trim_start_matches([' ', '\n']).to_owned()
    }

    fn add_peers(&self, facts: &mut Table) {
        if self.peers_skipped.is_some() {
            facts.add_row(["messages between nodes", "skipped"]);
            return;
        }
        let millis = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1} ms"));
        let (sent, delivered) = (grouped(self.messages_sent), grouped(self.messages_delivered));
        for (fact, value) in [
            ("messages between nodes: sent", sent),
            ("messages between nodes: delivered", delivered),
            ("messages between nodes: p50", millis(self.message_ms_p50)),
            ("messages between nodes: p99", millis(self.message_ms_p99)),
            ("logins displaced across nodes", grouped(self.displaced_logins)),
            ("the displaced told after: p50", millis(self.displaced_ms_p50)),
            ("the displaced told after: max", millis(self.displaced_ms_max)),
        ] {
            facts.add_row([fact, &value]);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small and not negative"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// How much a second: `count` in `seconds`, to one decimal.
#[expect(clippy::cast_precision_loss, reason = "a rate to a few digits is wanted")]
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    tenths(count as f64 / seconds.max(f64::EPSILON))
}

/// A number to one decimal, so that JSON stays readable.
pub(crate) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let node = |node: &str, joined, killed| NodeReport {
            node: node.to_owned(),
            joined,
            killed,
            ring_before: 0.5,
            sessions_before: 1_000,
            ..NodeReport::default()
        };
        Report {
            backend: "memory",
            killed: 1,
            detect_ms: Some(4_512),
            sessions_before: 2_000,
            saves_acknowledged: 34_567,
            by_node: vec![node("node-1", false, true), node("node-2", true, false)],
            ..Report::default()
        }
    }

    #[test]
    fn a_person_sees_it_at_a_glance() {
        let page = report().page();
        let has = |words: &[&str]| {
            page.lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
        };
        assert!(has(&["node-1", "50.0 %", "1,000", "killed"]), "{page}");
        assert!(has(&["node-2", "joined"]) && has(&["all", "2,000"]), "{page}");
        assert!(
            has(&["noticed, with a lease of", "4,512 ms"]) && has(&["saves acknowledged", "34,567"]),
            "{page}"
        );
        assert!(
            !page.contains("\n\n\n") && page.lines().all(|line| line == line.trim_end()),
            "{page}"
        );
    }

    #[test]
    fn losses_are_named() {
        assert_eq!(report().losses(), None);
        let lossy = Report {
            saves_lost: 3,
            kicked: 1,
            ..report()
        };
        assert_eq!(
            lossy.losses().unwrap(),
            "3 acknowledged saves lost, 1 connections ended by live nodes"
        );
    }

    #[test]
    fn programs_get_every_key() {
        let object = serde_json::to_value(report()).unwrap();
        for key in [
            "backend",
            "nodes",
            "players",
            "processes",
            "logins_per_s",
            "saves_per_s",
            "owner_ns_p50",
            "killed",
            "detect_ms",
            "recovered_ms",
            "sessions_before",
            "sessions_after",
            "sessions_lost",
            "saves_acknowledged",
            "saves_lost",
            "moved_needlessly",
            "ok",
        ] {
            assert!(object.get(key).is_some(), "{key}");
        }
        assert!(object.get("error").is_none());
    }
}
