//! A disk of its own for each process, small enough to be filled.
//!
//! Root gets a file with ext4 on a loop device, which can also stand still (a frozen file system: writes wait until it goes on). Without root it is
//! a tmpfs, which can only be full.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::tool;

/// A disk's size: far more than a round of writes needs.
const SIZE: u64 = 192 << 20;
/// What fills a full disk.
const BALLAST: &str = "ballast";

/// What can be done to a disk depends on what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loop,
    Memory,
}

/// A mounted disk.
pub struct Disk {
    mounted: PathBuf,
    kind: Kind,
}

impl Disk {
    /// Mounts a fresh one at this folder, which must exist. Its image stands beside the folder.
    pub fn mount(folder: &Path, root: bool) -> io::Result<Self> {
        let at = folder.to_string_lossy().into_owned();
        let kind = if root { Kind::Loop } else { Kind::Memory };
        match kind {
            Kind::Loop => {
                let image = folder.with_extension("disk");
                File::create(&image)?.set_len(SIZE)?;
                let image = image.to_string_lossy().into_owned();
                tool(&["mkfs.ext4", "-q", "-F", "-m", "0", &image], "")?;
                tool(&["mount", "-o", "loop", &image, &at], "")?;
            }
            Kind::Memory => tool(&["mount", "-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs", &at], "")?,
        }
        Ok(Self { mounted: folder.to_owned(), kind })
    }

    /// Can it stand still?
    pub fn can_stall(&self) -> bool {
        self.kind == Kind::Loop
    }

    /// Writes stand still from now on, or go on.
    pub fn set_still(&self, still: bool) -> io::Result<()> {
        let flag = if still { "--freeze" } else { "--unfreeze" };
        tool(&["fsfreeze", flag, &self.mounted.to_string_lossy()], "")
    }

    /// Takes all the room that is left.
    pub fn fill(&self) -> io::Result<()> {
        let ballast = File::create(self.mounted.join(BALLAST))?;
        let mut length = 0;
        // Twice: the first try may leave what its own bookkeeping took.
        for _ in 0..2 {
            let free = statvfs(&self.mounted)?;
            let room = free.f_bavail * free.f_frsize;
            let mut step = room;
            while step >= free.f_frsize {
                match fallocate(&ballast, FallocateFlags::empty(), length, step) {
                    Ok(()) => length += step,
                    Err(rustix::io::Errno::NOSPC) => step /= 2,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives it back.
    pub fn empty(&self) -> io::Result<()> {
        std::fs::remove_file(self.mounted.join(BALLAST))
    }
}
