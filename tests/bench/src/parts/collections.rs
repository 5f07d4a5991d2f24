//! The staples of lists, hashes, sets and sorted sets: over many small collections, and over a few large ones.
//!
//! Commands that take elements away stand behind ones that put as many back, or have a `before` that does.

use crate::batch::Space;
use crate::bench::{Bench, Cell, Stage};
use crate::error::BenchError;
use crate::figure::Figure;
use crate::parts::strings;

const CONNECTIONS: usize = 50;
const PIPELINES: [usize; 2] = [1, 16];

/// Small collections: how many, of how many elements each. Members are drawn from twice as many, so that half of them are there.
const SMALL: Space = Space { keys: 100_000, members: 32, each: 16, value: 8 };
/// Lists long enough for a range of a hundred.
const RANGED: Space = Space { keys: 5_000, members: 32, each: 128, value: 8 };
/// Large collections.
const LARGE: Space = Space { keys: 10, members: 200_000, each: 100_000, value: 8 };

/// A workload.
struct Row {
    name: &'static str,
    pattern: &'static str,
    /// Run as often before each window: gives back what it takes.
    before: Option<&'static str>,
    /// How many times longer than a plain command it takes, roughly: its windows have so many times fewer.
    weight: u64,
}

const fn row(name: &'static str, pattern: &'static str) -> Row {
    Row { name, pattern, before: None, weight: 1 }
}

/// What a small collection is filled with, and what a large one is.
const SMALL_FILLS: &[&str] =
    &["RPUSH l:%q v%r", "HSET h:%q f:%r %v", "SADD s:%q m:%r", "SADD i:%q %j", "ZADD z:%q %j m:%r"];

const SMALL_ROWS: &[Row] = &[
    row("LPUSH", "LPUSH l:%k %v"),
    row("RPUSH", "RPUSH l:%k %v"),
    row("LPOP", "LPOP l:%k"),
    row("RPOP", "RPOP l:%k"),
    row("LINDEX", "LINDEX l:%k 8"),
    row("HSET", "HSET h:%k f:%m %v"),
    row("HGET", "HGET h:%k f:%m"),
    row("HMGET of 4", "HMGET h:%k f:%m f:%m f:%m f:%m"),
    Row { weight: 2, ..row("HGETALL of 16 to 32", "HGETALL h:%k") },
    row("HINCRBY", "HINCRBY h:%k n 7"),
    row("SADD", "SADD s:%k m:%m"),
    row("SISMEMBER", "SISMEMBER s:%k m:%m"),
    row("SREM", "SREM s:%k m:%m"),
    row("SADD of whole numbers", "SADD i:%k %i"),
    row("SREM of whole numbers", "SREM i:%k %i"),
    Row { weight: 2, ..row("SMEMBERS of about 16", "SMEMBERS s:%k") },
    Row { before: Some("SADD s:%k m:%m"), ..row("SPOP", "SPOP s:%k") },
    row("ZADD", "ZADD z:%k %i m:%m"),
    row("ZSCORE", "ZSCORE z:%k m:%m"),
    row("ZRANGE of 10", "ZRANGE z:%k 0 9"),
    row("ZRANGEBYSCORE of up to 10", "ZRANGEBYSCORE z:%k %i +inf LIMIT 0 10"),
    row("ZINCRBY", "ZINCRBY z:%k 1 m:%m"),
    row("ZREM", "ZREM z:%k m:%m"),
    Row { before: Some("ZADD z:%k %i m:%m"), ..row("ZPOPMIN", "ZPOPMIN z:%k") },
];

const LARGE_ROWS: &[Row] = &[
    row("LPUSH, large", "LPUSH L:%k %v"),
    row("RPOP, large", "RPOP L:%k"),
    Row { weight: 20, ..row("LINDEX, middle of large", "LINDEX L:%k 50000") },
    row("HSET, large", "HSET H:%k f:%m %v"),
    row("HGET, large", "HGET H:%k f:%m"),
    row("SADD, large", "SADD S:%k m:%m"),
    row("SISMEMBER, large", "SISMEMBER S:%k m:%m"),
    row("SREM, large", "SREM S:%k m:%m"),
    row("ZADD, large", "ZADD Z:%k %i m:%m"),
    row("ZSCORE, large", "ZSCORE Z:%k m:%m"),
    row("ZRANK, large", "ZRANK Z:%k m:%m"),
    row("ZRANGEBYSCORE of 10, large", "ZRANGEBYSCORE Z:%k %i +inf LIMIT 0 10"),
    row("ZREM, large", "ZREM Z:%k m:%m"),
];

const LARGE_FILLS: &[&str] = &["RPUSH L:%q v%r", "HSET H:%q f:%r %v", "SADD S:%q m:%r", "ZADD Z:%q %j m:%r"];

/// Small collections.
pub fn collections(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let small = sized(bench, SMALL);
    let ranged = sized(bench, RANGED);
    let mut stage = Stage::start(bench, "collections")?;
    for pattern in SMALL_FILLS {
        stage.fill(pattern, small, small.keys * small.each)?;
    }
    stage.fill("RPUSH r:%q v%r", ranged, ranged.keys * ranged.each)?;
    let mut cells = cells(bench, "collections", SMALL_ROWS, small);
    let range = Row { weight: 4, ..row("LRANGE of 100", "LRANGE r:%k 0 99") };
    cells.extend(PIPELINES.map(|pipeline| cell(bench, "collections", &range, pipeline, ranged)));
    stage.measure(&cells)
}

/// Large collections.
pub fn large(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let mut stage = Stage::start(bench, "large")?;
    for pattern in LARGE_FILLS {
        stage.fill(pattern, LARGE, LARGE.keys * LARGE.each)?;
    }
    stage.measure(&cells(bench, "large", LARGE_ROWS, LARGE))
}

/// With fewer keys for a quick run; the collections stay as large as they are.
fn sized(bench: &Bench, space: Space) -> Space {
    Space { keys: bench.size(space.keys), ..space }
}

fn cells(bench: &Bench, part: &'static str, rows: &[Row], space: Space) -> Vec<Cell> {
    let each = |pipeline| rows.iter().map(move |row| cell(bench, part, row, pipeline, space));
    PIPELINES.into_iter().flat_map(each).collect()
}

fn cell(bench: &Bench, part: &'static str, row: &Row, pipeline: usize, space: Space) -> Cell {
    Cell {
        part,
        name: row.name.to_owned(),
        patterns: vec![row.pattern.to_owned()],
        before: row.before.map(str::to_owned),
        pipeline,
        connections: CONNECTIONS,
        space,
        commands: (strings::window(bench, pipeline) / row.weight).max(1),
    }
}
