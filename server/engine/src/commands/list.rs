//! Lists: both ends, ranges, moves between lists, and the commands that wait for an element.

use std::ops::Range;

use quorate_keyspace::{End, List, WrongType};
use quorate_resp::parse_int;

use super::write_text;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply, Timeout, Unit};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::List) };
const BLOCKING: Flags = Flags::WRITE.with(Flags::NOSCRIPT).with(Flags::BLOCKING);
const TWO_KEYS: Keys = Keys::Range { first: 1, last: 2, step: 1 };

/// Every list command.
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
        name: "lindex",
        arity: Exactly(3),
        flags: Flags::READONLY,
        summary: "Returns an element from a list by its index.",
        complexity: "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1).",
        run: lindex,
        ..ROW
    },
    Command {
        name: "linsert",
        arity: Exactly(5),
        flags: Flags::WRITE_OOM,
        since: "2.2.0",
        summary: "Inserts an element before or after another element in a list.",
        complexity: "O(N) where N is the number of elements to traverse before seeing the value pivot.",
        run: linsert,
        ..ROW
    },
    Command {
        name: "llen",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Returns the length of a list.",
        run: llen,
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
        name: "lpop",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        summary: "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
        complexity: "O(N) where N is the number of elements returned",
        run: lpop,
        ..ROW
    },
    Command {
        name: "lpos",
        arity: AtLeast(3),
        flags: Flags::READONLY,
        since: "6.0.6",
        summary: "Returns the index of matching elements in a list.",
        complexity: "O(N) where N is the number of elements in the list, for the average case.",
        run: lpos,
        ..ROW
    },
    Command {
        name: "lpush",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Prepends one or more elements to a list. Creates the key if it doesn't exist.",
        complexity: "O(1) for each element added.",
        run: lpush,
        ..ROW
    },
    Command {
        name: "lpushx",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM_FAST,
        since: "2.2.0",
        summary: "Prepends one or more elements to a list only when the list exists.",
        complexity: "O(1) for each element added.",
        run: lpushx,
        ..ROW
    },
    Command {
        name: "lrange",
        arity: Exactly(4),
        flags: Flags::READONLY,
        summary: "Returns a range of elements from a list.",
        complexity: "O(S+N) where S is the distance of start offset from the nearer end and N is the number of elements in the range.",
        run: lrange,
        ..ROW
    },
    Command {
        name: "lrem",
        arity: Exactly(4),
        flags: Flags::WRITE,
        summary: "Removes elements from a list. Deletes the list if the last element was removed.",
        complexity: "O(N+M) where N is the length of the list and M is the number of elements removed.",
        run: lrem,
        ..ROW
    },
    Command {
        name: "lset",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM,
        summary: "Sets the value of an element in a list by its index.",
        complexity: "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).",
        run: lset,
        ..ROW
    },
    Command {
        name: "ltrim",
        arity: Exactly(4),
        flags: Flags::WRITE,
        summary: "Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
        complexity: "O(N) where N is the number of elements to be removed by the operation.",
        run: ltrim,
        ..ROW
    },
    Command {
        name: "rpop",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        summary: "Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
        complexity: "O(N) where N is the number of elements returned",
        run: rpop,
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
    Command {
        name: "rpush",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM_FAST,
        summary: "Appends one or more elements to a list. Creates the key if it doesn't exist.",
        complexity: "O(1) for each element added.",
        run: rpush,
        ..ROW
    },
    Command {
        name: "rpushx",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM_FAST,
        since: "2.2.0",
        summary: "Appends an element to a list only when the list exists.",
        complexity: "O(1) for each element added.",
        run: rpushx,
        ..ROW
    },
];

const fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

const fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

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

/// `LPUSH key element [element ...]`: the new length.
fn lpush(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    push(call, End::Head)
}

/// `RPUSH key element [element ...]`: the new length.
fn rpush(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    push(call, End::Tail)
}

/// `LPUSHX key element [element ...]`: the new length, 0 when there is no list.
fn lpushx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    push_if_exists(call, End::Head)
}

/// `RPUSHX key element [element ...]`
fn rpushx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    push_if_exists(call, End::Tail)
}

fn push(call: &mut Call<'_>, end: End) -> Result<Reply, Refusal> {
    let [_, key, elements @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let list = call.db.list_mut(key)?;
    elements.iter().for_each(|element| list.push(end, element));
    let len = list.len();
    call.changed(key, push_event(end), elements.len());
    Ok(Reply::Int(len as i64))
}

fn push_if_exists(call: &mut Call<'_>, end: End) -> Result<Reply, Refusal> {
    match call.db.list(call.argv[1])? {
        Some(_) => push(call, end),
        None => Ok(Reply::Int(0)),
    }
}

/// `LPOP key [count]`
fn lpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    pop(call, End::Head)
}

/// `RPOP key [count]`
fn rpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    pop(call, End::Tail)
}

fn pop(call: &mut Call<'_>, end: End) -> Result<Reply, Refusal> {
    let (key, count) = match call.argv {
        [_, key] => (*key, None),
        [_, key, count] => {
            let count = parse_int(count).and_then(|count| usize::try_from(count).ok());
            (*key, Some(count.ok_or(Refusal::NotPositive)?))
        }
        _ => return Err(call.arity()),
    };
    let popped = pop_some(call, key, end, count.unwrap_or(1))?;
    Ok(match (popped, count) {
        (None, None) => Reply::Null,
        (None, Some(_)) => Reply::NullArray,
        (Some(mut popped), None) => Reply::Bulk(popped.pop().expect("no list is empty")),
        (Some(popped), Some(_)) => {
            write_elements(call, &popped);
            Reply::Written
        }
    })
}

/// Takes up to `count` elements from an end; `None` when there is no list.
fn pop_some(call: &mut Call<'_>, key: &[u8], end: End, count: usize) -> Result<Option<Vec<Vec<u8>>>, WrongType> {
    let Some(list) = call.db.list_existing_mut(key)? else { return Ok(None) };
    let popped: Vec<_> = std::iter::from_fn(|| list.pop(end)).take(count).collect();
    call.changed(key, pop_event(end), popped.len());
    Ok(Some(popped))
}

fn write_elements(call: &mut Call<'_>, elements: &[Vec<u8>]) {
    call.out.array(elements.len());
    elements.iter().for_each(|element| call.out.bulk(element));
}

/// `LLEN key`
fn llen(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.db.list(call.argv[1])?.map_or(0, |list| list.len() as i64)))
}

/// An index that may count from the end; `None` before the first element.
fn resolve(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(index).ok()
}

/// The elements from `start` to `stop`, both included, cut to the list.
fn resolve_range(start: i64, stop: i64, len: usize) -> Range<usize> {
    let start = resolve(start, len).unwrap_or(0).min(len);
    let end = resolve(stop, len).map_or(0, |stop| stop.saturating_add(1).min(len));
    start..end.max(start)
}

/// `LINDEX key index`
fn lindex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Some(list) = call.db.list(call.argv[1])? else { return Ok(Reply::Null) };
    let index = call.int(2)?;
    match resolve(index, list.len()).and_then(|index| list.get(index)) {
        Some(element) => write_text(&mut call.out, element),
        None => return Ok(Reply::Null),
    }
    Ok(Reply::Written)
}

/// `LRANGE key start stop`
fn lrange(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let Some(list) = call.db.list(call.argv[1])? else { return Ok(Reply::EmptyArray) };
    let range = resolve_range(start, stop, list.len());
    call.out.array(range.len());
    for element in list.range(range) {
        write_text(&mut call.out, element);
    }
    Ok(Reply::Written)
}

/// `LSET key index element`
fn lset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, _, element] = call.argv else { unreachable!("arity is checked before run") };
    let len = call.db.list(key)?.ok_or(Refusal::NoSuchKey)?.len();
    let index = resolve(call.int(2)?, len).filter(|index| *index < len).ok_or(Refusal::Index)?;
    call.db.list_mut(key)?.replace(index, element);
    call.changed(key, "lset", 1);
    Ok(Reply::Ok)
}

/// `LINSERT key BEFORE|AFTER pivot element`: the new length; -1 without pivot, 0 without list.
fn linsert(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, place, pivot, element] = call.argv else { unreachable!("arity is checked before run") };
    let behind = match () {
        () if place.eq_ignore_ascii_case(b"before") => 0,
        () if place.eq_ignore_ascii_case(b"after") => 1,
        () => return Err(Refusal::Syntax),
    };
    let Some(list) = call.db.list(key)? else { return Ok(Reply::Int(0)) };
    let Some(at) = list.iter().position(|other| other.is(pivot)) else { return Ok(Reply::Int(-1)) };
    let list = call.db.list_mut(key)?;
    list.insert(at + behind, element);
    let len = list.len();
    call.changed(key, "linsert", 1);
    Ok(Reply::Int(len as i64))
}

/// `LREM key count element`: how many were removed; a negative count removes from the tail, 0 all.
fn lrem(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, _, element] = call.argv else { unreachable!("arity is checked before run") };
    let count = call.int(2)?;
    let from = if count < 0 { End::Tail } else { End::Head };
    let most = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let Some(list) = call.db.list_existing_mut(key)? else { return Ok(Reply::Int(0)) };
    let removed = list.remove_equal(element, from, most);
    call.changed(key, "lrem", removed);
    Ok(Reply::Int(removed as i64))
}

/// `LTRIM key start stop`: keeps that range.
fn ltrim(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let Some(list) = call.db.list_existing_mut(key)? else { return Ok(Reply::Ok) };
    let len = list.len();
    let kept = resolve_range(start, stop, len);
    list.remove_range(kept.end..len);
    list.remove_range(0..kept.start);
    match len - kept.len() {
        0 => call.notify(key, "ltrim"),
        removed => call.changed(key, "ltrim", removed),
    }
    Ok(Reply::Ok)
}

/// Where LPOS looks, and how much it wants.
struct Search {
    from: End,
    skip: usize,
    count: Option<usize>,
    max_len: usize,
}

fn parse_search(call: &Call<'_>) -> Result<Search, Refusal> {
    let mut search = Search { from: End::Head, skip: 0, count: None, max_len: usize::MAX };
    let (pairs, odd) = call.argv[3..].as_chunks::<2>();
    if !odd.is_empty() {
        return Err(Refusal::Syntax);
    }
    let natural = |text: &[u8], refusal: &'static str| {
        let number = parse_int(text).and_then(|number| usize::try_from(number).ok());
        number.ok_or(Refusal::fixed(refusal))
    };
    for [option, value] in pairs {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("rank") {
            let rank = parse_int(value).ok_or(Refusal::NotInteger)?;
            if rank == i64::MIN {
                return Err(Refusal::fixed(
                    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                ));
            }
            search.from = if rank < 0 { End::Tail } else { End::Head };
            let skip = rank.unsigned_abs().checked_sub(1).ok_or(Refusal::fixed(
                "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
            ))?;
            search.skip = skip as usize;
        } else if is("count") {
            search.count = Some(natural(value, "ERR COUNT can't be negative")?);
        } else if is("maxlen") {
            search.max_len = match natural(value, "ERR MAXLEN can't be negative")? {
                0 => usize::MAX,
                most => most,
            };
        } else {
            return Err(Refusal::Syntax);
        }
    }
    Ok(search)
}

/// `LPOS key element [RANK rank] [COUNT count] [MAXLEN len]`: an index or null; with COUNT an array, 0 for all matches.
fn lpos(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let search = parse_search(call)?;
    let Some(list) = call.db.list(call.argv[1])? else {
        return Ok(if search.count.is_some() { Reply::EmptyArray } else { Reply::Null });
    };
    let most = match search.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let found = positions(list, call.argv[2], &search, most);
    if search.count.is_none() {
        return Ok(found.first().map_or(Reply::Null, |at| Reply::Int(*at as i64)));
    }
    call.out.array(found.len());
    found.iter().for_each(|at| call.out.int(*at as i64));
    Ok(Reply::Written)
}

fn positions(list: &List, element: &[u8], search: &Search, most: usize) -> Vec<usize> {
    let len = list.len();
    match search.from {
        End::Head => {
            let seen = list.iter().enumerate().take(search.max_len);
            let hits = seen.filter(|(_, other)| other.is(element)).map(|(at, _)| at);
            hits.skip(search.skip).take(most).collect()
        }
        End::Tail => {
            let seen = list.iter().rev().enumerate().take(search.max_len);
            let hits = seen.filter(|(_, other)| other.is(element)).map(|(at, _)| len - 1 - at);
            hits.skip(search.skip).take(most).collect()
        }
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

/// What LMPOP and BLMPOP want.
struct Wanted<'a> {
    keys: &'a [&'a [u8]],
    end: End,
    count: usize,
}

/// Reads `numkeys key [key ...] LEFT|RIGHT [COUNT count]`.
fn parse_wanted<'a>(words: &'a [&'a [u8]]) -> Result<Wanted<'a>, Refusal> {
    let positive = |text: &[u8], refusal: &'static str| {
        let number = parse_int(text).and_then(|number| usize::try_from(number).ok());
        number.filter(|number| *number > 0).ok_or(Refusal::fixed(refusal))
    };
    let keys = positive(words[0], "ERR numkeys should be greater than 0")?;
    let (keys, rest) = words[1..].split_at_checked(keys).ok_or(Refusal::Syntax)?;
    let [end, options @ ..] = rest else { return Err(Refusal::Syntax) };
    let end = end_of(end)?;
    let count = match options {
        [] => 1,
        [word, count] if word.eq_ignore_ascii_case(b"count") => positive(count, "ERR count should be greater than 0")?,
        _ => return Err(Refusal::Syntax),
    };
    Ok(Wanted { keys, end, count })
}

/// `LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`: the first list's name and its elements.
fn lmpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let wanted = parse_wanted(&call.argv[1..])?;
    Ok(if mpop(call, &wanted)? { Reply::Written } else { Reply::NullArray })
}

/// `BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`
fn blmpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let timeout = Timeout::parse(call.argv[1], Unit::Seconds)?;
    let wanted = parse_wanted(&call.argv[2..])?;
    if mpop(call, &wanted)? {
        return Ok(Reply::Written);
    }
    call.block(wanted.keys, timeout, Reply::NullArray)
}

/// Pops from the first of the keys that holds a list and writes the reply; false when none does.
fn mpop(call: &mut Call<'_>, wanted: &Wanted<'_>) -> Result<bool, Refusal> {
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
    call.block(source, timeout, Reply::Null)
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, check, scenario};

    #[test]
    fn both_ends() {
        scenario(
            "> rpush l a b c
             :3
             > lpush l z y
             :5
             > lrange l 0 -1
             [$y $z $a $b $c]
             > lpop l
             $y
             > rpop l 2
             [$c $b]
             > lpop l 0
             []
             > lpop none
             nil
             > lpop none 3
             nil-array
             > llen l
             :2
             > lpop l 10
             [$z $a]
             > exists l
             :0
             > rpushx l x
             :0
             > lpushx l x
             :0
             > set s v
             +OK
             > lpush s x
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > llen s
             -WRONGTYPE Operation against a key holding the wrong kind of value
             stream [$SELECT $0] [$rpush $l $a $b $c] [$lpush $l $z $y] [$lpop $l] [$rpop $l $2] [$lpop $l $10] [$set $s $v]",
        );
        check("lpop l -1", "-ERR value is out of range, must be positive");
        check("lpop l x", "-ERR value is out of range, must be positive");
        check("lpop l 1 2", "-ERR wrong number of arguments for 'lpop' command");
    }

    #[test]
    fn places_within() {
        scenario(
            "> rpush l 1 2 3 2 1
             :5
             > lindex l -1
             $1
             > lindex l 5
             nil
             > lindex l -6
             nil
             > lset l 1 x
             +OK
             > lset l 9 x
             -ERR index out of range
             > lset none 0 x
             -ERR no such key
             > linsert l before 3 y
             :6
             > linsert l after 3 z
             :7
             > linsert l after nope z
             :-1
             > linsert none before a b
             :0
             > linsert l beside a b
             -ERR syntax error
             > lrange l 0 -1
             [$1 $x $y $3 $z $2 $1]
             > lrange l 2 1
             []
             > lrange l -100 100
             [$1 $x $y $3 $z $2 $1]
             > lrange l -2 -1
             [$2 $1]
             > lrange l 7 9
             []
             > lrange l 0 -8
             []
             > lrem l -1 1
             :1
             > lrange l 0 -1
             [$1 $x $y $3 $z $2]
             > lrem l 0 nope
             :0
             > ltrim l 1 -2
             +OK
             > lrange l 0 -1
             [$x $y $3 $z]
             > ltrim l 5 9
             +OK
             > exists l
             :0
             > ltrim l 0 1
             +OK",
        );
    }

    #[test]
    fn matches_are_found() {
        scenario(
            "> rpush l a b c 1 2 3 c c
             :8
             > lpos l c
             :2
             > lpos l c rank 2
             :6
             > lpos l c rank -1
             :7
             > lpos l c count 0
             [:2 :6 :7]
             > lpos l c rank -1 count 2
             [:7 :6]
             > lpos l c rank 2 count 0 maxlen 7
             [:6]
             > lpos l x
             nil
             > lpos l x count 1
             []
             > lpos none x count 1
             []
             > lpos none x
             nil
             > lpos l c rank 0
             -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
             > lpos l c count -1
             -ERR COUNT can't be negative
             > lpos l c maxlen -1
             -ERR MAXLEN can't be negative
             > lpos l c rank
             -ERR syntax error",
        );
    }

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
             nil
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

    #[test]
    fn encodings_follow_the_limits() {
        let config = quorate_config::ServerConfig { list_max_listpack_size: 2, ..Default::default() };
        Stage::with(config).play(
            "> rpush l a
             :1
             > object encoding l
             $listpack
             > rpush l b c
             :3
             > object encoding l
             $quicklist
             > lpop l 2
             [$a $b]
             > object encoding l
             $listpack",
        );
    }
}
