//! The short form: instructions per operation, counted by callgrind, against figures that are checked in.
//!
//! `quorate-instructions` feeds an engine of its own pipelines made before, and does so in one function; callgrind counts within that function
//! alone, so that filling and warming up do not count. What it counts is the engine's turn: parsing, running, replying, without sockets. Other work on
//! the machine does not change the sums, so that 5 % more is a slower engine and no noise (two runs differ by less than 0.1 %).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::batch::Space;
use crate::error::{BenchError, Tried};

/// More instructions than checked in by this share fail.
const TOLERATED: f64 = 0.05;
/// The function that callgrind counts in, as a pattern for its name.
const WINDOW: &str = "*counted_window*";

/// Commands counted of each workload at each pipeline.
pub const COMMANDS: usize = 8_000;
/// Sessions with a pipeline each in one turn.
pub const SESSIONS: usize = 10;
/// Pipelines.
pub const PIPELINES: [usize; 2] = [1, 16];
/// What keys and members are drawn from.
pub const SPACE: Space = Space { keys: 1_000, members: 32, each: 16, value: 24 };

const STRING: &str = "SET key:%s %v";
const NUMBER: &str = "SET n:%s 100";
const LIST: &str = "RPUSH l:%q v%r";
const HASH: &str = "HSET h:%q f:%r %v";
const SET: &str = "SADD s:%q m:%r";
const SORTED_SET: &str = "ZADD z:%q %j m:%r";

/// A workload: its name, what a fresh engine is filled with (`SPACE.each` elements a key), and the command.
pub const WORKLOADS: &[(&str, &str, &str)] = &[
    ("get", STRING, "GET key:%k"),
    ("set", STRING, "SET key:%k %v"),
    ("incr", NUMBER, "INCR n:%k"),
    ("mset-3", STRING, "MSET key:%k %v key:%k %v key:%k %v"),
    ("set-new", NUMBER, "SET new:%n %v"),
    ("expire", STRING, "EXPIRE key:%k 1000"),
    ("lpush", LIST, "LPUSH l:%k %v"),
    ("lpop", LIST, "LPOP l:%k"),
    ("lrange-10", LIST, "LRANGE l:%k 0 9"),
    ("hset", HASH, "HSET h:%k f:%m %v"),
    ("hget", HASH, "HGET h:%k f:%m"),
    ("hgetall", HASH, "HGETALL h:%k"),
    ("sadd", SET, "SADD s:%k m:%m"),
    ("sismember", SET, "SISMEMBER s:%k m:%m"),
    ("smembers", SET, "SMEMBERS s:%k"),
    ("zadd", SORTED_SET, "ZADD z:%k %i m:%m"),
    ("zscore", SORTED_SET, "ZSCORE z:%k m:%m"),
    ("zrange-10", SORTED_SET, "ZRANGE z:%k 0 9"),
];

/// Instructions per operation, by workload and pipeline, in the order of the table.
pub type Counts = Vec<((String, usize), f64)>;

/// Counts with the driver at this path, two windows at a time. Needs valgrind.
pub fn count(driver: &Path) -> Result<Counts, BenchError> {
    let folder = crate::bench::run_folder()?;
    let windows = WORKLOADS.iter().flat_map(|(name, _, _)| PIPELINES.map(|pipeline| ((*name).to_owned(), pipeline)));
    let windows: Vec<(String, usize)> = windows.collect();
    let mut counts = Vec::new();
    for pair in windows.chunks(2) {
        let counted = std::thread::scope(|scope| {
            let window = |(name, pipeline): &(String, usize)| window(driver, folder.path(), name, *pipeline);
            let threads: Vec<_> = pair.iter().map(|key| scope.spawn(move || window(key))).collect();
            let joined = threads.into_iter().map(|thread| thread.join().expect("a window's thread does not panic"));
            joined.collect::<Result<Vec<f64>, BenchError>>()
        })?;
        counts.extend(pair.iter().cloned().zip(counted));
    }
    Ok(counts)
}

/// One workload at one pipeline, in a process of its own.
fn window(driver: &Path, folder: &Path, name: &str, pipeline: usize) -> Result<f64, BenchError> {
    let sums = folder.join(format!("{name}-{pipeline}"));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={WINDOW}"))
        .arg(format!("--callgrind-out-file={}", sums.display()))
        .arg(driver)
        .args([name, &pipeline.to_string()])
        // Nothing of the caller's surroundings may steer the allocator or the C library; valgrind finds its tools by itself.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .status()
        .tried(|| "valgrind (Debian: apt-get install valgrind)".into())?;
    if !status.success() {
        return Err(BenchError::Other(format!("valgrind {} {name} {pipeline} ended with {status}", driver.display())));
    }
    let text = std::fs::read_to_string(&sums).tried(|| sums.display().to_string())?;
    match total(&text) {
        Some(total) if total > COMMANDS as u64 => Ok(total as f64 / COMMANDS as f64),
        _ => Err(BenchError::Other(format!("callgrind did not count {name} at pipeline {pipeline}"))),
    }
}

/// The sum in callgrind's output. Source: Valgrind's manual, "Callgrind Format Specification".
fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok())
}

/// The checked-in form: a line each, `workload pipeline instructions`.
#[must_use]
pub fn text(counts: &Counts) -> String {
    let lines = counts.iter().map(|((name, pipeline), count)| format!("{name:<12} {pipeline:>3} {count:>9.1}\n"));
    format!(
        "# Instructions per operation: workload, pipeline, instructions. `cargo xtask bench --instructions --bless` rewrites it.\n{}",
        lines.collect::<String>()
    )
}

/// Reads the checked-in form.
pub fn parse(text: &str) -> Result<Counts, BenchError> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let rows = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, pipeline, count] = words.as_slice() else { return Err(unread(line)) };
        let pipeline = pipeline.parse().map_err(|_| unread(line))?;
        Ok((((*name).to_owned(), pipeline), count.parse().map_err(|_| unread(line))?))
    });
    rows.collect()
}

fn unread(line: &str) -> BenchError {
    BenchError::Other(format!("instructions.txt: '{line}' is no workload, pipeline and count"))
}

/// What differs from the checked-in figures: lines that fail, and lines that are only worth knowing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Worse than tolerated, or not comparable.
    pub faults: Vec<String>,
    /// Better by as much: to be blessed, or the gain can be lost again unseen.
    pub gains: Vec<String>,
}

/// Holds new figures against old ones.
#[must_use]
pub fn judge(old: &Counts, new: &Counts) -> Verdict {
    let mut verdict = Verdict::default();
    let known: BTreeMap<&(String, usize), f64> = old.iter().map(|(name, count)| (name, *count)).collect();
    for (key, count) in new {
        let (name, pipeline) = key;
        let Some(before) = known.get(key) else {
            verdict.faults.push(format!("{name} at pipeline {pipeline} has no checked-in figure"));
            continue;
        };
        let change = count / before - 1.0;
        let line =
            format!("{name} at pipeline {pipeline}: {before:.1} -> {count:.1} instructions ({:+.1} %)", change * 100.0);
        if change > TOLERATED {
            verdict.faults.push(line);
        } else if change < -TOLERATED {
            verdict.gains.push(line);
        }
    }
    let gone = old.iter().filter(|(key, _)| new.iter().all(|(other, _)| other != key));
    verdict
        .faults
        .extend(gone.map(|((name, pipeline), _)| format!("{name} at pipeline {pipeline} is not counted any more")));
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on one workload's change.
    #[track_caller]
    fn check(old: f64, new: f64, faults: usize, gains: usize) {
        let counts = |count| vec![(("get".to_owned(), 16), count)];
        let verdict = judge(&counts(old), &counts(new));
        assert_eq!((verdict.faults.len(), verdict.gains.len()), (faults, gains), "{verdict:?}");
    }

    #[test]
    fn more_than_five_per_cent_worse_fails() {
        check(1000.0, 1049.0, 0, 0);
        check(1000.0, 1051.0, 1, 0);
        check(1000.0, 949.0, 0, 1);
    }

    #[test]
    fn workloads_that_come_and_go_are_named() {
        let (old, new) = (vec![(("get".to_owned(), 1), 5.0)], vec![(("set".to_owned(), 1), 5.0)]);
        assert_eq!(judge(&old, &new).faults.len(), 2);
    }

    #[test]
    fn the_checked_in_form_is_read_back() {
        let counts = vec![(("get".to_owned(), 1), 1234.5), (("lrange-10".to_owned(), 16), 99.0)];
        assert_eq!(parse(&text(&counts)).unwrap(), counts);
        assert!(parse("get 1\n").is_err());
    }

    #[test]
    fn the_sum_is_found_in_callgrinds_output() {
        assert_eq!(total("part: 1\nevents: Ir\nsummary: 123\n\nfn=x\n0 1\n\ntotals: 123\n"), Some(123));
        assert_eq!(total("part: 1\n"), None);
    }
}
