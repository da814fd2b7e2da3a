//! The trait of a session store, and its contract.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RepairSessions, RepairedSessions, RestoreSession, Restored, SaveSession, Saved, SessionPage,
    SessionRecord, TakeExpired, TakenSessions, Touch, TouchedMany,
};
use crate::{Error, ErrorKind, Limits, Partition, PlayerId, Result, SessionId};

/// Holds sessions, the same on every backend.
///
/// # Contract
///
/// Each rule has one function of the same name in `ringhold_testkit::session_store`.
///
/// **Logging in**
/// - `create_makes_a_session`: without a live session of the player, `create` makes one of version
///   1 and epoch 1 with the caller's id, nonce and data.
/// - `create_returns_the_existing`: under `Existing`, a live session is returned as `Existing`, byte for
///   byte untouched: the newest of the same owner, otherwise the player's newest. Where there is none,
///   a session is made.
/// - `create_takes_over_its_own`: under `Takeover`, the newest live session of the same owner keeps id,
///   version and data; its fence is new with the next epoch, and the old hold is in `displaced`.
/// - `create_leaves_anothers_alone`: under `Takeover{from: Own}`, a live session of another
///   incarnation, of the same node too, is answered as `Elsewhere`, byte for byte untouched.
/// - `create_takes_over_anyones`: under `Takeover{from: Anyone}` it is taken over like one's own.
/// - `create_rejects`: under `Reject`, `AlreadyExists`, and nothing changes.
/// - `create_replaces`: under `Replace` there is a new session, and every old one has ended.
/// - `create_allows_up_to_max`: under `Allow{max}` the oldest sessions end, in the order in which
///   the store made them, until there are `max` with the new one. A `max` that is not 1 to 64 is
///   `InvalidArgument`.
/// - `create_is_idempotent`: a repetition, told by its session id, owner and nonce, answers the same outcome,
///   session id, fence and displaced holds as the first time, also when data was saved in between;
///   an expired session it revives. The same id with another owner or nonce is `AlreadyExists`. A login
///   that returned a session untouched (`Existing`, `Elsewhere`) left nothing to repeat: sent again, it
///   looks again, and may make a session.
/// - `create_never_resurrects`: once a login was displaced, claimed, closed, or acknowledged as expired, a
///   late repetition of it is `Fenced` for 60 s, also where it had taken a session over.
/// - `create_unlinks_the_expired`: an expired session does not stand in a login's way and is not
///   among the displaced. It can no longer be revived afterwards (a touch answers
///   `Ended(Displaced)`, a late repetition of its login is `Fenced`), and its expiry is still delivered.
/// - `create_checks_the_partition`: an id of another partition than the player's is `InvalidArgument`.
///
/// **Writing**
/// - `save_compares_fence_and_version`: `Fenced` for a wrong fence, `VersionConflict` for a wrong
///   version, `NotFound` for an unknown id; otherwise the version grows by one and the deadline moves.
/// - `save_is_idempotent`: a repetition with the same operation id answers the version of the first
///   time, also after a claim: that write did happen.
/// - `touch_extends_and_keeps_the_version`, `touch_answers_each`: one answer per touch, in order; a
///   wrong fence names the owner, an ended session its reason; a touch may also shorten the time left.
/// - `claim_changes_the_owner`: with the fence that stands (and the version, where given), the owner
///   and the fence are new, the epoch is the next, id, data and version stay. `Fenced` for another
///   fence, `VersionConflict` for another version, `NotFound` for an unknown id.
/// - `claim_is_idempotent`: a repetition with the same nonce answers the same session, and revives it
///   when it has expired.
/// - `one_claim_wins`: of claims on one fence, one wins, and the others are `Fenced`.
/// - `remove_compares_the_fence`: `Fenced` for another fence, nothing removed; `NotFound` for an
///   unknown id; a repetition with the same operation id is `Ok`.
/// - `ended_is_fenced`: `save`, `claim`, `restore` and `remove` (but its own repetition) of an ended
///   session are `Fenced` while its tombstone stands: 60 s.
/// - `restore_brings_back`: where the store knows nothing of the id, the session stands again with
///   the next epoch and the given data and version. Where it stands under the caller's own fence,
///   it is answered as it stands, revived when it has expired; a repetition with the same nonce
///   likewise. It unlinks the player's expired sessions as a login does.
/// - `restore_yields_to_others`: `Fenced` where it ended or stands under another fence,
///   `AlreadyExists` where the player has `live_max` other live sessions; a `live_max` that is not
///   1 to 64 is `InvalidArgument`.
///
/// **Reading**
/// - `get_and_find_show_live_sessions`: `find` answers the player's live sessions, oldest first.
/// - `list_pages_through_everything`: every session that lives throughout the listing is on exactly
///   one page; by owner, only its own.
/// - `count_is_of_live_sessions`: `count` is the number of a partition's live sessions; tombstones and expired
///   sessions, swept or not, are not part of it.
/// - `expired_is_never_read`: not by `get`, `find` or `list`, swept or not.
///
/// **Expiring**
/// - `expired_can_be_revived`: by `touch`, `save`, `claim`, or a repetition of what made its holder,
///   until acknowledged or unlinked.
/// - `expiry_goes_to_one_sweeper`: of two takes within the visibility timeout one gets the session.
/// - `expiry_comes_again`: after the visibility timeout, until acknowledged.
/// - `hiding_keeps_the_take`: [`AckExpired::hide`] sets how long the session stays hidden, longer or shorter
///   than before, and keeps its token; with a void token it is `Fenced`, for an unknown id `NotFound`.
/// - `a_take_is_bounded_in_bytes`: over all its partitions, and for one; a session that alone exceeds the
///   limit is taken alone. Sessions that are left out are not hidden, and `more` has their partitions.
/// - `a_tick_names_partitions_with_expired_sessions`: a take with limit 0 takes nothing, and `more` has the
///   partitions from which another take gets sessions.
/// - `a_write_voids_the_token`: after a touch, save or claim, `ack_expired` is `Fenced`.
/// - `ack_is_idempotent`: a repetition with the same token is `Ok`; another token is `Fenced`, an
///   unknown id `NotFound`.
/// - `tombstones_go`: 60 s after the end, the id is unknown again once `take_expired` came by.
/// - `time_stands_still`: while nobody writes to or takes from a partition, its clock moves by at
///   most [`StoreClock::PARTITION_CAP`](crate::clock::StoreClock::PARTITION_CAP).
///
/// **Bad input**
/// - `data_over_the_limit_is_too_large`, before any I/O, in `create`, `save` and `restore`.
/// - `odd_players_are_players`: braces, NUL, line ends, 128 bytes of four-byte characters.
///
/// # Atomicity and round trips
/// Every method but `list` is one round trip, and atomic per session and its index entries: a crash
/// between any two lines leaves no orphan. `touch_many` and `take_expired` are atomic per item and
/// partition.
///
/// # Cancel safety
/// Dropping the future of a write is *ambiguous*, as a `Timeout` is: the write may have happened.
/// Repeat it unchanged; every write is idempotent. A `take_expired` whose answer was lost hides its
/// sessions for the visibility timeout; draw a new token for the next one.
///
/// # Errors
/// Beside the kinds named above: `Unavailable`, `Timeout` and `Overloaded`, all retryable;
/// `Corrupt` and `Unsupported` where the record of exactly this session cannot be read. A store that lost sessions and
/// waits for their owners to restore them refuses `find` and `create` of such a player with
/// [`Error::recovering`](crate::Error::recovering).
#[async_trait]
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// The limits in force.
    fn limits(&self) -> Limits;

    /// Logs a player in.
    async fn create(&self, request: CreateSession) -> Result<Created>;

    /// A live session by its id.
    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>>;

    /// The live sessions of a player, oldest first.
    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>>;

    /// Writes data.
    async fn save(&self, request: SaveSession) -> Result<Saved>;

    /// Extends the lives of sessions; answers in the order of the touches.
    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany>;

    /// Changes the owner. Proves nothing about the old one: only the runtime may decide to call it.
    async fn claim(&self, request: ClaimSession) -> Result<Claimed>;

    /// Ends a session.
    async fn remove(&self, request: RemoveSession) -> Result<Removed>;

    /// Brings back a session that the store lost.
    async fn restore(&self, request: RestoreSession) -> Result<Restored>;

    /// One page of live sessions by id.
    async fn list(&self, request: ListSessions) -> Result<SessionPage>;

    /// Returns how many live sessions a partition has, from what the store keeps and not from a listing, so that
    /// a listing can be checked against it. Sessions that cannot be read are included where a listing has them
    /// among the unreadable. O(sessions of the partition).
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` and `Overloaded`.
    ///
    /// # Cancel safety
    /// It writes nothing; dropping the future loses nothing.
    async fn count(&self, partition: Partition) -> Result<u64>;

    /// Checks one part of what is stored of sessions, each entry against those that it belongs with, and repairs it
    /// on request. A whole check begins without a cursor and goes on after `next` until there is none. Each repair is
    /// atomic and changes nothing that fits together, so a fleet may run; what a running fleet writes between two
    /// parts may be missed.
    ///
    /// # Errors
    /// `Unsupported` by default, for stores that end with their process; `InvalidArgument` for a cursor of another
    /// store; `Unavailable`, `Timeout` and `Overloaded`.
    ///
    /// # Cancel safety
    /// Dropping the future of a check loses nothing. That of a repair is ambiguous, and repeating it is safe.
    async fn repair(&self, request: RepairSessions) -> Result<RepairedSessions> {
        let _ = request;
        Err(Error::new(
            ErrorKind::Unsupported,
            "repair",
            "this store ends with its process and has nothing to repair",
        ))
    }

    /// Takes expired sessions, deletes tombstones that are due, and advances the partitions' clocks.
    /// A partition that does not answer within the deadline of the request delays no other.
    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions>;

    /// Ends an expired session for good, or keeps it hidden from other takes.
    async fn ack_expired(&self, request: AckExpired) -> Result<Acked>;
}

/// How long a removed, displaced or acknowledged session is remembered: longer than any overall
/// deadline, so that no late repetition meets an empty place.
pub const TOMBSTONE_TTL: Duration = Duration::from_secs(60);
