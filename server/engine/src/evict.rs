//! maxmemory: what goes, and when a command is refused instead.
//!
//! Before each command of a client, as long as more memory is used than allowed, a key is evicted, propagated as DEL and announced. Bounds: `AT_MOST` keys a
//! command; if that was not enough, the next commands go on. Only when no key may go are commands refused that may need memory.

use quorate_config::{MaxmemoryPolicy, ServerConfig};
use quorate_keyspace::{AccessMeter, Candidates, Keyspace, Worst};

use crate::core::Core;
use crate::session::Session;

/// Keys evicted before one command. Source: about the 500 µs that Redis allows at its default maxmemory-eviction-tenacity.
const AT_MOST: usize = 128;

/// What eviction's policy wants to know of each key.
pub(crate) fn access_meter(config: &ServerConfig) -> AccessMeter {
    match config.maxmemory_policy {
        MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => {
            AccessMeter::Frequency { log_factor: config.lfu_log_factor, decay_minutes: config.lfu_decay_time_min }
        }
        _ => AccessMeter::Recency,
    }
}

/// What a policy evicts; nothing for `noeviction`.
fn choice(policy: MaxmemoryPolicy) -> Option<(Candidates, Worst)> {
    match policy {
        MaxmemoryPolicy::Noeviction => None,
        MaxmemoryPolicy::AllkeysLru => Some((Candidates::All, Worst::LongestIdle)),
        MaxmemoryPolicy::AllkeysLfu => Some((Candidates::All, Worst::LeastFrequent)),
        MaxmemoryPolicy::AllkeysRandom => Some((Candidates::All, Worst::Any)),
        MaxmemoryPolicy::VolatileLru => Some((Candidates::Expiring, Worst::LongestIdle)),
        MaxmemoryPolicy::VolatileLfu => Some((Candidates::Expiring, Worst::LeastFrequent)),
        MaxmemoryPolicy::VolatileRandom => Some((Candidates::Expiring, Worst::Any)),
        MaxmemoryPolicy::VolatileTtl => Some((Candidates::Expiring, Worst::SoonestToExpire)),
    }
}

impl Core {
    /// Makes room if there is a limit and it is exceeded. A replica leaves that to its master.
    pub(crate) fn make_room(&mut self, keyspace: &mut Keyspace, mut current: Option<&mut Session>) {
        let limit = self.config.maxmemory;
        self.standing.out_of_memory = false;
        if limit == 0 || self.is_replica() || self.standing.loading {
            return;
        }
        for _ in 0..AT_MOST {
            let used = (self.host.used_memory)().saturating_sub(self.ahead.bytes());
            if used as u64 <= limit {
                return;
            }
            let samples = self.config.maxmemory_samples as usize;
            let found = choice(self.config.maxmemory_policy)
                .and_then(|(among, worst)| keyspace.eviction_candidate(among, worst, samples, &mut self.rng));
            let Some((db, key)) = found else {
                self.standing.out_of_memory = true;
                return;
            };
            keyspace.db(db).remove(&key);
            self.stats.evicted_keys += 1;
            self.propagate(db, &[b"DEL", &key]);
            self.changed(db, &key, "evicted", current.as_deref_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::check::Stage;

    /// Each look at the memory finds ten bytes less in use.
    static USED: AtomicUsize = AtomicUsize::new(0);

    fn stage() -> Stage {
        let mut stage = Stage::new();
        stage.engine.core_mut().host.used_memory = || USED.fetch_sub(10, Ordering::Relaxed);
        stage
    }

    #[test]
    fn keys_go_until_there_is_room_or_none_may_go() {
        USED.store(1_000_000, Ordering::Relaxed);
        let mut stage = stage();
        for key in ["a", "b", "c", "d"] {
            stage.say(1, &format!("set {key} 1"));
        }
        stage.say(1, "config set maxmemory 100 maxmemory-policy volatile-lru");
        assert_eq!(stage.say(1, "set e 1"), "-OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(stage.say(1, "get a"), "$1");
        // CONFIG SET looks once before it runs; the new policy then makes room at once.
        USED.store(130, Ordering::Relaxed);
        assert_eq!(stage.say(1, "config set maxmemory-policy allkeys-random"), "+OK");
        assert_eq!(stage.say(1, "set e 1"), "+OK");
        let stats = stage.say(1, "info stats");
        assert!(stats.contains("evicted_keys:2\\r"), "{stats}");
        assert_eq!(stage.say(1, "dbsize"), ":3");
    }
}
