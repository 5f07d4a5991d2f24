//! Probes against a fake node and a fake agent on loopback.

use std::sync::Arc;
use std::time::Duration;

use quorate_registry::pulse::Liveness;
use quorate_registry::sights::{Role, Sight};
use quorate_registry::{Offset, Registry};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{HeardHello, Probes};
use crate::clock::Clock;
use crate::fakes::{DEADLINE, FakeAgent, FakeNode, ID, SECRET, local, registry, stock_info};
use crate::nodes::{Eyes, Me, Seen};

/// A sentinel's eyes on some nodes.
struct Watch {
    probes: Probes,
    seen: mpsc::Receiver<Seen>,
    hellos: mpsc::Receiver<HeardHello>,
}

fn watch(registry: &Arc<Registry>) -> Watch {
    let (out, seen) = mpsc::channel(64);
    let (hello_out, hellos) = mpsc::channel(64);
    let me = Me { sentinel_id: "f".repeat(40), resp: local(26379) };
    let probes = Probes::new(Clock::default(), me, Some(SECRET.into()), out, Some(hello_out));
    probes.look(registry);
    Watch { probes, seen, hellos }
}

impl Watch {
    /// Waits for a sight that is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Sight) -> bool) -> Sight {
        let mut last = None;
        let found = async {
            loop {
                let seen = self.seen.recv().await.expect("probes run");
                if wanted(&seen.sight) {
                    return seen.sight;
                }
                last = Some(seen.sight);
            }
        };
        match timeout(DEADLINE, found).await {
            Ok(sight) => sight,
            Err(_) => panic!("never {what}; last seen: {last:?}"),
        }
    }

    async fn until_known(&mut self) -> Sight {
        self.until("alive and known", |s| s.liveness == Liveness::Alive && s.facts.is_some()).await
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "never {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_dead_process_is_gone_at_once() {
    let node = FakeNode::start().await;
    let mut watch = watch(&registry(&[node.port], &[("down-after-milliseconds", "60000")]));
    let sight = watch.until_known().await;
    let facts = sight.facts.expect("known");
    assert_eq!((facts.role, facts.offset, facts.agent_port), (Role::Master, Offset(5), 0));
    let killed = Instant::now();
    node.kill().await;
    watch.until("gone", |s| s.liveness == Liveness::Gone).await;
    assert!(killed.elapsed() < DEADLINE, "silence alone would have taken a minute");
}

#[tokio::test]
async fn a_silent_node_is_suspect_after_down_after_and_recovers() {
    let node = FakeNode::start().await;
    let mut watch = watch(&registry(&[node.port], &[("down-after-milliseconds", "300")]));
    watch.until_known().await;
    node.change(|m| m.silent = true);
    let sight = watch.until("suspect", |s| s.liveness == Liveness::Suspect).await;
    assert!(sight.silent >= Duration::from_millis(300), "{sight:?}");
    node.change(|m| m.silent = false);
    watch.until_known().await;
}

#[tokio::test]
async fn loading_and_masterdown_are_valid_and_other_errors_are_not() {
    let node = FakeNode::start().await;
    node.change(|m| m.ping = b"-LOADING Redis is loading the dataset in memory\r\n".to_vec());
    let mut watch = watch(&registry(&[node.port], &[("down-after-milliseconds", "300")]));
    watch.until_known().await;
    node.change(|m| m.ping = b"-ERR unknown\r\n".to_vec());
    watch.until("suspect", |s| s.liveness == Liveness::Suspect).await;
    node.change(|m| m.ping = b"-MASTERDOWN Link with MASTER is down\r\n".to_vec());
    watch.until("alive", |s| s.liveness == Liveness::Alive).await;
}

#[tokio::test]
async fn what_is_no_resp_breaks_a_connection_and_nothing_else() {
    let node = FakeNode::start().await;
    let mut watch = watch(&registry(&[node.port], &[("down-after-milliseconds", "300")]));
    watch.until_known().await;
    let garbage: [&[u8]; 6] = [
        b"\0\xff\xfe",
        b"*-7\r\n",
        b"$99999999999\r\nx",
        b"+PONG\r\n+PONG\r\n+PONG\r\n",
        b"*1\r\n*1\r\n*1\r\n",
        b"$5\r\n\xff\xff",
    ];
    for bytes in garbage {
        node.change(|m| m.ping = bytes.to_vec());
        sleep(Duration::from_millis(150)).await;
        node.change(|m| m.ping = b"+PONG\r\n".to_vec());
        watch.until_known().await;
    }
    for info in ["", "nonsense", "role:king\r\nrun_id:0", "slave0:ip=,port=\r\n:::\r\n"] {
        node.change(|m| m.info = info.into());
        sleep(Duration::from_millis(20)).await;
    }
    node.change(|m| m.info = stock_info("master", 77));
    watch.until("the newest facts", |s| s.facts.as_ref().is_some_and(|f| f.offset == Offset(77))).await;
}

#[tokio::test]
async fn the_agents_heartbeats_excuse_a_busy_engine_and_push_facts() {
    let (node, (agent, serving)) = (FakeNode::start().await, FakeAgent::start().await);
    let info = format!("{}quorate_state:fenced\r\nquorate_agent_port:{}\r\n", stock_info("slave", 1), agent.port);
    node.change(|m| m.info = info);
    let mut watch = watch(&registry(&[node.port], &[("down-after-milliseconds", "300")]));
    watch.until("heartbeats", |s| s.facts.as_ref().is_some_and(|f| f.data_known)).await;
    node.change(|m| m.silent = true); // DEBUG SLEEP: the engine answers nothing
    agent.change(|a| a.report.busy_ms = 400);
    sleep(Duration::from_millis(700)).await;
    agent.change(|a| (a.report.role, a.report.epoch) = (quorate_rpc::v1::NodeRole::Master.into(), 9));
    let sight = watch.until("master", |s| s.facts.as_ref().is_some_and(|f| f.role == Role::Master)).await;
    assert_eq!(sight.liveness, Liveness::Alive, "busy is not dead");
    agent.change(|a| a.report.busy_ms = 31_000);
    watch.until("suspect", |s| s.liveness == Liveness::Suspect).await;
    serving.abort();
}

#[tokio::test]
async fn hellos_are_published_and_those_of_others_heard() {
    let node = FakeNode::start().await;
    let other = format!("10.0.0.7,26379,{ID},3,main,127.0.0.1,7001,2");
    node.change(|m| m.message = Some(other.clone()));
    let mut watch = watch(&registry(&[node.port], &[]));
    let heard = timeout(DEADLINE, watch.hellos.recv()).await.expect("in time").expect("probes run");
    assert_eq!((heard.node, heard.hello.to_string()), (local(node.port), other));
    let port = node.port;
    let own = format!("PUBLISH __sentinel__:hello 127.0.0.1,26379,{},0,main,127.0.0.1,{port},0", "f".repeat(40));
    until("published", || node.heard().contains(&own)).await;
}

#[tokio::test]
async fn a_probe_authenticates_first_and_stops_with_its_node() {
    let (master, replica) = (FakeNode::start().await, FakeNode::start().await);
    let settings = [("auth-user", "watcher"), ("auth-pass", "hush")];
    let mut watch = watch(&registry(&[master.port, replica.port], &settings));
    watch.until_known().await;
    until("both are asked", || [&master, &replica].iter().all(|n| n.heard().iter().any(|l| l == "PING"))).await;
    assert_eq!(master.heard()[0], "AUTH watcher hush");
    watch.probes.look(&registry(&[master.port], &settings));
    let before = replica.heard().len();
    let asked = master.heard().len();
    until("the other goes on", || master.heard().len() > asked + 5).await;
    assert!(replica.heard().len() <= before + 1, "what was on its way may still come");
}
