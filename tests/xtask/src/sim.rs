//! `cargo xtask sim …`: builds the simulator (tests/sim) optimised, and runs it.

use std::io;
use std::process::Command;

/// Builds and runs; answers whether every seed held.
pub fn run(arguments: &[String]) -> io::Result<bool> {
    let metadata = crate::metadata();
    let root = metadata.workspace_root.as_std_path();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let what = ["run", "--quiet", "--profile", "sim", "--locked", "--package", "quorate-sim", "--"];
    Ok(Command::new(cargo).args(what).args(arguments).current_dir(root).status()?.success())
}
