//! The command line.

use std::path::PathBuf;

use crate::error::BenchError;
use crate::parts::PARTS;
use crate::server::{Kind, Programs};

/// What is said of the command line when it is not understood.
pub const USAGE: &str = "Usage: cargo xtask bench [--only PART,…] [--rounds N] [--quick | --write] [--program PATH] [--valkey PATH] [--redis PATH] [--json FILE]
       cargo xtask bench --instructions [--bless]";

/// What to do.
#[derive(Debug, Clone)]
pub struct Args {
    /// Parts to run; all of them if empty.
    pub only: Vec<String>,
    /// Rounds.
    pub rounds: usize,
    /// Small datasets and windows: to see that it works, not to measure.
    pub quick: bool,
    /// Count instructions instead, and hold them against the checked-in figures, or rewrite those.
    pub instructions: Option<Figures>,
    /// Write the figures into docs/bench.
    pub write: bool,
    /// Write the report here.
    pub json: Option<PathBuf>,
    /// The programs.
    pub programs: Programs,
}

/// What to do with the checked-in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// More than they say fails.
    Compare,
    /// They are rewritten.
    Bless,
}

impl Args {
    /// Reads the command line.
    pub fn parse(words: &[String]) -> Result<Args, BenchError> {
        let mut args = Args {
            only: Vec::new(),
            rounds: 3,
            quick: false,
            instructions: None,
            write: false,
            json: None,
            programs: Programs { servers: vec![(Kind::Quorate, PathBuf::from("target/release/quorate"))] },
        };
        let (mut valkey, mut redis) = (None, Some(PathBuf::from("redis-server")));
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| BenchError::Usage(format!("{word} needs a value\n{USAGE}"))).cloned();
            match word.as_str() {
                "--only" => args.only = value()?.split(',').map(str::to_owned).collect(),
                "--rounds" => args.rounds = count(&value()?)?,
                "--quick" => args.quick = true,
                "--instructions" => args.instructions = args.instructions.or(Some(Figures::Compare)),
                "--bless" => args.instructions = Some(Figures::Bless),
                "--write" => args.write = true,
                "--json" => args.json = Some(value()?.into()),
                "--program" => args.programs.servers[0].1 = value()?.into(),
                "--valkey" => valkey = path(value()?),
                "--redis" => redis = path(value()?),
                unknown => return Err(BenchError::Usage(format!("'{unknown}' is not known\n{USAGE}"))),
            }
        }
        args.programs.servers.extend(valkey.map(|path| (Kind::Valkey, path)));
        args.programs.servers.extend(redis.map(|path| (Kind::Redis, path)));
        if args.quick && args.write {
            return Err(BenchError::Usage("figures of a quick run are not for docs/bench".into()));
        }
        if let Some(unknown) = args.only.iter().find(|name| PARTS.iter().all(|part| part.name != name.as_str())) {
            let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            return Err(BenchError::Usage(format!("there is no part '{unknown}': {}", names.join(", "))));
        }
        Ok(args)
    }

    /// The command that asks for the same again, wherever the programs are.
    #[must_use]
    pub fn command(&self) -> String {
        let only = if self.only.is_empty() { String::new() } else { format!(" --only {}", self.only.join(",")) };
        let quick = if self.quick { " --quick" } else { "" };
        format!("cargo xtask bench{only} --rounds {}{quick}", self.rounds)
    }
}

/// A program's path; `none` leaves that server out.
fn path(word: String) -> Option<PathBuf> {
    (word != "none").then(|| word.into())
}

fn count(word: &str) -> Result<usize, BenchError> {
    let count = word.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| BenchError::Usage(format!("'{word}' is no number of rounds")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, BenchError> {
        Args::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read() {
        let args = parse("--only strings,many --rounds 5 --quick --valkey /v --redis none").unwrap();
        assert_eq!((args.only.len(), args.rounds, args.quick), (2, 5, true));
        let kinds: Vec<Kind> = args.programs.kinds().collect();
        assert_eq!(kinds, [Kind::Quorate, Kind::Valkey]);
        assert_eq!(args.command(), "cargo xtask bench --only strings,many --rounds 5 --quick");
    }

    #[test]
    fn blessing_is_a_way_of_counting() {
        for (line, expected) in [
            ("--instructions", Some(Figures::Compare)),
            ("--instructions --bless", Some(Figures::Bless)),
            ("--bless --instructions", Some(Figures::Bless)),
            ("", None),
        ] {
            assert_eq!(parse(line).unwrap().instructions, expected, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--only nosuch", "--rounds 0", "--rounds", "--what", "--quick --write"] {
            assert!(matches!(parse(line), Err(BenchError::Usage(_))), "{line}");
        }
    }
}
