//! Building and changing a [`ServerConfig`]: files, command line, CONFIG GET, CONFIG SET, CONFIG REWRITE.

use std::collections::BTreeSet;

use crate::conf::{self, Line, Reader};
use crate::directive::{Directive, Support, Turn, When};
use crate::error::{ConfigError, SetError};
use crate::split::split;
use crate::table::{DIRECTIVES, ServerConfig};
use crate::value::Permission;
use crate::{rewrite, yaml};

/// Where a CONFIG SET comes from: decides about protected directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A connection from this machine.
    Local,
    /// Any other connection.
    Remote,
}

impl ServerConfig {
    /// Builds a configuration from a file's text, if any, and then the command line's options, which come last and win.
    /// A file whose name ends in `.yaml` or `.yml` is YAML, any other redis.conf syntax; `read` serves `include`.
    pub fn load(file: Option<(&str, &str)>, options: &[String], read: Reader<'_>) -> Result<Self, ConfigError> {
        let mut lines = match file {
            Some((name, text)) if is_yaml(name) => yaml::lines(name, text)?,
            Some((name, text)) => conf::lines(name, text, read)?,
            None => Vec::new(),
        };
        lines.extend(conf::options(options)?);
        let mut config = Self::default();
        let mut seen = BTreeSet::new();
        for line in &lines {
            config.take(line, &mut seen)?;
        }
        Ok(config)
    }

    fn take(&mut self, line: &Line, seen: &mut BTreeSet<&'static str>) -> Result<(), ConfigError> {
        let [name, words @ ..] = line.words.as_slice() else { unreachable!("a line has a word") };
        let Some(directive) = Directive::find(name) else {
            return Err(line.error(unknown(name)));
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            return Err(line.error("wrong number of arguments"));
        }
        // A single quoted word holds all of several: `--save "900 1"`, `bind "127.0.0.1 ::1"`.
        let inner = match words.as_slice() {
            [one] if directive.many => split(one).filter(|inner| inner.len() > 1),
            _ => None,
        };
        let words = inner.as_ref().map_or(words, |inner| inner.iter().map(String::as_str).collect());
        let turn = if seen.insert(directive.name) { Turn::First } else { Turn::Further };
        directive.write_checked(self, &words, turn).map_err(|reason| line.error(reason))
    }

    /// Every name (aliases included) that `wanted` accepts, with its value: the pairs of CONFIG GET.
    pub fn get(&self, mut wanted: impl FnMut(&str) -> bool) -> Vec<(&'static str, String)> {
        let names = DIRECTIVES.iter().flat_map(|directive| directive.names().map(move |name| (name, directive)));
        names.filter(|(name, _)| wanted(name)).map(|(name, directive)| (name, (directive.read)(self))).collect()
    }

    /// CONFIG SET: all pairs or none. Answers with the directives whose value changed, for the caller to apply; should applying
    /// one fail, the caller puts its copy of the old configuration back and answers with [`refused`](Self::refused).
    pub fn set(&mut self, pairs: &[(&str, &str)], origin: Origin) -> Result<Vec<&'static Directive>, SetError> {
        let mut next = self.clone();
        let mut seen: Vec<&'static Directive> = Vec::new();
        for (name, value) in pairs {
            let directive = Directive::find(name).ok_or_else(|| SetError::Unknown((*name).to_owned()))?;
            let refuse = |reason: &str| Self::refused(name, reason);
            if seen.contains(&directive) {
                return Err(refuse("duplicate parameter"));
            }
            seen.push(directive);
            match directive.when {
                When::Startup => return Err(refuse("can't set immutable config")),
                When::Protected if !self.permits(self.enable_protected_configs, origin) => {
                    return Err(refuse("can't set protected config"));
                }
                When::Runtime | When::Protected => {}
            }
            let split_words = if directive.many {
                split(value).ok_or_else(|| refuse("Unbalanced quotes"))?
            } else {
                vec![(*value).to_owned()]
            };
            let words: Vec<&str> = split_words.iter().map(String::as_str).collect();
            directive.write_checked(&mut next, &words, Turn::First).map_err(|reason| refuse(&reason))?;
        }
        seen.retain(|directive| (directive.read)(self) != (directive.read)(&next));
        *self = next;
        Ok(seen)
    }

    /// Whether a permission (`no`, `yes`, `local`) lets this origin in.
    pub fn permits(&self, permission: Permission, origin: Origin) -> bool {
        match permission {
            Permission::No => false,
            Permission::Yes => true,
            Permission::Local => origin == Origin::Local,
        }
    }

    /// The refusal of one directive, in CONFIG SET's words.
    pub fn refused(name: &str, reason: &str) -> SetError {
        SetError::Refused { name: name.to_owned(), reason: reason.to_owned() }
    }

    /// CONFIG REWRITE: the text of the file of this name with the present values. Comments, blank lines and the order stay; the first line of
    /// a directive takes the present value, what the file lacks and is not at its default is appended. YAML is refused: it may nest and
    /// group as its author likes, and would not come back as it was.
    pub fn rewrite(&self, name: &str, text: &str) -> Result<String, String> {
        if is_yaml(name) {
            return Err(
                "a YAML file is not rewritten: put the change into it yourself, or use redis.conf syntax".into()
            );
        }
        Ok(rewrite::rewrite(self, text))
    }

    /// Directives that are not at their default and change nothing in this program, with the reason: worth a warning at the start.
    pub fn without_effect(&self) -> Vec<(&'static Directive, &'static str)> {
        let default = Self::default();
        let changed = DIRECTIVES.iter().filter(|directive| (directive.read)(self) != (directive.read)(&default));
        let inert = changed.filter_map(|directive| match directive.support {
            Support::Inert(reason) => Some((directive, reason)),
            Support::Works | Support::DefaultOnly(_) => None,
        });
        inert.collect()
    }

    /// The agent's port: `agent-port`, or the client port + 1000.
    pub fn agent_port(&self) -> u16 {
        if self.agent_port != 0 { self.agent_port } else { self.port.saturating_add(1000) }
    }
}

/// YAML is told by the file's name.
pub(crate) fn is_yaml(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Why a name is no directive: what the program cannot do yet says so.
fn unknown(name: &str) -> &'static str {
    match name.to_ascii_lowercase().as_str() {
        "user" => "ACL is not there yet; requirepass guards the default user",
        "loadmodule" => "modules cannot be loaded",
        "rename-command" => "commands cannot be renamed yet",
        "sentinel" => "this is a sentinel's directive: start it with 'quorate sentinel'",
        _ => "Bad directive or wrong number of arguments",
    }
}
