//! COMMAND: what the rows say, for clients and proxies.

use quorate_collections::glob::{self, Case};
use quorate_resp::Writer;

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Categories, Command, Flags, Group, Keys};
use crate::multi::Row;
use crate::{Call, Refusal, Reply, Table};

const ROW: Command = Command { flags: Flags::ANYTIME, since: "2.8.13", ..Command::of(Group::Server) };

/// COMMAND and its subcommands.
pub const COMMANDS: &[Command] = &[Command {
    name: "command",
    arity: AtLeast(1),
    categories: Categories::CONNECTION,
    complexity: "O(N) where N is the total number of Redis commands",
    summary: "Returns detailed information about all commands.",
    run: all,
    subcommands: COMMAND,
    ..ROW
}];

const COMMAND: &[Command] = &[
    Command { name: "count", arity: Exactly(2), summary: "Returns a count of commands.", run: count, ..ROW },
    Command {
        name: "docs",
        arity: AtLeast(2),
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands to look up",
        summary: "Returns documentary information about one, multiple or all commands.",
        run: docs,
        ..ROW
    },
    Command {
        name: "info",
        arity: AtLeast(2),
        complexity: "O(N) where N is the number of commands to look up",
        summary: "Returns information about one, multiple or all commands.",
        run: info,
        ..ROW
    },
    Command {
        name: "list",
        arity: AtLeast(2),
        since: "7.0.0",
        complexity: "O(N) where N is the total number of Redis commands",
        summary: "Returns a list of command names.",
        run: list,
        ..ROW
    },
    Command {
        name: "getkeys",
        arity: AtLeast(3),
        complexity: "O(N) where N is the number of arguments to the command",
        summary: "Extracts the key names from an arbitrary command.",
        run: get_keys,
        ..ROW
    },
    Command {
        name: "getkeysandflags",
        arity: AtLeast(3),
        since: "7.0.0",
        complexity: "O(N) where N is the number of arguments to the command",
        summary: "Extracts the key names and access flags for an arbitrary command.",
        run: get_keys_and_flags,
        ..ROW
    },
    Command {
        name: "help",
        arity: Exactly(2),
        since: "5.0.0",
        summary: "Returns helpful text about the different subcommands.",
        run: help,
        ..ROW
    },
];

/// `COMMAND`: every command's entry.
fn all(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let table = call.core.table;
    call.out.array(table.commands().len());
    for row in table.commands() {
        write_entry(&mut call.out, table, row);
    }
    Ok(Reply::Written)
}

/// `COMMAND COUNT`
fn count(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.core.table.commands().len() as i64))
}

/// `COMMAND INFO [name ...]`: null for unknown names.
fn info(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let names = &call.argv[2..];
    if names.is_empty() {
        return all(call);
    }
    let table = call.core.table;
    call.out.array(names.len());
    for name in names {
        match table.named(name) {
            Some(row) => write_entry(&mut call.out, table, row),
            None => call.out.null(),
        }
    }
    Ok(Reply::Written)
}

/// `COMMAND DOCS [name ...]`: a map; unknown names are left out.
fn docs(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let table = call.core.table;
    let rows: Vec<Row> = match &call.argv[2..] {
        [] => table.commands().to_vec(),
        names => names.iter().filter_map(|name| table.named(name)).collect(),
    };
    call.out.map(rows.len());
    for row in rows {
        call.out.bulk(row.name.as_bytes());
        write_docs(&mut call.out, table, row);
    }
    Ok(Reply::Written)
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
fn list(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let table = call.core.table;
    let names: Vec<&str> = match &call.argv[2..] {
        [] => table.rows().iter().map(|row| row.name).collect(),
        [filter, kind, wanted] if filter.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Vec::new(),
                b"aclcat" => {
                    let wanted = String::from_utf8_lossy(wanted).to_ascii_lowercase();
                    let in_category = |row: &&Row| categories(row.command).iter().any(|name| *name == wanted);
                    table.rows().iter().filter(in_category).map(|row| row.name).collect()
                }
                b"pattern" => {
                    let fits = |row: &&Row| glob::matches(wanted, row.name.as_bytes(), Case::Insensitive);
                    table.rows().iter().filter(fits).map(|row| row.name).collect()
                }
                _ => return Err(Refusal::Syntax),
            }
        }
        _ => return Err(Refusal::Syntax),
    };
    call.out.set(names.len());
    for name in names {
        call.out.bulk(name.as_bytes());
    }
    Ok(Reply::Written)
}

fn keys_of<'a>(call: &Call<'a>) -> Result<(Row, Vec<&'a [u8]>), Refusal> {
    let argv = &call.argv[2..];
    let row = call.core.table.find(argv).map_err(|refusal| match refusal {
        Refusal::Arity(_) => Refusal::fixed("ERR Invalid number of arguments specified for command"),
        _ => Refusal::fixed("ERR Invalid command specified"),
    })?;
    if matches!(row.command.keys, Keys::None) {
        return Err(Refusal::fixed("ERR The command has no key arguments"));
    }
    let positions = row.command.keys.positions(argv);
    if positions.is_empty() || !row.command.keys.fits(argv) {
        return Err(Refusal::fixed("ERR Invalid arguments specified for command"));
    }
    Ok((row, positions.into_iter().map(|position| argv[position]).collect()))
}

/// `COMMAND GETKEYS command [argument ...]`
fn get_keys(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (_, keys) = keys_of(call)?;
    call.out.array(keys.len());
    for key in keys {
        call.out.bulk(key);
    }
    Ok(Reply::Written)
}

/// `COMMAND GETKEYSANDFLAGS command [argument ...]`
fn get_keys_and_flags(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (row, keys) = keys_of(call)?;
    call.out.array(keys.len());
    for key in keys {
        call.out.array(2);
        call.out.bulk(key);
        write_key_flags(&mut call.out, row.command);
    }
    Ok(Reply::Written)
}

/// `COMMAND HELP`
fn help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    super::write_help(call, "COMMAND", COMMAND);
    Ok(Reply::Written)
}

/// The ACL categories of a row.
fn categories(command: &Command) -> Vec<&'static str> {
    let flags = command.flags;
    let mut names = Vec::new();
    let mut put = |holds: bool, name: &'static str| {
        if holds {
            names.push(name);
        }
    };
    put(flags.has(Flags::WRITE), "write");
    put(flags.has(Flags::READONLY), "read");
    put(flags.has(Flags::ADMIN), "admin");
    put(flags.has(Flags::ADMIN) || command.categories.has(Categories::DANGEROUS), "dangerous");
    put(flags.has(Flags::PUBSUB) && command.group != Group::Pubsub, "pubsub");
    put(flags.has(Flags::FAST), "fast");
    put(!flags.has(Flags::FAST), "slow");
    put(flags.has(Flags::BLOCKING), "blocking");
    put(command.categories.has(Categories::KEYSPACE) && command.group != Group::Generic, "keyspace");
    put(command.categories.has(Categories::CONNECTION) && command.group != Group::Connection, "connection");
    names.extend(command.group.category());
    names
}

/// Flags that Redis has, too, and does not show.
const HIDDEN: Flags = Flags::MAY_REPLICATE.with(Flags::PROTECTED);

/// The ten fields of COMMAND INFO.
fn write_entry(out: &mut Writer<'_>, table: &Table, row: Row) {
    let command = row.command;
    let (first, last, step) = command.keys.fixed();
    let flags: Vec<&str> = Flags::NAMED
        .iter()
        .filter(|(flag, _)| command.flags.has(*flag) && !HIDDEN.has(*flag))
        .map(|(_, name)| *name)
        .collect();
    out.array(10);
    out.bulk(row.name.as_bytes());
    out.int(command.arity.as_int());
    out.set(flags.len());
    for flag in flags {
        out.simple(flag);
    }
    for position in [first, last, step] {
        out.int(position);
    }
    let categories = categories(command);
    out.set(categories.len());
    for category in categories {
        out.simple(&format!("@{category}"));
    }
    out.set(0);
    write_key_specs(out, command);
    let subcommands = table.subcommands(row);
    out.set(subcommands.len());
    for subcommand in subcommands {
        write_entry(out, table, subcommand);
    }
}

fn write_key_flags(out: &mut Writer<'_>, command: &Command) {
    let flags: &[&str] = if command.flags.has(Flags::WRITE) { &["RW", "update"] } else { &["RO", "access"] };
    out.set(flags.len());
    for flag in flags {
        out.simple(flag);
    }
}

/// How a proxy finds the keys: an index where they begin, and a range or a count.
fn write_key_specs(out: &mut Writer<'_>, command: &Command) {
    let range = |first: usize, last: i64, step: usize| {
        (first, ("range", [("lastkey", last), ("keystep", step as i64), ("limit", 0)]))
    };
    let counted = |count: usize| (count, ("keynum", [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]));
    let specs = match command.keys {
        Keys::None => Vec::new(),
        Keys::First => vec![range(1, 0, 1)],
        Keys::All => vec![range(1, -1, 1)],
        Keys::Range { first, last, step } if last < 0 => vec![range(first, last as i64, step)],
        Keys::Range { first, last, step } => vec![range(first, last as i64 - first as i64, step)],
        Keys::Counted { count } => vec![counted(count)],
        Keys::StoreCounted { count } => vec![range(1, 0, 1), counted(count)],
        Keys::Custom(_) => {
            out.set(1);
            out.map(3);
            out.bulk(b"flags");
            write_key_flags(out, command);
            for field in ["begin_search", "find_keys"] {
                out.bulk(field.as_bytes());
                out.map(2);
                out.bulk(b"type");
                out.bulk(b"unknown");
                out.bulk(b"spec");
                out.map(0);
            }
            return;
        }
    };
    out.set(specs.len());
    for (begin, (kind, fields)) in specs {
        out.map(3);
        out.bulk(b"flags");
        write_key_flags(out, command);
        out.bulk(b"begin_search");
        write_spec(out, "index", &[("index", begin as i64)]);
        out.bulk(b"find_keys");
        write_spec(out, kind, &fields);
    }
}

fn write_spec(out: &mut Writer<'_>, kind: &str, fields: &[(&str, i64)]) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(fields.len());
    for (name, value) in fields {
        out.bulk(name.as_bytes());
        out.int(*value);
    }
}

fn write_docs(out: &mut Writer<'_>, table: &Table, row: Row) {
    let command = row.command;
    let subcommands = table.subcommands(row);
    out.map(if subcommands.is_empty() { 4 } else { 5 });
    for (field, text) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
        ("complexity", command.complexity),
    ] {
        out.bulk(field.as_bytes());
        out.bulk(text.as_bytes());
    }
    if !subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(subcommands.len());
        for subcommand in subcommands {
            out.bulk(subcommand.name.as_bytes());
            write_docs(out, table, subcommand);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, check};

    #[test]
    fn entries_have_redis_shape() {
        check(
            "command info watch nosuch",
            "[[$watch :-2 [+noscript +loading +stale +fast +allow_busy] :1 :-1 :1 [+@fast +@transaction] [] \
             [[$flags [+RO +access] $begin_search [$type $index $spec [$index :1]] $find_keys [$type $range $spec \
             [$lastkey :-1 $keystep :1 $limit :0]]]] []] nil]",
        );
        check("command list filterby pattern watch", "[$watch]");
        check("command getkeys watch a b", "[$a $b]");
        check("command getkeys zunion 2 a b weights 1 2", "[$a $b]");
        check("command getkeys zunion 2 a", "-ERR Invalid arguments specified for command");
        check("command getkeys zunion 0 a", "-ERR Invalid arguments specified for command");
        check("command getkeys ping", "-ERR The command has no key arguments");
        check("command getkeys nosuch", "-ERR Invalid command specified");
        check(
            "command docs discard",
            "[$discard [$summary $Discards a transaction. $since $2.0.0 $group $transactions $complexity $O(N), when N is the number of queued commands]]",
        );
        let mut stage = Stage::new();
        let count = stage.say(1, "command count");
        assert!(count.trim_start_matches(':').parse::<usize>().expect("a number") > 20, "{count}");
        assert!(stage.say(1, "command info client").contains("$client|list"));
        assert!(stage.say(1, "command docs client").contains("$subcommands"));
    }
}
