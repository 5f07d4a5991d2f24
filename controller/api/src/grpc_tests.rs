//! The gRPC front over a real loopback connection, beside HTTP on the same port.

use std::sync::{Arc, atomic::Ordering};

use futures::StreamExt;
use quorate_rpc::v1::{self, control_client::ControlClient};
use tonic::{Code, Request, service::Routes};

use crate::{auth::Secret, router, testing::FakePlane};

async fn serve(secret: Option<&str>) -> (Arc<FakePlane>, String) {
    let plane = Arc::new(FakePlane::default());
    let router = router(plane.clone(), Secret::new(secret), Routes::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (plane, address)
}

#[tokio::test]
async fn control_answers_and_refuses() {
    let (plane, address) = serve(None).await;
    let mut client = ControlClient::connect(address.clone()).await.expect("a connection");
    let group = v1::GetGroupRequest { group: "main".into() };
    let found = client.get_group(group.clone()).await.expect("a group").into_inner();
    assert_eq!((found.epoch, found.nodes.len(), found.status.as_str()), (3, 2, "ok"));
    let missing = client.get_group(v1::GetGroupRequest { group: "x".into() }).await.expect_err("no such group");
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "no such group: x"));

    let order = v1::FailoverRequest {
        group: "main".into(),
        candidate: "127.0.0.1:7002".into(),
        force: false,
        accept_loss: true,
    };
    let report = client.failover(order).await.expect("a report").into_inner();
    assert_eq!((report.master.expect("a master").port, report.took_ms), (7002, 20));

    let watch = v1::WatchRequest { group: "main".into(), from_index: 256 };
    let events: Vec<_> = client.watch(watch).await.expect("a stream").into_inner().collect().await;
    let indexes: Vec<u64> = events.into_iter().map(|e| e.expect("an event").index).collect();
    assert_eq!(indexes, [256, 0]);
    let gap = client.watch(v1::WatchRequest { group: String::new(), from_index: 1 }).await.expect_err("a gap");
    assert_eq!(gap.code(), Code::OutOfRange);

    plane.no_quorum.store(true, Ordering::Relaxed);
    assert_eq!(client.get_group(group).await.expect_err("no quorum").code(), Code::Unavailable);
}

#[tokio::test]
async fn control_needs_the_secret() {
    let (_, address) = serve(Some("s")).await;
    let mut client = ControlClient::connect(address).await.expect("a connection");
    let refused = client.list_groups(v1::ListGroupsRequest {}).await.expect_err("no secret");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut request = Request::new(v1::ListGroupsRequest {});
    request.metadata_mut().insert("authorization", "Bearer s".parse().expect("ASCII"));
    assert_eq!(client.list_groups(request).await.expect("admitted").into_inner().groups.len(), 1);
}

#[tokio::test]
async fn health_and_http_share_the_port() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let (_, address) = serve(None).await;
    let channel = tonic::transport::Endpoint::from_shared(address.clone()).expect("a URI");
    let mut health = HealthClient::new(channel.connect().await.expect("a connection"));
    let request = HealthCheckRequest { service: "quorate.v1.Control".into() };
    assert_eq!(health.check(request).await.expect("a status").into_inner().status, 1);
    let page = tokio::task::spawn_blocking(move || {
        ureq::get(format!("{address}/v1/groups/main/master")).call().expect("an answer").body_mut().read_to_string()
    });
    let page = page.await.expect("no panic").expect("text");
    assert!(page.contains("\"epoch\":3"), "{page}");
}
