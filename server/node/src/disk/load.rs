//! The thread that builds the dataset at the start: from the log if it is on, else from the RDB file.
//!
//! A log whose last file ends in the middle of a command is cut there (`aof-load-truncated yes`), and so is one in which a loss of power took
//! the end of a file that another follows: what follows was never synced (`log.rs`), and is kept beside the log. Anything else that is wrong
//! ends the process, since starting with less data than there was would overwrite the rest. A single append-only file of Redis before 7 is
//! taken into a new log as its base.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quorate_config::ServerConfig;
use quorate_engine::{Found, Gauge, Loaded, LogSizes, Replayer};
use quorate_keyspace::{DbIndex, ImageSink, Keyspace, UnixMs};
use quorate_persist::aof::load::{Ending, Point, read_commands};
use quorate_persist::aof::manifest::{BaseFormat, Manifest};
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::{Checksum, Sealer};
use quorate_persist::rdb::write::{Compression, RdbWriter};
use quorate_persist::rdb::{RdbHeader, RdbInfo};
use quorate_replication::history::Held;
use quorate_replication::{Epoch, Offset, ReplId};

use super::{Event, Names, files, told};
use crate::{Mail, Mailbox, host};

/// Read at once.
const BUFFER: usize = 1 << 20;

/// What a loader brings.
#[derive(Debug)]
pub struct Outcome {
    pub(super) loaded: Loaded,
    /// The log, if it is on: its manifest, the file to be appended to, and how many bytes that has.
    pub(super) log: Option<(Manifest, File, u64)>,
}

/// Starts the thread; false if there is nothing to do.
pub(super) fn start(
    config: &ServerConfig,
    names: Names,
    rng: fastrand::Rng,
    mailbox: Mailbox,
    gauge: Arc<Gauge>,
) -> bool {
    if !config.appendonly && !Path::new(&config.dbfilename).exists() {
        return false;
    }
    let loader = Loader { config: config.clone(), names, rng, now: host::now().wall, gauge };
    let mail = mailbox.clone();
    let work = move || mail.send(Mail::Disk(Event::Loaded(Box::new(loader.run()))));
    if let Err(error) = std::thread::Builder::new().name("load".into()).spawn(work) {
        mailbox.send(Mail::Disk(Event::Loaded(Box::new(Err(error.to_string())))));
    }
    true
}

struct Loader {
    config: ServerConfig,
    names: Names,
    rng: fastrand::Rng,
    now: UnixMs,
    gauge: Arc<Gauge>,
}

impl Loader {
    fn run(mut self) -> Result<Outcome, String> {
        if self.config.appendonly { self.load_log() } else { self.load_rdb() }
    }

    fn load_rdb(&mut self) -> Result<Outcome, String> {
        let path = Path::new(&self.config.dbfilename).to_owned();
        let (file, size) = open(&path)?;
        self.gauge.load_total.store(size, Ordering::Relaxed);
        let mut replayer = Replayer::new(self.config.clone(), self.rng.fork(), self.now);
        // A replica's keys expire when its master says so, and a node of a group does not know what it is.
        let follows = self.config.replicaof.is_some() || !self.config.group.is_empty();
        let expired = if follows { ExpiredKeys::Keep } else { ExpiredKeys::Drop };
        let mut source = BufReader::with_capacity(BUFFER, Counted { file, gauge: Arc::clone(&self.gauge) });
        let info = self.read_rdb(&mut source, replayer.keyspace(), expired, &path)?;
        let found = point_of(&info);
        Ok(Outcome { loaded: loaded(replayer, found, &info, None), log: None })
    }

    fn read_rdb(
        &self,
        source: &mut dyn BufRead,
        keyspace: &mut Keyspace,
        expired: ExpiredKeys,
        path: &Path,
    ) -> Result<RdbInfo, String> {
        let checksum = if self.config.rdbchecksum { Checksum::Crc64 } else { Checksum::None };
        let options = LoadOptions { now: self.now, expired, checksum };
        let info = load(source, keyspace, &options).map_err(|error| format!("{}: {error}", path.display()))?;
        if info.functions_skipped > 0 {
            tracing::warn!("{} function libraries of {} were left out", info.functions_skipped, path.display());
        }
        Ok(info)
    }

    fn load_log(&mut self) -> Result<Outcome, String> {
        let old = Path::new(&self.names.basename).to_owned();
        let mut manifest = match self.names.read_manifest()? {
            Some(manifest) => manifest,
            None if old.exists() => self.adopt(&old)?,
            None => return self.new_log(),
        };
        let total = manifest.load_order().map(|file| size_of(&self.names.dir.join(&file.name)));
        let total = total.sum::<Result<u64, String>>()?;
        self.gauge.load_total.store(total, Ordering::Relaxed);
        let mut replayer = Replayer::new(self.config.clone(), self.rng.fork(), self.now);
        let (mut point, mut info) = (None, RdbInfo::default());
        let mut torn: Option<Torn> = None;
        for file in manifest.clone().load_order() {
            let path = self.names.dir.join(&file.name);
            match (self.load_file(&path, &mut replayer, &mut point, &mut info)?, &torn) {
                (Ending::Gap { missing }, _) if self.config.aof_load_truncated => {
                    self.leave_out(&mut manifest, &file.name, missing)?;
                    break;
                }
                (_, Some(torn)) => return Err(torn.refusal()),
                (Ending::Gap { missing }, None) => {
                    return Err(format!("{missing} bytes of the history are missing in front of {}", path.display()));
                }
                (Ending::Truncated { valid }, None) => torn = Some(Torn { path, valid }),
                // A process that was killed may have left it unsynced. Nobody writes to the older ones any more, so nobody would ever sync them: a
                // loss of power later would make a gap in front of what was synced since.
                (Ending::Clean { .. }, None) => {
                    File::open(&path).and_then(|file| file.sync_all()).map_err(|error| told(&path, &error))?;
                }
            }
        }
        match torn {
            Some(torn) if self.config.aof_load_truncated => torn.cut()?,
            Some(torn) => return Err(torn.refusal()),
            None => {}
        }
        let base = manifest.base.as_ref().map_or(Ok(0), |base| size_of(&self.names.dir.join(&base.name)))?;
        let (manifest, file, size) = self.open_incr(manifest)?;
        let current = manifest.load_order().map(|file| size_of(&self.names.dir.join(&file.name)));
        // As Redis does: growth is measured against what was loaded.
        let current = current.sum::<Result<u64, String>>()?;
        let sizes = LogSizes { base: base.max(current), current };
        Ok(Outcome { loaded: loaded(replayer, point, &info, Some(sizes)), log: Some((manifest, file, size)) })
    }

    /// One file of the log: an RDB, commands, or an RDB and commands behind it.
    fn load_file(
        &self,
        path: &Path,
        replayer: &mut Replayer,
        point: &mut Point,
        info: &mut RdbInfo,
    ) -> Result<Ending, String> {
        let (file, _) = open(path)?;
        let mut source = BufReader::with_capacity(BUFFER, Counted { file, gauge: Arc::clone(&self.gauge) });
        let mut start = 0;
        if source.fill_buf().map_err(|error| told(path, &error))?.starts_with(b"REDIS") {
            *info = self.read_rdb(&mut source, replayer.keyspace(), ExpiredKeys::Keep, path)?;
            *point = point_of(info);
            start = info.bytes;
        }
        replayer.next_file();
        let ending = read_commands(&mut source, start, point, &mut |argv| replayer.apply(argv));
        ending.map_err(|error| format!("Bad file format reading the append only file {}: {error}", path.display()))
    }

    /// The log ends in front of the file `first`, which stands too far on in the history.
    fn leave_out(&self, manifest: &mut Manifest, first: &str, missing: u64) -> Result<(), String> {
        let left_out = manifest.leave_out_from(first);
        self.names.write_manifest(manifest)?;
        for file in left_out {
            let kept = self.free_name(&format!("{}.behind-gap", file.name));
            tracing::warn!(
                "{missing} bytes are missing in front of {first}: {} is not loaded, and kept as {kept}",
                file.name
            );
            let (from, to) = (self.names.dir.join(&file.name), self.names.dir.join(&kept));
            files::rename(&from, &to).map_err(|error| told(&from, &error))?;
        }
        Ok(())
    }

    /// This name, or the first of NAME-2, NAME-3 … that no file of the log's folder has: an earlier one is kept.
    fn free_name(&self, name: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !self.names.dir.join(name).exists()).expect("numbers do not run out")
    }

    /// An append-only file of Redis before 7 becomes the base of a log.
    fn adopt(&self, old: &Path) -> Result<Manifest, String> {
        let manifest = Manifest::adopt_old_file(&self.names.basename);
        files::create_dir(&self.names.dir).map_err(|error| told(&self.names.dir, &error))?;
        self.names.write_manifest(&manifest)?;
        files::rename(old, &self.names.dir.join(old)).map_err(|error| told(old, &error))?;
        tracing::info!("Successfully migrated an old-style AOF configuration ({})", old.display());
        Ok(manifest)
    }

    /// There is no log yet: an empty base, and a file to append to.
    fn new_log(&mut self) -> Result<Outcome, String> {
        files::create_dir(&self.names.dir).map_err(|error| told(&self.names.dir, &error))?;
        let header = RdbHeader {
            redis_version: quorate_engine::REDIS_VERSION.to_owned(),
            created_s: self.now.as_secs(),
            aof_base: true,
            ..RdbHeader::default()
        };
        let mut writer = RdbWriter::new(&header, Vec::new(), Compression::None);
        writer.finish();
        let mut sealer = Sealer::new(Checksum::Crc64);
        let mut base = Vec::new();
        sealer.seal(&writer.drain(), &mut base);
        sealer.finish(&mut base);
        let mut manifest = Manifest::default();
        let name = manifest.replace_base(&self.names.basename, None, BaseFormat::Rdb);
        let path = self.names.dir.join(&name);
        files::replace(&path, &base).map_err(|error| told(&path, &error))?;
        let (manifest, file, size) = self.open_incr(manifest)?;
        let replayer = Replayer::new(self.config.clone(), self.rng.fork(), self.now);
        let sizes = LogSizes { base: base.len() as u64, current: base.len() as u64 };
        Ok(Outcome {
            loaded: loaded(replayer, None, &RdbInfo::default(), Some(sizes)),
            log: Some((manifest, file, size)),
        })
    }

    /// The file that is appended to: the last one, or a first one.
    fn open_incr(&self, mut manifest: Manifest) -> Result<(Manifest, File, u64), String> {
        let name = match manifest.current_incr() {
            Some(incr) => incr.name.clone(),
            None => {
                let name = manifest.open_incr(&self.names.basename);
                self.names.create(&name)?;
                self.names.write_manifest(&manifest)?;
                name
            }
        };
        let path = self.names.dir.join(&name);
        let file = OpenOptions::new().append(true).open(&path).map_err(|error| told(&path, &error))?;
        let size = size_of(&path)?;
        Ok((manifest, file, size))
    }
}

/// A file that ends in the middle of a command or a transaction, and where its good part does.
struct Torn {
    path: PathBuf,
    valid: u64,
}

impl Torn {
    fn cut(&self) -> Result<(), String> {
        let Torn { path, valid } = self;
        let size = size_of(path)?;
        tracing::warn!("!!! Warning: short read while loading the AOF file {}!!!", path.display());
        tracing::warn!("AOF {} loaded anyway because aof-load-truncated is enabled", path.display());
        tracing::warn!("Truncating the AOF {} at offset {valid} of {size}", path.display());
        let file = OpenOptions::new().write(true).open(path).map_err(|error| told(path, &error))?;
        file.set_len(*valid).and_then(|()| file.sync_all()).map_err(|error| told(path, &error))
    }

    fn refusal(&self) -> String {
        format!("Unexpected end of file reading the append only file {} at offset {}", self.path.display(), self.valid)
    }
}

fn loaded(replayer: Replayer, point: Point, info: &RdbInfo, log: Option<LogSizes>) -> Loaded {
    let found = point.and_then(|(point, epoch)| {
        let replid = ReplId::parse(&point.replid)?;
        let db = DbIndex(u16::try_from(point.db).unwrap_or(0));
        Some(Found { held: Held { replid, offset: Offset(point.offset) }, epoch: Epoch(epoch), db })
    });
    let (keys_loaded, keys_expired) = (info.keys_loaded, info.keys_expired);
    Loaded { keyspace: replayer.into_keyspace(), found, keys_loaded, keys_expired, log }
}

fn point_of(info: &RdbInfo) -> Point {
    info.header.replication.map(|point| (point, info.header.epoch.unwrap_or(0)))
}

fn open(path: &Path) -> Result<(File, u64), String> {
    let file = File::open(path).map_err(|error| told(path, &error))?;
    Ok((file, size_of(path)?))
}

fn size_of(path: &Path) -> Result<u64, String> {
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(|error| told(path, &error))
}

/// A file whose bytes are counted for INFO.
struct Counted {
    file: File,
    gauge: Arc<Gauge>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.gauge.load_done.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
