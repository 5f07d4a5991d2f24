//! Namespaces for a whole run: processes, mounts and network of its own, made by `unshare` (util-linux).
//!
//! The program becomes `unshare`, which starts the program again as the first process of the new namespaces. When that one ends, however it
//! ends, the kernel kills what it started and unmounts and removes what it made: nothing is left to clean up. Root is not needed where the
//! system lets users make namespaces; where nobody may, or `unshare` is not there, a proxy stands in.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::disk::Disks;
use super::host::Medium;
use super::tool;

/// Set for the program inside: the process id that it had outside, and `root` or `user`.
const VARIABLE: &str = "QUORATE_PROOF_INSIDE";

/// What `unshare` is asked for.
const NAMESPACES: &[&str] = &["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
/// Further flags for who is not root: root inside, a user like any other outside.
const AS_USER: &[&str] = &["--user", "--map-root-user"];

/// Where the program found itself.
pub struct Inside {
    /// Its process id on this machine.
    pub id: String,
    /// What hosts are made of.
    pub medium: Medium,
    /// What disks are.
    pub disks: Disks,
}

/// By what means hosts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Means {
    /// Namespaces if this machine allows them, else a proxy.
    Any,
    /// Namespaces.
    Namespaces,
    /// A proxy before every process.
    Proxy,
}

/// Goes inside. Outside it returns only with the reason why this machine does not allow it, or if a proxy will do.
pub fn enter(means: Means) -> io::Result<Inside> {
    if let Ok(inside) = std::env::var(VARIABLE) {
        let (id, as_root) = inside.split_once(' ').unwrap_or((&inside, "user"));
        // Named namespaces stand in /run/netns: a /run of our own keeps them from everybody else.
        tool(&["mount", "-t", "tmpfs", "tmpfs", "/run"], "")?;
        let disks = if as_root == "root" && loops_work() { Disks::Loop } else { Disks::Memory };
        return Ok(Inside { id: id.to_owned(), medium: Medium::Namespaces, disks });
    }
    let proxy = || Inside { id: std::process::id().to_string(), medium: Medium::Proxy, disks: Disks::Folder };
    let as_user = [AS_USER, NAMESPACES].concat();
    let (flags, as_root) = match (means, allowed(NAMESPACES)) {
        (Means::Proxy, _) => return Ok(proxy()),
        (_, Ok(())) => (NAMESPACES.to_vec(), "root"),
        (means, Err(_)) => match (means, allowed(&as_user)) {
            (_, Ok(())) => (as_user, "user"),
            (Means::Namespaces, Err(reason)) => return Err(reason),
            (_, Err(reason)) => {
                println!("{reason}; a proxy stands before every process");
                return Ok(proxy());
            }
        },
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

/// Is there a free loop device, and somebody to put a file system on it?
fn loops_work() -> bool {
    [&["losetup", "--find"] as &[&str], &["mkfs.ext4", "-V"]].iter().all(|words| tool(words, "").is_ok())
}

/// May this process make such namespaces?
fn allowed(flags: &[&str]) -> io::Result<()> {
    // `ip` is needed inside.
    let tried = Command::new("unshare").args(flags).args(["--", "ip", "link"]).stdin(Stdio::null()).output()?;
    if tried.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    Err(io::Error::other(format!("this machine allows no namespaces: {reason}")))
}
