//! redis.conf syntax: lines of words with comments and `include`, and the command line's form of it.

use crate::error::ConfigError;
use crate::split::split;

/// Reads a file named by `include`: its text, or why it could not be read.
pub type Reader<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// How deep `include` may nest; a file that includes itself ends here.
const MAX_INCLUDE_DEPTH: usize = 16;

/// One directive as it stands in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub file: String,
    pub number: usize,
    pub raw: String,
    pub words: Vec<String>,
}

impl Line {
    pub(crate) fn error(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError { file: self.file.clone(), line: self.number, directive: self.raw.clone(), reason: reason.into() }
    }
}

/// The lines of a file's text, those of its includes in their place.
pub(crate) fn lines(file: &str, text: &str, read: Reader<'_>) -> Result<Vec<Line>, ConfigError> {
    let mut found = Vec::new();
    collect(file, text, read, 0, &mut found)?;
    Ok(found)
}

fn collect(file: &str, text: &str, read: Reader<'_>, depth: usize, found: &mut Vec<Line>) -> Result<(), ConfigError> {
    for (index, raw) in text.lines().enumerate() {
        let raw = raw.trim();
        if raw.is_empty() || raw.starts_with('#') {
            continue;
        }
        let mut line = Line { file: file.to_owned(), number: index + 1, raw: raw.to_owned(), words: Vec::new() };
        line.words = split(raw).ok_or_else(|| line.error("Unbalanced quotes in configuration line"))?;
        let [first, rest @ ..] = line.words.as_slice() else {
            continue;
        };
        if !first.eq_ignore_ascii_case("include") {
            found.push(line);
            continue;
        }
        let [path] = rest else {
            return Err(line.error("wrong number of arguments"));
        };
        if depth == MAX_INCLUDE_DEPTH {
            return Err(line.error(format!("includes nest deeper than {MAX_INCLUDE_DEPTH} files")));
        }
        let included = read(path).map_err(|reason| line.error(format!("can't open config file '{path}': {reason}")))?;
        collect(path, &included, read, depth + 1, found)?;
    }
    Ok(())
}

/// The lines that `--port 7000 --save '' --replicaof host 6379` stands for. A word with two leading dashes opens a directive, the
/// words up to the next one are its arguments; `--save` alone is `save ""`, as Redis has it.
pub(crate) fn options(args: &[String]) -> Result<Vec<Line>, ConfigError> {
    let mut found: Vec<Line> = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        if let Some(name) = arg.strip_prefix("--").filter(|name| !name.is_empty()) {
            // One word may hold a whole line: `"--port 7000"`.
            let words = split(name).filter(|words| !words.is_empty());
            let fault = || ConfigError {
                file: "command line".into(),
                line: index + 1,
                directive: arg.clone(),
                reason: "Unbalanced quotes in configuration line".into(),
            };
            let words = words.ok_or_else(fault)?;
            found.push(Line { file: "command line".into(), number: index + 1, raw: arg.clone(), words });
            continue;
        }
        let Some(open) = found.last_mut() else {
            return Err(ConfigError {
                file: "command line".into(),
                line: index + 1,
                directive: arg.clone(),
                reason: "an option begins with two dashes".into(),
            });
        };
        open.raw.push(' ');
        open.raw.push_str(&crate::split::quote(arg));
        open.words.push(arg.clone());
    }
    for line in &mut found {
        if line.words.len() == 1 && line.words[0].eq_ignore_ascii_case("save") {
            line.words.push(String::new());
        }
    }
    Ok(found)
}
