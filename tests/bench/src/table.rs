//! The figures as text: a row each, servers side by side.

use crate::figure::{Figure, Spread};
use crate::server::Kind;

/// A Markdown table of figures that share a unit: the value of each server, and the ratio with its spread.
#[must_use]
pub fn table(figures: &[&Figure], kinds: &[Kind]) -> String {
    let columns: Vec<&str> = figures.iter().flat_map(|figure| figure.settings.keys()).map(String::as_str).fold(
        Vec::new(),
        |mut all, name| {
            if !all.contains(&name) {
                all.push(name);
            }
            all
        },
    );
    let mut text = String::from("| figure |");
    columns.iter().for_each(|name| text.push_str(&format!(" {name} |")));
    kinds.iter().for_each(|kind| text.push_str(&format!(" {} |", kind.name())));
    text.push_str(" unit | ratio (min–max) |\n|");
    text.push_str(&"---|".repeat(columns.len() + kinds.len() + 3));
    text.push('\n');
    for figure in figures {
        text.push_str(&format!("| {} |", figure.name));
        for name in &columns {
            text.push_str(&format!(" {} |", figure.settings.get(*name).map(|value| count(*value)).unwrap_or_default()));
        }
        for kind in kinds {
            let value = figure.medians.get(kind).map(|sample| number(sample.value));
            text.push_str(&format!(" {} |", value.unwrap_or_default()));
        }
        text.push_str(&format!(" {} | {} |\n", figure.unit, figure.ratio.map(ratio).unwrap_or_default()));
    }
    text
}

/// `0.42 (0.40–0.45)`.
#[must_use]
pub fn ratio(spread: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

/// Three digits that say something.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// `1000000` as `1 M`.
#[must_use]
pub fn count(value: u64) -> String {
    match value {
        millions if millions >= 1_000_000 && millions % 100_000 == 0 => format!("{} M", millions as f64 / 1e6),
        thousands if thousands >= 10_000 && thousands % 1000 == 0 => format!("{} k", thousands / 1000),
        few => few.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Sample;

    #[test]
    fn a_table_shows_what_was_measured() {
        let mut figure = Figure::new("strings", "GET", "CPU µs", &[("keys", 1_000_000)]);
        figure.note(0, Kind::Quorate, Sample::of(0.5));
        figure.note(0, Kind::Valkey, Sample::of(2.0));
        let expected = "| figure | keys | quorate | valkey | unit | ratio (min–max) |\n|---|---|---|---|---|---|\n\
                        | GET | 1 M | 0.500 | 2.00 | CPU µs | 0.25 (0.25–0.25) |\n";
        assert_eq!(table(&[&figure], &[Kind::Quorate, Kind::Valkey]), expected);
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([0.1234, 1.234, 12.34, 1234.5].map(number), ["0.123", "1.23", "12.3", "1234"]);
        assert_eq!([50, 10_000, 1_500_000, 1_234_567].map(count), ["50", "10 k", "1.5 M", "1234567"]);
    }
}
