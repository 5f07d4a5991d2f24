//! Files over real processes: a node is killed, restarted, and given to a real Redis 7 and back. Needs `redis-server` in PATH and fails
//! without it.

mod process;

use std::path::Path;

use process::{Process, eventually};
use quorate_resp::Value;

/// A dataset of every type in both encodings, by commands that both servers know.
fn fill(server: &mut Process) {
    server.say("set text hello");
    server.say("set number 12345");
    server.say("set expiring soon pxat 95617584000000");
    server.say(&format!("set long {}", "abc".repeat(1000)));
    server.say("rpush small:list a 2 c");
    server.say("sadd small:set a b 3");
    server.say("sadd small:ints 1 2 300000");
    server.say("hset small:hash f v g 2");
    server.say("select 3");
    for number in 0..500 {
        server.say(&format!("rpush large:list element:{number}:{}", "x".repeat(50)));
        server.say(&format!("sadd large:set member:{number}"));
        server.say(&format!("hset large:hash field:{number} value:{number}"));
    }
    server.say("select 0");
}

/// What `fill` has made, as replies.
fn dataset(server: &mut Process) -> Vec<String> {
    let mut seen = Vec::new();
    for command in [
        "get text",
        "get number",
        "pexpiretime expiring",
        "strlen long",
        "lrange small:list 0 -1",
        "hgetall small:hash",
    ] {
        seen.push(server.say(command));
    }
    seen.push(sorted(server.ask("smembers small:set")));
    seen.push(sorted(server.ask("smembers small:ints")));
    server.say("select 3");
    seen.push(server.say("lrange large:list 0 -1"));
    seen.push(sorted(server.ask("smembers large:set")));
    seen.push(sorted(server.ask("hgetall large:hash")));
    server.say("select 0");
    seen.push(server.say("dbsize"));
    seen
}

fn sorted(value: Value) -> String {
    let mut all: Vec<String> = value.elements().expect("an array").iter().map(Value::to_string).collect();
    all.sort();
    all.join(" ")
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_saved_dataset_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &[]);
    fill(&mut node);
    let before = dataset(&mut node);
    assert_eq!(node.say("save"), "+OK");
    node.say("set unsaved 1");
    node.kill();
    let mut node = Process::node(dir.path(), &[]);
    assert_eq!(dataset(&mut node), before);
    assert_eq!(node.say("get unsaved"), "nil");
    assert_eq!(node.info("rdb_last_load_keys_loaded"), "11");
    assert_eq!(files(dir.path()), ["dump.rdb"]);
}

#[test]
fn redis_and_the_node_load_each_others_rdb() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Process::redis(dir.path(), &[]);
    fill(&mut redis);
    let before = dataset(&mut redis);
    assert_eq!(redis.say("save"), "+OK");
    redis.kill();
    let mut node = Process::node(dir.path(), &[]);
    assert_eq!(dataset(&mut node), before);
    assert_eq!(node.say("bgsave"), "+Background saving started");
    node.settled();
    assert_eq!(node.info("rdb_last_bgsave_status"), "ok");
    node.kill();
    let mut redis = Process::redis(dir.path(), &[]);
    assert_eq!(dataset(&mut redis), before);
}

#[test]
fn the_log_survives_a_kill_under_every_policy() {
    for policy in ["always", "everysec", "no"] {
        let dir = tempfile::tempdir().unwrap();
        let directives = ["--appendonly", "yes", "--appendfsync", policy];
        let mut node = Process::node(dir.path(), &directives);
        fill(&mut node);
        node.say("multi");
        node.say("incr counter");
        node.say("incr counter");
        node.say("exec");
        let before = dataset(&mut node);
        node.kill();
        let mut node = Process::node(dir.path(), &directives);
        assert_eq!(dataset(&mut node), before, "{policy}");
        assert_eq!(node.say("get counter"), "$2");
        node.kill();
        let mut redis = Process::redis(dir.path(), &directives);
        assert_eq!(dataset(&mut redis), before, "{policy}");
    }
}

#[test]
fn a_rewritten_log_has_one_base_and_holds_what_came_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("appendonlydir");
    let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
    fill(&mut node);
    for round in 1..=2 {
        assert_eq!(node.say("bgrewriteaof"), "+Background append only file rewriting started");
        node.say(&format!("set after:{round} yes"));
        node.settled();
        assert_eq!(node.info("aof_last_bgrewrite_status"), "ok");
    }
    let expected = ["appendonly.aof.3.base.rdb", "appendonly.aof.3.incr.aof", "appendonly.aof.manifest"];
    eventually(|| files(&log) == expected, || format!("{:?}", files(&log)));
    let before = dataset(&mut node);
    node.kill();
    let mut redis = Process::redis(dir.path(), &["--appendonly", "yes"]);
    assert_eq!(dataset(&mut redis), before);
    assert_eq!((redis.say("get after:1"), redis.say("get after:2")), ("$yes".to_owned(), "$yes".to_owned()));
    redis.say("set by redis");
    redis.kill();
    let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
    assert_eq!(node.say("get by"), "$redis");
    assert_eq!(dataset(&mut node).len(), before.len());
}

#[test]
fn the_node_loads_the_log_of_redis() {
    let dir = tempfile::tempdir().unwrap();
    let directives = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = Process::redis(dir.path(), &directives);
    fill(&mut redis);
    let before = dataset(&mut redis);
    redis.kill();
    let mut node = Process::node(dir.path(), &directives);
    assert_eq!(dataset(&mut node), before);
}

#[test]
fn an_old_append_only_file_is_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let old = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    std::fs::write(dir.path().join("appendonly.aof"), old).unwrap();
    let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
    assert_eq!(node.say("get k"), "$v");
    node.say("set l w");
    node.kill();
    assert_eq!(files(dir.path()), ["appendonlydir"]);
    let mut redis = Process::redis(dir.path(), &["--appendonly", "yes"]);
    assert_eq!((redis.say("get k"), redis.say("get l")), ("$v".to_owned(), "$w".to_owned()));
}

#[test]
fn the_log_is_switched_on_and_off_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &[]);
    fill(&mut node);
    let before = dataset(&mut node);
    for value in ["1", "2"] {
        assert_eq!(node.say("config set appendonly yes"), "+OK");
        node.say(&format!("set during {value}"));
        node.settled();
        node.say(&format!("set after {value}"));
        if value == "1" {
            assert_eq!(node.say("config set appendonly no"), "+OK");
            node.say("set without 1");
        }
    }
    node.kill();
    let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
    assert_eq!((node.say("get during"), node.say("get after")), ("$2".to_owned(), "$2".to_owned()));
    assert_eq!(node.say("del during after without"), ":3");
    assert_eq!(dataset(&mut node), before);
}

#[test]
fn a_torn_log_is_cut_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
    node.say("set k v");
    node.kill();
    let path = dir.path().join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut bytes = std::fs::read(&path).unwrap();
    let good = bytes.len();
    bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nto");
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Process::refused(dir.path(), &["--appendonly", "yes", "--aof-load-truncated", "no"]), 1);
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "a refusal changes nothing");
    let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
    assert_eq!(node.say("get k"), "$v");
    node.say("set l w");
    node.kill();
    assert!(std::fs::read(&path).unwrap().len() > good);
    std::fs::write(&path, b"nonsense\r\n").unwrap();
    assert_eq!(Process::refused(dir.path(), &["--appendonly", "yes"]), 1);
}

/// A loss of power took the end of a file that another follows. What is behind the gap is not loaded, and not deleted either.
#[test]
fn a_log_ends_at_its_gap() {
    let command = |words: &[&str]| {
        let parts: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*{}\r\n{parts}", words.len())
    };
    let begins = |offset: usize| format!("{}#Q:{}:{offset}:1:0\r\n", command(&["SELECT", "0"]), "a".repeat(40));
    let (first, second, third) =
        (command(&["SET", "a", "1"]), command(&["SET", "b", "2"]), command(&["SET", "c", "3"]));
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("appendonlydir");
    std::fs::create_dir(&log).unwrap();
    let name = |seq: usize| format!("appendonly.aof.{seq}.incr.aof");
    let manifest = (1..=3).map(|seq| format!("file {} seq {seq} type i\n", name(seq))).collect::<String>();
    let write = |files: [String; 3]| {
        std::fs::write(log.join("appendonly.aof.manifest"), &manifest).unwrap();
        for (nth, content) in files.iter().enumerate() {
            std::fs::write(log.join(name(nth + 1)), content).unwrap();
        }
    };
    let seconds = 100 + first.len();
    let thirds = seconds + second.len();
    for lost in [0, 3, second.len()] {
        let torn = &second[..second.len() - lost];
        let files = [begins(100) + &first, begins(seconds) + torn, begins(thirds) + &third];
        write(files.clone());
        if lost > 0 {
            assert_eq!(Process::refused(dir.path(), &["--appendonly", "yes", "--aof-load-truncated", "no"]), 1);
            assert_eq!(std::fs::read_to_string(log.join(name(2))).unwrap(), files[1], "a refusal changes nothing");
        }
        let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
        let is_whole = lost == 0;
        let found = if is_whole { ["$1", "$2", "$3"] } else { ["$1", "nil", "nil"] };
        assert_eq!(["get a", "get b", "get c"].map(|get| node.say(get)), found, "{lost} bytes lost");
        assert_eq!(node.say("set d 4"), "+OK");
        node.kill();
        let mut node = Process::node(dir.path(), &["--appendonly", "yes"]);
        assert_eq!((node.say("get d"), node.say("get c")), ("$4".to_owned(), found[2].to_owned()));
        node.kill();
        let suffix = if lost == second.len() { ".behind-gap-2" } else { ".behind-gap" };
        let kept = std::fs::read_to_string(log.join(format!("{}{suffix}", name(3))));
        assert_eq!(kept.ok(), (!is_whole).then(|| files[2].clone()), "beside what was kept before");
    }
    // A file that is torn, and one behind it that does not say where it stands: nobody knows what lies between.
    write([begins(100) + &first, begins(seconds) + &second[..9], third]);
    assert_eq!(Process::refused(dir.path(), &["--appendonly", "yes"]), 1);
}

#[test]
fn a_corrupt_rdb_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &[]);
    fill(&mut node);
    node.say("save");
    node.kill();
    let path = dir.path().join("dump.rdb");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Process::refused(dir.path(), &[]), 1);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_save_that_fails_keeps_the_good_file_and_stops_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &["--save", "3600 1"]);
    node.say("set k v");
    assert_eq!(node.say("save"), "+OK");
    let good = std::fs::read(dir.path().join("dump.rdb")).unwrap();
    // The temporary file cannot be made where a directory has its name.
    let obstacle = dir.path().join(format!("temp-{}.rdb", node.id()));
    std::fs::create_dir(&obstacle).unwrap();
    node.say("set k w");
    assert_eq!(node.say("save"), "-ERR");
    assert_eq!(node.info("rdb_last_bgsave_status"), "err");
    assert!(node.say("set k x").starts_with("-MISCONF Redis is configured to save RDB snapshots"));
    assert_eq!(std::fs::read(dir.path().join("dump.rdb")).unwrap(), good);
    assert_eq!(node.say("shutdown"), "-ERR Errors trying to SHUTDOWN. Check logs.");
    std::fs::remove_dir(&obstacle).unwrap();
    assert_eq!(node.say("save"), "+OK");
    assert_eq!(node.say("set k x"), "+OK");
}

#[test]
fn leaving_saves_as_redis_does() {
    let dir = tempfile::tempdir().unwrap();
    let value_after = |value: &str, leave: &dyn Fn(&mut Process), directives: &[&str]| {
        let mut node = Process::node(dir.path(), directives);
        node.say(&format!("set k {value}"));
        leave(&mut node);
        assert_eq!(node.exit_code(), 0);
        Process::node(dir.path(), directives).say("get k")
    };
    assert_eq!(value_after("1", &|node| node.send("shutdown"), &["--save", "3600 1"]), "$1");
    assert_eq!(value_after("2", &|node| node.send("shutdown nosave"), &["--save", "3600 1"]), "$1");
    assert_eq!(value_after("3", &|node| node.send("shutdown"), &["--save", ""]), "$1");
    assert_eq!(value_after("4", &|node| node.send("shutdown save"), &["--save", ""]), "$4");
    assert_eq!(value_after("5", &|node| node.terminate(), &["--save", "3600 1"]), "$5");
    assert_eq!(value_after("6", &|node| node.terminate(), &["--save", ""]), "$5");
}

#[test]
fn a_snapshot_is_consistent_under_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &["--save", ""]);
    for number in 0..2000 {
        node.say(&format!("set a:{number} 0"));
        node.say(&format!("set b:{number} 0"));
    }
    node.say("bgsave");
    // Each transaction changes both keys of a pair: a snapshot has both changes or neither.
    for number in (0..2000).rev() {
        node.send("multi");
        node.send(&format!("incr a:{number}"));
        node.send(&format!("incr b:{number}"));
        node.send("exec");
        for _ in 0..4 {
            node.hear();
        }
    }
    node.settled();
    node.kill();
    let mut node = Process::node(dir.path(), &["--save", ""]);
    for number in 0..2000 {
        assert_eq!(node.say(&format!("get a:{number}")), node.say(&format!("get b:{number}")));
    }
}

#[test]
fn save_points_save() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Process::node(dir.path(), &["--save", "1 3"]);
    let file = dir.path().join("dump.rdb");
    node.say("set a 1");
    node.say("set b 1");
    node.say("set c 1");
    eventually(|| file.exists(), || "no dump.rdb".to_owned());
    node.settled();
    assert_eq!(node.info("rdb_changes_since_last_save"), "0");
    assert!(node.info("rdb_saves").parse::<u64>().unwrap() >= 1);
}

#[test]
fn a_restarted_master_knows_its_offset_and_resumes_its_replica() {
    let log = ["--appendonly", "yes", "--save", ""];
    let rdb = ["--save", "3600 1"];
    for (directives, leaves) in [(&log[..], false), (&rdb[..], true)] {
        let (dir, replicas_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut master = Process::node(dir.path(), directives);
        master.say("set before 1");
        let port = master.port();
        let mut replica = Process::node(replicas_dir.path(), &["--save", ""]);
        assert_eq!(replica.say(&format!("replicaof 127.0.0.1 {port}")), "+OK");
        eventually(|| replica.info("master_link_status") == "up", || "the link is down".to_owned());
        for number in 0..100 {
            master.say(&format!("set key:{number} {number}"));
        }
        master.say("select 5");
        master.say("set elsewhere 1");
        eventually(|| replica.say("get key:99") == "$99", || "behind".to_owned());
        let offset = master.info("master_repl_offset");
        let replid = master.info("master_replid");
        if leaves {
            master.terminate();
            assert_eq!(master.exit_code(), 0);
        } else {
            master.kill();
        }
        let mut master = Process::node_at(port, dir.path(), directives);
        assert_eq!(master.info("master_replid2"), replid);
        let restored: u64 = master.info("second_repl_offset").parse().unwrap();
        assert!(restored > offset.parse().unwrap(), "{restored} is behind {offset}");
        eventually(|| replica.info("master_link_status") == "up", || "the link stays down".to_owned());
        assert_eq!(master.info("sync_partial_ok"), "1", "{directives:?}");
        assert_eq!(master.info("sync_full"), "0");
        master.say("select 5");
        master.say("set again 2");
        replica.say("select 5");
        eventually(|| replica.say("get again") == "$2", || "the stream does not go on".to_owned());
    }
}

#[test]
fn a_full_resync_starts_the_replicas_log_anew() {
    let (dir, masters_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = ["--appendonly", "yes", "--save", ""];
    let mut master = Process::node(masters_dir.path(), &["--save", ""]);
    fill(&mut master);
    let expected = dataset(&mut master);
    let mut replica = Process::node(dir.path(), &log);
    replica.say("set of_old 1");
    replica.say(&format!("replicaof 127.0.0.1 {}", master.port()));
    eventually(|| replica.info("master_link_status") == "up", || "the link is down".to_owned());
    master.say("set streamed 1");
    eventually(|| replica.say("get streamed") == "$1", || "behind".to_owned());
    replica.settled();
    assert_eq!(replica.info("aof_last_bgrewrite_status"), "ok");
    replica.kill();
    let mut replica = Process::node(dir.path(), &log);
    assert_eq!((replica.say("get of_old"), replica.say("get streamed")), ("nil".to_owned(), "$1".to_owned()));
    replica.say("del streamed");
    assert_eq!(dataset(&mut replica), expected);
}
