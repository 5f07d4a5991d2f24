//! Hashes: fields and values under one key.

use quorate_keyspace::StrRef;
use quorate_resp::{Protocol, Writer};

use super::sample::{Asked, Wanted, distinct, repeated};
use super::scan::{Scan, Scanned, write_page};
use super::write_text;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::decimal::Decimal;
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { since: "2.0.0", keys: Keys::First, ..Command::of(Group::Hash) };

/// Every hash command.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hdel",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        summary: "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
        complexity: "O(N) where N is the number of fields to be removed.",
        run: hdel,
        ..ROW
    },
    Command {
        name: "hexists",
        arity: Exactly(3),
        flags: Flags::READ_FAST,
        summary: "Determines whether a field exists in a hash.",
        run: hexists,
        ..ROW
    },
    Command {
        name: "hget",
        arity: Exactly(3),
        flags: Flags::READ_FAST,
        summary: "Returns the value of a field in a hash.",
        run: hget,
        ..ROW
    },
    Command {
        name: "hgetall",
        arity: Exactly(2),
        flags: Flags::READONLY,
        summary: "Returns all fields and values in a hash.",
        complexity: "O(N) where N is the size of the hash.",
        run: hgetall,
        ..ROW
    },
    Command {
        name: "hincrby",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.",
        run: hincrby,
        ..ROW
    },
    Command {
        name: "hincrbyfloat",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM_FAST,
        since: "2.6.0",
        summary: "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.",
        run: hincrbyfloat,
        ..ROW
    },
    Command {
        name: "hkeys",
        arity: Exactly(2),
        flags: Flags::READONLY,
        summary: "Returns all fields in a hash.",
        complexity: "O(N) where N is the size of the hash.",
        run: hkeys,
        ..ROW
    },
    Command {
        name: "hlen",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Returns the number of fields in a hash.",
        run: hlen,
        ..ROW
    },
    Command {
        name: "hmget",
        arity: AtLeast(3),
        flags: Flags::READ_FAST,
        summary: "Returns the values of all given fields in a hash.",
        complexity: "O(N) where N is the number of fields being requested.",
        run: hmget,
        ..ROW
    },
    Command {
        name: "hmset",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Sets the values of multiple fields.",
        complexity: "O(N) where N is the number of fields being set.",
        run: hmset,
        ..ROW
    },
    Command {
        name: "hrandfield",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        since: "6.2.0",
        summary: "Returns one or more random fields from a hash.",
        complexity: "O(N) where N is the number of fields returned.",
        run: hrandfield,
        ..ROW
    },
    Command {
        name: "hscan",
        arity: AtLeast(3),
        flags: Flags::READONLY,
        since: "2.8.0",
        summary: "Iterates over fields and values of a hash.",
        complexity: "O(1) for every call. O(N) for a complete iteration. N is the number of elements inside the collection.",
        run: hscan,
        ..ROW
    },
    Command {
        name: "hset",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Creates or modifies the value of a field in a hash.",
        complexity: "O(1) for each field/value pair added.",
        run: hset,
        ..ROW
    },
    Command {
        name: "hsetnx",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Sets the value of a field in a hash only when the field doesn't exist.",
        run: hsetnx,
        ..ROW
    },
    Command {
        name: "hstrlen",
        arity: Exactly(3),
        flags: Flags::READ_FAST,
        since: "3.2.0",
        summary: "Returns the length of the value of a field.",
        run: hstrlen,
        ..ROW
    },
    Command {
        name: "hvals",
        arity: Exactly(2),
        flags: Flags::READONLY,
        summary: "Returns all values in a hash.",
        complexity: "O(N) where N is the size of the hash.",
        run: hvals,
        ..ROW
    },
];

/// `HSET key field value [field value ...]`: how many fields are new.
fn hset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(set_pairs(call)? as i64))
}

/// `HMSET key field value [field value ...]`
fn hmset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    set_pairs(call)?;
    Ok(Reply::Ok)
}

fn set_pairs(call: &mut Call<'_>) -> Result<usize, Refusal> {
    let [_, key, pairs @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let (pairs, odd) = pairs.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(call.arity());
    }
    let mut hash = call.db.hash_mut(key)?;
    let added = pairs.iter().filter(|[field, value]| hash.insert(field, value)).count();
    call.changed(key, "hset", pairs.len());
    Ok(added)
}

/// `HSETNX key field value`: 1 if the field is new, else 0 and nothing changed.
fn hsetnx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, field, value] = call.argv else { unreachable!("arity is checked before run") };
    if call.db.hash(key)?.is_some_and(|hash| hash.contains(field)) {
        return Ok(Reply::Int(0));
    }
    call.db.hash_mut(key)?.insert(field, value);
    call.changed(key, "hset", 1);
    Ok(Reply::Int(1))
}

/// `HGET key field`
fn hget(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match call.db.hash(call.argv[1])?.and_then(|hash| hash.get(call.argv[2])) {
        Some(value) => write_text(&mut call.out, value),
        None => call.out.null(),
    }
    Ok(Reply::Written)
}

/// `HMGET key field [field ...]`: a value or null for each.
fn hmget(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, fields @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let hash = call.db.hash(key)?;
    call.out.array(fields.len());
    for field in fields {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => write_text(&mut call.out, value),
            None => call.out.null(),
        }
    }
    Ok(Reply::Written)
}

/// `HDEL key field [field ...]`: how many were there.
fn hdel(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, fields @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let Some(mut hash) = call.db.hash_existing_mut(key)? else { return Ok(Reply::Int(0)) };
    let removed = fields.iter().filter(|field| hash.remove(field)).count();
    call.changed(key, "hdel", removed);
    Ok(Reply::Int(removed as i64))
}

/// `HLEN key`
fn hlen(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.db.hash(call.argv[1])?.map_or(0, |hash| hash.len() as i64)))
}

/// `HSTRLEN key field`: 0 for no such field.
fn hstrlen(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let value = call.db.hash(call.argv[1])?.and_then(|hash| hash.get(call.argv[2]));
    Ok(Reply::Int(value.map_or(0, |value| value.text_len() as i64)))
}

/// `HEXISTS key field`
fn hexists(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Flag(call.db.hash(call.argv[1])?.is_some_and(|hash| hash.contains(call.argv[2]))))
}

/// `HKEYS key`
fn hkeys(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    write_all(call, |(field, _)| field)
}

/// `HVALS key`
fn hvals(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    write_all(call, |(_, value)| value)
}

fn write_all<'a>(
    call: &'a mut Call<'_>,
    part: impl Fn((StrRef<'a>, StrRef<'a>)) -> StrRef<'a>,
) -> Result<Reply, Refusal> {
    let Some(hash) = call.db.hash(call.argv[1])? else { return Ok(Reply::EmptyArray) };
    call.out.array(hash.len());
    hash.iter().for_each(|pair| write_text(&mut call.out, part(pair)));
    Ok(Reply::Written)
}

/// `HGETALL key`: a map.
fn hgetall(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Some(hash) = call.db.hash(call.argv[1])? else { return Ok(Reply::EmptyMap) };
    call.out.map(hash.len());
    for (field, value) in hash.iter() {
        write_text(&mut call.out, field);
        write_text(&mut call.out, value);
    }
    Ok(Reply::Written)
}

/// `HINCRBY key field increment`: the sum.
fn hincrby(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, field, _] = call.argv else { unreachable!("arity is checked before run") };
    let by = call.int(3)?;
    let held = match call.db.hash(key)?.and_then(|hash| hash.get(field)) {
        Some(value) => value.int().ok_or(Refusal::fixed("ERR hash value is not an integer"))?,
        None => 0,
    };
    let sum = held.checked_add(by).ok_or(Refusal::Overflow)?;
    call.db.hash_mut(key)?.insert(field, sum.to_string().as_bytes());
    call.changed(key, "hincrby", 1);
    Ok(Reply::Int(sum))
}

/// `HINCRBYFLOAT key field increment`: the sum as text. Replicas are told the sum, so that no rounding of theirs matters.
fn hincrbyfloat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, field, by] = call.argv else { unreachable!("arity is checked before run") };
    let by = Decimal::parse(by).ok_or(Refusal::NotFloat)?;
    if matches!(by, Decimal::Infinite(_)) {
        return Err(Refusal::fixed("ERR value is NaN or Infinity"));
    }
    let held = match call.db.hash(key)?.and_then(|hash| hash.get(field)) {
        Some(value) => value.to_vec(),
        None => b"0".to_vec(),
    };
    let held = Decimal::parse(&held).ok_or(Refusal::fixed("ERR hash value is not a float"))?;
    let sum = held.plus(&by).ok_or(Refusal::NotANumber)?.to_string();
    call.db.hash_mut(key)?.insert(field, sum.as_bytes());
    call.changed(key, "hincrbyfloat", 1);
    call.propagate_as(&[b"HSET", key, field, sum.as_bytes()]);
    Ok(Reply::Bulk(sum.into_bytes()))
}

/// `HRANDFIELD key [count [WITHVALUES]]`: a field or null; with a count an array, in RESP3 of pairs if values are wanted.
fn hrandfield(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Asked { wanted, with_values } = Asked::parse(&call.argv[2..], "withvalues")?;
    let rng = &mut call.core.rng;
    let Some(hash) = call.db.hash(call.argv[1])? else {
        return Ok(if wanted.is_some() { Reply::EmptyArray } else { Reply::Null });
    };
    let draw = |rng: &mut fastrand::Rng| hash.random(rng).expect("a stored hash has fields");
    let (out, len) = (&mut call.out, hash.len());
    let in_pairs = with_values && out.protocol() == Protocol::Resp3;
    let header = |count: usize| if with_values && !in_pairs { 2 * count } else { count };
    let show = |out: &mut Writer<'_>, (field, value): (StrRef<'_>, StrRef<'_>)| {
        if in_pairs {
            out.array(2);
        }
        write_text(out, field);
        if with_values {
            write_text(out, value);
        }
    };
    match wanted {
        None => write_text(out, draw(rng).0),
        Some(Wanted::Repeated(count)) => {
            out.array(header(count));
            repeated(count, len, hash.iter(), draw, rng, |pair| show(out, pair));
        }
        Some(Wanted::Distinct(count)) => {
            let chosen = distinct(count, len, hash.iter(), draw, |(field, _)| field.to_vec(), rng);
            out.array(header(chosen.len()));
            chosen.into_iter().for_each(|pair| show(out, pair));
        }
    }
    Ok(Reply::Written)
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`: `[cursor [field value …]]`
fn hscan(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, cursor, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    Scan::parse(cursor, &[], Scanned::Elements)?;
    let Some(hash) = call.db.hash(key)? else {
        write_page(call, 0, &[]);
        return Ok(Reply::Written);
    };
    let scan = Scan::parse(cursor, options, Scanned::Elements)?;
    let mut page = Vec::new();
    let next = scan.run(|cursor| {
        let mut visited = 0;
        let next = hash.scan(cursor, &mut |field, value| {
            visited += 1;
            let field = field.to_vec();
            if scan.lets(&field) {
                page.extend([field, value.to_vec()]);
            }
        });
        (next, visited)
    });
    write_page(call, next, &page);
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests;
