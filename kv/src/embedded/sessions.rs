//! Sessions: each method runs its rule in the writer or beside it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RepairSessions, RepairedSessions, RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired,
    TakenSessions, Touch, TouchedMany,
};
use ringhold_core::{Limits, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore};

use super::fleet::{Reading, Write};
use super::handle::Handle;
use super::overlay::Overlay;
use crate::clock::ClockKind;
use crate::sessions::{self, Account, Count, Listing, SharedCursor, Sweep, SweepBytes, Swept};

/// How many sessions one part of a listing reads.
const LIST_PART: usize = 256;
/// How many steps of a sweep are one write, so that others come between.
const SWEEP_PART: usize = 512;

/// The sessions of one fleet in an open file.
#[derive(Clone)]
pub struct EmbeddedSessions {
    handle: Handle,
    limits: Limits,
    cursor: Arc<SharedCursor>,
}

impl EmbeddedSessions {
    pub(super) fn new(handle: Handle, limits: Limits) -> Self {
        Self {
            handle,
            limits,
            cursor: Arc::default(),
        }
    }

    pub(super) async fn account(&self) -> Result<Account> {
        self.read(|tx, _| sessions::account(tx)).await
    }

    fn firm(&self) -> Write {
        self.handle.firm(ClockKind::Sessions)
    }

    async fn write<R: Send + 'static>(
        &self,
        write: Write,
        rule: impl FnOnce(&mut Overlay<'_>, u64) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let rule = |tx: &mut Overlay<'_>, now: Reading| rule(tx, now.ms);
        self.handle.write(write, rule).await
    }

    async fn read<R: Send + 'static>(
        &self,
        rule: impl FnOnce(&mut Overlay<'_>, u64) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let rule = |tx: &mut Overlay<'_>, now: Reading| rule(tx, now.ms);
        self.handle.read(ClockKind::Sessions, rule).await
    }
}

impl fmt::Debug for EmbeddedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedSessions")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for EmbeddedSessions {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn create(&self, request: CreateSession) -> Result<Created> {
        request.check(&self.limits)?;
        let write = self.firm().carrying(request.data.len());
        self.write(write, move |tx, now| sessions::create(tx, now, &request))
            .await
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        let id = *id;
        self.read(move |tx, now| sessions::get(tx, now, &id)).await
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        let player = player.clone();
        self.read(move |tx, now| sessions::find(tx, now, &player)).await
    }

    async fn save(&self, request: SaveSession) -> Result<Saved> {
        request.check(&self.limits)?;
        let write = self.firm().carrying(request.data.len());
        self.write(write, move |tx, now| sessions::save(tx, now, &request))
            .await
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        if touches.is_empty() {
            return Ok(TouchedMany::default());
        }
        let touches = touches.to_vec();
        let write = self.firm().carrying(size_of_val(&*touches));
        self.write(write, move |tx, now| sessions::touch_many(tx, now, &touches))
            .await
            .map(TouchedMany::new)
    }

    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        self.write(self.firm(), move |tx, now| sessions::claim(tx, now, &request))
            .await
    }

    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        self.write(self.firm(), move |tx, now| sessions::remove(tx, now, &request))
            .await
    }

    async fn restore(&self, request: RestoreSession) -> Result<Restored> {
        request.check(&self.limits)?;
        let write = self.firm().carrying(request.session.data.len());
        self.write(write, move |tx, now| sessions::restore(tx, now, &request))
            .await
    }

    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        let mut listing = Listing::new(&request);
        while let Some(part) = listing.part(LIST_PART) {
            listing.add(self.read(move |tx, now| part.read(tx, now)).await?);
        }
        Ok(listing.page())
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        let mut count = Count::new(partition);
        while !count.is_whole() {
            count = self.read(move |tx, now| count.read(tx, now)).await?;
        }
        Ok(count.sessions())
    }

    async fn repair(&self, request: RepairSessions) -> Result<RepairedSessions> {
        let repairs = request.repair;
        let rule = move |tx: &mut Overlay<'_>, _| sessions::repair(tx, &request, LIST_PART);
        if repairs {
            self.write(self.firm(), rule).await
        } else {
            self.read(rule).await
        }
    }

    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        if request.partitions.is_empty() {
            return Ok(TakenSessions::default());
        }
        let asked = request.clone();
        let from = self.cursor.get();
        let mut bytes = SweepBytes::new(&request);
        let plan = move |tx: &mut Overlay<'_>, now| {
            let sweep = Sweep::plan(tx, now, &asked, &from)?;
            let swept = run_steps(tx, now, &asked, bytes, sweep.steps().iter().take(SWEEP_PART))?;
            Ok((sweep, swept))
        };
        let (sweep, mut swept) = self.write(self.firm(), plan).await?;
        bytes.spend(&swept);
        self.cursor.follow(&sweep);
        let mut left = sweep.steps().iter().skip(SWEEP_PART).copied().peekable();
        while left.peek().is_some() {
            let asked = request.clone();
            let steps: Vec<_> = left.by_ref().take(SWEEP_PART).collect();
            let part = move |tx: &mut Overlay<'_>, now| run_steps(tx, now, &asked, bytes, steps.iter());
            let part = self.write(self.firm(), part).await?;
            bytes.spend(&part);
            swept.extend(part);
        }
        drop(left);
        Ok(sweep.answer(swept))
    }

    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        self.write(self.firm(), move |tx, now| {
            sessions::ack_expired(tx, now, &request)
        })
        .await
    }
}

fn run_steps<'a>(
    tx: &mut Overlay<'_>,
    now_ms: u64,
    request: &TakeExpired,
    mut bytes: SweepBytes,
    steps: impl Iterator<Item = &'a sessions::SweepStep>,
) -> Result<Vec<Swept>> {
    steps
        .map(|step| step.run(tx, now_ms, request, &mut bytes))
        .collect()
}
