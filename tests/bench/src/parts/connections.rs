//! One connection, which leaves nothing to batch, and ten thousand, most of which have something to say at any time.

use crate::batch::Space;
use crate::bench::{Bench, Cell, Stage};
use crate::error::BenchError;
use crate::figure::Figure;
use crate::parts::strings;

const KEYS: u64 = 1_000_000;
const VALUE: usize = 3;
/// Connections, and the pipelines at which they are measured: ten thousand pipelines of 16 are more than any socket buffer
/// of a real client holds in flight at once.
const SHAPES: &[(usize, usize)] = &[(1, 1), (1, 16), (10_000, 1)];

/// GET and SET over one and over ten thousand connections.
pub fn connections(bench: &Bench) -> Result<Vec<Figure>, BenchError> {
    let space = Space::keys(bench.size(KEYS), VALUE);
    let mut stage = Stage::start(bench, "connections")?;
    stage.fill("SET key:%s %v", space, space.keys)?;
    let mut figures = Vec::new();
    // Shape by shape: connections stay open through the rounds of one.
    for (connections, pipeline) in SHAPES {
        let named = [("GET", "GET key:%k"), ("SET", "SET key:%k %v")];
        let cells = named.map(|(name, pattern)| Cell {
            part: "connections",
            name: name.to_owned(),
            patterns: vec![pattern.to_owned()],
            before: None,
            pipeline: *pipeline,
            connections: *connections,
            space,
            commands: strings::window(bench, *pipeline).max(4 * *connections as u64)
                / if *connections == 1 { 2 } else { 1 },
        });
        figures.extend(stage.measure(&cells)?);
    }
    Ok(figures)
}
