//! Commands about keys of any type: names, expiry, walks over the keyspace, values as payloads.

use std::time::Duration;

use quorate_collections::glob::{Case, matches};
use quorate_config::MaxmemoryPolicy;
use quorate_keyspace::{Copied, DbIndex, ExpiryMode, Replace, Ttl, UnixMs};
use quorate_persist::rdb::dump::{dump as to_payload, restore as from_payload};
use quorate_persist::rdb::write::Compression;

use super::scan::{Scan, Scanned, write_page};
use super::sort;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Categories, Command, Flags, Group, Keys};
use crate::{Call, Effect, Memory, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::Generic) };

/// Every command about keys of any type.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "copy",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        since: "6.2.0",
        summary: "Copies the value of a key to a new key.",
        complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        run: copy,
        ..ROW
    },
    Command {
        name: "del",
        arity: AtLeast(2),
        flags: Flags::WRITE,
        keys: Keys::All,
        summary: "Deletes one or more keys.",
        complexity: "O(N) where N is the number of keys that will be removed, and of elements in those that hold a collection.",
        run: del,
        ..ROW
    },
    Command {
        name: "dump",
        arity: Exactly(2),
        flags: Flags::READONLY,
        since: "2.6.0",
        summary: "Returns a serialized representation of the value stored at a key.",
        complexity: "O(N) where N is the size of the value.",
        run: dump,
        ..ROW
    },
    Command {
        name: "exists",
        arity: AtLeast(2),
        flags: Flags::READ_FAST,
        keys: Keys::All,
        summary: "Determines whether one or more keys exist.",
        complexity: "O(N) where N is the number of keys to check.",
        run: exists,
        ..ROW
    },
    Command {
        name: "expire",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        summary: "Sets the expiration time of a key in seconds.",
        run: expire,
        ..ROW
    },
    Command {
        name: "expireat",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "1.2.0",
        summary: "Sets the expiration time of a key to a Unix timestamp.",
        run: expireat,
        ..ROW
    },
    Command {
        name: "expiretime",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "7.0.0",
        summary: "Returns the expiration time of a key as a Unix timestamp.",
        run: expiretime,
        ..ROW
    },
    Command {
        name: "keys",
        arity: Exactly(2),
        flags: Flags::READONLY,
        keys: Keys::None,
        categories: Categories::DANGEROUS,
        summary: "Returns all key names that match a pattern.",
        complexity: "O(N) with N being the number of keys in the database.",
        run: keys,
        ..ROW
    },
    Command {
        name: "move",
        arity: Exactly(3),
        flags: Flags::WRITE_FAST,
        summary: "Moves a key to another database.",
        run: move_key,
        ..ROW
    },
    Command {
        name: "object",
        arity: AtLeast(2),
        since: "2.2.3",
        keys: Keys::None,
        summary: "A container for object introspection commands.",
        complexity: "Depends on subcommand.",
        subcommands: OBJECT,
        ..ROW
    },
    Command {
        name: "persist",
        arity: Exactly(2),
        flags: Flags::WRITE_FAST,
        since: "2.2.0",
        summary: "Removes the expiration time of a key.",
        run: persist,
        ..ROW
    },
    Command {
        name: "pexpire",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "2.6.0",
        summary: "Sets the expiration time of a key in milliseconds.",
        run: pexpire,
        ..ROW
    },
    Command {
        name: "pexpireat",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "2.6.0",
        summary: "Sets the expiration time of a key to a Unix milliseconds timestamp.",
        run: pexpireat,
        ..ROW
    },
    Command {
        name: "pexpiretime",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "7.0.0",
        summary: "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        run: pexpiretime,
        ..ROW
    },
    Command {
        name: "pttl",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "2.6.0",
        summary: "Returns the expiration time in milliseconds of a key.",
        run: pttl,
        ..ROW
    },
    Command {
        name: "randomkey",
        arity: Exactly(1),
        flags: Flags::READONLY,
        keys: Keys::None,
        summary: "Returns a random key name from the database.",
        run: randomkey,
        ..ROW
    },
    Command {
        name: "rename",
        arity: Exactly(3),
        flags: Flags::WRITE,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        summary: "Renames a key and overwrites the destination.",
        run: rename,
        ..ROW
    },
    Command {
        name: "renamenx",
        arity: Exactly(3),
        flags: Flags::WRITE_FAST,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        summary: "Renames a key only when the target key name doesn't exist.",
        run: renamenx,
        ..ROW
    },
    Command {
        name: "restore",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM,
        categories: Categories::DANGEROUS,
        since: "2.6.0",
        summary: "Creates a key from the serialized representation of a value.",
        complexity: "O(N) where N is the size of the value.",
        run: restore,
        ..ROW
    },
    Command {
        name: "scan",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        keys: Keys::None,
        since: "2.8.0",
        summary: "Iterates over the key names in the database.",
        complexity: "O(1) for every call. O(N) for a complete iteration, where N is the number of keys in the database.",
        run: scan,
        ..ROW
    },
    Command {
        name: "sort",
        arity: AtLeast(2),
        flags: Flags::WRITE_OOM.with(Flags::MOVABLE_KEYS),
        keys: Keys::Custom(sort::keys),
        categories: Categories::DANGEROUS,
        summary: "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
        complexity: "O(N+M*log(M)) where N is the number of elements to sort, and M the number of returned elements.",
        run: sort::sort,
        ..ROW
    },
    Command {
        name: "sort_ro",
        arity: AtLeast(2),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        categories: Categories::DANGEROUS,
        since: "7.0.0",
        summary: "Returns the sorted elements of a list, a set, or a sorted set.",
        complexity: "O(N+M*log(M)) where N is the number of elements to sort, and M the number of returned elements.",
        run: sort::sort_ro,
        ..ROW
    },
    Command {
        name: "touch",
        arity: AtLeast(2),
        flags: Flags::READ_FAST,
        keys: Keys::All,
        since: "3.2.1",
        summary: "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
        complexity: "O(N) where N is the number of keys that will be touched.",
        run: exists,
        ..ROW
    },
    Command {
        name: "ttl",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Returns the expiration time in seconds of a key.",
        run: ttl,
        ..ROW
    },
    Command {
        name: "type",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Determines the type of value stored at a key.",
        run: kind,
        ..ROW
    },
    Command {
        name: "unlink",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        keys: Keys::All,
        since: "4.0.0",
        summary: "Asynchronously deletes one or more keys.",
        complexity: "O(1) for each key removed regardless of its size; the memory is reclaimed on another thread.",
        run: unlink,
        ..ROW
    },
];

const OBJECT_ROW: Command =
    Command { flags: Flags::READONLY, keys: Keys::Range { first: 2, last: 2, step: 1 }, arity: Exactly(3), ..ROW };

const OBJECT: &[Command] = &[
    Command {
        name: "encoding",
        since: "2.2.3",
        summary: "Returns the internal encoding of a Redis object.",
        run: object_encoding,
        ..OBJECT_ROW
    },
    Command {
        name: "freq",
        since: "4.0.0",
        summary: "Returns the logarithmic access frequency counter of a Redis object.",
        run: object_freq,
        ..OBJECT_ROW
    },
    Command {
        name: "help",
        arity: Exactly(2),
        flags: Flags::ANYTIME,
        keys: Keys::None,
        since: "6.2.0",
        summary: "Returns helpful text about the different subcommands.",
        run: object_help,
        ..OBJECT_ROW
    },
    Command {
        name: "idletime",
        since: "2.2.3",
        summary: "Returns the time since the last access to a Redis object.",
        run: object_idletime,
        ..OBJECT_ROW
    },
    Command {
        name: "refcount",
        since: "2.2.3",
        summary: "Returns the reference count of a value of a key.",
        run: object_refcount,
        ..OBJECT_ROW
    },
];

/// `DEL key [key ...]`: how many existed.
fn del(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut removed = 0;
    for key in &call.argv[1..] {
        if call.db.remove(key) {
            call.changed(key, "del", 1);
            removed += 1;
        }
    }
    Ok(Reply::Int(removed))
}

/// From so many allocations on, freeing a value is worth a trip to another thread. Source: Redis, LAZYFREE_THRESHOLD.
const WORTH_A_TRIP: usize = 64;

/// `UNLINK key [key ...]`: how many existed.
fn unlink(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut removed = 0;
    for key in &call.argv[1..] {
        if let Some(old) = call.db.unlink(key) {
            if old.elements() > WORTH_A_TRIP {
                call.core.effects.push(Effect::Free(Memory(old)));
            }
            call.changed(key, "del", 1);
            removed += 1;
        }
    }
    Ok(Reply::Int(removed))
}

/// `EXISTS key [key ...]`, `TOUCH key [key ...]`: how many exist; one said twice counts twice.
fn exists(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let found = call.argv[1..].iter().filter(|key| call.db.contains(key)).count();
    Ok(Reply::Int(found as i64))
}

/// `TYPE key`
fn kind(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Simple(call.db.kind(call.argv[1]).map_or("none", |kind| kind.name())))
}

/// When EXPIRE and its like may set an expiry; all must hold.
#[derive(Default)]
struct Condition {
    only_without: bool,
    only_with: bool,
    only_later: bool,
    only_sooner: bool,
}

impl Condition {
    fn parse(options: &[&[u8]]) -> Result<Condition, Refusal> {
        let mut condition = Condition::default();
        for option in options {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("nx") {
                condition.only_without = true;
            } else if is("xx") {
                condition.only_with = true;
            } else if is("gt") {
                condition.only_later = true;
            } else if is("lt") {
                condition.only_sooner = true;
            } else {
                return Err(Refusal::err(format_args!("Unsupported option {}", String::from_utf8_lossy(option))));
            }
        }
        let Condition { only_without, only_with, only_later, only_sooner } = condition;
        if only_without && (only_with || only_later || only_sooner) {
            return Err(Refusal::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if only_later && only_sooner {
            return Err(Refusal::fixed("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// A key without expiry lives for ever: nothing is later.
    fn allows(&self, present: Option<UnixMs>, at: i64) -> bool {
        let present = present.map(|at| at.0 as i64);
        let forbidden = match present {
            None => self.only_with || self.only_later,
            Some(present) => self.only_without || self.only_later && at <= present || self.only_sooner && at >= present,
        };
        !forbidden
    }
}

/// What the argument of EXPIRE and its like counts.
#[derive(Clone, Copy)]
struct Clock {
    ms_per_unit: i64,
    from_now: bool,
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
fn expire(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1000, from_now: true })
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
fn pexpire(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1, from_now: true })
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
fn expireat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1000, from_now: false })
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
fn pexpireat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1, from_now: false })
}

fn expire_generic(call: &mut Call<'_>, clock: Clock) -> Result<Reply, Refusal> {
    let [_, key, _, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let condition = Condition::parse(options)?;
    let base = if clock.from_now { call.db.now().0 as i64 } else { 0 };
    let ms = call.int(2)?.checked_mul(clock.ms_per_unit);
    let at = ms.and_then(|ms| ms.checked_add(base)).ok_or(Refusal::InvalidExpire(call.name()))?;
    let Some(present) = call.db.expiry(key) else { return Ok(Reply::Int(0)) };
    if !condition.allows(present, at) {
        return Ok(Reply::Int(0));
    }
    // A time before the epoch is as past as the epoch itself.
    expire_at(call, key, UnixMs(u64::try_from(at).unwrap_or(0)));
    Ok(Reply::Int(1))
}

/// Lets an existing key expire at `at`; a master deletes it at once when that is past.
pub(super) fn expire_at(call: &mut Call<'_>, key: &[u8], at: UnixMs) {
    if is_past(call, at) {
        call.db.remove(key);
        call.propagate_as(&[b"DEL", key]);
        call.changed(key, "del", 1);
    } else {
        call.db.set_expiry(key, at);
        call.propagate_as(&[b"PEXPIREAT", key, at.0.to_string().as_bytes()]);
        call.changed(key, "expire", 1);
    }
}

/// Is it for us to say that a key has expired? A replica and a loader wait for DEL.
fn is_past(call: &mut Call<'_>, at: UnixMs) -> bool {
    at <= call.db.now() && call.db.keyspace().expiry_mode() == ExpiryMode::Delete
}

/// `PERSIST key`
fn persist(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let persisted = call.db.persist(key);
    call.changed(key, "persist", usize::from(persisted));
    Ok(Reply::Flag(persisted))
}

/// `TTL key`: seconds, rounded; -1 for ever, -2 no such key.
fn ttl(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let now = call.db.now();
    Ok(time_of(call, |at| (at.0.saturating_sub(now.0) + 500) / 1000))
}

/// `PTTL key`: milliseconds.
fn pttl(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let now = call.db.now();
    Ok(time_of(call, |at| at.0.saturating_sub(now.0)))
}

/// `EXPIRETIME key`: Unix time in seconds, rounded.
fn expiretime(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(time_of(call, |at| at.0.saturating_add(500) / 1000))
}

/// `PEXPIRETIME key`: Unix time in milliseconds.
fn pexpiretime(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(time_of(call, |at| at.0))
}

fn time_of(call: &Call<'_>, tell: impl Fn(UnixMs) -> u64) -> Reply {
    Reply::Int(match call.db.expiry(call.argv[1]) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => tell(at) as i64,
    })
}

/// `RENAME key newkey`
fn rename(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to] = call.argv else { unreachable!("arity is checked before run") };
    call.db.rename(from, to).ok_or(Refusal::NoSuchKey)?;
    if from != to {
        call.changed(from, "rename_from", 1);
        call.changed(to, "rename_to", 1);
    }
    Ok(Reply::Ok)
}

/// `RENAMENX key newkey`: 0 when the new name is taken.
fn renamenx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to] = call.argv else { unreachable!("arity is checked before run") };
    if call.db.kind(from).is_none() {
        return Err(Refusal::NoSuchKey);
    }
    if call.db.kind(to).is_some() {
        return Ok(Reply::Int(0));
    }
    rename(call)?;
    Ok(Reply::Int(1))
}

const SAME_OBJECT: Refusal = Refusal::fixed("ERR source and destination objects are the same");

/// `COPY source destination [DB index] [REPLACE]`: 1 when it was copied.
fn copy(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let (mut into, mut replace) = (call.db.index(), Replace::No);
    let mut index = 0;
    while let Some(option) = options.get(index) {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = Replace::Yes;
        } else if option.eq_ignore_ascii_case(b"db") && index + 1 < options.len() {
            index += 1;
            into = database(call, 3 + index)?;
        } else {
            return Err(Refusal::Syntax);
        }
        index += 1;
    }
    if into == call.db.index() && from == to {
        return Err(SAME_OBJECT);
    }
    let copied = call.db.copy(from, into, to, replace) == Copied::Done;
    call.changed_in(into, to, "copy_to", usize::from(copied));
    Ok(Reply::Flag(copied))
}

/// The database that an argument names.
fn database(call: &mut Call<'_>, argument: usize) -> Result<DbIndex, Refusal> {
    let number = call.int(argument)?;
    if i32::try_from(number).is_err() {
        return Err(Refusal::NotInteger);
    }
    Ok(call.db.keyspace().index(number)?)
}

/// `MOVE key db`: 1 when it was moved.
fn move_key(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let into = database(call, 2)?;
    if into == call.db.index() {
        return Err(SAME_OBJECT);
    }
    let moved = call.db.move_to(key, into);
    call.changed(key, "move_from", usize::from(moved));
    call.changed_in(into, key, "move_to", usize::from(moved));
    Ok(Reply::Flag(moved))
}

/// `KEYS pattern`
fn keys(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let pattern = call.argv[1];
    let place = call.out.defer();
    let mut count = 0;
    for (key, _) in call.db.keys() {
        if pattern == b"*" || matches(pattern, key, Case::Sensitive) {
            call.out.bulk(key);
            count += 1;
        }
    }
    call.out.finish_array(place, count);
    Ok(Reply::Written)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`: the next cursor and some keys.
fn scan(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let asked = Scan::parse(call.argv[1], &call.argv[2..], Scanned::Keys)?;
    let mut found = Vec::new();
    let cursor = asked.run(|cursor| {
        let mut visited = 0;
        let next = call.db.scan(cursor, &mut |key, value| {
            visited += 1;
            let right_kind = asked.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(value.kind().name().as_bytes()));
            if right_kind && asked.lets(key) {
                found.push(key.to_vec());
            }
        });
        (next, visited)
    });
    write_page(call, cursor, &found);
    Ok(Reply::Written)
}

/// `RANDOMKEY`
fn randomkey(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(call.db.random_key(&mut call.core.rng).map_or(Reply::Null, Reply::Bulk))
}

/// `OBJECT ENCODING key`
fn object_encoding(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(call.db.encoding(call.argv[2]).map_or(Reply::Null, |name| Reply::Bulk(name.into())))
}

/// `OBJECT REFCOUNT key`: values are never shared.
fn object_refcount(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(call.db.kind(call.argv[2]).map_or(Reply::Null, |_| Reply::Int(1)))
}

fn measures_frequency(call: &Call<'_>) -> bool {
    use MaxmemoryPolicy::{AllkeysLfu, VolatileLfu};
    matches!(call.core.config.maxmemory_policy, AllkeysLfu | VolatileLfu)
}

/// `OBJECT IDLETIME key`: seconds.
fn object_idletime(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Some(idle) = call.db.idle(call.argv[2]) else { return Ok(Reply::Null) };
    if measures_frequency(call) {
        return Err(Refusal::fixed(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    Ok(Reply::Int(idle.as_secs() as i64))
}

/// `OBJECT FREQ key`
fn object_freq(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Some(count) = call.db.frequency(call.argv[2]) else { return Ok(Reply::Null) };
    if !measures_frequency(call) {
        return Err(Refusal::fixed(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    Ok(Reply::Int(i64::from(count)))
}

/// `OBJECT HELP`
fn object_help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    super::write_help(call, "OBJECT", OBJECT);
    Ok(Reply::Written)
}

/// `DUMP key`: the value as RESTORE takes it.
fn dump(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let compression = if call.core.config.rdbcompression { Compression::Lzf } else { Compression::None };
    Ok(call.db.value(call.argv[1]).map_or(Reply::Null, |value| Reply::Bulk(to_payload(value, compression))))
}

/// What RESTORE was asked beside key, ttl and payload.
#[derive(Default)]
struct Restore {
    replace: bool,
    absolute: bool,
    idle_secs: Option<u64>,
    count: Option<u8>,
}

impl Restore {
    fn parse(options: &[&[u8]]) -> Result<Restore, Refusal> {
        let mut asked = Restore::default();
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("replace") {
                asked.replace = true;
            } else if is("absttl") {
                asked.absolute = true;
            } else if is("idletime") && asked.count.is_none() {
                let secs =
                    quorate_resp::parse_int(options.next().ok_or(Refusal::Syntax)?).ok_or(Refusal::NotInteger)?;
                let invalid = Refusal::fixed("ERR Invalid IDLETIME value, must be >= 0");
                asked.idle_secs = Some(u64::try_from(secs).map_err(|_| invalid)?);
            } else if is("freq") && asked.idle_secs.is_none() {
                let count =
                    quorate_resp::parse_int(options.next().ok_or(Refusal::Syntax)?).ok_or(Refusal::NotInteger)?;
                let invalid = Refusal::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
                asked.count = Some(u8::try_from(count).map_err(|_| invalid)?);
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(asked)
    }
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
fn restore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, _, payload, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let asked = Restore::parse(options)?;
    if !asked.replace && call.db.kind(key).is_some() {
        return Err(Refusal::fixed("BUSYKEY Target key name already exists."));
    }
    let ttl_ms = u64::try_from(call.int(2)?).map_err(|_| Refusal::fixed("ERR Invalid TTL value, must be >= 0"))?;
    let limits = call.db.keyspace().limits();
    let value = from_payload(payload, limits).map_err(Refusal::err)?;
    let at = match (ttl_ms, asked.absolute) {
        (0, _) => None,
        (at, true) => Some(UnixMs(at)),
        (delay, false) => Some(call.db.now().plus(Duration::from_millis(delay))),
    };
    if at.is_some_and(|at| is_past(call, at)) {
        if call.db.remove(key) {
            call.propagate_as(&[b"DEL", key]);
            call.changed(key, "del", 1);
        }
        return Ok(Reply::Ok);
    }
    call.db.put(key, value, at.map_or(Ttl::Clear, Ttl::At));
    if let Some(secs) = asked.idle_secs {
        call.db.set_idle(key, Duration::from_secs(secs));
    }
    if let Some(count) = asked.count {
        call.db.set_frequency(key, count);
    }
    if let (Some(at), false) = (at, asked.absolute) {
        let text = at.0.to_string();
        let mut argv = call.argv.to_vec();
        argv[2] = text.as_bytes();
        argv.push(b"ABSTTL");
        call.propagate_as(&argv);
    }
    call.changed(key, "restore", 1);
    Ok(Reply::Ok)
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, check, scenario};

    #[test]
    fn keys_come_and_go() {
        scenario(
            "> mset a 1 b 2 c 3
             +OK
             > exists a a none
             :2
             > touch a b none
             :2
             > del a none b
             :2
             > unlink c none
             :1
             > del a
             :0
             stream [$SELECT $0] [$mset $a $1 $b $2 $c $3] [$del $a $none $b] [$unlink $c $none]
             > type a
             +none
             > lpush l x
             :1
             > type l
             +list
             > randomkey
             $l
             > del l
             :1
             > randomkey
             nil",
        );
    }

    #[test]
    fn expiry_is_told_as_an_instant_and_obeys_conditions() {
        scenario(
            "> set k v
             +OK
             > ttl k
             :-1
             > ttl none
             :-2
             > expire k 100 xx
             :0
             > expire k 100 gt
             :0
             > expire k 100 nx
             :1
             > expire k 200 nx
             :0
             > expire k 50 gt
             :0
             > pexpire k 150000 gt
             :1
             > pttl k
             :150000
             > expire k 200 lt
             :0
             > expireat k 1700000100 lt
             :1
             > expiretime k
             :1700000100
             > pexpiretime k
             :1700000100000
             > persist k
             :1
             > persist k
             :0
             stream [$SELECT $0] [$set $k $v] [$PEXPIREAT $k $1700000100000] [$PEXPIREAT $k $1700000150000] [$PEXPIREAT $k $1700000100000] [$persist $k]
             > expire k -1
             :1
             > exists k
             :0
             > expire none 5
             :0
             stream [$DEL $k]",
        );
        check("expire k x", "-ERR value is not an integer or out of range");
        check("expire k 5 what", "-ERR Unsupported option what");
        check("expire k 5 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible");
        check("expire k 5 gt lt", "-ERR GT and LT options at the same time are not compatible");
        check("expire k 9223372036854775807", "-ERR invalid expire time in 'expire' command");
        check("pexpire k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command");
    }

    #[test]
    fn an_expired_key_is_gone_and_told_as_del() {
        scenario(
            "> set k v px 50
             +OK
             > set other v
             +OK
             wait 51
             > exists k
             :0
             stream [$SELECT $0] [$SET $k $v $PXAT $1700000000050] [$set $other $v] [$DEL $k]",
        );
    }

    #[test]
    fn names_change() {
        scenario(
            "> set a 1 ex 100
             +OK
             > rename a b
             +OK
             > ttl b
             :100
             > rename none b
             -ERR no such key
             > rename b b
             +OK
             > set c 2
             +OK
             > renamenx b c
             :0
             > renamenx b d
             :1
             > renamenx none d
             -ERR no such key
             > rename d c
             +OK
             > get c
             $1
             stream [$SELECT $0] [$SET $a $1 $PXAT $1700000100000] [$rename $a $b] [$set $c $2] [$renamenx $b $d] [$rename $d $c]",
        );
    }

    #[test]
    fn copies_and_moves_between_databases() {
        scenario(
            "> rpush l a b
             :2
             > copy l m
             :1
             > copy l m
             :0
             > rpush l c
             :3
             > copy l m replace db 0
             :1
             > lrange m 0 -1
             [$a $b $c]
             > copy l l
             -ERR source and destination objects are the same
             > copy l l db 1
             :1
             > copy none x
             :0
             > copy l x db 99
             -ERR DB index is out of range
             > copy l x db
             -ERR syntax error
             > move l 1
             :0
             > move m 1
             :1
             > move l 0
             -ERR source and destination objects are the same
             > move l -1
             -ERR DB index is out of range
             > move l x
             -ERR value is not an integer or out of range
             > select 1
             +OK
             > lrange m 0 -1
             [$a $b $c]",
        );
    }

    #[test]
    fn walks_over_the_keyspace() {
        scenario(
            "> mset user:1 a
             +OK
             > lpush list:1 x
             :1
             > keys user:*
             [$user:1]
             > keys nothing
             []
             > scan 0 match user:* count 100
             [$0 [$user:1]]
             > scan 0 type list count 100
             [$0 [$list:1]]
             > scan 0 type nonsense
             [$0 []]
             > scan x
             -ERR invalid cursor
             > scan 0 count 0
             -ERR syntax error
             > scan 0 count x
             -ERR value is not an integer or out of range
             > scan 0 count
             -ERR syntax error",
        );
        let mut stage = Stage::new();
        for number in 0..1000 {
            assert_eq!(stage.say(1, &format!("set key:{number} v")), "+OK");
        }
        let (mut cursor, mut seen) = (String::from("0"), std::collections::BTreeSet::new());
        loop {
            let page = stage.say(1, &format!("scan {cursor} count 50"));
            let (next, keys) = page[2..].split_once(' ').expect("a cursor and keys");
            seen.extend(keys.split(['[', ']', ' ']).filter(|key| !key.is_empty()).map(str::to_owned));
            cursor = next.to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn objects_tell_about_themselves() {
        scenario(
            "> set k 12
             +OK
             > object encoding k
             $int
             > object refcount k
             :1
             > object encoding none
             nil
             > object idletime k
             :0
             wait 5000
             > object idletime k
             :5
             > get k
             $12
             > object idletime k
             :0
             > object freq none
             nil",
        );
        check("object what k", "-ERR unknown subcommand 'what'. Try OBJECT HELP.");
    }

    /// Says a command with a payload in it that no line of text could hold.
    fn say(stage: &mut Stage, argv: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        quorate_resp::encode_command(&mut bytes, argv);
        stage.send(1, &bytes);
        stage.hear(1)
    }

    #[test]
    fn payloads_restore_what_was_dumped() {
        let mut stage = Stage::new();
        let mut db = stage.engine.keyspace_mut().db(quorate_keyspace::DbIndex(0));
        db.list_mut(b"l").expect("a list").push(quorate_keyspace::End::Tail, b"x");
        let payload = super::to_payload(db.peek(b"l").expect("just pushed"), super::Compression::None);
        assert_eq!(say(&mut stage, &[b"restore", b"l", b"0", &payload]), "-BUSYKEY Target key name already exists.");
        assert_eq!(say(&mut stage, &[b"restore", b"m", b"-1", &payload]), "-ERR Invalid TTL value, must be >= 0");
        assert_eq!(
            say(&mut stage, &[b"restore", b"m", b"0", &payload[1..]]),
            "-ERR DUMP payload version or checksum are wrong"
        );
        assert_eq!(say(&mut stage, &[b"restore", b"m", b"5000", &payload, b"idletime", b"77"]), "+OK");
        assert_eq!(stage.say(1, "object idletime m"), ":77");
        assert_eq!(stage.say(1, "pttl m"), ":5000");
        assert_eq!(stage.say(1, "lrange m 0 -1"), "[$x]");
        assert_eq!(say(&mut stage, &[b"restore", b"m", b"1", &payload, b"absttl", b"replace"]), "+OK");
        assert_eq!(stage.say(1, "exists m"), ":0", "that time is past");
        assert_eq!(
            say(&mut stage, &[b"restore", b"m", b"0", &payload, b"idletime", b"-1"]),
            "-ERR Invalid IDLETIME value, must be >= 0"
        );
        assert_eq!(
            say(&mut stage, &[b"restore", b"m", b"0", &payload, b"freq", b"256"]),
            "-ERR Invalid FREQ value, must be >= 0 and <= 255"
        );
        assert_eq!(say(&mut stage, &[b"restore", b"m", b"0", &payload, b"what"]), "-ERR syntax error");
        assert_eq!(stage.say(1, "dump none"), "nil");
        assert!(stage.say(1, "dump l").starts_with('$'));
    }
}
