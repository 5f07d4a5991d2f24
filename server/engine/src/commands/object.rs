//! What a key's value is like inside (OBJECT), and values as payloads (DUMP, RESTORE).

use std::time::Duration;

use quorate_config::MaxmemoryPolicy;
use quorate_keyspace::{Ttl, UnixMs};
use quorate_persist::rdb::dump::{dump as to_payload, restore as from_payload};
use quorate_persist::rdb::write::Compression;

use super::expiry::is_past;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Categories, Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::Generic) };

/// The commands about a value's inside.
pub const COMMANDS: &[Command] = &[
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
             nil
             > object freq k
             -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
             > config set maxmemory-policy allkeys-lfu
             +OK
             > set new v
             +OK
             > object freq new
             :5
             > object idletime new
             -ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
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
