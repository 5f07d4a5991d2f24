//! Requests that were cut and whose keys are on their way into the cache before the first of them runs: behind deep pipelines, and
//! behind many connections that say a little each, memory latency rules.
//!
//! Two steps, each over a whole window of sessions before the next begins: `cut` parses, finds each command's row, hashes its keys and asks
//! for their buckets; `fetch` reads the entries in them. Then the commands run, and find both near.
//!
//! Bounds: `BATCH` commands of one session, about `WINDOW` commands of at most `LANES` sessions, `KEYS` keys of one command.

use quorate_keyspace::{Db, DbIndex, KeyHash, Keyspace};
use quorate_resp::{Arguments, Limits, Partial, ProtocolError, Requests};

use crate::command::Keys;
use crate::gather::Gathered;
use crate::multi::Row;
use crate::{SessionId, Table};

/// Commands of one session that are cut before the first of them runs.
pub(crate) const BATCH: usize = 32;
/// Commands of several sessions that are cut before the first of them runs. Measured over 1 M keys: 16 and 32 are
/// best, 64 costs a tenth more.
pub(crate) const WINDOW: usize = 32;
/// Sessions in one window.
pub(crate) const LANES: usize = 64;
/// Keys of one command that are asked for beforehand.
const KEYS: usize = 16;
/// A lane that was made to hold requests larger than this is made anew once they have run.
const KEPT: usize = 256 * 1024;

/// Keys whose buckets were asked for, of one database. Sessions seldom use several.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub db: DbIndex,
    pub keys: Vec<KeyHash>,
}

impl Wanted {
    /// Asks for the entries of the keys. Some work after `cut`.
    pub fn fetch(&mut self, keyspace: &mut Keyspace) {
        keyspace.db(self.db).fetch(&self.keys);
        self.keys.clear();
    }

    /// From now on keys of this database.
    #[inline]
    pub fn change_to(&mut self, db: DbIndex, keyspace: &mut Keyspace) {
        if self.db != db {
            self.fetch(keyspace);
            self.db = db;
        }
    }
}

/// Bytes of one session, in a buffer that several share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// From whom.
    pub id: SessionId,
    /// Where they lie; not empty.
    pub bytes: std::ops::Range<usize>,
}

/// Arguments that `Argv` has room for without an allocation.
const FEW: usize = 16;

/// A command's arguments as commands take them. Reused from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Argv<'a> {
    few: [&'a [u8]; FEW],
    many: Vec<&'a [u8]>,
}

impl<'a> Argv<'a> {
    /// The arguments of `command`.
    #[inline]
    pub fn of(&mut self, command: &Arguments<'a>) -> &[&'a [u8]] {
        let count = command.iter().len();
        let Some(few) = self.few.get_mut(..count) else {
            self.many.clear();
            self.many.extend(command.iter());
            return &self.many;
        };
        for (place, argument) in few.iter_mut().zip(command.iter()) {
            *place = argument;
        }
        few
    }

    /// The same, of which some were left out of the buffer: those lie in `gathered`.
    pub fn with(&mut self, command: &Arguments<'a>, gathered: &'a Gathered) -> &[&'a [u8]] {
        let count = self.of(command).len();
        let all = self.few.get_mut(..count).unwrap_or(&mut self.many[..]);
        for (argument, bytes) in gathered.arguments() {
            all[argument] = bytes;
        }
        all
    }
}

/// One command of a lane.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Its row; of a container, not of its subcommand. `None`: there is no such command.
    pub row: Option<Row>,
    /// Its first key's hash.
    pub key: KeyHash,
}

impl Planned {
    /// Whether a command is of the same kind as the one in front of it.
    #[inline]
    pub fn is_followed_by(&self, next: Option<&Planned>) -> bool {
        let (Some(row), Some(next)) = (self.row, next.and_then(|next| next.row)) else { return false };
        std::ptr::eq(row, next)
    }
}

/// What one session has sent, cut into commands.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub requests: Requests,
    pub planned: Vec<Planned>,
    /// What was wrong behind the last command found.
    pub error: Option<ProtocolError>,
    /// Whether there may be more whole commands behind those found.
    pub full: bool,
}

impl Lane {
    /// Forgets its commands.
    pub fn empty(&mut self) {
        self.requests.forget();
        self.planned.clear();
        (self.error, self.full) = (None, false);
    }

    /// Gives back the memory of a large request that has run.
    #[inline]
    pub fn shrink(&mut self) {
        if self.memory() > KEPT {
            *self = Lane::default();
        }
    }

    /// Bytes that it keeps allocated for requests.
    pub fn memory(&self) -> usize {
        self.requests.memory()
    }

    /// Whether nothing was cut into it.
    pub fn is_empty(&self) -> bool {
        self.requests.consumed() == 0 && self.error.is_none() && !self.requests.has_partial()
    }

    /// Cuts `buffer` into at most `limits.1` commands, and asks for the buckets of their keys, which are added to `keys`.
    pub fn cut(
        &mut self,
        partial: Option<Partial>,
        buffer: &[u8],
        (limits, at_most): (Limits, usize),
        db: &Db<'_>,
        keys: &mut Vec<KeyHash>,
    ) {
        self.error = self.requests.parse(partial, buffer, &limits, at_most).err();
        self.full = self.requests.len() == at_most;
        self.planned.clear();
        let table = Table::get();
        for command in self.requests.commands(buffer) {
            let row = command.get(0).and_then(|name| table.command(name));
            let mut key = KeyHash::NONE;
            if let Some((first, step)) = row.and_then(|row| row.command.keys.leading())
                && let Some(word) = command.get(first)
            {
                key = db.prefetch(word);
                keys.push(key);
                let others = (1..KEYS).map_while(|nth| command.get(first.checked_add(step.checked_mul(nth)?)?));
                keys.extend(others.map(|word| db.prefetch(word)));
            }
            self.planned.push(Planned { row, key });
        }
    }
}

impl Keys {
    /// The place of the first key and the distance to the next, where that is known without looking at the arguments.
    fn leading(self) -> Option<(usize, usize)> {
        match self {
            Keys::First => Some((1, usize::MAX)),
            Keys::All => Some((1, 1)),
            Keys::Range { first, step, .. } => Some((first, step)),
            Keys::StoreCounted { .. } => Some((1, usize::MAX)),
            Keys::None | Keys::Counted { .. } | Keys::Custom(_) => None,
        }
    }
}
