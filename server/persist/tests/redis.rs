//! A real Redis 7 loads what we write, and we load what it writes. Needs `redis-server` in PATH and fails without it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use quorate_keyspace::DbIndex;
use quorate_persist::aof::append::annotation;
use quorate_persist::aof::load::{Ending, read_commands};
use quorate_persist::aof::manifest::{BaseFormat, Manifest};
use quorate_persist::rdb::dump::{dump, restore};
use quorate_persist::rdb::seal::Checksum;
use quorate_persist::rdb::write::Compression;
use quorate_persist::rdb::{RdbHeader, ReplicationPoint};

const DEADLINE: Duration = Duration::from_secs(30);

/// A reply of Redis, RESP2.
#[derive(Debug, Clone, PartialEq)]
enum Reply {
    Text(Vec<u8>),
    Error(String),
    Int(i64),
    Null,
    Array(Vec<Reply>),
}

impl Reply {
    fn text(self) -> Vec<u8> {
        match self {
            Reply::Text(text) => text,
            other => panic!("expected text, got {other:?}"),
        }
    }

    fn texts(self) -> Vec<Vec<u8>> {
        match self {
            Reply::Array(replies) => replies.into_iter().map(Reply::text).collect(),
            other => panic!("expected an array, got {other:?}"),
        }
    }
}

/// Killed when it goes out of scope.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Redis {
    _process: Process,
    stream: BufReader<TcpStream>,
}

impl Redis {
    fn start(dir: &Path, args: &[&str]) -> Redis {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
            .arg(dir)
            .args(args)
            .stdout(Stdio::null())
            .spawn()
            .map(Process)
            .expect("redis-server must be installed (apt-get install redis-server)");
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            assert_eq!(process.0.try_wait().unwrap(), None, "redis-server refused to start");
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                let mut redis = Redis { _process: process, stream: BufReader::new(stream) };
                while matches!(redis.call(&[b"PING"]), Reply::Error(error) if error.starts_with("LOADING")) {
                    assert!(Instant::now() < deadline, "redis-server is still loading");
                    std::thread::sleep(Duration::from_millis(10));
                }
                return redis;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not listen");
    }

    fn call(&mut self, args: &[&[u8]]) -> Reply {
        self.stream.get_mut().write_all(&command(args)).unwrap();
        self.reply()
    }

    fn ok(&mut self, args: &[&[u8]]) {
        assert_eq!(self.call(args), Reply::Text(b"OK".to_vec()), "{:?}", String::from_utf8_lossy(args[0]));
    }

    fn reply(&mut self) -> Reply {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        let rest = String::from_utf8(line[1..line.len() - 2].to_vec()).unwrap();
        match line[0] {
            b'+' => Reply::Text(rest.into_bytes()),
            b'-' => Reply::Error(rest),
            b':' => Reply::Int(rest.parse().unwrap()),
            b'*' => Reply::Array((0..rest.parse::<usize>().unwrap()).map(|_| self.reply()).collect()),
            b'$' if rest == "-1" => Reply::Null,
            b'$' => {
                let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut text).unwrap();
                text.truncate(text.len() - 2);
                Reply::Text(text)
            }
            other => panic!("a reply of type {}", other as char),
        }
    }

    fn dataset(&mut self) -> Dataset {
        let mut dataset = Dataset::new();
        for db in 0..16_u16 {
            self.ok(&[b"SELECT", db.to_string().as_bytes()]);
            for key in self.call(&[b"KEYS", b"*"]).texts() {
                let value = self.plain(&key);
                let expiry = match self.call(&[b"PEXPIRETIME", &key]) {
                    Reply::Int(-1) => None,
                    Reply::Int(at) => Some(at as u64),
                    other => panic!("{other:?}"),
                };
                dataset.insert((db, key), (value, expiry));
            }
        }
        dataset
    }

    fn plain(&mut self, key: &[u8]) -> Plain {
        let pairs = |texts: Vec<Vec<u8>>| -> Vec<(Vec<u8>, Vec<u8>)> {
            texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        };
        match self.call(&[b"TYPE", key]).text().as_slice() {
            b"string" => Plain::String(self.call(&[b"GET", key]).text()),
            b"list" => Plain::List(self.call(&[b"LRANGE", key, b"0", b"-1"]).texts()),
            b"set" => Plain::Set(BTreeSet::from_iter(self.call(&[b"SMEMBERS", key]).texts())),
            b"hash" => Plain::Hash(BTreeMap::from_iter(pairs(self.call(&[b"HGETALL", key]).texts()))),
            b"zset" => {
                let members = pairs(self.call(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]).texts());
                let score = |text: Vec<u8>| String::from_utf8(text).unwrap().parse().unwrap();
                Plain::Zset(members.into_iter().map(|(member, text)| (member, score(text))).collect())
            }
            other => panic!("type {:?}", String::from_utf8_lossy(other)),
        }
    }

    /// Fills Redis with the dataset by commands.
    fn fill(&mut self, dataset: &Dataset) {
        for ((db, key), (value, expiry)) in dataset {
            self.ok(&[b"SELECT", db.to_string().as_bytes()]);
            let refused = |reply: Reply| assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
            match value {
                Plain::String(text) => self.ok(&[b"SET", key, text]),
                Plain::List(list) => list.iter().for_each(|element| refused(self.call(&[b"RPUSH", key, element]))),
                Plain::Set(set) => set.iter().for_each(|member| refused(self.call(&[b"SADD", key, member]))),
                Plain::Hash(hash) => {
                    hash.iter().for_each(|(field, value)| refused(self.call(&[b"HSET", key, field, value])))
                }
                Plain::Zset(zset) => {
                    for (member, score) in zset {
                        refused(self.call(&[b"ZADD", key, score.to_string().as_bytes(), member]));
                    }
                }
            }
            if let Some(at) = expiry {
                assert_eq!(self.call(&[b"PEXPIREAT", key, at.to_string().as_bytes()]), Reply::Int(1));
            }
        }
    }
}

fn command(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn header() -> RdbHeader {
    let replication = Some(ReplicationPoint { replid: [b'd'; 40], offset: 4711, db: 0 });
    RdbHeader {
        redis_version: "7.2.0".to_owned(),
        created_s: NOW.as_secs(),
        replication,
        epoch: Some(3),
        ..RdbHeader::default()
    }
}

#[test]
fn redis_loads_our_rdb_and_we_load_what_it_makes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let samples = samples();
    for compression in [Compression::Lzf, Compression::None] {
        write(&dir.path().join("dump.rdb"), &snapshot(&mut build(&samples), &header(), compression));
        let mut redis = Redis::start(dir.path(), &[]);
        assert_eq!(redis.dataset(), samples);
        redis.ok(&[b"CONFIG", b"SET", b"rdbcompression", b"yes"]);
        redis.ok(&[b"SAVE"]);
        let file = std::fs::read(dir.path().join("dump.rdb")).unwrap();
        let (mut keyspace, info) = load_bytes(&file, Checksum::Crc64).unwrap();
        assert_eq!(dataset(&mut keyspace), samples);
        assert_eq!((info.version, info.header.redis_version.starts_with('7')), (10, true));
    }
}

#[test]
fn we_load_what_redis_built_by_commands() {
    let dir = tempfile::tempdir().unwrap();
    let samples = samples();
    let mut redis = Redis::start(dir.path(), &[]);
    redis.fill(&samples);
    redis.ok(&[b"SAVE"]);
    let file = std::fs::read(dir.path().join("dump.rdb")).unwrap();
    let (mut keyspace, _) = load_bytes(&file, Checksum::Crc64).unwrap();
    assert_eq!(dataset(&mut keyspace), samples);
}

#[test]
fn payloads_of_dump_are_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(dir.path(), &[]);
    let samples = samples();
    let mut keyspace = build(&samples);
    let limits = keyspace.limits().clone();
    for ((db, key), (value, _)) in &samples {
        let payload = dump(keyspace.db(DbIndex(*db)).peek(key).unwrap(), Compression::Lzf);
        redis.ok(&[b"RESTORE", key, b"0", &payload]);
        assert_eq!(redis.plain(key), *value);
        let theirs = redis.call(&[b"DUMP", key]).text();
        let mut target = empty();
        target.db(DbIndex(0)).put(key, restore(&theirs, &limits).unwrap(), quorate_keyspace::Ttl::Clear);
        assert_eq!(plain(target.db(DbIndex(0)).peek(key).unwrap()), *value);
    }
}

#[test]
fn redis_loads_our_log_annotations_included() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("appendonlydir");
    std::fs::create_dir(&log).unwrap();
    let mut samples = samples();
    let mut manifest = Manifest::default();
    let incr = manifest.open_incr("appendonly.aof");
    let base = manifest.replace_base("appendonly.aof", Some(&incr), BaseFormat::Rdb);
    let base_header = RdbHeader { aof_base: true, ..header() };
    write(&log.join(base), &snapshot(&mut build(&samples), &base_header, Compression::Lzf));
    let mut commands = annotation(&header().replication.unwrap(), 3);
    commands.extend(command(&[b"SELECT", b"3"]));
    commands.extend(command(&[b"SET", b"from the log", b"yes"]));
    commands.extend(annotation(&ReplicationPoint { offset: 5000, db: 3, ..header().replication.unwrap() }, 3));
    commands.extend(command(&[b"MULTI"]));
    commands.extend(command(&[b"RPUSH", b"l", b"1"]));
    commands.extend(command(&[b"EXEC"]));
    write(&log.join(incr), &commands);
    write(&log.join(Manifest::file_name("appendonly.aof")), manifest.encode().as_bytes());
    let mut redis = Redis::start(dir.path(), &["--appendonly", "yes"]);
    samples.insert((3, b"from the log".to_vec()), (Plain::String(b"yes".to_vec()), None));
    samples.insert((3, b"l".to_vec()), (Plain::List(vec![b"1".to_vec()]), None));
    assert_eq!(redis.dataset(), samples);
}

#[test]
fn redis_loads_a_base_of_commands() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("appendonlydir");
    std::fs::create_dir(&log).unwrap();
    let samples = samples();
    let mut keyspace = build(&samples);
    keyspace.begin_snapshot(Box::new(quorate_persist::aof::rewrite::CommandWriter::new(Vec::new())));
    while keyspace.step_snapshot(1000) != quorate_keyspace::Progress::Complete {}
    let (mut sink, _) = keyspace.end_snapshot().unwrap();
    let mut manifest = Manifest::default();
    let incr = manifest.open_incr("appendonly.aof");
    let base = manifest.replace_base("appendonly.aof", Some(&incr), BaseFormat::Commands);
    write(&log.join(base), &sink.drain());
    write(&log.join(incr), b"");
    write(&log.join(Manifest::file_name("appendonly.aof")), manifest.encode().as_bytes());
    let mut redis = Redis::start(dir.path(), &["--appendonly", "yes"]);
    assert_eq!(redis.dataset(), samples);
}

#[test]
fn we_read_the_log_of_redis() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis =
        Redis::start(dir.path(), &["--appendonly", "yes", "--appendfsync", "always", "--aof-timestamp-enabled", "yes"]);
    let before = samples();
    redis.fill(&before);
    redis.ok(&[b"CONFIG", b"SET", b"auto-aof-rewrite-percentage", b"0"]);
    assert!(matches!(redis.call(&[b"BGREWRITEAOF"]), Reply::Text(_)));
    let deadline = Instant::now() + DEADLINE;
    let manifest_path = dir.path().join("appendonlydir/appendonly.aof.manifest");
    let manifest = loop {
        let manifest = Manifest::parse(&std::fs::read(&manifest_path).unwrap()).unwrap();
        if manifest.base.as_ref().is_some_and(|base| base.seq > 1) && manifest.history.is_empty() {
            break manifest;
        }
        assert!(Instant::now() < deadline, "the rewrite does not end: {manifest:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    redis.ok(&[b"SELECT", b"2"]);
    redis.ok(&[b"SET", b"after", b"the rewrite"]);
    let log = dir.path().join("appendonlydir");
    let base = std::fs::read(log.join(&manifest.base.as_ref().unwrap().name)).unwrap();
    let (mut keyspace, info) = load_bytes(&base, Checksum::Crc64).unwrap();
    assert!(info.header.aof_base);
    assert_eq!(dataset(&mut keyspace), before);
    let mut commands = Vec::new();
    let incr = std::fs::read(log.join(&manifest.current_incr().unwrap().name)).unwrap();
    let ending = read_commands(&mut &incr[..], 0, &mut None, &mut |argv| {
        commands.push(argv.join(&b' '));
        Ok(())
    });
    assert_eq!(ending.unwrap(), Ending::Clean { bytes: incr.len() as u64 });
    let last: Vec<_> = commands.iter().rev().take(2).map(|text| String::from_utf8_lossy(text)).collect();
    assert_eq!(last, ["SET after the rewrite", "SELECT 2"]);
}
