//! Elements that move from list to list, or to whoever waits for one.
//!
//! A waiting command runs again when one of its keys changes (`blocking.rs`). AOF and replicas are told the pop that
//! happened, never the wait.

use quorate_keyspace::End;

use super::counted::Pop;
use super::list::{pop_event, pop_some, push_event, write_elements};
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply, Timeout, Unit};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::List) };
const BLOCKING: Flags = Flags::WRITE.with(Flags::NOSCRIPT).with(Flags::BLOCKING);
const TWO_KEYS: Keys = Keys::Range { first: 1, last: 2, step: 1 };

/// The commands about several lists.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "blmove",
        arity: Exactly(6),
        flags: BLOCKING.with(Flags::DENYOOM),
        keys: TWO_KEYS,
        since: "6.2.0",
        summary: "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved.",
        run: blmove,
        ..ROW
    },
    Command {
        name: "blmpop",
        arity: AtLeast(5),
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 2 },
        since: "7.0.0",
        summary: "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        run: blmpop,
        ..ROW
    },
    Command {
        name: "blpop",
        arity: AtLeast(3),
        flags: BLOCKING,
        keys: Keys::Range { first: 1, last: -2, step: 1 },
        since: "2.0.0",
        summary: "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
        complexity: "O(N) where N is the number of provided keys.",
        run: blpop,
        ..ROW
    },
    Command {
        name: "brpop",
        arity: AtLeast(3),
        flags: BLOCKING,
        keys: Keys::Range { first: 1, last: -2, step: 1 },
        since: "2.0.0",
        summary: "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.",
        complexity: "O(N) where N is the number of provided keys.",
        run: brpop,
        ..ROW
    },
    Command {
        name: "brpoplpush",
        arity: Exactly(4),
        flags: BLOCKING.with(Flags::DENYOOM),
        keys: TWO_KEYS,
        since: "2.2.0",
        summary: "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped.",
        run: brpoplpush,
        ..ROW
    },
    Command {
        name: "lmove",
        arity: Exactly(5),
        flags: Flags::WRITE_OOM,
        keys: TWO_KEYS,
        since: "6.2.0",
        summary: "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.",
        run: lmove,
        ..ROW
    },
    Command {
        name: "lmpop",
        arity: AtLeast(4),
        flags: Flags::WRITE.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "7.0.0",
        summary: "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
        complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
        run: lmpop,
        ..ROW
    },
    Command {
        name: "rpoplpush",
        arity: Exactly(3),
        flags: Flags::WRITE_OOM,
        keys: TWO_KEYS,
        since: "1.2.0",
        summary: "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.",
        run: rpoplpush,
        ..ROW
    },
];

/// `LEFT` or `RIGHT`.
fn end_of(word: &[u8]) -> Result<End, Refusal> {
    if word.eq_ignore_ascii_case(b"left") {
        Ok(End::Head)
    } else if word.eq_ignore_ascii_case(b"right") {
        Ok(End::Tail)
    } else {
        Err(Refusal::Syntax)
    }
}

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`: the element.
fn lmove(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (from, to) = (end_of(call.argv[3])?, end_of(call.argv[4])?);
    Ok(move_one(call, from, to)?.map_or(Reply::Null, Reply::Bulk))
}

/// `RPOPLPUSH source destination`
fn rpoplpush(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(move_one(call, End::Tail, End::Head)?.map_or(Reply::Null, Reply::Bulk))
}

/// Moves an element from the list at argument 1 to the list at argument 2; `None` without source.
fn move_one(call: &mut Call<'_>, from: End, to: End) -> Result<Option<Vec<u8>>, Refusal> {
    let (source, destination) = (call.argv[1], call.argv[2]);
    if call.db.list(source)?.is_none() {
        return Ok(None);
    }
    call.db.list(destination)?;
    let element = call.db.list_mut(source)?.pop(from).expect("no list is empty");
    // If both are one list, it must not be looked at while it is empty: the push comes before the news of the pop.
    call.db.list_mut(destination)?.push(to, &element);
    call.changed(destination, push_event(to), 1);
    call.changed(source, pop_event(from), 1);
    Ok(Some(element))
}

/// `LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`: the first list's name and its elements.
fn lmpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let wanted = Pop::parse(&call.argv[1..], end_of)?;
    Ok(if mpop(call, &wanted)? { Reply::Written } else { Reply::NullArray })
}

/// `BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`
fn blmpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let wanted = Pop::parse(&call.argv[2..], end_of)?;
    let timeout = Timeout::parse(call.argv[1], Unit::Seconds)?;
    if mpop(call, &wanted)? {
        return Ok(Reply::Written);
    }
    call.block(wanted.keys, timeout, Reply::NullArray)
}

/// Pops from the first of the keys that holds a list and writes the reply; false when none does.
fn mpop(call: &mut Call<'_>, wanted: &Pop<'_, End>) -> Result<bool, Refusal> {
    let Some(key) = first_list(call, wanted.keys)? else { return Ok(false) };
    let popped = pop_some(call, key, wanted.end, wanted.count)?.expect("just seen");
    call.out.array(2);
    call.out.bulk(key);
    write_elements(call, &popped);
    let name: &[u8] = if wanted.end == End::Head { b"LPOP" } else { b"RPOP" };
    call.propagate_as(&[name, key, popped.len().to_string().as_bytes()]);
    Ok(true)
}

/// The first of the keys that holds a list. A key of another type is refused, unless the command waits already.
fn first_list<'k>(call: &Call<'_>, keys: &[&'k [u8]]) -> Result<Option<&'k [u8]>, Refusal> {
    for key in keys {
        match call.db.list(key) {
            Ok(Some(_)) => return Ok(Some(key)),
            Ok(None) => {}
            Err(_) if call.wake.is_some() => {}
            Err(wrong) => return Err(wrong.into()),
        }
    }
    Ok(None)
}

/// `BLPOP key [key ...] timeout`: the list's name and its element.
fn blpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    blocking_pop(call, End::Head)
}

/// `BRPOP key [key ...] timeout`
fn brpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    blocking_pop(call, End::Tail)
}

fn blocking_pop(call: &mut Call<'_>, end: End) -> Result<Reply, Refusal> {
    let [_, keys @ .., timeout] = call.argv else { unreachable!("arity is checked before run") };
    let timeout = Timeout::parse(timeout, Unit::Seconds)?;
    let Some(key) = first_list(call, keys)? else { return call.block(keys, timeout, Reply::NullArray) };
    let popped = pop_some(call, key, end, 1)?.expect("just seen");
    call.out.array(2);
    call.out.bulk(key);
    popped.iter().for_each(|element| call.out.bulk(element));
    call.propagate_as(&[if end == End::Head { b"LPOP" } else { b"RPOP" }, key]);
    Ok(Reply::Written)
}

/// `BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`
fn blmove(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (from, to) = (end_of(call.argv[3])?, end_of(call.argv[4])?);
    let moved = blocking_move(call, from, to, 5)?;
    call.propagate_as(&[b"LMOVE", call.argv[1], call.argv[2], call.argv[3], call.argv[4]]);
    Ok(moved)
}

/// `BRPOPLPUSH source destination timeout`
fn brpoplpush(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let moved = blocking_move(call, End::Tail, End::Head, 3)?;
    call.propagate_as(&[b"RPOPLPUSH", call.argv[1], call.argv[2]]);
    Ok(moved)
}

fn blocking_move(call: &mut Call<'_>, from: End, to: End, timeout: usize) -> Result<Reply, Refusal> {
    let timeout = Timeout::parse(call.argv[timeout], Unit::Seconds)?;
    let source = &call.argv[1..2];
    if first_list(call, source)?.is_some()
        && let Some(element) = move_one(call, from, to)?
    {
        return Ok(Reply::Bulk(element));
    }
    // Redis: null where waiting is not allowed, no array at the deadline.
    let otherwise = if call.in_exec { Reply::Null } else { Reply::NullArray };
    call.block(source, timeout, otherwise)
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn elements_move_between_lists() {
        scenario(
            "> rpush a 1 2 3
             :3
             > rpoplpush a b
             $3
             > lmove a b left right
             $1
             > lrange b 0 -1
             [$3 $1]
             > lmove b b left right
             $3
             > lrange b 0 -1
             [$1 $3]
             > lmove a b right left
             $2
             > lmove a b right left
             nil
             > exists a
             :0
             > lmove b b left left
             $2
             > lmove b b up left
             -ERR syntax error
             > set s v
             +OK
             > lmove b s left left
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > lrange b 0 -1
             [$2 $1 $3]
             > lmpop 2 none b left count 2
             [$b [$2 $1]]
             > lmpop 2 none other left
             nil-array
             > rpush one x
             :1
             > lmove one one left right
             $x
             > lrange one 0 -1
             [$x]
             stream [$SELECT $0] [$rpush $a $1 $2 $3] [$rpoplpush $a $b] [$lmove $a $b $left $right] [$lmove $b $b $left $right] [$lmove $a $b $right $left] [$lmove $b $b $left $left] [$set $s $v] [$LPOP $b $2] [$rpush $one $x] [$lmove $one $one $left $right]",
        );
        check("lmpop 0 a left", "-ERR numkeys should be greater than 0");
        check("lmpop 2 a left", "-ERR syntax error");
        check("lmpop 1 a left count 0", "-ERR count should be greater than 0");
        check("lmpop 1 a left what 1", "-ERR syntax error");
        check("lmpop 1 a up", "-ERR syntax error");
    }

    #[test]
    fn waiting_for_an_element() {
        scenario(
            "> blpop a b 0
             2> rpush b 1 2
             2< :2
             1< [$b $1]
             > brpop a b 1
             [$b $2]
             > brpop a b 1
             wait 1100
             nil-array
             > blmove a b left right 0
             2> set a string
             2< +OK
             2> del a
             2< :1
             2> lpush a x
             2< :1
             1< $x
             > brpoplpush b c 0
             $x
             > brpoplpush b c 0.5
             wait 600
             nil-array
             > multi
             +OK
             > brpoplpush b c 0
             +QUEUED
             > blpop b 0
             +QUEUED
             > exec
             [nil nil-array]
             > blmpop 0 2 a b right count 5
             2> rpush b 1 2
             2< :2
             1< [$b [$2 $1]]
             > blpop a -1
             -ERR timeout is negative
             > blpop a x
             -ERR timeout is not a float or out of range
             > set s v
             +OK
             > blpop s 0
             -WRONGTYPE Operation against a key holding the wrong kind of value
             stream [$SELECT $0] [$rpush $b $1 $2] [$LPOP $b] [$RPOP $b] [$set $a $string] [$del $a] [$lpush $a $x] [$LMOVE $a $b $left $right] [$RPOPLPUSH $b $c] [$rpush $b $1 $2] [$RPOP $b $2] [$set $s $v]",
        );
    }

    #[test]
    fn waiters_are_served_in_turn_and_only_with_what_is_there() {
        scenario(
            "> blpop l 0
             2> blpop l 0
             3> rpush l a
             3< :1
             1< [$l $a]
             3> rpush l b c
             3< :2
             2< [$l $b]
             3> llen l
             3< :1",
        );
    }
}
