//! Probes by `grpc.health.v1`.

use std::sync::Arc;

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringhold_core::Result;
use tonic::{Request, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::ServiceExt as _;

use super::super::GrpcCheck;
use super::*;
use crate::Security;
use crate::security::Secured;
use crate::security::tests::fleet;
use crate::security::tests::pki::{Authority, Folder};

fn load(security: &Security) -> Arc<Secured> {
    Arc::new(Secured::load(security, Some(&fleet())).unwrap())
}

/// Serves the health of some services over `secured`, to whom it admits.
async fn serve(secured: Arc<Secured>, services: &[(&str, ServingStatus)]) -> Server {
    let reporter = HealthReporter::new();
    for (service, status) in services {
        reporter.set_service_status(service, *status).await;
    }
    Server::start(move |tcp| {
        let (reporter, secured) = (reporter.clone(), Arc::clone(&secured));
        async move {
            let Ok((io, caller)) = secured.accept(tcp).await else {
                return;
            };
            let health = HealthService::from_health_reporter(reporter);
            let health = HealthServer::with_interceptor(health, move |request: Request<()>| {
                let headers = request.metadata().clone().into_headers();
                let admitted = secured.admit(&caller, &headers);
                admitted.map_err(|error| Status::unauthenticated(error.to_string()))?;
                Ok(request)
            });
            let service = service_fn(move |request| health.clone().oneshot(request));
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(io), service)
                .await;
        }
    })
    .await
}

const WELL: &[(&str, ServingStatus)] = &[("ringhold.node.eu-1", ServingStatus::Serving)];

async fn probe(secured: &Arc<Secured>, address: &str) -> Result<()> {
    let check = GrpcCheck::new(Arc::clone(secured));
    within("an answer", check.probe(&record("peer", address))).await
}

#[tokio::test]
async fn grpc_asks_for_the_node() {
    let plain = load(&Security::Plain);
    let server = serve(Arc::clone(&plain), WELL).await;
    probe(&plain, &server.address).await.unwrap();
    probe(&plain, &format!("grpc://{}", server.address))
        .await
        .unwrap();
    for (service, status, kind, words) in [
        (
            "ringhold.node.eu-1",
            ServingStatus::NotServing,
            ErrorKind::Unavailable,
            "says NOT_SERVING",
        ),
        (
            "ringhold.node.eu-1",
            ServingStatus::Unknown,
            ErrorKind::Unavailable,
            "says UNKNOWN",
        ),
        (
            "ringhold.node.eu-2",
            ServingStatus::Serving,
            ErrorKind::NotFound,
            "does not serve node eu-1",
        ),
    ] {
        let server = serve(Arc::clone(&plain), &[(service, status)]).await;
        let error = probe(&plain, &server.address).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.context().contains(words), "{error}");
    }
    let error = probe(&plain, &nowhere().await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.context().contains("not reached"), "{error}");
    let check = GrpcCheck::new(plain);
    let error = check.probe(&record("player", &server.address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn grpc_goes_over_the_security_of_the_fleet() {
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    let other = Folder::new(&ours, &ours.sign(&["eu-2"]));
    folder.write("token", "correct-horse-battery");
    other.write("token", "another-horse-battery");

    let server = serve(load(&folder.mutual()), WELL).await;
    probe(&load(&other.mutual()), &server.address).await.unwrap();
    // A caller without a certificate, and a node that is another one.
    let error = probe(&load(&other.caller_token()), &server.address)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let imposter = serve(load(&other.mutual()), WELL).await;
    let error = probe(&load(&folder.mutual()), &imposter.address)
        .await
        .unwrap_err();
    assert!(
        error.context().contains("for eu-2, and not for node eu-1"),
        "{error}"
    );

    let server = serve(load(&folder.token()), WELL).await;
    probe(&load(&folder.caller_token()), &server.address)
        .await
        .unwrap();
    let error = probe(&load(&other.caller_token()), &server.address)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.is_retryable());
    assert!(error.context().contains("does not trust this side"), "{error}");
}

#[tokio::test]
async fn grpc_of_a_server_that_speaks_something_else() {
    let plain = load(&Security::Plain);
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", &[0xff; 10_000]] {
        let server = Server::answering(answer).await;
        let error = probe(&plain, &server.address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn grpc_that_hangs_is_given_up() {
    gives_up(&GrpcCheck::new(load(&Security::Plain)), "peer").await;
    let ours = Authority::new("ours");
    let folder = Folder::new(&ours, &ours.sign(&["eu-1"]));
    gives_up(&GrpcCheck::new(load(&folder.mutual())), "peer").await;
}
