//! One value: its type byte and its content, written as version 10 knows them, read in every form since version 6.
//!
//! Lists are QUICKLIST_2; their nodes, small hashes and sorted sets are rewritten as listpacks, sets of integers as intsets; the rest is
//! written element by element. A set in a listpack is written as a plain SET, since SET_LISTPACK came with version 11.

use quorate_collections::Strip;
use quorate_collections::intset::IntSet;
use quorate_collections::listpack::{self, Element};
use quorate_collections::quicklist::Node;
use quorate_collections::text::INT_TEXT_MAX;
use quorate_keyspace::{End, Hash, Limits, List, Malformed, Set, Value, ValueRef, Zset};

use super::encode::Encoder;
use super::input::{Input, parse_score};
use super::ziplist::{Checked, read_ziplist, read_zipmap};
use super::{RdbError, kind};

/// Containers of a QUICKLIST_2 node. Source: Redis's quicklist.h.
mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// The type byte under which [`encode`] writes `value`.
pub(super) fn kind_of(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::String(_) => kind::STRING,
        ValueRef::List(_) => kind::LIST_QUICKLIST_2,
        ValueRef::Set(set) if set.as_intset().is_some() => kind::SET_INTSET,
        ValueRef::Set(_) => kind::SET,
        ValueRef::Hash(hash) if hash.is_small() => kind::HASH_LISTPACK,
        ValueRef::Hash(_) => kind::HASH,
        ValueRef::Zset(zset) if zset.is_small() => kind::ZSET_LISTPACK,
        ValueRef::Zset(_) => kind::ZSET_2,
    }
}

/// Writes a value's content.
pub(super) fn encode(value: ValueRef<'_>, out: &mut Encoder) {
    match value {
        ValueRef::String(text) => out.stored(text),
        ValueRef::List(list) => encode_list(list, out),
        ValueRef::Set(set) => match set.as_intset() {
            Some(ints) => out.blob(&ints.to_bytes()),
            None => {
                out.len(set.len() as u64);
                set.iter().for_each(|member| out.stored(member));
            }
        },
        ValueRef::Hash(hash) => match hash.listpack() {
            Some(bytes) => out.blob(&bytes),
            None => {
                out.len(hash.len() as u64);
                for (field, value) in hash.iter() {
                    out.stored(field);
                    out.stored(value);
                }
            }
        },
        ValueRef::Zset(zset) => match zset.listpack() {
            Some(bytes) => out.blob(&bytes),
            None => {
                out.len(zset.len() as u64);
                // From the highest, as Redis does: each insertion of its loader is then at the head.
                for (member, score) in zset.iter().rev() {
                    out.stored(member);
                    out.score(score);
                }
            }
        },
    }
}

fn encode_list(list: &List, out: &mut Encoder) {
    if let Some(strip) = list.as_strip() {
        out.len(1);
        out.len(container::PACKED);
        return out.blob(&strip.to_listpack());
    }
    out.len(list.nodes().count() as u64);
    for node in list.nodes() {
        match node {
            Node::Plain(bytes) => {
                out.len(container::PLAIN);
                out.blob(bytes);
            }
            Node::Packed(strip) => {
                out.len(container::PACKED);
                out.blob(&strip.to_listpack());
            }
        }
    }
}

/// What a value's content came to.
#[derive(Debug)]
pub(super) enum Decoded {
    Value(Value),
    /// A collection without elements: early Redis versions left such keys in their files.
    Empty,
}

/// Reads the content of a value of type `kind`.
pub(super) fn decode(input: &mut Input<'_>, kind: u8, limits: &Limits) -> Result<Decoded, RdbError> {
    let value = match kind {
        kind::STRING => return Ok(Decoded::Value(Value::Bytes(input.string()?))),
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            let list = decode_list(input, kind, limits)?;
            if list.is_empty() { Err(Malformed::Empty) } else { Ok(Value::List(list)) }
        }
        kind::SET => {
            let set = decode_set(input, limits)?;
            if set.is_empty() { Err(Malformed::Empty) } else { Ok(Value::Set(set)) }
        }
        kind::SET_INTSET => {
            let ints = IntSet::from_bytes(&input.string()?).map_err(|error| input.corrupt(error.0))?;
            Set::from_intset(ints, limits).map(Value::Set)
        }
        kind::SET_LISTPACK => {
            let bytes = input.string()?;
            Set::from_listpack(elements(&bytes, input)?, limits).map(Value::Set)
        }
        kind::HASH | kind::HASH_ZIPLIST | kind::HASH_ZIPMAP => {
            let hash = decode_hash(input, kind, limits)?;
            if hash.is_empty() { Err(Malformed::Empty) } else { Ok(Value::Hash(hash)) }
        }
        kind::HASH_LISTPACK => {
            let bytes = input.string()?;
            Hash::from_listpack(elements(&bytes, input)?, limits).map(Value::Hash)
        }
        kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST => {
            let zset = decode_zset(input, kind, limits)?;
            if zset.is_empty() { Err(Malformed::Empty) } else { Ok(Value::Zset(zset)) }
        }
        kind::ZSET_LISTPACK => {
            let bytes = input.string()?;
            Zset::from_listpack(elements(&bytes, input)?, limits).map(Value::Zset)
        }
        other => return Err(unknown(input, other)),
    };
    match value {
        Ok(value) => Ok(Decoded::Value(value)),
        Err(Malformed::Empty) => Ok(Decoded::Empty),
        Err(Malformed::Odd) => Err(input.corrupt("an odd number of elements in a listpack of pairs")),
        Err(Malformed::Duplicate) => Err(input.corrupt("a member or field occurs twice")),
        Err(Malformed::Order) => Err(input.corrupt("members out of order")),
        Err(Malformed::Score) => Err(input.corrupt("a score that is not a number")),
    }
}

fn unknown(input: &Input<'_>, kind: u8) -> RdbError {
    match kind {
        kind::STREAM_LISTPACKS | kind::STREAM_LISTPACKS_2 | kind::STREAM_LISTPACKS_3 => input.unsupported("a stream"),
        kind::MODULE_PRE_GA | kind::MODULE_2 => input.unsupported("a module's value"),
        kind::HASH_METADATA | kind::HASH_LISTPACK_EX | kind::HASH_METADATA_PRE_GA | kind::HASH_LISTPACK_EX_PRE_GA => {
            input.unsupported("a hash whose fields expire")
        }
        _ => input.corrupt("unknown type of value"),
    }
}

/// The elements of a listpack.
fn elements<'b>(bytes: &'b [u8], input: &Input<'_>) -> Result<listpack::Iter<'b>, RdbError> {
    listpack::read(bytes).map_err(|error| input.corrupt(error.0))
}

fn strip(input: &mut Input<'_>) -> Result<Strip, RdbError> {
    let bytes = input.string()?;
    Ok(Strip::from_elements(elements(&bytes, input)?))
}

fn decode_list(input: &mut Input<'_>, kind: u8, limits: &Limits) -> Result<List, RdbError> {
    let mut list = List::new();
    let mut bytes = Vec::new();
    let parts = if kind == kind::LIST_ZIPLIST { 1 } else { input.len()? };
    for _ in 0..parts {
        if kind != kind::LIST_QUICKLIST_2 {
            input.string_into(&mut bytes)?;
            if kind == kind::LIST {
                list.push(limits, End::Tail, &bytes);
            } else {
                let mut push = |element: Element<'_>| {
                    list.push(limits, End::Tail, element.text(&mut [0; INT_TEXT_MAX]));
                    Ok(())
                };
                read_ziplist(&bytes, &mut push).map_err(|what| input.corrupt(what))?;
            }
            continue;
        }
        match input.len()? {
            container::PLAIN => list.push_node(limits, Node::Plain(input.string()?)),
            container::PACKED => list.push_node(limits, Node::Packed(strip(input)?)),
            _ => return Err(input.corrupt("unknown container of a list's node")),
        }
    }
    Ok(list)
}

fn decode_set(input: &mut Input<'_>, limits: &Limits) -> Result<Set, RdbError> {
    let mut set = Set::new();
    let mut member = Vec::new();
    for _ in 0..input.len()? {
        input.string_into(&mut member)?;
        if !set.insert(limits, &member) {
            return Err(input.corrupt("a member or field occurs twice"));
        }
    }
    Ok(set)
}

fn decode_hash(input: &mut Input<'_>, kind: u8, limits: &Limits) -> Result<Hash, RdbError> {
    let mut hash = Hash::new();
    let mut insert = |field: &[u8], value: &[u8]| {
        if hash.insert(limits, field, value) { Ok(()) } else { Err("a member or field occurs twice") }
    };
    let (mut field, mut value) = (Vec::new(), Vec::new());
    let done = match kind {
        kind::HASH => {
            for _ in 0..input.len()? {
                input.string_into(&mut field)?;
                input.string_into(&mut value)?;
                insert(&field, &value).map_err(|what| input.corrupt(what))?;
            }
            Ok(())
        }
        kind::HASH_ZIPLIST => {
            input.string_into(&mut value)?;
            read_pairs(&value, &mut |field, value| insert(field, value.text(&mut [0; INT_TEXT_MAX])))
        }
        _ => {
            input.string_into(&mut value)?;
            read_zipmap(&value, &mut insert)
        }
    };
    done.map_err(|what| input.corrupt(what))?;
    Ok(hash)
}

fn decode_zset(input: &mut Input<'_>, kind: u8, limits: &Limits) -> Result<Zset, RdbError> {
    let mut zset = Zset::new();
    let mut insert = |member: &[u8], score: f64| match zset.insert(limits, member, score) {
        None => Ok(()),
        Some(_) => Err("a member or field occurs twice"),
    };
    let mut member = Vec::new();
    if kind == kind::ZSET_ZIPLIST {
        input.string_into(&mut member)?;
        let mut each = |member: &[u8], score: Element<'_>| {
            let score = parse_score(score.text(&mut [0; INT_TEXT_MAX])).ok_or("a score that is not a number")?;
            insert(member, score)
        };
        read_pairs(&member, &mut each).map_err(|what| input.corrupt(what))?;
        return Ok(zset);
    }
    for _ in 0..input.len()? {
        input.string_into(&mut member)?;
        let score = if kind == kind::ZSET_2 { input.score()? } else { input.score_text()? };
        insert(&member, score).map_err(|what| input.corrupt(what))?;
    }
    Ok(zset)
}

/// Calls `each` with every pair of a ziplist.
fn read_pairs(ziplist: &[u8], each: &mut dyn FnMut(&[u8], Element<'_>) -> Checked) -> Checked {
    let mut first: Option<Vec<u8>> = None;
    read_ziplist(ziplist, &mut |element| match first.take() {
        Some(first) => each(&first, element),
        None => {
            first = Some(element.to_vec());
            Ok(())
        }
    })?;
    if first.is_some() { Err("an odd number of elements in a ziplist of pairs") } else { Ok(()) }
}
