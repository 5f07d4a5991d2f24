//! Loading an RDB into a keyspace, streaming.
//!
//! A load takes any version from 6 to 12 and every encoding of the five types that these versions know. What follows the
//! RDB in its source (an AOF's commands) is left there. Module auxiliary data and function libraries are passed over.

use std::io::BufRead;

use quorate_keyspace::{DbIndex, Keyspace, Ttl, UnixMs};

use super::batch::Batch;
use super::input::Input;
use super::object::{Decoded, decode};
use super::seal::Checksum;
use super::{READ_VERSIONS, RdbError, RdbInfo, ReplicationPoint, kind, opcode};

/// What becomes of a key that has expired by the time it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiredKeys {
    /// A master leaves it out.
    Drop,
    /// A replica keeps it until its master says DEL; so does a load of an AOF, whose commands tell.
    Keep,
}

/// So many keys at most are made room for on the word of a file: 200 MB of address space, of which only what is used becomes memory.
const RESERVE_MAX: usize = 1 << 24;
const TWICE: &str = "a key occurs twice";

/// How to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// The time by which keys have expired or not.
    pub now: UnixMs,
    /// What becomes of those that have.
    pub expired: ExpiredKeys,
    /// `rdbchecksum`: is a checksum in the input compared? One of zero never is.
    pub checksum: Checksum,
}

/// Types of a module's values in auxiliary data. Source: rdb.h, RDB_MODULE_OPCODE_*.
mod module {
    pub const EOF: u64 = 0;
    pub const SINT: u64 = 1;
    pub const UINT: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// Loads the RDB that `source` stands at. After an error the keyspace holds what came before it: throw it away.
pub fn load(source: &mut dyn BufRead, keyspace: &mut Keyspace, options: &LoadOptions) -> Result<RdbInfo, RdbError> {
    let mut load = Load {
        input: Input::new(source),
        keyspace,
        options,
        info: RdbInfo::default(),
        replid: None,
        repl_offset: None,
        repl_db: 0,
        batch: Batch::default(),
        key: Vec::new(),
        text: Vec::new(),
    };
    load.run()?;
    Ok(load.info)
}

struct Load<'a> {
    input: Input<'a>,
    keyspace: &'a mut Keyspace,
    options: &'a LoadOptions,
    info: RdbInfo,
    replid: Option<[u8; 40]>,
    repl_offset: Option<u64>,
    repl_db: u32,
    batch: Batch,
    key: Vec<u8>,
    text: Vec<u8>,
}

impl Load<'_> {
    fn run(&mut self) -> Result<(), RdbError> {
        self.magic()?;
        let mut db = self.keyspace.index(0).expect("a keyspace has at least one database");
        let mut expiry = None;
        loop {
            match self.input.byte()? {
                opcode::EXPIRE_MS => expiry = Some(unix_ms(i64::from_le_bytes(self.input.array()?))),
                opcode::EXPIRE_S => {
                    let seconds = i32::from_le_bytes(self.input.array()?);
                    expiry = Some(unix_ms(i64::from(seconds) * 1000));
                }
                opcode::FREQ => drop(self.input.byte()?),
                opcode::IDLE => drop(self.input.len()?),
                opcode::SELECT_DB => {
                    self.put_batch(db)?;
                    let number = self.input.len()?;
                    let index = i64::try_from(number).ok().and_then(|number| self.keyspace.index(number).ok());
                    db = index.ok_or_else(|| self.input.unsupported("a database past the configured number"))?;
                }
                opcode::RESIZE_DB => {
                    let (keys, _expiring) = (self.input.len()?, self.input.len()?);
                    self.keyspace.reserve(db, usize::try_from(keys).unwrap_or(RESERVE_MAX).min(RESERVE_MAX));
                }
                opcode::SLOT_INFO => drop((self.input.len()?, self.input.len()?, self.input.len()?)),
                opcode::AUX => self.aux()?,
                opcode::MODULE_AUX => self.skip_module_aux()?,
                opcode::FUNCTION2 => {
                    self.input.string_into(&mut self.text)?;
                    self.info.functions_skipped += 1;
                }
                opcode::FUNCTION_PRE_GA => return Err(self.input.unsupported("a function of a release candidate")),
                opcode::EOF => break,
                kind => self.key(db, kind, expiry.take())?,
            }
        }
        self.put_batch(db)?;
        self.finish()
    }

    fn magic(&mut self) -> Result<(), RdbError> {
        let magic: [u8; 9] = self.input.array()?;
        let digits = magic.strip_prefix(b"REDIS").filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let Some(digits) = digits else {
            return Err(RdbError::Corrupt { offset: 0, what: "it does not begin with REDIS and a version" });
        };
        self.info.version = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        if READ_VERSIONS.contains(&self.info.version) { Ok(()) } else { Err(RdbError::Version(self.info.version)) }
    }

    fn key(&mut self, db: DbIndex, kind: u8, expiry: Option<UnixMs>) -> Result<(), RdbError> {
        let has_expired = expiry.is_some_and(|at| at < self.options.now) && self.options.expired == ExpiredKeys::Drop;
        let ttl = expiry.map_or(Ttl::Clear, Ttl::At);
        if kind == kind::STRING {
            return self.string(db, ttl, has_expired);
        }
        self.input.string_into(&mut self.key)?;
        let decoded = decode(&mut self.input, kind, self.keyspace.limits())?;
        if has_expired {
            self.info.keys_expired += 1;
            return Ok(());
        }
        let Decoded::Value(value) = decoded else { return Ok(()) };
        if self.keyspace.db(db).put(&self.key, value, ttl) {
            return Err(self.input.corrupt(TWICE));
        }
        self.info.keys_loaded += 1;
        Ok(())
    }

    fn string(&mut self, db: DbIndex, ttl: Ttl, has_expired: bool) -> Result<(), RdbError> {
        let start = self.batch.room().len();
        self.input.string_onto(self.batch.room())?;
        let key_end = self.batch.room().len();
        self.input.string_onto(self.batch.room())?;
        if has_expired {
            self.batch.cut(start);
            self.info.keys_expired += 1;
            return Ok(());
        }
        self.batch.push(key_end, ttl);
        if self.batch.is_full() { self.put_batch(db) } else { Ok(()) }
    }

    fn put_batch(&mut self, db: DbIndex) -> Result<(), RdbError> {
        let put = self.batch.put(self.keyspace, db);
        self.info.keys_loaded += put.map_err(|_| self.input.corrupt(TWICE))?;
        Ok(())
    }

    fn aux(&mut self) -> Result<(), RdbError> {
        self.input.string_into(&mut self.key)?;
        self.input.string_into(&mut self.text)?;
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let header = &mut self.info.header;
        match self.key.as_slice() {
            b"redis-ver" => header.redis_version = text.to_owned(),
            b"ctime" => header.created_s = text.parse().unwrap_or_default(),
            b"used-mem" => header.used_memory = text.parse().unwrap_or_default(),
            b"repl-stream-db" => self.repl_db = text.parse().unwrap_or_default(),
            b"repl-id" => self.replid = self.text.as_slice().try_into().ok(),
            b"repl-offset" => self.repl_offset = text.parse().ok(),
            b"aof-base" | b"aof-preamble" => header.aof_base = text == "1",
            b"quorate-epoch" => header.epoch = text.parse().ok(),
            _ => {} // Fields are hints: a reader skips those that it does not know.
        }
        Ok(())
    }

    fn skip_module_aux(&mut self) -> Result<(), RdbError> {
        self.input.len()?; // the module's id
        loop {
            match self.input.len()? {
                module::EOF => return Ok(()),
                module::SINT | module::UINT => drop(self.input.len()?),
                module::FLOAT => drop(self.input.array::<4>()?),
                module::DOUBLE => drop(self.input.array::<8>()?),
                module::STRING => self.input.string_into(&mut self.text)?,
                _ => return Err(self.input.corrupt("unknown kind of module data")),
            }
        }
    }

    fn finish(&mut self) -> Result<(), RdbError> {
        let offset = self.input.offset();
        let found = self.input.checksum()?;
        let expected = u64::from_le_bytes(self.input.array()?);
        self.input.settle()?;
        if self.options.checksum == Checksum::Crc64 && expected != 0 && expected != found {
            return Err(RdbError::Checksum { offset, expected, found });
        }
        let point = |(replid, offset)| ReplicationPoint { replid, offset, db: self.repl_db };
        self.info.header.replication = self.replid.zip(self.repl_offset).map(point);
        self.info.bytes = self.input.offset();
        Ok(())
    }
}

/// A time before the epoch has passed as surely as the epoch itself.
fn unix_ms(ms: i64) -> UnixMs {
    UnixMs(u64::try_from(ms).unwrap_or(0))
}
