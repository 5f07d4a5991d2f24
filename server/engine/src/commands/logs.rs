//! What the server remembers of itself: SLOWLOG, LATENCY, MEMORY.

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply};

const ROW: Command =
    Command { flags: Flags::ADMIN.with(Flags::ANYTIME), since: "2.2.12", ..Command::of(Group::Server) };
const HELP: Command = Command {
    name: "help",
    arity: Exactly(2),
    flags: Flags::ANYTIME,
    since: "6.2.0",
    summary: "Returns helpful text about the different subcommands.",
    ..Command::of(Group::Server)
};

/// SLOWLOG, LATENCY, MEMORY.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "slowlog",
        arity: AtLeast(2),
        flags: Flags::NONE,
        complexity: "Depends on subcommand.",
        summary: "A container for slow log commands.",
        subcommands: SLOWLOG,
        ..ROW
    },
    Command {
        name: "latency",
        arity: AtLeast(2),
        flags: Flags::NONE,
        since: "2.8.13",
        complexity: "Depends on subcommand.",
        summary: "A container for latency diagnostics commands.",
        subcommands: LATENCY,
        ..ROW
    },
    Command {
        name: "memory",
        arity: AtLeast(2),
        flags: Flags::NONE,
        since: "4.0.0",
        complexity: "Depends on subcommand.",
        summary: "A container for memory diagnostics commands.",
        subcommands: MEMORY,
        ..ROW
    },
];

const SLOWLOG: &[Command] = &[
    Command {
        name: "get",
        arity: AtLeast(2),
        complexity: "O(N) where N is the number of entries returned",
        summary: "Returns the slow log's entries.",
        run: slowlog_get,
        ..ROW
    },
    Command {
        name: "len",
        arity: Exactly(2),
        summary: "Returns the number of entries in the slow log.",
        run: slowlog_len,
        ..ROW
    },
    Command {
        name: "reset",
        arity: Exactly(2),
        complexity: "O(N) where N is the number of entries in the slowlog",
        summary: "Clears all entries from the slow log.",
        run: slowlog_reset,
        ..ROW
    },
    Command { run: |call| help(call, "SLOWLOG", SLOWLOG), ..HELP },
];

const LATENCY: &[Command] = &[
    Command {
        name: "latest",
        arity: Exactly(2),
        since: "2.8.13",
        summary: "Returns the latest latency samples for all events.",
        run: no_samples,
        ..ROW
    },
    Command {
        name: "history",
        arity: Exactly(3),
        since: "2.8.13",
        summary: "Returns timestamp-latency samples for an event.",
        run: no_samples,
        ..ROW
    },
    Command {
        name: "reset",
        arity: AtLeast(2),
        since: "2.8.13",
        summary: "Resets the latency data for one or more events.",
        run: latency_reset,
        ..ROW
    },
    Command { run: |call| help(call, "LATENCY", LATENCY), ..HELP },
];

const MEMORY: &[Command] = &[
    Command {
        name: "usage",
        arity: AtLeast(3),
        flags: Flags::READONLY,
        keys: Keys::Range { first: 2, last: 2, step: 1 },
        since: "4.0.0",
        complexity: "O(N) where N is the number of samples.",
        summary: "Estimates the memory usage of a key.",
        run: memory_usage,
        ..ROW
    },
    Command {
        name: "doctor",
        arity: Exactly(2),
        flags: Flags::NONE,
        since: "4.0.0",
        summary: "Outputs a memory problems report.",
        run: memory_doctor,
        ..ROW
    },
    Command {
        name: "stats",
        arity: Exactly(2),
        flags: Flags::NONE,
        since: "4.0.0",
        summary: "Returns details about memory usage.",
        run: memory_stats,
        ..ROW
    },
    Command { run: |call| help(call, "MEMORY", MEMORY), ..HELP },
];

fn help(call: &mut Call<'_>, container: &str, subcommands: &[Command]) -> Result<Reply, Refusal> {
    super::write_help(call, container, subcommands);
    Ok(Reply::Written)
}

/// `SLOWLOG GET [count]`: ten entries, or all for -1.
fn slowlog_get(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let count = match call.argv.len() {
        2 => 10,
        3 => call.int(2).unwrap_or(-2),
        _ => return Err(call.arity()),
    };
    let count = match count {
        -1 => usize::MAX,
        count => {
            usize::try_from(count).map_err(|_| Refusal::fixed("ERR count should be greater than or equal to -1"))?
        }
    };
    let (log, out) = (&call.core.slow_log, &mut call.out);
    out.array(log.entries.len().min(count));
    for entry in log.entries.iter().take(count) {
        out.array(6);
        out.int(entry.id as i64);
        out.int(entry.at.as_secs() as i64);
        out.int(entry.took.as_micros() as i64);
        out.array(entry.argv.len());
        for argument in &entry.argv {
            out.bulk(argument);
        }
        out.bulk(entry.peer.as_bytes());
        out.bulk(&entry.name);
    }
    Ok(Reply::Written)
}

/// `SLOWLOG LEN`
fn slowlog_len(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.core.slow_log.entries.len() as i64))
}

/// `SLOWLOG RESET`
fn slowlog_reset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.core.slow_log.trim(0);
    Ok(Reply::Ok)
}

/// `LATENCY LATEST`, `LATENCY HISTORY event`: no events are recorded, as `latency-monitor-threshold` says.
fn no_samples(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::EmptyArray)
}

/// `LATENCY RESET [event ...]`: how many events were forgotten.
fn latency_reset(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(0))
}

/// `MEMORY USAGE key [SAMPLES count]`
fn memory_usage(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match &call.argv[3..] {
        [] => {}
        [samples, _] if samples.eq_ignore_ascii_case(b"samples") => {
            if call.int(4)? < 0 {
                return Err(Refusal::Syntax);
            }
        }
        _ => return Err(Refusal::Syntax),
    }
    Ok(call.db.memory(call.argv[2]).map_or(Reply::Null, |bytes| Reply::Int(bytes as i64)))
}

/// `MEMORY DOCTOR`
fn memory_doctor(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let used = (call.core.host.used_memory)();
    let text = format!("{used} bytes are in use, {} at most so far.\n", call.core.stats.peak_memory.max(used));
    call.out.verbatim("txt", text.as_bytes());
    Ok(Reply::Written)
}

/// `MEMORY STATS`: a map of what is known.
fn memory_stats(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let used = (call.core.host.used_memory)();
    let keys = call.db.keyspace().len();
    let dataset = used.saturating_sub(call.core.startup_memory);
    let clients: usize =
        call.core.sessions.iter().map(|session| session.memory()).sum::<usize>() + call.session.memory();
    let fields = [
        ("peak.allocated", call.core.stats.peak_memory.max(used)),
        ("total.allocated", used),
        ("startup.allocated", call.core.startup_memory),
        ("clients.normal", clients),
        ("keys.count", keys),
        ("keys.bytes-per-key", dataset.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", dataset),
    ];
    call.out.map(fields.len());
    for (name, value) in fields {
        call.out.bulk(name.as_bytes());
        call.out.int(value as i64);
    }
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, check};

    #[test]
    fn logs_answer_honestly_when_empty() {
        check("slowlog len", ":0");
        check("slowlog get", "[]");
        check("slowlog get x", "-ERR count should be greater than or equal to -1");
        check("slowlog get -2", "-ERR count should be greater than or equal to -1");
        check("latency latest", "[]");
        check("latency reset", ":0");
        check("memory usage nosuch", "nil");
        check("memory usage a samples x", "-ERR value is not an integer or out of range");
    }

    #[test]
    fn slow_commands_are_remembered() {
        let mut stage = Stage::new();
        stage.say(1, "config set slowlog-log-slower-than 0");
        stage.say(1, "slowlog reset");
        stage.say(1, "client setname me");
        stage.say(1, "echo hi");
        // The stage's clock stands still: each command takes no time, which is not less than 0.
        assert_eq!(stage.say(1, "slowlog get 1"), "[[:3 :1700000000 :0 [$echo $hi] $?:0 $me]]");
    }
}
