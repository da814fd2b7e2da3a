//! etcd's own watch as a bell: it makes a watcher look at once, and says nothing.
//!
//! What has changed stands in the log of changes, where nothing is missed and nothing comes out of order,
//! whatever happens to a stream; a bell that does not ring costs a watcher the rest of a heartbeat. So a
//! stream that breaks, is cut short by a compaction, or whose member is left out is opened again, and rings
//! once as it does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_client::WatchOptions;
use ringhold_core::Result;
use ringhold_kv::schema;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::random;
use crate::supervisor::Link;
use crate::transaction::Runner;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a stream may take to be opened.
const OPEN_MAX: Duration = Duration::from_secs(2);

/// One bell for all watches of a process. It listens to etcd while anybody listens to it.
pub(super) struct Bell {
    runner: Runner,
    rings: watch::Sender<()>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell")
            .field("listeners", &self.rings.receiver_count())
            .finish_non_exhaustive()
    }
}

/// What one watch hears.
#[derive(Debug)]
pub(super) struct Ring {
    rings: watch::Receiver<()>,
    /// Keeps it ringing.
    _bell: Arc<Bell>,
}

impl Ring {
    /// From here on, only what rings later counts.
    pub(super) fn answered(&mut self) {
        self.rings.mark_unchanged();
    }

    /// Returns when it has rung since. Cancel safe.
    pub(super) async fn rung(&mut self) {
        if self.rings.changed().await.is_err() {
            // Its bell lives as long as it does.
            std::future::pending::<()>().await;
        }
    }
}

impl Bell {
    pub(super) fn new(runner: Runner) -> Self {
        Self {
            runner,
            rings: watch::Sender::new(()),
            task: Mutex::default(),
        }
    }

    /// Listens to it, and makes it listen to etcd.
    pub(super) fn listen(bell: &Arc<Self>) -> Ring {
        let mut task = bell.task.lock().unwrap_or_else(PoisonError::into_inner);
        let rings = bell.rings.subscribe();
        if task.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let follow = follow(bell.runner.clone(), bell.rings.clone());
            *task = Some(AbortOnDropHandle::new(tokio::spawn(follow)));
        }
        drop(task);
        Ring {
            rings,
            _bell: Arc::clone(bell),
        }
    }
}

/// Rings at every change, while anybody listens.
async fn follow(runner: Runner, rings: watch::Sender<()>) {
    let mut pause = PAUSE_MIN;
    let listen = async {
        loop {
            match listen(&runner, &rings, &mut pause).await {
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "the watch of etcd is opened again"),
            }
            sleep(random::jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    };
    tokio::select! {
        () = listen => {}
        () = rings.closed() => {}
    }
}

/// One stream, until it ends.
async fn listen(runner: &Runner, rings: &watch::Sender<()>, pause: &mut Duration) -> Result<()> {
    const BELL: &str = "watch";
    let link = runner.supervisor().link(BELL).await?;
    tokio::select! {
        () = stream(runner, &link, rings, pause) => {}
        () = runner.supervisor().left_out(&link) => {}
    }
    Ok(())
}

async fn stream(runner: &Runner, link: &Link, rings: &watch::Sender<()>, pause: &mut Duration) {
    let options = WatchOptions::new().with_range(runner.key(&schema::end_of(schema::CHANGES)));
    let mut client = link.client.watch_client();
    let opened = timeout(OPEN_MAX, client.watch(runner.key(schema::CHANGES), Some(options))).await;
    let Ok(Ok(mut stream)) = opened else {
        return;
    };
    while let Ok(Some(told)) = stream.message().await {
        if told.canceled() {
            return;
        }
        // It was opened: what came before, it does not tell.
        *pause = PAUSE_MIN;
        rings.send_replace(());
    }
}
