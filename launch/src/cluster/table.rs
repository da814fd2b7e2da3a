//! `nodes.conf` and `CLUSTER NODES`, which have one form.

use std::fmt::Write as _;
use std::net::IpAddr;

/// All slots.
pub(super) const SLOTS: u16 = 16_384;

/// Who a node is, as all nodes know from the start.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    /// The port for TLS, by which the nodes know it where it has one.
    pub(crate) tls_port: Option<u16>,
    /// Where others reach its cluster bus.
    pub(crate) bus: u16,
}

/// The `nodes.conf` of node `myself`: the first `masters` nodes share the slots evenly, the others
/// are their replicas in turn. Everybody agrees from the start, so there is nothing to negotiate.
pub(crate) fn nodes_conf(nodes: &[Identity], masters: usize, myself: usize) -> String {
    let mut text = String::new();
    for (index, node) in nodes.iter().enumerate() {
        let Identity { id, ip, bus, .. } = node;
        let port = node.tls_port.unwrap_or(node.port);
        let me = if index == myself { "myself," } else { "" };
        let master = index % masters;
        let epoch = master + 1;
        // Writing to a string cannot fail.
        let _ = if index < masters {
            let (first, last) = share(index, masters);
            writeln!(
                text,
                "{id} {ip}:{port}@{bus} {me}master - 0 0 {epoch} connected {first}-{last}"
            )
        } else {
            let of = &nodes[master].id;
            writeln!(
                text,
                "{id} {ip}:{port}@{bus} {me}slave {of} 0 0 {epoch} connected"
            )
        };
    }
    let _ = writeln!(text, "vars currentEpoch {masters} lastVoteEpoch 0");
    text
}

/// The first and the last slot of a master at the start.
fn share(index: usize, masters: usize) -> (usize, usize) {
    let all = usize::from(SLOTS);
    (index * all / masters, (index + 1) * all / masters - 1)
}

/// One line of `CLUSTER NODES`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a line has independent flags")]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) myself: bool,
    pub(crate) master: bool,
    /// Failed by agreement.
    pub(crate) failed: bool,
    /// Whether the node that answers has a connection to it.
    pub(crate) connected: bool,
    /// The host name that it announces, as far as the node that answers knows it.
    pub(crate) host_name: Option<String>,
    /// The id of its master.
    pub(crate) replica_of: Option<String>,
    /// First and last slots of its ranges.
    pub(crate) slots: Vec<(u16, u16)>,
}

impl Row {
    /// How many slots it owns.
    pub(crate) fn count(&self) -> u16 {
        let each = |(first, last): &(u16, u16)| last.saturating_sub(*first).saturating_add(1);
        self.slots.iter().map(each).fold(0, u16::saturating_add)
    }

    pub(super) fn owns(&self, slot: u16) -> bool {
        self.slots
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

/// Reads `CLUSTER NODES`. Lines of another form are left out.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, address, flags, master, _, _, _, state, slots @ ..] = words.as_slice() else {
        return None;
    };
    let has = |flag| flags.split(',').any(|word| word == flag);
    let range = |word: &&str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    Some(Row {
        id: (*id).to_owned(),
        myself: has("myself"),
        master: has("master"),
        failed: has("fail"),
        connected: *state == "connected",
        // `IP:PORT@BUS`, then a comma and the host name, then more commas and pairs of another kind.
        host_name: address
            .split(',')
            .nth(1)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        replica_of: (*master != "-").then(|| (*master).to_owned()),
        // `[slot->-id]` is a slot on its way, not a range.
        slots: slots
            .iter()
            .filter(|word| !word.starts_with('['))
            .filter_map(range)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u16) -> Vec<Identity> {
        (0..count)
            .map(|index| Identity {
                id: format!("{index:040}"),
                ip: [127, 0, 0, 1].into(),
                port: 7_000 + index,
                tls_port: None,
                bus: 17_000 + index,
            })
            .collect()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for masters in [1, 3, 7] {
            let all = nodes(u16::try_from(2 * masters).unwrap());
            let read = rows(&nodes_conf(&all, masters, 1));
            assert_eq!(read.len(), all.len());
            for slot in 0..SLOTS {
                assert_eq!(
                    read.iter().filter(|row| row.owns(slot)).count(),
                    1,
                    "{slot} of {masters}"
                );
            }
            assert!(read[1].myself && !read[0].myself);
            assert!(read[masters - 1].master && !read[masters].master);
            assert_eq!(read[masters].replica_of.as_ref(), Some(&all[0].id));
        }
    }

    #[test]
    fn connection_and_announced_name_are_read() {
        let line = |address: &str| format!("ab {address} slave cd 0 0 3 connected\n");
        for (address, name) in [
            ("127.0.0.1:1@2", None),
            ("127.0.0.1:1@2,", None),
            ("127.0.0.1:1@2,localhost", Some("localhost")),
            ("127.0.0.1:1@2,localhost,shard-id=ef", Some("localhost")),
            ("127.0.0.1:1@2,,shard-id=ef", None),
        ] {
            let read = rows(&line(address));
            assert!(read[0].connected);
            assert_eq!(read[0].host_name.as_deref(), name, "{address}");
        }
    }

    #[test]
    fn slots_on_their_way_and_single_ones_are_told_apart() {
        let line = "ab 127.0.0.1:1@2 myself,master,fail? - 0 0 3 connected 5 7-9 [93->-cd]\n";
        let read = rows(line);
        assert_eq!(
            (read[0].slots.as_slice(), read[0].count()),
            (&[(5, 5), (7, 9)][..], 4)
        );
        assert!(!read[0].failed && read[0].replica_of.is_none());
        assert_eq!(rows("\nvars currentEpoch 3 lastVoteEpoch 0\nshort line"), []);
    }
}
