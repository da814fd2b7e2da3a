//! Ids, owners, players and records from a seed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ringhold_core::session::{CreateSession, OnExisting, SaveSession, TakeExpired};
use ringhold_core::{
    FleetName, Incarnation, NodeId, NodeIncarnation, NodeRecord, Nonce, OperationId, Partition, PlayerId,
    SessionId, SessionRecord, Ttl,
};

/// Makes what a test needs, the same on every run.
///
/// Each value is new: nothing comes twice from one maker, and makers of different names make
/// different things. `RINGHOLD_SEED` (a number) gives other values to all of them. Where a test
/// panics, the seed is printed.
///
/// ```
/// use ringhold_testkit::Make;
///
/// let (make, again) = (Make::new("login"), Make::new("login"));
/// assert_eq!(make.player(), again.player());
/// assert_ne!(make.player(), make.player());
/// ```
pub struct Make {
    name: &'static str,
    seed: u64,
    state: AtomicU64,
    count: AtomicU64,
    /// The partitions that a player was made in.
    taken: Mutex<BTreeSet<Partition>>,
}

impl Make {
    /// The maker of the test `name`.
    ///
    /// # Panics
    /// When `RINGHOLD_SEED` is set to something else than a number.
    pub fn new(name: &'static str) -> Self {
        let salt = match std::env::var("RINGHOLD_SEED") {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("RINGHOLD_SEED is {text:?}, not a number")),
            Err(_) => 0,
        };
        Self::with_seed(name, seed_of(name) ^ salt)
    }

    /// The maker of the test `name` with this seed.
    pub fn with_seed(name: &'static str, seed: u64) -> Self {
        Self {
            name,
            seed,
            state: AtomicU64::new(seed),
            count: AtomicU64::new(0),
            taken: Mutex::default(),
        }
    }

    /// 64 bits: the next output of `SplitMix64`.
    pub fn bits(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&self, bound: usize) -> usize {
        // The remainder is below a `usize`.
        usize::try_from(self.bits() % (bound.max(1) as u64)).unwrap_or_default()
    }

    /// 128 bits.
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.bits().to_le_bytes());
        bytes[8..].copy_from_slice(&self.bits().to_le_bytes());
        bytes
    }

    /// A nonce.
    pub fn nonce(&self) -> Nonce {
        Nonce::from_bytes(self.bytes())
    }

    /// The name of a write.
    pub fn operation(&self) -> OperationId {
        OperationId::from_bytes(self.bytes())
    }

    /// A fleet.
    pub fn fleet(&self) -> FleetName {
        let name = format!("fleet-{}-{:08x}", self.counted(), self.bits() >> 32);
        FleetName::new(name).expect("a word")
    }

    /// A player, in a partition of its own while there are any left: what one test does to the time
    /// or the expired sessions of a partition touches nobody else by chance.
    pub fn player(&self) -> PlayerId {
        loop {
            let player = self.any_player();
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.len() == usize::from(Partition::COUNT) {
                taken.clear();
            }
            if taken.insert(player.partition()) {
                return player;
            }
        }
    }

    /// A player in `partition`.
    pub fn player_in(&self, partition: Partition) -> PlayerId {
        // One of 1,024 is right.
        loop {
            let player = self.any_player();
            if player.partition() == partition {
                return player;
            }
        }
    }

    /// A player in another partition than `partition`.
    pub fn player_outside(&self, partition: Partition) -> PlayerId {
        loop {
            let player = self.player();
            if player.partition() != partition {
                return player;
            }
        }
    }

    /// The id of a session of `player`.
    pub fn session_id(&self, player: &PlayerId) -> SessionId {
        SessionId::new(player.partition(), self.bytes())
    }

    /// The first run of a node.
    pub fn owner(&self) -> NodeIncarnation {
        NodeIncarnation::new(
            self.node_id(),
            Incarnation {
                number: 1,
                nonce: self.nonce(),
            },
        )
    }

    /// The name of a node.
    pub fn node_id(&self) -> NodeId {
        NodeId::new(format!("node-{}-{:08x}", self.counted(), self.bits() >> 32)).expect("a word")
    }

    /// The record of a node that never registered: incarnation 0 and a nonce.
    pub fn node(&self) -> NodeRecord {
        self.run_of(self.node_id())
    }

    /// The record of a new run of the node `id`, which knows of no earlier one.
    pub fn run_of(&self, id: NodeId) -> NodeRecord {
        NodeRecord::new(
            id,
            Incarnation {
                number: 0,
                nonce: self.nonce(),
            },
        )
    }

    /// A login of `player` by `owner` that takes over only its own.
    pub fn login(&self, player: &PlayerId, owner: &NodeIncarnation, ttl: Ttl) -> CreateSession {
        CreateSession::new(
            self.session_id(player),
            player.clone(),
            owner.clone(),
            self.nonce(),
            ttl,
        )
    }

    /// The same with another rule for live sessions.
    pub fn login_with(
        &self,
        player: &PlayerId,
        owner: &NodeIncarnation,
        ttl: Ttl,
        on_existing: OnExisting,
    ) -> CreateSession {
        self.login(player, owner, ttl).with_on_existing(on_existing)
    }

    /// A write of `data` over `session` as it stands.
    pub fn save(&self, session: &SessionRecord, data: &'static [u8]) -> SaveSession {
        SaveSession::new(
            session.id,
            session.fence,
            session.version,
            session.ttl,
            data,
            self.operation(),
        )
    }

    /// A take of up to `limit` from `partition`, hidden for 30 s.
    pub fn take(&self, partition: Partition, limit: u16) -> TakeExpired {
        TakeExpired::new(vec![partition], limit, self.nonce())
    }

    fn any_player(&self) -> PlayerId {
        PlayerId::new(format!("player-{}-{:08x}", self.counted(), self.bits() >> 32)).expect("a short text")
    }

    fn counted(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Make")
            .field("name", &self.name)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Drop for Make {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "{}: the seed was {:#018x} ({} names made)",
                self.name,
                self.seed,
                self.count.load(Ordering::Relaxed)
            );
        }
    }
}

/// A seed from a name: FNV-1a, the same in every build.
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The first outputs for seed 0, as the author of the generator published them.
    #[test]
    fn the_generator_is_split_mix() {
        let make = Make::with_seed("golden", 0);
        assert_eq!(make.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(make.bits(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn nothing_comes_twice() {
        let make = Make::new("twice");
        let players: HashSet<_> = (0..1_100).map(|_| make.player()).collect();
        let nonces: HashSet<_> = (0..1_000).map(|_| make.nonce()).collect();
        assert_eq!((players.len(), nonces.len()), (1_100, 1_000));
        assert_ne!(Make::new("one").nonce(), Make::new("two").nonce());
    }

    #[test]
    fn players_share_a_partition_only_where_they_are_to() {
        let make = Make::new("partition");
        let apart: HashSet<_> = (0..1_000).map(|_| make.player().partition()).collect();
        assert_eq!(apart.len(), 1_000, "each in a partition of its own");
        let one = make.player();
        assert_eq!(make.player_in(one.partition()).partition(), one.partition());
        assert_ne!(make.player_outside(one.partition()).partition(), one.partition());
        assert_eq!(make.session_id(&one).partition(), one.partition());
    }
}
