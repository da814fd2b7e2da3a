//! Callers that are told apart by their certificates.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use ringhold_core::id::{EndpointName, Nonce};
use ringhold_core::transport::{PeerHandler, PeerRequest, ServeGuard};
use ringhold_core::{ErrorKind, Incarnation, NodeIncarnation, NodeRecord, Result, Revision, Transport as _};
use ringhold_testkit::{PausedTime, WAIT_MAX, wait_for, within};

use crate::security::tests::pki::{Authority, Folder};
use crate::security::tests::{fleet, node};
use crate::{GrpcConfig, GrpcLimits, GrpcTransport};

struct Echo;

#[async_trait]
impl PeerHandler for Echo {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        Ok(request.body)
    }
}

struct Bed {
    ours: Authority,
    _server: GrpcTransport,
    _guard: ServeGuard,
    _folder: Folder,
    record: NodeRecord,
}

impl Bed {
    async fn new(set: impl FnOnce(&mut GrpcLimits)) -> Self {
        let ours = Authority::new("ours");
        let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
        let mut limits = GrpcLimits::default();
        set(&mut limits);
        let config = config(&folder).with_limits(limits).unwrap();
        let server = GrpcTransport::new(config.listening("127.0.0.1", 0).unwrap()).unwrap();
        let incarnation = Incarnation {
            number: 1,
            nonce: Nonce::from_bytes([7; 16]),
        };
        let target = NodeIncarnation::new(node("eu-1"), incarnation);
        let guard = server.serve(target.clone(), Arc::new(Echo)).await.unwrap();
        let mut record = NodeRecord::new(target.node, incarnation);
        let address = guard.address().unwrap().clone();
        let peer = EndpointName::new("peer").unwrap();
        record.endpoints.insert(peer, address).unwrap();
        Self {
            ours,
            _server: server,
            _guard: guard,
            _folder: folder,
            record,
        }
    }

    fn folder(&self, names: &[&str]) -> Folder {
        Folder::new(&self.ours, &self.ours.sign(names))
    }

    fn request(&self) -> PeerRequest {
        PeerRequest::new(fleet(), self.record.node(), Revision::default(), "x").within(WAIT_MAX * 2)
    }

    async fn call(&self, caller: &GrpcTransport) -> Result<Bytes> {
        within("a call", caller.call(&self.record, self.request())).await
    }
}

fn config(folder: &Folder) -> GrpcConfig {
    GrpcConfig::client().secured(folder.mutual()).of_fleet(fleet())
}

fn caller(folder: &Folder) -> GrpcTransport {
    // A machine whose cores are busy takes its time.
    let limits = GrpcLimits {
        connect: WAIT_MAX,
        ..GrpcLimits::default()
    };
    GrpcTransport::new(config(folder).with_limits(limits).unwrap()).unwrap()
}

fn refused(answer: Result<Bytes>, kind: ErrorKind) {
    let error = answer.expect_err("it is refused");
    assert_eq!(error.kind(), kind, "{error}");
}

#[tokio::test]
async fn more_connections_give_a_caller_no_more_requests() {
    let _time = PausedTime::new();
    let bed = Bed::new(|limits| (limits.requests_per_second, limits.requests_burst) = (1, 5)).await;
    let mut served = 0;
    // Neither does leaving and coming back, nor another certificate of the node.
    for names in ["eu-2", "eu-2", "EU-2"] {
        let caller = caller(&bed.folder(&[names]));
        let call = |_| caller.call(&bed.record, bed.request());
        let answers = within("calls", join_all((0..5).map(call))).await;
        served += answers.iter().filter(|answer| answer.is_ok()).count();
        for answer in answers.into_iter().filter(Result::is_err) {
            refused(answer, ErrorKind::Overloaded);
        }
    }
    assert_eq!(served, 5);
    let other = bed.folder(&["eu-3"]);
    bed.call(&caller(&other)).await.unwrap();
}

#[tokio::test]
async fn one_caller_does_not_take_the_places_of_all() {
    let bed = Bed::new(|limits| (limits.connections_max, limits.caller_connections_max) = (6, 2)).await;
    for names in [&["eu-2"][..], &["ringhold://arena/*"], &[]] {
        let folder = bed.folder(names);
        let mut held = [caller(&folder), caller(&folder)].map(Some);
        for held in held.iter().flatten() {
            bed.call(held).await.unwrap();
        }
        refused(bed.call(&caller(&folder)).await, ErrorKind::Unavailable);
        let other = bed.folder(&["eu-3"]);
        bed.call(&caller(&other)).await.unwrap();
        held[0] = None;
        wait_for("a place", WAIT_MAX, async || {
            let answer = bed.call(&caller(&folder)).await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}
