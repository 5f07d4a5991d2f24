//! CONFIG GET, SET, REWRITE, RESETSTAT: the directives are the table of `quorate-config`; here is only their effect on a running node.

use quorate_collections::glob::{self, Case};
use quorate_config::{Apply, Directive};

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group};
use crate::{Call, Refusal, Reply};

const ROW: Command = Command {
    flags: Flags::ADMIN.with(Flags::ANYTIME).with(Flags::NOSCRIPT),
    since: "2.0.0",
    ..Command::of(Group::Server)
};

/// CONFIG and its subcommands.
pub const COMMANDS: &[Command] = &[Command {
    name: "config",
    arity: AtLeast(2),
    complexity: "Depends on subcommand.",
    summary: "A container for server configuration commands.",
    subcommands: CONFIG,
    ..ROW
}];

const CONFIG: &[Command] = &[
    Command {
        name: "get",
        arity: AtLeast(3),
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Returns the effective values of configuration parameters.",
        run: get,
        ..ROW
    },
    Command {
        name: "set",
        arity: AtLeast(4),
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Sets configuration parameters in-flight.",
        run: set,
        ..ROW
    },
    Command {
        name: "rewrite",
        arity: Exactly(2),
        since: "2.8.0",
        summary: "Persists the effective configuration to file.",
        run: rewrite,
        ..ROW
    },
    Command {
        name: "resetstat",
        arity: Exactly(2),
        summary: "Resets the server's statistics.",
        run: reset_stat,
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

/// `CONFIG GET pattern [pattern ...]`: a map.
fn get(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let patterns = &call.argv[2..];
    let wanted = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes(), Case::Insensitive));
    let pairs = call.core.config.get(wanted);
    call.out.map(pairs.len());
    for (name, value) in pairs {
        call.out.bulk(name.as_bytes());
        call.out.bulk(value.as_bytes());
    }
    Ok(Reply::Written)
}

/// `CONFIG SET name value [name value ...]`: all or none.
fn set(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (pairs, odd) = call.argv[2..].as_chunks::<2>();
    if !odd.is_empty() {
        return Err(call.arity());
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Refusal::fixed("ERR CONFIG SET failed - not UTF-8"));
    let pairs = pairs
        .iter()
        .map(|[name, value]| Ok((text(name)?, text(value)?)))
        .collect::<Result<Vec<(&str, &str)>, Refusal>>()?;
    let changed = call.core.config.set(&pairs, call.session.origin()).map_err(Refusal::err)?;
    for directive in changed {
        apply(call, directive);
    }
    // min-replicas-to-write and its like are felt by the next command.
    call.core.standing_changed(call.db.keyspace());
    Ok(Reply::Ok)
}

fn apply(call: &mut Call<'_>, directive: &Directive) {
    match directive.apply {
        // Thresholds of encodings are among those; setting them all anew is cheap.
        Apply::Stored => {
            let seed = call.db.keyspace().limits().seed;
            let limits = crate::engine::encodings(&call.core.config, seed);
            call.db.keyspace().set_limits(limits);
            let meter = crate::evict::access_meter(&call.core.config);
            call.db.keyspace().set_access_meter(meter);
        }
        Apply::Memory => {
            let meter = crate::evict::access_meter(&call.core.config);
            call.db.keyspace().set_access_meter(meter);
            call.core.make_room(call.db.keyspace(), Some(call.session)); // a lower limit is felt at once
        }
        Apply::Trim => call.core.slow_log.trim(call.core.config.slowlog_max_len),
        Apply::Events | Apply::Password => {}
        apply => call.core.config_changed(apply),
    }
}

/// `CONFIG REWRITE`
fn rewrite(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.core.config_file.is_empty() {
        return Err(Refusal::fixed("ERR The server is running without a config file"));
    }
    (call.core.host.rewrite_config)(&call.core.config_file, &call.core.config)
        .map_err(|error| Refusal::err(format_args!("Rewriting config file: {error}")))?;
    Ok(Reply::Ok)
}

/// `CONFIG RESETSTAT`
fn reset_stat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.core.stats.reset();
    call.db.keyspace().reset_lookups();
    Ok(Reply::Ok)
}

/// `CONFIG HELP`
fn help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    super::write_help(call, "CONFIG", CONFIG);
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn directives_are_read_and_set() {
        check("config get maxclients", "[$maxclients $10000]");
        check("config get nosuch", "[]");
        check("config set maxclients", "-ERR wrong number of arguments for 'config|set' command");
        check("config set nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'");
        check(
            "config set port 1 databases 2",
            "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
        );
        check("config rewrite", "-ERR The server is running without a config file");
        scenario(
            "> config set timeout 5 maxmemory 1mb
             +OK
             > config get timeout maxmemory
             [$timeout $5 $maxmemory $1048576]",
        );
    }
}
