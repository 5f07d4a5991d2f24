//! What a unit came to, read off the suite's output: `[ok]: name (3 ms)`, `[err]: name in tests/unit/x.tcl` and the reason on the next line.

/// A unit's tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Names of those that passed.
    pub passed: Vec<String>,
    /// Those that failed.
    pub failed: Vec<Failure>,
    /// How many tests or groups of tests the suite left out: not for external servers, or slow.
    pub skipped: usize,
}

/// A test that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its name; in parentheses if it is none of the suite's.
    pub name: String,
    /// What the suite said.
    pub reason: String,
}

impl Outcome {
    /// Reads a log.
    pub fn read(log: &str) -> Outcome {
        let mut outcome = Outcome::default();
        let plain = without_colours(log);
        let mut lines = plain.lines().peekable();
        while let Some(line) = lines.next() {
            let Some((kind, text)) = line.strip_prefix('[').and_then(|line| line.split_once("]: ")) else { continue };
            match kind {
                "ok" => outcome.passed.push(text.rsplit_once(" (").map_or(text, |(name, _)| name).to_owned()),
                "ignore" | "skip" => outcome.skipped += 1,
                "err" => {
                    let reason = lines.peek().copied().unwrap_or_default();
                    match text.rsplit_once(" in tests/") {
                        Some((name, _)) => outcome.fail(name, reason),
                        None => outcome.fail("(between tests)", text),
                    }
                }
                "exception" => outcome.fail("(the unit)", text),
                _ => {}
            }
        }
        outcome
    }

    /// Adds a failure.
    pub fn fail(&mut self, name: &str, reason: &str) {
        let reason = reason.chars().take(160).collect();
        self.failed.push(Failure { name: name.to_owned(), reason });
    }

    /// Adds another unit's tests.
    pub fn add(&mut self, mut other: Outcome) {
        self.passed.append(&mut other.passed);
        self.failed.append(&mut other.failed);
        self.skipped += other.skipped;
    }
}

/// The text without its escape sequences, `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut pieces = text.split('\u{1b}');
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read() {
        let log = "Testing unit/x\n[\u{1b}[0;32;49mok\u{1b}[0m]: SET (and) GET (12 ms)\n\
                   [\u{1b}[0;31;49merr\u{1b}[0m]: No zero in tests/unit/x.tcl\nExpected '0'\n\
                   [ignore]: large memory flag not provided\n[err]: something broke\nat a line\n\
                   [exception]: Executing test client: no\n";
        let outcome = Outcome::read(log);
        assert_eq!(outcome.passed, ["SET (and) GET"]);
        let failed: Vec<_> = outcome.failed.iter().map(|f| (f.name.as_str(), f.reason.as_str())).collect();
        let expected = [
            ("No zero", "Expected '0'"),
            ("(between tests)", "something broke"),
            ("(the unit)", "Executing test client: no"),
        ];
        assert_eq!(failed, expected);
        assert_eq!(outcome.skipped, 1);
    }
}
