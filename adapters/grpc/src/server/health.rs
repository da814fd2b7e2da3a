//! `grpc.health.v1`: whether the nodes here are well.
//!
//! The service "" is all nodes that are served here, and `ringhold.node.` with a node's id is that node.

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use crate::table::Wells;

/// What stands before a node's id in the name of its service.
pub(crate) const NODE: &str = "ringhold.node.";

/// Answers probes.
pub(super) struct Health {
    wells: watch::Receiver<Wells>,
}

impl Health {
    pub(super) fn new(wells: watch::Receiver<Wells>) -> Self {
        Self { wells }
    }
}

/// What is answered for a service; `None` for one that is not known.
fn status(wells: &Wells, service: &str) -> Option<ServingStatus> {
    let well = if service.is_empty() {
        !wells.is_empty() && wells.iter().all(|(_, well)| *well)
    } else {
        let node = service.strip_prefix(NODE)?;
        // The latest run is the node.
        let latest = wells.iter().rev().find(|(known, _)| known.node.as_str() == node);
        latest?.1
    };
    Some(if well {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    })
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = status(&self.wells.borrow(), &request.into_inner().service);
        let status = status.ok_or_else(|| Status::not_found("no node of that name is served here"))?;
        Ok(Response::new(response(status)))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let start = (self.wells.clone(), None);
        let changes = unfold(start, move |(mut wells, told)| {
            let service = service.clone();
            async move {
                loop {
                    let now = status(&wells.borrow_and_update(), &service);
                    let now = now.unwrap_or(ServingStatus::ServiceUnknown);
                    if told != Some(now) {
                        return Some((Ok(response(now)), (wells, Some(now))));
                    }
                    wells.changed().await.ok()?;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
