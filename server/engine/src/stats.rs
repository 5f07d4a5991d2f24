//! What the engine counts: INFO's stats, commandstats and errorstats, and the slow log.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use quorate_keyspace::UnixMs;

/// Counts of one command.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommandStats {
    /// How often it ran.
    pub calls: u64,
    /// Time that it took, in all.
    pub time: Duration,
    /// How often a gate refused it.
    pub rejected: u64,
    /// How often it was refused while it ran.
    pub failed: u64,
}

/// One entry of the slow log.
#[derive(Debug, Clone)]
pub struct SlowEntry {
    /// Counts up from 0.
    pub id: u64,
    /// When it ran.
    pub at: UnixMs,
    /// How long it ran.
    pub took: Duration,
    /// Its arguments, cut to Redis's bounds (32 arguments of 128 bytes).
    pub argv: Vec<Vec<u8>>,
    /// The client's address.
    pub peer: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// The slow log: newest first, bounded by slowlog-max-len.
#[derive(Debug, Default)]
pub struct SlowLog {
    /// The entries, newest first.
    pub entries: VecDeque<SlowEntry>,
    /// The next entry's id.
    pub next_id: u64,
}

/// Arguments kept of one slow command, and bytes kept of one argument. Source: Redis's slowlog.h.
const SLOW_ARGUMENTS: usize = 32;
const SLOW_ARGUMENT_BYTES: usize = 128;

impl SlowLog {
    /// Adds an entry; the oldest beyond `bound` goes.
    pub fn push(&mut self, mut entry: SlowEntry, bound: u64) {
        entry.id = self.next_id;
        self.next_id += 1;
        self.entries.push_front(entry);
        self.trim(bound);
    }

    /// Applies a new bound.
    pub fn trim(&mut self, bound: u64) {
        self.entries.truncate(usize::try_from(bound).unwrap_or(usize::MAX));
    }

    /// The arguments as the log keeps them.
    #[must_use]
    pub fn cut(argv: &[&[u8]]) -> Vec<Vec<u8>> {
        let kept = if argv.len() > SLOW_ARGUMENTS { SLOW_ARGUMENTS - 1 } else { argv.len() };
        let mut cut: Vec<Vec<u8>> = argv[..kept].iter().map(|argument| cut_argument(argument)).collect();
        if argv.len() > kept {
            cut.push(format!("... ({} more arguments)", argv.len() - kept).into_bytes());
        }
        cut
    }
}

fn cut_argument(argument: &[u8]) -> Vec<u8> {
    if argument.len() <= SLOW_ARGUMENT_BYTES {
        return argument.to_vec();
    }
    let mut cut = argument[..SLOW_ARGUMENT_BYTES].to_vec();
    cut.extend_from_slice(format!("... ({} more bytes)", argument.len() - SLOW_ARGUMENT_BYTES).as_bytes());
    cut
}

/// How the commands of a batch are measured with few readings of the clock: one begins when the one before it ended, and up to
/// `SHARED` fast commands of one kind in a row share a reading, which is exact for their sum. Where the slow log looks for
/// anything below `SHARED_ABOVE_US`, each is measured by itself.
#[derive(Debug, Default)]
pub(crate) struct Lap {
    /// The clock as the last measured command ended; `None`: a batch begins.
    pub since: Option<Duration>,
    /// Commands since, whose time is not accounted for.
    pub unmeasured: u32,
    /// The command behind the running one is of the same kind.
    pub goes_on: bool,
}

/// Fast commands that share a reading of the clock: their sum is far below whatever a slow log looks for.
const SHARED: u32 = 8;
/// Source: a fast command takes microseconds; Redis's default for slowlog-log-slower-than is 10 ms.
const SHARED_ABOVE_US: i64 = 1000;

impl Lap {
    /// Nothing is running: the next command begins when it begins.
    pub fn restart(&mut self) {
        *self = Lap::default();
    }

    /// Whether the running command, a fast one, leaves the clock to the next. `slower_than`: slowlog-log-slower-than, in
    /// microseconds; below 0 it is off.
    #[inline]
    pub fn shares(&mut self, slower_than: i64) -> bool {
        let shares = self.goes_on && self.unmeasured + 1 < SHARED && !(0..SHARED_ABOVE_US).contains(&slower_than);
        self.unmeasured = if shares { self.unmeasured + 1 } else { 0 };
        shares
    }
}

/// Error codes counted apart; beyond this many, new ones are no longer told apart. Source: Redis 7.2's bound of 128.
const ERROR_CODES: usize = 128;

/// Everything counted since the start, or since CONFIG RESETSTAT.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused because of maxclients.
    pub rejected_connections: u64,
    /// Commands run.
    pub commands: u64,
    /// Bytes received from clients.
    pub net_input: u64,
    /// Bytes sent to clients.
    pub net_output: u64,
    /// Bytes received from our master.
    pub repl_input: u64,
    /// Bytes sent to replicas.
    pub repl_output: u64,
    /// Keys that expired.
    pub expired_keys: u64,
    /// Keys evicted.
    pub evicted_keys: u64,
    /// Lookups that found their key.
    pub keyspace_hits: u64,
    /// Lookups that did not.
    pub keyspace_misses: u64,
    /// Error replies.
    pub errors: u64,
    /// Error replies by code.
    pub error_codes: BTreeMap<String, u64>,
    /// Wrong passwords.
    pub auth_failures: u64,
    /// Clients closed because of their query buffer.
    pub query_buffer_closed: u64,
    /// Clients closed because of their output buffer.
    pub output_buffer_closed: u64,
    /// Full resynchronisations given.
    pub sync_full: u64,
    /// Partial resynchronisations accepted.
    pub sync_partial_ok: u64,
    /// Partial resynchronisations refused.
    pub sync_partial_err: u64,
    /// Reads and writes of sockets.
    pub reads: u64,
    /// Writes of sockets.
    pub writes: u64,
    /// By the row's number in the table.
    pub by_command: Vec<CommandStats>,
    /// Greatest used memory seen.
    pub peak_memory: usize,
    /// Turns of the loop.
    pub turns: u64,
    /// Rates, sampled each second.
    pub rates: Rates,
}

/// Commands and bytes a second, over the last sampled second or so.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rates {
    sampled_at: Duration,
    commands: u64,
    net_input: u64,
    net_output: u64,
    /// Commands a second.
    pub commands_per_second: u64,
    /// Bytes received a second.
    pub input_per_second: u64,
    /// Bytes sent a second.
    pub output_per_second: u64,
}

impl Stats {
    /// Counts an error reply: `text` begins with its code.
    pub fn error(&mut self, text: &str) {
        self.errors += 1;
        let code = text.split(' ').next().unwrap_or_default();
        if let Some(count) = self.error_codes.get_mut(code) {
            *count += 1;
        } else if self.error_codes.len() < ERROR_CODES {
            self.error_codes.insert(code.to_owned(), 1);
        }
    }

    /// Takes a sample for the rates, if the last is a second old.
    pub fn sample(&mut self, now: Duration) {
        let past = now.saturating_sub(self.rates.sampled_at);
        if past < Duration::from_secs(1) {
            return;
        }
        let rate = |new: u64, old: u64| (new.saturating_sub(old) as f64 / past.as_secs_f64()) as u64;
        self.rates = Rates {
            sampled_at: now,
            commands: self.commands,
            net_input: self.net_input,
            net_output: self.net_output,
            commands_per_second: rate(self.commands, self.rates.commands),
            input_per_second: rate(self.net_input, self.rates.net_input),
            output_per_second: rate(self.net_output, self.rates.net_output),
        };
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&mut self) {
        let rows = self.by_command.len();
        *self = Stats { by_command: vec![CommandStats::default(); rows], ..Stats::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_commands_share_a_reading_but_not_where_each_matters() {
        let shared = |goes_on, slower_than| {
            let mut lap = Lap { goes_on, ..Lap::default() };
            (0..16).filter(|_| lap.shares(slower_than)).count()
        };
        assert_eq!(shared(true, -1), 14);
        assert_eq!(shared(true, 10_000), 14);
        assert_eq!([shared(true, 999), shared(true, 0)], [0, 0]);
        assert_eq!(shared(false, -1), 0);
    }

    #[test]
    fn the_slow_log_keeps_the_newest_within_its_bounds() {
        let mut log = SlowLog::default();
        for _ in 0..5 {
            let entry = SlowEntry {
                id: 0,
                at: UnixMs(0),
                took: Duration::ZERO,
                argv: SlowLog::cut(&vec![&[b'a'; 200][..]; 40]),
                peer: String::new(),
                name: Vec::new(),
            };
            log.push(entry, 3);
        }
        assert_eq!(log.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [4, 3, 2]);
        let argv = &log.entries[0].argv;
        assert_eq!(argv.len(), 32);
        assert!(argv[0].ends_with(b"... (72 more bytes)"));
        assert_eq!(argv[31], b"... (9 more arguments)");
    }
}
