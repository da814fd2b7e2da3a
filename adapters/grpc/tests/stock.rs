//! A node answers clients that know nothing of Ringhold: those of `PyPI` for health and for reflection.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ringhold_core::transport::{PeerHandler, PeerRequest};
use ringhold_core::{Incarnation, NodeId, NodeIncarnation, Nonce, Result, Transport};
use ringhold_grpc::{GrpcConfig, GrpcTransport};
use ringhold_testkit::async_trait;

struct Silent;

#[async_trait]
impl PeerHandler for Silent {
    async fn handle(&self, request: PeerRequest) -> Result<bytes::Bytes> {
        Ok(request.body)
    }
}

/// What the clients print when they ask the node at `address`.
fn asked(address: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../target/python/bin/python");
    assert!(
        python.is_file(),
        "the stock clients are not installed: run `cargo xtask setup`"
    );
    let output = Command::new(python)
        .arg(root.join("tests/stock/clients.py"))
        .args([address, "eu-1"])
        .output()
        .expect("a program");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_clients_ask_for_health_and_reflection() {
    let transport = GrpcTransport::new(GrpcConfig::parse("grpc://127.0.0.1:0").unwrap()).unwrap();
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes([1; 16]),
    };
    let node = NodeIncarnation::new(NodeId::new("eu-1").unwrap(), incarnation);
    let guard = transport.serve(node, Arc::new(Silent)).await.unwrap();
    let address = guard.address().unwrap().to_string();
    let ask = || {
        let address = address.clone();
        tokio::task::spawn_blocking(move || asked(&address))
    };
    let services = "services grpc.health.v1.Health grpc.reflection.v1alpha.ServerReflection ringhold.v1.Peer\n\
                    methods Call Open\n";
    assert_eq!(
        ask().await.unwrap(),
        format!("node SERVING\nnamed SERVING\nnobody NOT_FOUND\nwatched SERVING\n{services}")
    );
    guard.set_well(false);
    assert_eq!(
        ask().await.unwrap(),
        format!("node NOT_SERVING\nnamed NOT_SERVING\nnobody NOT_FOUND\nwatched NOT_SERVING\n{services}")
    );
}
