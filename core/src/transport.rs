//! How two nodes talk about a player, and how one asks whether another is well.

mod request;
mod stream;
mod trace;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use request::{BODY_BYTES_MAX, PeerRequest, TIME_LEFT_MAX};
pub use stream::{PeerReceiver, PeerSender, PeerStream, ReceiveHalf, SendHalf};
pub use trace::TraceContext;

use crate::id::Address;
use crate::{Error, ErrorKind, NodeIncarnation, NodeRecord, Result};

/// Answers requests on the node that they are meant for.
#[async_trait]
pub trait PeerHandler: Send + Sync {
    /// Answers one request. Its future is dropped when the caller's time is over.
    ///
    /// A request with a [`key`](PeerRequest::key) may come twice, after an answer that was lost.
    async fn handle(&self, request: PeerRequest) -> Result<Bytes>;

    /// Takes a stream, or refuses it. It returns when it has decided, before the request's time is over;
    /// what then runs on the stream is a task of the handler's own.
    ///
    /// Unless written, every stream is `Unsupported`.
    async fn open(&self, request: PeerRequest, stream: PeerStream) -> Result<()> {
        drop((request, stream));
        Err(Error::new(ErrorKind::Unsupported, "open", "takes no streams"))
    }
}

type OnHealth = Box<dyn Fn(bool) + Send + Sync>;

/// Serving; dropping it stops.
#[must_use = "dropping it stops serving"]
pub struct ServeGuard {
    address: Option<Address>,
    on_health: Option<OnHealth>,
    // Dropped last and looked at by nobody: its drop is what stops the server.
    _stop: Box<dyn Any + Send + Sync>,
}

impl ServeGuard {
    /// Serving until `stop` is dropped, at `address` where others need one to call.
    pub fn new(address: Option<Address>, stop: impl Any + Send + Sync) -> Self {
        Self {
            address,
            on_health: None,
            _stop: Box::new(stop),
        }
    }

    /// The same, where the transport answers probes of health: `on_health` is told what it answers.
    pub fn with_health(mut self, on_health: impl Fn(bool) + Send + Sync + 'static) -> Self {
        self.on_health = Some(Box::new(on_health));
        self
    }

    /// Where the node is called, for its `peer` endpoint.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Sets what probes of the node's health are answered, where the transport answers them. A node is
    /// well when it begins to serve.
    pub fn set_well(&self, well: bool) {
        if let Some(on_health) = &self.on_health {
            on_health(well);
        }
    }
}

impl fmt::Debug for ServeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeGuard")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Carries calls and streams between nodes.
///
/// # Contract
///
/// Each rule has one function of the same name in `ringhold_testkit::transport`.
///
/// - `call_reaches_the_handler`: with the request as it was sent, less the time that has passed, and
///   answers what it answered.
/// - `an_error_keeps_its_kind`: a handler's `Err` reaches the caller with its kind, its context, whether
///   it may be repeated, and the owner that it names.
/// - `nobody_serves_is_unavailable`: at once, for a node that never served or whose guard was
///   dropped.
/// - `an_older_run_is_not_called`: a call or a stream to another incarnation than the one that serves is
///   `Unavailable`.
/// - `calls_run_beside_each_other`: a handler that does not answer holds up no other call.
/// - `a_panic_is_an_error`: a handler's panic is `Unavailable` for its caller alone; serving goes on.
/// - `a_large_body_is_too_large`: above [`BODY_BYTES_MAX`], before it is sent; of a reply too.
/// - `a_call_ends_when_its_time_is_over`: `Timeout`, and the handler's future is dropped.
/// - `a_stream_carries_both_ways`: the handler gets the request; messages arrive whole and in order.
/// - `a_refused_stream_is_an_error`: the handler's `Err`, as for calls; its panic is `Unavailable`, and a
///   handler that does not decide in time is `Timeout`.
/// - `a_stream_ends_as_it_was_ended`: each side gets all that was sent before the other's end, and then
///   the end or the error that it was ended with, while the other direction goes on.
/// - `a_dropped_stream_is_unavailable`: for the other side, whichever side and half was dropped.
/// - `a_reader_holds_back_its_sender`: whoever does not read is sent no more than 32 MiB; nothing is
///   lost when it reads again, and neither calls nor other streams wait meanwhile.
/// - `a_large_message_is_too_large`: above [`BODY_BYTES_MAX`]; the stream goes on.
/// - `streams_end_with_their_server`: `Unavailable` for both sides when the guard is dropped.
///
/// # Cancel safety
/// Dropping the future of a call is ambiguous: the handler may run, or have run. A stream whose opening
/// was dropped is dropped.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Calls the node of `record`.
    ///
    /// # Errors
    /// The handler's; `Unavailable` where the node is not reached or does not serve; `Timeout` when the
    /// request's time is over; `Overloaded` at once where too much is on its way to that node already;
    /// `TooLarge`; `InvalidArgument` where `record` is another node's than the target.
    async fn call(&self, record: &NodeRecord, request: PeerRequest) -> Result<Bytes>;

    /// Opens a stream to the node of `record`, and answers when its handler has taken it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    async fn open(&self, record: &NodeRecord, request: PeerRequest) -> Result<PeerStream>;

    /// Where the nodes that will be served here are called, for their `peer` endpoint; a transport that
    /// has to listen for that begins to. `None` where nobody needs an address.
    ///
    /// # Errors
    /// `Unavailable` where the address cannot be had, `InvalidArgument` where it must not be.
    async fn listen(&self) -> Result<Option<Address>> {
        Ok(None)
    }

    /// Serves `node` until the guard is dropped; one guard at a time, a second is `AlreadyExists`.
    async fn serve(&self, node: NodeIncarnation, handler: Arc<dyn PeerHandler>) -> Result<ServeGuard>;
}

/// Asks once whether a node is well. How often, and how many failures count, is the runtime's.
#[async_trait]
pub trait HealthCheck: Send + Sync + fmt::Debug {
    /// One probe. An `Err` is a failure; the caller sets the deadline by dropping the future.
    async fn probe(&self, record: &NodeRecord) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_guard_tells_its_address_and_whether_its_node_is_well() {
        let address = Address::new("h:1").unwrap();
        let plain = ServeGuard::new(Some(address.clone()), ());
        assert_eq!(plain.address(), Some(&address));
        // Nobody is asked here.
        plain.set_well(false);
        assert_eq!(ServeGuard::new(None, ()).address(), None);
        assert!(format!("{plain:?}").contains("\"h:1\""), "{plain:?}");

        let told = Arc::new(Mutex::new(Vec::new()));
        let guard = ServeGuard::new(None, ()).with_health({
            let told = Arc::clone(&told);
            move |well| told.lock().unwrap().push(well)
        });
        guard.set_well(false);
        guard.set_well(true);
        assert_eq!(*told.lock().unwrap(), [false, true]);
    }

    #[test]
    fn a_guard_holds_what_stops_the_server_until_it_is_dropped() {
        let stop = Arc::new(());
        let guard = ServeGuard::new(None, Arc::clone(&stop));
        assert_eq!(Arc::strong_count(&stop), 2);
        drop(guard);
        assert_eq!(Arc::strong_count(&stop), 1);
    }

    struct Calls;

    #[async_trait]
    impl PeerHandler for Calls {
        async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
            Ok(request.body)
        }
    }

    #[async_trait]
    impl SendHalf for Calls {
        async fn send(&mut self, _: Bytes) -> Result<()> {
            unreachable!()
        }
        async fn end(&mut self, _: Result<()>) -> Result<()> {
            unreachable!()
        }
    }

    #[async_trait]
    impl ReceiveHalf for Calls {
        async fn receive(&mut self) -> Result<Option<Bytes>> {
            unreachable!()
        }
    }

    #[test]
    fn a_handler_of_calls_takes_no_streams() {
        let nonce = crate::Nonce::from_bytes([1; 16]);
        let node = crate::NodeId::new("a").unwrap();
        let target = NodeIncarnation::new(node, crate::Incarnation { number: 1, nonce });
        let fleet = crate::FleetName::new("arena").unwrap();
        let request = PeerRequest::new(fleet, target, crate::Revision::default(), "x");
        let open = Calls.open(request, PeerStream::new(Calls, Calls));
        let error = stream::tests::at_once(open).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
