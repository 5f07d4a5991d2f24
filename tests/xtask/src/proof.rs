//! `cargo xtask drill-proof [--minutes N] [--durability quorum|async] [--seed S] [--against redis-sentinel] …`: builds the drills in release
//! mode and runs `drill-proof` (tests/drills) with these arguments. `--help` shows them all.

use std::io;
use std::process::Command;

/// Builds and runs; answers whether nothing was lost.
pub fn run(arguments: &[String]) -> io::Result<bool> {
    let metadata = crate::metadata();
    crate::bench::build(metadata.workspace_root.as_std_path(), &["--package", "quorate-drills"])?;
    let program = metadata.target_directory.join("release/drill-proof");
    Ok(Command::new(program).args(arguments).status()?.success())
}
