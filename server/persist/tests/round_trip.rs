//! What goes into an RDB comes out of it; what is damaged is refused, and nothing panics.

mod common;

use common::*;
use proptest::prelude::*;
use quorate_keyspace::DbIndex;
use quorate_persist::rdb::dump::{RestoreError, dump, restore};
use quorate_persist::rdb::seal::Checksum;
use quorate_persist::rdb::write::Compression;
use quorate_persist::rdb::{RdbError, RdbHeader, ReplicationPoint};

fn header() -> RdbHeader {
    RdbHeader {
        redis_version: "7.2.0".to_owned(),
        created_s: 1_700_000_000,
        used_memory: 123_456,
        replication: Some(ReplicationPoint { replid: [b'e'; 40], offset: u64::MAX, db: 9 }),
        epoch: Some(12),
        aof_base: true,
    }
}

#[test]
fn samples_of_every_type_survive() {
    for compression in [Compression::Lzf, Compression::None] {
        let samples = samples();
        let file = snapshot(&mut build(&samples), &header(), compression);
        let (mut keyspace, info) = load_bytes(&file, Checksum::Crc64).unwrap();
        assert_eq!(info.header, header());
        assert_eq!((info.version, info.bytes), (10, file.len() as u64));
        assert_eq!(info.keys_loaded, samples.len() as u64);
        assert_eq!(dataset(&mut keyspace), samples);
    }
}

#[test]
fn what_follows_the_rdb_is_left_in_the_source() {
    let mut file = snapshot(&mut build(&samples()), &header(), Compression::Lzf);
    let len = file.len();
    file.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let mut source = std::io::BufReader::with_capacity(100, &file[..]);
    let options = quorate_persist::rdb::read::LoadOptions {
        now: NOW,
        expired: quorate_persist::rdb::read::ExpiredKeys::Drop,
        checksum: Checksum::Crc64,
    };
    let info = quorate_persist::rdb::read::load(&mut source, &mut empty(), &options).unwrap();
    assert_eq!(info.bytes, len as u64);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut source, &mut rest).unwrap();
    assert_eq!(rest, "*1\r\n$4\r\nPING\r\n");
}

#[test]
fn every_truncation_is_an_error() {
    let mut samples = samples();
    samples.retain(|(db, _), _| *db == 15);
    let file = snapshot(&mut build(&samples), &header(), Compression::Lzf);
    for cut in (0..file.len()).step_by(1 + file.len() / 3000) {
        match load_bytes(&file[..cut], Checksum::Crc64) {
            Err(RdbError::Truncated { offset }) => assert_eq!(offset, cut as u64),
            Err(error) => panic!("cut at {cut}: {error}"),
            Ok(_) => panic!("cut at {cut} was loaded"),
        }
    }
}

#[test]
fn claims_that_the_input_cannot_fill_allocate_nothing() {
    let check = |tail: &[u8], expected: &str| {
        let file = [&b"REDIS0010"[..], tail].concat();
        match load_bytes(&file, Checksum::None) {
            Ok(_) => panic!("{tail:?} was loaded"),
            Err(error) => assert_eq!(error.to_string(), expected, "{tail:?}"),
        }
    };
    let huge = [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    check(&[&[0][..], &huge].concat(), "unexpected end of the RDB at byte 19");
    check(&[&[2, 1, b'k'][..], &huge].concat(), "unexpected end of the RDB at byte 21");
    check(
        &[&[0, 0xC3, 1][..], &huge, b"x"].concat(),
        "corrupt RDB at byte 21: a compressed string claims more than it can hold",
    );
    check(&[254, 16], "unsupported RDB content at byte 11: a database past the configured number");
    check(&[15, 1, b'k'], "unsupported RDB content at byte 12: a stream");
    check(&[99, 1, b'k'], "corrupt RDB at byte 12: unknown type of value");
}

#[test]
fn headers_that_are_not_ours_are_refused() {
    let message = |file: &[u8]| load_bytes(file, Checksum::None).err().unwrap().to_string();
    assert_eq!(message(b"REDIS0005\xff"), "RDB version 5 cannot be read");
    assert_eq!(message(b"REDIS0013\xff"), "RDB version 13 cannot be read");
    assert_eq!(message(b"*3\r\n$3\r\nSET"), "corrupt RDB at byte 0: it does not begin with REDIS and a version");
}

#[test]
fn a_damaged_byte_is_found_by_the_checksum() {
    let mut file = snapshot(&mut build(&samples()), &header(), Compression::None);
    let at = file.len() - 20;
    file[at] ^= 1;
    assert!(load_bytes(&file, Checksum::Crc64).is_err());
}

#[test]
fn expired_keys_are_dropped_or_kept() {
    let value = Plain::String(b"v".to_vec());
    let keys = Dataset::from([
        ((0, b"old".to_vec()), (value.clone(), Some(NOW.0 - 1))),
        ((0, b"new".to_vec()), (value, Some(NOW.0 + 1))),
    ]);
    let mut keyspace = empty();
    keyspace.set_expiry_mode(quorate_keyspace::ExpiryMode::Ignore);
    for ((_, key), (_, expiry)) in &keys {
        let ttl = quorate_keyspace::Ttl::At(quorate_keyspace::UnixMs(expiry.unwrap()));
        keyspace.db(DbIndex(0)).put_string(key, b"v", ttl);
    }
    let file = snapshot(&mut keyspace, &RdbHeader::default(), Compression::None);
    let (_, info) = load_bytes(&file, Checksum::Crc64).unwrap();
    assert_eq!((info.keys_loaded, info.keys_expired), (1, 1));
}

#[test]
fn a_payload_is_restored_and_a_damaged_one_is_not() {
    let mut keyspace = build(&samples());
    let limits = keyspace.limits().clone();
    for ((db, key), (value, _)) in &samples() {
        let payload = dump(keyspace.db(DbIndex(*db)).peek(key).unwrap(), Compression::Lzf);
        let restored = restore(&payload, &limits).unwrap();
        let mut target = empty();
        target.db(DbIndex(0)).put(b"k", restored, quorate_keyspace::Ttl::Clear);
        assert_eq!(plain(target.db(DbIndex(0)).peek(b"k").unwrap()), *value);
        let mut damaged = payload.clone();
        damaged[0] ^= 1;
        assert!(matches!(restore(&damaged, &limits), Err(RestoreError::Footer)));
    }
    assert!(matches!(restore(b"short", &limits), Err(RestoreError::Footer)));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (0..300_i32).prop_map(|number| (number - 150).to_string().into_bytes()),
        (any::<u8>(), 0..200_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn value() -> impl Strategy<Value = Plain> {
    let score = prop_oneof![
        any::<i32>().prop_map(f64::from),
        any::<f64>().prop_filter("a number", |score| !score.is_nan()).prop_map(|score| score + 0.0),
    ];
    prop_oneof![
        text().prop_map(Plain::String),
        proptest::collection::vec(text(), 1..200).prop_map(Plain::List),
        proptest::collection::btree_set(text(), 1..200).prop_map(Plain::Set),
        proptest::collection::btree_set(any::<i64>(), 1..200)
            .prop_map(|set| Plain::Set(set.iter().map(|member| member.to_string().into_bytes()).collect())),
        proptest::collection::btree_map(text(), text(), 1..200).prop_map(Plain::Hash),
        proptest::collection::btree_map(text(), score, 1..200).prop_map(Plain::Zset),
    ]
}

fn any_dataset() -> impl Strategy<Value = Dataset> {
    let expiry = proptest::option::of(NOW.0 + 1..u64::from(u32::MAX) * 1000);
    proptest::collection::btree_map((0..16_u16, text()), (value(), expiry), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_dataset_survives(data in any_dataset(), lzf: bool) {
        let compression = if lzf { Compression::Lzf } else { Compression::None };
        let file = snapshot(&mut build(&data), &header(), compression);
        let (mut keyspace, _) = load_bytes(&file, Checksum::Crc64).unwrap();
        prop_assert_eq!(dataset(&mut keyspace), data);
    }

    #[test]
    fn damage_never_panics(data in any_dataset(), hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = snapshot(&mut build(&data), &header(), Compression::Lzf);
        for (at, byte) in hits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let _ = load_bytes(&file, Checksum::None);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load_bytes(&[&b"REDIS0010"[..], &bytes].concat(), Checksum::None);
    }

    #[test]
    fn any_value_of_any_type_never_panics(kind in 0..26_u8, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let content = [&[kind, 1, b'k'][..], &bytes, &[255, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
        let _ = load_bytes(&[&b"REDIS0010"[..], &content].concat(), Checksum::None);
    }
}
