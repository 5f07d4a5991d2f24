//! From words to a reply: finds the row, asks the gates, queues in MULTI, runs, and settles what the run brought forth.

use std::time::Duration;

use quorate_keyspace::Keyspace;
use quorate_resp::Writer;

use crate::blocking::{Blocked, Wake};
use crate::command::Flags;
use crate::core::Core;
use crate::gates::{self, Asked, Objection};
use crate::multi::{Queued, Row};
use crate::session::{Replies, Session};
use crate::stats::{SlowEntry, SlowLog};
use crate::{Call, Refusal};

/// Whether a session's command was consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Yes; go on.
    Go,
    /// No: it is to be read again when a pause ends.
    Stay,
}

/// A command that a client said, `argv` not empty, and the row of its name if that was looked up before. Its reply is appended to `out`, the session's output.
pub(crate) fn request(
    keyspace: &mut Keyspace,
    core: &mut Core,
    session: &mut Session,
    out: &mut Vec<u8>,
    argv: &[&[u8]],
    known: Option<Row>,
) -> Next {
    let table = core.table;
    let found = match known {
        Some(row) => table.complete(row, argv),
        None => table.find(argv),
    };
    let row = match found {
        Ok(row) => row,
        Err(refusal) => {
            refuse(core, session, out, &refusal);
            return Next::Go;
        }
    };
    session.last_command = row.name;
    if (core.config.maxmemory > 0 || core.standing.out_of_memory) && session.is_client() {
        core.make_room(keyspace, Some(session));
    }
    let asked = Asked { core, session, row, flags: flags(session, row) };
    match gates::pass(&asked) {
        Ok(()) => {}
        Err(Objection::Postpone) => {
            session.postponed = true;
            return Next::Stay;
        }
        Err(Objection::Refuse(refusal)) => {
            core.stats.by_command[row.number].rejected += 1;
            if row.name == "exec" && session.multi.take().is_some() {
                core.unwatch(session);
                let why = Refusal::Text(format!("EXECABORT Transaction discarded because of: {refusal}").into());
                refuse(core, session, out, &why);
            } else {
                refuse(core, session, out, &refusal);
            }
            return Next::Go;
        }
    }
    if let Some(multi) = &mut session.multi
        && !matches!(row.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
    {
        let argv: Vec<Box<[u8]>> = argv.iter().map(|argument| Box::from(*argument)).collect();
        multi.bytes += argv.iter().map(|argument| argument.len() + 32).sum::<usize>();
        multi.queue.push(Queued { argv, row });
        if answers(session) {
            out.extend_from_slice(b"+QUEUED\r\n");
        }
        after_reply(session);
        return Next::Go;
    }
    if let Some(blocked) = run(keyspace, core, session, out, argv, row, How::Alone(None)) {
        core.blocking.enter(session.id, &blocked);
        session.blocked = Some(blocked);
    }
    Next::Go
}

/// A command of a stream that was accepted elsewhere. An error says what was wrong with it.
pub(crate) fn apply(
    keyspace: &mut Keyspace,
    core: &mut Core,
    session: &mut Session,
    argv: &[&[u8]],
) -> Result<(), String> {
    assert!(session.is_applier(), "only a master's or a loader's session applies");
    let mut out = Vec::new();
    request(keyspace, core, session, &mut out, argv, None);
    core.lent.truncate(0);
    match out.strip_prefix(b"-") {
        Some(error) => Err(String::from_utf8_lossy(error).trim_end().to_owned()),
        None => Ok(()),
    }
}

/// The row's flags; EXEC does what its queue does.
fn flags(session: &Session, row: Row) -> Flags {
    match &session.multi {
        Some(multi) if row.name == "exec" => {
            let queued = || multi.queue.iter().map(|queued| queued.row.command.flags);
            let does = queued().fold(row.command.flags, |does, flags| does | flags.inherited());
            // It may run while loading or stale only if all of its queue may.
            queued().fold(does, |does, flags| does.without_what_lacks(flags, Flags::ANYTIME))
        }
        _ => row.command.flags,
    }
}

/// A refusal in front of the gates or by one of them. A transaction that is being queued is spoilt by it.
fn refuse(core: &mut Core, session: &mut Session, out: &mut Vec<u8>, refusal: &Refusal) {
    if let Some(multi) = &mut session.multi {
        multi.spoilt = true;
    }
    let text = refusal.to_string();
    core.stats.error(&text);
    if answers(session) || session.is_applier() {
        Writer::new(out, session.protocol).error(&text);
    }
    after_reply(session);
}

/// Does this command get its reply?
fn answers(session: &Session) -> bool {
    !session.is_applier() && matches!(session.replies, Replies::On)
}

/// CLIENT REPLY SKIP spares the next command, and that one only.
fn after_reply(session: &mut Session) {
    session.replies = match session.replies {
        Replies::SkipNext => Replies::Skipping,
        Replies::Skipping => Replies::On,
        same => same,
    };
}

/// In which circumstances a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// By itself; after having waited, if so.
    Alone(Option<Wake>),
    /// Inside EXEC.
    InExec,
}

/// Runs a command that has passed the gates. Returns its wait, if it blocks.
pub(crate) fn run(
    keyspace: &mut Keyspace,
    core: &mut Core,
    session: &mut Session,
    out: &mut Vec<u8>,
    argv: &[&[u8]],
    row: Row,
    how: How,
) -> Option<Box<Blocked>> {
    let begun = *core.lap.since.get_or_insert_with(core.host.clock);
    let mark = out.len();
    let db = session.db;
    core.propagation.begin_unit();
    let mut call = Call {
        argv,
        db: keyspace.db(db),
        out: Writer::new(out, session.protocol),
        session,
        core,
        row,
        dirty: 0,
        wake: match how {
            How::Alone(wake) => wake,
            How::InExec => None,
        },
        block: None,
        in_exec: how == How::InExec,
    };
    let outcome = (row.command.run)(&mut call);
    let (dirty, block) = (call.dirty, call.block.take());
    match outcome {
        Ok(reply) => reply.write(&mut call.out),
        Err(refusal) => {
            let text = refusal.to_string();
            call.out.truncate(mark);
            call.core.lent.truncate(mark);
            call.out.error(&text);
            core.stats.by_command[row.number].failed += 1;
            core.stats.error(&text);
        }
    }
    core.reap(keyspace, Some(session));
    let heard = dirty > 0 && core.is_heard();
    core.propagation.settle(db, argv, heard);
    if dirty == 0 && row.name != "exec" {
        core.propagation.end_loose_unit(); // keys that were met dead: each is gone for itself
    } else {
        core.propagation.end_unit();
    }
    if dirty > 0 {
        session.last_write_offset = core.stream_position().0;
    }
    if core.holding.is_on() {
        core.observe(session, row, argv, dirty);
    }
    if how != How::InExec {
        // CLIENT REPLY concerns replies, not messages: that a subscription was made is one.
        let silent = !answers(session) && !session.is_applier() && !matches!(session.replies, Replies::SkipNext);
        if silent && !row.name.ends_with("subscribe") {
            out.truncate(mark);
            core.lent.truncate(mark);
        }
        if block.is_none() {
            after_reply(session);
        }
        if !session.pushes.is_empty() {
            out.append(&mut session.pushes);
        }
    }
    if block.is_none() {
        count(core, session, argv, row, begun);
    }
    block
}

#[inline]
fn count(core: &mut Core, session: &mut Session, argv: &[&[u8]], row: Row, begun: Duration) {
    core.stats.commands += 1;
    session.commands += 1;
    core.stats.by_command[row.number].calls += 1;
    if !(row.command.flags.has(Flags::FAST) && core.lap.shares(core.config.slowlog_log_slower_than_us)) {
        measure(core, session, argv, row, begun);
    }
}

/// Reads the clock for the command that has ended, and for those before it that shared the reading.
fn measure(core: &mut Core, session: &mut Session, argv: &[&[u8]], row: Row, begun: Duration) {
    let threshold = u64::try_from(core.config.slowlog_log_slower_than_us).ok().map(Duration::from_micros);
    let stats = &mut core.stats.by_command[row.number];
    let now = (core.host.clock)();
    core.lap.since = Some(now);
    let took = now.saturating_sub(begun);
    stats.time += took;
    if threshold.is_some_and(|threshold| took >= threshold) && !row.command.flags.has(Flags::SKIP_SLOWLOG) {
        let entry = SlowEntry {
            id: 0,
            at: core.now.wall,
            took,
            argv: SlowLog::cut(argv),
            peer: session.peer.to_string(),
            name: session.name.clone(),
        };
        core.slow_log.push(entry, core.config.slowlog_max_len);
    }
}
