//! The contract of transports, over plain connections on loopback.

use std::sync::Arc;

use ringhold_core::Transport;
use ringhold_grpc::{GrpcConfig, GrpcTransport};
use ringhold_testkit::{TransportHarness, async_trait};

struct Loopback;

#[async_trait]
impl TransportHarness for Loopback {
    async fn transport(&self) -> Arc<dyn Transport> {
        let config = GrpcConfig::parse("grpc://127.0.0.1:0").expect("a URL of loopback");
        Arc::new(GrpcTransport::new(config).expect("nothing to load"))
    }
}

ringhold_testkit::transport_contract!(Loopback);
