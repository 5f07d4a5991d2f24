//! Which key should go when memory is short: the worst of a few taken at random, as Redis's approximated policies do.
//!
//! Among all keys, a sample is a random entry of the table. Among keys that expire, it is the first one due after a random instant between the soonest
//! and the latest deadline; the one that expires soonest is known exactly. Nothing is removed here: the caller deletes and tells of it.

use crate::{DbIndex, Keyspace, UnixMs, store::Slot};

/// Which keys may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Any (`allkeys-…`).
    All,
    /// Those that expire anyway (`volatile-…`).
    Expiring,
}

/// Which of the sampled keys goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worst {
    /// The one that was not accessed for the longest time (`-lru`).
    LongestIdle,
    /// The one that is accessed least often (`-lfu`).
    LeastFrequent,
    /// Any of them (`-random`).
    Any,
    /// The one that expires next (`volatile-ttl`).
    SoonestToExpire,
}

impl Keyspace {
    /// A key to be evicted, the worst of `samples`; `None` when no key may go.
    pub fn eviction_candidate(
        &self,
        among: Candidates,
        worst: Worst,
        samples: usize,
        rng: &mut fastrand::Rng,
    ) -> Option<(DbIndex, Box<[u8]>)> {
        let dbs = || (0..self.databases()).map(DbIndex);
        if worst == Worst::SoonestToExpire {
            let soonest =
                dbs().filter_map(|db| self.store(db).deadlines.first().map(|(at, key)| (at, db, key))).min()?;
            return Some((soonest.1, soonest.2.into()));
        }
        let size = |db: DbIndex| match among {
            Candidates::All => self.store(db).table.len(),
            Candidates::Expiring => self.store(db).deadlines.len(),
        };
        let total: usize = dbs().map(size).sum();
        if total == 0 {
            return None;
        }
        let mut found: Option<(u64, DbIndex, &[u8])> = None;
        for _ in 0..if worst == Worst::Any { 1 } else { samples.max(1) } {
            let mut nth = rng.usize(..total);
            let db = dbs().find(|db| {
                let here = nth < size(*db);
                nth = nth.saturating_sub(if here { 0 } else { size(*db) });
                here
            });
            let db = db.expect("the sizes add up to the total");
            let Some(slot) = self.sample(db, among, rng) else { continue };
            let badness = self.badness(slot, worst);
            if found.is_none_or(|(worse, ..)| badness > worse) {
                found = Some((badness, db, slot.key()));
            }
        }
        found.map(|(_, db, key)| (db, key.into()))
    }

    fn sample(&self, db: DbIndex, among: Candidates, rng: &mut fastrand::Rng) -> Option<&Slot> {
        let store = self.store(db);
        match among {
            Candidates::All => store.table.random(rng),
            Candidates::Expiring => {
                let (first, last) = (store.deadlines.first()?.0, store.deadlines.last()?.0);
                let instant = UnixMs(rng.u64(first.0..=last.0));
                store.table.get(store.deadlines.next_from(instant)?)
            }
        }
    }

    fn badness(&self, slot: &Slot, worst: Worst) -> u64 {
        let shared = self.shared();
        match worst {
            Worst::LongestIdle => shared.access.idle(slot.clock(), shared.now).as_secs(),
            Worst::LeastFrequent => u64::from(u8::MAX - shared.access.count(slot.clock(), shared.now)),
            Worst::Any | Worst::SoonestToExpire => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Ttl};
    use quorate_collections::HashSeed;
    use std::time::Duration;

    fn keyspace() -> Keyspace {
        let mut keyspace = Keyspace::new(2, Limits::new(HashSeed([1, 2])), fastrand::Rng::with_seed(3));
        keyspace.set_now(UnixMs(1_000_000_000));
        keyspace
    }

    #[test]
    fn the_idlest_goes_first_and_expiring_keys_only_if_asked_for() {
        let (mut keyspace, mut rng) = (keyspace(), fastrand::Rng::with_seed(5));
        let mut pick = |keyspace: &Keyspace, among, worst| {
            let found = keyspace.eviction_candidate(among, worst, 200, &mut rng);
            found.map(|(db, key)| (db.0, String::from_utf8(key.into()).expect("text")))
        };
        assert_eq!(pick(&keyspace, Candidates::All, Worst::LongestIdle), None);
        for (db, number) in (0..20).flat_map(|number| [(0, number), (1, number)]) {
            let ttl = if db == 1 { Ttl::At(UnixMs(2_000_000_000 + 50 - number)) } else { Ttl::Clear };
            keyspace.db(DbIndex(db)).put_string(format!("{db}-{number}").as_bytes(), b"x", ttl);
        }
        keyspace.db(DbIndex(0)).set_idle(b"0-7", Duration::from_secs(100));
        keyspace.db(DbIndex(1)).set_idle(b"1-3", Duration::from_secs(50));
        assert_eq!(pick(&keyspace, Candidates::All, Worst::LongestIdle), Some((0, "0-7".into())));
        assert_eq!(pick(&keyspace, Candidates::Expiring, Worst::LongestIdle), Some((1, "1-3".into())));
        assert_eq!(pick(&keyspace, Candidates::Expiring, Worst::SoonestToExpire), Some((1, "1-19".into())));
        assert_eq!(pick(&keyspace, Candidates::Expiring, Worst::Any).expect("some key").0, 1);
    }
}
