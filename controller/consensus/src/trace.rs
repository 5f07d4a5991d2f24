//! `raft` logs through slog; this drain hands its records to tracing.
//!
//! Levels are shifted down by one: what raft calls info (each vote, each message of an older term) is news for a developer only.

use std::fmt::{self, Write as _};

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};

pub(crate) fn logger() -> Logger {
    Logger::root(Tracing, o!())
}

struct Tracing;

impl Drain for Tracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, own: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical | Level::Error => {
                tracing::error!(target: "raft", "{}", Line(record, own))
            }
            Level::Warning => tracing::warn!(target: "raft", "{}", Line(record, own)),
            Level::Info => tracing::debug!(target: "raft", "{}", Line(record, own)),
            Level::Debug | Level::Trace => tracing::trace!(target: "raft", "{}", Line(record, own)),
        }
        Ok(())
    }
}

/// One record as text; built only when a subscriber wants it.
struct Line<'a>(&'a Record<'a>, &'a OwnedKVList);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.msg())?;
        let mut fields = Fields(String::new());
        // A field that cannot be written is left out: the message matters more.
        let _ = self.0.kv().serialize(self.0, &mut fields);
        let _ = self.1.serialize(self.0, &mut fields);
        f.write_str(&fields.0)
    }
}

struct Fields(String);

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use slog::info;

    #[test]
    fn a_record_without_a_subscriber_costs_nothing_and_does_not_fail() {
        info!(super::logger(), "became leader at term {term}", term = 3; "who" => "me");
    }
}
