//! A disk of its own for each process, small enough to be filled.
//!
//! In namespaces root gets a file with ext4 on a loop device, which can also stand still (a frozen file system: writes wait until it goes on) and lose what was
//! not synced. Who is not root gets a tmpfs, which can only be full. Without namespaces it is a
//! folder, to which nothing can be done.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::tool;

/// A disk's size: far more than a round of writes needs.
const SIZE: u64 = 192 << 20;
/// The journal is written when somebody syncs, and hardly ever without: a copy of the image holds what was synced.
const OPTIONS: &str = "loop,commit=300";
/// What fills a full disk.
const BALLAST: &str = "ballast";

/// What disks are; what can be done to them depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// A file system on a loop device.
    Loop,
    /// A file system in memory.
    Memory,
    /// A plain folder.
    Folder,
}

/// A mounted disk.
pub struct Disk {
    mounted: PathBuf,
}

impl Disk {
    /// Mounts a fresh one at this folder, which must exist. Its image stands beside the folder.
    pub fn mount(folder: &Path, kind: Disks) -> io::Result<Self> {
        let at = folder.to_string_lossy().into_owned();
        match kind {
            Disks::Loop => {
                let image = image(folder);
                File::create(&image)?.set_len(SIZE)?;
                tool(&["mkfs.ext4", "-q", "-F", "-m", "0", &image], "")?;
                tool(&["mount", "-o", OPTIONS, &image, &at], "")?;
            }
            Disks::Memory => tool(&["mount", "-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs", &at], "")?,
            Disks::Folder => {}
        }
        Ok(Self { mounted: folder.to_owned() })
    }

    /// The power fails: what was not synced is gone. Nobody may use the disk meanwhile.
    pub fn lose_unsynced(&self) -> io::Result<()> {
        let (image, at) = (image(&self.mounted), self.mounted.to_string_lossy().into_owned());
        let survived = format!("{image}.survived");
        tool(&["cp", "--sparse=always", &image, &survived], "")?;
        tool(&["umount", &at], "")?;
        std::fs::rename(&survived, &image)?;
        tool(&["mount", "-o", OPTIONS, &image, &at], "")
    }

    /// Removes everything on it.
    pub fn clear(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.mounted)? {
            let path = entry?.path();
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        Ok(())
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
        match std::fs::remove_file(self.mounted.join(BALLAST)) {
            // The power failed before it was synced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

fn image(folder: &Path) -> String {
    folder.with_extension("disk").to_string_lossy().into_owned()
}
