//! The first stage of a snapshot: images of keys in, raw chunks out, on the engine's thread.
//!
//! The writer copies bytes and nothing more. Strings that are worth compressing are left bare in the chunk and marked;
//! [`super::seal::Sealer`] gives them their length or their LZF form. A chunk may be drained at any moment: it ends between
//! keys, and whoever drains decides how many bytes may wait (the snapshot is not stepped meanwhile).

use quorate_keyspace::{DbIndex, Image, ImageSink};

use super::encode::Encoder;
use super::{RdbHeader, WRITE_VERSION, object, opcode};

/// Are long strings compressed? (`rdbcompression`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Strings of more than twenty bytes are compressed with LZF where that makes them shorter.
    Lzf,
    /// Never.
    None,
}

/// How many keys a database holds when the snapshot begins, so that a load can size its tables (RESIZEDB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DbSize {
    /// The database.
    pub db: DbIndex,
    /// All its keys.
    pub keys: u64,
    /// Those that expire.
    pub expiring: u64,
}

/// Encodes a snapshot as an RDB. Its drained chunks are for [`super::seal::Sealer`], not yet the file's bytes.
#[derive(Debug)]
pub struct RdbWriter {
    encoder: Encoder,
    db: Option<DbIndex>,
    unsized_dbs: Vec<DbSize>, // those whose RESIZEDB is not yet written
}

impl RdbWriter {
    /// Starts an RDB: its magic and auxiliary fields are the first bytes.
    pub fn new(header: &RdbHeader, sizes: Vec<DbSize>, compression: Compression) -> Self {
        let mut encoder = Encoder::new(compression);
        encoder.raw(format!("REDIS{WRITE_VERSION:04}").as_bytes());
        write_header(&mut encoder, header);
        RdbWriter { encoder, db: None, unsized_dbs: sizes }
    }

    fn select(&mut self, db: DbIndex) {
        if self.db == Some(db) {
            return;
        }
        self.db = Some(db);
        self.encoder.byte(opcode::SELECT_DB);
        self.encoder.len(u64::from(db.0));
        if let Some(at) = self.unsized_dbs.iter().position(|size| size.db == db) {
            let size = self.unsized_dbs.swap_remove(at);
            self.encoder.byte(opcode::RESIZE_DB);
            self.encoder.len(size.keys);
            self.encoder.len(size.expiring);
        }
    }
}

impl ImageSink for RdbWriter {
    fn image(&mut self, image: Image<'_>) {
        self.select(image.db);
        if let Some(expiry) = image.expiry {
            self.encoder.byte(opcode::EXPIRE_MS);
            self.encoder.raw(&expiry.0.to_le_bytes());
        }
        self.encoder.byte(object::kind_of(image.value));
        self.encoder.string(image.key);
        object::encode(image.value, &mut self.encoder);
    }

    fn finish(&mut self) {
        self.encoder.byte(opcode::EOF);
    }

    fn pending(&self) -> usize {
        self.encoder.pending()
    }

    fn drain(&mut self) -> Vec<u8> {
        self.encoder.drain()
    }
}

fn write_header(encoder: &mut Encoder, header: &RdbHeader) {
    let mut field = |name: &str, value: &[u8]| {
        encoder.byte(opcode::AUX);
        encoder.string(name.as_bytes());
        encoder.string(value);
    };
    field("redis-ver", header.redis_version.as_bytes());
    field("redis-bits", b"64");
    field("ctime", header.created_s.to_string().as_bytes());
    field("used-mem", header.used_memory.to_string().as_bytes());
    if let Some(point) = &header.replication {
        field("repl-stream-db", point.db.to_string().as_bytes());
        field("repl-id", &point.replid);
        field("repl-offset", point.offset.to_string().as_bytes());
    }
    field("aof-base", if header.aof_base { b"1" } else { b"0" });
    if let Some(epoch) = header.epoch {
        field("quorate-epoch", epoch.to_string().as_bytes());
    }
}
