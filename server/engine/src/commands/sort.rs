//! SORT and SORT_RO: elements of a list, set or sorted set, ordered by themselves or by what other keys hold for them.

use std::cmp::Ordering;
use std::sync::Arc;

use quorate_keyspace::{Db, End, Kind, List, StrRef, Ttl, ValueRef, WrongType};
use quorate_resp::parse_int;

use super::float::parse_float;
use crate::{Call, Refusal, Reply};

/// What a SORT is asked for.
#[derive(Default)]
struct Asked<'a> {
    by: Option<&'a [u8]>,
    limit: Option<(i64, i64)>,
    gets: Vec<&'a [u8]>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

/// An element, and what it is ordered by.
struct Item {
    element: Vec<u8>,
    weight: f64,
    text: Option<Vec<u8>>,
}

/// The keys of a SORT: its source, and the last STORE's destination.
pub fn keys(argv: &[&[u8]]) -> Vec<usize> {
    let mut keys: Vec<usize> = (1..argv.len().min(2)).collect();
    let (mut index, mut store) = (2, None);
    while let Some(option) = argv.get(index) {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("store") && index + 1 < argv.len() {
            store = Some(index + 1);
            index += 1;
        } else if is("limit") {
            index += 2;
        } else if is("get") || is("by") {
            index += 1;
        }
        index += 1;
    }
    keys.extend(store);
    keys
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]`
pub fn sort(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let asked = parse(&call.argv[2..])?;
    run(call, &asked)
}

/// `SORT_RO`: the same without STORE.
pub fn sort_ro(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let asked = parse(&call.argv[2..])?;
    if asked.store.is_some() {
        return Err(Refusal::Syntax);
    }
    run(call, &asked)
}

fn parse<'a>(options: &[&'a [u8]]) -> Result<Asked<'a>, Refusal> {
    let mut asked = Asked::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        let mut value = || options.next().copied().ok_or(Refusal::Syntax);
        if is("asc") {
            asked.descending = false;
        } else if is("desc") {
            asked.descending = true;
        } else if is("alpha") {
            asked.alpha = true;
        } else if is("limit") {
            let (offset, count) = (value()?, value()?);
            let int = |text| parse_int(text).ok_or(Refusal::NotInteger);
            asked.limit = Some((int(offset)?, int(count)?));
        } else if is("store") {
            asked.store = Some(value()?);
        } else if is("by") {
            asked.by = Some(value()?);
        } else if is("get") {
            asked.gets.push(value()?);
        } else {
            return Err(Refusal::Syntax);
        }
    }
    Ok(asked)
}

fn run(call: &mut Call<'_>, asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let kind = call.db.kind(key);
    // A pattern without a star is the same for all: nothing is ordered. A set that is stored gets an order all the same.
    let unordered = asked.by.is_some_and(|by| !by.contains(&b'*'));
    let fallback = unordered && kind == Some(Kind::Set) && asked.store.is_some();
    let ordered = !unordered || fallback;
    let elements = elements(&call.db, key, !ordered && asked.descending)?;
    let mut items = match ordered {
        true => {
            let by = asked.by.filter(|_| !fallback);
            let mut items = weigh(&call.db, elements, by, asked.alpha || fallback)?;
            items.sort_by(|a, b| {
                let order = compare(a, b, by.is_some(), asked.alpha || fallback);
                if asked.descending { order.reverse() } else { order }
            });
            items
        }
        false => elements.into_iter().map(|element| Item { element, weight: 0.0, text: None }).collect(),
    };
    let (start, end) = window(asked.limit, items.len());
    items.truncate(end);
    items.drain(..start);
    match asked.store {
        Some(to) => Ok(store(call, &items, &asked.gets, to)),
        None => {
            write(call, &items, &asked.gets);
            Ok(Reply::Written)
        }
    }
}

/// The elements in their own order; a list and a sorted set from their end if `reversed`.
fn elements(db: &Db<'_>, key: &[u8], reversed: bool) -> Result<Vec<Vec<u8>>, WrongType> {
    let mut elements: Vec<Vec<u8>> = match db.value(key) {
        None => return Ok(Vec::new()),
        Some(ValueRef::List(list)) => list.iter().map(|element| element.to_vec()).collect(),
        Some(ValueRef::Set(set)) => return Ok(set.iter().map(|member| member.to_vec()).collect()),
        Some(ValueRef::Zset(zset)) => zset.iter().map(|(member, _)| member.to_vec()).collect(),
        Some(ValueRef::String(_) | ValueRef::Hash(_)) => return Err(WrongType),
    };
    if reversed {
        elements.reverse();
    }
    Ok(elements)
}

fn weigh(db: &Db<'_>, elements: Vec<Vec<u8>>, by: Option<&[u8]>, alpha: bool) -> Result<Vec<Item>, Refusal> {
    let weigh_one = |element: Vec<u8>| {
        let text = match by {
            Some(pattern) => look_up(db, pattern, &element),
            None if alpha => None,
            None => Some(element.clone()),
        };
        if alpha {
            return Ok(Item { element, weight: 0.0, text });
        }
        let weight = text.as_deref().map_or(Some(0.0), weight_of);
        let weight = weight.ok_or(Refusal::fixed("ERR One or more scores can't be converted into double"))?;
        Ok(Item { element, weight, text: None })
    };
    elements.into_iter().map(weigh_one).collect()
}

/// A text as a number; nothing is zero.
fn weight_of(text: &[u8]) -> Option<f64> {
    if text.is_empty() { Some(0.0) } else { parse_float(text.trim_ascii_start()) }
}

fn compare(a: &Item, b: &Item, by: bool, alpha: bool) -> Ordering {
    match (alpha, by) {
        (false, _) => {
            a.weight.partial_cmp(&b.weight).unwrap_or(Ordering::Equal).then_with(|| a.element.cmp(&b.element))
        }
        (true, true) => a.text.cmp(&b.text), // an absent text is the least
        (true, false) => a.element.cmp(&b.element),
    }
}

/// The indexes of LIMIT; a negative count is no limit.
fn window(limit: Option<(i64, i64)>, len: usize) -> (usize, usize) {
    let Some((offset, count)) = limit else { return (0, len) };
    let start = usize::try_from(offset).unwrap_or(0).min(len);
    let end = usize::try_from(count).map_or(len, |count| start.saturating_add(count).min(len));
    (start, end)
}

/// What `pattern` finds for an element: `#` is the element itself; else its first `*` becomes the element, and the key of that name
/// holds a string, or, behind `->`, a hash with that field.
fn look_up(db: &Db<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let arrow = pattern[star + 1..].windows(2).position(|pair| pair == b"->").map(|at| star + 1 + at);
    let (name, field) = match arrow {
        Some(at) if at + 2 < pattern.len() => (&pattern[..at], Some(&pattern[at + 2..])),
        _ => (pattern, None),
    };
    let key = [&name[..star], element, &name[star + 1..]].concat();
    let found: Option<StrRef<'_>> = match field {
        Some(field) => db.hash(&key).ok().flatten()?.get(field),
        None => db.string(&key).ok().flatten(),
    };
    found.map(|text| text.to_vec())
}

fn write(call: &mut Call<'_>, items: &[Item], gets: &[&[u8]]) {
    call.out.array(items.len() * gets.len().max(1));
    for item in items {
        if gets.is_empty() {
            call.out.bulk(&item.element);
        }
        for pattern in gets {
            match look_up(&call.db, pattern, &item.element) {
                Some(text) => call.out.bulk(&text),
                None => call.out.null(),
            }
        }
    }
}

/// Stores the result as a list: its length. What GET does not find is stored as an empty string.
fn store(call: &mut Call<'_>, items: &[Item], gets: &[&[u8]], to: &[u8]) -> Reply {
    let (mut list, limits) = (List::new(), Arc::clone(call.db.keyspace().limits()));
    for item in items {
        if gets.is_empty() {
            list.push(&limits, End::Tail, &item.element);
        }
        for pattern in gets {
            list.push(&limits, End::Tail, &look_up(&call.db, pattern, &item.element).unwrap_or_default());
        }
    }
    let len = list.len();
    let existed = call.db.put(to, list, Ttl::Clear);
    if len > 0 {
        call.changed(to, "sortstore", len);
    } else if existed {
        call.changed(to, "del", 1);
    }
    Reply::Int(len as i64)
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn elements_are_ordered_by_number_or_text() {
        scenario(
            "> rpush l 3 10 2 1.5
             :4
             > sort l
             [$1.5 $2 $3 $10]
             > sort l desc
             [$10 $3 $2 $1.5]
             > sort l alpha
             [$1.5 $10 $2 $3]
             > sort l limit 1 2
             [$2 $3]
             > sort l limit -5 -1
             [$1.5 $2 $3 $10]
             > sort l limit 9 2
             []
             > rpush l x
             :5
             > sort l
             -ERR One or more scores can't be converted into double
             > rpush large 1e400
             :1
             > sort large
             -ERR One or more scores can't be converted into double
             > sort none
             []
             > set s v
             +OK
             > sort s
             -WRONGTYPE Operation against a key holding the wrong kind of value
             > sort l limit 1
             -ERR syntax error
             > sort l limit a b
             -ERR value is not an integer or out of range
             > sort_ro l alpha
             [$1.5 $10 $2 $3 $x]
             > sort_ro l store d
             -ERR syntax error",
        );
        check("sort l what", "-ERR syntax error");
    }

    #[test]
    fn other_keys_order_and_replace() {
        scenario(
            "> rpush l a b c
             :3
             > mset w_a 3 w_b 1 w_c 2 n_a Ann n_c Cid
             +OK
             > sort l by w_*
             [$b $c $a]
             > sort l by w_* get # get n_*
             [$b nil $c $Cid $a $Ann]
             > sort l by nosort
             [$a $b $c]
             > sort l by nosort desc limit 0 2
             [$c $b]
             > sort l by n_* alpha
             [$b $a $c]
             > sort l by w_* get n_* store d
             :3
             > lrange d 0 -1
             [$ $Cid $Ann]
             > type d
             +list
             > sort none store d
             :0
             > exists d
             :0
             > sort l get constant alpha
             [nil nil nil]",
        );
    }
}
