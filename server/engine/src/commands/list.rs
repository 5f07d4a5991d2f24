//! Lists: both ends and what lies between. What moves elements between lists, or waits for one, is in `list_moves.rs`.

use std::ops::Range;

use quorate_keyspace::{End, List, WrongType};
use quorate_resp::parse_int;

use super::write_text;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::List) };

/// The commands about one list.
pub const COMMANDS: &[Command] = &[
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

pub(super) const fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

pub(super) const fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
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
    let mut list = call.db.list_mut(key)?;
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
pub(super) fn pop_some(
    call: &mut Call<'_>,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<Option<Vec<Vec<u8>>>, WrongType> {
    let Some(mut list) = call.db.list_existing_mut(key)? else { return Ok(None) };
    let popped: Vec<_> = std::iter::from_fn(|| list.pop(end)).take(count).collect();
    call.changed(key, pop_event(end), popped.len());
    Ok(Some(popped))
}

pub(super) fn write_elements(call: &mut Call<'_>, elements: &[Vec<u8>]) {
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
    let mut list = call.db.list_mut(key)?;
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
    let Some(mut list) = call.db.list_existing_mut(key)? else { return Ok(Reply::Int(0)) };
    let removed = list.remove_equal(element, from, most);
    call.changed(key, "lrem", removed);
    Ok(Reply::Int(removed as i64))
}

/// `LTRIM key start stop`: keeps that range.
fn ltrim(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let Some(mut list) = call.db.list_existing_mut(key)? else { return Ok(Reply::Ok) };
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
    if odd.is_empty() { Ok(search) } else { Err(Refusal::Syntax) }
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
             -ERR syntax error
             > lpos l c count -1 rank
             -ERR COUNT can't be negative",
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
