//! Namespaces for a whole run: processes, mounts and network of its own, made by `unshare` (util-linux).
//!
//! The program becomes `unshare`, which starts the program again as the first process of the new namespaces. When that one ends, however it
//! ends, the kernel kills what it started and unmounts and removes what it made: nothing is left to clean up. Root is not needed where the
//! system lets users make namespaces.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::tool;

/// Set for the program inside: the process id that it had outside, and `root` or `user`.
const VARIABLE: &str = "QUORATE_PROOF_INSIDE";

/// What `unshare` is asked for.
const NAMESPACES: &[&str] = &["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// Further flags for who is not root: root inside, a user like any other outside.
const AS_USER: &[&str] = &["--user", "--map-root-user"];

/// The program is inside its namespaces.
pub struct Inside {
    /// Its process id outside: unique on this machine.
    pub id: String,
    /// May it mount block devices?
    pub root: bool,
}

/// Goes inside. Returns there; outside it returns only with the reason why this machine does not allow it.
pub fn enter() -> io::Result<Inside> {
    if let Ok(inside) = std::env::var(VARIABLE) {
        let (id, as_root) = inside.split_once(' ').unwrap_or((&inside, "user"));
        // Named namespaces stand in /run/netns: a /run of our own keeps them from everybody else.
        tool(&["mount", "-t", "tmpfs", "tmpfs", "/run"], "")?;
        return Ok(Inside { id: id.to_owned(), root: as_root == "root" });
    }
    let (flags, as_root) = match allowed(NAMESPACES) {
        Ok(()) => (NAMESPACES.to_vec(), "root"),
        Err(_) => {
            let flags = [AS_USER, NAMESPACES].concat();
            allowed(&flags)?;
            (flags, "user")
        }
    };
    let failed = Command::new("unshare")
        .args(flags)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, format!("{} {as_root}", std::process::id()))
        .exec();
    Err(failed)
}

/// May this process make such namespaces?
fn allowed(flags: &[&str]) -> io::Result<()> {
    let tried = Command::new("unshare").args(flags).args(["--", "true"]).stdin(Stdio::null()).output()?;
    if tried.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    Err(io::Error::other(format!("this machine allows no namespaces: {reason}")))
}
