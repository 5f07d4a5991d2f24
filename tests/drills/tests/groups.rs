//! Groups as a whole: stopped and started again with their data; several on one set of sentinels, each with its own epoch.

use std::path::PathBuf;
use std::time::Duration;

use quorate_cli::local::{Kind, Layout};
use quorate_harness::{TestGroup, connect, eventually, http};
use serde_json::{Value, json};

/// Debug builds on a loaded machine of two cores: what takes a second there may take twenty here.
const SOON: Duration = Duration::from_secs(40);

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_quorate-drilled"))
}

fn names(group: &TestGroup, kind: Kind) -> Vec<String> {
    group.group.children().iter().filter(|child| child.kind == kind).map(|child| child.name.clone()).collect()
}

/// The field of a JSON answer with status 200.
fn field(api: u16, path: &str, pointer: &str) -> Result<Value, String> {
    match http::get(api, path)? {
        (200, body) => body.pointer(pointer).cloned().ok_or_else(|| format!("no {pointer} in {body}")),
        other => Err(format!("{other:?}")),
    }
}

fn apis(group: &TestGroup) -> Vec<u16> {
    group.group.children().iter().filter(|child| child.kind == Kind::Sentinel).map(|child| child.side_port).collect()
}

fn write_keys(port: u16, count: usize) {
    let mut connection = connect(port).expect("the master answers");
    for index in 0..count {
        let stored: redis::RedisResult<()> =
            redis::cmd("SET").arg(format!("key:{index}")).arg(index).query(&mut connection);
        stored.expect("the master takes writes");
    }
    let held: i64 = redis::cmd("WAIT").arg(2).arg(20_000).query(&mut connection).expect("WAIT answers");
    assert_eq!(held, 2, "both replicas hold the keys");
}

fn key_count(port: u16) -> Result<i64, String> {
    let mut connection = connect(port).map_err(|error| error.to_string())?;
    redis::cmd("DBSIZE").query(&mut connection).map_err(|error| error.to_string())
}

#[test]
fn a_group_that_was_stopped_goes_on_with_its_data() {
    let mut group = TestGroup::start(&program());
    let master = group.settle();
    write_keys(master, 300);
    let epoch = field(apis(&group)[0], "/v1/groups/main", "/epoch").expect("an epoch").as_u64().expect("a number");
    let killed = group.group.stop();
    assert!(killed.is_empty(), "{killed:?} had to be killed");
    for name in names(&group, Kind::Node).into_iter().chain(names(&group, Kind::Sentinel)) {
        group.group.restart(&name).unwrap_or_else(|error| panic!("{error}"));
    }
    let again = group.settle();
    assert_eq!(key_count(again), Ok(300));
    let now = field(apis(&group)[0], "/v1/groups/main", "/epoch").expect("an epoch").as_u64().expect("a number");
    assert!(now > epoch, "each mastership has its own epoch: {epoch}, then {now}");
    write_keys(again, 10);
}

#[test]
fn groups_on_one_set_of_sentinels_have_their_own_epochs() {
    let mut other = TestGroupWithoutSentinels::start();
    let nodes: Vec<String> = other.layout.node_addresses();
    let mut group = TestGroup::start(&program());
    let master = group.settle();
    let api = apis(&group)[0];
    let body = json!({"name": "second", "host": "127.0.0.1", "port": other.layout.port, "quorum": 2, "nodes": nodes});
    let (status, answer) = http::post(api, "/v1/groups", &body).expect("an answer");
    assert_eq!(status, 201, "{answer}");
    let second = eventually(SOON, || {
        let found = field(api, "/v1/groups/second", "")?;
        let linked = found["nodes"].as_array().is_some_and(|nodes| {
            nodes.len() == 2
                && nodes.iter().all(|node| node["link_up"] == json!(true) && node["health"] == json!("online"))
        });
        if linked && found["epoch"].as_u64() > Some(0) { Ok(found) } else { Err(found.to_string()) }
    });
    let before = field(api, "/v1/groups/main", "/epoch").expect("an epoch");
    let (status, report) = http::post(api, "/v1/groups/second/failover", &json!({})).expect("an answer");
    assert_eq!(status, 200, "{report}");
    assert!(report["master"]["epoch"].as_u64() > second["epoch"].as_u64(), "{report}");
    assert_ne!(report["master"]["port"], second["master"]["port"], "{report}");
    assert_eq!(field(api, "/v1/groups/main", "/epoch"), Ok(before));
    assert_eq!(field(api, "/v1/groups/main/master", "/port"), Ok(json!(master)));
    other.stop();
}

/// Two nodes of a group `second`, watched by nobody yet.
struct TestGroupWithoutSentinels {
    layout: Layout,
    group: quorate_cli::local::Group,
    _folder: tempfile::TempDir,
}

impl TestGroupWithoutSentinels {
    fn start() -> Self {
        let free = quorate_cli::drill::free_layout().expect("there are free ports");
        let layout = Layout { name: "second".into(), nodes: 2, sentinels: 0, ..free };
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let group = quorate_cli::local::Group::start(folder.path(), layout.clone(), &program());
        Self { layout, group: group.unwrap_or_else(|error| panic!("{error}")), _folder: folder }
    }

    fn stop(&mut self) {
        let killed = self.group.stop();
        assert!(killed.is_empty(), "{killed:?} had to be killed");
    }
}

/// Waits until a durability is in force, as published (I9).
#[track_caller]
fn change_durability(api: u16, to: &str) {
    let (status, body) = http::patch(api, "/v1/groups/main", &json!({"durability": to})).expect("a sentinel answers");
    assert_eq!(status, 200, "{body}");
    eventually(SOON, || {
        let settled = field(api, "/v1/groups/main", "/voting/settled")? == json!(true);
        let in_force = field(api, "/v1/groups/main", "/durability")?;
        if settled && in_force == json!(to) { Ok(()) } else { Err(format!("{in_force} is in force")) }
    });
}

/// In both directions at run time; what `quorum` acknowledged survives the death of the master that acknowledged it (I3, I4).
#[test]
fn durability_changes_while_the_group_runs() {
    let mut group = TestGroup::start(&program());
    let master = group.settle();
    let api = apis(&group)[0];
    change_durability(api, "quorum");
    let mut connection = connect(master).expect("the master answers");
    for index in 0..500 {
        let pushed: redis::RedisResult<i64> = redis::cmd("RPUSH").arg("list").arg(index).query(&mut connection);
        assert_eq!(pushed.expect("the master takes writes"), index + 1);
    }
    group.group.node_at(master).expect("the group has this node").kill();
    let heir = eventually(SOON, || match field(api, "/v1/groups/main/master", "/port")?.as_u64() {
        Some(port) if port != u64::from(master) => Ok(u16::try_from(port).expect("a port")),
        _ => Err("nobody took over".to_owned()),
    });
    let held = eventually(SOON, || {
        let mut connection = connect(heir).map_err(|error| error.to_string())?;
        let length: redis::RedisResult<i64> = redis::cmd("LLEN").arg("list").query(&mut connection);
        length.map_err(|error| error.to_string())
    });
    assert_eq!(held, 500, "acknowledged writes were lost\n{}", group.logs());
    change_durability(api, "async");
}
