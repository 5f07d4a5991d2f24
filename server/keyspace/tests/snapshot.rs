//! Whatever changes while a snapshot runs, it is the state at its beginning, each key exactly once.

use proptest::prelude::*;
use quorate_keyspace::{
    DbIndex, End, HashSeed, Image, ImageSink, Keyspace, Limits, Progress, Replace, Ttl, UnixMs, ValueRef,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const DATABASES: u16 = 3;

/// Database and key to expiry and printed value.
type State = BTreeMap<(DbIndex, Vec<u8>), (Option<UnixMs>, String)>;

fn print(value: ValueRef<'_>) -> String {
    let mut parts: Vec<String> = match value {
        ValueRef::String(text) => return format!("{:?}", text.to_vec()),
        ValueRef::List(list) => {
            return format!("{:?}", list.iter().map(|element| element.to_vec()).collect::<Vec<_>>());
        }
        ValueRef::Set(set) => set.iter().map(|member| format!("{:?}", member.to_vec())).collect(),
        ValueRef::Hash(hash) => {
            hash.iter().map(|(field, value)| format!("{:?}={:?}", field.to_vec(), value.to_vec())).collect()
        }
        ValueRef::Zset(zset) => zset.iter().map(|(member, score)| format!("{:?}={score}", member.to_vec())).collect(),
    };
    parts.sort();
    format!("{:?} {parts:?}", value.kind())
}

/// Collects images, and insists on each key once.
#[derive(Clone, Default)]
struct Album {
    images: Arc<Mutex<State>>,
    finished: Arc<Mutex<bool>>,
}

impl ImageSink for Album {
    fn image(&mut self, image: Image<'_>) {
        let seen = (image.expiry, print(image.value));
        let twice = self.images.lock().unwrap().insert((image.db, image.key.to_vec()), seen);
        assert!(twice.is_none(), "{:?} came twice", image.key);
        assert!(!*self.finished.lock().unwrap(), "after the last key");
    }
    fn finish(&mut self) {
        *self.finished.lock().unwrap() = true;
    }
    fn pending(&self) -> usize {
        0
    }
    fn drain(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

fn state(keyspace: &mut Keyspace) -> State {
    let mode = keyspace.expiry_mode();
    keyspace.set_expiry_mode(quorate_keyspace::ExpiryMode::Ignore);
    let mut state = State::new();
    for number in 0..DATABASES {
        let db = keyspace.db(DbIndex(number));
        for (key, value) in db.keys() {
            state.insert((DbIndex(number), key.to_vec()), (db.expiry(key).unwrap(), print(value)));
        }
    }
    keyspace.set_expiry_mode(mode);
    state
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u8, i64),
    PutExpiring(u16, u8, u64),
    Append(u16, u8),
    Push(u16, u8),
    Member(u16, u8),
    Field(u16, u8),
    Score(u16, u8),
    Remove(u16, u8),
    Rename(u16, u8, u8),
    Copy(u16, u8, u16, u8),
    Move(u16, u8, u16),
    Expire(u16, u8, u64),
    Persist(u16, u8),
    Touch(u16, u8),
    Flush(u16),
    FlushAll,
    Swap(u16, u16),
    Wait(u64),
    Reap(usize),
    Walk(usize),
    Fill(u16, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let db = || 0..DATABASES;
    let key = || 0..24u8;
    prop_oneof![
        4 => (db(), key(), 0..99i64).prop_map(|(db, key, value)| Step::Put(db, key, value)),
        2 => (db(), key(), 1..60u64).prop_map(|(db, key, ms)| Step::PutExpiring(db, key, ms)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Append(db, key)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Push(db, key)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Member(db, key)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Field(db, key)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Score(db, key)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Remove(db, key)),
        2 => (db(), key(), key()).prop_map(|(db, from, to)| Step::Rename(db, from, to)),
        1 => (db(), key(), db(), key()).prop_map(|(db, from, into, to)| Step::Copy(db, from, into, to)),
        1 => (db(), key(), db()).prop_map(|(db, key, into)| Step::Move(db, key, into)),
        2 => (db(), key(), 1..60u64).prop_map(|(db, key, ms)| Step::Expire(db, key, ms)),
        1 => (db(), key()).prop_map(|(db, key)| Step::Persist(db, key)),
        2 => (db(), key()).prop_map(|(db, key)| Step::Touch(db, key)),
        1 => db().prop_map(Step::Flush),
        1 => Just(Step::FlushAll),
        1 => (db(), db()).prop_map(|(a, b)| Step::Swap(a, b)),
        2 => (1..40u64).prop_map(Step::Wait),
        1 => (1..5usize).prop_map(Step::Reap),
        8 => (1..4usize).prop_map(Step::Walk),
        2 => (db(), key()).prop_map(|(db, key)| Step::Fill(db, key)),
    ]
}

fn apply(keyspace: &mut Keyspace, step: &Step) {
    let name = |key: u8| format!("key:{key}").into_bytes();
    let now = keyspace.now();
    let later = |ms: u64| UnixMs(now.0 + ms);
    match *step {
        Step::Put(db, key, value) => drop(keyspace.db(DbIndex(db)).put(&name(key), value, Ttl::Keep)),
        Step::PutExpiring(db, key, ms) => {
            keyspace.db(DbIndex(db)).put_string(&name(key), b"text", Ttl::At(later(ms)));
        }
        Step::Append(db, key) => {
            if let Ok(text) = keyspace.db(DbIndex(db)).string_mut(&name(key)) {
                text.extend_from_slice(b"more");
            }
        }
        Step::Push(db, key) => {
            if let Ok(mut list) = keyspace.db(DbIndex(db)).list_mut(&name(key)) {
                list.push(End::Tail, b"element");
            }
        }
        Step::Member(db, key) => {
            if let Ok(mut set) = keyspace.db(DbIndex(db)).set_mut(&name(key)) {
                set.insert(set.len().to_string().as_bytes());
            }
        }
        Step::Field(db, key) => {
            if let Ok(mut hash) = keyspace.db(DbIndex(db)).hash_mut(&name(key)) {
                hash.insert(hash.len().to_string().as_bytes(), b"value");
            }
        }
        Step::Score(db, key) => {
            if let Ok(mut zset) = keyspace.db(DbIndex(db)).zset_mut(&name(key)) {
                zset.insert(zset.len().to_string().as_bytes(), 1.5);
            }
        }
        Step::Remove(db, key) => drop(keyspace.db(DbIndex(db)).remove(&name(key))),
        Step::Rename(db, from, to) => drop(keyspace.db(DbIndex(db)).rename(&name(from), &name(to))),
        Step::Copy(db, from, into, to) if (db, from) != (into, to) => {
            keyspace.db(DbIndex(db)).copy(&name(from), DbIndex(into), &name(to), Replace::Yes);
        }
        Step::Copy(..) => {}
        Step::Move(db, key, into) => drop(keyspace.db(DbIndex(db)).move_to(&name(key), DbIndex(into))),
        Step::Expire(db, key, ms) => drop(keyspace.db(DbIndex(db)).set_expiry(&name(key), later(ms))),
        Step::Persist(db, key) => drop(keyspace.db(DbIndex(db)).persist(&name(key))),
        Step::Touch(db, key) => drop(keyspace.db(DbIndex(db)).contains(&name(key))),
        Step::Flush(db) => drop(keyspace.db(DbIndex(db)).flush()),
        Step::FlushAll => drop(keyspace.flush_all()),
        Step::Swap(a, b) => keyspace.swap(DbIndex(a), DbIndex(b)),
        Step::Wait(ms) => keyspace.set_now(later(ms)),
        Step::Reap(budget) => drop(keyspace.expire_step(budget)),
        Step::Walk(budget) => drop(keyspace.step_snapshot(budget)),
        Step::Fill(db, from) => {
            for key in from..from.saturating_add(40) {
                keyspace.db(DbIndex(db)).put(&name(key), 1, Ttl::Clear);
            }
        }
    }
    keyspace.take_reaped();
}

fn check(keyspace: &mut Keyspace, meanwhile: &[Step]) {
    let want = state(keyspace);
    let album = Album::default();
    keyspace.begin_snapshot(Box::new(album.clone()));
    for step in meanwhile {
        apply(keyspace, step);
    }
    for _ in 0..10_000 {
        match keyspace.step_snapshot(3) {
            Progress::Walking(_) => {}
            Progress::Complete => break,
            Progress::Idle => panic!("nobody ended it"),
        }
    }
    apply(keyspace, &Step::FlushAll);
    let (_, kept) = keyspace.end_snapshot().expect("it was running");
    drop(kept);
    assert!(*album.finished.lock().unwrap(), "it ends within the bound");
    assert_eq!(*album.images.lock().unwrap(), want);
    assert_eq!(keyspace.step_snapshot(1), Progress::Idle);
}

fn keyspace() -> Keyspace {
    Keyspace::new(DATABASES, Limits::new(HashSeed([5, 6])), fastrand::Rng::with_seed(1))
}

proptest! {
    #[test]
    fn a_snapshot_is_the_state_at_its_beginning(
        before in prop::collection::vec(step(), 0..60),
        meanwhile in prop::collection::vec(step(), 0..60),
        between in prop::collection::vec(step(), 0..30),
        again in prop::collection::vec(step(), 0..60),
    ) {
        let mut keyspace = keyspace();
        before.iter().for_each(|step| apply(&mut keyspace, step));
        check(&mut keyspace, &meanwhile);
        between.iter().for_each(|step| apply(&mut keyspace, step));
        check(&mut keyspace, &again);
    }
}

#[test]
fn a_snapshot_given_up_leaves_no_trace_in_the_next() {
    let mut keyspace = keyspace();
    for round in 0..300 {
        for key in 0..30 {
            apply(&mut keyspace, &Step::Put(0, key, round));
        }
        keyspace.begin_snapshot(Box::new(Album::default()));
        assert!(keyspace.snapshot_running());
        keyspace.step_snapshot(5);
        apply(&mut keyspace, &Step::Put(0, 29, round));
        assert!(keyspace.end_snapshot().is_some());
        assert!(!keyspace.snapshot_running());
    }
    check(&mut keyspace, &[Step::Walk(2), Step::Put(0, 3, 1), Step::Flush(0)]);
}

#[test]
fn a_flush_costs_the_running_snapshot_nothing_at_once() {
    let mut keyspace = keyspace();
    for key in 0..=255 {
        apply(&mut keyspace, &Step::Put(1, key, 1));
    }
    let album = Album::default();
    keyspace.begin_snapshot(Box::new(album.clone()));
    let freed = keyspace.flush_all();
    assert_eq!(freed.elements(), 0, "the snapshot keeps what it has not written");
    assert_eq!(album.images.lock().unwrap().len(), 0);
    assert!(keyspace.is_empty());
    while keyspace.step_snapshot(50) != Progress::Complete {}
    assert_eq!(album.images.lock().unwrap().len(), 256);
    let (_, kept) = keyspace.end_snapshot().unwrap();
    assert_eq!(kept.elements(), 256);
}
