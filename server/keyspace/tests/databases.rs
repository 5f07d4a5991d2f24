//! Databases through the room's public face: expiry, names, accesses, encodings.

use quorate_keyspace::{
    AccessMeter, Copied, Db, DbIndex, End, ExpiryMode, HashSeed, Keyspace, Limits, NoSuchDb, Reaped, Replace, StrRef,
    Ttl, UnixMs, Value, WrongType,
};
use std::time::Duration;

const FIRST: DbIndex = DbIndex(0);
const SECOND: DbIndex = DbIndex(1);

fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::new(2, Limits::new(HashSeed([1, 2])), fastrand::Rng::with_seed(3));
    keyspace.set_now(UnixMs(1000));
    keyspace
}

fn text(db: &Db<'_>, key: &str) -> Option<String> {
    let text = db.string(key.as_bytes()).expect("a string")?;
    Some(String::from_utf8(text.to_vec()).expect("UTF-8"))
}

fn put(db: &mut Db<'_>, key: &str, value: &str, ttl: Ttl) -> bool {
    db.put_string(key.as_bytes(), value.as_bytes(), ttl)
}

fn reaped(keyspace: &mut Keyspace) -> Vec<(u16, String)> {
    let name = |key: Box<[u8]>| String::from_utf8(key.into()).expect("UTF-8");
    keyspace.take_reaped().into_iter().map(|Reaped { db, key }| (db.0, name(key))).collect()
}

#[test]
fn a_keyspace_may_be_built_on_another_thread() {
    fn send<T: Send>() {}
    send::<Keyspace>();
    send::<quorate_keyspace::Discarded>();
}

#[test]
fn databases_are_numbered_from_zero() {
    let keyspace = keyspace();
    assert_eq!(keyspace.index(1), Ok(SECOND));
    assert_eq!(keyspace.index(2), Err(NoSuchDb));
    assert_eq!(keyspace.index(-1), Err(NoSuchDb));
    assert_eq!(NoSuchDb.to_string(), "DB index is out of range");
}

#[test]
fn a_key_of_another_type_is_refused_and_unharmed() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    put(&mut db, "k", "v", Ttl::Clear);
    assert_eq!(db.list(b"k").unwrap_err(), WrongType);
    assert_eq!(db.hash_mut(b"k").unwrap_err(), WrongType);
    assert_eq!(db.zset_existing_mut(b"k").unwrap_err(), WrongType);
    assert_eq!(text(&db, "k").as_deref(), Some("v"));
    db.set_mut(b"s").unwrap().insert(b"m");
    assert_eq!(db.string(b"s").unwrap_err(), WrongType);
    assert_eq!(db.string_mut(b"s").unwrap_err(), WrongType);
    assert!(db.set(b"s").unwrap().unwrap().contains(b"m"));
}

#[test]
fn strings_say_how_they_are_encoded() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    put(&mut db, "int", "-12", Ttl::Clear);
    put(&mut db, "short", &"x".repeat(44), Ttl::Clear);
    put(&mut db, "long", &"x".repeat(45), Ttl::Clear);
    put(&mut db, "grown", "1", Ttl::Clear);
    db.string_mut(b"grown").unwrap().extend_from_slice(b"2");
    db.put(b"loaded", b"text".to_vec(), Ttl::Clear);
    for (key, encoding) in
        [("int", "int"), ("short", "embstr"), ("long", "raw"), ("grown", "raw"), ("loaded", "embstr")]
    {
        assert_eq!(db.encoding(key.as_bytes()), Some(encoding), "{key}");
    }
    assert_eq!(db.string(b"int"), Ok(Some(StrRef::Int(-12))));
    assert_eq!(text(&db, "grown").as_deref(), Some("12"));
}

#[test]
fn ttl_is_kept_cleared_or_set() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    let later = UnixMs(9000);
    assert!(!put(&mut db, "k", "1", Ttl::At(later)));
    assert!(put(&mut db, "k", "2", Ttl::Keep));
    assert_eq!(db.expiry(b"k"), Some(Some(later)));
    assert!(db.persist(b"k"));
    assert!(!db.persist(b"k"));
    assert!(db.set_expiry(b"k", later));
    assert_eq!(db.keyspace().sizes(FIRST), (1, 1));
    put(&mut db, "k", "3", Ttl::Clear);
    assert_eq!(db.expiry(b"k"), Some(None));
    assert_eq!(db.expiry(b"absent"), None);
    assert!(!db.set_expiry(b"absent", later));
    assert_eq!(keyspace.sizes(FIRST), (1, 0));
}

#[test]
fn a_read_finds_an_expired_key_absent_and_reports_it_once() {
    let mut keyspace = keyspace();
    put(&mut keyspace.db(FIRST), "k", "v", Ttl::At(UnixMs(1500)));
    keyspace.set_now(UnixMs(1500));
    assert!(keyspace.db(FIRST).contains(b"k"), "not yet past");
    keyspace.set_now(UnixMs(1501));
    let db = keyspace.db(FIRST);
    assert!(!db.contains(b"k"));
    assert_eq!(text(&db, "k"), None);
    assert_eq!(db.len(), 1, "as long as nobody asks what was reaped");
    assert_eq!(reaped(&mut keyspace), [(0, "k".into())]);
    assert_eq!(reaped(&mut keyspace), []);
    assert!(keyspace.is_empty());
}

#[test]
fn a_write_over_an_expired_key_reports_the_old_and_keeps_the_new() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    put(&mut db, "k", "old", Ttl::At(UnixMs(1500)));
    db.set_mut(b"s").unwrap().insert(b"old");
    db.set_expiry(b"s", UnixMs(1400));
    keyspace.set_now(UnixMs(2000));
    let mut db = keyspace.db(FIRST);
    assert!(!db.contains(b"k"), "met by a read first");
    assert!(!put(&mut db, "k", "new", Ttl::Keep), "it is new, and does not expire");
    assert!(db.set_mut(b"s").unwrap().is_empty());
    db.set_mut(b"s").unwrap().insert(b"new");
    assert_eq!(reaped(&mut keyspace), [(0, "k".into()), (0, "s".into())]);
    assert_eq!(text(&keyspace.db(FIRST), "k").as_deref(), Some("new"));
    assert_eq!(keyspace.sizes(FIRST), (2, 0));
}

#[test]
fn a_replica_hides_and_a_loader_ignores() {
    let mut keyspace = keyspace();
    put(&mut keyspace.db(SECOND), "k", "v", Ttl::At(UnixMs(1500)));
    keyspace.set_now(UnixMs(2000));
    keyspace.set_expiry_mode(ExpiryMode::Hide);
    let db = keyspace.db(SECOND);
    assert!(!db.contains(b"k"));
    assert_eq!(db.keys().count(), 0);
    assert_eq!(db.random_key(&mut fastrand::Rng::with_seed(1)), None);
    assert_eq!(db.len(), 1);
    assert_eq!(keyspace.expire_step(10), 0);
    assert_eq!(reaped(&mut keyspace), []);
    keyspace.set_expiry_mode(ExpiryMode::Ignore);
    assert!(keyspace.db(SECOND).contains(b"k"));
    keyspace.set_expiry_mode(ExpiryMode::Delete);
    assert_eq!(keyspace.expire_step(10), 1);
    assert_eq!(reaped(&mut keyspace), [(1, "k".into())]);
}

#[test]
fn active_expiry_takes_the_soonest_within_its_budget() {
    let mut keyspace = keyspace();
    for at in [1300, 1100, 5000, 1200] {
        put(&mut keyspace.db(FIRST), &at.to_string(), "v", Ttl::At(UnixMs(at)));
    }
    assert_eq!(keyspace.next_expiry(), Some(UnixMs(1100)));
    keyspace.set_now(UnixMs(4000));
    assert_eq!(keyspace.expire_step(2), 2);
    assert_eq!(reaped(&mut keyspace), [(0, "1100".into()), (0, "1200".into())]);
    assert_eq!(keyspace.expire_step(2), 1);
    assert_eq!(keyspace.expire_step(2), 0);
    assert_eq!(keyspace.sizes(FIRST), (1, 1));
}

#[test]
fn rename_carries_the_expiry_and_overwrites() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    put(&mut db, "a", "1", Ttl::At(UnixMs(9000)));
    put(&mut db, "b", "2", Ttl::At(UnixMs(8000)));
    assert_eq!(db.rename(b"a", b"b"), Some(true));
    assert_eq!(text(&db, "b").as_deref(), Some("1"));
    assert_eq!(db.expiry(b"b"), Some(Some(UnixMs(9000))));
    assert_eq!(db.rename(b"a", b"c"), None);
    assert_eq!(db.rename(b"b", b"b"), Some(true));
    assert_eq!(db.rename(b"b", b"c"), Some(false));
    assert_eq!(keyspace.sizes(FIRST), (1, 1));
}

#[test]
fn copy_and_move_across_databases() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    db.list_mut(b"l").unwrap().push(End::Tail, b"x");
    db.set_expiry(b"l", UnixMs(9000));
    assert_eq!(db.copy(b"none", SECOND, b"l", Replace::No), Copied::NoSource);
    assert_eq!(db.copy(b"l", SECOND, b"l", Replace::No), Copied::Done);
    assert_eq!(db.copy(b"l", SECOND, b"l", Replace::No), Copied::Exists);
    db.list_mut(b"l").unwrap().push(End::Tail, b"y");
    assert_eq!(db.other(SECOND).list(b"l").unwrap().unwrap().len(), 1, "a copy of its own");
    assert_eq!(db.other(SECOND).expiry(b"l"), Some(Some(UnixMs(9000))));
    assert_eq!(db.copy(b"l", SECOND, b"l", Replace::Yes), Copied::Done);
    assert_eq!(db.other(SECOND).list(b"l").unwrap().unwrap().len(), 2);
    assert!(!db.move_to(b"l", SECOND), "it exists there");
    assert!(db.other(SECOND).remove(b"l"));
    assert!(db.move_to(b"l", SECOND));
    assert!(!db.move_to(b"l", SECOND));
    assert_eq!((keyspace.sizes(FIRST), keyspace.sizes(SECOND)), ((0, 0), (1, 1)));
}

#[test]
fn empty_collections_leave() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    db.hash_mut(b"h").unwrap();
    assert!(db.remove_if_empty(b"h"));
    assert!(!db.contains(b"h"));
    db.hash_mut(b"h").unwrap().insert(b"f", b"v");
    assert!(!db.remove_if_empty(b"h"));
    put(&mut db, "s", "", Ttl::Clear);
    assert!(!db.remove_if_empty(b"s"), "an empty string is a value");
    let empty = Value::Hash(quorate_keyspace::Hash::new());
    assert!(db.put(b"h", empty, Ttl::Clear));
    assert!(!db.contains(b"h"));
}

#[test]
fn flush_and_swap() {
    let mut keyspace = keyspace();
    for key in ["a", "b", "c"] {
        put(&mut keyspace.db(FIRST), key, "v", Ttl::At(UnixMs(9000)));
    }
    put(&mut keyspace.db(SECOND), "d", "v", Ttl::Clear);
    keyspace.swap(FIRST, SECOND);
    assert_eq!((keyspace.sizes(FIRST), keyspace.sizes(SECOND)), ((1, 0), (3, 3)));
    let old = keyspace.db(SECOND).flush();
    assert_eq!(old.elements(), 3);
    std::thread::spawn(move || drop(old)).join().expect("frees elsewhere");
    assert_eq!((keyspace.len(), keyspace.next_expiry()), (1, None));
    assert_eq!(keyspace.flush_all().elements(), 1);
    assert!(keyspace.is_empty());
}

#[test]
fn unlink_hands_out_what_is_large() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    for number in 0..1000 {
        db.set_mut(b"s").unwrap().insert(format!("m{number}").as_bytes());
    }
    assert_eq!(db.unlink(b"s").map(|old| old.elements()), Some(1000));
    assert!(db.unlink(b"s").is_none());
}

#[test]
fn accesses_are_measured_by_reads_but_not_by_looks() {
    let mut keyspace = keyspace();
    put(&mut keyspace.db(FIRST), "k", "v", Ttl::Clear);
    keyspace.set_now(UnixMs(21_000));
    let mut db = keyspace.db(FIRST);
    assert!(db.peek(b"k").is_some());
    assert_eq!(db.idle(b"k"), Some(Duration::from_secs(20)));
    assert!(db.value(b"k").is_some());
    assert_eq!(db.idle(b"k"), Some(Duration::ZERO));
    db.set_idle(b"k", Duration::from_secs(11));
    assert_eq!(db.idle(b"k"), Some(Duration::from_secs(11)));
    assert_eq!(db.frequency(b"k"), Some(0));
    keyspace.set_access_meter(AccessMeter::Frequency { log_factor: 10, decay_minutes: 1 });
    let mut db = keyspace.db(FIRST);
    put(&mut db, "new", "v", Ttl::Clear);
    assert_eq!(db.frequency(b"new"), Some(5));
    db.set_frequency(b"new", 200);
    assert_eq!(db.frequency(b"new"), Some(200));
}

#[test]
fn new_limits_reach_a_collection_at_its_next_change() {
    let mut keyspace = keyspace();
    keyspace.db(FIRST).hash_mut(b"h").unwrap().insert(b"a", b"1");
    let limits = Limits { hash_max_listpack_entries: 1, ..(**keyspace.limits()).clone() };
    keyspace.set_limits(limits);
    assert_eq!(keyspace.db(FIRST).encoding(b"h"), Some("listpack"));
    keyspace.db(FIRST).hash_mut(b"h").unwrap().insert(b"b", b"2");
    assert_eq!(keyspace.db(FIRST).encoding(b"h"), Some("hashtable"));
}

#[test]
fn scan_and_keys_see_every_live_key() {
    let mut keyspace = keyspace();
    for number in 0..500 {
        let ttl = if number % 2 == 0 { Ttl::Clear } else { Ttl::At(UnixMs(1100)) };
        put(&mut keyspace.db(FIRST), &number.to_string(), "v", ttl);
    }
    keyspace.set_now(UnixMs(2000));
    let db = keyspace.db(FIRST);
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = db.scan(cursor, &mut |key, _| {
            seen.insert(key.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 250);
    assert_eq!(db.keys().map(|(key, _)| key.to_vec()).collect::<std::collections::BTreeSet<_>>(), seen);
    let random = db.random_key(&mut fastrand::Rng::with_seed(1)).expect("half of them live");
    assert!(seen.contains(&random));
}

#[test]
fn memory_follows_what_is_stored() {
    let mut keyspace = keyspace();
    let mut db = keyspace.db(FIRST);
    put(&mut db, "small", "v", Ttl::Clear);
    put(&mut db, "large", &"v".repeat(10_000), Ttl::Clear);
    let (small, large) = (db.memory(b"small").unwrap(), db.memory(b"large").unwrap());
    assert!((20..150).contains(&small), "{small}");
    assert!((10_000..20_000).contains(&large), "{large}");
    assert_eq!(db.memory(b"absent"), None);
}
