//! The commands, one file a family, named as Redis names its groups.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod connection;
mod counted;
pub(crate) mod counters;
pub(crate) mod debug;
mod digest;
pub(crate) mod expiry;
pub(crate) mod float;
pub(crate) mod function;
pub(crate) mod generic;
pub(crate) mod hash;
pub(crate) mod introspection;
mod lcs;
pub(crate) mod list;
pub(crate) mod list_moves;
pub(crate) mod logs;
pub(crate) mod object;
pub(crate) mod persistence;
pub(crate) mod pubsub;
pub(crate) mod replication;
pub(crate) mod sample;
pub(crate) mod scan;
pub(crate) mod server;
pub(crate) mod set;
mod sort;
pub(crate) mod sorted_set;
pub(crate) mod string;
pub(crate) mod transactions;

use std::time::Duration;

use quorate_keyspace::{StrRef, UnixMs};
use quorate_resp::{Writer, parse_int};

use crate::command::{Arity, Command};
use crate::{Call, Refusal};

/// The reply of `<container> HELP`: one line for each subcommand and its summary.
pub(crate) fn write_help(call: &mut Call<'_>, container: &str, subcommands: &[Command]) {
    let out = &mut call.out;
    out.array(1 + 2 * subcommands.len());
    out.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for command in subcommands {
        let arguments = if command.arity == Arity::Exactly(2) { "" } else { " ..." };
        out.simple(&format!("{}{arguments}", command.name.to_ascii_uppercase()));
        out.simple(&format!("    {}", command.summary));
    }
}

/// A stored string as a bulk string.
pub(crate) fn write_text(out: &mut Writer<'_>, text: StrRef<'_>) {
    match text {
        StrRef::Bytes(bytes) => out.bulk(bytes),
        StrRef::Int(number) => out.bulk_int(number),
    }
}

/// How SET, GETEX and their like say when a key expires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// Unix time in seconds.
    ExAt,
    /// Unix time in milliseconds.
    PxAt,
}

impl Expiry {
    /// The option of this name.
    pub fn of_option(option: &[u8]) -> Option<Expiry> {
        let known = [("ex", Expiry::Ex), ("px", Expiry::Px), ("exat", Expiry::ExAt), ("pxat", Expiry::PxAt)];
        known.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name.as_bytes())).map(|(_, expiry)| expiry)
    }

    /// The instant that an argument says. It must be positive, and representable in milliseconds.
    pub fn instant(self, call: &Call<'_>, argument: &[u8], command: &'static str) -> Result<UnixMs, Refusal> {
        let number = parse_int(argument).ok_or(Refusal::NotInteger)?;
        let invalid = Refusal::InvalidExpire(command);
        let per_unit = if matches!(self, Expiry::Ex | Expiry::ExAt) { 1000 } else { 1 };
        let ms = number.checked_mul(per_unit).filter(|ms| *ms > 0).ok_or(invalid.clone())?;
        let at = match self {
            Expiry::Ex | Expiry::Px => call.db.now().plus(Duration::from_millis(ms as u64)),
            Expiry::ExAt | Expiry::PxAt => UnixMs(ms as u64),
        };
        if i64::try_from(at.0).is_ok() { Ok(at) } else { Err(invalid) }
    }
}
