//! Orders against a fake agent and a fake stock node on loopback.

use std::time::Duration;

use quorate_registry::sights::{NodeFacts, Role};
use quorate_registry::steering::Failure;
use quorate_registry::{Durability, Effect, Epoch, Offset, Order, Reach, VotingConfig};

use super::Messenger;
use crate::fakes::{DEADLINE, FakeAgent, FakeNode, ID, SECRET, local, name, registry, stock_info};
use crate::nodes::Hands;

async fn tell(
    messenger: &Messenger,
    port: u16,
    reach: Reach,
    epoch: u64,
    order: Order,
    within: Duration,
) -> Result<NodeFacts, Failure> {
    let effect =
        Effect { group: name(), node: local(port), reach, epoch: Epoch(epoch), order, config: config(), within };
    messenger.carry_out(effect, registry(&[port], &[("auth-pass", "hush")])).await
}

fn config() -> VotingConfig {
    let voters = [ID.parse().expect("40 digits")].into();
    VotingConfig { version: 6, durability: Durability::Quorum, copies: 2, voters, ..VotingConfig::default() }
}

#[tokio::test]
async fn an_agent_gets_every_order_with_its_epoch() {
    let (agent, serving) = FakeAgent::start().await;
    let messenger = Messenger::new(Some(SECRET.into()));
    let order = |epoch, order| tell(&messenger, 7001, Reach::Agent(agent.port), epoch, order, DEADLINE);
    let promised = order(4, Order::Promise).await.expect("promised");
    assert_eq!((promised.promised, promised.agent_port, promised.role), (Epoch(4), agent.port, Role::Fenced));
    assert_eq!(
        order(4, Order::AssignMaster { lease: Duration::from_secs(1) }).await.expect("assigned").role,
        Role::Master
    );
    assert_eq!(order(5, Order::AssignReplica { master: local(7009) }).await.expect("assigned").role, Role::Replica);
    assert!(order(5, Order::Pause { limit: Duration::from_secs(5) }).await.expect("paused").paused);
    assert!(!order(5, Order::Resume).await.expect("resumed").paused);
    let caught = order(5, Order::CatchUp { replid: ID.into(), offset: Offset(99) }).await.expect("caught up");
    assert_eq!(caught.offset, Offset(99));
    assert_eq!(order(5, Order::Configure { version: 6 }).await.expect("configured").config_version, 6);
    let lease = Duration::from_millis(500);
    assert_eq!(order(5, Order::Grant { renewal: 8, lease }).await.expect("granted").lease_left, lease);
    assert_eq!(
        order(3, Order::AssignMaster { lease: Duration::from_secs(1) }).await,
        Err(Failure::Refused { promised: Epoch(5) })
    );
    let heard = agent.state.lock().expect("no holder panics").heard.clone();
    assert_eq!(
        heard,
        [
            "promise 4",
            "assign 4 1 :0",
            "assign 5 2 127.0.0.1:7009",
            "pause 5 for 5000 ms",
            "resume 5",
            "catch up to 99",
            "configure 5 quorum 2 of [\"0123456789abcdef0123456789abcdef01234567\"]",
            "grant 5 8 for 500 ms",
            "assign 3 1 :0",
            "describe"
        ]
    );
    serving.abort();
}

#[tokio::test]
async fn every_order_ends_within_its_time() {
    let (agent, serving) = FakeAgent::start().await;
    let stranger = Messenger::new(Some("a guess".into()));
    let refused = tell(&stranger, 7001, Reach::Agent(agent.port), 1, Order::Promise, DEADLINE).await;
    assert_eq!(refused, Err(Failure::Error("the secret is wrong".into())));
    let messenger = Messenger::new(Some(SECRET.into()));
    agent.change(|a| a.hangs = true);
    let short = Duration::from_millis(200);
    let hung = tell(&messenger, 7001, Reach::Agent(agent.port), 1, Order::Promise, short).await;
    assert_eq!(hung, Err(Failure::Timeout));
    agent.change(|a| (a.hangs, a.report.role) = (false, 77));
    let malformed = tell(&messenger, 7001, Reach::Agent(agent.port), 1, Order::Promise, DEADLINE).await;
    assert_eq!(malformed, Err(Failure::Error("the agent's report is malformed".into())));
    serving.abort();

    let node = FakeNode::start().await;
    node.change(|m| m.silent = true);
    assert_eq!(tell(&messenger, node.port, Reach::Stock, 1, Order::Promise, short).await, Err(Failure::Timeout));
    let port = node.port;
    node.kill().await;
    for reach in [Reach::Stock, Reach::Agent(port)] {
        let gone = tell(&messenger, port, reach, 1, Order::Promise, DEADLINE).await;
        assert!(matches!(gone, Err(Failure::Unreachable(_))), "{gone:?}");
    }
}

#[tokio::test]
async fn a_stock_node_is_told_as_sentinel_tells_it() {
    let node = FakeNode::start().await;
    let messenger = Messenger::new(None);
    let order = |order| tell(&messenger, node.port, Reach::Stock, 4, order, DEADLINE);
    assert_eq!(order(Order::AssignMaster { lease: Duration::from_secs(1) }).await.expect("told").role, Role::Master);
    order(Order::AssignReplica { master: local(7009) }).await.expect("told");
    order(Order::Pause { limit: Duration::from_secs(5) }).await.expect("told");
    order(Order::Resume).await.expect("told");
    let rewrite = ["CONFIG REWRITE", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub", "EXEC"];
    let expected = [
        &["AUTH hush", "MULTI", "SLAVEOF NO ONE"][..],
        &rewrite,
        &["INFO", "AUTH hush", "MULTI", "SLAVEOF 127.0.0.1 7009"],
        &rewrite,
        &[
            "CLIENT UNPAUSE",
            "INFO",
            "AUTH hush",
            "CLIENT PAUSE 5000 WRITE",
            "INFO",
            "AUTH hush",
            "CLIENT UNPAUSE",
            "INFO",
        ],
    ];
    assert_eq!(node.heard(), expected.concat());
    node.change(|m| m.slaveof = "-ERR not now\r\n");
    assert_eq!(
        order(Order::AssignMaster { lease: Duration::from_secs(1) }).await,
        Err(Failure::Error("ERR not now".into()))
    );
    node.change(|m| m.info = "role:king".into());
    assert_eq!(order(Order::Promise).await, Err(Failure::Error("INFO lacks a role or a run id".into())));
}

#[tokio::test]
async fn a_stock_replica_is_polled_until_it_has_caught_up() {
    let node = FakeNode::start().await;
    node.change(|m| m.info = stock_info("slave", 10));
    let messenger = Messenger::new(None);
    let catch_up = |within| {
        let order = Order::CatchUp { replid: ID.into(), offset: Offset(20) };
        tell(&messenger, node.port, Reach::Stock, 4, order, within)
    };
    let (early, ()) = tokio::join!(catch_up(DEADLINE), async {
        while node.heard().iter().filter(|line| *line == "INFO").count() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        node.change(|m| m.info = stock_info("slave", 20));
    });
    assert_eq!(early.expect("caught up").offset, Offset(20));
    node.change(|m| m.info = stock_info("slave", 19));
    let late = catch_up(Duration::from_millis(500)).await.expect("it says how far it came");
    assert_eq!(late.offset, Offset(19));
}
