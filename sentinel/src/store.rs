//! A sentinel's disk: one redb file with the Raft log, the hard state, the newest snapshot, and who this sentinel is.
//!
//! Invariants:
//! - **One save is one transaction**: it is there as a whole after a crash, or not at all; when [`Store::save`] returns, it survives
//!   the loss of power (redb syncs once a commit).
//! - **Log and identity live and die together.** Who lost the one lost the other, so whoever comes back without its log
//!   comes back as a stranger and never votes under its old Raft id.
//! - **A file that is not ours, or is damaged, is not taken into use**: opening it is an error that names the file.
//!
//! The log is read at start only: the node keeps a mirror of it in memory (see `quorate_consensus`).

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use quorate_consensus::{Compaction, Index, RaftId, Recovered, Write};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::founding::Record;

const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// The file in the sentinel's directory.
pub const FILE: &str = "quorate-sentinel.redb";
/// What the file says that it is; another number is another layout.
const FORMAT: &[u8] = b"quorate-sentinel 1";
/// redb's page cache: the log is read once, at start.
const CACHE_BYTES: usize = 4 << 20;

/// The open file.
pub struct Store {
    db: Database,
    path: PathBuf,
}

/// Who this sentinel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 40 hexadecimal digits, drawn when the directory was first used: SENTINEL MYID.
    pub sentinel_id: String,
    /// What it has come to.
    pub standing: Standing,
}

/// How far a sentinel is on its way into a cluster.
///
/// ```text
/// Blank ──pledge──> Pledged ──all pledged the same──> Member      (a founder)
///   │                  └──────a founder has its seat──> Member
///   └─────────────────let in by the leader────────────> Member    (a new member)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was ever decided here.
    Blank,
    /// It agreed to found this cluster, and nothing else, unless the founding fails.
    Pledged(Record),
    /// It belongs to a cluster.
    Member(Membership),
}

/// A member's place in its cluster; never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its number in Raft.
    pub raft_id: u64,
    /// The cluster.
    pub cluster_id: String,
    /// What it founded, if it is a founder.
    pub founded: Option<Record>,
    /// Whom to talk to before the registry says so: the members when it joined.
    pub contacts: Vec<Contact>,
}

/// A member's number and address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its number in Raft.
    pub raft_id: u64,
    /// Its gRPC port, as host:port.
    pub address: String,
}

/// What was found on opening.
pub struct Opened {
    /// The open file.
    pub store: Store,
    /// Who this sentinel is.
    pub identity: Identity,
    /// The Raft state; blank for who is not yet a member.
    pub recovered: Recovered,
}

/// Why the disk cannot be used. `Display` is the line that the operator sees.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or read.
    #[error("cannot use directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error("{0} is in use: another sentinel runs on this directory")]
    InUse(PathBuf),
    /// A file, but not one of a sentinel of this version.
    #[error("{path} is not a sentinel's log: {why}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A sentinel's file that contradicts itself.
    #[error("{path} is damaged ({why}); move the directory away, and this sentinel joins again as a new member")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A write failed: what the disk holds is unknown, and the process must stop.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: redb::Error,
    },
}

impl Store {
    /// Opens the file in a directory, making both when they are not there.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        let directory = |source| StoreError::Directory { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(directory)?;
        let path = dir.join(FILE);
        // An empty file is what a crash leaves between creating and the first commit: nothing was ever decided in it.
        let fresh = fs::metadata(&path).map_or(true, |meta| meta.len() == 0);
        let db = open_database(&path)?;
        let store = Self { db, path };
        if fresh {
            store.initialize()?;
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(directory)?;
        }
        store.load()
    }

    /// Makes a batch of the Raft node durable.
    pub fn save(&self, write: &Write<'_>) -> Result<(), StoreError> {
        self.write(|log, meta| {
            if let Some(snapshot) = write.snapshot() {
                meta.insert("snapshot", snapshot.as_slice())?;
            }
            if let Some(Index(from)) = write.replace_from() {
                log.retain_in(from.., |_, _| false)?;
            }
            for (index, entry) in write.entries() {
                log.insert(index.0, entry.as_slice())?;
            }
            if let Some(hard_state) = write.hard_state() {
                meta.insert("hard-state", hard_state.as_slice())?;
            }
            Ok(())
        })
    }

    /// Makes a checkpoint of the Raft node durable.
    pub fn checkpoint(&self, compaction: &Compaction<'_>) -> Result<(), StoreError> {
        self.write(|log, meta| {
            meta.insert("snapshot", compaction.snapshot().as_slice())?;
            log.retain_in(..=compaction.drop_up_to().0, |_, _| false)
        })
    }

    /// Pledges to found a cluster and no other.
    pub fn pledge(&self, record: &Record) -> Result<(), StoreError> {
        self.write(|_, meta| meta.insert("pledge", json(record).as_slice()).map(drop))
    }

    /// Makes this sentinel a member: a founder with the founding state, a joiner with a blank one.
    pub fn join(&self, membership: &Membership, state: &Recovered) -> Result<(), StoreError> {
        self.write(|_, meta| {
            meta.insert("membership", json(membership).as_slice())?;
            if !state.is_blank() {
                meta.insert("snapshot", state.snapshot_bytes().as_slice())?;
                meta.insert("hard-state", state.hard_state_bytes().as_slice())?;
            }
            Ok(())
        })
    }

    fn initialize(&self) -> Result<(), StoreError> {
        let id = random_hex().map_err(|source| StoreError::Directory { path: self.path.clone(), source })?;
        self.write(|_, meta| {
            meta.insert("format", FORMAT)?;
            meta.insert("sentinel-id", id.as_bytes()).map(drop)
        })
    }

    fn load(self) -> Result<Opened, StoreError> {
        let (identity, recovered) = self.read()?;
        Ok(Opened { store: self, identity, recovered })
    }

    fn read(&self) -> Result<(Identity, Recovered), StoreError> {
        let foreign =
            |why: &dyn std::fmt::Display| StoreError::Foreign { path: self.path.clone(), why: why.to_string() };
        let damaged = |why: &dyn std::fmt::Display| self.damaged(why);
        let read = self.db.begin_read().map_err(|error| damaged(&error))?;
        let meta = read.open_table(META).map_err(|error| foreign(&error))?;
        let get = |key: &str| match meta.get(key) {
            Ok(value) => Ok(value.map(|value| value.value().to_vec())),
            Err(error) => Err(damaged(&error)),
        };
        if get("format")?.as_deref() != Some(FORMAT) {
            return Err(foreign(&"it is of another version"));
        }
        let id = get("sentinel-id")?.and_then(|id| String::from_utf8(id).ok()).filter(|id| is_hex40(id));
        let sentinel_id = id.ok_or_else(|| damaged(&"no identity"))?;
        let standing = match (self.parsed(get("membership")?)?, self.parsed(get("pledge")?)?) {
            (Some(membership), _) => Standing::Member(membership),
            (None, Some(pledge)) => Standing::Pledged(pledge),
            (None, None) => Standing::Blank,
        };
        let log = read.open_table(LOG).map_err(|error| damaged(&error))?;
        let mut entries = Vec::new();
        for entry in log.iter().map_err(|error| damaged(&error))? {
            let (index, bytes) = entry.map_err(|error| damaged(&error))?;
            entries.push((Index(index.value()), bytes.value().to_vec()));
        }
        let (snapshot, hard_state) = (get("snapshot")?, get("hard-state")?);
        let entries = entries.iter().map(|(index, bytes)| (*index, bytes.as_slice()));
        let recovered = Recovered::from_bytes(snapshot.as_deref(), hard_state.as_deref(), entries)
            .map_err(|error| damaged(&error))?;
        match &standing {
            Standing::Member(Membership { founded: Some(_), .. }) if recovered.state().is_none() => {
                Err(damaged(&"a founder without its state"))
            }
            Standing::Blank | Standing::Pledged(_) if !recovered.is_blank() => Err(damaged(&"a log without a member")),
            _ => Ok((Identity { sentinel_id, standing }, recovered)),
        }
    }

    fn parsed<T: DeserializeOwned>(&self, bytes: Option<Vec<u8>>) -> Result<Option<T>, StoreError> {
        let parsed = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        parsed.map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), why: why.to_string() }
    }

    fn write(
        &self,
        change: impl FnOnce(
            &mut redb::Table<'_, u64, &[u8]>,
            &mut redb::Table<'_, &str, &[u8]>,
        ) -> Result<(), redb::StorageError>,
    ) -> Result<(), StoreError> {
        let commit = || -> Result<(), redb::Error> {
            let write = self.db.begin_write()?;
            {
                let (mut log, mut meta) = (write.open_table(LOG)?, write.open_table(META)?);
                change(&mut log, &mut meta)?;
            }
            Ok(write.commit()?)
        };
        commit().map_err(|source| StoreError::Write { path: self.path.clone(), source })
    }
}

impl Membership {
    /// Its number in Raft.
    pub fn raft_id(&self) -> RaftId {
        RaftId(self.raft_id)
    }

    /// A founder's membership.
    pub fn founder(record: &Record, sentinel_id: &str) -> Option<Self> {
        let raft_id = record.raft_id_of(sentinel_id)?;
        let contacts = record.contacts();
        Some(Self { raft_id: raft_id.0, cluster_id: record.cluster_id(), founded: Some(record.clone()), contacts })
    }
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    let open = || Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create(path);
    match open() {
        Ok(db) => Ok(db),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(StoreError::InUse(path.to_owned())),
        Err(DatabaseError::Storage(redb::StorageError::Corrupted(why))) => {
            Err(StoreError::Damaged { path: path.to_owned(), why })
        }
        Err(DatabaseError::Storage(redb::StorageError::Io(source))) if source.kind() != io::ErrorKind::InvalidData => {
            Err(StoreError::Directory { path: path.to_owned(), source })
        }
        Err(error) => Err(StoreError::Foreign { path: path.to_owned(), why: error.to_string() }),
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("string keys and plain values always serialize")
}

fn is_hex40(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Bytes that nobody can foresee and no other process drew.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn random_hex() -> io::Result<String> {
    Ok(random::<20>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::founding::Seat;

    fn seat(n: u16, id: &str) -> Seat {
        Seat { address: format!("127.0.0.1:{n}"), resp: format!("127.0.0.1:{}", n - 1000), sentinel_id: id.to_owned() }
    }

    fn founded(dir: &Path) -> Opened {
        let opened = Store::open(dir).expect("a fresh directory");
        let seats = vec![seat(27379, &opened.identity.sentinel_id)];
        let record = Record { round: 1, seats: seats.clone() };
        let membership = Membership::founder(&record, &seats[0].sentinel_id).expect("it has a seat");
        opened.store.pledge(&record).expect("writable");
        opened.store.join(&membership, &Recovered::founding(&[RaftId(1)], b"{}".to_vec())).expect("writable");
        drop(opened);
        Store::open(dir).expect("what was written can be read")
    }

    #[test]
    fn an_identity_is_drawn_once_and_lost_with_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = Store::open(dir.path()).expect("fresh").identity;
        assert_eq!((first.standing.clone(), is_hex40(&first.sentinel_id)), (Standing::Blank, true));
        assert_eq!(Store::open(dir.path()).expect("again").identity, first);
        fs::remove_file(dir.path().join(FILE)).expect("there");
        assert_ne!(Store::open(dir.path()).expect("fresh again").identity.sentinel_id, first.sentinel_id);
    }

    #[test]
    fn a_founder_reads_back_its_membership_and_state() {
        let dir = tempfile::tempdir().expect("a directory");
        let opened = founded(dir.path());
        let Standing::Member(membership) = opened.identity.standing else { panic!("a member") };
        assert_eq!((membership.raft_id, membership.contacts.len()), (1, 1));
        assert_eq!(opened.recovered.state(), Some((Index(1), b"{}".as_slice())));
    }

    #[test]
    fn a_second_process_on_the_directory_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let _open = Store::open(dir.path()).expect("fresh");
        assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
    }

    #[test]
    fn foreign_and_damaged_files_are_refused_and_left_alone() {
        let check = |spoil: &dyn Fn(&Path), expected: &str| {
            let dir = tempfile::tempdir().expect("a directory");
            drop(founded(dir.path()));
            let path = dir.path().join(FILE);
            spoil(&path);
            let before = fs::read(&path).expect("there");
            let Err(error) = Store::open(dir.path()) else { panic!("opened: {expected}") };
            assert!(error.to_string().contains(expected), "{error}");
            // A database of another format is closed tidily by redb; anything else keeps each byte.
            let after = fs::read(&path).expect("there");
            assert!(after == before || before.starts_with(b"redb"), "{expected}");
        };
        check(
            &|path| fs::write(path, b"not a database, but long enough to look at").expect("writable"),
            "is not a sentinel's log",
        );
        check(&|path| fs::write(path, vec![0; 1 << 16]).expect("writable"), "is not a sentinel's log");
        check(
            &|path| {
                fs::remove_file(path).expect("there");
                let db = Database::create(path).expect("a database of somebody else");
                let write = db.begin_write().expect("fresh");
                drop(write.open_table(TableDefinition::<u64, u64>::new("other")).expect("fresh"));
                write.commit().expect("writable");
            },
            "is not a sentinel's log",
        );
        check(
            &|path| {
                let db = Database::open(path).expect("ours");
                let write = db.begin_write().expect("ours");
                write.open_table(LOG).expect("ours").insert(7, b"hole".as_slice()).expect("writable");
                write.commit().expect("writable");
            },
            "is damaged",
        );
    }

    /// Bytes flipped anywhere: an error or the truth, never a panic and never another truth.
    #[test]
    fn flipped_bytes_are_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let honest = founded(dir.path());
        let (identity, state) = (honest.identity.clone(), honest.recovered.state().map(|(_, bytes)| bytes.to_vec()));
        drop(honest);
        let path = dir.path().join(FILE);
        let bytes = fs::read(&path).expect("there");
        let mut rng = fastrand::Rng::with_seed(11);
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..150 {
            let mut spoiled = bytes.clone();
            let at = used[rng.usize(..used.len())];
            spoiled[at] ^= 1 << rng.u32(..8);
            fs::write(&path, &spoiled).expect("writable");
            if let Ok(opened) = Store::open(dir.path()) {
                assert_eq!(opened.identity, identity, "byte {at}");
                assert_eq!(opened.recovered.state().map(|(_, bytes)| bytes.to_vec()), state, "byte {at}");
            }
        }
        for len in [1, 100, 4096, bytes.len() / 2] {
            fs::write(&path, &bytes[..len]).expect("writable");
            assert!(Store::open(dir.path()).is_err(), "cut to {len} bytes");
        }
    }
}
