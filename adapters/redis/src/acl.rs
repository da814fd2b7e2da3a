//! The rights that a user of the servers needs.

/// The text of [`LEAST_ACL`], for `concat!`.
macro_rules! least_acl {
    () => {
        "~ringhold:* resetchannels -@all +@hash +@list +@sortedset +get +set +eval +evalsha +script|load +time +ping \
         +info +wait +asking +cluster|nodes +cluster|slots +cluster|info +cluster|myid"
    };
}

pub(crate) use least_acl;

/// The least rights of a user in whose name Ringhold connects, in the words of `ACL SETUSER`; the same for both
/// client libraries, for one server and for a cluster, while slots move too.
///
/// ```text
/// ACL SETUSER ringhold on >PASSWORD
#[doc = least_acl!()]
/// ```
///
/// Data commands are granted by category, since they reach the fleet's own keys alone and a later version may need
/// others of them. Optional:
/// - `+config|get`: `open` then warns of settings that lose sessions, and attempts on a slow cluster may take up to three
///   quarters of cluster-node-timeout;
/// - `+client|id`: fred asks for it and does without.
pub const LEAST_ACL: &str = least_acl!();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_has_the_same_rights() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(include_str!("../../../README.md")).contains(LEAST_ACL));
        assert_eq!(words(LEAST_ACL), LEAST_ACL);
    }
}
