//! What a run found, for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::judge::{Tally, Verdict};
use crate::nemesis::Fault;
use crate::workload::{Count, Kind};

/// Keys with breaches that are told one by one; all are counted.
const MAX_TOLD: usize = 20;
/// Breaches of one key that are told.
const MAX_BREACHES: usize = 3;

/// The sum of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// What was put to the proof.
    pub system: String,
    /// The schedule's seed.
    pub seed: u64,
    /// How long it ran.
    pub ran: Duration,
    /// Rounds, each healed, read back and judged at its end.
    pub rounds: u64,
    /// Faults dealt.
    pub dealt: BTreeMap<Fault, u64>,
    /// How calls ended.
    pub counts: BTreeMap<Kind, Count>,
    /// Breaches by kind of key.
    pub tallies: BTreeMap<Kind, Tally>,
    /// What was answered instead of success.
    pub reasons: BTreeMap<String, u64>,
    /// From healing to a group in order, each round.
    pub recoveries: Vec<Duration>,
    /// Processes that ended by themselves.
    pub deaths: Vec<String>,
    /// What did not come about in time after healing.
    pub stuck: Vec<String>,
    /// Keys with breaches, a line each.
    pub told: Vec<String>,
}

impl Report {
    /// Adds a verdict. `keys_known`: its keys were judged before, and only breaches are new.
    pub fn judge(&mut self, verdict: &Verdict, keys_known: bool) {
        for (kind, tally) in &verdict.tallies {
            let sum = self.tallies.entry(*kind).or_default();
            sum.keys += if keys_known { 0 } else { tally.keys };
            sum.wrong += tally.wrong;
            sum.lost += tally.lost;
            sum.duplicated += tally.duplicated;
            sum.reordered += tally.reordered;
            sum.inconsistent += tally.inconsistent;
        }
        for finding in &verdict.findings {
            let breaches = finding.breaches.iter().take(MAX_BREACHES).map(ToString::to_string).collect::<Vec<_>>();
            let more = match finding.breaches.len().saturating_sub(MAX_BREACHES) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            self.told.push(format!("{}: {}{more}", finding.key, breaches.join("; ")));
        }
    }

    /// Nothing lost, nothing out of order, and in order again after every round.
    pub fn is_clean(&self) -> bool {
        self.tallies.values().all(|tally| tally.wrong == 0) && self.stuck.is_empty()
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes all");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let minutes = self.ran.as_secs_f64() / 60.0;
        writeln!(out, "\n{}: seed {}, {minutes:.1} minutes, {} rounds", self.system, self.seed, self.rounds)?;
        let dealt: Vec<String> = self.dealt.iter().map(|(fault, times)| format!("{} {times}", fault.word())).collect();
        let faults: u64 = self.dealt.values().sum();
        writeln!(out, "faults: {faults} ({})", dealt.join(", "))?;
        let spread = spread(&self.recoveries);
        writeln!(
            out,
            "from healing to a group in order: {spread}; processes that ended by themselves: {}",
            self.deaths.len()
        )?;
        writeln!(
            out,
            "\n{:<9} {:>9} {:>9} {:>8} {:>8} {:>6} {:>6} {:>6} {:>6} {:>12}  VERDICT",
            "CALLS", "OK", "WRITES", "REFUSED", "UNKNOWN", "KEYS", "LOST", "TWICE", "ORDER", "INCONSISTENT"
        )?;
        for kind in Kind::ALL {
            let count = self.counts.get(&kind).copied().unwrap_or_default();
            let tally = self.tallies.get(&kind).copied().unwrap_or_default();
            let verdict = match tally.wrong {
                0 => "linearizable".to_owned(),
                wrong => format!("{wrong} keys are not linearizable"),
            };
            writeln!(
                out,
                "{:<9} {:>9} {:>9} {:>8} {:>8} {:>6} {:>6} {:>6} {:>6} {:>12}  {verdict}",
                kind.word(),
                count.ok,
                count.acknowledged,
                count.refused,
                count.unknown,
                tally.keys,
                tally.lost,
                tally.duplicated,
                tally.reordered,
                tally.inconsistent,
            )?;
        }
        let mut reasons: Vec<(&String, &u64)> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        writeln!(out)?;
        for (reason, times) in reasons.into_iter().take(MAX_TOLD) {
            writeln!(out, "{times:>9}  {reason}")?;
        }
        for line in self.stuck.iter().chain(&self.deaths).chain(self.told.iter().take(MAX_TOLD)) {
            writeln!(out, "! {line}")?;
        }
        if self.told.len() > MAX_TOLD {
            writeln!(out, "! and {} keys more", self.told.len() - MAX_TOLD)?;
        }
        Ok(())
    }
}

fn spread(durations: &[Duration]) -> String {
    let mut sorted = durations.to_vec();
    sorted.sort();
    match sorted.as_slice() {
        [] => "never".into(),
        sorted => format!(
            "median {:.1} s, longest {:.1} s",
            sorted[sorted.len() / 2].as_secs_f64(),
            sorted[sorted.len() - 1].as_secs_f64()
        ),
    }
}

#[cfg(test)]
mod tests {
    use quorate_checkers::{Breach, Time, Value};

    use super::*;
    use crate::judge::Finding;

    #[test]
    fn a_breach_is_counted_told_and_fails_the_run() {
        let mut report = Report::default();
        assert!(report.is_clean());
        let breaches = vec![Breach::Lost { value: Value(7), acknowledged: Time(1), read: Time(2) }; 5];
        let tally = Tally { keys: 3, wrong: 1, lost: 5, ..Tally::default() };
        let finding = Finding { kind: Kind::Set, key: "s:1".into(), breaches };
        report.judge(&Verdict { tallies: BTreeMap::from([(Kind::Set, tally)]), findings: vec![finding] }, false);
        let table = report.table();
        assert!(!report.is_clean());
        assert!(table.contains("1 keys are not linearizable"), "{table}");
        assert!(table.contains("! s:1: 7 was acknowledged at 1"), "{table}");
        assert!(table.contains("and 2 more"), "{table}");
    }

    #[test]
    fn a_group_that_stays_broken_fails_the_run() {
        let report = Report { stuck: vec!["round 1: no master".into()], ..Report::default() };
        assert!(!report.is_clean());
        assert!(report.table().contains("! round 1: no master"));
    }
}
