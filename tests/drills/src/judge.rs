//! What the judges say of a round, and again at the end of a run, when everything that was ever acknowledged must still be there.

use std::collections::BTreeMap;

use quorate_checkers::{Breach, Call, Kind as BreachKind, append, register, set};

use crate::workload::{Kind, Record};

/// One key's breaches.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind of key.
    pub kind: Kind,
    /// Which.
    pub key: String,
    /// What is wrong with it.
    pub breaches: Vec<Breach>,
}

/// Breaches of one kind of keys, by what they count as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys that were judged.
    pub keys: u64,
    /// Of these, such that something is wrong with.
    pub wrong: u64,
    /// Acknowledged writes that are gone.
    pub lost: u64,
    /// Writes that took effect twice.
    pub duplicated: u64,
    /// Orders that cannot be.
    pub reordered: u64,
    /// Whatever else is not linearizable.
    pub inconsistent: u64,
}

impl Tally {
    fn note(&mut self, breaches: &[Breach]) {
        self.wrong += u64::from(!breaches.is_empty());
        for breach in breaches {
            *match breach.kind() {
                BreachKind::Lost => &mut self.lost,
                BreachKind::Duplicated => &mut self.duplicated,
                BreachKind::Reordered => &mut self.reordered,
                BreachKind::Inconsistent => &mut self.inconsistent,
            } += 1;
        }
    }
}

/// Tallies by kind, and every finding.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// By kind of key.
    pub tallies: BTreeMap<Kind, Tally>,
    /// Keys with breaches.
    pub findings: Vec<Finding>,
}

impl Verdict {
    fn keys<O>(
        &mut self,
        kind: Kind,
        keys: &BTreeMap<String, Vec<Call<O>>>,
        check: impl Fn(&[Call<O>]) -> Vec<Breach>,
    ) {
        let tally = self.tallies.entry(kind).or_default();
        for (key, calls) in keys {
            let breaches = check(calls);
            tally.keys += 1;
            tally.note(&breaches);
            if !breaches.is_empty() {
                self.findings.push(Finding { kind, key: key.clone(), breaches });
            }
        }
    }
}

/// Judges every key of a record.
pub fn judge(record: &Record) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.keys(Kind::Register, &record.registers, register::check);
    verdict.keys(Kind::Append, &record.lists, append::check);
    verdict.keys(Kind::Set, &record.sets, set::check);
    verdict
}

/// What to keep of a round's record for the end of the run: of keys that nothing is wrong with, all writes and the last read. A register's
/// acknowledged writes before the last are covered by it.
pub fn retire(mut record: Record, findings: &[Finding]) -> Record {
    for finding in findings {
        match finding.kind {
            Kind::Register => drop(record.registers.remove(&finding.key)),
            Kind::Append => drop(record.lists.remove(&finding.key)),
            Kind::Set => drop(record.sets.remove(&finding.key)),
        }
    }
    for calls in record.registers.values_mut() {
        keep_last_read(calls, |op| matches!(op, register::Op::Read(_)));
    }
    for calls in record.lists.values_mut() {
        for call in calls.iter_mut() {
            if let append::Op::AppendRead(value, _) = call.op {
                call.op = append::Op::Append(value);
            }
        }
        keep_last_read(calls, |op| matches!(op, append::Op::Read(_)));
    }
    for calls in record.sets.values_mut() {
        keep_last_read(calls, |op| matches!(op, set::Op::Read(_)));
    }
    record
}

fn keep_last_read<O>(calls: &mut Vec<Call<O>>, is_read: impl Fn(&O) -> bool) {
    let last = calls.iter().filter(|call| is_read(&call.op)).map(|call| call.began).max();
    calls.retain(|call| !is_read(&call.op) || Some(call.began) == last);
}

#[cfg(test)]
mod tests {
    use quorate_checkers::{Client, End, Time, Value};

    use super::*;

    fn call<O>(op: O, began: u64, over: u64) -> Call<O> {
        Call { client: Client(1), op, began: Time(began), end: End::Ok(Time(over)) }
    }

    fn record(later: &[u64]) -> Record {
        let values = |values: &[u64]| values.iter().copied().map(Value).collect::<Vec<_>>();
        let mut record = Record::default();
        let calls = vec![
            call(append::Op::AppendRead(Value(1), values(&[1])), 0, 1),
            call(append::Op::Read(values(&[1])), 2, 3),
            call(append::Op::Append(Value(2)), 4, 5),
            call(append::Op::Read(values(&[1, 2])), 6, 7),
        ];
        record.lists.insert("l".into(), calls);
        assert!(judge(&record).findings.is_empty());
        let mut record = retire(record, &[]);
        assert_eq!(record.lists["l"].len(), 3, "two writes and the last read");
        record.lists.get_mut("l").expect("it is there").push(call(append::Op::Read(values(later)), 8, 9));
        record
    }

    #[test]
    fn what_is_gone_at_the_end_of_the_run_is_seen() {
        assert!(judge(&record(&[1, 2])).findings.is_empty());
        let verdict = judge(&record(&[1]));
        assert_eq!((verdict.tallies[&Kind::Append].lost, verdict.tallies[&Kind::Append].wrong), (1, 1));
        let retired = retire(record(&[1]), &verdict.findings);
        assert!(retired.lists.is_empty());
    }
}
