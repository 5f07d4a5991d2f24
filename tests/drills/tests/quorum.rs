//! What groups survive, and what they rightly refuse, when sentinels and disks are lost.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use quorate_harness::{TestGroup, connect, eventually, http};
use redis::{RedisResult, Value};

static ALONE: Mutex<()> = Mutex::new(());
/// For what a healthy group does in well under a second.
const SOON: Duration = Duration::from_secs(30);

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|failed| failed.into_inner())
}

fn start() -> TestGroup {
    TestGroup::start(&PathBuf::from(env!("CARGO_BIN_EXE_quorate-drilled")))
}

fn api_port(group: &TestGroup, index: u16) -> u16 {
    group.group.layout().sentinel_port + 1000 + index
}

fn kill_sentinel(group: &mut TestGroup, index: u16) -> String {
    let port = api_port(group, index);
    let sentinel = group.group.sentinel_at(port).expect("the layout has this sentinel");
    sentinel.kill();
    sentinel.name.clone()
}

fn kill_node(group: &mut TestGroup, port: u16) -> String {
    let node = group.group.node_at(port).expect("the group has this node");
    node.kill();
    node.name.clone()
}

/// The master's port as the sentinel with this API port tells it.
fn master_by_http(port: u16) -> Result<u16, String> {
    match http::get(port, "/v1/groups/main/master")? {
        (200, master) => master["port"].as_u64().map(|port| port as u16).ok_or_else(|| format!("no port in {master}")),
        (status, body) => Err(format!("{status}: {body}")),
    }
}

/// Waits until a sentinel names another master than this one; answers with its port.
#[track_caller]
fn moved(group: &TestGroup, index: u16, from: u16) -> u16 {
    eventually(SOON, || match master_by_http(api_port(group, index)) {
        Ok(port) if port != from => Ok(port),
        other => Err(format!("{other:?}\n{}", group.logs())),
    })
}

fn role(port: u16) -> RedisResult<String> {
    let reply: (String, Value, Value, Value, Value) = redis::cmd("ROLE").query(&mut connect(port)?)?;
    Ok(reply.0)
}

fn get(port: u16, key: &str) -> RedisResult<Option<String>> {
    redis::cmd("GET").arg(key).query(&mut connect(port)?)
}

/// Removes everything of a process but its configuration.
fn wipe(group: &TestGroup, name: &str) {
    for entry in std::fs::read_dir(group.folder().join(name)).expect("the process has a folder") {
        let path = entry.expect("its folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "conf") {
            continue;
        }
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.expect("its files can be removed");
    }
}

#[test]
fn two_of_three_sentinels_fail_over() {
    let _alone = alone();
    let mut group = start();
    let master = group.settle();
    kill_sentinel(&mut group, 0);
    kill_node(&mut group, master);
    let next = moved(&group, 1, master);
    eventually(SOON, || redis::cmd("SET").arg("after").arg(1).exec(&mut connect(next)?));
}

#[test]
fn one_of_three_promotes_nothing_and_says_so() {
    let _alone = alone();
    let mut group = start();
    let master = group.settle();
    let gone = [kill_sentinel(&mut group, 0), kill_sentinel(&mut group, 1)];
    let dead = kill_node(&mut group, master);
    let (last_api, last_resp) = (api_port(&group, 2), group.group.layout().sentinel_port + 2);
    eventually(SOON, || match http::get(last_api, "/v1/groups/main/master")? {
        (503, problem) if problem["type"] == "no-quorum" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Over RESP it closes the connection, so that clients try the next sentinel.
    let ask = || -> RedisResult<Value> {
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg("main").query(&mut connect(last_resp)?)
    };
    eventually(SOON, || match ask() {
        Err(error) if error.is_io_error() || error.is_connection_dropped() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Nothing is promoted, for several times as long as a failover takes.
    let nodes = (0..3).map(|index| group.group.layout().port + index);
    let replicas: Vec<u16> = nodes.filter(|port| *port != master).collect();
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        for port in &replicas {
            assert_eq!(role(*port).expect("a replica answers"), "slave");
        }
    }
    for name in &gone {
        group.group.restart(name).expect("a sentinel starts again");
    }
    moved(&group, 2, master);
    group.group.restart(&dead).expect("a node starts again");
    group.settle();
}

#[test]
fn a_sentinel_that_was_away_catches_up_and_an_emptied_one_joins_anew() {
    let _alone = alone();
    let mut group = start();
    let master = group.settle();
    let name = kill_sentinel(&mut group, 2);
    let order = serde_json::json!({});
    eventually(SOON, || match http::post(api_port(&group, 0), "/v1/groups/main/failover", &order)? {
        (200, _) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let next = moved(&group, 0, master);
    group.group.restart(&name).expect("a sentinel starts again");
    assert_eq!(moved(&group, 2, master), next);
    group.settle();

    let before = eventually(SOON, || member_id(&group));
    kill_sentinel(&mut group, 2);
    wipe(&group, &name);
    group.group.restart(&name).expect("a sentinel starts again");
    eventually(Duration::from_secs(60), || match member_id(&group) {
        Ok(after) if after != before => Ok(()),
        other => Err(format!("{other:?}\n{}", group.logs())),
    });
    assert_eq!(moved(&group, 2, master), next);
    group.settle();
}

/// The id of the third sentinel as the first one sees it: alive, and a voter.
fn member_id(group: &TestGroup) -> Result<String, String> {
    let (_, body) = http::get(api_port(group, 0), "/v1/sentinels")?;
    let at = format!("127.0.0.1:{}", api_port(group, 2));
    let sentinels = body.as_array().cloned().unwrap_or_default();
    let fits = |s: &&serde_json::Value| s["api_address"] == at.as_str() && s["alive"] == true && s["role"] != "learner";
    let found = sentinels.iter().find(fits).and_then(|sentinel| Some(sentinel["id"].as_str()?.to_owned()));
    found.ok_or_else(|| body.to_string())
}

/// I10 and I11: a master reborn empty is not believed, whoever is faster.
#[test]
fn a_master_reborn_empty_wipes_nobody() {
    let _alone = alone();
    let mut group = start();
    let master = group.settle();
    let mut connection = connect(master).expect("the master answers");
    redis::cmd("SET").arg("kept").arg("yes").exec(&mut connection).expect("the master takes a write");
    let holders: usize = redis::cmd("WAIT").arg(2).arg(5000).query(&mut connection).expect("the master waits");
    assert_eq!(holders, 2);
    let name = kill_node(&mut group, master);
    wipe(&group, &name);
    group.group.restart(&name).expect("a node starts again");
    for port in (0..3).map(|index| group.group.layout().port + index) {
        eventually(SOON, || match get(port, "kept") {
            Ok(Some(value)) if value == "yes" => Ok(()),
            other => Err(format!("{port}: {other:?}\n{}", group.logs())),
        });
    }
    group.settle();
}
