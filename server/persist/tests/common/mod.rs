//! A keyspace as plain collections, so that what went through a file can be compared with what went in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use quorate_collections::HashSeed;
use quorate_keyspace::{DbIndex, End, Keyspace, Limits, Progress, Ttl, UnixMs, ValueRef};
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::{Checksum, Sealer};
use quorate_persist::rdb::write::{Compression, DbSize, RdbWriter};
use quorate_persist::rdb::{RdbError, RdbHeader, RdbInfo};

/// A value as plain collections.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Zset(BTreeMap<Vec<u8>, f64>),
}

/// Database and key, to value and expiry.
pub type Dataset = BTreeMap<(u16, Vec<u8>), (Plain, Option<u64>)>;

pub const NOW: UnixMs = UnixMs(1_700_000_000_000);

pub fn empty() -> Keyspace {
    let mut keyspace = Keyspace::new(16, Limits::new(HashSeed([1, 2])), fastrand::Rng::with_seed(3));
    keyspace.set_now(NOW);
    keyspace
}

pub fn build(dataset: &Dataset) -> Keyspace {
    let mut keyspace = empty();
    for ((db, key), (value, expiry)) in dataset {
        let mut db = keyspace.db(DbIndex(*db));
        match value {
            Plain::String(text) => assert!(!db.put_string(key, text, Ttl::Clear)),
            Plain::List(elements) => {
                let mut list = db.list_mut(key).unwrap();
                elements.iter().for_each(|element| list.push(End::Tail, element));
            }
            Plain::Set(members) => {
                let mut set = db.set_mut(key).unwrap();
                members.iter().for_each(|member| assert!(set.insert(member)));
            }
            Plain::Hash(pairs) => {
                let mut hash = db.hash_mut(key).unwrap();
                pairs.iter().for_each(|(field, value)| assert!(hash.insert(field, value)));
            }
            Plain::Zset(members) => {
                let mut zset = db.zset_mut(key).unwrap();
                members.iter().for_each(|(member, score)| assert_eq!(zset.insert(member, *score), None));
            }
        }
        if let Some(at) = expiry {
            assert!(db.set_expiry(key, UnixMs(*at)));
        }
    }
    keyspace
}

pub fn plain(value: ValueRef<'_>) -> Plain {
    match value {
        ValueRef::String(text) => Plain::String(text.to_vec()),
        ValueRef::List(list) => Plain::List(list.iter().map(|element| element.to_vec()).collect()),
        ValueRef::Set(set) => Plain::Set(set.iter().map(|member| member.to_vec()).collect()),
        ValueRef::Hash(hash) => {
            Plain::Hash(hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect())
        }
        ValueRef::Zset(zset) => Plain::Zset(zset.iter().map(|(member, score)| (member.to_vec(), score)).collect()),
    }
}

pub fn dataset(keyspace: &mut Keyspace) -> Dataset {
    let mut dataset = Dataset::new();
    for index in 0..keyspace.databases() {
        let db = keyspace.db(DbIndex(index));
        for (key, value) in db.keys() {
            let expiry = db.expiry(key).expect("the key is there").map(|at| at.0);
            dataset.insert((index, key.to_vec()), (plain(value), expiry));
        }
    }
    dataset
}

/// A whole snapshot, drained whenever a little waits.
pub fn snapshot(keyspace: &mut Keyspace, header: &RdbHeader, compression: Compression) -> Vec<u8> {
    let sizes = (0..keyspace.databases()).map(DbIndex).map(|db| {
        let (keys, expiring) = keyspace.sizes(db);
        DbSize { db, keys: keys as u64, expiring: expiring as u64 }
    });
    let sizes = sizes.collect();
    keyspace.begin_snapshot(Box::new(RdbWriter::new(header, sizes, compression)));
    let mut sealer = Sealer::new(Checksum::Crc64);
    let mut file = Vec::new();
    loop {
        let progress = keyspace.step_snapshot(7);
        let sink = keyspace.snapshot_sink().expect("a snapshot is running");
        sealer.seal(&sink.drain(), &mut file);
        assert_eq!(sink.pending(), 0);
        match progress {
            Progress::Walking(_) => {}
            Progress::Complete => break,
            Progress::Idle => panic!("the snapshot is lost"),
        }
    }
    drop(keyspace.end_snapshot());
    sealer.finish(&mut file);
    file
}

pub fn load_bytes(mut file: &[u8], checksum: Checksum) -> Result<(Keyspace, RdbInfo), RdbError> {
    let mut keyspace = empty();
    let options = LoadOptions { now: NOW, expired: ExpiredKeys::Drop, checksum };
    let info = load(&mut file, &mut keyspace, &options)?;
    Ok((keyspace, info))
}

/// One key of each type in each encoding, and strings of each form.
#[allow(dead_code)]
pub fn samples() -> Dataset {
    let text = |prefix: &str, number: usize| format!("{prefix}{number}").into_bytes();
    let later = NOW.0 + 1_000_000_000_000;
    let mut set = Dataset::new();
    let mut add = |db: u16, key: &str, value: Plain, expiry: Option<u64>| {
        set.insert((db, key.as_bytes().to_vec()), (value, expiry));
    };
    add(0, "string", Plain::String(b"hello \0\xff world".to_vec()), None);
    add(0, "empty", Plain::String(Vec::new()), None);
    for (at, number) in
        [0, -1, 127, -129, 32768, i64::from(i32::MAX), i64::from(i32::MIN) - 1, i64::MAX, i64::MIN].iter().enumerate()
    {
        add(0, &format!("int{at}"), Plain::String(number.to_string().into_bytes()), None);
    }
    add(0, "repetitive", Plain::String(b"abcabcabcd".repeat(3000)), Some(later));
    let mut noise = fastrand::Rng::with_seed(9);
    add(0, "noise", Plain::String(std::iter::repeat_with(|| noise.u8(..)).take(70_000).collect()), None);
    add(0, "12345", Plain::String(b"an integer's key".to_vec()), None);
    add(
        1,
        "list:small",
        Plain::List(vec![b"a".to_vec(), b"17".to_vec(), b"".to_vec(), b"a".to_vec()]),
        Some(later + 1),
    );
    add(1, "list:large", Plain::List((0..5000).map(|at| text("element:", at)).collect()), None);
    add(1, "list:plain", Plain::List(vec![vec![b'x'; 20_000], b"small".to_vec(), vec![b'y'; 9000]]), None);
    add(1, "set:int", Plain::Set((0..300).map(|at| text("-", at * 1_000_000_007 + 1)).collect()), None);
    add(1, "set:small", Plain::Set((0..20).map(|at| text("member", at)).chain([b"5".to_vec()]).collect()), None);
    add(1, "set:large", Plain::Set((0..2000).map(|at| text("member", at)).collect()), Some(later));
    add(1, "hash:small", Plain::Hash((0..30).map(|at| (text("f", at), text("", at * at))).collect()), None);
    add(1, "hash:large", Plain::Hash((0..3000).map(|at| (text("f", at), text("value", at))).collect()), None);
    add(15, "hash:wide", Plain::Hash([(b"f".to_vec(), vec![b'v'; 100])].into()), None);
    let scores = [0.0, -1.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, 3.0, 1.0 / 3.0];
    add(
        15,
        "zset:small",
        Plain::Zset(scores.iter().enumerate().map(|(at, score)| (text("m", at), *score)).collect()),
        None,
    );
    add(15, "zset:large", Plain::Zset((0..1000).map(|at| (text("m", at), at as f64 * 0.1)).collect()), Some(later));
    set
}

#[allow(dead_code)]
pub fn write(path: &std::path::Path, bytes: &[u8]) {
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}
