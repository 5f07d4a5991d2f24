//! What the kernel tells of a process: CPU time, memory, children; and which core a thread runs on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::{BenchError, Tried};

/// The CPU time of all its threads so far, to the nanosecond. A thread that has ended takes its share with it.
pub fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    let tasks = format!("/proc/{pid}/task");
    let mut total = 0;
    for task in fs::read_dir(&tasks).tried(|| tasks.clone())? {
        let path = task.tried(|| tasks.clone())?.path().join("schedstat");
        // A thread may end between the listing and the look.
        total += fs::read_to_string(path).map_or(0, |line| first_number(&line));
    }
    Ok(Duration::from_nanos(total))
}

fn first_number(line: &str) -> u64 {
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Resident bytes of a process, as /proc/PID/status says.
pub fn resident(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).tried(|| path)?;
    Ok(kilobytes(&status, "VmRSS:"))
}

/// Resident bytes of a process and its children, where what they share counts once (the sum of their PSS).
pub fn proportional(pid: u32) -> u64 {
    let own = |pid: u32| {
        // A child may be gone by now: then it holds nothing.
        fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).map_or(0, |table| kilobytes(&table, "Pss:"))
    };
    own(pid) + children(pid).into_iter().map(own).sum::<u64>()
}

/// The children that a process has now.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn kilobytes(table: &str, field: &str) -> u64 {
    table.lines().find_map(|line| line.strip_prefix(field)).map_or(0, first_number) * 1024
}

/// The cores that this thread may use.
pub fn cores() -> Result<Vec<usize>, BenchError> {
    let set = sched_getaffinity(None::<Pid>).tried(|| "sched_getaffinity".into())?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

/// Every core of the machine.
#[must_use]
pub fn all_cores() -> Vec<usize> {
    let table = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    (0..table.lines().filter(|line| line.starts_with("processor")).count().max(1)).collect()
}

/// Binds this thread, and what it starts from now on, to these cores.
pub fn bind(cores: &[usize]) -> Result<(), BenchError> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None::<Pid>, &set).tried(|| format!("sched_setaffinity to {cores:?}"))
}

/// Allows as many open files as the hard limit does: ten thousand connections need them, here and in the servers, which inherit it.
pub fn raise_file_limit() -> Result<(), BenchError> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .tried(|| "setrlimit of open files".into())
}

/// The machine, as it calls itself.
#[must_use]
pub fn machine() -> String {
    let table = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpus = table("/proc/cpuinfo");
    let named = |field: &str| {
        let line = cpus.lines().find(|line| line.starts_with(field));
        line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim()).to_owned()
    };
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = kilobytes(&table("/proc/meminfo"), "MemTotal:") as f64 / f64::from(1 << 30);
    let kernel = table("/proc/sys/kernel/osrelease");
    let model = format!("{} family {} model {}", named("model name"), named("cpu family"), named("model\t"));
    format!("{count} cores {model}, {memory:.0} GiB, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_figures_are_there() {
        let own = std::process::id();
        let before = cpu_time(own).unwrap();
        let mut sum = 0u64;
        while cpu_time(own).unwrap() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
        }
        assert!(resident(own).unwrap() > 100_000);
        assert!(proportional(own) > 100_000);
        assert!(machine().contains("Linux"));
    }

    #[test]
    fn children_are_seen() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_bound_thread_stays_where_it_was_put() {
        std::thread::spawn(|| {
            let all = cores().unwrap();
            bind(&all[..1]).unwrap();
            assert_eq!(cores().unwrap(), &all[..1]);
        })
        .join()
        .unwrap();
    }
}
