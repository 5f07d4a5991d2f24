//! Strings: whole values and ranges of bytes. Numbers are counted in `counters.rs`, LCS is in `lcs.rs`.

use quorate_keyspace::{Ttl, UnixMs};

use super::{Expiry, lcs};
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::String) };

/// The commands about text.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "append",
        arity: Exactly(3),
        flags: Flags::WRITE_OOM_FAST,
        since: "2.0.0",
        summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.",
        complexity: "O(1) amortized.",
        run: append,
        ..ROW
    },
    Command {
        name: "get",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Returns the string value of a key.",
        run: get,
        ..ROW
    },
    Command {
        name: "getdel",
        arity: Exactly(2),
        flags: Flags::WRITE_FAST,
        since: "6.2.0",
        summary: "Returns the string value of a key after deleting the key.",
        run: getdel,
        ..ROW
    },
    Command {
        name: "getex",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        since: "6.2.0",
        summary: "Returns the string value of a key after setting its expiration time.",
        run: getex,
        ..ROW
    },
    Command {
        name: "getrange",
        arity: Exactly(4),
        flags: Flags::READONLY,
        since: "2.4.0",
        summary: "Returns a substring of the string stored at a key.",
        complexity: "O(N) where N is the length of the returned string.",
        run: getrange,
        ..ROW
    },
    Command {
        name: "getset",
        arity: Exactly(3),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Returns the previous string value of a key after setting it to a new value.",
        run: getset,
        ..ROW
    },
    Command {
        name: "lcs",
        arity: AtLeast(3),
        flags: Flags::READONLY,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        since: "7.0.0",
        summary: "Finds the longest common substring.",
        complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
        run: lcs::lcs,
        ..ROW
    },
    Command {
        name: "mget",
        arity: AtLeast(2),
        flags: Flags::READ_FAST,
        keys: Keys::All,
        summary: "Atomically returns the string values of one or more keys.",
        complexity: "O(N) where N is the number of keys to retrieve.",
        run: mget,
        ..ROW
    },
    Command {
        name: "mset",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::Range { first: 1, last: -1, step: 2 },
        since: "1.0.1",
        summary: "Atomically creates or modifies the string values of one or more keys.",
        complexity: "O(N) where N is the number of keys to set.",
        run: mset,
        ..ROW
    },
    Command {
        name: "msetnx",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::Range { first: 1, last: -1, step: 2 },
        since: "1.0.1",
        summary: "Atomically modifies the string values of one or more keys only when all keys don't exist.",
        complexity: "O(N) where N is the number of keys to set.",
        run: msetnx,
        ..ROW
    },
    Command {
        name: "psetex",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM,
        since: "2.6.0",
        summary: "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
        run: psetex,
        ..ROW
    },
    Command {
        name: "set",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
        run: set,
        ..ROW
    },
    Command {
        name: "setex",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM,
        since: "2.0.0",
        summary: "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
        run: setex,
        ..ROW
    },
    Command {
        name: "setnx",
        arity: Exactly(3),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Set the string value of a key only when the key doesn't exist.",
        run: setnx,
        ..ROW
    },
    Command {
        name: "setrange",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM,
        since: "2.2.0",
        summary: "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
        complexity: "O(1), not counting the time taken to copy the new string in place.",
        run: setrange,
        ..ROW
    },
    Command {
        name: "strlen",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "2.2.0",
        summary: "Returns the length of a string value.",
        run: strlen,
        ..ROW
    },
    Command {
        name: "substr",
        arity: Exactly(4),
        flags: Flags::READONLY,
        summary: "Returns a substring from a string value.",
        complexity: "O(N) where N is the length of the returned string.",
        run: getrange,
        ..ROW
    },
];

/// When SET writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Absent,
    Present,
}

/// What becomes of the expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing was said: SET clears it, GETEX leaves it.
    Unsaid,
    Keep,
    Persist,
    /// At this argument, in this unit.
    Expire(Expiry, usize),
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`: OK; null when NX or XX forbade it; with GET the old value.
fn set(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, value, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let (mut when, mut gets, mut fate) = (When::Always, false, Fate::Unsaid);
    let mut index = 0;
    while let Some(option) = options.get(index) {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("nx") && when != When::Present {
            when = When::Absent;
        } else if is("xx") && when != When::Absent {
            when = When::Present;
        } else if is("get") {
            gets = true;
        } else if is("keepttl") && matches!(fate, Fate::Unsaid | Fate::Keep) {
            fate = Fate::Keep;
        } else {
            fate = expiry_option(fate, options, &mut index).ok_or(Refusal::Syntax)?;
        }
        index += 1;
    }
    let at = match fate {
        Fate::Expire(unit, argument) => Some(unit.instant(call, options[argument], "set")?),
        _ => None,
    };
    let exists = when != When::Always && call.db.kind(key).is_some();
    if gets {
        match call.db.text(key)? {
            Some(old) => call.core.lent.write(&mut call.out, old),
            None => call.out.null(),
        }
    }
    let replied = |otherwise: Reply| if gets { Reply::Written } else { otherwise };
    if exists && when == When::Absent || !exists && when == When::Present {
        return Ok(replied(Reply::Null));
    }
    match (at, fate) {
        (Some(at), _) => store_until(call, key, value, at),
        (None, fate) => {
            call.put_string(key, value, if fate == Fate::Keep { Ttl::Keep } else { Ttl::Clear });
            if gets {
                let said = call.argv.iter().enumerate();
                let rest = said.filter(|(index, word)| *index < 3 || !word.eq_ignore_ascii_case(b"get"));
                let without_get: Vec<&[u8]> = rest.map(|(_, word)| *word).collect();
                call.propagate_as(&without_get);
            }
            call.changed(key, "set", 1);
        }
    }
    Ok(replied(Reply::Ok))
}

/// Reads an option with an instant behind it, at `index`, which moves to that instant.
fn expiry_option(fate: Fate, options: &[&[u8]], index: &mut usize) -> Option<Fate> {
    let unit = Expiry::of_option(options[*index])?;
    let fits = match fate {
        Fate::Unsaid => true,
        Fate::Expire(other, _) => other == unit,
        Fate::Keep | Fate::Persist => false,
    };
    *index += 1;
    (fits && *index < options.len()).then_some(Fate::Expire(unit, *index))
}

/// Stores a string that expires; tells replicas the instant instead of a delay.
fn store_until(call: &mut Call<'_>, key: &[u8], value: &[u8], at: UnixMs) {
    call.put_string(key, value, Ttl::At(at));
    call.propagate_as(&[b"SET", key, value, b"PXAT", at.0.to_string().as_bytes()]);
    call.changed(key, "set", 1);
    call.changed(key, "expire", 1);
}

/// `SETEX key seconds value`
fn setex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, delay, value] = call.argv else { unreachable!("arity is checked before run") };
    let at = Expiry::Ex.instant(call, delay, "setex")?;
    store_until(call, key, value, at);
    Ok(Reply::Ok)
}

/// `PSETEX key milliseconds value`
fn psetex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, delay, value] = call.argv else { unreachable!("arity is checked before run") };
    let at = Expiry::Px.instant(call, delay, "psetex")?;
    store_until(call, key, value, at);
    Ok(Reply::Ok)
}

/// `SETNX key value`: 1 when it was set.
fn setnx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, value] = call.argv else { unreachable!("arity is checked before run") };
    if call.db.kind(key).is_some() {
        return Ok(Reply::Int(0));
    }
    call.put_string(key, value, Ttl::Clear);
    call.changed(key, "set", 1);
    Ok(Reply::Int(1))
}

/// `GET key`
fn get(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match call.db.text(call.argv[1])? {
        Some(text) => call.core.lent.write(&mut call.out, text),
        None => call.out.null(),
    }
    Ok(Reply::Written)
}

/// `GETSET key value`: the old value.
fn getset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, value] = call.argv else { unreachable!("arity is checked before run") };
    get(call)?;
    call.put_string(key, value, Ttl::Clear);
    call.propagate_as(&[b"SET", key, value]);
    call.changed(key, "set", 1);
    Ok(Reply::Written)
}

/// `GETDEL key`
fn getdel(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    get(call)?;
    if call.db.remove(key) {
        call.propagate_as(&[b"DEL", key]);
        call.changed(key, "del", 1);
    }
    Ok(Reply::Written)
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
fn getex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let mut fate = Fate::Unsaid;
    let mut index = 0;
    while let Some(option) = options.get(index) {
        let persist = option.eq_ignore_ascii_case(b"persist") && matches!(fate, Fate::Unsaid | Fate::Persist);
        fate = match persist {
            true => Fate::Persist,
            false => expiry_option(fate, options, &mut index).ok_or(Refusal::Syntax)?,
        };
        index += 1;
    }
    let Some(text) = call.db.text(key)? else { return Ok(Reply::Null) };
    call.core.lent.write(&mut call.out, text);
    match fate {
        Fate::Expire(unit, argument) => {
            let at = unit.instant(call, options[argument], "getex")?;
            super::expiry::expire_at(call, key, at);
        }
        Fate::Persist if call.db.persist(key) => {
            call.propagate_as(&[b"PERSIST", key]);
            call.changed(key, "persist", 1);
        }
        _ => {}
    }
    Ok(Reply::Written)
}

/// `MGET key [key ...]`: null where there is no string.
fn mget(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let keys = &call.argv[1..];
    call.out.array(keys.len());
    for key in keys {
        match call.db.text(key) {
            Ok(Some(text)) => call.core.lent.write(&mut call.out, text),
            Ok(None) | Err(_) => call.out.null(),
        }
    }
    Ok(Reply::Written)
}

/// `MSET key value [key value ...]`
fn mset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (pairs, odd) = call.argv[1..].as_chunks::<2>();
    if !odd.is_empty() {
        return Err(call.arity());
    }
    store_pairs(call, pairs);
    Ok(Reply::Ok)
}

/// `MSETNX key value [key value ...]`: all or, when one key exists, none.
fn msetnx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (pairs, odd) = call.argv[1..].as_chunks::<2>();
    if !odd.is_empty() {
        return Err(call.arity());
    }
    if pairs.iter().any(|[key, _]| call.db.kind(key).is_some()) {
        return Ok(Reply::Int(0));
    }
    store_pairs(call, pairs);
    Ok(Reply::Int(1))
}

fn store_pairs(call: &mut Call<'_>, pairs: &[[&[u8]; 2]]) {
    for [key, value] in pairs {
        call.put_string(key, value, Ttl::Clear);
        call.changed(key, "set", 1);
    }
}

/// `APPEND key value`: the new length.
fn append(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, value] = call.argv else { unreachable!("arity is checked before run") };
    let old = call.db.string(key)?.map(|text| text.text_len());
    check_length(call, old.unwrap_or(0), value.len())?;
    match old {
        None => drop(call.put_string(key, value, Ttl::Clear)),
        Some(_) => call.db.string_mut(key)?.extend_from_slice(value),
    }
    call.changed(key, "append", 1);
    Ok(Reply::Int((old.unwrap_or(0) + value.len()) as i64))
}

/// May a string grow to `at + more` bytes?
fn check_length(call: &Call<'_>, at: usize, more: usize) -> Result<(), Refusal> {
    let fits = at.checked_add(more).is_some_and(|len| len as u64 <= call.core.config.proto_max_bulk_len);
    if fits { Ok(()) } else { Err(Refusal::TooLong) }
}

/// `STRLEN key`
fn strlen(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.db.string(call.argv[1])?.map_or(0, |text| text.text_len() as i64)))
}

/// `SETRANGE key offset value`: the new length.
fn setrange(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, _, value] = call.argv else { unreachable!("arity is checked before run") };
    let offset = usize::try_from(call.int(2)?).map_err(|_| Refusal::fixed("ERR offset is out of range"))?;
    let old = call.db.string(key)?.map_or(0, |text| text.text_len());
    if value.is_empty() {
        return Ok(Reply::Int(old as i64));
    }
    check_length(call, offset, value.len())?;
    let text = call.db.string_mut(key)?;
    let end = offset + value.len();
    if text.len() < end {
        text.resize(end, 0);
    }
    text[offset..end].copy_from_slice(value);
    let len = text.len();
    call.changed(key, "setrange", 1);
    Ok(Reply::Int(len as i64))
}

/// `GETRANGE key start end`, `SUBSTR`: both ends included, negative ones from the end.
fn getrange(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (start, end) = (call.int(2)?, call.int(3)?);
    let Some(text) = call.db.string(call.argv[1])? else {
        call.out.bulk(b"");
        return Ok(Reply::Written);
    };
    let cut = if start < 0 && end < 0 && start > end { 0..0 } else { clamp(start, end, text.text_len()) };
    let mut room = [0; quorate_collections::text::INT_TEXT_MAX];
    call.out.bulk(&text.text(&mut room)[cut]);
    Ok(Reply::Written)
}

/// The bytes from `start` to `end` of a string of `len` bytes.
fn clamp(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let start = if start < 0 { (start + len).max(0) } else { start };
    let end = if end < 0 { (end + len).max(0) } else { end.min(len - 1) };
    if start > end || len == 0 { 0..0 } else { start as usize..end as usize + 1 }
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn set_obeys_its_options() {
        check("set k v", "+OK");
        check("set k v nx get", "nil");
        check("set k v xx", "nil");
        for wrong in
            ["nx xx", "ex", "ex 1 px 1", "keepttl ex 1", "ex 1 keepttl", "exat 1 ex 1", "what", "persist", "get ex"]
        {
            check(&format!("set k v {wrong}"), "-ERR syntax error");
        }
        check("set k v ex 0", "-ERR invalid expire time in 'set' command");
        check("set k v px -5", "-ERR invalid expire time in 'set' command");
        check("set k v ex 9223372036854775807", "-ERR invalid expire time in 'set' command");
        check("set k v px 9223372036854775807", "-ERR invalid expire time in 'set' command");
        check("set k v ex x", "-ERR value is not an integer or out of range");
        scenario(
            "> set k 1
             +OK
             > set k 2 nx
             nil
             > set k 2 nx get
             $1
             > set k 2 xx get
             $1
             > get k
             $2
             stream [$SELECT $0] [$set $k $1] [$set $k $2 $xx]
             > lpush l a
             :1
             > set l v get
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > set l v nx get
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > set l v
             +OK",
        );
    }

    #[test]
    fn an_expiry_is_propagated_as_an_instant() {
        scenario(
            "> set k v ex 100
             +OK
             > pttl k
             :100000
             > setex k 10 v
             +OK
             > psetex k 1500 v
             +OK
             > set k w keepttl
             +OK
             > pttl k
             :1500
             stream [$SELECT $0] [$SET $k $v $PXAT $1700000100000] [$SET $k $v $PXAT $1700000010000] [$SET $k $v $PXAT $1700000001500] [$set $k $w $keepttl]
             > set k w
             +OK
             > pttl k
             :-1
             > set k v pxat 1700000000300
             +OK
             wait 400
             > get k
             nil
             stream [$set $k $w] [$SET $k $v $PXAT $1700000000300] [$DEL $k]",
        );
        check("setex k 0 v", "-ERR invalid expire time in 'setex' command");
        check("psetex k x v", "-ERR value is not an integer or out of range");
    }

    #[test]
    fn getex_changes_the_expiry_alone() {
        scenario(
            "> set k v
             +OK
             > getex k
             $v
             > getex k ex 10
             $v
             > pttl k
             :10000
             > getex k persist
             $v
             > getex k persist
             $v
             > ttl k
             :-1
             stream [$SELECT $0] [$set $k $v] [$PEXPIREAT $k $1700000010000] [$PERSIST $k]
             > getex k ex 10 persist
             -ERR syntax error
             > getex k keepttl
             -ERR syntax error
             > getex k ex 0
             -ERR invalid expire time in 'getex' command
             > getex none ex 0
             nil
             > getex k pxat 1
             $v
             > exists k
             :0
             stream [$DEL $k]",
        );
    }

    #[test]
    fn old_values_come_back() {
        scenario(
            "> getset k 1
             nil
             > getset k 2
             $1
             > getdel k
             $2
             > getdel k
             nil
             stream [$SELECT $0] [$SET $k $1] [$SET $k $2] [$DEL $k]
             > lpush l a
             :1
             > getset l x
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > getdel l
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > get l
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > setnx l x
             :0
             > setnx k x
             :1
             > mget l k none
             [nil $x nil]
             > msetnx a 1 k 2
             :0
             > msetnx a 1 b 2
             :1
             > mset a 3 c 4
             +OK
             > mget a b c
             [$3 $2 $4]",
        );
        check("mset a 1 b", "-ERR wrong number of arguments for 'mset' command");
        check("msetnx a 1 b", "-ERR wrong number of arguments for 'msetnx' command");
    }

    #[test]
    fn ranges_of_bytes() {
        scenario(
            "> append k Hello
             :5
             > append k \" World\"
             :11
             > object encoding k
             $raw
             > getrange k 0 4
             $Hello
             > getrange k -5 -1
             $World
             > getrange k 5 2
             $
             > getrange k -1 -5
             $
             > getrange k 0 -100
             $H
             > substr k 6 1000
             $World
             > getrange none 0 -1
             $
             > setrange k 6 Redis
             :11
             > get k
             $Hello Redis
             > setrange new 3 x
             :4
             > get new
             $\\x00\\x00\\x00x
             > setrange none 5 \"\"
             :0
             > exists none
             :0
             > strlen k
             :11
             > strlen none
             :0",
        );
        check("setrange k -1 x", "-ERR offset is out of range");
        check("setrange k 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
        check("setrange k 9223372036854775807 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    }
}
