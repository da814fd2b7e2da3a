//! What was answered to requests that have a key, so that a repetition is answered the same and nothing is
//! done twice.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, NodeIncarnation, OperationId, PlayerId, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use super::CALL;
use crate::shared::lock;

/// How many answers are kept, with those that are being made.
const ANSWERS_MAX: usize = 4_096;
/// How many bytes of answers are kept.
const BYTES_MAX: usize = 8 << 20;
/// How long an answer is kept: as long as any call may take.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Which request it is, over all its attempts. Two callers cannot mean the same, nor can two kinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) from: Option<NodeIncarnation>,
    pub(super) kind: &'static str,
    pub(super) player: Option<PlayerId>,
    pub(super) key: OperationId,
}

/// An answer that several can be given.
#[derive(Debug, Clone)]
pub(super) struct Answer(Result<Bytes, Arc<Error>>);

impl Answer {
    /// The answer, for one of those who wait for it.
    pub(super) fn get(self) -> Result<Bytes> {
        self.0.map_err(|error| match (error.kind(), error.owner()) {
            (ErrorKind::NotOwner, Some(owner)) => Error::not_owner(error.operation(), Some(owner.clone())),
            (kind, _) => Error::new(kind, error.operation(), error.context().to_owned())
                .with_retryable(error.is_retryable()),
        })
    }

    fn bytes(&self) -> usize {
        match &self.0 {
            Ok(body) => body.len(),
            Err(error) => error.context().len(),
        }
    }

    /// Whether a repetition is answered the same. Where repeating may help, or another node is to be
    /// asked, nothing was done.
    fn is_final(&self) -> bool {
        match &self.0 {
            Ok(_) => true,
            Err(error) => !error.is_retryable() && error.kind() != ErrorKind::NotOwner,
        }
    }
}

type Waiting = watch::Receiver<Option<Answer>>;

#[derive(Debug)]
enum Known {
    Running(Waiting),
    Answered(Answer),
}

#[derive(Debug, Default)]
struct Memory {
    known: HashMap<Name, Known>,
    /// Those that are answered, the oldest first.
    order: VecDeque<(Instant, Name)>,
    bytes: usize,
}

/// The answers of one node.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<Memory>);

/// What is known of a request that has come.
pub(super) enum Seen {
    /// It comes for the first time: whoever gets this answers it.
    First(First),
    /// It is being answered.
    Running(Waiting),
    /// It was answered.
    Answered(Answer),
}

/// The right to answer a request. Dropped without an answer, it was never seen.
pub(super) struct First {
    answers: Arc<Answers>,
    name: Option<Name>,
    tell: watch::Sender<Option<Answer>>,
}

impl Answers {
    /// Looks a request up.
    ///
    /// # Errors
    /// `Overloaded` when as many as are kept are being answered.
    pub(super) fn look(self: &Arc<Self>, name: Name) -> Result<Seen> {
        let mut memory = lock(&self.0);
        // What is asked for may be the oldest: room is made for what is new.
        let more = usize::from(!memory.known.contains_key(&name));
        memory.forget(Instant::now(), more);
        let is_full = memory.known.len() >= ANSWERS_MAX;
        match memory.known.entry(name) {
            Entry::Occupied(known) => Ok(match known.get() {
                Known::Running(waiting) => Seen::Running(waiting.clone()),
                Known::Answered(answer) => Seen::Answered(answer.clone()),
            }),
            Entry::Vacant(_) if is_full => {
                let context = "too many requests with a key are under way here";
                Err(Error::new(ErrorKind::Overloaded, CALL, context))
            }
            Entry::Vacant(free) => {
                let (tell, waiting) = watch::channel(None);
                let name = Some(free.key().clone());
                free.insert(Known::Running(waiting));
                let answers = Arc::clone(self);
                Ok(Seen::First(First { answers, name, tell }))
            }
        }
    }
}

impl Memory {
    /// Forgets what is too old, and the oldest that there is no room for beside `more`.
    fn forget(&mut self, now: Instant, more: usize) {
        while let Some((since, _)) = self.order.front() {
            let has_room = self.known.len() + more <= ANSWERS_MAX && self.bytes <= BYTES_MAX;
            if has_room && now.saturating_duration_since(*since) < KEPT_FOR {
                return;
            }
            if let Some((_, name)) = self.order.pop_front()
                && let Some(Known::Answered(answer)) = self.known.remove(&name)
            {
                self.bytes -= answer.bytes();
            }
        }
    }
}

impl First {
    /// Those who wait for the answer.
    pub(super) fn waiting(&self) -> Waiting {
        self.tell.subscribe()
    }

    /// Gives the answer to all who wait, and keeps it where a repetition is to be answered the same.
    pub(super) fn answer(mut self, answer: Result<Bytes>) {
        let answer = Answer(answer.map_err(Arc::new));
        if let Some(name) = self.name.take() {
            let mut memory = lock(&self.answers.0);
            if answer.is_final() {
                let now = Instant::now();
                memory.bytes += answer.bytes();
                memory.order.push_back((now, name.clone()));
                memory.known.insert(name, Known::Answered(answer.clone()));
                memory.forget(now, 0);
            } else {
                memory.known.remove(&name);
            }
        }
        self.tell.send_replace(Some(answer));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            lock(&self.answers.0).known.remove(&name);
        }
    }
}

/// Waits for an answer that somebody else makes.
pub(super) async fn wait(mut waiting: Waiting) -> Result<Bytes> {
    let answer = match waiting.wait_for(Option::is_some).await {
        Ok(answer) => answer.clone(),
        Err(_) => None,
    };
    answer.map_or_else(
        || {
            let context = "the node stopped before it had answered";
            Err(Error::new(ErrorKind::Unavailable, CALL, context))
        },
        Answer::get,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn name(number: u128) -> Name {
        Name {
            from: None,
            kind: "call",
            player: None,
            key: OperationId::from_bytes(number.to_be_bytes()),
        }
    }

    fn first(answers: &Arc<Answers>, number: u128) -> First {
        match answers.look(name(number)).unwrap() {
            Seen::First(first) => first,
            _ => panic!("{number} is known"),
        }
    }

    fn is_kept(answers: &Arc<Answers>, number: u128) -> bool {
        matches!(answers.look(name(number)), Ok(Seen::Answered(_)))
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answers_make_room() {
        let answers = Arc::new(Answers::default());
        for number in 0..5_000 {
            first(&answers, number).answer(Ok(Bytes::new()));
        }
        let kept = lock(&answers.0).known.len();
        assert_eq!((kept, lock(&answers.0).order.len()), (ANSWERS_MAX, ANSWERS_MAX));
        assert!(
            is_kept(&answers, 4_999) && is_kept(&answers, 904),
            "the oldest is looked up, not forgotten"
        );
        assert!(!is_kept(&answers, 903));

        let large = Bytes::from(vec![0; 1 << 20]);
        for number in 10_000..10_020 {
            first(&answers, number).answer(Ok(large.clone()));
            assert!(lock(&answers.0).bytes <= BYTES_MAX);
        }
        assert!(is_kept(&answers, 10_019) && is_kept(&answers, 10_012) && !is_kept(&answers, 10_011));
        advance(KEPT_FOR).await;
        drop(first(&answers, 20_000));
        let memory = lock(&answers.0);
        assert_eq!((memory.known.len(), memory.order.len(), memory.bytes), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_being_answered_is_never_forgotten() {
        let answers = Arc::new(Answers::default());
        first(&answers, 0).answer(Ok(Bytes::new()));
        let running: Vec<_> = (1..=ANSWERS_MAX as u128)
            .map(|number| first(&answers, number))
            .collect();
        assert!(!is_kept(&answers, 0), "it made room");
        advance(KEPT_FOR * 2).await;
        let refused = answers.look(name(9_999)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        let Ok(Seen::Running(waiting)) = answers.look(name(1)) else {
            panic!("1 is forgotten")
        };
        let waiting = tokio::spawn(wait(waiting));
        drop(running);
        let stopped = waiting.await.unwrap().unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::Unavailable);
        drop(first(&answers, 1));
    }

    #[test]
    fn an_answer_is_given_as_it_was() {
        let error = Error::new(ErrorKind::Timeout, "test", "so").with_retryable(false);
        let again = Answer(Err(Arc::new(error))).get().unwrap_err();
        assert_eq!(
            (again.to_string(), again.is_retryable()),
            ("test: timeout: so".to_owned(), false)
        );
        let incarnation = ringhold_core::Incarnation {
            number: 3,
            nonce: ringhold_core::Nonce::from_bytes([1; 16]),
        };
        let owner = NodeIncarnation::new(ringhold_core::NodeId::new("a").unwrap(), incarnation);
        let moved = Answer(Err(Arc::new(Error::not_owner("test", Some(owner.clone())))));
        assert!(!moved.is_final());
        assert_eq!(moved.get().unwrap_err().owner(), Some(&owner));
    }
}
