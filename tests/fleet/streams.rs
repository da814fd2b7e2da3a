//! Gateways: an observer forwards a player's bytes to the holder and back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ringhold::{
    Backend, CallOptions, Error, ErrorKind, Fleet, Login, LoginOptions, Observer, PeerHandler, PeerRequest,
    PeerStream, PlayerId, Result, WeakFleet, async_trait,
};
use tokio::time::timeout;

use crate::hooks::Hooks;
use crate::line::builder;
use crate::support::{LONG, here, login, memory, player, sees};

/// Logs the player of a stream in, and echoes what comes with the node's name before it.
struct Host(WeakFleet);

#[async_trait]
impl PeerHandler for Host {
    async fn handle(&self, _: PeerRequest) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    async fn open(&self, request: PeerRequest, stream: PeerStream) -> Result<()> {
        match &request.body[..] {
            b"panic" => panic!("on purpose"),
            b"never" => std::future::pending().await,
            b"no" => return Err(Error::new(ErrorKind::NotFound, "test", "no such game")),
            _ => {}
        }
        let fleet = self.0.upgrade().unwrap();
        let player = request.player.expect("a stream about a player");
        match fleet.login::<u64>(&player, LoginOptions::new()).await? {
            Login::Here(session) => {
                let name = fleet.node().node;
                tokio::spawn(async move {
                    let _session = session;
                    echo(name.as_str(), stream).await
                });
                Ok(())
            }
            Login::Elsewhere(to) => Err(Error::not_owner("test", Some(to.node))),
        }
    }
}

async fn echo(name: &str, mut stream: PeerStream) -> Result<()> {
    while let Some(message) = stream.receive().await? {
        stream.send([name.as_bytes(), b":", &message].concat()).await?;
    }
    stream.finish().await
}

async fn hosts(backend: &Backend, nodes: usize) -> (Vec<Fleet>, Observer) {
    let mut hosts = Vec::new();
    for index in 0..nodes {
        let host = builder(backend, &format!("n{index}")).peer_handler_with(Host);
        hosts.push(host.join().await.unwrap());
    }
    sees(&hosts, nodes).await;
    let gateway = Fleet::builder(backend.clone()).observe().await.unwrap();
    (hosts, gateway)
}

/// Says one thing and ends; answers which node said it back.
async fn talk(mut stream: PeerStream) -> String {
    stream.send("hello").await.unwrap();
    let echoed = timeout(LONG, stream.receive()).await.unwrap().unwrap().unwrap();
    stream.finish().await.unwrap();
    assert_eq!(timeout(LONG, stream.receive()).await.unwrap().unwrap(), None);
    let echoed = String::from_utf8(echoed.to_vec()).unwrap();
    echoed.strip_suffix(":hello").unwrap().to_owned()
}

async fn open(gateway: &Observer, player: &PlayerId) -> PeerStream {
    gateway
        .open_player(player, "play", CallOptions::new())
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_gateway_brings_a_new_player_in_and_back_to_the_holder() {
    let (hosts, gateway) = hosts(&memory().await, 3).await;
    for index in 0..20 {
        let player = player(format!("player-{index}"));
        let chosen = gateway.place(&player).unwrap().record().id.to_string();
        assert_eq!(talk(open(&gateway, &player).await).await, chosen);
        // The session waits there, whatever the policy would say of somebody new.
        let home = hosts
            .iter()
            .find(|host| host.node().node.as_str() == chosen)
            .unwrap();
        home.update(|record| record.weight = ringhold::Weight::ZERO)
            .await
            .unwrap();
        gateway
            .wait_for(|view| view.node(&home.node().node).unwrap().record.weight.get() == 0)
            .await;
        assert_eq!(talk(open(&gateway, &player).await).await, chosen);
        home.update(|record| record.weight = ringhold::Weight::ONE)
            .await
            .unwrap();
        gateway
            .wait_for(|view| view.nodes().iter().all(|node| node.record.weight.get() == 1))
            .await;
        assert_eq!(
            talk(open(home, &player).await).await,
            chosen,
            "through the transport to itself, too"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_attached_elsewhere_is_reached_there() {
    let (hosts, gateway) = hosts(&memory().await, 3).await;
    for (index, host) in hosts.iter().enumerate() {
        let name = format!("player-{index}");
        let _held = here(login(host, &name).await);
        assert_eq!(
            talk(open(&gateway, &player(name)).await).await,
            format!("n{index}")
        );
    }
}

/// The player logs in elsewhere between the look and the stream: the node that was chosen says where.
#[tokio::test(start_paused = true)]
async fn a_stream_follows_its_player_once() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (hosts, _) = hosts(&backend, 2).await;
    let gateway = Fleet::builder(hooks.wrap(&backend)).observe().await.unwrap();
    let ada = player("ada");
    let chosen = gateway.place(&ada).unwrap().record().id.clone();
    let elsewhere = hosts.iter().find(|host| host.node().node != chosen).unwrap();
    let name = elsewhere.node().node.to_string();
    let taken = Arc::new(Mutex::new(None));
    let (node, slot) = (elsewhere.clone(), Arc::clone(&taken));
    hooks.after(move |call| {
        let (node, slot) = (node.clone(), Arc::clone(&slot));
        async move {
            if call.method == "find" {
                let session = here(login(&node, "ada").await);
                *slot.lock().unwrap() = Some(session);
            }
            Ok(())
        }
    });
    assert_eq!(talk(open(&gateway, &ada).await).await, name);
    assert!(taken.lock().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_player_of_a_dead_node_is_brought_to_another() {
    let (mut hosts, gateway) = hosts(&memory().await, 2).await;
    let ada = here(login(&hosts[1], "ada").await);
    drop((ada, hosts.pop()));
    sees(&hosts, 1).await;
    gateway.wait_for(|view| view.nodes().len() == 1).await;
    assert_eq!(talk(open(&gateway, &player("ada")).await).await, "n0");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_taken_says_why() {
    let (hosts, gateway) = hosts(&memory().await, 1).await;
    let within = CallOptions::new().within(Duration::from_secs(2)).once();
    let refused = async |body: &'static str| {
        let opened = gateway.open(&hosts[0].node(), body, within.clone()).await;
        opened.unwrap_err().kind()
    };
    assert_eq!(refused("no").await, ErrorKind::NotFound);
    assert_eq!(refused("panic").await, ErrorKind::Unavailable);
    assert_eq!(refused("never").await, ErrorKind::Timeout);
    let stream = gateway
        .open_player(&player("ada"), "play", within.clone())
        .await
        .unwrap();
    assert_eq!(talk(stream).await, "n0", "and goes on");
    drop(hosts);
    let gone = gateway
        .open_player(&player("ada"), "play", within)
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Unavailable, "its holder has just died");
}
