//! Connections that have asked for nothing yet.

use std::collections::VecDeque;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// Those that may have to go, the oldest first: whoever can reach the server can open a connection, and
/// must not keep out those who have something to ask.
#[derive(Default)]
pub(super) struct Newcomers {
    waiting: VecDeque<(AbortHandle, CancellationToken)>,
    /// Those that are none any more are looked for above this.
    look_at: usize,
}

impl Newcomers {
    /// One more, whose token is cancelled when it has asked for something.
    pub(super) fn push(&mut self, task: AbortHandle, requested: CancellationToken) {
        if self.waiting.len() >= self.look_at {
            self.waiting.retain(|(task, requested)| is_one(task, requested));
            self.look_at = (2 * self.waiting.len()).max(64);
        }
        self.waiting.push_back((task, requested));
    }

    /// Ends the oldest; `false` where there is none.
    pub(super) fn end_one(&mut self) -> bool {
        while let Some((task, requested)) = self.waiting.pop_front() {
            if is_one(&task, &requested) {
                task.abort();
                return true;
            }
        }
        false
    }
}

fn is_one(task: &AbortHandle, requested: &CancellationToken) -> bool {
    !requested.is_cancelled() && !task.is_finished()
}
