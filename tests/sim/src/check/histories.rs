//! What clients were told holds together: acknowledged writes survive, and each key's history is linearizable. Judged in `quorum`, where that is
//! promised; the judges are those of the drills.

use quorate_checkers::{self as checkers, Client, End, Kind, Value, append, register, set};

use super::Breach;
use crate::history::{Call, Key, Op};

/// Judges one key's calls, the last of which read it when everything was over.
pub fn judge(key: Key, calls: &[Call]) -> Result<(), Breach> {
    let found = match key {
        Key::Register(_) => register::check(&translated(calls, of_register)),
        Key::List(_) => append::check(&translated(calls, of_list)),
        Key::Set(_) => set::check(&translated(calls, of_set)),
    };
    let Some(worst) = found.iter().min_by_key(|breach| breach.kind()) else { return Ok(()) };
    let property = match worst.kind() {
        Kind::Lost => "acknowledged writes survive",
        Kind::Duplicated | Kind::Reordered | Kind::Inconsistent => "client histories are linearizable",
    };
    Err(Breach::of(property, format!("{key:?}: {worst} (and {} more)", found.len() - 1)))
}

fn translated<O>(calls: &[Call], op: fn(&Op) -> O) -> Vec<checkers::Call<O>> {
    let one = |call: &Call| checkers::Call {
        client: Client(call.client as u32),
        op: op(&call.op),
        began: checkers::Time(call.began.0),
        end: call.ended.map_or(End::Unknown, |end| End::Ok(checkers::Time(end.0))),
    };
    calls.iter().map(one).collect()
}

fn value(value: u32) -> Value {
    Value(value.into())
}

/// 0 is what a register holds before any write.
fn held(held: u32) -> Option<Value> {
    (held != 0).then_some(value(held))
}

fn of_register(op: &Op) -> register::Op {
    match op {
        Op::Get(seen) => register::Op::Read(held(*seen)),
        Op::Set(to) => register::Op::Write(value(*to)),
        Op::Swap(from, to) => register::Op::Cas { from: held(*from), to: value(*to) },
        _ => unreachable!("not of a register"),
    }
}

fn of_list(op: &Op) -> append::Op {
    let list = |elements: &Vec<u32>| elements.iter().copied().map(value).collect();
    match op {
        Op::Push(element) => append::Op::Append(value(*element)),
        Op::PushRange(element, Some(seen)) => append::Op::AppendRead(value(*element), list(seen)),
        Op::PushRange(element, None) => append::Op::AppendRead(value(*element), Vec::new()),
        Op::Range(elements) => append::Op::Read(list(elements)),
        _ => unreachable!("not of a list"),
    }
}

fn of_set(op: &Op) -> set::Op {
    match op {
        Op::Add(member) => set::Op::Add(value(*member)),
        Op::Members(all) => set::Op::Read(all.iter().copied().map(value).collect()),
        _ => unreachable!("not of a set"),
    }
}
