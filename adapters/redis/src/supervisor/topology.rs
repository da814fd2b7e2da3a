//! Which server has which partition, as the servers tell it.

use std::collections::HashMap;
use std::fmt;

use ringhold_core::Partition;

use crate::schema;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Reads `host:port`, also with an IPv6 address in brackets or without; an empty host is `asked`'s.
    pub(crate) fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() || host == "?" {
            &asked.host
        } else {
            host
        };
        // It stands in errors and logs, and is looked up.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        (host.len() <= 255 && host.bytes().all(known)).then_some(())?;
        Some(Self::new(host, port.parse().ok().filter(|port| *port > 0)?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What one or more servers say of the cluster.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ClusterView {
    /// By partition: the master, and the epoch under which it says so.
    owners: HashMap<u16, (Address, u64)>,
    /// Replicas by master that are connected and not failing, as the answer that knew most of them says.
    replicas: HashMap<Address, u8>,
    /// Everybody who can be asked.
    known: Vec<Address>,
    /// All masters, also those without slots and those that fail.
    masters: Vec<Address>,
    /// Partitions whose slots the server that answered imports or migrates.
    moving: Vec<u16>,
}

impl ClusterView {
    /// Reads an answer to `CLUSTER NODES` that `asked` gave. Lines that are not understood are left
    /// out: they are of another version, or of something else. With `by_name`, a server that announces a
    /// host name is known by it and not by its IP address.
    pub(crate) fn parse(text: &str, asked: &Address, by_name: bool) -> Self {
        let mut view = Self::default();
        let mut masters: HashMap<&str, Address> = HashMap::new();
        let mut following: Vec<&str> = Vec::new();
        let mut ranges = 0;
        for line in text.lines().take(LINES_MAX) {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            let (id, address, flags, master) = (word(), word(), word(), word());
            let (_ping, _pong, epoch, link) = (word(), word(), word(), word());
            let mut parts = address.split(',');
            let address = parts.next().unwrap_or_default();
            let address = address.split('@').next().unwrap_or_default();
            let Some(mut address) = Address::parse(address, asked) else {
                continue;
            };
            let name = parts.next().filter(|name| by_name && !name.is_empty());
            let named = name.and_then(|name| Address::parse(&format!("{name}:{}", address.port), asked));
            // What is behind the next comma has the form `key=value`, which is no host.
            address = named.unwrap_or(address);
            let has = |flag| flags.split(',').any(|has| has == flag);
            if has("noaddr") || has("handshake") {
                continue;
            }
            view.known.push(address.clone());
            if has("slave") {
                if !has("fail") && !has("fail?") && link == "connected" {
                    following.push(master);
                }
                continue;
            }
            let epoch = epoch.parse().unwrap_or(0);
            for range in words {
                ranges += 1;
                if ranges > RANGES_MAX {
                    break;
                }
                if has("myself") {
                    view.moving.extend(moving(range));
                }
                for partition in partitions(range) {
                    view.owners.insert(partition, (address.clone(), epoch));
                }
            }
            view.masters.push(address.clone());
            masters.insert(id, address);
        }
        for master in following {
            if let Some(address) = masters.get(master) {
                let count = view.replicas.entry(address.clone()).or_insert(0_u8);
                *count = count.saturating_add(1);
            }
        }
        view
    }

    /// One server has everything.
    pub(crate) fn of_one(address: &Address, all: impl Iterator<Item = Partition>, replicas: u8) -> Self {
        Self {
            owners: all
                .map(|partition| (partition.get(), (address.clone(), 0)))
                .collect(),
            replicas: HashMap::from([(address.clone(), replicas)]),
            known: vec![address.clone()],
            masters: vec![address.clone()],
            moving: Vec::new(),
        }
    }

    /// Takes another server's answer in. For each slot the greater epoch counts, so that a minority
    /// that was cut off does not talk anybody back to its masters.
    pub(crate) fn merge(&mut self, other: Self) {
        for (partition, (address, epoch)) in other.owners {
            match self.owners.get(&partition) {
                Some((_, known)) if *known >= epoch => {}
                _ => {
                    self.owners.insert(partition, (address, epoch));
                }
            }
        }
        for (master, count) in other.replicas {
            let known = self.replicas.entry(master).or_insert(0);
            *known = count.max(*known);
        }
        for address in other.known {
            if !self.known.contains(&address) {
                self.known.push(address);
            }
        }
    }

    /// Who has a partition, and since which epoch.
    pub(crate) fn owner(&self, partition: Partition) -> Option<(&Address, u64)> {
        let (address, epoch) = self.owners.get(&partition.get())?;
        Some((address, *epoch))
    }

    /// How many replicas of a master are online.
    pub(crate) fn replicas(&self, master: &Address) -> u8 {
        self.replicas.get(master).copied().unwrap_or(0)
    }

    /// All masters in this one answer, also those without slots and those that fail.
    pub(crate) fn masters(&self) -> &[Address] {
        &self.masters
    }

    /// Whether the server that gave this one answer imports or migrates the slot of a partition.
    pub(crate) fn moves(&self, partition: Partition) -> bool {
        self.moving.contains(&partition.get())
    }

    /// Everybody who can be asked.
    pub(crate) fn known(&self) -> &[Address] {
        &self.known
    }
}

/// A cluster has at most 1,000 masters; more lines than this are something else.
const LINES_MAX: usize = 4_096;

/// There are no more slots than this, so no more ranges of them and marks of migrations.
const RANGES_MAX: usize = 2 * 16_384;

/// The partitions in a range such as `0-5460` or `7`; none in the mark of a slot that migrates.
fn partitions(range: &str) -> Vec<u16> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return Vec::new();
    };
    let slots = first..=last.min(16_383);
    slots
        .filter_map(schema::partition_of_slot)
        .map(Partition::get)
        .collect()
}

/// The partition in the mark of a slot that migrates (`[93->-id]`) or is imported (`[93-<-id]`).
fn moving(mark: &str) -> Option<u16> {
    let (slot, _) = mark.strip_prefix('[')?.split_once('-')?;
    let partition = schema::partition_of_slot(slot.parse().ok()?)?;
    Some(partition.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
05 127.0.0.1:7005@17005 slave 02 0 1800000000000 2 connected
02 127.0.0.1:7002@17002,host2 master - 0 1800000000000 2 connected 5461-10922
01 :7001@17001 myself,master - 0 1800000000000 1 connected 0-5459 5460 [93-<-02]
03 127.0.0.1:7003@17003 master,fail - 0 1800000000000 3 disconnected 10923-16383
06 127.0.0.1:7006@17006 slave,fail? 03 0 1800000009000 3 connected
07 :0@0 slave,noaddr 03 0 1800000009000 3 disconnected
04 127.0.0.1:7004@17004 slave 01 0 1800000000000 1 connected
nonsense
";

    fn partition(number: u16) -> Partition {
        Partition::new(number).unwrap()
    }

    #[test]
    fn an_answer_is_read() {
        let asked = Address::new("10.0.0.1", 7001);
        let view = ClusterView::parse(NODES, &asked, false);
        assert_eq!(
            view.owner(partition(0)),
            Some((&asked, 1)),
            "an empty host is the one that was asked"
        );
        assert_eq!(
            view.owner(partition(400)).unwrap().0.to_string(),
            "127.0.0.1:7002"
        );
        assert_eq!(
            view.owner(partition(1_023)).unwrap().0.port,
            7003,
            "failed, and not replaced yet"
        );
        assert_eq!(view.replicas(&asked), 1);
        assert_eq!(
            view.replicas(view.owner(partition(1_023)).unwrap().0),
            0,
            "its replica is failing"
        );
        assert_eq!(view.known().len(), 6);
    }

    #[test]
    fn slot_moves_only_in_the_line_of_the_server_that_answers() {
        let asked = Address::new("10.0.0.1", 7001);
        for (mark, moving) in [
            ("[8-<-02]", vec![0]),
            ("[8->-02] [24-<-02]", vec![0, 1]),
            ("[9-<-02] [8] [99999-<-02] [-<-02] 40", vec![]),
        ] {
            let text = format!(
                "01 :7001@17001 myself,master - 0 0 1 connected 0-5459 {mark}\n\
                 02 127.0.0.1:7002@17002 master,fail - 0 0 2 disconnected [40->-01]\n\
                 03 127.0.0.1:7003@17003 slave 01 0 0 1 connected\n"
            );
            let view = ClusterView::parse(&text, &asked, false);
            let found = Partition::all().filter(|partition| view.moves(*partition));
            assert_eq!(found.map(Partition::get).collect::<Vec<_>>(), moving, "{mark}");
            let ports: Vec<u16> = view.masters().iter().map(|master| master.port).collect();
            assert_eq!(
                ports,
                [7001, 7002],
                "a master without slots, and one that fails, too"
            );
        }
    }

    #[test]
    fn servers_that_announce_a_name_can_be_known_by_it() {
        let asked = Address::new("seed", 7001);
        let text = "\
01 10.0.0.1:7001@17001,one.example,shard-id=a myself,master - 0 0 1 connected 0-8191
02 10.0.0.2:7002@17002,,shard-id=b master - 0 0 2 connected 8192-16383
03 10.0.0.3:7003@17003,shard-id=c slave 01 0 0 1 connected
";
        let view = ClusterView::parse(text, &asked, true);
        let (one, _) = view.owner(partition(0)).unwrap();
        assert_eq!(
            (one.to_string().as_str(), view.replicas(one)),
            ("one.example:7001", 1)
        );
        assert_eq!(
            view.owner(partition(1_023)).unwrap().0.to_string(),
            "10.0.0.2:7002"
        );
        assert_eq!(view.known()[2].to_string(), "10.0.0.3:7003");
        let view = ClusterView::parse(text, &asked, false);
        assert_eq!(view.owner(partition(0)).unwrap().0.to_string(), "10.0.0.1:7001");
    }

    #[test]
    fn the_greater_epoch_counts() {
        let asked = Address::new("127.0.0.1", 7001);
        let after = NODES.replace(
            "06 127.0.0.1:7006@17006 slave,fail? 03 0 1800000009000 3 connected",
            "06 127.0.0.1:7006@17006 master - 0 0 7 connected 10923-16383",
        );
        let after = after.replace("3 disconnected 10923-16383", "3 disconnected");
        for (first, second) in [(NODES, &after[..]), (&after[..], NODES)] {
            let mut view = ClusterView::parse(first, &asked, false);
            view.merge(ClusterView::parse(second, &asked, false));
            assert_eq!(view.owner(partition(1_023)).unwrap().0.port, 7006);
        }
    }

    #[test]
    fn hostile_lines_do_nothing() {
        let asked = Address::new("127.0.0.1", 7001);
        for text in [
            "",
            "a b c",
            "1 h:99999 master - 0 0 1 c 0-1",
            "1 h:1 master - 0 0 1 c 9-99999999 -1 5-3",
            "1 h\u{1b}[2J:1 master - 0 0 1 c 0-16383",
            "1 h\r:1 master - 0 0 1 c 0-16383",
        ] {
            let view = ClusterView::parse(text, &asked, false);
            assert!(
                Partition::all().all(|partition| view.owner(partition).is_none()),
                "{text}"
            );
        }
        assert_eq!(
            Address::parse("::1:7000", &asked).unwrap().to_string(),
            "[::1]:7000"
        );
        assert_eq!(Address::parse("7000", &asked), None);
        let crowd: Vec<String> = (0..100_000)
            .map(|n| format!("{n} h{n}:1 master - 0 0 1 c"))
            .collect();
        assert!(ClusterView::parse(&crowd.join("\n"), &asked, false).known().len() <= LINES_MAX);
    }
}
