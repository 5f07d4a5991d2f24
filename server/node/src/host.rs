//! What the engine may ask of this process and machine: clocks, memory, INFO's facts.

use std::{
    fs,
    path::PathBuf,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use quorate_collections::counting;
use quorate_engine::{Host, HostFacts, Now};
use quorate_keyspace::UnixMs;
use rustix::time::{ClockId, clock_gettime};

static CONFIG_FILE: OnceLock<PathBuf> = OnceLock::new();

/// Remembers the configuration file for INFO; the first call counts.
pub fn set_config_file(path: Option<PathBuf>) {
    if let Some(path) = path {
        let _ = CONFIG_FILE.set(fs::canonicalize(&path).unwrap_or(path));
    }
}

/// The engine's host: this process.
#[must_use]
pub fn host() -> Host {
    // The first reading fixes the start of monotonic time.
    let _ = mono();
    Host { clock: mono, used_memory: counting::used_memory, facts }
}

/// Time on a clock that runs during suspend (leases are counted on it), since this process first asked.
/// Source: clock_gettime(2), CLOCK_BOOTTIME.
pub fn mono() -> Duration {
    static START: OnceLock<Duration> = OnceLock::new();
    let now = spec(ClockId::Boottime);
    now.saturating_sub(*START.get_or_init(|| now))
}

fn spec(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The time of a turn. A wall clock before 1970 reads as 1970.
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall: UnixMs(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)), mono: mono() }
}

/// A value in kilobytes of a `/proc` file with lines `Name:  123 kB`; 0 where there is none.
fn kilobytes(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.and_then(|l| l.trim_start_matches(':').split_whitespace().next());
    digits.and_then(|d| d.parse::<usize>().ok()).unwrap_or(0) * 1024
}

fn cpu(usage: &libc_usage::Usage) -> (Duration, Duration) {
    (usage.user, usage.system)
}

fn facts() -> HostFacts {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let (cpu_user, cpu_system) = cpu(&libc_usage::of("/proc/self/stat"));
    let (cpu_user_main, cpu_system_main) = cpu(&libc_usage::of("/proc/thread-self/stat"));
    let executable = std::env::current_exe().map(|p| p.display().to_string()).unwrap_or_default();
    HostFacts {
        os: format!("{} {} {}", text(name.sysname()), text(name.release()), text(name.machine())),
        process_id: std::process::id(),
        executable,
        config_file: CONFIG_FILE.get().map(|p| p.display().to_string()).unwrap_or_default(),
        rss: kilobytes(&status, "VmRSS"),
        rss_peak: kilobytes(&status, "VmHWM"),
        total_memory: kilobytes(&memory, "MemTotal"),
        cpu_user,
        cpu_system,
        cpu_user_main,
        cpu_system_main,
        max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX),
    }
}

/// CPU time out of `/proc/…/stat`. Source: proc_pid_stat(5), fields 14 and 15, in ticks of 1/100 s.
mod libc_usage {
    use std::{fs, time::Duration};

    #[derive(Debug, Default, PartialEq, Eq)]
    pub(super) struct Usage {
        pub user: Duration,
        pub system: Duration,
    }

    pub(super) fn of(path: &str) -> Usage {
        parse(&fs::read_to_string(path).unwrap_or_default())
    }

    pub(super) fn parse(stat: &str) -> Usage {
        // The second field is the program's name in parentheses and may hold spaces: count from behind it.
        let Some((_, rest)) = stat.rsplit_once(')') else { return Usage::default() };
        let ticks = |field: usize| rest.split_whitespace().nth(field).and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
        Usage { user: Duration::from_millis(ticks(11) * 10), system: Duration::from_millis(ticks(12) * 10) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_stat_line_is_read_behind_the_name() {
            let usage = parse("7 (a b) c) R 1 7 7 0 -1 4194304 95 0 0 0 12 34 0 0 20 0 1 0 1 1 1");
            assert_eq!(usage, Usage { user: Duration::from_millis(120), system: Duration::from_millis(340) });
            assert_eq!(parse("nonsense"), Usage::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_of_this_process() {
        let facts = facts();
        assert_eq!(facts.process_id, std::process::id());
        assert!(facts.rss > 100_000 && facts.rss_peak >= facts.rss && facts.total_memory > facts.rss, "{facts:?}");
        assert!(facts.os.starts_with("Linux "), "{}", facts.os);
    }

    #[test]
    fn time_goes_forward() {
        let (a, b) = (now(), now());
        assert!(a.mono <= b.mono && a.wall.0 > 1_600_000_000_000);
    }
}
