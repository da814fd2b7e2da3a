//! What the connections of one caller have together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::io::Pace;
use crate::GrpcLimits;
use crate::security::Caller;

/// The callers that are told apart, while they are connected.
#[derive(Default)]
pub(super) struct Callers {
    known: Arc<Mutex<HashMap<String, Known>>>,
}

struct Known {
    pace: Arc<Pace>,
    connections: usize,
}

/// One connection's part of its caller.
pub(super) struct Share {
    /// How fast the caller may ask.
    pub(super) pace: Arc<Pace>,
    _place: Option<Place>,
}

/// One of the connections that a caller may have. Dropping it makes room for another.
struct Place {
    identity: String,
    known: Weak<Mutex<HashMap<String, Known>>>,
}

impl Callers {
    /// One more connection of a caller; `None` where it has too many. Who cannot be told from others is
    /// a caller of its own with each connection.
    pub(super) fn enter(&self, caller: &Caller, limits: &GrpcLimits) -> Option<Share> {
        let Some(identity) = caller.identity() else {
            return Some(Share {
                pace: Arc::new(Pace::new(limits)),
                _place: None,
            });
        };
        let mut all = lock(&self.known);
        if !all.contains_key(&identity) {
            // Who left and is owed everything again would be the same as somebody new.
            all.retain(|_, known| known.connections > 0 || !known.pace.is_calm());
        }
        let known = all.entry(identity.clone()).or_insert_with(|| Known {
            pace: Arc::new(Pace::new(limits)),
            connections: 0,
        });
        if known.connections >= limits.caller_connections_max {
            return None;
        }
        known.connections += 1;
        let place = Place {
            identity,
            known: Arc::downgrade(&self.known),
        };
        Some(Share {
            pace: Arc::clone(&known.pace),
            _place: Some(place),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(known) = self.known.upgrade() else {
            return;
        };
        let mut all = lock(&known);
        if let Some(known) = all.get_mut(&self.identity) {
            known.connections -= 1;
        }
    }
}

fn lock(known: &Mutex<HashMap<String, Known>>) -> MutexGuard<'_, HashMap<String, Known>> {
    // Nothing under the lock runs foreign code.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
