//! What clients were told holds together: acknowledged writes survive, and each key's history is linearizable. Judged by what was promised when a
//! client was told (`quorum`, as it was published, by a master that acts upon it); the judges are those of the drills.
//!
//! A group that went over to `async` chooses its masters as such: whatever was acknowledged before such a choice may be lost by it. So a history is
//! judged in parts, from one such choice to the next.

use quorate_checkers::{self as checkers, Client, End, Kind, Value, append, register, set};

use super::Breach;
use crate::history::{Call, Key, Op};
use crate::time::Time;

/// What was promised, and when.
#[derive(Debug, Default)]
pub struct Terms {
    /// From when on `quorum` was published, or was not.
    published: Vec<(Time, bool)>,
    /// Nothing that was acknowledged before one of these times is promised any more.
    waived: Vec<Time>,
}

impl Terms {
    /// `quorum` is published from now on, or is not.
    pub fn publish(&mut self, now: Time, quorum: bool) {
        if self.published.last().is_none_or(|(_, before)| *before != quorum) {
            self.published.push((now, quorum));
        }
    }

    /// Something happened that may lose what `async` acknowledged, and with it what was acknowledged before.
    pub fn waive(&mut self, now: Time) {
        self.waived.push(now);
    }

    /// Was `quorum` published from the one time to the other?
    fn holds(&self, from: Time, to: Time) -> bool {
        let before = self.published.iter().take_while(|(at, _)| *at <= to);
        let throughout = before.clone().take_while(|(at, _)| *at <= from).last().is_some_and(|(_, quorum)| *quorum);
        throughout && before.skip_while(|(at, _)| *at <= from).all(|(_, quorum)| *quorum)
    }

    /// The parts in which histories are judged.
    fn parts(&self) -> impl Iterator<Item = (Time, Time)> {
        let begins = std::iter::once(Time(0)).chain(self.waived.iter().copied());
        begins.zip(self.waived.iter().copied().chain([Time(u64::MAX)]))
    }
}

/// When everything was over, and whom to believe then whatever the group promises.
#[derive(Debug, Clone, Copy)]
pub struct Rest {
    /// From when on.
    pub from: Time,
    /// The master; one that was removed meanwhile may not know that it is none.
    pub master: usize,
}

/// Judges one key's calls, the last of which read it when everything was over.
pub fn judge(key: Key, calls: &[Call], terms: &Terms, rest: Rest) -> Result<(), Breach> {
    terms.parts().try_for_each(|(from, to)| {
        let part = calls.iter().filter_map(|call| promised(call, terms, rest, from, to)).collect::<Vec<Call>>();
        judge_part(key, &part)
    })
}

/// The call as it counts in this part of the history: a write that was not promised may have happened or not, a read tells nothing.
fn promised(call: &Call, terms: &Terms, rest: Rest, from: Time, to: Time) -> Option<Call> {
    if call.began >= to {
        return None;
    }
    let is_promised = call.ended.is_some_and(|ended| {
        let was_read_at_rest = call.began >= rest.from && call.node == Some(rest.master) && !call.op.is_write();
        call.began >= from && ended <= to && (was_read_at_rest || (call.by_quorum && terms.holds(call.began, ended)))
    });
    if is_promised {
        return Some(call.clone());
    }
    // Whose outcome nobody knows by itself counts as such, if it was asked for in this part.
    let is_unknown = call.ended.is_none() && call.began >= from && terms.holds(call.began, call.began);
    let op = if is_unknown { call.op.clone() } else { call.op.untold() };
    call.op.is_write().then(|| Call { op, ended: None, ..call.clone() })
}

fn judge_part(key: Key, calls: &[Call]) -> Result<(), Breach> {
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
