//! Ours, through the public trait: a trait object, and a boxed future for each call.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ringhold_core::session::{AckExpired, CreateSession, OnExisting, TakeExpired, Touch, Touched};
use ringhold_core::{
    Fence, FleetName, Incarnation, Limits, NodeId, NodeIncarnation, Nonce, Partition, PlayerId, SessionId,
    SessionStore, Ttl,
};
use ringhold_memory::MemoryBackend;

use super::store::{Guest, Store, Time, sum};

pub(super) struct Ours {
    sessions: Arc<dyn SessionStore>,
    #[cfg(feature = "holds")]
    memory: Arc<ringhold_memory::MemorySessions>,
    owner: NodeIncarnation,
}

impl Ours {
    pub(super) fn new(time: Arc<Time>) -> Self {
        let fleet = FleetName::new("peers").expect("a word");
        let nonce = Nonce::from_bytes([7; 16]);
        let node = NodeId::new("eu-1").expect("a word");
        let memory = MemoryBackend::with_clock(fleet, Limits::default(), time).sessions();
        Self {
            #[cfg(feature = "holds")]
            memory: Arc::clone(&memory),
            sessions: memory,
            owner: NodeIncarnation::new(node, Incarnation { number: 1, nonce }),
        }
    }
}

/// The answer of a future that never waits.
fn now<T>(future: impl Future<Output = ringhold_core::Result<T>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("an answer"),
        Poll::Pending => unreachable!("the memory store waits for nothing"),
    }
}

impl Store for Ours {
    fn create(&self, guest: &Guest) {
        let ttl = Ttl::new(guest.ttl).expect("a time to live");
        let (player, owner) = (guest.player.clone(), self.owner.clone());
        let login = CreateSession::new(guest.id, player, owner, guest.nonce, ttl)
            .with_data(guest.data.clone())
            .with_on_existing(OnExisting::Replace);
        now(self.sessions.create(login));
    }

    fn get(&self, id: &SessionId) -> Option<u64> {
        now(self.sessions.get(id)).map(|session| sum(&session.data))
    }

    fn find(&self, player: &PlayerId) -> Option<u64> {
        let found = now(self.sessions.find(player));
        found.first().map(|session| sum(&session.data))
    }

    fn touch(&self, guest: &Guest) -> bool {
        let fence = Fence {
            epoch: 1,
            nonce: guest.nonce,
        };
        let ttl = Ttl::new(guest.ttl).expect("a time to live");
        let touched = now(self.sessions.touch_many(&[Touch::new(guest.id, fence, ttl)]));
        touched.answers == [Touched::Renewed]
    }

    fn expire(&self) -> usize {
        let mut expired = 0;
        for partition in Partition::all() {
            loop {
                let nonce = Nonce::from_bytes([9; 16]);
                let taken = now(self
                    .sessions
                    .take_expired(TakeExpired::new(vec![partition], 256, nonce)));
                expired += taken.sessions.len();
                for taken in &taken.sessions {
                    now(self
                        .sessions
                        .ack_expired(AckExpired::new(taken.session.id, taken.token)));
                }
                if taken.more.is_empty() {
                    break;
                }
            }
        }
        expired
    }

    #[cfg(feature = "holds")]
    fn longest_hold(&self) -> Option<std::time::Duration> {
        Some(self.memory.longest_hold())
    }
}
