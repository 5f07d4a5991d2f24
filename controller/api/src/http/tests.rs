//! The HTTP front over a control plane in memory.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{router, routes};
use crate::{auth::Secret, openapi, service::Service, testing::FakePlane};

struct Fixture {
    plane: Arc<FakePlane>,
    router: axum::Router,
}

fn fixture(secret: Option<&str>) -> Fixture {
    let plane = Arc::new(FakePlane::default());
    let router = router(Service::new(plane.clone()), Secret::new(secret));
    Fixture { plane, router }
}

impl Fixture {
    /// Sends one request (`METHOD path`, headers, body) and returns the status, the content type and the body.
    async fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, String, String) {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let answer = self.router.clone().oneshot(request).await.expect("the router is infallible");
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().expect("text").to_owned());
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, kind.unwrap_or_default(), String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// Sends a request and checks the status and some fields (JSON pointers) of the answer.
    async fn check(&self, line: &str, body: &str, status: u16, fields: &[(&str, Value)]) {
        let (got, _, text) = self.send(line, &[], body).await;
        assert_eq!(got, status, "{line} {body}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line}: {e}: {text}"));
        for (pointer, value) in fields {
            assert_eq!(answer.pointer(pointer), Some(value), "{line} {pointer}: {answer}");
        }
    }
}

#[tokio::test]
async fn reads_carry_the_epoch() {
    let f = fixture(None);
    f.check("GET /v1/groups", "", 200, &[("/0/name", json!("main")), ("/0/epoch", json!(3))]).await;
    f.check("GET /v1/groups/main", "", 200, &[("/epoch", json!(3)), ("/status", json!("ok"))]).await;
    f.check("GET /v1/groups/main/master", "", 200, &[("/port", json!(7001)), ("/epoch", json!(3))]).await;
    f.check("GET /v1/groups/main/nodes", "", 200, &[("/epoch", json!(3)), ("/nodes/1/role", json!("replica"))]).await;
    f.check("GET /v1/groups/main/nodes/127.0.0.1:7002", "", 200, &[("/health", json!("online"))]).await;
    f.check("GET /v1/groups/main/history?limit=1", "", 200, &[("/0/epoch", json!(256))]).await;
    f.check("GET /v1/history", "", 200, &[("/0/group", json!("other"))]).await;
    f.check("GET /v1/sentinels", "", 200, &[("/0/self", json!(true)), ("/0/role", json!("leader"))]).await;
}

#[tokio::test]
async fn load_balancers_are_told_the_role() {
    let f = fixture(None);
    f.check("GET /v1/groups/main/nodes/127.0.0.1:7001/primary", "", 200, &[]).await;
    f.check("GET /v1/groups/main/nodes/127.0.0.1:7002/primary", "", 503, &[]).await;
    f.check("GET /v1/groups/main/nodes/127.0.0.1:7002/replica", "", 200, &[]).await;
    f.check("GET /v1/groups/main/nodes/127.0.0.1:7001/replica", "", 503, &[]).await;
    f.check("GET /v1/groups/main/nodes/127.0.0.1:9/replica", "", 404, &[("/type", json!("not-found"))]).await;
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let f = fixture(None);
    let failover = "POST /v1/groups/main/failover";
    for (line, body, status, field) in [
        (failover, "{", 400, "body"),
        (failover, r#"{"candidat":"x"}"#, 400, "candidat"),
        (failover, r#"{"candidate":"127.0.0.1:9"}"#, 400, "candidate"),
        (failover, r#"{"candidate":"127.0.0.1:7001"}"#, 400, "candidate"),
        (failover, r#"{"force":"yes"}"#, 400, "body"),
        ("POST /v1/groups", r#"{"name":"a","host":"h","port":1}"#, 400, "quorum"),
        ("POST /v1/groups", r#"{"name":"a b","host":"h","port":1,"quorum":1}"#, 400, "name"),
        ("POST /v1/groups", r#"{"name":"a","host":"h","port":0,"quorum":1}"#, 400, "port"),
        ("POST /v1/groups", r#"{"name":"a","host":"h","port":1,"quorum":1,"nodes":["h"]}"#, 400, "nodes"),
        ("PATCH /v1/groups/main", "{}", 400, "settings"),
        ("POST /v1/groups/main/nodes/nowhere", "", 400, "node"),
        ("GET /v1/groups/main/history?limit=x", "", 400, "limit"),
        ("GET /v1/groups/main/history?limit=1001", "", 400, "limit"),
        ("GET /v1/events?from=-1", "", 400, "from"),
    ] {
        f.check(line, body, status, &[("/field", json!(field)), ("/type", json!("invalid"))]).await;
    }
    assert!(f.plane.orders.lock().expect("no panic holds it").is_empty(), "nothing of that was ordered");
    f.check("POST /v1/groups/nope/failover", "", 404, &[("/type", json!("not-found"))]).await;
    f.check("POST /v1/groups/main/nodes/127.0.0.1:7002", "", 409, &[]).await;
    f.check("DELETE /v1/groups/main/nodes/127.0.0.1:7001", "", 409, &[]).await;
    f.check("DELETE /v1/groups/main/nodes/127.0.0.1:9", "", 404, &[]).await;
    f.check("DELETE /v1/sentinels/nobody", "", 404, &[("/detail", json!("no such sentinel: nobody"))]).await;
    f.check("GET /v1/nope", "", 404, &[("/detail", json!("no such route: /v1/nope"))]).await;
    f.check("DELETE /v1/groups", "", 404, &[("/detail", json!("no such route: DELETE /v1/groups"))]).await;
}

#[tokio::test]
async fn orders_reach_the_plane() {
    let f = fixture(None);
    f.check("POST /v1/groups/main/failover", "", 200, &[("/master/port", json!(7002)), ("/paused_ms", json!(5))]).await;
    f.check(
        "POST /v1/groups/main/failover",
        r#"{"candidate":"127.0.0.1:7002","force":true,"accept_loss":true}"#,
        200,
        &[],
    )
    .await;
    f.check("POST /v1/groups", r#"{"name":"n","host":"h","port":1,"quorum":2,"nodes":["h:2"]}"#, 201, &[]).await;
    f.check("PATCH /v1/groups/main", r#"{"quorum":"1"}"#, 200, &[]).await;
    f.check("POST /v1/groups/main/nodes/127.0.0.1:7003", "", 201, &[("/voting/version", json!(5))]).await;
    f.check("DELETE /v1/groups/main/nodes/127.0.0.1:7002", "", 200, &[("/voting/settled", json!(true))]).await;
    let sentinel = format!("DELETE /v1/sentinels/{}", "b".repeat(40));
    assert_eq!(f.send(&sentinel, &[], "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(f.send("DELETE /v1/groups/main", &[], "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        *f.plane.orders.lock().expect("no panic holds it"),
        [
            "failover main None false false",
            "failover main Some(\"127.0.0.1:7002\") true true",
            "monitor n h:1 2 [\"h:2\"]",
            "set main {\"quorum\": \"1\"}",
            "add 127.0.0.1:7003 to main",
            "remove 127.0.0.1:7002 from main",
            &format!("remove sentinel {}", "b".repeat(40)),
            "remove main",
        ]
    );
}

#[tokio::test]
async fn writes_need_the_secret_and_reads_do_not() {
    let f = fixture(Some("s"));
    let failover = "POST /v1/groups/main/failover";
    assert_eq!(f.send(failover, &[], "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(f.send(failover, &[("authorization", "Bearer x")], "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(f.send("DELETE /v1/groups/main", &[], "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(f.send(failover, &[("authorization", "Bearer s")], "").await.0, StatusCode::OK);
    assert_eq!(f.send("GET /v1/groups", &[], "").await.0, StatusCode::OK);
    assert_eq!(f.plane.orders.lock().expect("no panic holds it").len(), 1);
}

#[tokio::test]
async fn without_a_quorum_it_says_so() {
    let f = fixture(None);
    f.plane.no_quorum.store(true, Ordering::Relaxed);
    for line in ["GET /v1/groups", "GET /v1/groups/main/master", "GET /ready", "POST /v1/groups/main/failover"] {
        f.check(line, "", 503, &[("/type", json!("no-quorum"))]).await;
    }
    f.check("GET /health", "", 200, &[("/term", json!(4))]).await;
    f.check("GET /v1/sentinels", "", 200, &[]).await;
    assert!(f.send("GET /metrics", &[], "").await.2.contains("quorate_raft_term 4"));
}

#[tokio::test]
async fn events_resume_from_an_index() {
    let f = fixture(None);
    let (status, kind, text) = f.send("GET /v1/events?group=main&from=256", &[], "").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/event-stream"));
    assert!(text.contains("event: +switch-master\nid: 256\ndata: {"), "{text}");
    assert!(!text.contains("512"), "another group's: {text}");
    let (_, _, text) = f.send("GET /v1/events", &[("last-event-id", "256")], "").await;
    assert!(!text.contains("id: 256") && text.contains("id: 512"), "{text}");
    let observed = text.rsplit("event: ").next().expect("a last event");
    assert!(observed.contains("\"index\":0") && !observed.contains("id: "), "{text}");
    f.check("GET /v1/events?from=1", "", 410, &[("/type", json!("gap"))]).await;
    let bad = f.send("GET /v1/events", &[("last-event-id", "x")], "").await;
    assert_eq!(bad.0, StatusCode::BAD_REQUEST);
}

#[test]
fn the_document_and_the_routes_agree() {
    let document: Value = serde_json::from_str(openapi::document()).expect("JSON");
    let mut documented: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            documented.push((path.clone(), method.to_uppercase()));
        }
    }
    let mut served: Vec<_> = routes().iter().map(|(m, path, _)| ((*path).to_owned(), m.to_string())).collect();
    documented.sort();
    served.sort();
    assert_eq!(documented, served);
}

#[tokio::test]
async fn every_documented_method_is_routed() {
    let f = fixture(Some("s"));
    for (method, path, _) in routes() {
        let path = path.replace("{name}", "main").replace("{node}", "127.0.0.1:7001").replace("{id}", "b");
        let (status, _, text) = f.send(&format!("{method} {path}"), &[], "").await;
        assert!(!text.contains("no such route"), "{method} {path}: {status} {text}");
    }
}

#[tokio::test]
async fn metrics_show_groups_nodes_and_raft() {
    let (status, kind, text) = fixture(None).send("GET /metrics", &[], "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(kind.starts_with("application/openmetrics-text"));
    for line in [
        "quorate_group_up{group=\"main\"} 1",
        "quorate_group_epoch{group=\"main\"} 3",
        "quorate_group_durability_quorum{group=\"main\"} 0",
        "quorate_group_voters{group=\"main\"} 2",
        "quorate_group_committed_offset_bytes{group=\"main\"} 90",
        "quorate_node_offset_bytes{group=\"main\",node=\"127.0.0.1:7002\",role=\"replica\"} 100",
        "quorate_raft_leader 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
