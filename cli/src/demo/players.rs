//! The players as the script sees them, in this process or in one of their own.

use std::time::Duration;

use ringhold::Address;

use super::crowd::Crowd;
use super::node::Setting;
use super::orders::{Answer, Ask, PlayersOrder, Seen, Stopped};
use super::process::{Lines, Process};
use super::world::World;
use crate::exit::Failure;

/// How long an answer may take. A busy machine needs some time to look at a hundred thousand players.
const ANSWER: Duration = Duration::from_secs(30);

/// All players of a demo.
#[derive(Debug)]
pub(crate) enum Players {
    Here(Crowd),
    Apart {
        process: Process,
        lines: Lines,
        /// Numbers what is asked, so that an answer that nobody waited for is not taken for another.
        asked: u64,
    },
}

impl Players {
    /// Room for so many players, whose names begin with `tag`. None has come yet.
    ///
    /// # Errors
    /// Of the operating system.
    pub(crate) fn start(setting: &Setting, players: usize, tag: &str) -> Result<Self, Failure> {
        let tag = tag.to_owned();
        Ok(match setting {
            Setting::Here(_) => Self::Here(Crowd::new(World::new(players), tag)?),
            Setting::Apart(_) => {
                let order = PlayersOrder { tag, players };
                let (process, lines) = Process::start("the players", "demo-players", &order)?;
                Self::Apart {
                    process,
                    lines,
                    asked: 0,
                }
            }
        })
    }

    /// The id of their process, where they have one of their own.
    pub(crate) const fn pid(&self) -> Option<u32> {
        match self {
            Self::Here(_) => None,
            Self::Apart { process, .. } => Some(process.pid()),
        }
    }

    /// Asks them something.
    ///
    /// # Errors
    /// Why their process does not answer.
    ///
    /// # Cancel safety
    /// It has been asked, or not; what is asked next gets its own answer.
    async fn answer(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match self {
            Self::Here(crowd) => crowd.answer(ask).await,
            Self::Apart {
                process,
                lines,
                asked,
            } => {
                *asked += 1;
                process.say(&(*asked, ask))?;
                loop {
                    let (number, answer): (u64, Answer) = process.next(lines, ANSWER).await?;
                    if number == *asked {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// Has them do something that needs no answer.
    pub(crate) async fn tell(&mut self, ask: Ask) -> Result<(), Failure> {
        match self.answer(ask).await? {
            Answer::Done => Ok(()),
            other => Err(astray(&other)),
        }
    }

    /// Notes which nodes are about to be killed; answers how many players they have.
    pub(crate) async fn condemn(&mut self, addresses: Vec<Address>) -> Result<usize, Failure> {
        match self.answer(Ask::Condemn(addresses)).await? {
            Answer::Condemned(players) => Ok(players),
            other => Err(astray(&other)),
        }
    }

    /// What can be seen of them.
    pub(crate) async fn look(&mut self) -> Result<Seen, Failure> {
        match self.answer(Ask::Look).await? {
            Answer::Seen(seen) => Ok(seen),
            other => Err(astray(&other)),
        }
    }

    /// Some who have stopped, and whether those are the last.
    pub(crate) async fn collect(&mut self) -> Result<(Vec<Stopped>, bool), Failure> {
        match self.answer(Ask::Collect).await? {
            Answer::Stopped { players, all } => Ok((players, all)),
            other => Err(astray(&other)),
        }
    }

    /// Ends them.
    pub(crate) async fn end(self, limit: Duration) {
        if let Self::Apart { process, .. } = self {
            process.end(limit).await;
        }
    }
}

fn astray(answer: &Answer) -> Failure {
    Failure::failed(format!(
        "the players answer something else than was asked: {answer:?}"
    ))
}
