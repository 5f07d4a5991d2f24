//! The engine with a disk of memory: what it asks for, and what it makes of the answers.

use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_keyspace::{DbIndex, Keyspace, Limits};
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::{Checksum, Sealer};
use quorate_replication::NodeId;
use quorate_replication::fence::Durable;

use super::{DiskDone, DiskTask, Incr, PassId, PassPlan, SnapshotTarget};
use crate::check::Stage;
use crate::{Effect, Input, Promises, Shutdown};

/// A stage whose disk does everything when it is told to, or fails.
struct Disk {
    stage: Stage,
    log: Vec<u8>,
    tickets: Vec<u64>,
    plan: Option<PassPlan>,
    sealer: Option<Sealer>,
    file: Vec<u8>,
    unanswered: Vec<DiskDone>,
    ended: bool,
    left: Option<i32>,
}

impl Disk {
    fn with(directives: &[(&str, &str)]) -> Disk {
        let mut config = ServerConfig::default();
        for (name, value) in directives {
            config.set(&[(*name, *value)], quorate_config::Origin::Local).expect("a right value");
        }
        Disk {
            stage: Stage::with(config),
            log: Vec::new(),
            tickets: Vec::new(),
            plan: None,
            sealer: None,
            file: Vec::new(),
            unanswered: Vec::new(),
            ended: false,
            left: None,
        }
    }

    /// Says a command; what was asked of the disk is noted, not answered.
    fn say(&mut self, command: &str) -> String {
        let reply = self.stage.say(1, command);
        self.note();
        reply
    }

    fn wait_ms(&mut self, ms: u64) {
        self.stage.wait(Duration::from_millis(ms));
        self.note();
    }

    fn note(&mut self) {
        for effect in std::mem::take(&mut self.stage.effects) {
            match effect {
                Effect::Disk(task) => self.task(task),
                Effect::Shutdown(Shutdown { code }) => self.left = Some(code),
                _ => {}
            }
        }
    }

    fn task(&mut self, task: DiskTask) {
        match task {
            DiskTask::Append { bytes, ticket } => {
                self.log.extend(bytes);
                self.tickets.extend(ticket);
            }
            DiskTask::CloseLog => {}
            DiskTask::PassBegins(plan) => {
                self.sealer = Some(Sealer::new(plan.checksum));
                (self.plan, self.ended) = (Some(plan), false);
                self.file.clear();
            }
            DiskTask::PassChunk { pass, bytes } => {
                self.sealer.as_mut().expect("a pass has begun").seal(&bytes, &mut self.file);
                self.unanswered.push(DiskDone::Sealed { pass, raw: bytes.len(), payload: Vec::new() });
            }
            DiskTask::PassEnds(_) => {
                self.sealer.take().expect("a pass has begun").finish(&mut self.file);
                self.ended = true;
            }
            DiskTask::PassAborted(_) => (self.plan, self.sealer, self.ended) = (None, None, false),
        }
    }

    fn done(&mut self, done: DiskDone) {
        self.stage.turn(Some(Input::Disk(done)));
        self.note();
    }

    /// Lets the running pass go to its end, and answers for all of its targets.
    fn finish(&mut self, outcome: Result<u64, String>) {
        for _ in 0..1000 {
            if self.ended {
                break;
            }
            for done in std::mem::take(&mut self.unanswered) {
                self.done(done);
            }
            self.stage.turn(None);
            self.note();
        }
        assert!(self.ended, "the pass does not end");
        self.unanswered.clear();
        let plan = self.plan.take().expect("a pass has begun");
        if plan.file.is_some() {
            self.done(DiskDone::Finished { pass: plan.pass, target: SnapshotTarget::File, outcome: outcome.clone() });
        }
        if plan.log.is_some() {
            self.done(DiskDone::Finished { pass: plan.pass, target: SnapshotTarget::AofBase, outcome });
        }
    }

    fn info(&self, field: &str) -> String {
        let text = self.stage.engine.core().info_persistence();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no field {field}")).to_owned()
    }

    /// How many keys the written file has, and the value of one.
    fn loaded(&self, key: &str) -> (u64, Option<String>) {
        let limits = Limits::new(quorate_collections::HashSeed([1, 2]));
        let mut keyspace = Keyspace::new(16, limits, fastrand::Rng::with_seed(1));
        let options = LoadOptions { now: self.stage.now.wall, expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
        let info = load(&mut &self.file[..], &mut keyspace, &options).expect("our own RDB");
        let db = keyspace.db(DbIndex(0));
        let value = db.string(key.as_bytes()).expect("a string");
        (info.keys_loaded, value.map(|text| String::from_utf8(text.to_vec()).expect("text")))
    }
}

const OK: Result<u64, String> = Ok(1000);

fn no_space() -> Result<u64, String> {
    Err("No space left on device".to_owned())
}

#[test]
fn bgsave_says_what_redis_says() {
    let mut disk = Disk::with(&[]);
    disk.say("sadd s a b c");
    assert_eq!(disk.info("rdb_changes_since_last_save"), "3", "each element counts");
    assert_eq!(disk.say("bgsave"), "+Background saving started");
    assert_eq!(disk.say("bgsave"), "-ERR Background save already in progress");
    assert_eq!(disk.say("save"), "-ERR Background save already in progress");
    assert_eq!(disk.say("bgsave now"), "-ERR syntax error");
    assert_eq!(disk.info("rdb_bgsave_in_progress"), "1");
    disk.say("set other v");
    disk.finish(OK);
    assert_eq!(disk.info("rdb_bgsave_in_progress"), "0");
    assert_eq!(disk.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(disk.info("rdb_changes_since_last_save"), "1");
    assert_eq!(disk.say("lastsave"), ":1700000000");
}

#[test]
fn a_snapshot_is_the_state_at_its_beginning() {
    let mut disk = Disk::with(&[]);
    for number in 0..60_000 {
        disk.stage.send(1, format!("SET k{number} {number}\r\n").as_bytes());
    }
    while disk.stage.hear(1) == "+OK" {}
    disk.say("bgsave");
    assert!(!disk.ended, "a walk over so many keys takes more than one turn");
    for number in 0..60_000 {
        disk.stage.send(1, format!("SET k{number} new\r\n").as_bytes());
    }
    disk.say("set born later");
    disk.finish(OK);
    assert_eq!(disk.loaded("k59999"), (60_000, Some("59999".to_owned())));
}

#[test]
fn the_walk_stands_still_while_the_disk_is_behind() {
    let mut disk = Disk::with(&[("rdbcompression", "no")]);
    let value = "x".repeat(200_000);
    for number in 0..200 {
        assert_eq!(disk.say(&format!("set k{number} {value}")), "+OK");
    }
    disk.say("bgsave");
    for _ in 0..50 {
        disk.wait_ms(1);
    }
    assert!(!disk.ended);
    let unwritten: usize = disk.file.len();
    let (least, most) = (1 << 20, 16 << 20);
    assert!((least..most).contains(&unwritten), "{unwritten} bytes on their way");
    assert_eq!(disk.stage.engine.next_deadline(), None);
    disk.finish(OK);
    assert_eq!(disk.loaded("k7").0, 200);
}

#[test]
fn what_is_about_to_change_is_handed_over_though_the_disk_is_behind() {
    let mut disk = Disk::with(&[("rdbcompression", "no")]);
    let value = "x".repeat(20_000);
    for number in 0..400 {
        assert_eq!(disk.say(&format!("set k{number} {value}")), "+OK");
    }
    disk.say("bgsave");
    for _ in 0..50 {
        disk.wait_ms(1);
    }
    assert_eq!(disk.stage.engine.next_deadline(), None, "the walk stands still");
    let mut most = 0;
    for number in 0..400 {
        assert_eq!(disk.say(&format!("set k{number} new")), "+OK");
        let sink = disk.stage.engine.keyspace_mut().snapshot_sink().expect("a snapshot runs");
        most = most.max(sink.pending());
    }
    assert!(most < 100_000, "{most} bytes were kept back");
    assert!(disk.file.len() > 400 * value.len() - 100_000, "what changed was written: {} bytes", disk.file.len());
    disk.finish(OK);
    assert_eq!(disk.loaded("k399"), (400, Some(value)));
}

#[test]
fn save_waits_for_its_file() {
    let mut disk = Disk::with(&[]);
    disk.say("set k v");
    assert_eq!(disk.say("save"), "nothing");
    assert_eq!(disk.stage.say(2, "get k"), "$v", "others are served meanwhile");
    disk.finish(OK);
    assert_eq!(disk.stage.hear(1), "+OK");
    assert_eq!(disk.loaded("k"), (1, Some("v".to_owned())));
    assert_eq!(disk.say("save"), "nothing");
    disk.finish(no_space());
    assert_eq!(disk.stage.hear(1), "-ERR");
}

#[test]
fn a_failed_save_stops_writes_until_one_succeeds() {
    let mut disk = Disk::with(&[]);
    disk.say("bgsave");
    disk.finish(no_space());
    assert_eq!(disk.info("rdb_last_bgsave_status"), "err");
    assert!(disk.say("set k v").starts_with("-MISCONF Redis is configured to save RDB snapshots"));
    assert_eq!(disk.say("get k"), "nil");
    disk.say("bgsave");
    disk.finish(OK);
    assert_eq!(disk.say("set k v"), "+OK");
}

#[test]
fn save_points_are_kept_and_retried() {
    let mut disk = Disk::with(&[("save", "10 2")]);
    disk.wait_ms(100);
    disk.say("set a 1");
    disk.wait_ms(11_000);
    assert!(disk.plan.is_none(), "one change is not enough");
    disk.say("set b 1");
    disk.wait_ms(100);
    assert!(disk.plan.is_some());
    disk.finish(no_space());
    disk.wait_ms(100);
    assert!(disk.plan.is_none(), "it rests for five seconds");
    disk.wait_ms(5100);
    assert!(disk.plan.is_some());
    disk.finish(OK);
    assert_eq!(disk.info("rdb_changes_since_last_save"), "0");
}

#[test]
fn the_log_is_switched_on_and_off() {
    let mut disk = Disk::with(&[]);
    disk.say("set before 1");
    assert_eq!(disk.info("aof_enabled"), "0");
    disk.say("config set appendonly yes");
    let plan = disk.plan.clone().expect("a base is begun at once");
    assert_eq!(plan.log.expect("of the log").incr, Incr::First);
    assert_eq!((disk.info("aof_enabled"), disk.info("aof_rewrite_in_progress")), ("1".to_owned(), "1".to_owned()));
    disk.say("set after 1");
    disk.finish(OK);
    assert_eq!(disk.info("aof_last_bgrewrite_status"), "ok");
    let log = String::from_utf8(std::mem::take(&mut disk.log)).expect("text");
    assert!(!log.contains("before") && log.contains("SELECT") && log.contains("after"), "{log}");
    disk.say("config set appendonly no");
    disk.say("set more 1");
    assert!(disk.log.is_empty());
}

#[test]
fn a_rewrite_begins_a_new_file_behind_the_turns_stream() {
    let mut disk = Disk::with(&[("appendonly", "yes"), ("auto-aof-rewrite-percentage", "0")]);
    disk.wait_ms(100);
    disk.finish(OK);
    disk.say("set k 1");
    disk.stage.send(1, b"SET k 2\r\nBGREWRITEAOF\r\nSET k 3\r\n");
    let tasks = std::mem::take(&mut disk.stage.effects);
    let kinds: Vec<&str> = tasks
        .iter()
        .filter_map(|effect| match effect {
            Effect::Disk(DiskTask::Append { .. }) => Some("append"),
            Effect::Disk(DiskTask::PassBegins(PassPlan { log: Some(plan), .. })) if plan.incr == Incr::Next => {
                Some("next file")
            }
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["append", "next file", "append"]);
    disk.stage.effects = tasks;
    disk.note();
    assert_eq!(disk.stage.hear(1), "+OK");
    assert_eq!(disk.stage.hear(1), "+Background append only file rewriting started");
    assert_eq!(disk.stage.hear(1), "+OK");
    assert_eq!(disk.say("bgrewriteaof"), "-ERR Background append only file rewriting already in progress");
    assert!(disk.say("bgsave").starts_with("-ERR Another child process is active (AOF?)"));
    assert_eq!(disk.say("bgsave schedule"), "+Background saving scheduled");
    disk.finish(OK);
    assert_eq!(disk.loaded("k"), (1, Some("3".to_owned())));
    disk.stage.turn(None);
    disk.note();
    assert!(disk.plan.as_ref().is_some_and(|plan| plan.file.is_some()), "the scheduled save follows");
}

#[test]
fn a_log_that_grew_is_rewritten() {
    let mut disk = Disk::with(&[("appendonly", "yes"), ("auto-aof-rewrite-min-size", "2000")]);
    disk.wait_ms(100);
    disk.finish(OK);
    disk.say(&format!("set k {}", "x".repeat(900)));
    disk.wait_ms(100);
    assert!(disk.plan.is_none(), "1000 bytes grew by less than 100%");
    disk.say(&format!("set k {}", "x".repeat(900)));
    disk.wait_ms(100);
    assert!(disk.plan.is_some());
    for failures in 1..=3 {
        disk.finish(no_space());
        assert_eq!(disk.info("aof_rewrites_consecutive_failures"), failures.to_string());
        disk.wait_ms(100);
    }
    assert!(disk.plan.is_none(), "after three failures it rests");
    disk.wait_ms(61_000);
    assert!(disk.plan.is_some());
}

/// A plain node rests for a minute after three failures; a node of a group, which counts as no copy before its log is whole, for seconds.
#[test]
fn a_node_of_a_group_soon_tries_again_to_begin_its_log() {
    for (group, rest_ms) in [(false, 60_000), (true, 5_000)] {
        let mut disk = Disk::with(&[("appendonly", "yes")]);
        if group {
            let node = NodeId::parse(&[b'7'; 40]).expect("forty digits");
            disk.stage.engine.core_mut().join_group("main", node, Durable::default(), Promises::Lost, None);
        }
        for _ in 0..3 {
            disk.wait_ms(100);
            disk.finish(no_space());
        }
        disk.wait_ms(rest_ms - 200);
        assert!(disk.plan.is_none(), "it rests");
        disk.wait_ms(400);
        assert!(disk.plan.is_some(), "and tries again");
    }
}

/// The disk has room again: the log that never began does not wait until it has rested.
#[test]
fn a_disk_that_recovers_is_tried_at_once() {
    let mut disk = Disk::with(&[("appendonly", "yes")]);
    for _ in 0..3 {
        disk.wait_ms(100);
        disk.finish(no_space());
    }
    disk.wait_ms(200);
    assert!(disk.plan.is_none(), "it rests");
    disk.done(DiskDone::AppendRecovered);
    disk.wait_ms(200);
    assert!(disk.plan.is_some());
    disk.finish(no_space());
    disk.wait_ms(200);
    assert!(disk.plan.is_none(), "it was not the disk: it rests again");
}

#[test]
fn with_always_replies_wait_for_the_disk() {
    let mut disk = Disk::with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    disk.wait_ms(100);
    disk.finish(OK);
    for ticket in std::mem::take(&mut disk.tickets) {
        disk.done(DiskDone::Confirmed(ticket));
    }
    assert_eq!(disk.say("set k 1"), "nothing");
    assert_eq!(disk.stage.say(2, "get k"), "nothing", "a reader may not see what could be lost");
    let ticket = *disk.tickets.last().expect("a turn's bytes");
    disk.done(DiskDone::Confirmed(ticket));
    assert_eq!((disk.stage.hear(1), disk.stage.hear(2)), ("+OK".to_owned(), "$1".to_owned()));
    assert_eq!(disk.say("get k"), "$1");
    disk.say("set k 2");
    disk.done(DiskDone::AppendFailed("No space left on device".to_owned()));
    assert_eq!(disk.left, Some(1));
}

#[test]
fn a_log_that_cannot_be_written_stops_writes() {
    let mut disk = Disk::with(&[("appendonly", "yes")]);
    disk.wait_ms(100);
    disk.finish(OK);
    disk.done(DiskDone::AppendFailed("No space left on device".to_owned()));
    assert_eq!(disk.say("set k 1"), "-MISCONF Errors writing to the AOF file: No space left on device");
    assert_eq!(disk.info("aof_last_write_status"), "err");
    disk.done(DiskDone::AppendRecovered);
    assert_eq!(disk.say("set k 1"), "+OK");
}

#[test]
fn shutdown_saves_if_there_are_save_points() {
    let mut disk = Disk::with(&[]);
    disk.say("set k v");
    assert_eq!(disk.say("shutdown nosave save"), "-ERR syntax error");
    assert_eq!(disk.say("shutdown abort"), "-ERR No shutdown in progress.");
    assert_eq!(disk.say("shutdown"), "nothing");
    assert_eq!(disk.left, None);
    assert_eq!(disk.stage.say(2, "set k w"), "nothing", "writes wait meanwhile");
    disk.finish(no_space());
    assert_eq!(disk.stage.hear(1), "-ERR Errors trying to SHUTDOWN. Check logs.");
    assert!(disk.stage.hear(2).starts_with("-MISCONF"));
    assert_eq!(disk.say("shutdown"), "nothing");
    disk.finish(OK);
    assert_eq!(disk.left, Some(0));
}

#[test]
fn shutdown_without_save_points_leaves_at_once() {
    let mut disk = Disk::with(&[("save", "")]);
    disk.say("shutdown");
    assert_eq!((disk.left, disk.plan.is_none()), (Some(0), true));
    let mut disk = Disk::with(&[("save", "")]);
    disk.say("shutdown save");
    assert_eq!((disk.left, disk.plan.is_some()), (None, true));
    assert_eq!(disk.stage.say(2, "shutdown abort"), "+OK");
    assert_eq!(disk.stage.hear(1), "-ERR Errors trying to SHUTDOWN. Check logs.");
    disk.finish(OK);
    assert_eq!(disk.left, None);
}

#[test]
fn sigterm_drops_a_running_save_for_a_newer_one() {
    let mut disk = Disk::with(&[]);
    disk.say("bgsave");
    disk.stage.turn(Some(Input::Terminate));
    disk.note();
    let plan = disk.plan.clone().expect("a pass of its own");
    assert_eq!(plan.pass, PassId(2));
    disk.finish(OK);
    assert_eq!(disk.left, Some(0));
}

#[test]
fn clients_are_told_of_loading() {
    let mut disk = Disk::with(&[]);
    let now = disk.stage.now.wall;
    disk.stage.engine.core_mut().loading_begins(now);
    assert_eq!(disk.say("get k"), "-LOADING Redis is loading the dataset in memory");
    assert_eq!(disk.info("loading"), "1");
    let limits = disk.stage.engine.keyspace().limits();
    let mut keyspace = Keyspace::new(16, Limits::clone(limits), fastrand::Rng::with_seed(1));
    keyspace.db(DbIndex(0)).put_string(b"k", b"v", quorate_keyspace::Ttl::Clear);
    let loaded = super::Loaded { keyspace, found: None, keys_loaded: 1, keys_expired: 2, log: None };
    disk.stage.turn(Some(Input::Loaded(loaded)));
    assert_eq!(disk.say("get k"), "$v");
    assert_eq!(disk.info("rdb_last_load_keys_expired"), "2");
}
