//! Strings that are numbers: INCR and its like.

use quorate_collections::text::INT_TEXT_MAX;
use quorate_keyspace::{Db, StrRef, Ttl};
use quorate_resp::parse_int;

use crate::command::Arity::Exactly;
use crate::command::{Command, Flags, Group, Keys};
use crate::decimal::Decimal;
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, flags: Flags::WRITE_OOM_FAST, ..Command::of(Group::String) };

/// The commands about numbers.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "decr",
        arity: Exactly(2),
        summary: "Decrements the integer value of a key by one.",
        run: decr,
        ..ROW
    },
    Command {
        name: "decrby",
        arity: Exactly(3),
        summary: "Decrements a number from the integer value of a key.",
        run: decrby,
        ..ROW
    },
    Command {
        name: "incr",
        arity: Exactly(2),
        summary: "Increments the integer value of a key by one.",
        run: incr,
        ..ROW
    },
    Command {
        name: "incrby",
        arity: Exactly(3),
        summary: "Increments the integer value of a key by a number.",
        run: incrby,
        ..ROW
    },
    Command {
        name: "incrbyfloat",
        arity: Exactly(3),
        since: "2.6.0",
        summary: "Increments the floating point value of a key by a number.",
        run: incrbyfloat,
        ..ROW
    },
];

/// `INCR key`
fn incr(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    increment(call, 1)
}

/// `DECR key`
fn decr(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    increment(call, -1)
}

/// `INCRBY key increment`
fn incrby(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let by = call.int(2)?;
    increment(call, by)
}

/// `DECRBY key decrement`
fn decrby(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let by = call.int(2)?.checked_neg().ok_or(Refusal::fixed("ERR decrement would overflow"))?;
    increment(call, by)
}

fn increment(call: &mut Call<'_>, by: i64) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let old = match call.db.string(key)? {
        None => 0,
        Some(StrRef::Int(number)) => number,
        Some(StrRef::Bytes(text)) => parse_int(text).ok_or(Refusal::NotInteger)?,
    };
    let sum = old.checked_add(by).ok_or(Refusal::Overflow)?;
    call.db.put(key, sum, Ttl::Keep);
    call.changed(key, "incrby", 1);
    Ok(Reply::Int(sum))
}

/// `INCRBYFLOAT key increment`: the sum as text. Replicas are told the sum, so that no rounding of theirs matters.
fn incrbyfloat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, by] = call.argv else { unreachable!("arity is checked before run") };
    let old = number_of(&call.db, key)?;
    let by = Decimal::parse(by).ok_or(Refusal::NotFloat)?;
    let sum = old.plus(&by).ok_or(Refusal::NotANumber)?.to_string();
    call.db.put_string(key, sum.as_bytes(), Ttl::Keep);
    call.propagate_as(&[b"SET", key, sum.as_bytes(), b"KEEPTTL"]);
    call.changed(key, "incrbyfloat", 1);
    Ok(Reply::Bulk(sum.into_bytes()))
}

fn number_of(db: &Db<'_>, key: &[u8]) -> Result<Decimal, Refusal> {
    let mut room = [0; INT_TEXT_MAX];
    let text = db.string(key)?;
    let text = text.as_ref().map_or(&b"0"[..], |text| text.text(&mut room));
    Decimal::parse(text).ok_or(Refusal::NotFloat)
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn counters_keep_their_bounds() {
        check("incr k", ":1");
        check("decr k", ":-1");
        check("decrby k 5", ":-5");
        check("incrby k x", "-ERR value is not an integer or out of range");
        check("decrby k -9223372036854775808", "-ERR decrement would overflow");
        scenario(
            "> set k 9223372036854775807
             +OK
             > incr k
             -ERR increment or decrement would overflow
             > decrby k 1
             :9223372036854775806
             > set k \" 1\"
             +OK
             > incr k
             -ERR value is not an integer or out of range
             > set k 5 ex 100
             +OK
             > incrby k 3
             :8
             > ttl k
             :100
             > object encoding k
             $int",
        );
    }

    #[test]
    fn floats_add_up_as_people_expect() {
        scenario(
            "> incrbyfloat k 1.1
             $1.1
             > incrbyfloat k -1.2
             $-0.1
             > set k 3 ex 100
             +OK
             > incrbyfloat k 0.25
             $3.25
             > ttl k
             :100
             stream [$SELECT $0] [$SET $k $1.1 $KEEPTTL] [$SET $k $-0.1 $KEEPTTL] [$SET $k $3 $PXAT $1700000100000] [$SET $k $3.25 $KEEPTTL]
             > incrbyfloat k x
             -ERR value is not a valid float
             > incrbyfloat k nan
             -ERR value is not a valid float
             > incrbyfloat k inf
             -ERR increment would produce NaN or Infinity
             > set k abc
             +OK
             > incrbyfloat k 1
             -ERR value is not a valid float",
        );
    }
}
