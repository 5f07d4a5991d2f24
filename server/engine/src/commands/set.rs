//! Sets: distinct members under one key, and what sets have in common.

use std::sync::Arc;

use quorate_collections::text::INT_TEXT_MAX;
use quorate_keyspace::{Limits, Set, StrRef, Ttl, WrongType};
use quorate_resp::parse_int;

use super::sample::{Wanted, distinct, repeated};
use super::scan::{Scan, Scanned, write_page};
use super::write_text;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::Set) };
/// Members a SREM that stands for a SPOP. Source: Redis, t_set.c, "batchsize".
const POPPED_AT_ONCE: usize = 1024;

/// Every set command.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Adds one or more members to a set. Creates the key if it doesn't exist.",
        complexity: "O(1) for each element added.",
        run: sadd,
        ..ROW
    },
    Command {
        name: "scard",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Returns the number of members in a set.",
        run: scard,
        ..ROW
    },
    Command {
        name: "sdiff",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        keys: Keys::All,
        summary: "Returns the difference of multiple sets.",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        run: sdiff,
        ..ROW
    },
    Command {
        name: "sdiffstore",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::All,
        summary: "Stores the difference of multiple sets in a key.",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        run: sdiffstore,
        ..ROW
    },
    Command {
        name: "sinter",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        keys: Keys::All,
        summary: "Returns the intersect of multiple sets.",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        run: sinter,
        ..ROW
    },
    Command {
        name: "sintercard",
        arity: AtLeast(3),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "7.0.0",
        summary: "Returns the number of members of the intersect of multiple sets.",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        run: sintercard,
        ..ROW
    },
    Command {
        name: "sinterstore",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::All,
        summary: "Stores the intersect of multiple sets in a key.",
        complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets.",
        run: sinterstore,
        ..ROW
    },
    Command {
        name: "sismember",
        arity: Exactly(3),
        flags: Flags::READ_FAST,
        summary: "Determines whether a member belongs to a set.",
        run: sismember,
        ..ROW
    },
    Command {
        name: "smembers",
        arity: Exactly(2),
        flags: Flags::READONLY,
        summary: "Returns all members of a set.",
        complexity: "O(N) where N is the set cardinality.",
        run: smembers,
        ..ROW
    },
    Command {
        name: "smismember",
        arity: AtLeast(3),
        flags: Flags::READ_FAST,
        since: "6.2.0",
        summary: "Determines whether multiple members belong to a set.",
        complexity: "O(N) where N is the number of elements being checked for membership",
        run: smismember,
        ..ROW
    },
    Command {
        name: "smove",
        arity: Exactly(4),
        flags: Flags::WRITE_FAST,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        summary: "Moves a member from one set to another.",
        run: smove,
        ..ROW
    },
    Command {
        name: "spop",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        summary: "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
        run: spop,
        ..ROW
    },
    Command {
        name: "srandmember",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        summary: "Get one or multiple random members from a set.",
        complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count.",
        run: srandmember,
        ..ROW
    },
    Command {
        name: "srem",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        summary: "Removes one or more members from a set. Deletes the set if the last member was removed.",
        complexity: "O(N) where N is the number of members to be removed.",
        run: srem,
        ..ROW
    },
    Command {
        name: "sscan",
        arity: AtLeast(3),
        flags: Flags::READONLY,
        since: "2.8.0",
        summary: "Iterates over members of a set.",
        complexity: "O(1) for every call. O(N) for a complete iteration. N is the number of elements inside the collection.",
        run: sscan,
        ..ROW
    },
    Command {
        name: "sunion",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        keys: Keys::All,
        summary: "Returns the union of multiple sets.",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        run: sunion,
        ..ROW
    },
    Command {
        name: "sunionstore",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::All,
        summary: "Stores the union of multiple sets in a key.",
        complexity: "O(N) where N is the total number of elements in all given sets.",
        run: sunionstore,
        ..ROW
    },
];

const NOT_EMPTY: &str = "a stored set has members";

/// `SADD key member [member ...]`: how many are new.
fn sadd(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, members @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let mut set = call.db.set_mut(key)?;
    let added = members.iter().filter(|member| set.insert(member)).count();
    call.changed(key, "sadd", added);
    Ok(Reply::Int(added as i64))
}

/// `SREM key member [member ...]`: how many were there.
fn srem(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, members @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let Some(mut set) = call.db.set_existing_mut(key)? else { return Ok(Reply::Int(0)) };
    let removed = members.iter().filter(|member| set.remove(member)).count();
    call.changed(key, "srem", removed);
    Ok(Reply::Int(removed as i64))
}

/// `SMOVE source destination member`: 1 if it was in the source.
fn smove(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to, member] = call.argv else { unreachable!("arity is checked before run") };
    let Some(source) = call.db.set(from)? else { return Ok(Reply::Int(0)) };
    let is_there = source.contains(member);
    call.db.set(to)?;
    if from == to || !is_there {
        return Ok(Reply::Flag(is_there));
    }
    call.db.set_mut(from)?.remove(member);
    call.changed(from, "srem", 1);
    let is_new = call.db.set_mut(to)?.insert(member);
    call.changed(to, "sadd", usize::from(is_new));
    Ok(Reply::Int(1))
}

/// `SISMEMBER key member`
fn sismember(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Flag(call.db.set(call.argv[1])?.is_some_and(|set| set.contains(call.argv[2]))))
}

/// `SMISMEMBER key member [member ...]`: 1 or 0 for each.
fn smismember(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, members @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let set = call.db.set(key)?;
    call.out.array(members.len());
    for member in members {
        call.out.int(i64::from(set.is_some_and(|set| set.contains(member))));
    }
    Ok(Reply::Written)
}

/// `SCARD key`
fn scard(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.db.set(call.argv[1])?.map_or(0, |set| set.len() as i64)))
}

/// `SMEMBERS key`: a set.
fn smembers(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Some(set) = call.db.set(call.argv[1])? else { return Ok(Reply::EmptySet) };
    call.out.set(set.len());
    set.iter().for_each(|member| write_text(&mut call.out, member));
    Ok(Reply::Written)
}

/// `SPOP key [count]`: a member or null; with a count a set. Replicas are told which.
fn spop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match call.argv {
        [_, key] => pop_one(call, key),
        [_, key, count] => {
            let count = parse_int(count).and_then(|count| usize::try_from(count).ok());
            pop_many(call, key, count.ok_or(Refusal::NotPositive)?)
        }
        _ => Err(Refusal::Syntax),
    }
}

fn pop_one(call: &mut Call<'_>, key: &[u8]) -> Result<Reply, Refusal> {
    let Some(mut set) = call.db.set_existing_mut(key)? else { return Ok(Reply::Null) };
    let member = set.random(&mut call.core.rng).expect(NOT_EMPTY).to_vec();
    set.remove(&member);
    call.changed(key, "spop", 1);
    call.propagate_as(&[b"SREM", key, &member]);
    Ok(Reply::Bulk(member))
}

fn pop_many(call: &mut Call<'_>, key: &[u8], count: usize) -> Result<Reply, Refusal> {
    let Some(set) = call.db.set(key)? else { return Ok(Reply::EmptySet) };
    if count == 0 {
        return Ok(Reply::EmptySet);
    }
    let takes_all = count >= set.len();
    let draw = |rng: &mut fastrand::Rng| set.random(rng).expect(NOT_EMPTY);
    let chosen = distinct(count, set.len(), set.iter(), draw, |member| member.to_vec(), &mut call.core.rng);
    let popped: Vec<Vec<u8>> = chosen.iter().map(|member| member.to_vec()).collect();
    if takes_all {
        call.db.remove(key);
        call.changed(key, "spop", popped.len());
        call.changed(key, "del", 1);
        call.propagate_as(&[b"DEL", key]);
    } else {
        let mut set = call.db.set_mut(key)?;
        popped.iter().for_each(|member| assert!(set.remove(member), "what was chosen is there"));
        call.changed(key, "spop", popped.len());
        for members in popped.chunks(POPPED_AT_ONCE) {
            let argv: Vec<&[u8]> = [b"SREM", key].into_iter().chain(members.iter().map(Vec::as_slice)).collect();
            call.propagate_as(&argv);
        }
    }
    call.out.set(popped.len());
    popped.iter().for_each(|member| call.out.bulk(member));
    Ok(Reply::Written)
}

/// `SRANDMEMBER key [count]`: a member or null; with a count an array.
fn srandmember(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (key, wanted) = match call.argv {
        [_, key] => (key, None),
        [_, key, count] => (key, Some(Wanted::parse(count)?)),
        _ => return Err(Refusal::Syntax),
    };
    let Some(set) = call.db.set(key)? else {
        return Ok(if wanted.is_some() { Reply::EmptyArray } else { Reply::Null });
    };
    let draw = |rng: &mut fastrand::Rng| set.random(rng).expect(NOT_EMPTY);
    let (rng, out, len) = (&mut call.core.rng, &mut call.out, set.len());
    match wanted {
        None => write_text(out, draw(rng)),
        Some(Wanted::Repeated(count)) => {
            out.array(count);
            repeated(count, len, set.iter(), draw, rng, |member| write_text(out, member));
        }
        Some(Wanted::Distinct(count)) => {
            let chosen = distinct(count, len, set.iter(), draw, |member| member.to_vec(), rng);
            out.array(chosen.len());
            chosen.into_iter().for_each(|member| write_text(out, member));
        }
    }
    Ok(Reply::Written)
}

/// What is made of several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Inter,
    Union,
    Diff,
}

impl Algebra {
    /// Shows each member of the result to `visit`, once, until that says that it has seen enough. An absent set is an empty one.
    fn run<'a>(self, sets: &[Option<&'a Set>], limits: &Limits, visit: &mut dyn FnMut(StrRef<'a>) -> More) {
        match self {
            Algebra::Inter => {
                let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<&Set>>>() else { return };
                sets.sort_by_key(|set| set.len());
                let [smallest, others @ ..] = &sets[..] else { return };
                walk(smallest, visit, |member| others.iter().all(|set| set.contains(member)));
            }
            Algebra::Diff => {
                let [Some(first), others @ ..] = sets else { return };
                let others: Vec<&Set> = others.iter().copied().flatten().collect();
                walk(first, visit, |member| !others.iter().any(|set| set.contains(member)));
            }
            Algebra::Union => {
                let mut seen = Set::new();
                for set in sets.iter().copied().flatten() {
                    walk(set, visit, |member| seen.insert(limits, member));
                }
            }
        }
    }

    /// The event of storing a result.
    fn stored(self) -> &'static str {
        match self {
            Algebra::Inter => "sinterstore",
            Algebra::Union => "sunionstore",
            Algebra::Diff => "sdiffstore",
        }
    }
}

/// Does whoever looks at members want another one?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

fn walk<'a>(set: &'a Set, visit: &mut dyn FnMut(StrRef<'a>) -> More, mut belongs: impl FnMut(&[u8]) -> bool) {
    for member in set.iter() {
        if belongs(member.text(&mut [0; INT_TEXT_MAX])) && visit(member) == More::No {
            return;
        }
    }
}

fn operands<'a>(call: &'a Call<'_>, keys: &[&[u8]]) -> Result<Vec<Option<&'a Set>>, WrongType> {
    keys.iter().map(|key| call.db.set(key)).collect()
}

/// `SINTER key [key ...]`: a set.
fn sinter(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    reply_with(call, Algebra::Inter)
}

/// `SUNION key [key ...]`: a set.
fn sunion(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    reply_with(call, Algebra::Union)
}

/// `SDIFF key [key ...]`: a set, the first one's members that no other has.
fn sdiff(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    reply_with(call, Algebra::Diff)
}

fn reply_with(call: &mut Call<'_>, algebra: Algebra) -> Result<Reply, Refusal> {
    let limits = Arc::clone(call.db.keyspace().limits());
    let sets: Result<Vec<_>, WrongType> = call.argv[1..].iter().map(|key| call.db.set(key)).collect();
    let sets = sets?;
    let (out, mut count) = (&mut call.out, 0);
    let place = out.defer();
    algebra.run(&sets, &limits, &mut |member| {
        write_text(out, member);
        count += 1;
        More::Yes
    });
    out.finish_set(place, count);
    Ok(Reply::Written)
}

/// `SINTERSTORE destination key [key ...]`: how many members the result has.
fn sinterstore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    store(call, Algebra::Inter)
}

/// `SUNIONSTORE destination key [key ...]`
fn sunionstore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    store(call, Algebra::Union)
}

/// `SDIFFSTORE destination key [key ...]`
fn sdiffstore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    store(call, Algebra::Diff)
}

/// Whatever the destination held goes; an empty result leaves nothing there.
fn store(call: &mut Call<'_>, algebra: Algebra) -> Result<Reply, Refusal> {
    let [_, destination, keys @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let limits = Arc::clone(call.db.keyspace().limits());
    let mut result = Set::new();
    algebra.run(&operands(call, keys)?, &limits, &mut |member| {
        result.insert(&limits, member.text(&mut [0; INT_TEXT_MAX]));
        More::Yes
    });
    let count = result.len();
    if count > 0 {
        call.db.put(destination, result, Ttl::Clear);
        call.changed(destination, algebra.stored(), 1);
    } else if call.db.remove(destination) {
        call.changed(destination, "del", 1);
    }
    Ok(Reply::Int(count as i64))
}

/// `SINTERCARD numkeys key [key ...] [LIMIT limit]`: how many members, at most `limit` if that is not 0.
fn sintercard(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, count, rest @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let count = parse_int(count).and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(Refusal::fixed("ERR numkeys should be greater than 0"))?;
    let (keys, options) = rest
        .split_at_checked(count)
        .ok_or(Refusal::fixed("ERR Number of keys can't be greater than number of args"))?;
    let mut limit = 0;
    let (pairs, odd) = options.as_chunks::<2>();
    for [option, value] in pairs {
        if !option.eq_ignore_ascii_case(b"limit") {
            return Err(Refusal::Syntax);
        }
        let value = parse_int(value).and_then(|value| usize::try_from(value).ok());
        limit = value.ok_or(Refusal::fixed("ERR LIMIT can't be negative"))?;
    }
    if !odd.is_empty() {
        return Err(Refusal::Syntax);
    }
    let limits = Arc::clone(call.db.keyspace().limits());
    let mut found = 0;
    Algebra::Inter.run(&operands(call, keys)?, &limits, &mut |_| {
        found += 1;
        if found == limit { More::No } else { More::Yes }
    });
    Ok(Reply::Int(found as i64))
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`: `[cursor [member …]]`
fn sscan(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, cursor, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    Scan::parse(cursor, &[], Scanned::Elements)?;
    let Some(set) = call.db.set(key)? else {
        write_page(call, 0, &[]);
        return Ok(Reply::Written);
    };
    let scan = Scan::parse(cursor, options, Scanned::Elements)?;
    let mut page = Vec::new();
    let next = scan.run(|cursor| {
        let mut visited = 0;
        let next = set.scan(cursor, &mut |member| {
            visited += 1;
            let member = member.to_vec();
            if scan.lets(&member) {
                page.push(member);
            }
        });
        (next, visited)
    });
    write_page(call, next, &page);
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests;
