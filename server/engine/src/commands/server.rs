//! The server: INFO, TIME, DBSIZE, FLUSHDB, FLUSHALL, SWAPDB, LOLWUT. CONFIG, COMMAND, DEBUG and the logs have files of their own.

use quorate_keyspace::DbIndex;

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Categories, Command, Flags, Group};
use crate::effect::Memory;
use crate::{Call, Effect, Refusal, Reply};

const ROW: Command = Command::of(Group::Server);
const FLUSH: Command =
    Command { flags: Flags::WRITE, categories: Categories::KEYSPACE.with(Categories::DANGEROUS), ..ROW };

/// The commands about the server as a whole.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "info",
        arity: AtLeast(1),
        flags: Flags::ANYTIME,
        categories: Categories::DANGEROUS,
        summary: "Returns information and statistics about the server.",
        run: info,
        ..ROW
    },
    Command {
        name: "time",
        arity: Exactly(1),
        flags: Flags::ANYTIME.with(Flags::FAST),
        since: "2.6.0",
        summary: "Returns the server time.",
        run: time,
        ..ROW
    },
    Command {
        name: "dbsize",
        arity: Exactly(1),
        flags: Flags::READ_FAST,
        categories: Categories::KEYSPACE,
        summary: "Returns the number of keys in the database.",
        run: dbsize,
        ..ROW
    },
    Command {
        name: "flushdb",
        arity: AtLeast(1),
        complexity: "O(N) where N is the number of keys in the selected database",
        summary: "Remove all keys from the current database.",
        run: flushdb,
        ..FLUSH
    },
    Command {
        name: "flushall",
        arity: AtLeast(1),
        complexity: "O(N) where N is the total number of keys in all databases",
        summary: "Removes all keys from all databases.",
        run: flushall,
        ..FLUSH
    },
    Command {
        name: "swapdb",
        arity: Exactly(3),
        flags: Flags::WRITE_FAST,
        categories: Categories::KEYSPACE.with(Categories::DANGEROUS),
        since: "4.0.0",
        complexity: "O(N) where N is the count of clients watching or blocking on keys from both databases.",
        summary: "Swaps two Redis databases.",
        run: swapdb,
        ..ROW
    },
    Command {
        name: "lolwut",
        arity: AtLeast(1),
        flags: Flags::READ_FAST,
        since: "5.0.0",
        summary: "Displays the server's version.",
        run: lolwut,
        ..ROW
    },
];

/// `INFO [section ...]`
fn info(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let text = crate::info::report(call);
    call.out.verbatim("txt", text.as_bytes());
    Ok(Reply::Written)
}

/// `TIME`: seconds and microseconds. The turn's clock counts milliseconds.
fn time(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let now = call.core.now.wall.0;
    call.out.array(2);
    call.out.bulk_int((now / 1000) as i64);
    call.out.bulk_int((now % 1000 * 1000) as i64);
    Ok(Reply::Written)
}

/// `DBSIZE`
fn dbsize(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.db.len() as i64))
}

/// Whether the memory of a flush is freed elsewhere: `[ASYNC | SYNC]`.
fn is_async(call: &Call<'_>) -> Result<bool, Refusal> {
    match &call.argv[1..] {
        [] => Ok(call.core.config.lazyfree_lazy_user_flush),
        [how] if how.eq_ignore_ascii_case(b"async") => Ok(true),
        [how] if how.eq_ignore_ascii_case(b"sync") => Ok(false),
        _ => Err(Refusal::Syntax),
    }
}

fn flush(call: &mut Call<'_>, dbs: std::ops::RangeInclusive<u16>) -> Result<Reply, Refusal> {
    let elsewhere = is_async(call)?;
    call.core.flushed(call.db.keyspace(), dbs.clone().map(DbIndex));
    let mut count = 0;
    for db in dbs {
        let mut view = call.db.other(DbIndex(db));
        count += view.len();
        let discarded = view.flush();
        if elsewhere {
            call.core.effects.push(Effect::Free(Memory(discarded)));
        }
    }
    // Propagated even when nothing was there: a replica may know better.
    call.changed_at_large(count.max(1));
    Ok(Reply::Ok)
}

/// `FLUSHDB [ASYNC | SYNC]`
fn flushdb(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let db = call.db.index().0;
    flush(call, db..=db)
}

/// `FLUSHALL [ASYNC | SYNC]`
fn flushall(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let last = call.db.keyspace().databases() - 1;
    flush(call, 0..=last)
}

/// `SWAPDB index1 index2`
fn swapdb(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let number = |index: usize| call.int(index).ok().filter(|number| i32::try_from(*number).is_ok());
    let first = number(1).ok_or(Refusal::fixed("ERR invalid first DB index"))?;
    let second = number(2).ok_or(Refusal::fixed("ERR invalid second DB index"))?;
    let a = call.db.keyspace().index(first)?;
    let b = call.db.keyspace().index(second)?;
    if a != b {
        call.core.swapped(call.db.keyspace(), a, b);
        call.db.keyspace().swap(a, b);
    }
    call.changed_at_large(1);
    Ok(Reply::Ok)
}

/// `LOLWUT [VERSION version]`
fn lolwut(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let text = format!("Redis ver. {}\nQuorate {}\n", crate::REDIS_VERSION, env!("CARGO_PKG_VERSION"));
    call.out.verbatim("txt", text.as_bytes());
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn the_plain_ones() {
        check("time", "[$1700000000 $0]");
        check("dbsize", ":0");
        check("flushall sometimes", "-ERR syntax error");
        check("swapdb 0 99", "-ERR DB index is out of range");
        check("swapdb x 1", "-ERR invalid first DB index");
    }

    #[test]
    fn flushes_and_swaps_are_propagated() {
        scenario(
            "> flushall async
             +OK
             stream [$SELECT $0] [$flushall $async]
             > swapdb 0 1
             +OK
             > flushdb
             +OK
             stream [$swapdb $0 $1] [$flushdb]",
        );
    }
}
