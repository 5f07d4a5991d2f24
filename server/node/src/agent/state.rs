//! `quorate-node.state`: who this node is and what it promised, in the data directory.
//!
//! Lines of `name value`. Written to a temporary file, synced, renamed, and the directory synced: after a crash it holds either
//! the old promise or the new one, whole. A file that cannot be understood stops the node: guessing could break a promise (I2).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quorate_engine::Keep;
use quorate_replication::fence::{Durable, Role};
use quorate_replication::tail::{BootId, Holds};
use quorate_replication::{Address, Epoch};

const FILE: &str = "quorate-node.state";
/// Format 1 did not tell what acknowledgements rely on.
const FORMAT: &str = "2";
const FORMAT_BEFORE: &str = "1";

/// The file, and what it holds.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    directory: PathBuf,
    node_id: String,
    kept: Durable,
    /// The revision of `kept`, as the engine of this process counts.
    revision: u64,
}

/// Was there a file?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Yes: the promise is what it says.
    Found,
    /// No: a new node, or one that lost its directory (I10).
    Fresh,
}

impl StateFile {
    /// Reads the file in `directory`, or makes one for a node that has none. `fresh_id` is 40 random hexadecimal digits.
    pub fn open(directory: &Path, fresh_id: &str) -> io::Result<(StateFile, Kept)> {
        let path = directory.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let (node_id, kept) = parse(&text).ok_or_else(|| {
                    io::Error::other(format!(
                        "{} is damaged; remove it and this node rejoins as a new one",
                        path.display()
                    ))
                })?;
                Ok((StateFile { path, directory: directory.to_owned(), node_id, kept, revision: 0 }, Kept::Found))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let node_id = fresh_id.to_owned();
                let (directory, kept) = (directory.to_owned(), Durable::default());
                let state = StateFile { path, directory, node_id, kept, revision: 0 };
                state.write(&state.kept)?;
                Ok((state, Kept::Fresh))
            }
            Err(error) => Err(error),
        }
    }

    /// The node's id.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// What is on disk.
    pub fn kept(&self) -> &Durable {
        &self.kept
    }

    /// Makes `keep` what is on disk, unless something newer is: answers may be handled in another order than the engine gave them. Returns the
    /// revision that is on disk now.
    pub fn keep(&mut self, keep: &Keep) -> io::Result<u64> {
        if keep.revision > self.revision {
            self.write(&keep.durable)?;
            (self.kept, self.revision) = (keep.durable.clone(), keep.revision);
        }
        Ok(self.revision)
    }

    fn write(&self, durable: &Durable) -> io::Result<()> {
        let temporary = self.directory.join(format!("{FILE}.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(render(&self.node_id, durable).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(&self.directory)?.sync_all()
    }
}

fn render(node_id: &str, durable: &Durable) -> String {
    let told = match &durable.told {
        None => "nothing".to_owned(),
        Some(Role::Master) => "master".to_owned(),
        Some(Role::Replica(master)) => format!("replica {} {}", master.port, master.host),
    };
    let holds = match durable.holds {
        Holds::Memory => "memory".to_owned(),
        Holds::Log(boot) => format!("log {boot}"),
        Holds::Disk => "disk".to_owned(),
    };
    let Durable { promised, epoch, .. } = durable;
    format!(
        "format {FORMAT}\nnode_id {node_id}\npromised_epoch {promised}\nepoch {epoch}\ntold {told}\nholds {holds}\nend\n"
    )
}

fn parse(text: &str) -> Option<(String, Durable)> {
    let mut lines = text.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let format = field("format")?;
    if format != FORMAT && format != FORMAT_BEFORE {
        return None;
    }
    let node_id = field("node_id")?.to_owned();
    let well_formed = node_id.len() == 40 && node_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let promised = Epoch(field("promised_epoch")?.parse().ok()?);
    let epoch = Epoch(field("epoch")?.parse().ok()?);
    let told = match field("told")? {
        "nothing" => None,
        "master" => Some(Role::Master),
        replica => {
            let (port, host) = replica.strip_prefix("replica ")?.split_once(' ')?;
            Some(Role::Replica(Address::new(host, port.parse().ok()?)))
        }
    };
    let holds = match format {
        FORMAT_BEFORE => Holds::Memory,
        _ => match field("holds")? {
            "memory" => Holds::Memory,
            "disk" => Holds::Disk,
            log => Holds::Log(BootId::parse(log.strip_prefix("log ")?)?),
        },
    };
    let whole = lines.next() == Some("end") && well_formed && epoch <= promised;
    whole.then_some((node_id, Durable { promised, epoch, told, holds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(revision: u64, promised: u64, told: Option<Role>, holds: Holds) -> Keep {
        let durable = Durable { promised: Epoch(promised), epoch: Epoch(2), told, holds };
        Keep { revision, durable }
    }

    /// I2, I10: what is remembered survives, and nothing older ever replaces it.
    #[test]
    fn a_promise_survives_and_an_older_one_never_replaces_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, kept) = StateFile::open(dir.path(), &"a".repeat(40)).expect("a new file");
        assert_eq!((kept, state.kept()), (Kept::Fresh, &Durable::default()));
        let replica = Some(Role::Replica(Address::new("::1", 7001)));
        for (revision, holds) in [(3, Holds::Log(BootId(9))), (5, Holds::Disk), (6, Holds::Memory)] {
            let newest = keep(revision, 3, replica.clone(), holds);
            assert_eq!(state.keep(&newest).expect("written"), revision);
            let older = keep(revision - 1, 2, Some(Role::Master), Holds::Disk);
            assert_eq!(state.keep(&older).expect("nothing to do"), revision);
            let (again, kept) = StateFile::open(dir.path(), &"b".repeat(40)).expect("the same file");
            assert_eq!((kept, again.node_id()), (Kept::Found, "a".repeat(40).as_str()));
            assert_eq!(*again.kept(), newest.durable);
        }
    }

    #[test]
    fn a_file_of_the_format_before_is_read() {
        let id = "a".repeat(40);
        let text = format!("format 1\nnode_id {id}\npromised_epoch 3\nepoch 2\ntold master\nend\n");
        let (_, durable) = parse(&text).expect("whole");
        assert_eq!(durable, keep(0, 3, Some(Role::Master), Holds::Memory).durable);
    }

    #[test]
    fn a_damaged_file_stops_the_node() {
        let whole = render(&"a".repeat(40), &keep(1, 3, Some(Role::Master), Holds::Log(BootId(9))).durable);
        assert!(parse(&whole).is_some());
        for cut in 0..whole.len() - 1 {
            assert!(parse(&whole[..cut]).is_none(), "cut at {cut}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(FILE), "format 1\nnode_id x\n").expect("written");
        assert!(StateFile::open(dir.path(), &"b".repeat(40)).is_err());
    }
}
