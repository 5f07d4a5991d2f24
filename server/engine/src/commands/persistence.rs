//! SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN: commands about files, which Redis counts among the server's.

use quorate_config::ShutdownOptions;

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group};
use crate::persistence::Saved;
use crate::{Call, Refusal, Reply, Timeout};

const ROW: Command = Command { flags: Flags::ADMIN.with(Flags::NOSCRIPT), ..Command::of(Group::Server) };
const FAILED_SHUTDOWN: Refusal = Refusal::fixed("ERR Errors trying to SHUTDOWN. Check logs.");

/// Every command about files.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "save",
        arity: Exactly(1),
        flags: ROW.flags.with(Flags::NO_MULTI),
        summary: "Synchronously saves the database(s) to disk.",
        complexity: "O(N) where N is the total number of keys in all databases",
        run: save,
        ..ROW
    },
    Command {
        name: "bgsave",
        arity: AtLeast(1),
        summary: "Asynchronously saves the database(s) to disk.",
        run: bgsave,
        ..ROW
    },
    Command {
        name: "lastsave",
        arity: Exactly(1),
        flags: Flags::ANYTIME.with(Flags::FAST),
        categories: crate::Categories::DANGEROUS,
        summary: "Returns the Unix timestamp of the last successful save to disk.",
        run: lastsave,
        ..ROW
    },
    Command {
        name: "bgrewriteaof",
        arity: Exactly(1),
        summary: "Asynchronously rewrites the append-only file to disk.",
        run: bgrewriteaof,
        ..ROW
    },
    Command {
        name: "shutdown",
        arity: AtLeast(1),
        flags: ROW.flags.with(Flags::ANYTIME).with(Flags::NO_MULTI).with(Flags::ALLOW_BUSY),
        summary: "Synchronously saves the database(s) to disk and shuts down the Redis server.",
        complexity: "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
        run: shutdown,
        ..ROW
    },
];

/// `SAVE`: the session waits until the file is there. Others are served meanwhile: a snapshot takes no fork, and no standstill either.
fn save(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let id = call.session.id;
    match call.core.take_saved(id) {
        Saved::Over(true) => return Ok(Reply::Ok),
        Saved::Over(false) => return Err(Refusal::fixed("ERR")),
        Saved::Waiting => {}
        Saved::No if call.core.is_saving() => return Err(Refusal::err("Background save already in progress")),
        Saved::No => call.core.wait_for_save(id),
    }
    call.block_on_acks(Timeout(None), Reply::Ok)
}

/// `BGSAVE [SCHEDULE]`
fn bgsave(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let schedule = match call.argv.len() {
        1 => false,
        2 if call.says(1, "schedule") => true,
        _ => return Err(Refusal::Syntax),
    };
    let core = &mut *call.core;
    if core.is_saving() || core.is_sending_snapshot() {
        return Err(Refusal::err("Background save already in progress"));
    }
    if core.is_walking() {
        if !schedule {
            return Err(Refusal::err(
                "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
            ));
        }
        core.want_save();
        return Ok(Reply::Simple("Background saving scheduled"));
    }
    core.want_save();
    Ok(Reply::Simple("Background saving started"))
}

/// `LASTSAVE`: seconds of Unix time.
fn lastsave(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.core.last_save().as_secs() as i64))
}

/// `BGREWRITEAOF`
fn bgrewriteaof(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let core = &mut *call.core;
    if core.is_rewriting() {
        return Err(Refusal::err("Background append only file rewriting already in progress"));
    }
    let scheduled = core.is_walking();
    core.want_rewrite();
    Ok(Reply::Simple(if scheduled {
        "Background append only file rewriting scheduled"
    } else {
        "Background append only file rewriting started"
    }))
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]`: no reply, but the end of the connection, unless it fails.
fn shutdown(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let id = call.session.id;
    if call.core.take_shutdown_failure(id) {
        return Err(FAILED_SHUTDOWN);
    }
    let mut options = ShutdownOptions::default();
    let mut abort = false;
    for index in 1..call.argv.len() {
        match call.argv[index].to_ascii_lowercase().as_slice() {
            b"nosave" => options.nosave = true,
            b"save" => options.save = true,
            b"now" => options.now = true,
            b"force" => options.force = true,
            b"abort" => abort = true,
            _ => return Err(Refusal::Syntax),
        }
    }
    if (abort && call.argv.len() > 2) || (options.save && options.nosave) {
        return Err(Refusal::Syntax);
    }
    if abort {
        return if call.core.stay() { Ok(Reply::Ok) } else { Err(Refusal::err("No shutdown in progress.")) };
    }
    if !call.core.is_leaving() {
        let keyspace = call.db.keyspace();
        call.core.shutdown(keyspace, &options, Some(id));
    }
    call.block_on_acks(Timeout(None), Reply::Written)
}
