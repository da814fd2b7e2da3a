//! Where a session store with a fault goes wrong.

use std::slice;
use std::time::Duration;

use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateOutcome, CreateSession, Created, EndReason, ListSessions,
    OnExisting, RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved, SessionPage,
    TakeExpired, TakenSession, TakenSessions, TakeoverFrom, Touch, Touched, TouchedMany,
};
use ringhold_core::{
    Clock, ErrorKind, Limits, OperationId, Partition, PlayerId, Result, SessionId, SessionRecord,
    SessionStore, Ttl, Version,
};
use ringhold_testkit::async_trait;

use super::store::Broken;
use super::store_faults::Fault;

#[async_trait]
impl SessionStore for Broken {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    async fn create(&self, mut request: CreateSession) -> Result<Created> {
        self.before(request.id.partition()).await;
        let anyone = OnExisting::Takeover {
            from: TakeoverFrom::Anyone,
        };
        match (self.fault, request.on_existing) {
            (Fault::CreateDropsTheData, _) => request.data.clear(),
            (Fault::ExistingIsTakenOver, OnExisting::Existing)
            | (Fault::OwnMeansAnyone, OnExisting::Takeover { .. })
            | (Fault::ReplaceTakesOver, OnExisting::Replace) => request.on_existing = anyone,
            (Fault::AnyoneMeansOwn, OnExisting::Takeover { .. }) => {
                request.on_existing = OnExisting::default();
            }
            (Fault::RejectAllows, OnExisting::Reject) => request.on_existing = OnExisting::Allow { max: 2 },
            (Fault::AnyMaximumWillDo, OnExisting::Allow { max }) => {
                let max = max.clamp(1, Limits::SESSIONS_PER_PLAYER_MAX);
                request.on_existing = OnExisting::Allow { max };
            }
            (Fault::AllowForgetsTheNew, OnExisting::Allow { max }) => {
                request.on_existing = OnExisting::Allow { max: max + 1 };
            }
            (Fault::CreateTrustsTheId, _) => {
                request.id = SessionId::new(request.player.partition(), self.fresh());
            }
            _ => {}
        }
        let earlier = self.state().logins.get(&request.id).cloned();
        let repeated = earlier.is_some();
        match earlier {
            Some(first) if self.is(Fault::RepetitionIsAnybodys) => request = first,
            Some(_) => {}
            None => drop(self.state().logins.insert(request.id, request.clone())),
        }
        let login = request.id;
        let before = self.state().created.get(&login).cloned();
        if let Some(mut before) = before
            && let Some(expired) = self.expired(&before.session.id).await
        {
            before.session = expired;
            return Ok(before);
        }
        if repeated && self.is(Fault::RepetitionIsANewLogin) {
            request.id = SessionId::new(request.id.partition(), self.fresh());
        }
        let mut created = match self.inner.create(request.clone()).await {
            Err(error) if error.kind() == ErrorKind::Fenced => {
                let comes_back = match self.fault {
                    Fault::CreateForgetsTombstones => true,
                    Fault::LoginsThatTookOverComeBack => self.state().took_over.contains(&request.id),
                    Fault::TombstonesAreShort => self.is_half_over(&request.id),
                    _ => false,
                };
                if !comes_back {
                    return Err(error);
                }
                request.id = SessionId::new(request.id.partition(), self.fresh());
                self.inner.create(request.clone()).await?
            }
            result => result?,
        };
        self.state()
            .seen
            .insert(created.session.id, created.session.clone());
        self.state().created.insert(login, created.clone());
        if created.outcome == CreateOutcome::TakenOver {
            self.state().took_over.insert(request.id);
            if self.is(Fault::TakeoverForgetsTheOldHold) {
                created.displaced.clear();
            }
        }
        if repeated && self.is(Fault::RepetitionForgetsTheDisplaced) {
            created.displaced.clear();
        }
        if created.outcome == CreateOutcome::Existing
            && self.is(Fault::ExistingIsAlwaysTheNewest)
            && let Some(newest) = self.inner.find(&request.player).await?.pop()
        {
            created.session = newest;
        }
        let touches = match created.outcome {
            CreateOutcome::Elsewhere => self.is(Fault::ElsewhereTouches),
            CreateOutcome::Existing => self.is(Fault::ExistingIsTouched),
            _ => false,
        };
        if touches {
            let touch = Touch::new(created.session.id, created.session.fence, request.ttl);
            self.inner.touch_many(slice::from_ref(&touch)).await?;
        }
        Ok(created)
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        self.before(id.partition()).await;
        let live = self.inner.get(id).await?;
        if live.is_none() && self.is(Fault::GetShowsTheExpired) {
            return Ok(self.state().seen.get(id).cloned());
        }
        Ok(live)
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        self.before(player.partition()).await;
        let mut found = self.inner.find(player).await?;
        if self.is(Fault::FindAnswersTheNewestFirst) {
            found.reverse();
        }
        if self.is(Fault::FindTrimsThePlayer) && !found.is_empty() {
            let trimmed = PlayerId::new(player.as_str().trim_matches([' ', '\0', '\n']));
            if let Ok(trimmed) = trimmed {
                found = self.inner.find(&trimmed).await?;
            }
        }
        Ok(found)
    }

    async fn save(&self, mut request: SaveSession) -> Result<Saved> {
        self.before(request.id.partition()).await;
        let before = self.live(&request.id).await;
        if self.is(Fault::SaveForgetsItsOperation) {
            request.operation = OperationId::from_bytes(self.fresh());
        }
        if let Some(live) = &before {
            match self.fault {
                Fault::SaveIgnoresTheVersion => request.version = live.version,
                Fault::SaveComparesTheEpochAlone if request.fence.epoch == live.fence.epoch => {
                    request.fence = live.fence;
                }
                Fault::SaveComparesTheVersionFirst if request.version != live.version => {
                    return Err(Self::error(ErrorKind::VersionConflict));
                }
                _ => {}
            }
        }
        let (id, fence) = (request.id, request.fence);
        let saved = self
            .inner
            .save(request)
            .await
            .map_err(|error| self.refusal(&id, error))?;
        if let (Some(live), Fault::SaveKeepsTheDeadline) = (before, self.fault) {
            let touch = Touch::new(id, fence, Ttl::new(live.remaining)?);
            self.inner.touch_many(slice::from_ref(&touch)).await?;
        }
        Ok(saved)
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        let mut answers = Vec::new();
        for touch in touches {
            self.before(touch.id.partition()).await;
            let (mut touch, live) = (*touch, self.live(&touch.id).await);
            if let (Some(live), Fault::TouchNeverShortens) = (&live, self.fault) {
                touch.ttl = touch.ttl.max(Ttl::new(live.remaining)?);
            }
            let mut answer = self
                .inner
                .touch_many(slice::from_ref(&touch))
                .await?
                .answers
                .remove(0);
            match (self.fault, &answer, live) {
                (Fault::ExpiredAreDead, Touched::Renewed, None) => {
                    answer = Touched::Ended(EndReason::Expired);
                }
                (Fault::UnlinkedCanBeRevived, Touched::Ended(_), _) => answer = Touched::Renewed,
                (Fault::TouchForgetsTheReason, Touched::Ended(_), _) => answer = Touched::NotFound,
                (Fault::TombstonesStay, Touched::NotFound, _)
                    if self.state().ended.contains_key(&touch.id) =>
                {
                    answer = Touched::Ended(EndReason::Removed);
                }
                (Fault::TouchBumpsTheVersion, Touched::Renewed, Some(live)) => {
                    let operation = OperationId::from_bytes(self.fresh());
                    let save =
                        SaveSession::new(live.id, live.fence, live.version, touch.ttl, live.data, operation);
                    self.inner.save(save).await?;
                }
                _ => {}
            }
            answers.push(answer);
        }
        if self.is(Fault::TouchesAnswerOutOfOrder) {
            answers.reverse();
        }
        Ok(TouchedMany::new(answers))
    }

    async fn claim(&self, mut request: ClaimSession) -> Result<Claimed> {
        self.before(request.id.partition()).await;
        let live = self.live(&request.id).await;
        let repeated = !self.state().claims.insert(request.nonce);
        if repeated && let Some(expired) = self.expired(&request.id).await {
            return Ok(Claimed::new(expired));
        }
        match self.fault {
            Fault::ClaimIgnoresTheVersion => request.seen_version = None,
            Fault::ClaimForgetsItsNonce if repeated => return Err(Self::error(ErrorKind::Fenced)),
            Fault::ExpiredCannotBeClaimed if live.is_none() => return Err(Self::error(ErrorKind::Fenced)),
            Fault::ClaimReadsThenWrites if live.is_some_and(|live| live.fence == request.seen) => {
                tokio::task::yield_now().await;
                if let Some(now) = self.live(&request.id).await {
                    request.seen = now.fence;
                }
            }
            _ => {}
        }
        let id = request.id;
        let claimed = self
            .inner
            .claim(request)
            .await
            .map_err(|error| self.refusal(&id, error))?;
        if self.is(Fault::RepetitionsAnswerTheExpired) {
            self.state().seen.insert(id, claimed.session.clone());
        }
        Ok(claimed)
    }

    async fn remove(&self, mut request: RemoveSession) -> Result<Removed> {
        self.before(request.id.partition()).await;
        let (id, live) = (request.id, self.live(&request.id).await);
        match (self.fault, live) {
            (Fault::RemoveIgnoresTheFence, Some(live)) => request.fence = live.fence,
            (Fault::RemoveForgetsItself, None) => return Err(Self::error(ErrorKind::NotFound)),
            _ => {}
        }
        let removed = self
            .inner
            .remove(request)
            .await
            .map_err(|error| self.refusal(&id, error))?;
        self.state().ended.entry(id).or_insert(self.clock.now());
        Ok(removed)
    }

    async fn restore(&self, mut request: RestoreSession) -> Result<Restored> {
        self.before(request.session.id.partition()).await;
        let id = request.session.id;
        if let Some(expired) = self.expired(&id).await {
            return Ok(Restored::new(expired));
        }
        match (self.fault, self.live(&id).await) {
            (Fault::RestoreForgetsTheVersion, _) => request.session.version = Version::FIRST,
            (Fault::RestoreIgnoresTheMaximum, _) => request.live_max = Limits::SESSIONS_PER_PLAYER_MAX,
            (Fault::RestoreOverwritesWhatStands, Some(live)) => {
                let (data, operation) = (
                    request.session.data.clone(),
                    OperationId::from_bytes(self.fresh()),
                );
                let save = SaveSession::new(id, live.fence, live.version, live.ttl, data, operation);
                self.inner.save(save).await?;
            }
            _ => {}
        }
        self.inner
            .restore(request)
            .await
            .map_err(|error| self.refusal(&id, error))
    }

    async fn list(&self, mut request: ListSessions) -> Result<SessionPage> {
        let goes_on = request.after.is_some();
        if self.is(Fault::ListIgnoresTheOwner) {
            request.owner = None;
        }
        let mut page = self.inner.list(request).await?;
        if goes_on && self.is(Fault::ListSkipsOne) && !page.sessions.is_empty() {
            page.sessions.remove(0);
        }
        Ok(page)
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        match self.fault {
            Fault::CountKeepsTheEnded => {
                let seen = &self.state().seen;
                Ok(seen.keys().filter(|id| id.partition() == partition).count() as u64)
            }
            Fault::CountIsOfAllPartitions => {
                let mut all = 0;
                for partition in Partition::all() {
                    all += self.inner.count(partition).await?;
                }
                Ok(all)
            }
            _ => self.inner.count(partition).await,
        }
    }

    async fn take_expired(&self, mut request: TakeExpired) -> Result<TakenSessions> {
        for partition in &request.partitions {
            self.before(*partition).await;
        }
        if self.is(Fault::OneTickTicksAll) {
            let partitions = self.state().partitions.iter().copied().collect();
            self.tick(partitions).await;
        }
        let (limit, proof, bytes_max) = (request.limit, request.token, request.bytes_max());
        let asked = request.partitions.clone();
        if limit > 0 {
            match self.fault {
                Fault::TakeIgnoresTheBytes | Fault::SessionsLeftOutAreHidden => {
                    request = request.with_bytes_max(usize::MAX);
                }
                Fault::LargeSessionsAreNeverTaken if bytes_max < 64 * 1024 => request.limit = 0,
                Fault::TakeIgnoresTheLimit | Fault::TakeAnswersTheNewestFirst => request.limit = 1_000,
                _ => {}
            }
        }
        let mut taken = self.inner.take_expired(request).await?;
        match self.fault {
            Fault::TicksNameNoPartition if limit == 0 => taken.more.clear(),
            Fault::TicksNameEachPartition if limit == 0 => taken.more = asked,
            Fault::SessionsLeftOutAreHidden => taken.sessions.truncate((bytes_max / (64 * 1024)).max(1)),
            _ => {}
        }
        let mut kept = Vec::new();
        for session in taken.sessions {
            let id = session.session.id;
            let keep = match self.fault {
                Fault::UnlinkedAreForgotten => self.inner.find(&session.session.player).await?.is_empty(),
                Fault::ExpiryComesOnce => !self.state().ended.contains_key(&id),
                _ => true,
            };
            if self.is(Fault::ExpiryComesOnce) {
                self.state().ended.insert(id, Duration::ZERO);
            }
            if keep {
                kept.push(session);
            }
        }
        taken.sessions = kept;
        if self.is(Fault::TakeAnswersTheNewestFirst) {
            taken.sessions.reverse();
            taken.sessions.truncate(usize::from(limit));
        }
        if self.is(Fault::TakenAreNotHidden) && limit > 1 {
            let mut state = self.state();
            for old in state.taken.iter().cloned() {
                taken.sessions.push(TakenSession::new(old.session, proof));
            }
            taken.sessions.truncate(usize::from(limit));
            state.taken.clone_from(&taken.sessions);
        }
        Ok(taken)
    }

    async fn ack_expired(&self, mut request: AckExpired) -> Result<Acked> {
        if let Some(hidden_for) = request.hidden_for() {
            match self.fault {
                Fault::HidingDoesNothing => {
                    request = AckExpired::hide(request.id, request.token, Duration::ZERO);
                }
                Fault::HidingNeverShortens => {
                    let longest = hidden_for.max(Duration::from_secs(18));
                    request = AckExpired::hide(request.id, request.token, longest);
                }
                _ => {}
            }
        }
        let known = self.live(&request.id).await;
        let result = self.inner.ack_expired(request).await;
        match (self.fault, result, known) {
            (Fault::VoidTokensWork, Err(_), Some(live)) => {
                let operation = OperationId::from_bytes(self.fresh());
                self.inner
                    .remove(RemoveSession::new(live.id, live.fence, operation))
                    .await
                    .map(|_| Acked::default())
            }
            (Fault::AckForgetsItself, Ok(acked), _) => {
                let first = self.state().ended.insert(request.id, Duration::ZERO).is_none();
                if first {
                    Ok(acked)
                } else {
                    Err(Self::error(ErrorKind::NotFound))
                }
            }
            (_, result, _) => result,
        }
    }
}
