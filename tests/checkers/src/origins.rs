//! Values from nowhere: whatever was read had been written before, by a write that was not refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::breach::Breach;
use crate::history::{End, Time, Value};

/// A key's writes: when each began and how it ended.
pub(crate) type Writes = BTreeMap<Value, (Time, End)>;

/// A value that a call saw, and when that call began and was over.
pub(crate) struct Sight {
    pub value: Value,
    pub began: Time,
    pub over: Time,
}

/// Each value from nowhere is told once, with the first of these that shows it.
pub(crate) fn check(writes: &Writes, sights: impl Iterator<Item = Sight>) -> Vec<Breach> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for Sight { value, began, over } in sights {
        let breach = match writes.get(&value) {
            Some((_, End::Refused)) => Breach::Refused { value, read: began },
            Some((written, _)) if *written <= over => continue,
            Some(_) | None => Breach::Invented { value, read: over },
        };
        if told.insert(value) {
            found.push(breach);
        }
    }
    found
}
