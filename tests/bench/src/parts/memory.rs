//! Resident memory per key and per element: what a dataset adds to the process, divided by its size. Each dataset has a fresh server.

use crate::batch::Space;
use crate::bench::{Bench, Stage};
use crate::error::BenchError;
use crate::figure::{Figure, Sample};
use crate::process;

/// A dataset.
struct Row {
    name: &'static str,
    pattern: &'static str,
    space: Space,
    /// What is counted: keys, or elements of collections.
    per: Per,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Per {
    Key,
    Element,
}

const fn plain(value: usize) -> Space {
    Space { keys: 2_000_000, members: 1, each: 1, value }
}

/// Collections small enough for every server's compact form.
const SMALL: Space = Space { keys: 100_000, members: 1, each: 16, value: 8 };
/// Collections beyond it: so many that what a process takes for each size of allocation, some huge pages, is little beside them.
const LARGE: Space = Space { keys: 40, members: 1, each: 50_000, value: 8 };

const ROWS: &[Row] = &[
    Row { name: "key, 3-byte value", pattern: "SET key:%s %v", space: plain(3), per: Per::Key },
    Row { name: "key, 100-byte value", pattern: "SET key:%s %v", space: plain(100), per: Per::Key },
    Row { name: "hash of 16", pattern: "HSET h:%q f:%r %v", space: SMALL, per: Per::Key },
    Row { name: "list of 16", pattern: "RPUSH l:%q v%r", space: SMALL, per: Per::Key },
    Row { name: "set of 16 whole numbers", pattern: "SADD s:%q %j", space: SMALL, per: Per::Key },
    Row { name: "set of 16 texts", pattern: "SADD s:%q m:%r", space: SMALL, per: Per::Key },
    Row { name: "sorted set of 16", pattern: "ZADD z:%q %j m:%r", space: SMALL, per: Per::Key },
    Row { name: "field of a large hash", pattern: "HSET h:%q f:%r %v", space: LARGE, per: Per::Element },
    Row { name: "element of a large list", pattern: "RPUSH l:%q v%r", space: LARGE, per: Per::Element },
    Row { name: "member of a large set", pattern: "SADD s:%q m:%r", space: LARGE, per: Per::Element },
    Row { name: "number of a large set", pattern: "SADD s:%q %j", space: LARGE, per: Per::Element },
    Row { name: "member of a large sorted set", pattern: "ZADD z:%q %j m:%r", space: LARGE, per: Per::Element },
];

/// Once: what memory a dataset takes does not depend on the hour.
pub fn memory(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    ROWS.iter().map(|row| measure(bench, row)).collect()
}

fn measure(bench: &Bench, row: &Row) -> Result<Figure, BenchError> {
    let keys = if row.per == Per::Key { bench.size(row.space.keys) } else { row.space.keys };
    let elements = keys * row.space.each;
    let space = Space { keys: keys.max(elements), ..row.space };
    let settings = [("keys", keys), ("elements", row.space.each), ("value", row.space.value as u64)];
    let mut figure = Figure::new("memory", row.name, "bytes", &settings);
    let mut stage = Stage::start(bench, "memory")?;
    for stand in &mut stage.servers {
        // Connections and their buffers are there before and after.
        stand.fill("PING", space, 10_000)?;
        let pid = stand.server.pid();
        let before = process::resident(pid)?;
        stand.fill(row.pattern, space, elements)?;
        let grown = process::resident(pid)?.saturating_sub(before);
        let held = stand.server.admin()?.info("memory", "used_memory")?.parse().unwrap_or(0.0);
        let count = if row.per == Per::Key { keys } else { elements };
        figure.note(0, stand.server.kind, Sample::of(grown as f64 / count as f64).with("used_memory", held));
    }
    bench.say(&crate::bench::line(0, &figure));
    Ok(figure)
}
