//! `ringhold sessions`: show sessions, or end one.

mod list;

use clap::Subcommand;
use ringhold::core::session::RemoveSession;
use ringhold::{ErrorKind, Observer, OperationId, PlayerId, SessionId, SessionRecord};
use serde::Serialize;

pub use list::ListArgs;

use crate::exit::Failure;
use crate::output::{Output, grouped, lines, millis, shown, table};
use crate::random;

/// What to do with sessions.
#[derive(Debug, Subcommand)]
#[non_exhaustive]
pub enum SessionsCommand {
    /// Show live sessions by id
    List(ListArgs),
    /// Show one live session
    Get {
        /// The session's id, such as `35a-00112233445566778899aabbccddeeff`
        id: SessionId,
    },
    /// Show the live sessions of a player, oldest first
    Find {
        /// The player's id
        player: PlayerId,
    },
    /// End a session, whoever holds it; the player's next login starts anew
    Remove {
        /// The session's id
        id: SessionId,
    },
}

impl SessionsCommand {
    /// The command's words, as they stand on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "sessions list",
            Self::Get { .. } => "sessions get",
            Self::Find { .. } => "sessions find",
            Self::Remove { .. } => "sessions remove",
        }
    }
}

/// One live session. Its data is the application's and is not shown.
#[derive(Debug, Serialize)]
pub struct SessionRow {
    /// Its id.
    pub session: String,
    /// Whose it is.
    pub player: String,
    /// The node that holds it.
    pub node: String,
    /// Which run of that node.
    pub incarnation: u64,
    /// Whether that run is a member of the fleet; if not, the next login claims the session.
    pub owner_live: bool,
    /// Counts its owners.
    pub epoch: u64,
    /// Counts the writes of its data.
    pub version: u64,
    /// How many bytes of data it has.
    pub data_bytes: usize,
    /// The time to live that its last touch asked for.
    pub ttl_ms: u64,
    /// How long it lives unless it is touched.
    pub remaining_ms: u64,
}

impl SessionRow {
    /// The row of a record.
    pub fn new(record: &SessionRecord, owner_live: bool) -> Self {
        Self {
            session: record.id.to_string(),
            player: record.player.to_string(),
            node: record.owner.node.to_string(),
            incarnation: record.owner.incarnation.number,
            owner_live,
            epoch: record.fence.epoch,
            version: record.version.get(),
            data_bytes: record.data.len(),
            ttl_ms: record.ttl.as_millis(),
            remaining_ms: millis(record.remaining),
        }
    }

    fn seen_by(observer: &Observer, record: &SessionRecord) -> Self {
        Self::new(record, observer.view().incarnation(&record.owner).is_some())
    }
}

/// Runs one of the commands.
///
/// # Errors
/// `No` when there is no such session; those of the store.
pub async fn run(
    observer: &Observer,
    command: &SessionsCommand,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        SessionsCommand::List(args) => list::run(observer, args, output).await,
        SessionsCommand::Get { id } => {
            let found = observer.backend().sessions.get(id).await?;
            let record = found.ok_or_else(|| no_session(id))?;
            print(&[SessionRow::seen_by(observer, &record)], output)
        }
        SessionsCommand::Find { player } => {
            let found = observer.backend().sessions.find(player).await?;
            if found.is_empty() {
                return Err(Failure::not_found(format!(
                    "no live session of the player {player:?}"
                )));
            }
            let rows: Vec<SessionRow> = found
                .iter()
                .map(|record| SessionRow::seen_by(observer, record))
                .collect();
            print(&rows, output)
        }
        SessionsCommand::Remove { id } => remove(observer, *id, output).await,
    }
}

fn no_session(id: &SessionId) -> Failure {
    Failure::not_found(format!("no live session {id}"))
}

/// How often a removal follows a session to a new owner before it gives up.
const FOLLOWS: usize = 8;

/// Ends the session under whatever fence it has now. Its holder is told by its next touch or save.
async fn remove(observer: &Observer, id: SessionId, output: &mut Output<'_>) -> Result<(), Failure> {
    let store = &observer.backend().sessions;
    for _ in 0..FOLLOWS {
        let record = store.get(&id).await?.ok_or_else(|| no_session(&id))?;
        match store
            .remove(RemoveSession::new(
                id,
                record.fence,
                OperationId::from_bytes(random::bytes()?),
            ))
            .await
        {
            Ok(_) => {
                let row = SessionRow::seen_by(observer, &record);
                return output.show(&row, |row| {
                    format!("ended {} of {} on {}", row.session, shown(&row.player), row.node)
                });
            }
            // It changed hands between the read and the write.
            Err(error) if error.kind() == ErrorKind::Fenced => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_session(&id)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::failed(format!(
        "the session {id} changed hands {FOLLOWS} times meanwhile; try again"
    )))
}

/// Prints sessions: one JSON value a line, or one table.
fn print(rows: &[SessionRow], output: &mut Output<'_>) -> Result<(), Failure> {
    if output.is_json() {
        return rows.iter().try_for_each(|row| output.value(row));
    }
    let mut table = table(&[
        "SESSION", "PLAYER", "NODE", ">EPOCH", ">VERSION", ">BYTES", ">LEFT",
    ]);
    for row in rows {
        let gone = if row.owner_live { "" } else { ", left" };
        table.add_row([
            row.session.clone(),
            shown(&row.player),
            format!("{}#{}{gone}", row.node, row.incarnation),
            row.epoch.to_string(),
            grouped(row.version),
            grouped(row.data_bytes as u64),
            format!("{} s", row.remaining_ms.div_ceil(1_000)),
        ]);
    }
    output.line(lines(&table))
}
