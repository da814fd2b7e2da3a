//! `send` and `kick` through a node that is spoken to over mutual TLS.

use std::fs::write;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ringhold::grpc::{GrpcConfig, GrpcTransport};
use ringhold::{Fleet, Login, LoginOptions, PlayerId, SessionEvent};
use ringhold_testkit::within;
use serde_json::json;
use tempfile::TempDir;

use crate::peers::refused;
use crate::{cluster, lines};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A folder with the authorities that are trusted, and a certificate for `name` of the first of them.
fn folder(trusted: &[&Authority], name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, trusted[0]).unwrap();
    let authorities: String = trusted.iter().map(|one| one.pem()).collect();
    write(folder.path().join("ca.pem"), authorities).unwrap();
    write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
    write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    folder
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The URL of a transport at `place`, or at none.
fn url(place: &str, folder: &TempDir) -> String {
    let folder = folder.path().display();
    format!("grpcs://{place}?ca={folder}/ca.pem&cert={folder}/cert.pem&key={folder}/key.pem")
}

#[test]
fn players_are_told_and_kicked_over_mutual_tls() {
    let cluster = cluster();
    let backend = &cluster.url("tls");
    let (ours, theirs) = (authority(), authority());
    let (node, tool) = (folder(&[&ours], "eu-1"), folder(&[&ours], "tool"));
    // One takes the node for what it is, so that it is the node that refuses; the other refuses the node.
    let (stranger, doubter) = (folder(&[&theirs, &ours], "tool"), folder(&[&theirs], "tool"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fleet, mut session) = runtime.block_on(async {
        let backend = ringhold::open(backend).await.unwrap();
        let config = GrpcConfig::parse(&url("127.0.0.1:0", &node)).unwrap();
        let fleet = Fleet::builder(backend)
            .node("eu-1")
            .transport(Arc::new(GrpcTransport::new(config).unwrap()))
            .join()
            .await
            .unwrap();
        let ada = PlayerId::new("ada").unwrap();
        let Login::Here(session) = fleet.login::<u32>(&ada, LoginOptions::new()).await.unwrap() else {
            panic!("there is no other node");
        };
        (fleet, session)
    });

    // Neither whom the node does not know, nor who does not know the node, nor who says nothing of himself.
    for peer in [&url("", &stranger), &url("", &doubter), "grpc://"] {
        let (kind, code) = refused(backend, &["send", "ada", "not for her", "--peer", peer]);
        assert_eq!((kind.as_str(), code), ("unavailable", 4), "{peer}");
    }
    let peer = &url("", &tool);
    let sent = lines(backend, &["send", "ada", "hello", "--peer", peer], 0);
    assert_eq!(sent, [json!({ "player": "ada", "bytes": 5 })]);
    let SessionEvent::Message(message) = runtime.block_on(within("the message", session.event())) else {
        panic!("a message was sent");
    };
    assert_eq!(message.body, "hello");
    let kicked = lines(
        backend,
        &["kick", "ada", "--reason", "for good", "--peer", peer],
        0,
    );
    assert_eq!(kicked, [json!({ "player": "ada", "told": true })]);
    let end = runtime.block_on(within("the end", session.event()));
    assert!(matches!(end, SessionEvent::Kicked { .. }), "{end:?}");
    runtime.block_on(fleet.leave()).unwrap();
}
