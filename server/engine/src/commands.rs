//! The commands, one file a family, named as Redis names its groups.

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod persistence;
pub(crate) mod replication;
pub(crate) mod transactions;

use crate::Call;
use crate::command::{Arity, Command};

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
