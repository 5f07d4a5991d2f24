//! Founding, orders, restarts, lost directories: three real sentinels over real sockets and files.

mod local;

use std::time::Duration;

use local::{Cluster, block_on, throughout, until};
use quorate_rpc::v1::{self, peer_client::PeerClient, raft_envelope::Body};
use tonic::{Code, Request};

#[test]
fn three_sentinels_found_a_cluster_and_take_orders_anywhere() {
    block_on(async {
        let cluster = Cluster::started(3);
        for n in 0..3 {
            cluster.monitored(n, &format!("group-{n}")).await;
            for asked in 0..3 {
                let group =
                    cluster.group(asked, &format!("group-{n}")).await.expect("committed before it was answered");
                assert_eq!(group.master.expect("it has one").port, 7001);
            }
        }
        let mut ids: Vec<u64> =
            cluster.sentinels(0).await.expect("up").iter().map(|sentinel| sentinel.raft_id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3]);
        until("all links are up", async || {
            let sentinels = cluster.sentinels(0).await.unwrap_or_default();
            sentinels.iter().filter(|sentinel| sentinel.alive).count() == 3
        })
        .await;
        let again = cluster.monitor(0, "group-1").await.expect("the same once more is no error");
        assert_eq!(again.name, "group-1");
        let missing = cluster.group(1, "nobody").await.expect_err("not watched");
        assert_eq!(missing.code(), Code::NotFound);
    });
}

#[test]
fn a_dead_leader_is_replaced_and_catches_up_when_it_returns() {
    block_on(async {
        let mut cluster = Cluster::started(3);
        cluster.monitored(0, "first").await;
        let leader = cluster.leader_place(0).await.expect("somebody committed");
        cluster.stop(leader);
        let other = (leader + 1) % 3;
        cluster.monitored(other, "second").await;
        cluster.start(leader);
        until("the restarted one serves what it missed", async || cluster.group(leader, "second").await.is_ok()).await;
        assert!(cluster.group(leader, "first").await.is_ok());
    });
}

#[test]
fn without_a_majority_nobody_answers_from_memory() {
    block_on(async {
        let mut cluster = Cluster::started(3);
        cluster.monitored(0, "main").await;
        cluster.stop(1);
        assert!(cluster.group(0, "main").await.is_ok() || cluster.group(2, "main").await.is_ok(), "two of three go on");
        cluster.stop(2);
        let read = cluster.group(0, "main").await.expect_err("one of three");
        assert_eq!(read.code(), Code::Unavailable);
        let order = cluster.monitor(0, "other").await.expect_err("one of three");
        assert!(matches!(order.code(), Code::Unavailable | Code::DeadlineExceeded), "{order}");
        cluster.start(2);
        until("two of three again", async || cluster.group(0, "main").await.is_ok()).await;
    });
}

#[test]
fn an_emptied_founder_joins_as_a_new_member_and_its_old_id_is_gone() {
    block_on(async {
        let mut cluster = Cluster::started(3);
        cluster.monitored(0, "before").await;
        cluster.stop(2);
        cluster.empty(2);
        cluster.start(2);
        until("the newcomer has replaced its former self", async || {
            let mut ids: Vec<u64> =
                cluster.sentinels(0).await.unwrap_or_default().iter().map(|sentinel| sentinel.raft_id).collect();
            ids.sort_unstable();
            ids.len() == 3 && ids[2] == 4
        })
        .await;
        until("it caught up", async || cluster.group(2, "before").await.is_ok()).await;
        // It has a vote: with one of the others gone it makes the majority.
        cluster.stop(0);
        cluster.monitored(2, "after").await;
        // And it keeps its place through a restart.
        cluster.start(0);
        cluster.stop(2);
        cluster.start(2);
        until("it returns as itself", async || cluster.group(2, "after").await.is_ok()).await;
        let sentinels = cluster.sentinels(2).await.expect("up");
        assert!(sentinels.iter().any(|sentinel| sentinel.raft_id == 4 && sentinel.self_), "{sentinels:?}");
    });
}

async fn remove(cluster: &Cluster, asked: usize, id: &str) -> Result<(), tonic::Status> {
    let request = v1::RemoveSentinelRequest { id: id.into() };
    cluster.control(asked).await?.remove_sentinel(request).await.map(drop)
}

/// Raft must not let a member vote again whose membership is over: it hears so, dead or alive, and ends.
#[test]
fn a_removed_sentinel_is_gone_everywhere_and_ends() {
    block_on(async {
        let mut cluster = Cluster::started(4);
        cluster.monitored(0, "main").await;
        until("all links are up", async || {
            cluster.sentinels(0).await.unwrap_or_default().iter().filter(|sentinel| sentinel.alive).count() == 4
        })
        .await;
        let leader = cluster.leader_place(0).await.expect("somebody committed");
        let others: Vec<usize> = (0..4).filter(|n| *n != leader).collect();
        let id_of = async |cluster: &Cluster, n: usize| {
            let port = cluster.sentinels[n].config.port;
            let sentinels = cluster.sentinels(others[0]).await.expect("up");
            sentinels.into_iter().find(|s| s.resp_address.ends_with(&format!(":{port}"))).expect("a member").id
        };
        assert_eq!(remove(&cluster, others[0], "nobody").await.expect_err("no such").code(), Code::NotFound);

        // A dead one, once: it hears of it when it comes back.
        let dead = others[2];
        let dead_id = id_of(&cluster, dead).await;
        cluster.stop(dead);
        remove(&cluster, others[0], &dead_id).await.expect("three of four answer");
        for n in [leader, others[0], others[1]] {
            until("it is gone", async || cluster.sentinels(n).await.is_ok_and(|all| all.len() == 3)).await;
        }
        cluster.start(dead);
        let ended = cluster.take_end(dead).expect_err("it was removed");
        assert!(ended.to_string().starts_with("this sentinel was removed from the cluster"), "{ended}");

        // The leader itself, alive: leadership is handed on first.
        let leader_id = id_of(&cluster, leader).await;
        remove(&cluster, others[0], &leader_id).await.expect("three of three answer");
        let ended = cluster.take_end(leader).expect_err("it was removed");
        assert!(ended.to_string().starts_with("this sentinel was removed from the cluster"), "{ended}");
        until("two are left and agree", async || cluster.group(others[1], "main").await.is_ok()).await;
        let quorum = remove(&cluster, others[0], &id_of(&cluster, others[1]).await).await.expect_err("quorum is 2");
        assert!(quorum.message().contains("group main needs 2 sentinels"), "{quorum}");
    });
}

#[test]
fn two_emptied_founders_found_nothing_beside_one_that_remembers() {
    block_on(async {
        let mut cluster = Cluster::started(3);
        cluster.monitored(0, "main").await;
        (0..3).for_each(|n| cluster.stop(n));
        (1..3).for_each(|n| cluster.empty(n));
        (1..3).for_each(|n| cluster.start(n));
        let nobody_leads = async |cluster: &Cluster| {
            for n in 0..3 {
                if cluster.leader(n).await.is_some() {
                    return false;
                }
            }
            true
        };
        throughout("two of three founders do not found", Duration::from_secs(1), async || nobody_leads(&cluster).await)
            .await;
        cluster.start(0);
        throughout("nor beside a member", Duration::from_secs(2), async || nobody_leads(&cluster).await).await;
        assert_eq!(cluster.group(1, "main").await.expect_err("no cluster").code(), Code::Unavailable);
    });
}

#[test]
fn a_founding_interrupted_by_restarts_is_finished() {
    block_on(async {
        let mut cluster = Cluster::new(3, "");
        cluster.start(0);
        cluster.start(1);
        until("its port is open", async || cluster.sentinels(0).await.is_ok()).await;
        cluster.stop(0);
        cluster.start(2);
        cluster.start(0);
        cluster.monitored(1, "main").await;
    });
}

#[test]
fn a_sentinel_alone_is_a_cluster_of_one() {
    block_on(async {
        let mut cluster = Cluster::new(1, "");
        cluster.sentinels[0].config.peers.clear();
        cluster.start(0);
        cluster.monitored(0, "main").await;
        cluster.stop(0);
        cluster.start(0);
        until("it remembers", async || cluster.group(0, "main").await.is_ok()).await;
    });
}

#[test]
fn strangers_and_malformed_messages_are_refused_and_stop_nobody() {
    block_on(async {
        let mut cluster = Cluster::new(3, "s3cret");
        (0..3).for_each(|n| cluster.start(n));
        until("the port is open", async || PeerClient::connect(cluster.address(0)).await.is_ok()).await;
        let mut peer = PeerClient::connect(cluster.address(0)).await.expect("open");
        let refused = peer.founding(v1::FoundingRequest {}).await.expect_err("no secret");
        assert_eq!(refused.code(), Code::Unauthenticated);

        let mut founding = v1::FoundingReply::default();
        until("the cluster is founded", async || {
            if let Ok(reply) = peer.founding(secret(v1::FoundingRequest {})).await {
                founding = reply.into_inner();
            }
            !founding.cluster_id.is_empty()
        })
        .await;
        let seats = &founding.founded.as_ref().expect("a founder").seats;
        let cluster_id = founding.cluster_id.as_str();
        let hello = |raft_id: u64, sentinel_id: &str, cluster: &str| v1::RaftEnvelope {
            body: Some(Body::Hello(v1::PeerHello {
                cluster_id: cluster.into(),
                raft_id,
                sentinel_id: sentinel_id.into(),
            })),
        };
        let asked = seats.iter().position(|seat| seat.sentinel_id == founding.sentinel_id).expect("its seat");
        let other = (asked + 1) % 3;
        let other_id = other as u64 + 1;
        let mut stream = async |messages: Vec<v1::RaftEnvelope>, cluster: &str| {
            let mut request = secret(tokio_stream::iter(messages));
            request.metadata_mut().insert("quorate-cluster", cluster.parse().expect("printable"));
            match peer.raft(request).await {
                Ok(acks) => acks.into_inner().message().await.err().map(|status| status.code()),
                Err(status) => Some(status.code()),
            }
        };
        let honest = &seats[other].sentinel_id;
        assert_eq!(stream(vec![hello(other_id, honest, "other")], "other").await, Some(Code::PermissionDenied));
        let unknown = "f".repeat(40);
        assert_eq!(stream(vec![hello(other_id, &unknown, cluster_id)], cluster_id).await, Some(Code::PermissionDenied));
        let own = asked as u64 + 1;
        assert_eq!(stream(vec![hello(own, honest, cluster_id)], cluster_id).await, Some(Code::InvalidArgument));
        assert_eq!(stream(vec![], cluster_id).await, Some(Code::InvalidArgument));
        for garbage in [vec![], vec![0xff; 64], vec![8, 99], b"not raft at all".to_vec()] {
            let garbage = v1::RaftEnvelope { body: Some(Body::Message(garbage)) };
            let mut messages = vec![hello(other_id, honest, cluster_id), garbage.clone()];
            messages.extend(std::iter::repeat_n(garbage, 64));
            let ended = stream(messages, cluster_id).await;
            assert!(matches!(ended, Some(Code::InvalidArgument) | None), "{ended:?}");
        }
        let order = v1::OrderRequest { order: b"{}".to_vec() };
        let mut request = secret(order);
        request.metadata_mut().insert("quorate-cluster", cluster_id.parse().expect("printable"));
        assert_eq!(peer.order(request).await.expect_err("no order").code(), Code::InvalidArgument);
        let denied = cluster.sentinels(0).await.expect_err("the API is guarded too");
        assert_eq!(denied.code(), Code::Unauthenticated);
        for n in 0..3 {
            cluster.stop(n); // in order: nobody panicked
        }
    });
}

fn secret<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", "Bearer s3cret".parse().expect("printable"));
    request
}

#[test]
fn a_configuration_that_does_not_name_this_sentinel_is_refused() {
    let mut cluster = Cluster::new(3, "");
    cluster.sentinels[0].config.peers.remove(0);
    cluster.start(0);
    let error = cluster.take_end(0).expect_err("it cannot know who it is");
    assert!(error.to_string().contains("peers must list this sentinel too"), "{error}");
}
