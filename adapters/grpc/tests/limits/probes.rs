//! Probes of health, and tools that ask for the protocol, with the clients that others have.

use ringhold_core::Transport as _;
use ringhold_testkit::within;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::bed::{Bed, node};

async fn channel(bed: &Bed) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", bed.address())).unwrap();
    endpoint.connect().await.unwrap()
}

fn service(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.into(),
    }
}

#[tokio::test]
async fn health_is_what_the_guards_were_told() {
    let mut bed = Bed::new(|_| {}).await;
    let mut client = HealthClient::new(channel(&bed).await);
    let mut watched = client
        .watch(service("ringhold.node.eu-1"))
        .await
        .unwrap()
        .into_inner();
    let mut all = client.watch(service("")).await.unwrap().into_inner();
    let mut elsewhere = client
        .watch(service("ringhold.node.eu-9"))
        .await
        .unwrap()
        .into_inner();
    let next = async |watched: &mut tonic::Streaming<tonic_health::pb::HealthCheckResponse>| {
        let next = within("a change", watched.message()).await.unwrap();
        next.expect("it goes on").status()
    };
    assert_eq!(next(&mut watched).await, ServingStatus::Serving);
    assert_eq!(next(&mut all).await, ServingStatus::Serving);
    assert_eq!(next(&mut elsewhere).await, ServingStatus::ServiceUnknown);
    let mut check = async |name| {
        let checked = within("a check", client.check(service(name))).await;
        checked
            .map(|status| status.into_inner().status())
            .map_err(|status| status.code())
    };
    assert_eq!(check("").await, Ok(ServingStatus::Serving));
    assert_eq!(check("ringhold.node.eu-1").await, Ok(ServingStatus::Serving));
    assert_eq!(check("ringhold.node.eu-9").await, Err(Code::NotFound));
    assert_eq!(check("eu-1").await, Err(Code::NotFound));

    let guard = bed.guard.take().unwrap();
    guard.set_well(false);
    assert_eq!(next(&mut watched).await, ServingStatus::NotServing);
    assert_eq!(next(&mut all).await, ServingStatus::NotServing);
    assert_eq!(check("ringhold.node.eu-1").await, Ok(ServingStatus::NotServing));

    // The next run of the node is the node, whatever becomes of the one before.
    let server = bed.server.as_ref().unwrap();
    let again = server
        .serve(node(2), std::sync::Arc::clone(&bed.handler) as _)
        .await
        .unwrap();
    assert_eq!(next(&mut watched).await, ServingStatus::Serving);
    assert_eq!(
        check("").await,
        Ok(ServingStatus::NotServing),
        "one of two is not well"
    );
    drop(guard);
    assert_eq!(next(&mut all).await, ServingStatus::Serving);
    drop(again);
    assert_eq!(next(&mut watched).await, ServingStatus::ServiceUnknown);
    assert_eq!(
        next(&mut all).await,
        ServingStatus::NotServing,
        "nobody serves here"
    );
}

#[tokio::test]
async fn reflection_names_what_is_served() {
    let bed = Bed::new(|_| {}).await;
    let channel = channel(&bed).await;
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answer = client
        .server_reflection_info(futures_util::stream::iter([request]))
        .await
        .unwrap();
    let answer = within("an answer", answer.into_inner().message())
        .await
        .unwrap()
        .unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(listed)) =
        answer.message_response
    else {
        panic!("no list: {answer:?}")
    };
    let names: Vec<_> = listed
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in ["ringhold.v1.Peer", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }

    let symbol =
        v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol("ringhold.v1.Peer".into());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(symbol),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answer = client
        .server_reflection_info(futures_util::stream::iter([request]))
        .await
        .unwrap();
    let answer = within("an answer", answer.into_inner().message())
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(
            answer.message_response,
            Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(ref files))
                if !files.file_descriptor_proto.is_empty()
        ),
        "{answer:?}"
    );
}
