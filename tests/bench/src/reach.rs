//! What is to be reached, line by line, and how far the figures are from it.

use crate::figure::Figure;
use crate::server::Kind;
use crate::table::number;

/// What a line looks at.
enum Measure {
    /// The ratio to the figure's base.
    Ratio,
    /// This project's own value.
    Own,
}

/// Which side of the mark is good.
enum Mark {
    AtMost(f64),
    AtLeast(f64),
}

/// A line: what it says, which figures it is about, and the mark.
pub struct Line {
    text: &'static str,
    about: fn(&Figure) -> bool,
    measure: Measure,
    mark: Mark,
}

fn plain(figure: &Figure, pipeline: u64) -> bool {
    ["strings", "many"].contains(&figure.part.as_str())
        && ["GET", "SET"].contains(&figure.name.as_str())
        && figure.setting("pipeline") == pipeline
}

fn named(figure: &Figure, part: &str, start: &str) -> bool {
    figure.part == part && figure.name.starts_with(start)
}

/// The lines, in order.
pub const LINES: &[Line] = &[
    Line {
        text: "CPU per GET and SET, pipeline 1",
        about: |figure| plain(figure, 1),
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.80),
    },
    Line {
        text: "CPU per GET and SET, pipeline 16",
        about: |figure| plain(figure, 16),
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.50),
    },
    Line {
        text: "CPU per GET and SET, pipeline 50",
        about: |figure| plain(figure, 50),
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.30),
    },
    Line {
        text: "CPU per staple of the other types, pipeline 1",
        about: |figure| figure.part == "collections" && figure.setting("pipeline") == 1,
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.80),
    },
    Line {
        text: "CPU per staple of the other types, pipeline 16",
        about: |figure| figure.part == "collections" && figure.setting("pipeline") == 16,
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.80),
    },
    Line {
        text: "CPU per staple on large collections, either pipeline",
        about: |figure| figure.part == "large",
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.80),
    },
    Line {
        text: "memory per key with 3 and 100 bytes, per small collection",
        about: |figure| figure.part == "memory" && figure.setting("keys") > 1000,
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.95),
    },
    Line {
        text: "worst insert while growing from 8 M to 16 M, ms",
        about: |figure| figure.part == "growth",
        measure: Measure::Own,
        mark: Mark::AtMost(1.0),
    },
    Line {
        text: "BGSAVE, load, full resync: seconds",
        about: |figure| figure.part == "persistence" && figure.unit == "s",
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.60),
    },
    Line {
        text: "throughput during BGSAVE / idle",
        about: |figure| named(figure, "persistence", "SET throughput"),
        measure: Measure::Own,
        mark: Mark::AtLeast(0.7),
    },
    Line {
        text: "p99.9 during BGSAVE and full resync / idle",
        about: |figure| named(figure, "persistence", "p99.9"),
        measure: Measure::Own,
        mark: Mark::AtMost(2.0),
    },
    Line {
        text: "extra memory under full write load, of the data",
        about: |figure| named(figure, "persistence", "extra memory"),
        measure: Measure::Own,
        mark: Mark::AtMost(0.10),
    },
    Line {
        text: "SIGKILL to the first acknowledged write, to Redis Sentinel's",
        about: |figure| figure.part == "failover",
        measure: Measure::Ratio,
        mark: Mark::AtMost(0.15),
    },
];

impl Line {
    /// The line's value of a figure, if that was measured.
    fn value(&self, figure: &Figure) -> Option<f64> {
        match self.measure {
            Measure::Ratio => figure.ratio.map(|spread| spread.median),
            Measure::Own => figure.medians.get(&Kind::Quorate).map(|sample| sample.value),
        }
    }

    fn holds(&self, value: f64) -> bool {
        match self.mark {
            Mark::AtMost(mark) => value <= mark,
            Mark::AtLeast(mark) => value >= mark,
        }
    }

    fn mark_text(&self) -> String {
        match self.mark {
            Mark::AtMost(mark) => format!("≤ {mark:.2}"),
            Mark::AtLeast(mark) => format!("≥ {mark:.2}"),
        }
    }
}

/// The mark that a figure's ratio is held against, where there is one.
#[must_use]
pub fn ratio_mark(figure: &Figure) -> Option<f64> {
    let line = LINES.iter().find(|line| matches!(line.measure, Measure::Ratio) && (line.about)(figure))?;
    match line.mark {
        Mark::AtMost(mark) | Mark::AtLeast(mark) => Some(mark),
    }
}

/// The table of all lines: the mark, the range of the medians, and how many figures reach it.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text =
        String::from("| figure | reach | measured (least–greatest median) | reached by |\n|---|---|---|---|\n");
    for line in LINES {
        let about = figures.iter().filter(|figure| (line.about)(figure));
        let mut values: Vec<f64> = about.filter_map(|figure| line.value(figure)).collect();
        values.sort_by(f64::total_cmp);
        let measured = match values.as_slice() {
            [] => "not measured".to_owned(),
            [one] => number(*one),
            [least, .., greatest] => format!("{}–{}", number(*least), number(*greatest)),
        };
        let held = values.iter().filter(|value| line.holds(**value)).count();
        let (mark, of) = (line.mark_text(), values.len());
        text.push_str(&format!("| {} | {mark} | {measured} | {held} of {of} |\n", line.text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Sample;

    fn measured(part: &str, name: &str, pipeline: u64, ours: f64) -> Figure {
        let mut figure = Figure::new(part, name, "CPU µs", &[("pipeline", pipeline)]);
        figure.note(0, Kind::Quorate, Sample::of(ours));
        figure.note(0, Kind::Valkey, Sample::of(1.0));
        figure
    }

    #[test]
    fn lines_count_what_reaches_them() {
        let figures = [
            measured("strings", "GET", 16, 0.4),
            measured("strings", "SET", 16, 0.6),
            measured("strings", "MSET of 10", 16, 9.0),
            measured("persistence", "SET throughput during BGSAVE / idle", 0, 0.9),
        ];
        let table = table(&figures);
        assert!(table.contains("| CPU per GET and SET, pipeline 16 | ≤ 0.50 | 0.400–0.600 | 1 of 2 |"), "{table}");
        assert!(table.contains("| throughput during BGSAVE / idle | ≥ 0.70 | 0.900 | 1 of 1 |"), "{table}");
        assert!(table.contains("| CPU per GET and SET, pipeline 1 | ≤ 0.80 | not measured | 0 of 0 |"), "{table}");
        assert_eq!(ratio_mark(&figures[0]), Some(0.50));
        assert_eq!(ratio_mark(&figures[2]), None);
    }
}
