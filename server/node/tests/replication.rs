//! Replication between our nodes and real Redis servers, both ways: full and partial resync, reconnection, chains.

mod support;

use quorate_resp::Value;
use support::{Client, Server, be_a_node_if_asked, wait_until};

/// Not a test of its own: what `Server::ours` starts.
#[test]
fn a_node_for_the_other_tests() {
    be_a_node_if_asked();
}

/// Data of every type in its small and its large encoding, with and without expiry, in two databases.
fn fill(server: &Server) {
    let mut client = server.client();
    for n in 0..300 {
        client.say(&format!("set string:{n} value:{n}"));
        client.say(&format!("rpush large:list element:{n:0100}"));
        client.say(&format!("sadd large:set member:{n}"));
        client.say(&format!("hset large:hash field:{n} {n}"));
        client.say(&format!("zadd large:zset {n}.5 member:{n}"));
    }
    for command in [
        "rpush small:list a b 1 2 -70000",
        "sadd small:ints 1 2 3 70000",
        "sadd small:set a b 3",
        "hset small:hash f v g 7",
        "zadd small:zset 1 a -inf b 2.25 c",
        "set number 12345",
        "set long 0123456789012345678901234567890123456789012345678901234567890123456789",
        "set mortal soon px 3600000",
        "setrange binary 300 x",
        "select 3",
        "set elsewhere yes",
        "hset mortal:hash f v",
        "expire mortal:hash 3600",
    ] {
        client.say(command);
    }
}

/// Commands whose effect depends on when or where they run, transactions, deletions: what only a right stream gets right.
fn change(server: &Server, round: usize) {
    let mut client = server.client();
    for command in [
        "incrbyfloat float 0.1",
        "spop large:set 3",
        "set volatile x ex 1000",
        "getex string:1 ex 500",
        "multi",
        "incr counter",
        "lpush small:list from:multi",
        "select 3",
        "incr counter",
        "exec",
        "del string:2",
        "select 0",
        "rename string:3 string:3:renamed",
        "hincrby large:hash field:1 5",
        "lpop large:list",
        "zincrby large:zset 1.25 member:7",
        "getdel string:4",
    ] {
        client.say(command);
    }
    client.say(&format!("set round {round}"));
}

/// Everything that a server holds, in an order of its own: `db key type value expires`.
fn dump(server: &Server) -> Vec<String> {
    let mut client = server.client();
    let mut all = Vec::new();
    for db in [0, 3] {
        client.say(&format!("select {db}"));
        for key in members(client.ask(&[b"KEYS", b"*"])) {
            let kind = client.ask(&[b"TYPE", key.as_bytes()]).to_string();
            let value = content(&mut client, &key, &kind);
            let expires = client.ask(&[b"PEXPIRETIME", key.as_bytes()]).to_string();
            all.push(format!("{db} {key} {kind} {value} {expires}"));
        }
    }
    all.sort_unstable();
    all
}

fn content(client: &mut Client, key: &str, kind: &str) -> String {
    let key = key.as_bytes();
    let sorted = |value: Value| {
        let mut all = members(value);
        all.sort_unstable();
        all.join(",")
    };
    match kind {
        "+string" => client.ask(&[b"GET", key]).to_string(),
        "+list" => client.ask(&[b"LRANGE", key, b"0", b"-1"]).to_string(),
        "+set" => sorted(client.ask(&[b"SMEMBERS", key])),
        "+hash" => {
            let flat = members(client.ask(&[b"HGETALL", key]));
            let mut pairs: Vec<String> = flat.chunks(2).map(|pair| pair.join("=")).collect();
            pairs.sort_unstable();
            pairs.join(",")
        }
        "+zset" => client.ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]).to_string(),
        other => panic!("unexpected type {other}"),
    }
}

fn members(value: Value) -> Vec<String> {
    let elements = value.elements().expect("an array");
    elements.iter().map(|one| String::from_utf8_lossy(one.bytes().expect("a string")).into_owned()).collect()
}

/// Waits until the replica has applied all of the master's stream, and compares what they hold.
fn check_same(master: &Server, replica: &Server) {
    replica.wait_for("master_link_status", "up");
    wait_until(|| {
        let (theirs, ours) = (master.info("master_repl_offset"), replica.info("slave_repl_offset"));
        if theirs == ours { Ok(()) } else { Err(format!("the master is at {theirs}, the replica at {ours}")) }
    });
    let (theirs, ours) = (dump(master), dump(replica));
    assert!(theirs.len() > 300, "only {} keys", theirs.len());
    for (a, b) in theirs.iter().zip(&ours) {
        assert_eq!(a, b);
    }
    assert_eq!(theirs.len(), ours.len());
    assert_eq!(master.info("master_replid"), replica.info("master_replid"));
}

fn replicaof(replica: &Server, master: &Server) {
    assert_eq!(replica.say(&format!("replicaof 127.0.0.1 {}", master.port)), "+OK");
}

/// Full resync, stream, cut links with partial resyncs, and what a replica refuses.
fn check_pair(master: &Server, replica: &Server) {
    fill(master);
    replica.say("set stale 1");
    replicaof(replica, master);
    check_same(master, replica);
    change(master, 0);
    check_same(master, replica);
    assert_eq!(master.info("sync_full"), "1");

    for round in 1..=3 {
        master.say("client kill type replica");
        change(master, round);
        check_same(master, replica);
    }
    assert_eq!((master.info("sync_full"), master.info("sync_partial_ok")), ("1".into(), "3".into()));

    assert_eq!(replica.say("set a 1"), "-READONLY You can't write against a read only replica.");
    assert_eq!(replica.info("role"), "slave");
    assert_eq!(master.info("connected_slaves"), "1");
    wait_until(|| if master.info("slave0").contains("state=online") { Ok(()) } else { Err("not online yet".into()) });
    assert!(
        master.info("slave0").contains(&format!("port={},state=online", replica.port)),
        "{}",
        master.info("slave0")
    );
    let mut client = master.client();
    client.say("incr counter");
    assert_eq!(client.say("wait 1 20000"), ":1");
    check_same(master, replica);

    assert_eq!(replica.say("replicaof no one"), "+OK");
    assert_eq!(replica.info("role"), "master");
    assert_eq!(replica.say("set a 1"), "+OK");
    assert_eq!(replica.info("master_replid2"), master.info("master_replid"));
}

#[test]
fn our_replica_follows_a_real_redis() {
    check_pair(&Server::redis(""), &Server::ours(""));
}

#[test]
fn a_real_redis_replica_follows_ours() {
    check_pair(&Server::ours(""), &Server::redis(""));
}

#[test]
fn a_real_redis_replica_that_wants_a_diskless_load_follows_ours() {
    check_pair(&Server::ours(""), &Server::redis("--repl-diskless-load swapdb"));
}

#[test]
fn a_real_redis_that_sends_its_payload_from_a_file_is_followed() {
    check_pair(&Server::redis("--repl-diskless-sync no"), &Server::ours(""));
}

#[test]
fn our_replica_follows_ours() {
    check_pair(&Server::ours(""), &Server::ours(""));
}

#[test]
fn a_password_opens_the_way() {
    let master = Server::redis("--requirepass xyzzy");
    let replica = Server::ours("--masterauth xyzzy");
    let mut client = master.client();
    assert_eq!(client.say("auth xyzzy"), "+OK");
    assert_eq!(client.say("set a 1"), "+OK");
    replicaof(&replica, &master);
    wait_until(|| match replica.say("get a").as_str() {
        "$1" => Ok(()),
        other => Err(other.to_owned()),
    });
}

/// Redis ◀─ ours ◀─ Redis, and a cut in each link.
#[test]
fn a_chain_passes_the_stream_on_as_it_came() {
    let first = Server::redis("");
    let second = Server::ours("");
    let third = Server::redis("");
    let fourth = Server::ours("");
    fill(&first);
    replicaof(&second, &first);
    check_same(&first, &second);
    replicaof(&third, &second);
    check_same(&first, &third);
    replicaof(&fourth, &second);
    check_same(&first, &fourth);
    for (round, cut) in [&first, &second, &first].into_iter().enumerate() {
        cut.say("client kill type replica");
        change(&first, round);
        check_same(&first, &third);
        check_same(&first, &fourth);
    }
    assert_eq!((first.info("sync_full"), second.info("sync_full")), ("1".into(), "2".into()));
}

/// A promoted replica is followed by its sibling through a partial resync, in either direction between ours and Redis.
#[test]
fn a_sibling_follows_a_promoted_replica_without_a_full_resync() {
    for theirs in ["promoted", "sibling", "neither"] {
        let mut master = Server::ours("");
        let (promoted, sibling) = match theirs {
            "promoted" => (Server::redis(""), Server::ours("")),
            "sibling" => (Server::ours(""), Server::redis("")),
            _ => (Server::ours(""), Server::ours("")),
        };
        fill(&master);
        replicaof(&promoted, &master);
        replicaof(&sibling, &master);
        check_same(&master, &promoted);
        check_same(&master, &sibling);
        master.kill();
        assert_eq!(promoted.say("replicaof no one"), "+OK");
        replicaof(&sibling, &promoted);
        change(&promoted, 1);
        check_same(&promoted, &sibling);
        assert_eq!(
            (promoted.info("sync_full"), promoted.info("sync_partial_ok")),
            ("0".into(), "1".into()),
            "{theirs} is Redis"
        );
    }
}

#[test]
fn failover_hands_over_between_ours_and_redis() {
    for theirs in ["master", "replica", "neither"] {
        let (master, replica) = match theirs {
            "master" => (Server::redis(""), Server::ours("")),
            "replica" => (Server::ours(""), Server::redis("")),
            _ => (Server::ours(""), Server::ours("")),
        };
        fill(&master);
        replicaof(&replica, &master);
        check_same(&master, &replica);
        wait_until(
            || if master.info("slave0").contains("state=online") { Ok(()) } else { Err("not online yet".into()) },
        );
        assert_eq!(master.say("failover abort"), "-ERR No failover in progress.");
        assert_eq!(master.say(&format!("failover to 127.0.0.1 {}", replica.port)), "+OK");
        replica.wait_for("role", "master");
        master.wait_for("role", "slave");
        change(&replica, 1);
        check_same(&replica, &master);
        assert_eq!(replica.info("sync_full"), "0", "{theirs} is Redis");
        assert_eq!(master.info("master_failover_state"), "no-failover");
    }
}

#[test]
fn too_few_replicas_refuse_writes_and_stale_replicas_reads() {
    let master = Server::ours("--min-replicas-to-write 1");
    let mut replica = Server::ours("--replica-serve-stale-data no");
    assert_eq!(master.say("set a 1"), "-NOREPLICAS Not enough good replicas to write.");
    replicaof(&replica, &master);
    replica.wait_for("master_link_status", "up");
    wait_until(|| match master.say("set a 1").as_str() {
        "+OK" => Ok(()),
        other => Err(other.to_owned()),
    });
    let stale = Server::ours("--replica-serve-stale-data no --replicaof \"127.0.0.1 1\"");
    wait_until(|| match stale.say("get a").as_str() {
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'." => Ok(()),
        other => Err(other.to_owned()),
    });
    replica.kill();
    wait_until(|| match master.say("set a 1").as_str() {
        "-NOREPLICAS Not enough good replicas to write." => Ok(()),
        other => Err(other.to_owned()),
    });
}
