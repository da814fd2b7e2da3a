//! Connections that a test counts, refuses and breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A proxy in front of a server. Its task ends with the runtime of its test.
pub(crate) struct Way {
    pub(crate) address: String,
    /// Where it is not set, connections are accepted and closed.
    pub(crate) open: AtomicBool,
    /// Connections that were accepted.
    pub(crate) asked: AtomicUsize,
    /// Closes those that are open.
    pub(crate) cut: Notify,
}

impl Way {
    pub(crate) async fn to(server: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Arc::new(Self {
            address: listener.local_addr().unwrap().to_string(),
            open: AtomicBool::new(true),
            asked: AtomicUsize::new(0),
            cut: Notify::new(),
        });
        let (carrying, server) = (Arc::clone(&way), server.to_owned());
        tokio::spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut here, _) = accepted.unwrap();
                        carrying.asked.fetch_add(1, Ordering::SeqCst);
                        if carrying.open.load(Ordering::SeqCst) {
                            let mut there = TcpStream::connect(&server).await.unwrap();
                            carried.spawn(async move {
                                // An error ends it like a close does.
                                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                            });
                        }
                    }
                    () = carrying.cut.notified() => carried.abort_all(),
                }
            }
        });
        way
    }
}
