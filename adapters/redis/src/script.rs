//! The scripts that are the operations of this adapter: one each, atomic on one slot.

use std::sync::OnceLock;

use crate::client::{Command, Words};

/// What the server has to know of a script before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It writes nothing.
    Read,
    /// It may take memory: a server that is out of it refuses the script before its first line.
    Write,
    /// It frees memory, or takes little that a fleet cannot do without, so it also runs when there is none left.
    Tidy,
}

/// A script: a file behind the functions that it shares with others of its kind.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) kind: Kind,
    /// It answers whole sessions, which may be large.
    pub(crate) answers_records: bool,
    /// Another form of the same operation, for a server that refused this one because it is out of memory.
    pub(crate) at_limit: Option<&'static Script>,
    shared: &'static str,
    body: &'static str,
    built: OnceLock<Built>,
}

#[derive(Debug)]
struct Built {
    source: String,
    hash: Vec<u8>,
}

/// What most calls take, so that their command is written in one piece.
const WORDS: usize = 12;
const BYTES: usize = 512;

impl Script {
    const fn new(kind: Kind, shared: &'static str, body: &'static str) -> Self {
        Self {
            kind,
            answers_records: false,
            at_limit: None,
            shared,
            body,
            built: OnceLock::new(),
        }
    }

    const fn with_records(mut self) -> Self {
        self.answers_records = true;
        self
    }

    const fn or_at_limit(mut self, other: &'static Self) -> Self {
        self.at_limit = Some(other);
        self
    }

    fn built(&self) -> &Built {
        self.built.get_or_init(|| {
            let flags = match self.kind {
                Kind::Read => "no-writes",
                Kind::Write => "",
                Kind::Tidy => "allow-oom",
            };
            let source = format!("#!lua flags={flags}\n{}{}", self.shared, self.body);
            let hash = sha1_smol::Sha1::from(&source).digest().to_string();
            Built {
                source,
                hash: hash.into(),
            }
        })
    }

    /// What the server runs.
    pub(crate) fn source(&self) -> &[u8] {
        self.built().source.as_bytes()
    }

    /// The name under which the server keeps it: SHA-1 of the source, in hexadecimal.
    pub(crate) fn hash(&self) -> &[u8] {
        &self.built().hash
    }

    /// The beginning of a command that runs it by its name; `keys` keys come next.
    pub(crate) fn begin(&self, keys: u64) -> Words {
        let mut words = Words::with_room(WORDS, BYTES);
        words.word(b"EVALSHA").word(self.hash()).decimal(keys);
        words
    }

    /// A command that another script began, with the name of this one.
    pub(crate) fn named(&self, command: &Command) -> Command {
        command.with_first(&[b"EVALSHA", self.hash()])
    }

    /// A command that was begun so, with the whole script instead of its name.
    pub(crate) fn whole(&self, command: &Command) -> Command {
        command.with_first(&[b"EVAL", self.source()])
    }
}

/// A script changes nothing where a key is lost: its keys may be on two servers while its slot moves, which only a look
/// at all masters can tell. `MEND` comes after that.
macro_rules! sessions {
    ($($more:expr),*) => {
        concat!(
            include_str!("scripts/sessions.lua"),
            "if lost ~= '' then error({ err = 'RINGHOLD_LOST ' .. lost }) end\n"
            $(, $more)*
        )
    };
}
const SESSIONS: &str = sessions!();
/// For a script that must not take more memory than it frees.
const SESSIONS_AT_LIMIT: &str = sessions!("local AT_LIMIT = true\n");
const SESSIONS_REPAIR: &str = sessions!(include_str!("scripts/entries.lua"));
const SESSIONS_AS_THEY_ARE: &str = include_str!("scripts/sessions.lua");
/// For a check, which leaves a lost key to a repair.
const SESSIONS_CHECK: &str = concat!(
    include_str!("scripts/sessions.lua"),
    "if lost ~= '' then return { 'lost' } end\n",
    include_str!("scripts/entries.lua")
);
const SESSIONS_MEND: &str = concat!(
    include_str!("scripts/sessions.lua"),
    include_str!("scripts/entries.lua"),
    include_str!("scripts/rebuild.lua")
);
const MEMBERSHIP: &str = include_str!("scripts/membership.lua");

macro_rules! scripts {
    ($($(#[$docs:meta])* $name:ident = $file:literal, $kind:ident, $shared:expr $(, $with:ident $(($other:ident))?)*;)+) => {
        $($(#[$docs])* pub(crate) static $name: Script =
            Script::new(Kind::$kind, $shared, include_str!(concat!("scripts/", $file, ".lua")))$(.$with($(&$other)?))*;)+

        /// All of them.
        #[cfg(test)]
        pub(crate) static ALL: &[&Script] = &[$(&$name),+];
    };
}

scripts! {
    CREATE = "create", Write, SESSIONS, with_records, or_at_limit(CREATE_AT_LIMIT);
    /// It returns what exists, and makes no session and takes none over.
    CREATE_AT_LIMIT = "create", Tidy, SESSIONS_AT_LIMIT, with_records;
    GET = "get", Read, SESSIONS, with_records;
    FIND = "find", Read, SESSIONS, with_records;
    SAVE = "save", Write, SESSIONS, or_at_limit(SAVE_AT_LIMIT);
    /// It refuses data that is longer than what it replaces.
    SAVE_AT_LIMIT = "save", Tidy, SESSIONS_AT_LIMIT;
    TOUCH = "touch", Tidy, SESSIONS;
    CLAIM = "claim", Tidy, SESSIONS, with_records;
    REMOVE = "remove", Tidy, SESSIONS;
    RESTORE = "restore", Write, SESSIONS, with_records;
    LIST = "list", Read, SESSIONS, with_records;
    /// It leaves a lost key as it is.
    LIST_CHECK = "list", Read, SESSIONS_CHECK, with_records;
    COUNT = "count", Read, SESSIONS;
    TAKE = "take", Tidy, SESSIONS, with_records;
    ACK = "ack", Tidy, SESSIONS;
    REPAIR = "repair", Tidy, SESSIONS_REPAIR, with_records;
    /// It finds what `REPAIR` repairs, and changes nothing.
    CHECK = "repair", Read, SESSIONS_CHECK, with_records;
    LOST = "lost", Read, SESSIONS_AS_THEY_ARE;
    /// It brings back lost keys of a partition.
    MEND = "mend", Tidy, SESSIONS_MEND;
    REGISTER = "register", Tidy, MEMBERSHIP;
    RENEW = "renew", Tidy, MEMBERSHIP;
    LEAVE = "leave", Tidy, MEMBERSHIP;
    EVICT = "evict", Tidy, MEMBERSHIP;
    MEMBERS = "members", Tidy, MEMBERSHIP;
    POLL = "poll", Tidy, MEMBERSHIP;
    TIMING = "timing", Read, MEMBERSHIP;
    SCHEMA = "schema", Tidy, "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_says_what_it_needs() {
        let hashes: std::collections::BTreeSet<_> = ALL.iter().map(|script| script.hash()).collect();
        assert_eq!(hashes.len(), ALL.len());
        for script in ALL {
            assert!(script.source().starts_with(b"#!lua flags="), "{script:?}");
            assert_eq!(script.hash().len(), 40);
        }
    }
}
