//! YAML for the data node: the same directives, as a flat or nested mapping.

use serde_yaml::{Mapping, Value};

use crate::conf::Line;
use crate::directive::Directive;
use crate::error::ConfigError;
use crate::split::quote;

/// The lines that a YAML file stands for. A mapping nests by joining keys with `-` (`repl: {timeout: 5}` is `repl-timeout 5`), or groups
/// freely under a key that begins no directive (`network: {port: 7000}`). A list's items are words; a list of lists is several lines.
pub(crate) fn lines(file: &str, text: &str) -> Result<Vec<Line>, ConfigError> {
    let root: Value = serde_yaml::from_str(text).map_err(|error| ConfigError {
        file: file.to_owned(),
        line: error.location().map_or(0, |at| at.line()),
        directive: String::new(),
        reason: error.to_string(),
    })?;
    let mut walk = Walk { file, text, found: Vec::new() };
    match root {
        Value::Null => {}
        Value::Mapping(mapping) => walk.mapping(&[], &mapping)?,
        _ => {
            return Err(walk.error("", "a configuration is a mapping of directives to values".into()));
        }
    }
    Ok(walk.found)
}

struct Walk<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<Line>,
}

impl Walk<'_> {
    fn mapping(&mut self, above: &[String], mapping: &Mapping) -> Result<(), ConfigError> {
        for (key, value) in mapping {
            let Value::String(key) = key else {
                return Err(self.error(&format!("{key:?}"), "a key is a directive's name".into()));
            };
            let path: Vec<String> = above.iter().chain([key]).map(|part| part.replace('_', "-")).collect();
            if let Value::Mapping(inner) = value {
                self.mapping(&path, inner)?;
            } else {
                self.value(key, &path, value)?;
            }
        }
        Ok(())
    }

    /// The longest joined tail of the path that names a directive wins: `a: {repl: {timeout: 5}}` tries a-repl-timeout, repl-timeout, timeout.
    fn value(&mut self, key: &str, path: &[String], value: &Value) -> Result<(), ConfigError> {
        let names = (0..path.len()).map(|from| path[from..].join("-"));
        let Some(directive) = names.into_iter().find_map(|name| Directive::find(&name)) else {
            return Err(self.error(key, "Bad directive or wrong number of arguments".into()));
        };
        match value {
            Value::Sequence(items) if items.iter().all(Value::is_sequence) && !items.is_empty() => {
                for item in items {
                    let Value::Sequence(words) = item else { unreachable!("all items are sequences") };
                    self.line(key, directive, words)?;
                }
                Ok(())
            }
            Value::Sequence(words) if words.is_empty() => self.line(key, directive, &[Value::String(String::new())]),
            Value::Sequence(words) => self.line(key, directive, words),
            scalar => self.line(key, directive, std::slice::from_ref(scalar)),
        }
    }

    fn line(&mut self, key: &str, directive: &Directive, values: &[Value]) -> Result<(), ConfigError> {
        let mut words = vec![directive.name.to_owned()];
        for value in values {
            words.push(match value {
                Value::Null => String::new(),
                Value::Bool(true) => "yes".into(),
                Value::Bool(false) => "no".into(),
                Value::Number(number) => number.to_string(),
                Value::String(text) => text.clone(),
                _ => {
                    return Err(self.error(key, "a value is a word, a number, a boolean, or a list of those".into()));
                }
            });
        }
        let raw = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        self.found.push(Line { file: self.file.to_owned(), number: self.line_of(key), raw, words });
        Ok(())
    }

    /// serde_yaml's values carry no place: the first line that opens with the key is named.
    fn line_of(&self, key: &str) -> usize {
        let opens = |line: &str| {
            let line = line.trim_start_matches([' ', '{', '"', '\'', ',']);
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
        };
        self.text.lines().position(opens).map_or(0, |index| index + 1)
    }

    fn error(&self, key: &str, reason: String) -> ConfigError {
        ConfigError { file: self.file.to_owned(), line: self.line_of(key), directive: key.to_owned(), reason }
    }
}
