//! The table beside a plain map, its shape after each kind of change, and the promise of `scan`.
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const SEED: HashSeed = HashSeed([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

/// An element on the heap, so that a lost or doubly owned one shows.
struct Item(Box<(Vec<u8>, u32)>);

impl Keyed for Item {
    fn key(&self) -> &[u8] {
        &self.0.0
    }
}

fn item(number: u32, value: u32) -> Item {
    Item(Box::new((key(number), value)))
}

fn key(number: u32) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Every invariant of the module's header.
fn check<E: Keyed>(table: &Table<E>) {
    let (mut len, mut chained) = (0, 0);
    assert!(table.size == 0 || (table.low + 1..2 * (table.low + 1)).contains(&table.size));
    for index in 0..table.size {
        let mut at = table.bucket(index);
        let mut is_first = true;
        loop {
            // SAFETY: the table stands still.
            let bucket = unsafe { &*at };
            for lane in 0..LANES {
                assert_eq!(bucket.tag(lane) != 0, lane < bucket.count(), "a tag marks an element");
            }
            for slot in &bucket.slots[..bucket.count()] {
                // SAFETY: below the count.
                let hash = table.hash(unsafe { slot.element.key() });
                assert_eq!(table.index(hash), index, "an element stands in its bucket");
            }
            assert!(is_first || bucket.count() >= 2, "a child holds at least two");
            len += bucket.count();
            chained += usize::from(!is_first);
            is_first = false;
            match bucket.child() {
                Some(child) => at = child,
                None => break,
            }
            assert_eq!(bucket.count(), CHILD, "a chained bucket is full");
        }
    }
    assert_eq!((len, chained), (table.len, table.chained));
    assert!(table.len <= table.size * LOAD_MAX, "never fuller than the load");
}

fn scan_all(table: &Table<Item>, between: &mut dyn FnMut(usize)) -> BTreeSet<Vec<u8>> {
    let (mut seen, mut cursor, mut step) = (BTreeSet::new(), 0, 0);
    loop {
        cursor = table.scan(cursor, &mut |item| {
            seen.insert(item.key().to_vec());
        });
        if cursor == 0 {
            return seen;
        }
        between(step);
        step += 1;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u32, u32),
    Find(u32),
    Remove(u32),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0..300u32, any::<u32>()).prop_map(|(number, value)| Step::Insert(number, value)),
        10 => (0..300u32).prop_map(Step::Find),
        35 => (0..300u32).prop_map(Step::Remove),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn behaves_like_a_map(steps in prop::collection::vec(step(), 0..700)) {
        let mut table = Table::new(SEED);
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(number, value) => {
                    let old = table.insert(item(number, value)).map(|item| item.0.1);
                    prop_assert_eq!(old, model.insert(key(number), value));
                }
                Step::Find(number) => {
                    let (found, made) = table.find_or_insert(&key(number), || item(number, 7));
                    prop_assert_eq!(made, !model.contains_key(&key(number)));
                    let value = *model.entry(key(number)).and_modify(|value| *value ^= 1).or_insert(7);
                    if !made {
                        found.0.1 ^= 1;
                    }
                    prop_assert_eq!(found.0.1, value);
                }
                Step::Remove(number) => {
                    let old = table.remove(&key(number)).map(|item| item.0.1);
                    prop_assert_eq!(old, model.remove(&key(number)));
                }
                Step::Clear => {
                    table.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
        check(&table);
        for number in 0..300 {
            prop_assert_eq!(table.get(&key(number)).map(|item| item.0.1), model.get(&key(number)).copied());
        }
        let held: BTreeMap<_, _> = table.iter().map(|item| (item.key().to_vec(), item.0.1)).collect();
        prop_assert_eq!(&held, &model);
        prop_assert_eq!(scan_all(&table, &mut |_| {}), model.into_keys().collect());
    }

    /// What stays from begin to end is seen, whatever comes and goes at whatever cursor.
    #[test]
    fn scan_sees_what_stays(stays in 0..200u32, bursts in prop::collection::vec((0..60u64, any::<bool>(), 1..900u32), 0..6)) {
        let mut table = Table::new(SEED);
        for number in 0..stays {
            table.insert(item(number, 0));
        }
        let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), 0, 0);
        loop {
            let mut see = |item: &Item| { seen.insert(item.key().to_vec()); };
            cursor = match calls % 3 {
                0 => table.scan(cursor, &mut see),
                some => table.scan_many(cursor, 9 * some as usize, &mut see),
            };
            if cursor == 0 {
                break;
            }
            for &(_, grows, count) in bursts.iter().filter(|burst| burst.0 == calls) {
                for number in 1000..1000 + count {
                    if grows { table.insert(item(number, 0)); } else { table.remove(&key(number)); }
                }
            }
            calls += 1;
        }
        for number in 0..stays {
            prop_assert!(seen.contains(&key(number)), "{} was missed", number);
        }
    }
}

#[test]
fn grows_and_shrinks_by_a_bucket_at_a_time() {
    let mut table = Table::new(SEED);
    const COUNT: u32 = 60_000; // three segments
    for number in 0..COUNT {
        let before = table.size;
        table.insert(item(number, number));
        assert!(table.size - before <= 1);
    }
    check(&table);
    assert!(table.segments.len() >= 3);
    assert_eq!(scan_all(&table, &mut |_| {}).len(), COUNT as usize);
    assert!(table.memory() < COUNT as usize * 20, "{} bytes", table.memory());
    for number in 0..COUNT {
        let before = table.size;
        assert_eq!(table.remove(&key(number)).map(|item| item.0.1), Some(number));
        assert!(before - table.size <= MERGES);
        if number % 10_007 == 0 {
            check(&table);
        }
    }
    check(&table);
    assert_eq!((table.size, table.len(), table.segments.len(), table.chained), (1, 0, 1, 0));
    assert!(table.first_capacity <= 4);
}

#[test]
fn many_buckets_are_scanned_as_one_by_one() {
    for count in [0, 1, 5, 6, 77, 30_000] {
        let mut table = Table::new(SEED);
        (0..count).for_each(|number| drop(table.insert(item(number, 0))));
        let (mut one, mut many) = (Vec::new(), Vec::new());
        let (mut cursor, mut ahead) = (0, 0);
        loop {
            ahead = table.scan_many(ahead, SCANNED, &mut |item| many.push(item.key().to_vec()));
            for _ in 0..SCANNED {
                cursor = table.scan(cursor, &mut |item| one.push(item.key().to_vec()));
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!((cursor, one.len()), (ahead, many.len()), "of {count}");
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(one, many);
    }
}

#[test]
fn reserve_lays_out_what_growth_would_have() {
    for count in [1, 5, 6, 39, 40, 41, 1280, 20_480, 20_481, 61_441, 100_000] {
        let mut table = Table::new(SEED);
        table.reserve(count as usize);
        let size = table.size;
        check(&table);
        (0..count).for_each(|number| drop(table.insert(item(number, number))));
        assert_eq!(table.size, size, "{count}");
        check(&table);
        (0..count).for_each(|number| drop(table.insert(item(count + number, number))));
        check(&table);
        assert!((0..2 * count).all(|number| table.contains(&key(number))));
    }
}

#[test]
fn reserve_makes_the_room_at_once() {
    let mut table = Table::new(SEED);
    table.reserve(50_000);
    let size = table.size;
    for number in 0..50_000 {
        table.insert(item(number, number));
    }
    assert_eq!(table.size, size);
    check(&table);
    assert!((0..50_000).all(|number| table.contains(&key(number))));
}

#[test]
fn random_is_fair() {
    let mut rng = fastrand::Rng::with_seed(1);
    for count in [1u32, 3, 16, 17, 100, 1000] {
        let mut table = Table::new(SEED);
        assert!(table.random(&mut rng).is_none());
        (0..count).for_each(|number| drop(table.insert(item(number, number))));
        let mut drawn = vec![0u32; count as usize];
        for _ in 0..count * 200 {
            drawn[table.random(&mut rng).expect("not empty").0.1 as usize] += 1;
        }
        // 200 expected, deviation 14: five deviations, and some for the longest chains.
        assert!(drawn.iter().all(|&times| (100..320).contains(&times)), "{count}: {drawn:?}");
    }
}

#[test]
fn random_finds_the_last_elements_of_a_sparse_table() {
    let mut table = Table::new(SEED);
    table.reserve(100_000);
    (0..20).for_each(|number| drop(table.insert(item(number, number))));
    let mut rng = fastrand::Rng::with_seed(2);
    let drawn: BTreeSet<u32> = (0..2000).map(|_| table.random(&mut rng).expect("not empty").0.1).collect();
    assert!(drawn.len() > 10);
}

#[test]
fn keys_are_compared_whole() {
    let bytes: Vec<u8> = (0..80).collect();
    for len in 0..70 {
        let key = &bytes[..len];
        assert!(is_same(key, key) && !is_same(key, &bytes[..len + 1]));
        for place in 0..len {
            let mut other = key.to_vec();
            other[place] ^= 1;
            assert!(!is_same(key, &other), "{len} bytes, other at {place}");
        }
    }
}

#[test]
fn fetching_any_hash_is_harmless() {
    let mut table = Table::new(SEED);
    table.prefetch(5);
    table.fetch(std::iter::once(5));
    (0..1000).for_each(|number| drop(table.insert(item(number, number))));
    for number in 0..2000 {
        let hash = table.hash(&key(number));
        table.prefetch(hash);
        table.fetch(std::iter::repeat_n(hash, FETCHED + 1));
        assert_eq!(table.get_hashed(hash, &key(number)).is_some(), number < 1000);
    }
}

#[test]
fn iter_mut_reaches_every_element() {
    let mut table = Table::new(SEED);
    (0..500).for_each(|number| drop(table.insert(item(number, 1))));
    table.iter_mut().for_each(|item| item.0.1 += 1);
    assert_eq!(table.iter().map(|item| item.0.1).sum::<u32>(), 1000);
}

#[test]
fn a_bucket_is_a_cache_line() {
    assert_eq!(size_of::<Bucket<Item>>(), 64);
}
