//! The list of known failures: `unit | test | reason`, one a line; `#` begins a comment.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::outcome::Outcome;

/// Failures that are expected, and why.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<(String, String), String>);

/// How a unit differs from the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Failures that are not on it, as lines for it.
    pub fresh: Vec<String>,
    /// Tests on it that pass.
    pub mended: Vec<String>,
}

impl Known {
    /// Reads the list.
    pub fn read(path: &Path) -> io::Result<Known> {
        Known::parse(&std::fs::read_to_string(path)?).map_err(io::Error::other)
    }

    fn parse(text: &str) -> Result<Known, String> {
        let mut known = Known::default();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut parts = line.splitn(3, " | ").map(str::to_owned);
            let (Some(unit), Some(test), Some(reason)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(format!("known failures: not 'unit | test | reason': {line}"));
            };
            if known.0.insert((unit, test), reason).is_some() {
                return Err(format!("known failures: twice: {line}"));
            }
        }
        Ok(known)
    }

    /// Whether this failure is expected.
    pub fn holds(&self, unit: &str, test: &str) -> bool {
        self.0.contains_key(&(unit.to_owned(), test.to_owned()))
    }

    /// What is new about a unit.
    pub fn news(&self, unit: &str, outcome: &Outcome) -> News {
        let fresh = outcome.failed.iter().filter(|failure| !self.holds(unit, &failure.name));
        let failed_too = |name: &String| outcome.failed.iter().any(|failure| failure.name == *name);
        let mended = outcome.passed.iter().filter(|name| self.holds(unit, name) && !failed_too(name));
        News {
            fresh: fresh.map(|failure| format!("{unit} | {} | {}", failure.name, failure.reason)).collect(),
            mended: mended.map(|name| format!("{unit} | {name}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_known_is_news() {
        let known = Known::parse("# why\nu | a | no bits\nu | b | no streams\n").expect("well-formed");
        let mut outcome = Outcome::default();
        outcome.fail("a", "x");
        outcome.fail("c", "y");
        outcome.passed.push("b".into());
        let news = known.news("u", &outcome);
        assert_eq!((news.fresh, news.mended), (vec!["u | c | y".to_owned()], vec!["u | b".to_owned()]));
    }

    #[test]
    fn the_list_is_well_formed() {
        Known::parse(include_str!("../../../compat/known.txt")).expect("tests/compat/known.txt");
        assert!(Known::parse("u | a").is_err());
        assert!(Known::parse("u | a | x\nu | a | y").is_err());
    }
}
