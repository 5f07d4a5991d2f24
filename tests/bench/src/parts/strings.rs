//! GET, SET, INCR and MSET over plain keys: `strings` over a million of them, `many` over ten million.

use crate::batch::Space;
use crate::bench::{Bench, Cell, Stage};
use crate::error::BenchError;
use crate::figure::Figure;

const CONNECTIONS: usize = 50;
const PIPELINES: [usize; 3] = [1, 16, 50];
/// Keys of one MSET.
const TOGETHER: usize = 10;

/// A million keys with values of three sizes.
pub fn strings(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    run(bench, "strings", 1_000_000, &[3, 100, 1024])
}

/// Ten million keys: 1024 bytes would take three servers beyond the memory of a small machine.
pub fn many(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    run(bench, "many", 10_000_000, &[3, 100])
}

/// How many commands a window has: long enough for a steady figure, short enough to interleave often.
#[must_use]
pub fn window(bench: &Bench, pipeline: usize) -> u64 {
    bench.size(match pipeline {
        1 => 40_000,
        2..=16 => 320_000,
        _ => 600_000,
    })
}

fn run(bench: &Bench, part: &'static str, keys: u64, values: &[usize]) -> Result<Vec<Figure>, BenchError> {
    let keys = bench.size(keys);
    let mut figures = Vec::new();
    for value in values {
        let space = Space::keys(keys, *value);
        let mut stage = Stage::start(bench, &format!("{part}-{value}"))?;
        stage.fill("SET key:%s %v", space, keys)?;
        figures.extend(stage.measure(&cells(bench, part, space))?);
        if *value == values[0] {
            // Last: the other cells' keyspace has no more keys than they say.
            stage.fill("SET key:%s 100", space, keys)?;
            let cells = PIPELINES.map(|pipeline| cell(bench, part, "INCR", "INCR key:%k", pipeline, space));
            figures.extend(stage.measure(&cells)?);
        }
    }
    Ok(figures)
}

fn cells(bench: &Bench, part: &'static str, space: Space) -> Vec<Cell> {
    let mset = format!("MSET{}", " key:%k %v".repeat(TOGETHER));
    let mut cells = Vec::new();
    for pipeline in PIPELINES {
        cells.push(cell(bench, part, "GET", "GET key:%k", pipeline, space));
        cells.push(cell(bench, part, "SET", "SET key:%k %v", pipeline, space));
        let mut together = cell(bench, part, &format!("MSET of {TOGETHER}"), &mset, pipeline, space);
        together.commands = (together.commands / TOGETHER as u64 * 2).max(1);
        cells.push(together);
    }
    cells
}

/// A window of one pattern, over this part's connections.
#[must_use]
pub fn cell(bench: &Bench, part: &'static str, name: &str, pattern: &str, pipeline: usize, space: Space) -> Cell {
    Cell {
        part,
        name: name.to_owned(),
        patterns: vec![pattern.to_owned()],
        before: None,
        pipeline,
        connections: CONNECTIONS,
        space,
        commands: window(bench, pipeline),
    }
}
