//! What a key can hold.

pub mod hash;
pub mod list;
pub mod set;
pub mod tuned;
mod walk;
pub mod zset;

use crate::StrRef;
use hash::Hash;
use list::List;
use quorate_collections::text::parse_int;
use set::Set;
use std::sync::Arc;
use zset::Zset;

pub(crate) use walk::new_text;

/// A listpack never grows past this, whatever the thresholds say: its header counts bytes in 32 bits.
/// Source: Redis's own safety limit of 1 GB.
const LISTPACK_BYTES_MAX: usize = 1 << 30;

/// A key holds another type than the command wants; `Display` is the exact reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
pub struct WrongType;

/// Bytes of a file or a peer that are well-formed as a listpack or intset but not as this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A listpack of pairs with an odd number of elements.
    #[error("an odd number of elements in a listpack of pairs")]
    Odd,
    /// The same member or field twice.
    #[error("a member or field occurs twice")]
    Duplicate,
    /// A score that is no number.
    #[error("a score that is not a number")]
    Score,
    /// Members of a sorted set that do not ascend.
    #[error("members of a sorted set out of order")]
    Order,
    /// A collection without elements, which no key may hold.
    #[error("a collection without elements")]
    Empty,
}

/// Are these texts distinct? Sorting keeps the price of a small collection at some comparisons an element.
fn check_distinct<'a>(texts: impl Iterator<Item = StrRef<'a>>) -> Result<(), Malformed> {
    let canonical = |text: StrRef<'a>| match text {
        StrRef::Int(number) => (Some(number), &[][..]),
        StrRef::Bytes(bytes) => parse_int(bytes).map_or((None, bytes), |number| (Some(number), &[][..])),
    };
    let mut texts: Vec<_> = texts.map(canonical).collect();
    texts.sort_unstable();
    if texts.windows(2).any(|pair| pair[0] == pair[1]) { Err(Malformed::Duplicate) } else { Ok(()) }
}

/// A type as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes or an integer.
    String,
    /// A sequence of strings.
    List,
    /// Distinct strings.
    Set,
    /// Fields and values.
    Hash,
    /// Members ordered by score.
    Zset,
}

impl Kind {
    /// The name in TYPE's reply and in SCAN's TYPE option.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Hash => "hash",
            Kind::Zset => "zset",
        }
    }
}

/// A value on its way into or out of a database.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string; stored as an integer if it is the canonical text of one.
    Bytes(Vec<u8>),
    /// A string that is an integer's text.
    Int(i64),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A hash.
    Hash(Hash),
    /// A sorted set.
    Zset(Zset),
}

/// A value where it is stored.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A string.
    String(StrRef<'a>),
    /// A list.
    List(&'a List),
    /// A set.
    Set(&'a Set),
    /// A hash.
    Hash(&'a Hash),
    /// A sorted set.
    Zset(&'a Zset),
}

/// A string where it is stored, told apart by whether it may be shared.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// One that has to be copied: it is small, or may be changed in place.
    Near(StrRef<'a>),
    /// A large one: whoever takes a reference keeps it as it is now.
    Shared(&'a Arc<[u8]>),
}

impl ValueRef<'_> {
    /// Which type it is.
    pub const fn kind(&self) -> Kind {
        match self {
            ValueRef::String(_) => Kind::String,
            ValueRef::List(_) => Kind::List,
            ValueRef::Set(_) => Kind::Set,
            ValueRef::Hash(_) => Kind::Hash,
            ValueRef::Zset(_) => Kind::Zset,
        }
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Bytes(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Self {
        Value::List(list)
    }
}

impl From<Set> for Value {
    fn from(set: Set) -> Self {
        Value::Set(set)
    }
}

impl From<Hash> for Value {
    fn from(hash: Hash) -> Self {
        Value::Hash(hash)
    }
}

impl From<Zset> for Value {
    fn from(zset: Zset) -> Self {
        Value::Zset(zset)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the models of the value types share.

    use crate::Limits;
    use proptest::prelude::*;
    use quorate_collections::HashSeed;
    use quorate_collections::listpack::{Element, Writer};
    use std::sync::Arc;

    /// A file's listpack.
    pub fn listpack(texts: &[&str]) -> Vec<u8> {
        let mut out = Writer::new(0);
        texts.iter().for_each(|text| out.push(Element::of(text.as_bytes())));
        out.finish()
    }

    /// Thresholds so low that a few steps cross them.
    pub fn limits() -> Arc<Limits> {
        Arc::new(Limits {
            hash_max_listpack_entries: 8,
            hash_max_listpack_value: 12,
            list_max_listpack_size: 8,
            set_max_intset_entries: 10,
            set_max_listpack_entries: 8,
            set_max_listpack_value: 12,
            zset_max_listpack_entries: 8,
            zset_max_listpack_value: 12,
            ..Limits::new(HashSeed([7, 11]))
        })
    }

    /// Few different texts, so that they meet again: integers, words, and now and then a long one.
    pub fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => (-12i64..12).prop_map(|number| number.to_string().into_bytes()),
            8 => "[a-d]{0,2}".prop_map(String::into_bytes),
            1 => prop::sample::select(vec![b"0123456789abc".to_vec(), b"-0".to_vec(), vec![0xff; 70], i64::MIN.to_string().into_bytes()]),
        ]
    }
}
