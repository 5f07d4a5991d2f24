//! What a drill measured.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::writer::Ack;
use crate::args::Fault;
use crate::show::{self, Table, cell};

/// One round.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// From the fault to the first acknowledged write at another master; absent: none came in time.
    pub recovery_ms: Option<f64>,
    /// The longest time without an acknowledged write, from just before the fault on.
    pub gap_ms: f64,
    /// Writes acknowledged in the round.
    pub acknowledged: u64,
    /// Acknowledged writes that the master did not have afterwards.
    pub lost: u64,
}

impl Round {
    /// `began_at`: when the round's damage began, from which on gaps count; `struck_at`: the blow that moves the master.
    pub(super) fn measure(acks: &[Ack], old_master: &str, began_at: Instant, struck_at: Instant, lost: u64) -> Self {
        let elsewhere = acks.iter().find(|ack| ack.at >= struck_at && ack.node != old_master);
        // The gap that the fault made may begin with the last write before it.
        let last_before = acks.iter().rposition(|ack| ack.at < began_at).unwrap_or(0);
        let gaps = acks[last_before.min(acks.len())..].windows(2).map(|pair| pair[1].at.duration_since(pair[0].at));
        Self {
            recovery_ms: elsewhere.map(|ack| ms(ack.at.duration_since(struck_at))),
            gap_ms: ms(gaps.max().unwrap_or_default()),
            acknowledged: acks.len() as u64,
            lost,
        }
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.recovery_ms {
            Some(ms) => write!(f, "first write at the new master after {ms} ms")?,
            None => write!(f, "no write at another master")?,
        }
        write!(f, ", longest gap {} ms, {} acknowledged, {} lost", self.gap_ms, self.acknowledged, self.lost)
    }
}

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The middle one; of an even number the lower of the two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { median: sorted[(sorted.len() - 1) / 2], min, max })
    }
}

/// Every round of one fault.
#[derive(Clone, Debug, Serialize)]
pub struct FaultReport {
    /// What was broken.
    pub fault: &'static str,
    /// Over the rounds that recovered.
    pub recovery_ms: Option<Spread>,
    /// Over all rounds.
    pub gap_ms: Option<Spread>,
    /// Rounds in which no write was acknowledged at another master in time.
    pub not_recovered: usize,
    /// Over all rounds.
    pub acknowledged: u64,
    /// Over all rounds.
    pub lost: u64,
    /// Each round.
    pub rounds: Vec<Round>,
}

impl FaultReport {
    pub(super) fn new(fault: Fault, rounds: Vec<Round>) -> Self {
        Self {
            fault: fault.word(),
            recovery_ms: Spread::of(rounds.iter().filter_map(|round| round.recovery_ms)),
            gap_ms: Spread::of(rounds.iter().map(|round| round.gap_ms)),
            not_recovered: rounds.iter().filter(|round| round.recovery_ms.is_none()).count(),
            acknowledged: rounds.iter().map(|round| round.acknowledged).sum(),
            lost: rounds.iter().map(|round| round.lost).sum(),
            rounds,
        }
    }
}

/// What a plan's drills measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The group's down-after.
    pub down_after_ms: u64,
    /// What the group promised.
    pub durability: &'static str,
    /// Writes a second.
    pub rate: u32,
    /// Each fault.
    pub faults: Vec<FaultReport>,
}

impl Report {
    /// Did every round recover, and was nothing lost?
    pub fn is_well(&self) -> bool {
        self.faults.iter().all(|fault| fault.lost == 0 && fault.not_recovered == 0)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table =
            Table::new(&["FAULT", "ROUNDS", "RECOVERY ms", "min", "max", "GAP ms", "min", "max", "ACKED", "LOST"]);
        for fault in &self.faults {
            let spread = |spread: Option<Spread>| match spread {
                Some(spread) => [spread.median, spread.min, spread.max].map(|value| cell(format!("{value:.1}"))),
                None => ["-", "-", "-"].map(cell),
            };
            let rounds = match fault.not_recovered {
                0 => cell(fault.rounds.len()),
                failed => (format!("{} ({failed} not recovered)", fault.rounds.len()), show::BAD),
            };
            let [recovery, recovery_min, recovery_max] = spread(fault.recovery_ms);
            let [gap, gap_min, gap_max] = spread(fault.gap_ms);
            let lost = (fault.lost.to_string(), if fault.lost == 0 { show::GOOD } else { show::BAD });
            let acknowledged = cell(fault.acknowledged);
            table.row([
                cell(fault.fault),
                rounds,
                recovery,
                recovery_min,
                recovery_max,
                gap,
                gap_min,
                gap_max,
                acknowledged,
                lost,
            ]);
        }
        format!(
            "\n{}\nRECOVERY: from the fault to the first acknowledged write at the new master. GAP: the longest time without one. \
             Medians first; durability {}, {} writes/s, down-after {} ms.\n",
            table.render(),
            self.durability,
            self.rate,
            self.down_after_ms,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_counts_writes_at_another_master_only() {
        let start = Instant::now();
        let ack = |ms: u64, node: &str| Ack { number: ms, at: start + Duration::from_millis(ms), node: node.into() };
        let acks = [ack(0, "a"), ack(90, "a"), ack(110, "a"), ack(400, "b"), ack(410, "b")];
        let struck = start + Duration::from_millis(100);
        let round = Round::measure(&acks, "a", struck, struck, 0);
        assert_eq!((round.recovery_ms, round.gap_ms), (Some(300.0), 290.0));
        let never = Round::measure(&acks[..3], "a", struck, struck, 0);
        assert_eq!((never.recovery_ms, never.gap_ms), (None, 20.0));
        assert_eq!(Round::measure(&[], "a", start, start, 0).acknowledged, 0);
    }

    #[test]
    fn spread_of_few() {
        let spread = Spread::of([3.0, 1.0, 2.0, 9.0].into_iter()).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 9.0));
        assert!(Spread::of(std::iter::empty()).is_none());
    }
}
