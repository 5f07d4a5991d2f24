//! Replicas hold a prefix: whoever says that it holds so much of a history holds the same data as everyone who ever said so.

use std::collections::BTreeMap;

use quorate_engine::Engine;
use quorate_keyspace::{DbIndex, StrRef, ValueRef};

use super::Breach;
use crate::trace::digest_of;

const PROPERTY: &str = "replicas hold a prefix";

/// The data at places of histories.
#[derive(Debug, Default)]
pub struct Prefix {
    known: BTreeMap<([u8; 40], u64), (usize, u64)>,
    last: BTreeMap<usize, ([u8; 40], u64)>,
    /// How often two nodes were compared.
    pub compared: u64,
}

impl Prefix {
    /// A node's turn has ended.
    pub fn turned(&mut self, node: usize, engine: &mut Engine) -> Result<(), Breach> {
        let held = engine.core().replication.held();
        let mut replid = [0; 40];
        replid.copy_from_slice(held.replid.as_str().as_bytes());
        let place = (replid, held.offset.0);
        // A sample, the same one on every node: digests of everything at every offset would cost more than all the rest.
        if self.last.insert(node, place) == Some(place) || held.offset.0.wrapping_mul(0x9e37_79b9) >> 3 & 3 != 0 {
            return Ok(());
        }
        let digest = digest(engine);
        let (first, expected) = *self.known.entry(place).or_insert((node, digest));
        self.compared += u64::from(first != node);
        if digest == expected {
            return Ok(());
        }
        Err(Breach::of(
            PROPERTY,
            format!("nodes {first} and {node} differ at offset {} of {}", held.offset, held.replid),
        ))
    }
}

/// A digest of everything that a node stores, however its tables are ordered.
pub fn digest(engine: &mut Engine) -> u64 {
    let db = engine.keyspace_mut().db(DbIndex(0));
    db.keys().fold(0, |sum: u64, (key, value)| sum.wrapping_add(of_value(value).rotate_left(7) ^ digest_of(key)))
}

fn of_value(value: ValueRef<'_>) -> u64 {
    let text = |text: StrRef<'_>| match text {
        StrRef::Int(number) => digest_of(number.to_string().as_bytes()),
        StrRef::Bytes(bytes) => digest_of(bytes),
    };
    match value {
        ValueRef::String(one) => text(one),
        ValueRef::List(list) => list.iter().fold(1, |sum: u64, one| sum.wrapping_mul(31).wrapping_add(text(one))),
        ValueRef::Set(set) => set.iter().fold(2, |sum: u64, one| sum.wrapping_add(text(one))),
        ValueRef::Hash(_) | ValueRef::Zset(_) => unreachable!("no client writes one"),
    }
}
