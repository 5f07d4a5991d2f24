//! gRPC and HTTP over one service layer: the operators' face of the control plane.
//!
//! [`plane::ControlPlane`] is what a sentinel gives; [`service::Service`] parses, confirms and answers; `grpc` and `http`
//! are thin fronts with the same records (`view`) and the same refusals (`problem`). Both share one port: see [`router`].
//!
//! Not here: who decides anything (registry), and the Sentinel RESP protocol (the sentinel's front).

pub mod auth;
mod grpc;
pub mod http;
mod metrics;
pub mod openapi;
pub mod plane;
pub mod problem;
pub mod service;
pub mod view;

#[cfg(test)]
mod grpc_tests;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use quorate_rpc::v1::control_server::ControlServer;
use tonic::service::{Routes, interceptor::InterceptedService};

use crate::{auth::Secret, plane::ControlPlane, service::Service};

/// The longest message that the gRPC front accepts: the longest order is a few settings.
const MESSAGE_MOST: usize = 64 * 1024;

/// HTTP and gRPC on one router: Control, health and reflection, and whatever `more` gRPC routes the process serves on the
/// same port (the sentinels' Peer service).
///
/// Reflection and health are open, like the HTTP reads; Control asks for the secret where one is configured.
pub async fn router(plane: Arc<dyn ControlPlane>, secret: Secret, more: Routes) -> axum::Router {
    let service = Service::new(plane);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<ControlServer<grpc::ControlFront>>().await;
    // Both versions of the reflection service: many clients still ask for v1alpha alone.
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(quorate_rpc::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection = described().build_v1().expect("the generated descriptors are well formed");
    let reflection_alpha = described().build_v1alpha().expect("the generated descriptors are well formed");
    let control = ControlServer::new(grpc::ControlFront(service.clone())).max_decoding_message_size(MESSAGE_MOST);
    let grpc = more
        .add_service(InterceptedService::new(control, secret.clone()))
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .into_axum_router();
    http::router(service, secret).merge(grpc.reset_fallback())
}
