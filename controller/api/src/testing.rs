//! A control plane in memory for this room's tests.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{FutureExt, StreamExt, future::ready, stream::BoxStream};

use crate::{
    plane::{ControlPlane, Outcome, Standing},
    problem::Problem,
    view::*,
};

/// One group `main` with a master at 7001 and a replica at 7002; orders are recorded.
#[derive(Default)]
pub struct FakePlane {
    pub no_quorum: AtomicBool,
    pub orders: Mutex<Vec<String>>,
}

pub fn node(port: u16, role: &str) -> Node {
    Node {
        name: format!("127.0.0.1:{port}"),
        host: "127.0.0.1".into(),
        port,
        role: role.into(),
        reported_role: if role == "master" { "master" } else { "slave" }.into(),
        health: Health::Online,
        run_id: "a".repeat(40),
        offset: 100,
        lag: 0,
        link_up: true,
        priority: 100,
        tags: vec![],
        stock: false,
        voter: true,
        leaving: false,
    }
}

pub fn group() -> Group {
    let master = Master { group: "main".into(), host: "127.0.0.1".into(), port: 7001, epoch: 3 };
    Group {
        name: "main".into(),
        epoch: 3,
        status: GroupStatus::Ok,
        durability: "async".into(),
        stock: false,
        master,
        nodes: vec![node(7001, "master"), node(7002, "replica")],
        quorum: 2,
        down_after_ms: 1000,
        failover_timeout_ms: 10_000,
        parallel_syncs: 1,
        failover_phase: String::new(),
        voting: Voting {
            version: 5,
            settled: true,
            wanted: "async".into(),
            copies: 1,
            voters: vec!["127.0.0.1:7001".into(), "127.0.0.1:7002".into()],
            ack: "receipt".into(),
            committed_offset: 90,
            ..Voting::default()
        },
    }
}

pub fn event(index: u64, group: &str) -> Event {
    Event { index, unix_ms: 1, group: group.into(), name: "+switch-master".into(), text: "t".into(), epoch: index }
}

impl FakePlane {
    fn order<T: Send + 'static>(&self, what: String, answer: T) -> Outcome<T> {
        self.orders.lock().expect("no panic holds it").push(what);
        let confirmed = self.confirm();
        async move { confirmed.await.map(|_| answer) }.boxed()
    }
}

impl ControlPlane for FakePlane {
    fn groups(&self) -> Vec<Group> {
        vec![group()]
    }

    fn group(&self, name: &str) -> Option<Group> {
        (name == "main").then(group)
    }

    fn sentinels(&self) -> Vec<Sentinel> {
        vec![Sentinel {
            id: "b".repeat(40),
            raft_id: 1,
            resp_address: "127.0.0.1:26379".into(),
            api_address: "127.0.0.1:27379".into(),
            role: "leader".into(),
            alive: true,
            is_self: true,
        }]
    }

    fn standing(&self) -> Standing {
        Standing { term: 4, leader: 1, raft_id: 1, applied: 9 }
    }

    fn confirm(&self) -> Outcome<Standing> {
        let standing = self.standing();
        ready(if self.no_quorum.load(Ordering::Relaxed) { Err(Problem::NoQuorum) } else { Ok(standing) }).boxed()
    }

    fn history(&self, group: Option<&str>, limit: usize) -> Vec<Event> {
        let all = [event(512, "other"), event(256, "main")];
        all.into_iter().filter(|e| group.is_none_or(|g| g == e.group)).take(limit).collect()
    }

    fn watch(&self, from: Option<u64>) -> Result<BoxStream<'static, Result<Event, Problem>>, Problem> {
        match from {
            Some(from) if from < 256 => Err(Problem::Gap { oldest: 256 }),
            from => {
                let all = [event(256, "main"), event(512, "other"), event(0, "main")];
                let wanted = all.into_iter().filter(move |e| e.index == 0 || from.is_none_or(|f| e.index >= f));
                Ok(futures::stream::iter(wanted.map(Ok).collect::<Vec<_>>()).boxed())
            }
        }
    }

    fn failover(&self, group: &str, order: FailoverOrder) -> Outcome<FailoverReport> {
        let master = Master { group: group.into(), host: "127.0.0.1".into(), port: 7002, epoch: 4 };
        let what = format!("failover {group} {:?} {} {}", order.candidate, order.force, order.accept_loss);
        self.order(what, FailoverReport { master, took_ms: 20, paused_ms: 5 })
    }

    fn monitor(&self, order: MonitorOrder) -> Outcome<Group> {
        self.order(
            format!("monitor {} {}:{} {} {:?}", order.name, order.host, order.port, order.quorum, order.nodes),
            group(),
        )
    }

    fn remove(&self, name: &str) -> Outcome<()> {
        self.order(format!("remove {name}"), ())
    }

    fn set(&self, name: &str, settings: BTreeMap<String, String>) -> Outcome<Group> {
        self.order(format!("set {name} {settings:?}"), group())
    }

    fn add_node(&self, name: &str, node: &str) -> Outcome<Group> {
        self.order(format!("add {node} to {name}"), group())
    }

    fn remove_node(&self, name: &str, node: &str) -> Outcome<Group> {
        self.order(format!("remove {node} from {name}"), group())
    }

    fn remove_sentinel(&self, id: &str) -> Outcome<()> {
        self.order(format!("remove sentinel {id}"), ())
    }
}
