//! Guests who log in a second time, on another node, which takes them from where they are.

use std::time::{Duration, Instant};

use ringhold::{Address, Backend};

use super::{Guest, astray, enter};
use crate::demo::protocol::{Reply, Request, Step};
use crate::demo::wire::ANSWER_LIMIT;
use crate::exit::Failure;

/// Whoever is told later was not told by a call: its touch told it.
const CALLED: Duration = Duration::from_secs(10);

/// What came of the second logins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// So many came out.
    pub(crate) logins: u64,
    /// So many first connections were not ended with `BYE displaced` in time, or second ones are not the only
    /// ones.
    pub(crate) left: u64,
    /// From the answer to the second login until the first connection was told, each.
    pub(crate) times: Vec<Duration>,
    /// The last thing that was not as it should be.
    pub(crate) trouble: Option<String>,
}

impl Taken {
    pub(super) fn add(&mut self, other: Self) {
        self.logins += other.logins;
        self.left += other.left;
        self.times.extend(other.times);
        self.trouble = other.trouble.or_else(|| self.trouble.take());
    }
}

/// Logs the guest in at another node, while its first connection waits for its end. Answers the guest with
/// the connection that stays.
pub(super) async fn take(
    guest: Guest,
    host: usize,
    address: Address,
    backend: Backend,
) -> Result<(Guest, Taken), Failure> {
    let Guest {
        player,
        number,
        wire: mut first,
        ..
    } = guest;
    let entering = async {
        let entered = enter(&player, &address).await;
        (entered, Instant::now())
    };
    let ending = async {
        let said = first.answer(ANSWER_LIMIT).await;
        (said, Instant::now())
    };
    let ((entered, here), (said, told)) = tokio::join!(entering, ending);
    let (mut wire, fence) = entered?;
    let mut taken = Taken {
        logins: 1,
        ..Taken::default()
    };
    let closed = first.reply(ANSWER_LIMIT).await.is_err();
    let took = told.saturating_duration_since(here);
    match said {
        Ok(Reply::Bye(reason)) if reason == "displaced" && closed => {
            taken.times.push(took);
            if took > CALLED {
                taken.trouble = Some(format!("{player} was told only after {took:?}, by its touch"));
            }
        }
        other => {
            let trouble = astray(&player, "a login elsewhere", other);
            taken.trouble = Some(trouble.message().to_owned());
        }
    }
    // The second connection plays, and the store knows of no other.
    match wire
        .ask(&Request::Move(Step { dx: 0, dy: 1 }), ANSWER_LIMIT)
        .await
    {
        Ok(Reply::Pos(..)) => {}
        other => return Err(astray(&player, "MOVE", other)),
    }
    let stored = backend.sessions.find(&player).await?;
    if !matches!(&stored[..], [session] if session.fence == fence) {
        let sessions = stored.len();
        taken.trouble = Some(format!(
            "{player}: the store has {sessions} sessions, or another owner"
        ));
    }
    taken.left = u64::from(taken.trouble.is_some());
    let guest = Guest {
        player,
        host,
        number,
        wire,
    };
    Ok((guest, taken))
}
