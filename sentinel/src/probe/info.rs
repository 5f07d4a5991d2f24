//! INFO's text as facts. Stock nodes say nothing else; ours say the same and more with `quorate_` in front.

use std::collections::HashMap;
use std::time::Duration;

use quorate_registry::sights::{NodeFacts, Role};
use quorate_registry::{Epoch, NodeKey, Offset, model::MAX_NODES};

/// The priority of a node that does not say. Source: redis.conf, `replica-priority 100`.
const DEFAULT_PRIORITY: u32 = 100;

/// Reads INFO; `None` when it lacks what every server says (a run id and a role). Lines that are no fields are skipped.
pub(crate) fn parse(text: &str) -> Option<NodeFacts> {
    let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let text = |name: &str| fields.get(name).copied();
    let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
    let flag = |name: &str| number(name) == Some(1);
    let ours = text("quorate_state").is_some_and(|state| state != "standalone");
    let role = match (text("quorate_state"), text("role")?) {
        (Some("fenced"), _) => Role::Fenced,
        (_, "master") => Role::Master,
        (_, "slave") => Role::Replica,
        _ => return None,
    };
    let master = text("master_host").zip(number("master_port")).and_then(|(host, port)| {
        // An address is no fact unless it is whole.
        NodeKey::new(host, u16::try_from(port).ok()?).ok()
    });
    let link_up = text("master_link_status") == Some("up");
    let own_offset = number("master_repl_offset").unwrap_or_default();
    let offset = if role == Role::Replica { number("slave_repl_offset").unwrap_or(own_offset) } else { own_offset };
    let data_known = match ours {
        true => flag("quorate_data_known"),
        // A stock replica that never had a link has nothing.
        false => role == Role::Master || link_up || offset > 0,
    };
    let priority = number("slave_priority").or(number("replica_priority"));
    Some(NodeFacts {
        run_id: text("run_id").filter(|id| id.len() == 40)?.to_owned(),
        node_id: text("quorate_node_id").filter(|_| ours).unwrap_or_default().to_owned(),
        role,
        replid: text("master_replid").unwrap_or_default().to_owned(),
        offset: Offset(offset),
        master,
        link_up,
        link_down: Duration::from_secs(number("master_link_down_since_seconds").unwrap_or_default()),
        priority: priority.map_or(DEFAULT_PRIORITY, |value| u32::try_from(value).unwrap_or(u32::MAX)),
        epoch: Epoch(number("quorate_epoch").unwrap_or_default()),
        promised: Epoch(number("quorate_promised_epoch").unwrap_or_default()),
        data_epoch: Epoch(number("quorate_data_epoch").unwrap_or_default()),
        data_known,
        agent_port: number("quorate_agent_port")
            .filter(|_| ours)
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default(),
        loading: flag("loading"),
        paused: flag("quorate_paused"),
        link_idle: Duration::from_secs(number("master_last_io_seconds_ago").unwrap_or_default()),
        config_version: number("quorate_config_version").unwrap_or_default(),
        committed: Offset(number("quorate_committed_offset").unwrap_or_default()),
        // INFO is no heartbeat: no lease is granted for it.
        renewal: 0,
        lease_left: Duration::from_millis(number("quorate_lease_ms").unwrap_or_default()),
        fsync_acks: flag("aof_enabled") && ours,
        tail_unsure: flag("quorate_tail_unsure"),
        replicas: fields
            .iter()
            .filter(|(name, _)| is_replica_row(name))
            .filter_map(|(_, row)| replica(row))
            .take(MAX_NODES)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect(),
    })
}

/// `slave0`, `slave1`, …: not `slave_priority`.
fn is_replica_row(name: &str) -> bool {
    name.strip_prefix("slave").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `ip=127.0.0.1,port=7002,state=online,offset=14,lag=1`
fn replica(row: &str) -> Option<NodeKey> {
    let part = |name: &str| row.split(',').find_map(|part| part.split_once('=').filter(|(key, _)| *key == name));
    NodeKey::new(part("ip")?.1, part("port")?.1.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_stock_master_lists_its_replicas() {
        let info = format!(
            "# Server\r\nredis_version:7.0.15\r\nrun_id:{ID}\r\nloading:0\r\n# Replication\r\nrole:master\r\n\
             slave0:ip=10.0.0.2,port=7002,state=online,offset=5,lag=0\r\nslave1:ip=10.0.0.3,port=0\r\nslave2:nonsense\r\n\
             master_replid:{ID}\r\nmaster_repl_offset:77\r\n"
        );
        let facts = parse(&info).expect("a server");
        assert_eq!((facts.role, facts.offset, facts.agent_port), (Role::Master, Offset(77), 0));
        assert_eq!(facts.replicas, [NodeKey::new("10.0.0.2", 7002).expect("a port")]);
        assert!(facts.data_known && facts.stock() && !facts.loading);
        assert_eq!(facts.priority, DEFAULT_PRIORITY);
    }

    #[test]
    fn a_stock_replica_that_never_had_a_link_has_no_data() {
        let info = |status: &str, offset: u64| {
            format!(
                "run_id:{ID}\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:7001\r\nmaster_link_status:{status}\r\n\
                 slave_repl_offset:{offset}\r\nmaster_link_down_since_seconds:9\r\nslave_priority:5\r\nmaster_repl_offset:1\r\n"
            )
        };
        assert!(!parse(&info("down", 0)).expect("a server").data_known);
        let facts = parse(&info("up", 42)).expect("a server");
        assert!(facts.data_known && facts.link_up);
        assert_eq!((facts.offset, facts.priority, facts.link_down), (Offset(42), 5, Duration::from_secs(9)));
        assert_eq!(facts.master, NodeKey::new("10.0.0.1", 7001).ok());
    }

    #[test]
    fn our_own_nodes_say_more() {
        let info = format!(
            "run_id:{ID}\r\nrole:slave\r\nquorate_state:fenced\r\nquorate_epoch:3\r\nquorate_promised_epoch:4\r\n\
             quorate_data_epoch:2\r\nquorate_data_known:1\r\nquorate_node_id:{ID}\r\nquorate_agent_port:8001\r\n\
             master_repl_offset:9\r\nloading:1\r\n"
        );
        let facts = parse(&info).expect("a server");
        assert_eq!(
            (facts.role, facts.epoch, facts.promised, facts.data_epoch),
            (Role::Fenced, Epoch(3), Epoch(4), Epoch(2))
        );
        assert!(facts.data_known && facts.loading && facts.node_id == ID);
        assert_eq!((facts.agent_port, facts.offset), (8001, Offset(9)));
        let standalone = info.replace("fenced", "standalone").replace("slave", "master");
        assert!(parse(&standalone).expect("a server").stock(), "without a group it takes no assignments");
    }

    #[test]
    fn what_is_no_info_is_refused() {
        for bad in ["", ":", "role:master", &format!("run_id:{ID}\r\nrole:king"), "run_id:short\r\nrole:master"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
