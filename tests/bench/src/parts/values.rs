//! GET and SET of large values, whose bytes cost more than all that is done about them.

use crate::batch::Space;
use crate::bench::{Bench, Cell, Stage};
use crate::error::BenchError;
use crate::figure::Figure;
use crate::parts::strings;

/// Bytes of a value, how many keys hold one, and a window's commands: the dataset is larger than any cache.
const SIZES: [(usize, u64, u64); 2] = [(16 * 1024, 16_000, 16_000), (1024 * 1024, 250, 600)];
/// Name, pattern and pipeline. One SET of a megabyte fills a pipeline.
const CELLS: [(&str, &str, usize); 3] =
    [("GET", "GET key:%k", 1), ("GET", "GET key:%k", 16), ("SET", "SET key:%k %v", 1)];

/// Values of 16 KiB and of 1 MiB.
pub fn values(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for (value, keys, commands) in SIZES {
        let space = Space::keys(bench.size(keys), value);
        let mut stage = Stage::start(bench, &format!("values-{value}"))?;
        stage.fill("SET key:%s %v", space, space.keys)?;
        let cells = CELLS.map(|(name, pattern, pipeline)| {
            let commands = bench.size(commands);
            Cell { commands, ..strings::cell(bench, "values", name, pattern, pipeline, space) }
        });
        figures.extend(stage.measure(&cells)?);
    }
    Ok(figures)
}
