//! `appendonly.aof.manifest`: which files make up the log, and in which order.
//!
//! One line a file: `file <name> seq <number> type <b|i|h>`. At most one base; incremental files by ascending number.
//! The manifest is replaced as a whole (temporary file, fsync, rename): it is the log's only moment of truth.

use std::fmt::Write as _;

/// The longest line that is read. Source: MANIFEST_MAX_LINE of Redis's aof.c.
const MAX_LINE: usize = 1024;

/// What a file of the log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The dataset at the moment of the last rewrite.
    Base,
    /// Commands since.
    Incr,
    /// Replaced by a rewrite, to be deleted.
    History,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Base => 'b',
            Kind::Incr => 'i',
            Kind::History => 'h',
        }
    }
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its name inside the directory: no slash in it.
    pub name: String,
    /// Its number among its kind.
    pub seq: u64,
    /// What it is for.
    pub kind: Kind,
}

/// How a base file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseFormat {
    /// `aof-use-rdb-preamble yes`.
    Rdb,
    /// Commands.
    Commands,
}

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The base file, if there was a rewrite.
    pub base: Option<LogFile>,
    /// Incremental files, by ascending number; the last is the one that is appended to.
    pub incrs: Vec<LogFile>,
    /// Files to delete.
    pub history: Vec<LogFile>,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("AOF manifest line {line}: {what}")]
pub struct ManifestError {
    /// From 1.
    pub line: usize,
    /// What was wrong.
    pub what: &'static str,
}

impl Manifest {
    /// The manifest's own file name for the log `basename` (`appendfilename`).
    pub fn file_name(basename: &str) -> String {
        format!("{basename}.manifest")
    }

    /// Reads a manifest.
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        let mut lines = 0;
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
            lines += 1;
            manifest.add_line(line).map_err(|what| ManifestError { line: lines, what })?;
        }
        if manifest.base.is_none() && manifest.incrs.is_empty() && manifest.history.is_empty() {
            return Err(ManifestError { line: lines, what: "the manifest is empty" });
        }
        Ok(manifest)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.len() > MAX_LINE {
            return Err("the line is too long");
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') {
            return Ok(());
        }
        let file = parse_line(line)?;
        match file.kind {
            Kind::Base if self.base.is_some() => return Err("there is more than one base file"),
            Kind::Base => self.base = Some(file),
            Kind::Incr if self.incrs.last().is_some_and(|last| last.seq >= file.seq) => {
                return Err("sequence numbers do not ascend");
            }
            Kind::Incr => self.incrs.push(file),
            Kind::History => self.history.push(file),
        }
        Ok(())
    }

    /// Its text, as Redis writes it.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for file in self.base.iter().chain(&self.history).chain(&self.incrs) {
            let (name, seq, letter) = (quoted(&file.name), file.seq, file.kind.letter());
            writeln!(text, "file {name} seq {seq} type {letter}").expect("a String takes any text");
        }
        text
    }

    /// Every file that a load reads, in order.
    pub fn load_order(&self) -> impl Iterator<Item = &LogFile> {
        self.base.iter().chain(&self.incrs)
    }

    /// The file that is appended to.
    pub fn current_incr(&self) -> Option<&LogFile> {
        self.incrs.last()
    }

    /// Adds the next incremental file of the log `basename` (`appendfilename`) and returns its name.
    pub fn open_incr(&mut self, basename: &str) -> String {
        let known = self.incrs.iter().chain(&self.history).filter(|file| file.name.ends_with(".incr.aof"));
        let seq = known.map(|file| file.seq).max().unwrap_or(0) + 1;
        let name = format!("{basename}.{seq}.incr.aof");
        self.incrs.push(LogFile { name: name.clone(), seq, kind: Kind::Incr });
        name
    }

    /// Takes the incremental file `name`, and all that follow it, out of the log; returns them.
    pub fn leave_out_from(&mut self, name: &str) -> Vec<LogFile> {
        let from = self.incrs.iter().position(|file| file.name == name).unwrap_or(self.incrs.len());
        self.incrs.split_off(from)
    }

    /// Makes a new base of the log `basename`, whose state is that before the incremental file `first_kept` (`None`: behind all
    /// of them): everything older becomes history. Returns the base's name.
    ///
    /// # Panics
    /// When `first_kept` is not an incremental file of this manifest.
    pub fn replace_base(&mut self, basename: &str, first_kept: Option<&str>, format: BaseFormat) -> String {
        let kept_from = first_kept.map_or(self.incrs.len(), |name| {
            let found = self.incrs.iter().position(|file| file.name == name);
            found.expect("a rewrite opens its incremental file before it writes the base")
        });
        let seq = self.base.as_ref().map_or(1, |base| base.seq + 1);
        let suffix = match format {
            BaseFormat::Rdb => "rdb",
            BaseFormat::Commands => "aof",
        };
        let name = format!("{basename}.{seq}.base.{suffix}");
        let replaced = self.base.replace(LogFile { name: name.clone(), seq, kind: Kind::Base });
        let retired = replaced.into_iter().chain(self.incrs.drain(..kept_from));
        self.history.extend(retired.map(|file| LogFile { kind: Kind::History, ..file }));
        name
    }

    /// Takes an append-only file of Redis before 7 (one file, no manifest) as the base of a new log.
    pub fn adopt_old_file(name: &str) -> Manifest {
        let base = LogFile { name: name.to_owned(), seq: 1, kind: Kind::Base };
        Manifest { base: Some(base), ..Manifest::default() }
    }
}

fn parse_line(line: &[u8]) -> Result<LogFile, &'static str> {
    let words = split_words(line)?;
    if words.len() < 6 || words.len() % 2 != 0 {
        return Err("not of the shape 'file NAME seq NUMBER type LETTER'");
    }
    let (mut name, mut seq, mut kind) = (None, None, None);
    for pair in words.chunks_exact(2) {
        match pair[0].to_ascii_lowercase().as_str() {
            "file" => name = Some(pair[1].clone()),
            "seq" => seq = Some(pair[1].parse::<u64>().map_err(|_| "the sequence number is not a number")?),
            "type" => {
                kind = Some(match pair[1].as_str() {
                    "b" => Kind::Base,
                    "i" => Kind::Incr,
                    "h" => Kind::History,
                    _ => return Err("unknown type of file"),
                });
            }
            _ => {} // A later version's field.
        }
    }
    let (Some(name), Some(seq), Some(kind)) = (name, seq, kind) else {
        return Err("file, seq or type is missing");
    };
    if name.is_empty() || name.contains(['/', '\\']) || name == "." || name == ".." {
        return Err("a file of the log must be a plain name");
    }
    if seq == 0 {
        return Err("sequence numbers start at 1");
    }
    Ok(LogFile { name, seq, kind })
}

/// Splits at blanks; a word in double quotes may hold blanks and the escapes that [`quoted`] writes.
fn split_words(line: &[u8]) -> Result<Vec<String>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted_word(inner)?,
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

fn quoted_word(inner: &str) -> Result<(String, &str), &'static str> {
    let mut word = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((word, &inner[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => word.push('\n'),
                Some((_, 'r')) => word.push('\r'),
                Some((_, 't')) => word.push('\t'),
                Some((_, escaped)) => word.push(escaped),
                None => break,
            },
            _ => word.push(char),
        }
    }
    Err("unbalanced quotes")
}

fn quoted(name: &str) -> String {
    let plain = |char: char| !char.is_whitespace() && !char.is_control() && char != '"' && char != '\\' && char != '\'';
    if name.chars().all(plain) {
        return name.to_owned();
    }
    let mut text = String::from("\"");
    for char in name.chars() {
        match char {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '"' | '\\' => text.extend(['\\', char]),
            _ => text.push(char),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_error(text: &str, line: usize, what: &'static str) {
        assert_eq!(Manifest::parse(text.as_bytes()), Err(ManifestError { line, what }), "{text:?}");
    }

    #[test]
    fn a_manifest_of_redis_7_is_read_and_written_alike() {
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                    file appendonly.aof.1.base.rdb seq 1 type h\n\
                    file appendonly.aof.4.incr.aof seq 4 type i\n\
                    file appendonly.aof.5.incr.aof seq 5 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.current_incr().unwrap().seq, 5);
        assert_eq!(manifest.load_order().count(), 3);
        assert_eq!(manifest.encode(), text);
    }

    #[test]
    fn comments_quotes_and_later_fields_are_taken() {
        let text = "# a comment\r\nfile \"my log.1.incr.aof\" seq 1 type i startoffset 12\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.incrs[0].name, "my log.1.incr.aof");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        check_error("", 1, "not of the shape 'file NAME seq NUMBER type LETTER'");
        check_error("# nothing\n", 1, "the manifest is empty");
        check_error("file a seq 1 type b\n\n", 2, "not of the shape 'file NAME seq NUMBER type LETTER'");
        check_error("file a seq 1 type x\n", 1, "unknown type of file");
        check_error("file a seq -1 type b\n", 1, "the sequence number is not a number");
        check_error("file ../a seq 1 type b\n", 1, "a file of the log must be a plain name");
        check_error("file \"a seq 1 type b\n", 1, "unbalanced quotes");
        check_error("file a seq 1 type b\nfile b seq 2 type b\n", 2, "there is more than one base file");
        check_error("file a seq 2 type i\nfile b seq 2 type i\n", 2, "sequence numbers do not ascend");
    }

    #[test]
    fn a_rewrite_retires_all_that_its_base_holds() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.open_incr("a.aof"), "a.aof.1.incr.aof");
        let first = manifest.open_incr("a.aof");
        assert_eq!(manifest.replace_base("a.aof", Some(&first), BaseFormat::Rdb), "a.aof.1.base.rdb");
        assert_eq!(manifest.history.len(), 1);
        assert_eq!(manifest.open_incr("a.aof"), "a.aof.3.incr.aof");
        let second = manifest.open_incr("a.aof");
        assert_eq!(manifest.replace_base("a.aof", Some(&second), BaseFormat::Commands), "a.aof.2.base.aof");
        let history: Vec<_> = manifest.history.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(history, ["a.aof.1.incr.aof", "a.aof.1.base.rdb", "a.aof.2.incr.aof", "a.aof.3.incr.aof"]);
        assert_eq!(manifest.load_order().map(|file| file.seq).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(manifest.replace_base("a.aof", None, BaseFormat::Rdb), "a.aof.3.base.rdb");
        assert_eq!(manifest.load_order().map(|file| file.seq).collect::<Vec<_>>(), [3]);
    }

    proptest! {
        #[test]
        fn any_name_survives(name in "[^/\\\\\0]{1,40}", seq in 1..u64::MAX) {
            prop_assume!(name != "." && name != "..");
            let file = LogFile { name, seq, kind: Kind::Incr };
            let manifest = Manifest { incrs: vec![file], ..Manifest::default() };
            prop_assert_eq!(Manifest::parse(manifest.encode().as_bytes()), Ok(manifest));
        }

        #[test]
        fn any_bytes_are_an_error_or_a_manifest(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&text);
        }
    }
}
