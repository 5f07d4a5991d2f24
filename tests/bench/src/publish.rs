//! docs/bench: the JSON of all figures, the page of plots, and the tables in the README between their marks. A run of some parts replaces theirs and
//! leaves the others as they were.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{BenchError, Tried};
use crate::figure::{Figure, Report};
use crate::parts::PARTS;
use crate::server::Kind;
use crate::{plot, reach, table};

const JSON: &str = "figures.json";
const PAGE: &str = "figures.svg";
const README: &str = "README.md";
/// What stands between these two lines of the README is written by the bench.
const MARKS: (&str, &str) = ("<!-- figures: written by `cargo xtask bench --write` -->\n", "<!-- end of figures -->\n");

/// Writes a run's figures into the folder.
pub fn publish(folder: &Path, run: Report) -> Result<(), BenchError> {
    let path = folder.join(JSON);
    let report = match std::fs::read_to_string(&path) {
        Ok(text) => {
            let old = serde_json::from_str(&text);
            merged(old.map_err(|error| BenchError::Other(format!("{}: {error}", path.display())))?, run)
        }
        Err(_) => run,
    };
    let readme = folder.join(README);
    let text = std::fs::read_to_string(&readme).tried(|| readme.display().to_string())?;
    let text = between(&text, &tables(&report))
        .ok_or_else(|| BenchError::Other(format!("{} has lost its marks", readme.display())))?;
    let page = plot::page(&report.figures, &format!("Ratio to Valkey (1: the same; left: less). {}", report.machine))?;
    let json = serde_json::to_string_pretty(&report).expect("a report is plain data") + "\n";
    for (name, content) in [(JSON, json), (PAGE, page), (README, text)] {
        std::fs::write(folder.join(name), content).tried(|| name.into())?;
    }
    Ok(())
}

/// The newer run's parts in place of the older's.
fn merged(old: Report, run: Report) -> Report {
    let kept = old.figures.into_iter().filter(|figure| !run.runs.contains_key(&figure.part));
    let mut figures: Vec<Figure> = kept.chain(run.figures).collect();
    let place = |figure: &Figure| PARTS.iter().position(|part| part.name == figure.part);
    figures.sort_by_key(place);
    let mut runs = old.runs;
    runs.extend(run.runs);
    Report { machine: run.machine, versions: run.versions, runs, figures }
}

/// The README with new text between its marks.
fn between(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    Some([before, MARKS.0, new, MARKS.1, after].concat())
}

fn tables(report: &Report) -> String {
    let mut text = format!("\n{}\n\n", report.machine);
    for (kind, version) in &report.versions {
        text.push_str(&format!("- {}: `{version}`\n", kind.name()));
    }
    text.push_str(&format!("\n### What to reach\n\n{}\n![ratios]({PAGE})\n", reach::table(&report.figures)));
    let mut parts: BTreeMap<usize, &str> = BTreeMap::new();
    for (place, part) in PARTS.iter().enumerate() {
        if report.runs.contains_key(part.name) {
            parts.insert(place, part.name);
        }
    }
    let kinds: Vec<Kind> = report.versions.keys().copied().collect();
    for (place, name) in parts {
        let run = &report.runs[name];
        let figures: Vec<&Figure> = report.figures.iter().filter(|figure| figure.part == name).collect();
        text.push_str(&format!(
            "\n### {name}: {}\n\n`{}`, {} s\n\n{}",
            PARTS[place].about,
            run.command,
            run.seconds,
            table::table(&figures, &kinds)
        ));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Run, Sample};

    fn report(parts: &[&str], value: f64) -> Report {
        let figures = parts.iter().map(|part| {
            let mut figure = Figure::new(part, "GET", "CPU µs", &[]);
            figure.note(0, Kind::Quorate, Sample::of(value));
            figure
        });
        let run = Run { command: "cargo xtask bench".into(), rounds: 1, seconds: value };
        Report {
            machine: "2 cores".into(),
            versions: BTreeMap::from([(Kind::Quorate, "1".into())]),
            runs: parts.iter().map(|part| ((*part).to_owned(), run.clone())).collect(),
            figures: figures.collect(),
        }
    }

    #[test]
    fn a_run_of_some_parts_replaces_theirs_alone() {
        let both = merged(report(&["memory", "strings"], 1.0), report(&["strings"], 2.0));
        let shown: Vec<(&str, f64)> =
            both.figures.iter().map(|figure| (figure.part.as_str(), figure.medians[&Kind::Quorate].value)).collect();
        assert_eq!(shown, [("strings", 2.0), ("memory", 1.0)]);
        assert_eq!((both.runs["memory"].seconds, both.runs["strings"].seconds), (1.0, 2.0));
    }

    #[test]
    fn only_what_stands_between_the_marks_is_rewritten() {
        let text = format!("before\n{}old\n{}after\n", MARKS.0, MARKS.1);
        let expected = format!("before\n{}new\n{}after\n", MARKS.0, MARKS.1);
        assert_eq!(between(&text, "new\n").as_deref(), Some(expected.as_str()));
        assert_eq!(between("no marks\n", "new\n"), None);
    }

    #[test]
    fn a_folder_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(README), format!("# Bench\n{}{}", MARKS.0, MARKS.1)).unwrap();
        publish(folder.path(), report(&["strings"], 1.0)).unwrap();
        publish(folder.path(), report(&["memory"], 3.0)).unwrap();
        let text = std::fs::read_to_string(folder.path().join(README)).unwrap();
        assert!(text.contains("### strings") && text.contains("### memory") && text.contains("### What to reach"));
        let json = std::fs::read_to_string(folder.path().join(JSON)).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap().figures.len(), 2);
        assert!(std::fs::read_to_string(folder.path().join(PAGE)).unwrap().starts_with("<svg"));
    }
}
