//! DEBUG: for tests and operators who know what they do. Only where `enable-debug-command` allows it.

use std::time::Duration;

use crate::command::Arity::AtLeast;
use crate::command::{Command, Flags, Group};
use crate::{Call, Effect, Refusal, Reply};

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
        _ => Err(Refusal::UnknownSubcommand(String::from_utf8_lossy(call.argv[1]).into_owned(), "DEBUG".into())),
    }
}

/// `DEBUG SLEEP seconds`: everything stands still before anybody gets a reply.
fn sleep(call: &mut Call<'_>, seconds: &[u8]) -> Result<Reply, Refusal> {
    let seconds: f64 = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok()).ok_or(Refusal::NotFloat)?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| Refusal::OutOfRange)?;
    call.core.effects.push(Effect::Sleep(time.min(LONGEST_SLEEP)));
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
        b"double" => out.double(3.141),
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
        "JMAP",
        "    Does nothing.",
        "LOG <message>",
        "    Writes a line to the log.",
        "OBJECT <key>",
        "    Shows how a key is stored.",
        "PROTOCOL <type>",
        "    Replies with a value of the given type.",
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
    use crate::Effect;
    use crate::check::{Stage, check};
    use std::time::Duration;

    #[test]
    fn subcommands() {
        check("debug nosuch", "-ERR unknown subcommand 'nosuch'. Try DEBUG HELP.");
        check("debug object nosuch", "-ERR no such key");
        check("debug sleep x", "-ERR value is not a valid float");
        check("debug protocol double", "$3.141");
        let mut stage = Stage::new();
        stage.say(1, "debug sleep 0.5");
        assert!(stage.effects.iter().any(|e| matches!(e, Effect::Sleep(time) if *time == Duration::from_millis(500))));
    }

    #[test]
    fn it_is_off_unless_the_configuration_says_so() {
        let mut stage = Stage::with(quorate_config::ServerConfig::default());
        let refusal = stage.say(1, "debug jmap");
        assert!(refusal.starts_with("-ERR DEBUG command not allowed. If the enable-debug-command option"), "{refusal}");
    }
}
