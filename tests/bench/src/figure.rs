//! What was measured: one figure a line of the tables, with every round's sample of every server, medians, and the ratio to Valkey.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::server::Kind;

/// One server's sample in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The figure itself, in the figure's unit.
    pub value: f64,
    /// What stands beside it: throughput, percentiles, the generator's load.
    #[serde(flatten)]
    pub beside: BTreeMap<String, f64>,
}

impl Sample {
    /// A bare figure.
    #[must_use]
    pub fn of(value: f64) -> Sample {
        Sample { value, beside: BTreeMap::new() }
    }

    /// With one more number beside it.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Sample {
        self.beside.insert(name.to_owned(), value);
        self
    }
}

/// Median, least and greatest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one; of an even number the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` without any.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Spread { median, min, max })
    }
}

/// One thing that was measured of every server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The part of the bench, as `--only` names it.
    pub part: String,
    /// What was measured: a command, a kind of collection.
    pub name: String,
    /// What the value is.
    pub unit: String,
    /// Pipeline, value size, keys, connections: whatever sets this figure apart from its neighbours.
    pub settings: BTreeMap<String, u64>,
    /// Every round.
    pub rounds: Vec<BTreeMap<Kind, Sample>>,
    /// Each server's median over the rounds.
    pub medians: BTreeMap<Kind, Sample>,
    /// Whom the ratio is to; nobody where the value is a ratio already.
    pub base: Option<Kind>,
    /// This project's value divided by the base's, round by round.
    pub ratio: Option<Spread>,
}

impl Figure {
    /// One without rounds yet.
    #[must_use]
    pub fn new(part: &str, name: &str, unit: &str, settings: &[(&str, u64)]) -> Figure {
        Figure {
            part: part.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            rounds: Vec::new(),
            medians: BTreeMap::new(),
            base: Some(Kind::Valkey),
            ratio: None,
        }
    }

    /// With its ratio to another server than Valkey, or to none.
    #[must_use]
    pub fn against(self, base: Option<Kind>) -> Figure {
        Figure { base, ..self }
    }

    /// Notes a server's sample of a round; rounds count from 0 and come in order.
    pub fn note(&mut self, round: usize, kind: Kind, sample: Sample) {
        if self.rounds.len() <= round {
            self.rounds.resize_with(round + 1, BTreeMap::new);
        }
        self.rounds[round].insert(kind, sample);
        self.conclude();
    }

    /// A setting; 0 where it has none of that name.
    #[must_use]
    pub fn setting(&self, name: &str) -> u64 {
        self.settings.get(name).copied().unwrap_or(0)
    }

    fn conclude(&mut self) {
        let kinds: Vec<Kind> = self.rounds.iter().flat_map(BTreeMap::keys).copied().collect();
        for kind in kinds {
            let samples: Vec<&Sample> = self.rounds.iter().filter_map(|round| round.get(&kind)).collect();
            let median = |values: &dyn Fn(&Sample) -> Option<f64>| {
                Spread::of(samples.iter().filter_map(|sample| values(sample))).map_or(0.0, |spread| spread.median)
            };
            let names = samples.iter().flat_map(|sample| sample.beside.keys());
            let beside = names.map(|name| (name.clone(), median(&|sample| sample.beside.get(name).copied())));
            let sample = Sample { value: median(&|sample| Some(sample.value)), beside: beside.collect() };
            self.medians.insert(kind, sample);
        }
        let ratios = self.rounds.iter().filter_map(|round| {
            let (ours, base) = (round.get(&Kind::Quorate)?, round.get(&self.base?)?);
            (base.value > 0.0).then(|| ours.value / base.value)
        });
        self.ratio = Spread::of(ratios);
    }
}

/// How a part's figures came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The command line.
    pub command: String,
    /// Rounds asked for.
    pub rounds: usize,
    /// How long the part took.
    pub seconds: f64,
}

/// Everything of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Cores, processor, memory, kernel.
    pub machine: String,
    /// What each program says of itself.
    pub versions: BTreeMap<Kind, String>,
    /// How each part was measured.
    pub runs: BTreeMap<String, Run>,
    /// What was measured, in order.
    pub figures: Vec<Figure>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our values and Valkey's, round by round; the median and spread of their ratios.
    #[track_caller]
    fn check(rounds: &[(f64, f64)], expected: (f64, f64, f64)) {
        let mut figure = Figure::new("strings", "GET", "µs", &[("pipeline", 16)]);
        for (round, (ours, valkey)) in rounds.iter().enumerate() {
            figure.note(round, Kind::Quorate, Sample::of(*ours));
            figure.note(round, Kind::Valkey, Sample::of(*valkey));
        }
        let ratio = figure.ratio.expect("both were measured");
        assert_eq!((ratio.median, ratio.min, ratio.max), expected);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        check(&[(1.0, 2.0)], (0.5, 0.5, 0.5));
        check(&[(1.0, 2.0), (3.0, 3.0), (9.0, 12.0)], (0.75, 0.5, 1.0));
        check(&[(1.0, 4.0), (1.0, 2.0)], (0.375, 0.25, 0.5));
    }

    #[test]
    fn a_server_that_is_missing_leaves_no_ratio() {
        let mut figure = Figure::new("strings", "GET", "µs", &[]);
        figure.note(0, Kind::Quorate, Sample::of(2.0).with("p99_us", 7.0));
        assert_eq!(figure.ratio, None);
        assert_eq!(figure.medians[&Kind::Quorate].beside["p99_us"], 7.0);
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let mut figure = Figure::new("memory", "key", "bytes", &[("value", 3)]);
        figure.note(0, Kind::Valkey, Sample::of(65.0).with("keys", 5.0));
        let report = Report {
            machine: "2 cores".into(),
            versions: BTreeMap::from([(Kind::Valkey, "9".into())]),
            runs: BTreeMap::from([(
                "memory".into(),
                Run { command: "cargo xtask bench".into(), rounds: 1, seconds: 2.5 },
            )]),
            figures: vec![figure],
        };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["figures"][0]["rounds"][0]["valkey"], serde_json::json!({"value": 65.0, "keys": 5.0}));
        assert_eq!(json["figures"][0]["settings"]["value"], 3);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
