//! FUNCTION, of a server that has no scripting yet: there are no functions, so a flush has nothing to do and a list is empty. FUNCTION
//! LOAD and the rest are unknown here.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group};
use crate::{Call, Refusal, Reply};

const ROW: Command =
    Command { flags: Flags::NOSCRIPT, since: "7.0.0", complexity: "O(1)", ..Command::of(Group::Scripting) };

/// FUNCTION and its subcommands.
pub const COMMANDS: &[Command] = &[Command {
    name: "function",
    arity: AtLeast(2),
    flags: Flags::NONE,
    complexity: "Depends on subcommand.",
    summary: "A container for function commands.",
    subcommands: FUNCTION,
    ..ROW
}];

const FUNCTION: &[Command] = &[
    Command {
        name: "flush",
        arity: AtLeast(2),
        flags: ROW.flags.with(Flags::WRITE),
        summary: "Deletes all libraries and functions.",
        run: flush,
        ..ROW
    },
    Command { name: "list", arity: AtLeast(2), summary: "Returns information about all libraries.", run: list, ..ROW },
    Command {
        name: "help",
        arity: Exactly(2),
        flags: Flags::ANYTIME,
        summary: "Returns helpful text about the different subcommands.",
        run: help,
        ..ROW
    },
];

/// `FUNCTION FLUSH [ASYNC | SYNC]`
fn flush(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match &call.argv[2..] {
        [] => Ok(Reply::Ok),
        [how] if how.eq_ignore_ascii_case(b"async") || how.eq_ignore_ascii_case(b"sync") => Ok(Reply::Ok),
        _ => Err(Refusal::err("FUNCTION FLUSH only supports SYNC|ASYNC option")),
    }
}

/// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`
fn list(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut options = call.argv[2..].iter();
    while let Some(option) = options.next() {
        let known = option.eq_ignore_ascii_case(b"withcode")
            || (option.eq_ignore_ascii_case(b"libraryname") && options.next().is_some());
        if !known {
            return Err(Refusal::err(format_args!("Unknown argument {}", String::from_utf8_lossy(option))));
        }
    }
    Ok(Reply::EmptyArray)
}

/// `FUNCTION HELP`
fn help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    super::write_help(call, "FUNCTION", FUNCTION);
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests {
    use crate::check::check;

    #[test]
    fn there_are_none() {
        check("function flush", "+OK");
        check("function flush async", "+OK");
        check("function flush now", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
        check("function list withcode", "[]");
        check("function list nosuch", "-ERR Unknown argument nosuch");
        check("function load x", "-ERR unknown subcommand 'load'. Try FUNCTION HELP.");
    }
}
