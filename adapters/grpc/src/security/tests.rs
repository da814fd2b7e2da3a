//! Handshakes over real connections, with certificates that are made here.

mod files;
mod handshake;
mod identity;
pub(crate) mod pki;
mod reload;
mod strangers;
mod token;

use ringhold_core::{FleetName, NodeId, Result};
use ringhold_testkit::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Caller, Io, Secured, Security};

pub(crate) fn fleet() -> FleetName {
    FleetName::new("arena").unwrap()
}

pub(crate) fn node(id: &str) -> NodeId {
    NodeId::new(id).unwrap()
}

fn load(security: &Security) -> Secured {
    Secured::load(security, Some(&fleet())).unwrap()
}

/// The two ends of a connection: the client's and the server's.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

/// What both sides make of a handshake in which the server has to be `target`.
async fn meet(client: &Secured, server: &Secured, target: &str) -> (Result<Io>, Result<(Io, Caller)>) {
    let (near, far) = pair().await;
    let target = node(target);
    let connect = client.connect(near, "127.0.0.1", &target);
    within("a handshake", async { tokio::join!(connect, server.accept(far)) }).await
}

/// Sends some bytes to and fro.
async fn talk(client: &mut Io, server: &mut Io) {
    let bytes = vec![7; 100_000];
    let send = async {
        client.write_all(&bytes).await.unwrap();
        client.flush().await.unwrap();
        let mut back = [0; 2];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"ok");
    };
    let answer = async {
        let mut got = vec![0; 100_000];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(got, vec![7; 100_000]);
        server.write_all(b"ok").await.unwrap();
        server.flush().await.unwrap();
    };
    within("an answer", async { tokio::join!(send, answer) }).await;
}
