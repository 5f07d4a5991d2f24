//! `quorate-node.state`: who this node is and what it promised, in the data directory.
//!
//! Lines of `name value`. Written to a temporary file, synced, renamed, and the directory synced: after a crash it holds either
//! the old promise or the new one, whole. A file that cannot be understood stops the node: guessing could break a promise (I2).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use quorate_replication::fence::{Durable, Role};
use quorate_replication::{Address, Epoch};

const FILE: &str = "quorate-node.state";
const FORMAT: &str = "1";

/// The file, and what it holds.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    directory: PathBuf,
    node_id: String,
    kept: Durable,
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
                Ok((StateFile { path, directory: directory.to_owned(), node_id, kept }, Kept::Found))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let node_id = fresh_id.to_owned();
                let state = StateFile { path, directory: directory.to_owned(), node_id, kept: Durable::default() };
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

    /// Makes `durable` what is on disk, unless something later is. Answers may be handled in another order than the engine gave them.
    pub fn keep(&mut self, durable: &Durable) -> io::Result<()> {
        let age = |durable: &Durable| (durable.promised, durable.epoch);
        if *durable == self.kept || age(durable) < age(&self.kept) {
            return Ok(());
        }
        self.write(durable)?;
        self.kept = durable.clone();
        Ok(())
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
    let Durable { promised, epoch, .. } = durable;
    format!("format {FORMAT}\nnode_id {node_id}\npromised_epoch {promised}\nepoch {epoch}\ntold {told}\nend\n")
}

fn parse(text: &str) -> Option<(String, Durable)> {
    let mut lines = text.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    if field("format")? != FORMAT {
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
    let whole = lines.next() == Some("end") && well_formed && epoch <= promised;
    whole.then_some((node_id, Durable { promised, epoch, told }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durable(promised: u64, epoch: u64, told: Option<Role>) -> Durable {
        Durable { promised: Epoch(promised), epoch: Epoch(epoch), told }
    }

    #[test]
    fn a_promise_survives_and_an_older_one_never_replaces_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut state, kept) = StateFile::open(dir.path(), &"a".repeat(40)).expect("a new file");
        assert_eq!((kept, state.kept()), (Kept::Fresh, &Durable::default()));
        let replica = Some(Role::Replica(Address::new("::1", 7001)));
        state.keep(&durable(3, 2, replica.clone())).expect("written");
        state.keep(&durable(2, 2, Some(Role::Master))).expect("older: nothing to do");
        let (again, kept) = StateFile::open(dir.path(), &"b".repeat(40)).expect("the same file");
        assert_eq!((kept, again.node_id()), (Kept::Found, "a".repeat(40).as_str()));
        assert_eq!(*again.kept(), durable(3, 2, replica));
    }

    #[test]
    fn a_damaged_file_stops_the_node() {
        let whole = render(&"a".repeat(40), &durable(3, 2, Some(Role::Master)));
        assert!(parse(&whole).is_some());
        for cut in 0..whole.len() - 1 {
            assert!(parse(&whole[..cut]).is_none(), "cut at {cut}");
        }
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(FILE), "format 1\nnode_id x\n").expect("written");
        assert!(StateFile::open(dir.path(), &"b".repeat(40)).is_err());
    }
}
