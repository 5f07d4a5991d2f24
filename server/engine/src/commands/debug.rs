//! DEBUG: for tests and operators who know what they do. Only where `enable-debug-command` allows it.

use std::time::Duration;

use quorate_keyspace::{DbIndex, Image, ImageSink, Ttl};
use quorate_persist::rdb::RdbHeader;
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::{Checksum, Sealer};
use quorate_persist::rdb::write::{Compression, RdbWriter};

use super::digest;
use crate::command::Arity::AtLeast;
use crate::command::{Command, Flags, Group};
use crate::{Call, Effect, Now, REDIS_VERSION, Refusal, Reply};

/// DEBUG.
pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: AtLeast(2),
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::ANYTIME).with(Flags::PROTECTED),
    complexity: "Depends on subcommand.",
    summary: "A container for debugging commands.",
    run: debug,
    ..Command::of(Group::Server)
}];

/// Longest DEBUG SLEEP: a slip of the finger must not stop a server for good.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// `DEBUG subcommand ...`
fn debug(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let subcommand = call.argv[1].to_ascii_lowercase();
    match (subcommand.as_slice(), &call.argv[2..]) {
        (b"sleep", [seconds]) => sleep(call, seconds),
        (b"object", [key]) => object(call, key),
        (b"set-active-expire", [switch]) => {
            call.core.active_expire = *switch != b"0";
            Ok(Reply::Ok)
        }
        (b"jmap", []) => Ok(Reply::Ok),
        (b"digest", []) => {
            let digest = digest::of_all(call.db.keyspace());
            call.out.simple(&digest.to_string());
            Ok(Reply::Written)
        }
        (b"digest-value", keys) => {
            call.out.array(keys.len());
            for key in keys {
                call.out.simple(&digest::of_key(&call.db, key).to_string());
            }
            Ok(Reply::Written)
        }
        (b"reload", options) => reload(call, options),
        (b"populate", [count, rest @ ..]) => populate(call, count, rest),
        // Elements too large for a node of many have nodes of their own here as well; the bound is not for tests to move.
        (b"quicklist-packed-threshold", [_]) => Ok(Reply::Ok),
        (b"log", [line]) => {
            let line = format!("DEBUG LOG: {}", String::from_utf8_lossy(line));
            call.core.effects.push(Effect::Log(crate::Level::Warning, line));
            Ok(Reply::Ok)
        }
        (b"stringmatch-len", [len, pattern]) => {
            let len = quorate_resp::parse_int(len).and_then(|len| usize::try_from(len).ok());
            let text = vec![b'A'; len.filter(|len| *len <= 1 << 20).ok_or(Refusal::NotInteger)?];
            let case = quorate_collections::glob::Case::Sensitive;
            Ok(Reply::Flag(quorate_collections::glob::matches(pattern, &text, case)))
        }
        (b"protocol", [kind]) => protocol(call, kind),
        (b"help", []) => help(call),
        _ => Err(Refusal::SubcommandSyntax(String::from_utf8_lossy(call.argv[1]).into_owned(), "DEBUG")),
    }
}

/// `DEBUG SLEEP seconds`: everything stands still before anybody gets a reply.
fn sleep(call: &mut Call<'_>, seconds: &[u8]) -> Result<Reply, Refusal> {
    let seconds: f64 = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok()).ok_or(Refusal::NotFloat)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| Refusal::OutOfRange)?;
    let time = time.min(LONGEST_SLEEP);
    (call.core.host.sleep)(time);
    // Who is served after this command sees that time has passed.
    let now = &mut call.core.now;
    *now = Now { wall: now.wall.plus(time), mono: now.mono + time };
    let wall = now.wall;
    call.db.keyspace().set_now(wall);
    Ok(Reply::Ok)
}

/// `DEBUG RELOAD`: the whole dataset as an RDB and back, all in memory. Its options are about the file, and refused.
fn reload(call: &mut Call<'_>, options: &[&[u8]]) -> Result<Reply, Refusal> {
    if !options.is_empty() {
        return Err(Refusal::err(
            "DEBUG RELOAD takes no options here: the dataset goes through memory, not through a file",
        ));
    }
    let compression = if call.core.config.rdbcompression { Compression::Lzf } else { Compression::None };
    let header = RdbHeader { redis_version: REDIS_VERSION.to_owned(), ..RdbHeader::default() };
    let mut writer = RdbWriter::new(&header, Vec::new(), compression);
    let keyspace = call.db.keyspace();
    for number in 0..keyspace.databases() {
        let db = keyspace.db(DbIndex(number));
        for (key, value) in db.keys() {
            writer.image(Image { db: DbIndex(number), key, expiry: db.expiry(key).flatten(), value });
        }
    }
    writer.finish();
    let mut sealer = Sealer::new(Checksum::Crc64);
    let mut rdb = Vec::new();
    sealer.seal(&writer.drain(), &mut rdb);
    sealer.finish(&mut rdb);
    for number in 0..keyspace.databases() {
        drop(keyspace.db(DbIndex(number)).flush());
    }
    let options = LoadOptions { now: keyspace.now(), expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
    load(&mut rdb.as_slice(), keyspace, &options).expect("what was just written can be read");
    Ok(Reply::Ok)
}

/// `DEBUG POPULATE count [prefix] [size]`: keys `prefix:0` and on, without telling AOF or replicas; those that exist stay.
fn populate(call: &mut Call<'_>, count: &[u8], rest: &[&[u8]]) -> Result<Reply, Refusal> {
    let number = |text: &[u8]| {
        let number = quorate_resp::parse_int(text).ok_or(Refusal::NotInteger)?;
        usize::try_from(number).map_err(|_| Refusal::NotPositive)
    };
    let count = number(count)?;
    let prefix = rest.first().copied().unwrap_or(b"key");
    let size = rest.get(1).map(|size| number(size)).transpose()?.filter(|size| *size > 0);
    for index in 0..count {
        let key = [prefix, format!(":{index}").as_bytes()].concat();
        if call.db.contains(&key) {
            continue;
        }
        let mut text = format!("value:{index}").into_bytes();
        if let Some(size) = size {
            text.resize(size, 0);
        }
        call.db.put_string(&key, &text, Ttl::Clear);
    }
    Ok(Reply::Ok)
}

/// `DEBUG OBJECT key`
fn object(call: &mut Call<'_>, key: &[u8]) -> Result<Reply, Refusal> {
    let Some(encoding) = call.db.encoding(key) else { return Err(Refusal::NoSuchKey) };
    let memory = call.db.memory(key).unwrap_or(0);
    let idle = call.db.idle(key).unwrap_or_default().as_secs();
    let text =
        format!("Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{memory} lru:0 lru_seconds_idle:{idle}");
    call.out.simple(&text);
    Ok(Reply::Written)
}

/// `DEBUG PROTOCOL kind`: one reply of each kind that the protocol has, for clients' tests.
fn protocol(call: &mut Call<'_>, kind: &[u8]) -> Result<Reply, Refusal> {
    let out = &mut call.out;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double(3.25),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"map" => {
            out.map(3);
            for n in 0..3 {
                out.int(n);
                out.boolean(n == 1);
            }
        }
        b"attrib" => {
            if out.protocol() == quorate_resp::Protocol::Resp3 {
                out.attribute(1);
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
        }
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        _ => {
            return Err(Refusal::err(
                "Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Reply::Written)
}

fn help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let lines = [
        "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DIGEST",
        "    Digests the whole dataset.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Digests the values of keys.",
        "JMAP",
        "    Does nothing.",
        "LOG <message>",
        "    Writes a line to the log.",
        "OBJECT <key>",
        "    Shows how a key is stored.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Makes so many string keys.",
        "PROTOCOL <type>",
        "    Replies with a value of the given type.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Does nothing.",
        "RELOAD",
        "    Writes the dataset as an RDB and loads it again, in memory.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether expired keys are looked for in the background.",
        "SLEEP <seconds>",
        "    Stops the server for so long.",
        "STRINGMATCH-LEN <len> <pattern>",
        "    Matches a pattern against so many letters A.",
    ];
    call.out.array(lines.len());
    for line in lines {
        call.out.simple(line);
    }
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, check, scenario};

    #[test]
    fn subcommands() {
        check("debug nosuch", "-ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.");
        check("debug object nosuch", "-ERR no such key");
        check("debug sleep x", "-ERR value is not a valid float");
        check("debug protocol double", "$3.25");
        scenario(
            "> set k v px 400
             +OK
             > multi
             +OK
             > debug sleep 0.5
             +QUEUED
             > exists k
             +QUEUED
             > exec
             [+OK :0]",
        );
    }

    #[test]
    fn data_survive_a_reload() {
        scenario(
            "> rpush l a 1 b
             :3
             > set s text px 5000
             +OK
             > debug populate 2 k 3
             +OK
             > debug reload
             +OK
             > lrange l 0 -1
             [$a $1 $b]
             > pttl s
             :5000
             > get k:1
             $val
             > debug reload nosave
             -ERR DEBUG RELOAD takes no options here: the dataset goes through memory, not through a file",
        );
    }

    #[test]
    fn it_is_off_unless_the_configuration_says_so() {
        let mut stage = Stage::with(quorate_config::ServerConfig::default());
        let refusal = stage.say(1, "debug jmap");
        assert!(refusal.starts_with("-ERR DEBUG command not allowed. If the enable-debug-command option"), "{refusal}");
    }
}
