//! Data structures under the keyspace. The room that may hold `unsafe` (beside it only the memory room, which knows no data).
//!
//! All are this project's own; what Redis's files have instead of the small ones, `listpack` and `intset` read and write. What is small and many
//! lies in `blocks`.
//! Nothing here knows of keys' types, clocks or commands; randomness is an argument.
#![allow(unsafe_code)]

mod blocks;
pub mod compact;
pub mod counting;
pub mod crc64;
pub mod entry;
mod filling;
pub mod flat;
pub mod glob;
pub mod intset;
pub mod leaf;
pub mod listpack;
pub mod lzf;
pub mod quicklist;
pub mod seed;
pub mod sha1;
pub mod skiplist;
pub mod strip;
pub mod table;
pub mod text;
mod thin;

pub use compact::Compact;
pub use entry::{Apart, Body, Entry, Held, NewValue};
pub use filling::{Filled, Filling};
pub use flat::Flat;
pub use intset::IntSet;
pub use leaf::Leaf;
pub use listpack::Element;
pub use quicklist::QuickList;
pub use seed::HashSeed;
pub use skiplist::SkipList;
pub use strip::Strip;
pub use table::{FETCHED, Keyed, Table};

/// Untrusted bytes do not hold what they claim to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed {}", self.0)
    }
}

impl std::error::Error for Malformed {}
