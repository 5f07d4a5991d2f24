//! The engine's questions about clock, memory and machine.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_config::ServerConfig;
use quorate_engine::{Host, HostFacts, Now};
use quorate_keyspace::UnixMs;
use quorate_replication::tail::BootId;

static STARTED: LazyLock<Duration> = LazyLock::new(since_boot);

/// Time since the process started, by a clock that also runs while the machine sleeps: a lease must not outlive a suspend (I8).
pub(crate) fn clock() -> Duration {
    since_boot().saturating_sub(*STARTED)
}

fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Which start of the machine this is; `None` where the kernel does not say.
pub(crate) fn boot_id() -> Option<BootId> {
    BootId::parse(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// The time of a turn.
pub(crate) fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall: UnixMs(wall.as_millis() as u64), mono: clock() }
}

/// The answers of this process.
pub(crate) fn host() -> Host {
    Host { clock, sleep: std::thread::sleep, used_memory: crate::used_memory, facts, rewrite_config }
}

/// CONFIG REWRITE: the file is replaced whole or not at all (temporary file, fsync, rename).
fn rewrite_config(path: &str, config: &ServerConfig) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = config.rewrite(path, &text)?;
    let replace = || -> io::Result<()> {
        let path = Path::new(path);
        let beside = path.with_extension(format!("tmp-{}", std::process::id()));
        let mut file = File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    replace().map_err(|error| error.to_string())
}

fn facts() -> HostFacts {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let (whole, own) = (cpu("/proc/self/stat"), cpu("/proc/thread-self/stat"));
    HostFacts {
        os: format!("{} {} {}", text(uname.sysname()), text(uname.release()), text(uname.machine())),
        process_id: std::process::id(),
        executable: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        rss: status_kb("VmRSS:") * 1024,
        rss_peak: status_kb("VmHWM:") * 1024,
        total_memory: kb_of("/proc/meminfo", "MemTotal:") * 1024,
        cpu_user: whole.0,
        cpu_system: whole.1,
        cpu_user_main: own.0,
        cpu_system_main: own.1,
        max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX),
    }
}

fn status_kb(field: &str) -> usize {
    kb_of("/proc/self/status", field)
}

/// A field in kB of one of /proc's tables; 0 where there is none.
fn kb_of(path: &str, field: &str) -> usize {
    let table = std::fs::read_to_string(path).unwrap_or_default();
    table
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

/// User and kernel time of a process or thread, from fields 14 and 15 of its stat (man proc), in ticks of 10 ms (USER_HZ is
/// 100 on every architecture that we run on).
fn cpu(path: &str) -> (Duration, Duration) {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    // The name in parentheses may hold spaces: count from behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let time = |ticks: u64| Duration::from_millis(ticks * 10);
    (time(ticks(11)), time(ticks(12)))
}

/// A generator seeded by the operating system through the standard library's hasher keys.
pub(crate) fn rng() -> fastrand::Rng {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.write_u128(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
    fastrand::Rng::with_seed(hasher.finish())
}
