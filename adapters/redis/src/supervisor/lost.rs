//! Reports on the lost keys of partitions.

use ringhold_core::Partition;

use super::Address;

/// Logs what the script that rebuilt a partition's keys says of them: which were lost, and how many sessions there are
/// or were. Exactly one script rebuilds a key, so there is one line for each loss.
pub(super) fn report(partition: Partition, server: &Address, detail: &str) {
    let Some((keys, sessions)) = read(detail) else {
        return;
    };
    let partition = partition.get();
    if keys.contains('s') {
        tracing::error!(
            partition, %server, keys, sessions,
            "the server lost the sessions of a partition; the nodes that hold some restore them"
        );
    } else {
        tracing::error!(
            partition, %server, keys, sessions,
            "the server lost an index or the clock of a partition, which is rebuilt from its sessions"
        );
    }
}

/// The names of the keys, and the number of sessions; the server adds where its script ended. `None` where another
/// script has rebuilt them.
fn read(detail: &str) -> Option<(&str, u64)> {
    let mut words = detail.split(' ');
    let keys = words.next()?;
    let is_key = |name: char| matches!(name, 's' | 'c' | 'p' | 'd');
    let sessions = words.next()?.parse().ok()?;
    (!keys.is_empty() && keys.chars().all(is_key)).then_some((keys, sessions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_is_read_only_in_the_form_of_the_scripts() {
        assert_eq!(read("pd 10000"), Some(("pd", 10_000)));
        let line = "s 7 script: 1f9c, on @user_script:212.";
        assert_eq!(read(line), Some(("s", 7)));
        for foreign in [
            "",
            "p",
            "p x",
            "p -1",
            "\u{1b}[2J 1",
            " 1",
            "script: 1f9c, on @user_script:2.",
        ] {
            assert_eq!(read(foreign), None, "{foreign:?}");
        }
    }
}
