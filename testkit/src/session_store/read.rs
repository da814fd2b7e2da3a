//! Rules of reading.

use std::collections::HashSet;
use std::slice;
use std::time::Duration;

use ringhold_core::session::{Cursor, ListSessions, OnExisting};
use ringhold_core::{NodeIncarnation, SessionId, SessionRecord};

use super::steps::{Bed, long, short};
use crate::StoreHarness;
use crate::expect::{done, shorter};

/// `get_and_find_show_live_sessions`.
pub async fn get_and_find_show_live_sessions<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("get_and_find_show_live_sessions", harness).await;
    let player = bed.make.player();
    let unknown = bed.make.session_id(&player);
    assert_eq!(done("get", bed.store.get(&unknown).await), None, "an unknown id");
    assert_eq!(bed.find(&player).await, [], "an unknown player");

    // Ids fall while logins go on: the oldest first is not the smallest first.
    let mut ids: Vec<_> = (0..3).map(|_| bed.make.session_id(&player)).collect();
    ids.sort_unstable();
    let mut sessions = Vec::new();
    for id in ids.into_iter().rev() {
        let way = OnExisting::Allow { max: 3 };
        let mut login = bed
            .make
            .login_with(&player, &bed.make.owner(), long(), way)
            .with_data(&b"data"[..]);
        login.id = id;
        sessions.push(bed.create(login).await);
    }
    // A neighbour in the same partition is somebody else.
    let neighbour = bed
        .session_of(&bed.make.player_in(player.partition()), long())
        .await;
    for _ in 0..2 {
        let found = bed.find(&player).await;
        assert_eq!(found.len(), sessions.len(), "find: {found:?}");
        for (found, session) in found.iter().zip(&sessions) {
            bed.is_same("find answers the oldest first, whole", found, session);
            bed.is_unchanged("get", session).await;
        }
        // Neither a claim nor a save moves a session in the order.
        let oldest = &sessions[0];
        let claimed = done(
            "claim",
            bed.store.claim(bed.claim(oldest, &bed.make.owner())).await,
        )
        .session;
        done("save", bed.store.save(bed.make.save(&claimed, b"saved")).await);
        sessions[0] = bed.get(claimed.id).await;
    }
    bed.is_unchanged("the neighbour", &neighbour).await;
    bed.remove(&sessions.remove(1)).await;
    let left: Vec<_> = sessions.iter().map(|session| session.id).collect();
    assert_eq!(bed.ids(&player).await, left, "a removed session is not found");
}

/// All pages from the start, with something done between two of them.
async fn pages(
    bed: &Bed<'_>,
    owner: Option<&NodeIncarnation>,
    limit: u16,
    mut between: impl AsyncFnMut(),
) -> Vec<SessionRecord> {
    let request = owner.map_or_else(
        || ListSessions::all(limit),
        |owner| ListSessions::of(owner.clone(), limit),
    );
    let page_max = usize::from(limit).max(1);
    let mut all: Vec<SessionRecord> = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let request = after.map_or_else(|| request.clone(), |cursor| request.clone().after(cursor));
        let page = done("list", bed.store.list(request).await);
        assert_eq!(page.unreadable, [], "everything here can be read");
        assert!(
            page.sessions.len() <= page_max,
            "{} sessions on a page of {page_max}",
            page.sessions.len()
        );
        all.extend(page.sessions);
        let Some(next) = page.next else { break };
        assert!(
            after.is_none_or(|after| next.0 > after.0),
            "the cursor must go on: {after:?}, {next:?}"
        );
        assert!(
            all.last().is_none_or(|last| last.id <= next.0),
            "the cursor must cover its page: {next:?}"
        );
        after = Some(next);
        between().await;
    }
    assert!(
        all.is_sorted_by(|a, b| a.id < b.id),
        "by id, each once: {:?}",
        ids(&all)
    );
    all
}

fn ids(sessions: &[SessionRecord]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}

/// `list_pages_through_everything`.
pub async fn list_pages_through_everything<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("list_pages_through_everything", harness).await;
    assert_eq!(
        pages(&bed, None, 10, async || {}).await,
        [],
        "an empty store has one empty page"
    );

    let owners = [bed.make.owner(), bed.make.owner()];
    let mut sessions = Vec::new();
    for index in 0..24 {
        // Some share a partition, and some a player.
        let player = match sessions.last().map(|last: &SessionRecord| last.player.clone()) {
            Some(last) if index % 4 == 1 => last,
            Some(last) if index % 4 == 2 => bed.make.player_in(last.partition()),
            _ => bed.make.player(),
        };
        let way = OnExisting::Allow { max: 2 };
        sessions.push(
            bed.create(bed.make.login_with(&player, &owners[index % 2], long(), way))
                .await,
        );
    }
    sessions.sort_unstable_by_key(|session| session.id);
    for limit in [0, 1, 5, 24, 1_000] {
        let listed = pages(&bed, None, limit, async || {}).await;
        assert_eq!(ids(&listed), ids(&sessions), "all sessions, in pages of {limit}");
        for (listed, session) in listed.iter().zip(&sessions) {
            bed.is_same("a listed session", listed, session);
        }
    }
    for owner in &owners {
        let its: Vec<_> = sessions
            .iter()
            .filter(|session| session.owner == *owner)
            .cloned()
            .collect();
        let listed = pages(&bed, Some(owner), 5, async || {}).await;
        assert_eq!(ids(&listed), ids(&its), "the sessions of {owner}");
    }
    let nobody = pages(&bed, Some(&bed.make.owner()), 5, async || {}).await;
    assert_eq!(nobody, [], "an owner of nothing");

    // Others come and go between the pages.
    let listed = pages(&bed, None, 3, async || {
        let guest = bed.session().await;
        bed.session().await;
        bed.remove(&guest).await;
    });
    let listed: HashSet<_> = ids(&listed.await).into_iter().collect();
    let missing: Vec<_> = sessions
        .iter()
        .filter(|session| !listed.contains(&session.id))
        .collect();
    assert!(
        missing.is_empty(),
        "they lived throughout the listing, and are on no page: {missing:?}"
    );
}

/// `count_is_of_live_sessions`.
pub async fn count_is_of_live_sessions<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("count_is_of_live_sessions", harness).await;
    let partition = bed.make.player().partition();
    let count = async |what: &str, expected: u64| {
        let counted = done("count", bed.store.count(partition).await);
        assert_eq!(counted, expected, "the count {what}");
    };
    count("of an empty partition", 0).await;

    let way = OnExisting::Allow { max: 2 };
    let pair = bed.make.player_in(partition);
    let mut live = Vec::new();
    for player in [&pair, &pair, &bed.make.player_in(partition)] {
        let login = bed.make.login_with(player, &bed.make.owner(), long(), way);
        live.push(bed.create(login).await);
    }
    bed.session_of(&bed.make.player_outside(partition), long()).await;
    count("beside another partition", 3).await;
    done("save", bed.store.save(bed.make.save(&live[0], b"saved")).await);
    done(
        "claim",
        bed.store.claim(bed.claim(&live[2], &bed.make.owner())).await,
    );
    count("after a save and a claim", 3).await;
    bed.remove(&live[1]).await;
    count("after a removal, whose tombstone is there", 2).await;

    let mut expired = Vec::new();
    for _ in 0..2 {
        expired.push(bed.session_of(&bed.make.player_in(partition), short()).await);
    }
    count("with two that will expire", 4).await;
    bed.expire(&expired).await;
    count("with two that have expired", 2).await;
    let (taken, ack) = bed.take_for_ack(&expired[0]).await;
    assert_eq!(taken.sessions.len(), 2, "two have expired: {taken:?}");
    count("with two that were taken", 2).await;
    done("ack_expired", bed.store.ack_expired(ack).await);
    count("with one that was acknowledged", 2).await;
    bed.touch(expired[1].id, expired[1].fence, long()).await;
    count("with one that was revived", 3).await;
}

/// `expired_is_never_read`, neither before, while nor after it is swept.
pub async fn expired_is_never_read<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("expired_is_never_read", harness).await;
    let player = bed.make.player();
    let session = bed.session_of(&player, short()).await;
    let way = OnExisting::Allow { max: 2 };
    let other = bed
        .create(bed.make.login_with(&player, &session.owner, long(), way))
        .await;

    // Up to its deadline it is read.
    let early = shorter(short().duration(), bed.slop * 2);
    bed.pass(slice::from_ref(&session), early).await;
    bed.is_about(
        "shortly before its deadline",
        bed.get(session.id).await.remaining,
        bed.slop * 2,
    );
    assert_eq!(bed.ids(&player).await, [session.id, other.id]);

    bed.pass(slice::from_ref(&session), bed.slop * 4).await;
    not_read(&bed, "expired and not swept", &session, &other).await;
    let (taken, ack) = bed.take_for_ack(&session).await;
    assert_eq!(taken.sessions.len(), 1, "one session has expired: {taken:?}");
    assert_eq!(
        taken.sessions[0].session.remaining,
        Duration::ZERO,
        "no time is left"
    );
    not_read(&bed, "taken", &session, &other).await;
    done("ack_expired", bed.store.ack_expired(ack).await);
    not_read(&bed, "acknowledged", &session, &other).await;
}

async fn not_read(bed: &Bed<'_>, what: &str, session: &SessionRecord, other: &SessionRecord) {
    bed.is_gone(what, session).await;
    assert_eq!(
        bed.ids(&session.player).await,
        [other.id],
        "{what}: find shows the other one"
    );
    for owner in [None, Some(&session.owner)] {
        let listed = pages(bed, owner, 10, async || {}).await;
        assert_eq!(ids(&listed), [other.id], "{what}: list shows the other one alone");
    }
}
