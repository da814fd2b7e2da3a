//! Steps that the rules of this suite share.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::backend::Capabilities;
use ringhold_core::session::{
    AckExpired, ClaimSession, CreateOutcome, CreateSession, Created, EndReason, RemoveSession, TakeExpired,
    TakenSessions, Touch, Touched,
};
use ringhold_core::{
    Fence, NodeIncarnation, Nonce, Partition, PlayerId, SessionId, SessionRecord, SessionStore, Ttl,
};

use crate::expect::done;
use crate::{Make, StoreHarness, TestTime};

/// The longest step between two ticks: below the cap of a partition's clock, so that no time is lost.
const STEP_MAX: Duration = Duration::from_secs(2);

/// Lets `duration` pass on the clocks of `partitions`.
///
/// A partition's clock moves by at most 3 s between two writes, so this ticks it on the way, by
/// takes with limit 0: nothing is swept.
///
/// # Panics
/// When a tick fails or takes something.
pub async fn let_pass(
    store: &dyn SessionStore,
    time: &dyn TestTime,
    partitions: &[Partition],
    duration: Duration,
) {
    let steps = u32::try_from(duration.as_nanos().div_ceil(STEP_MAX.as_nanos()))
        .unwrap_or(u32::MAX)
        .max(1);
    let mut left = duration;
    for step in (1..=steps).rev() {
        let part = left / step;
        left -= part;
        time.pass(part).await;
        let tick = TakeExpired::new(partitions.to_vec(), 0, Nonce::from_bytes([0; 16]));
        let taken = done("a tick of the partitions' clocks", store.take_expired(tick).await);
        assert!(
            taken.sessions.is_empty(),
            "a take with limit 0 took {:?}",
            taken.sessions
        );
    }
}

/// One rule's store, and what it takes to use it.
pub(super) struct Bed<'h> {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) make: Make,
    pub(super) capabilities: Capabilities,
    /// How far a deadline may be off.
    pub(super) slop: Duration,
    pub(super) time: &'h dyn TestTime,
}

impl<'h> Bed<'h> {
    pub(super) async fn new<H: StoreHarness + ?Sized>(rule: &'static str, harness: &'h H) -> Self {
        let (capabilities, time) = (harness.capabilities(), harness.time());
        let slop = capabilities.ttl_resolution + time.slack();
        assert!(
            slop < short().duration() / 2,
            "deadlines that are off by {slop:?} are too coarse for this suite"
        );
        Self {
            store: harness.store().await,
            make: Make::new(rule),
            capabilities,
            slop,
            time,
        }
    }

    /// A login that has to make a new session.
    pub(super) async fn create(&self, request: CreateSession) -> SessionRecord {
        let created = self.created(request).await;
        assert_eq!(
            created.outcome,
            CreateOutcome::New,
            "the login must make a session: {created:?}"
        );
        created.session
    }

    /// A login that has to succeed.
    pub(super) async fn created(&self, request: CreateSession) -> Created {
        let what = format!("create {request:?}");
        let created = done(&what, self.store.create(request).await);
        self.replicated(&what, created.replicated);
        created
    }

    /// A new session of a new player that lives long.
    pub(super) async fn session(&self) -> SessionRecord {
        self.session_of(&self.make.player(), long()).await
    }

    /// A new session of `player`, by a new owner.
    pub(super) async fn session_of(&self, player: &PlayerId, ttl: Ttl) -> SessionRecord {
        let login = self
            .make
            .login(player, &self.make.owner(), ttl)
            .with_data(&b"first"[..]);
        self.create(login).await
    }

    /// The live session, read anew.
    pub(super) async fn get(&self, id: SessionId) -> SessionRecord {
        match done("get", self.store.get(&id).await) {
            Some(session) => session,
            None => panic!("the session {id:?} must be live, and get shows none"),
        }
    }

    /// Checks that no read shows the session.
    pub(super) async fn is_gone(&self, what: &str, session: &SessionRecord) {
        let got = done("get", self.store.get(&session.id).await);
        assert!(got.is_none(), "{what}: get shows {got:?}");
        let found = self.find(&session.player).await;
        assert!(
            found.iter().all(|other| other.id != session.id),
            "{what}: find shows {found:?}"
        );
    }

    pub(super) async fn find(&self, player: &PlayerId) -> Vec<SessionRecord> {
        done("find", self.store.find(player).await)
    }

    /// The ids that `find` answers, in its order.
    pub(super) async fn ids(&self, player: &PlayerId) -> Vec<SessionId> {
        self.find(player).await.iter().map(|session| session.id).collect()
    }

    pub(super) async fn touch(&self, id: SessionId, fence: Fence, ttl: Ttl) -> Touched {
        let touch = Touch::new(id, fence, ttl);
        let mut answers = done("touch_many", self.store.touch_many(slice::from_ref(&touch)).await).answers;
        assert_eq!(answers.len(), 1, "one touch has one answer: {answers:?}");
        answers.remove(0)
    }

    /// Checks that the session has ended, for one of these reasons.
    pub(super) async fn has_ended(&self, what: &str, session: &SessionRecord, reasons: &[EndReason]) {
        let touched = self.touch(session.id, session.fence, session.ttl).await;
        let ended = matches!(&touched, Touched::Ended(reason) if reasons.contains(reason));
        assert!(
            ended,
            "{what}: a touch must answer that it ended ({reasons:?}), and answers {touched:?}"
        );
        self.is_gone(what, session).await;
    }

    pub(super) async fn take(&self, partition: Partition, limit: u16) -> TakenSessions {
        done(
            "take_expired",
            self.store.take_expired(self.make.take(partition, limit)).await,
        )
    }

    /// Takes all that has expired beside `session`, and answers what would acknowledge that one.
    pub(super) async fn take_for_ack(&self, session: &SessionRecord) -> (TakenSessions, AckExpired) {
        let request = self.make.take(session.id.partition(), 1_000);
        let ack = AckExpired::new(session.id, request.token);
        (done("take_expired", self.store.take_expired(request).await), ack)
    }

    pub(super) async fn remove(&self, session: &SessionRecord) -> RemoveSession {
        let request = RemoveSession::new(session.id, session.fence, self.make.operation());
        done("remove", self.store.remove(request.clone()).await);
        request
    }

    /// A claim on `session` as it was seen, by `owner`.
    pub(super) fn claim(&self, session: &SessionRecord, owner: &NodeIncarnation) -> ClaimSession {
        ClaimSession::new(
            session.id,
            session.fence,
            owner.clone(),
            self.make.nonce(),
            session.ttl,
        )
    }

    /// Lets `duration` pass in the partitions of `sessions`.
    pub(super) async fn pass(&self, sessions: &[SessionRecord], duration: Duration) {
        let mut partitions: Vec<_> = sessions.iter().map(|session| session.id.partition()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let_pass(&*self.store, self.time, &partitions, duration).await;
    }

    /// Lets so much time pass that all of `sessions`, fresh now, have expired.
    pub(super) async fn expire(&self, sessions: &[SessionRecord]) {
        let longest = sessions
            .iter()
            .map(|session| session.ttl.duration())
            .max()
            .unwrap_or_default();
        self.pass(sessions, longest + self.slop).await;
    }

    /// Expires `sessions`, and acknowledges that.
    pub(super) async fn bury(&self, sessions: &[SessionRecord]) {
        self.expire(sessions).await;
        for session in sessions {
            let (taken, ack) = self.take_for_ack(session).await;
            let is_taken = taken.sessions.iter().any(|taken| taken.session.id == session.id);
            assert!(
                is_taken,
                "the expired session {:?} must be taken, and got is {taken:?}",
                session.id
            );
            done("ack_expired", self.store.ack_expired(ack).await);
        }
    }

    /// Checks that `left` is `expected`, as exactly as this backend keeps time.
    #[track_caller]
    pub(super) fn is_about(&self, what: &str, left: Duration, expected: Duration) {
        let off = left.abs_diff(expected);
        assert!(
            off <= self.slop,
            "{what}: {left:?} left, and it must be {expected:?} to within {:?}",
            self.slop
        );
    }

    /// Checks that two records are the same, with times left as exactly as this backend keeps time.
    #[track_caller]
    pub(super) fn is_same(&self, what: &str, got: &SessionRecord, expected: &SessionRecord) {
        let mut expected = expected.clone();
        self.is_about(what, got.remaining, expected.remaining);
        expected.remaining = got.remaining;
        assert_eq!(*got, expected, "{what}");
        assert_eq!(got.data, expected.data, "{what}: the data");
    }

    /// Checks that the session stands as it did.
    pub(super) async fn is_unchanged(&self, what: &str, session: &SessionRecord) {
        self.is_same(what, &self.get(session.id).await, session);
    }

    #[track_caller]
    pub(super) fn replicated(&self, what: &str, replicas: u8) {
        let most = self.capabilities.replicas_max;
        assert!(
            replicas <= most,
            "{what}: {replicas} replicas acknowledged, of {most} that there can be"
        );
    }
}

/// A time to live for where time does not matter: ten minutes.
pub(super) fn long() -> Ttl {
    Ttl::from_millis(600_000).expect("ten minutes are in range")
}

/// A time to live for what is to expire: six seconds.
pub(super) fn short() -> Ttl {
    Ttl::from_millis(6_000).expect("six seconds are in range")
}
