//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use quorate_keyspace::{Db, ExpiryMode};

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::dispatch::{self, How};
use crate::multi::Multi;
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { flags: Flags::ANYTIME.with(Flags::NOSCRIPT), ..Command::of(Group::Transactions) };
const FAST: Flags = ROW.flags.with(Flags::FAST).with(Flags::ALLOW_BUSY);

/// Every command about transactions.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "multi",
        arity: Exactly(1),
        flags: FAST,
        since: "1.2.0",
        summary: "Starts a transaction.",
        run: multi,
        ..ROW
    },
    Command {
        name: "exec",
        arity: Exactly(1),
        flags: ROW.flags.with(Flags::SKIP_SLOWLOG),
        since: "1.2.0",
        summary: "Executes all commands in a transaction.",
        complexity: "Depends on commands in the transaction",
        run: exec,
        ..ROW
    },
    Command {
        name: "discard",
        arity: Exactly(1),
        flags: FAST,
        since: "2.0.0",
        summary: "Discards a transaction.",
        complexity: "O(N), when N is the number of queued commands",
        run: discard,
        ..ROW
    },
    Command {
        name: "watch",
        arity: AtLeast(2),
        flags: FAST,
        keys: Keys::All,
        since: "2.2.0",
        summary: "Monitors changes to keys to determine the execution of a transaction.",
        complexity: "O(1) for every key.",
        run: watch,
        ..ROW
    },
    Command {
        name: "unwatch",
        arity: Exactly(1),
        flags: FAST,
        since: "2.2.0",
        summary: "Forgets about watched keys of a transaction.",
        run: unwatch,
        ..ROW
    },
];

/// `MULTI`
fn multi(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.session.multi.is_some() {
        return Err(Refusal::fixed("ERR MULTI calls can not be nested"));
    }
    call.session.multi = Some(Box::new(Multi::default()));
    Ok(Reply::Ok)
}

/// `DISCARD`
fn discard(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.session.multi.take().is_none() {
        return Err(Refusal::fixed("ERR DISCARD without MULTI"));
    }
    call.core.unwatch(call.session);
    Ok(Reply::Ok)
}

/// `EXEC`: an array of the replies, or null when a watched key changed.
fn exec(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Some(multi) = call.session.multi.take() else { return Err(Refusal::fixed("ERR EXEC without MULTI")) };
    let unchanged = watched_unchanged(call);
    call.core.unwatch(call.session);
    if multi.spoilt {
        return Err(Refusal::ExecAbort);
    }
    if !unchanged {
        return Ok(Reply::NullArray);
    }
    call.out.array(multi.queue.len());
    for queued in &multi.queue {
        let argv: Vec<&[u8]> = queued.argv.iter().map(|argument| &**argument).collect();
        let keyspace = call.db.keyspace();
        dispatch::run(keyspace, call.core, call.session, call.out.buffer(), &argv, queued.row, How::InExec);
        call.out.set_protocol(call.session.protocol);
    }
    Ok(Reply::Written)
}

/// A key that expired since it was watched has changed, though nobody may have met it yet.
fn watched_unchanged(call: &mut Call<'_>) -> bool {
    let Call { db, session, core, .. } = call;
    session.watched.iter().all(|watched| {
        core.watch.is_unchanged(watched)
            && (watched.was_absent || fate(&mut db.other(watched.db), &watched.key) != Fate::Dead)
    })
}

/// What there is of a key, whoever has met it yet.
#[derive(PartialEq, Eq)]
enum Fate {
    Absent,
    /// Its time has come.
    Dead,
    Alive,
}

fn fate(db: &mut Db<'_>, key: &[u8]) -> Fate {
    let now = db.now();
    let mode = db.keyspace().expiry_mode();
    db.keyspace().set_expiry_mode(ExpiryMode::Ignore);
    let fate = match db.expiry(key) {
        None => Fate::Absent,
        Some(Some(at)) if at < now => Fate::Dead,
        Some(_) => Fate::Alive,
    };
    db.keyspace().set_expiry_mode(mode);
    fate
}

/// `WATCH key [key ...]`
fn watch(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.session.multi.is_some() {
        return Err(Refusal::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let db = call.db.index();
    for key in &call.argv[1..] {
        let known = call.session.watched.iter().any(|watched| watched.db == db && *watched.key == **key);
        if !known {
            let was_absent = fate(&mut call.db, key) != Fate::Alive;
            let watched = call.core.watch.add(db, key, was_absent);
            call.session.watched.push(watched);
        }
    }
    Ok(Reply::Ok)
}

/// `UNWATCH`
fn unwatch(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.core.unwatch(call.session);
    Ok(Reply::Ok)
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn transactions_are_queued_and_executed() {
        check("exec", "-ERR EXEC without MULTI");
        check("discard", "-ERR DISCARD without MULTI");
        scenario(
            "> multi
             +OK
             > multi
             -ERR MULTI calls can not be nested
             > ping
             +QUEUED
             > echo a
             +QUEUED
             > exec
             [+PONG $a]
             > exec
             -ERR EXEC without MULTI",
        );
    }

    #[test]
    fn a_watched_key_that_changed_prevents_exec() {
        scenario(
            "> set a 1
             +OK
             > watch a b
             +OK
             2> set a 2
             +OK
             > multi
             +OK
             > get a
             +QUEUED
             > exec
             nil-array
             > watch a
             +OK
             > unwatch
             +OK
             2> set a 3
             +OK
             > multi
             +OK
             > get a
             +QUEUED
             > exec
             [$3]",
        );
    }

    #[test]
    fn flushes_swaps_and_expiry_count_as_changes() {
        for change in ["2> flushall", "2> swapdb 0 1", "2> pexpire a 1", "2> del a", "2> rename a c"] {
            let transcript = format!(
                "> set a 1
                 +OK
                 > watch a
                 +OK
                 {change}"
            );
            let mut stage = crate::check::Stage::new();
            let (before, last) = transcript.rsplit_once("2> ").expect("a change");
            stage.play(before);
            stage.say(2, last);
            stage.wait(std::time::Duration::from_millis(10));
            assert_eq!(stage.say(1, "multi"), "+OK");
            assert_eq!(stage.say(1, "ping"), "+QUEUED");
            assert_eq!(stage.say(1, "exec"), "nil-array", "{change}");
        }
    }

    #[test]
    fn a_flush_of_absent_keys_changes_nothing() {
        scenario(
            "> watch a
             +OK
             2> flushall
             +OK
             > multi
             +OK
             > ping
             +QUEUED
             > exec
             [+PONG]",
        );
    }

    #[test]
    fn a_transaction_is_propagated_as_one() {
        scenario(
            "> multi
             +OK
             > set a 1
             +QUEUED
             > get a
             +QUEUED
             > select 2
             +QUEUED
             > incr b
             +QUEUED
             > lpush a x
             +QUEUED
             > exec
             [+OK $1 +OK :1 :1]
             stream [$SELECT $0] [$MULTI] [$set $a $1] [$SELECT $2] [$incr $b] [$lpush $a $x] [$EXEC]
             > multi
             +OK
             > set a 1
             +QUEUED
             > exec
             [+OK]
             stream [$set $a $1]",
        );
    }

    #[test]
    fn an_error_inside_exec_stops_nothing() {
        scenario(
            "> multi
             +OK
             > set a x
             +QUEUED
             > incr a
             +QUEUED
             > append a y
             +QUEUED
             > exec
             [+OK -ERR value is not an integer or out of range :2]
             stream [$SELECT $0] [$MULTI] [$set $a $x] [$append $a $y] [$EXEC]",
        );
    }

    #[test]
    fn a_refused_command_spoils_the_transaction() {
        scenario(
            "> multi
             +OK
             > echo
             -ERR wrong number of arguments for 'echo' command
             > exec
             -EXECABORT Transaction discarded because of previous errors.
             > multi
             +OK
             > watch a
             -ERR WATCH inside MULTI is not allowed
             > discard
             +OK",
        );
    }
}
