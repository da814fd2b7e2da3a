//! `Session<T>`: the handle of a player who is attached to this node.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringhold_core::session::Saved;
use ringhold_core::{Error, Fence, PlayerId, Result, SessionId, Version};

use crate::attached::Attached;
use crate::coalesce::Coalescer;
use crate::codec::Codec;
use crate::events::SessionEvent;
use crate::node::Node;
use crate::save;
use crate::shared::lock;

/// The handle of an attached player, with a value of the application.
///
/// The value is what the last [`save`](Self::save) of any holder stored. The session is touched in
/// the background for as long as the handle lives. Dropping the handle *detaches*: the session
/// stays in the store to its deadline, and the player can come back to it, here or, once this node
/// has left, elsewhere. [`close`](Self::close) ends it.
///
/// Whatever a displaced handle has not saved is lost.
pub struct Session<T> {
    node: Arc<Node>,
    attached: Arc<Attached>,
    value: T,
    codec: Codec<T>,
    is_new: bool,
    coalescer: Option<Arc<Coalescer>>,
}

impl<T> Session<T> {
    pub(crate) fn new(
        node: Arc<Node>,
        attached: Arc<Attached>,
        codec: Codec<T>,
        value: T,
        is_new: bool,
    ) -> Self {
        Self {
            node,
            attached,
            value,
            codec,
            is_new,
            coalescer: None,
        }
    }

    /// The session's id, for the client to come back with.
    pub fn id(&self) -> SessionId {
        self.attached.id
    }

    /// Whose it is.
    pub fn player(&self) -> &PlayerId {
        &self.attached.player
    }

    /// The fence under which it is held.
    pub fn fence(&self) -> Fence {
        self.attached.fence()
    }

    /// The version of the data that was last acknowledged.
    pub fn version(&self) -> Version {
        self.attached.version()
    }

    /// Whether this login made the session; `false` when the player came back to it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value, to change it. Nothing is stored before the next [`save`](Self::save), unless
    /// [`save_every`](Self::save_every) was called.
    pub fn value_mut(&mut self) -> ValueMut<'_, T> {
        ValueMut { session: self }
    }

    /// Stores the value.
    ///
    /// The value is encoded, and decoded once to verify that the next login can read it; a value
    /// that fails this is refused, and nothing is written. Fields are stored by position, so none may be
    /// skipped: `skip_serializing_if` is refused when it skips, and so are tagged and untagged
    /// enums, `flatten` and `serde_json::Value`, which need a format that describes itself. A type whose
    /// `Serialize` and `Deserialize` disagree in another way (`skip_serializing` without
    /// `skip_deserializing`, a skipped field of a tuple struct) may be read as another value.
    ///
    /// # Cancel safety
    /// A dropped future does not stop the save: it goes on in the background, and whether it
    /// succeeded shows in [`version`](Self::version).
    ///
    /// # Errors
    /// - `Fenced`: this node no longer holds the session; [`event`](Self::event) tells why.
    /// - `InvalidArgument`: the value cannot be encoded, or not be decoded again; nothing was written.
    /// - `TooLarge`: the encoded value is over the limit; nothing was written.
    /// - `Unavailable`: no answer for 20 s. The save may have happened.
    pub async fn save(&mut self) -> Result<Saved> {
        let data = self.codec.encode("save", &self.value)?;
        let change = self.attached.next_change();
        // What is pending stays: once this is stored it is outdated, and if this fails it is tried again.
        save::save(&self.node, &self.attached, change, data).await
    }

    /// From now on stores changes by itself: `period` after a change its value is stored, with all
    /// later changes in it. A crash of this process loses at most the changes of one period and of
    /// the save that is on its way. Dropping the handle stores what is pending. While the store is
    /// away it is tried again; the newest value is kept.
    ///
    /// Each change encodes the value once and verifies it as [`save`](Self::save) does; a change that is
    /// refused leaves what was pending. A change during which its code panics is not stored.
    /// Errors are logged and kept for [`take_save_error`](Self::take_save_error).
    pub fn save_every(&mut self, period: Duration) {
        let coalescer = save::coalesce(&self.node, &self.attached, period);
        if let Some(earlier) = self.coalescer.replace(coalescer) {
            earlier.close();
        }
    }

    /// The last error of a save that nobody waited for.
    pub fn take_save_error(&mut self) -> Option<Error> {
        self.coalescer.as_ref()?.take_error()
    }

    /// Waits for the next event: a message to the player, in the order in which they came, or the end of
    /// the session. An end is told at once, and again when asked again; messages that wait are gone then.
    ///
    /// While nobody asks, 64 messages or 256 KiB wait; further ones are refused (`Overloaded` for
    /// their senders).
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn event(&mut self) -> SessionEvent {
        let mut ended = self.attached.watch_end();
        loop {
            if let Some(event) = ended.borrow_and_update().clone() {
                return event;
            }
            // Nobody keeps the session alive any more.
            if self.node.stop.is_cancelled() {
                return SessionEvent::Fenced;
            }
            if let Some(message) = self.attached.inbox.take() {
                return SessionEvent::Message(message);
            }
            tokio::select! {
                // The sender lives in `self.attached`.
                _ = ended.changed() => {}
                () = self.node.stop.cancelled() => {}
                () = self.attached.inbox.arrived() => {}
            }
        }
    }

    /// Ends the session: the player starts anew at the next login. Pending changes are not stored.
    ///
    /// # Errors
    /// `Fenced` when this node no longer holds it, and then nothing was ended; `Unavailable` after
    /// 20 s without an answer.
    pub async fn close(mut self) -> Result<()> {
        if let Some(coalescer) = self.coalescer.take() {
            coalescer.take();
            coalescer.close();
        }
        save::remove(&self.node, &self.attached, SessionEvent::Fenced).await
    }

    fn changed(&self) {
        let Some(coalescer) = &self.coalescer else { return };
        match self.codec.encode("save", &self.value) {
            Ok(data) => coalescer.put(self.attached.next_change(), data),
            Err(error) => {
                tracing::warn!(session = ?self.attached.id, %error, "a change cannot be stored");
                coalescer.put_error(error);
            }
        }
    }
}

impl<T> Drop for Session<T> {
    fn drop(&mut self) {
        if let Some(coalescer) = &self.coalescer {
            if self.attached.ended().is_none() {
                // The player's next login here waits until this is stored.
                let entry = (Arc::clone(&self.attached), Arc::clone(coalescer));
                lock(&self.node.closing).insert(self.attached.player.clone(), entry);
            }
            coalescer.close();
        }
        self.node.attached.detach(&self.attached);
        self.node.count_sessions();
    }
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.attached.id)
            .field("player", &self.attached.player)
            .field("fence", &self.attached.fence())
            .finish_non_exhaustive()
    }
}

/// A session's value, borrowed to change it.
///
/// Dropped while its thread unwinds from a panic, it stores nothing, since the change may be half
/// made. The value keeps what was changed: log in again to return to the stored value.
#[derive(Debug)]
pub struct ValueMut<'a, T> {
    session: &'a mut Session<T>,
}

impl<T> Deref for ValueMut<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.session.value
    }
}

impl<T> DerefMut for ValueMut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.session.value
    }
}

impl<T> Drop for ValueMut<'_, T> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.session.changed();
        }
    }
}
