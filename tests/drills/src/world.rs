//! The machine that a proof runs on: namespaces of its own where it may have them, hosts on a network that can be cut link by link, disks that can be full or stand
//! still.

mod disk;
mod host;
mod isolate;
mod network;
mod owner;
mod proxy;

use std::io;
use std::process::{Command, Output, Stdio};

pub use disk::{Disk, Disks};
pub use host::{Host, Medium, connect};
pub use isolate::{Inside, Means, enter};
pub use network::Network;

/// Unmounts every disk below this folder.
pub fn unmount_below(folder: &std::path::Path) -> io::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    points
        .filter(|point| std::path::Path::new(point).starts_with(folder))
        .try_for_each(|point| tool(&["umount", point], ""))
}

/// Runs one of the system's tools to its end. `input` is given to its standard input.
fn tool(words: &[&str], input: &str) -> io::Result<()> {
    let told = |output: Output| {
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        io::Error::other(format!("'{}' failed: {error}", words.join(" ")))
    };
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot run '{}': {error}", words[0])))?;
    let mut stdin = child.stdin.take().expect("its input was piped");
    io::Write::write_all(&mut stdin, input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if output.status.success() { Ok(()) } else { Err(told(output)) }
}
