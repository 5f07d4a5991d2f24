//! What the engine may ask of the process around it: functions handed in by the shell, so that this room stays pure and a test
//! or a simulation can answer instead.

use std::time::Duration;

use quorate_config::ServerConfig;

/// The shell's answers.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Monotonic time since the process started: measures commands (SLOWLOG, commandstats).
    pub clock: fn() -> Duration,
    /// Stands still for so long: DEBUG SLEEP.
    pub sleep: fn(Duration),
    /// Bytes that the allocator has handed out: INFO's used_memory and maxmemory's measure.
    pub used_memory: fn() -> usize,
    /// What INFO tells of the process and its machine; asked only when somebody asks.
    pub facts: fn() -> HostFacts,
    /// Writes the configuration into the file at this path, whole or not at all (CONFIG REWRITE, which answers inside MULTI, too, and so
    /// cannot wait for an effect). An error is the operating system's text.
    pub rewrite_config: fn(&str, &ServerConfig) -> Result<(), String>,
}

impl Host {
    /// A host where no time passes and no memory is used: for tests and loaders.
    #[must_use]
    pub fn still() -> Host {
        Host {
            clock: || Duration::ZERO,
            sleep: |_| (),
            used_memory: || 0,
            facts: HostFacts::default,
            rewrite_config: |_, _| Ok(()),
        }
    }
}

/// What INFO tells of the process and its machine.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// Kernel name, release and machine, as `uname -srm` prints them.
    pub os: String,
    /// The process.
    pub process_id: u32,
    /// The program's path.
    pub executable: String,
    /// Resident memory in bytes.
    pub rss: usize,
    /// Greatest resident memory so far in bytes.
    pub rss_peak: usize,
    /// The machine's memory in bytes.
    pub total_memory: usize,
    /// CPU time in user mode.
    pub cpu_user: Duration,
    /// CPU time in the kernel.
    pub cpu_system: Duration,
    /// CPU time of the thread that runs the engine, in user mode.
    pub cpu_user_main: Duration,
    /// CPU time of the thread that runs the engine, in the kernel.
    pub cpu_system_main: Duration,
    /// Greatest number of open files.
    pub max_files: u64,
}
