//! What stops a command before it runs (or is queued by MULTI): an ordered list of checks, of which the first that objects decides.
//! The order is the contract; it is Redis's. The two first gates, unknown commands and arity, are `Table::find`.
//!
//! A session that applies a stream (our master's, a loader's) passes no gates: what it says was accepted elsewhere.

use crate::Refusal;
use crate::command::Flags;
use crate::core::{Core, Paused};
use crate::multi::Row;
use crate::session::Session;

/// A command in front of the gates.
pub(crate) struct Asked<'a> {
    pub core: &'a Core,
    pub session: &'a Session,
    pub row: Row,
    /// The row's flags; for EXEC also those of all queued commands.
    pub flags: Flags,
}

/// Why a command does not run now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    /// Never: the client is told.
    Refuse(Refusal),
    /// Later: it stays unread.
    Postpone,
}

type Gate = fn(&Asked<'_>) -> Option<Objection>;

/// The gates in their order.
const GATES: &[(&str, Gate)] = &[
    ("auth", auth),
    ("protected", protected),
    ("multi", multi),
    ("memory", memory),
    ("disk", disk),
    ("min-replicas", min_replicas),
    ("read-only", read_only),
    ("subscribed", subscribed),
    ("stale", stale),
    ("loading", loading),
    ("pause", pause),
];

/// Asks every gate in order.
pub(crate) fn pass(asked: &Asked<'_>) -> Result<(), Objection> {
    if asked.session.is_applier() {
        return Ok(());
    }
    for (_, gate) in GATES {
        if let Some(objection) = gate(asked) {
            return Err(objection);
        }
    }
    Ok(())
}

fn refuse_if(objects: bool, refusal: impl FnOnce() -> Refusal) -> Option<Objection> {
    objects.then(|| Objection::Refuse(refusal()))
}

fn auth(asked: &Asked<'_>) -> Option<Objection> {
    refuse_if(!asked.session.authenticated && !asked.flags.has(Flags::NO_AUTH), || Refusal::NoAuth)
}

/// DEBUG only where `enable-debug-command` lets this connection.
fn protected(asked: &Asked<'_>) -> Option<Objection> {
    if !asked.flags.has(Flags::PROTECTED) {
        return None;
    }
    let permitted = asked.core.config.permits(asked.core.config.enable_debug_command, asked.session.origin());
    refuse_if(!permitted, || Refusal::Protected("DEBUG", "enable-debug-command"))
}

fn multi(asked: &Asked<'_>) -> Option<Objection> {
    refuse_if(asked.session.multi.is_some() && asked.flags.has(Flags::NO_MULTI), || Refusal::NotInMulti)
}

fn memory(asked: &Asked<'_>) -> Option<Objection> {
    let limit = asked.core.config.maxmemory;
    refuse_if(asked.flags.has(Flags::DENYOOM) && limit > 0 && (asked.core.host.used_memory)() as u64 > limit, || {
        Refusal::OutOfMemory
    })
}

/// A master that cannot persist refuses writes, and PING, so that whoever watches it notices.
fn disk(asked: &Asked<'_>) -> Option<Objection> {
    let standing = &asked.core.standing;
    if !(standing.snapshot_failing || standing.aof_failing.is_some())
        || standing.read_only
        || !(asked.flags.has(Flags::WRITE) || asked.row.name == "ping")
    {
        return None;
    }
    if let Some(error) = &standing.aof_failing {
        return Some(Objection::Refuse(Refusal::AofFailing(error.clone())));
    }
    let config = &asked.core.config;
    refuse_if(config.stop_writes_on_bgsave_error && !config.save.0.is_empty(), || Refusal::SnapshotFailing)
}

fn min_replicas(asked: &Asked<'_>) -> Option<Objection> {
    refuse_if(asked.core.standing.few_replicas && asked.flags.has(Flags::WRITE), || Refusal::NoReplicas)
}

fn read_only(asked: &Asked<'_>) -> Option<Objection> {
    refuse_if(asked.core.standing.read_only && asked.flags.has(Flags::WRITE), || Refusal::ReadOnly)
}

/// In RESP2 messages and replies cannot be told apart: a subscriber may say only what is answered in messages.
fn subscribed(asked: &Asked<'_>) -> Option<Objection> {
    let allowed = ["ping", "quit", "reset"];
    refuse_if(
        asked.session.is_subscriber()
            && asked.session.protocol == quorate_resp::Protocol::Resp2
            && !asked.row.name.ends_with("subscribe")
            && !allowed.contains(&asked.row.name),
        || Refusal::Subscribed(asked.row.name.to_owned()),
    )
}

fn stale(asked: &Asked<'_>) -> Option<Objection> {
    let standing = &asked.core.standing;
    refuse_if(standing.stale && !asked.core.config.replica_serve_stale_data && !asked.flags.has(Flags::STALE), || {
        Refusal::MasterDown
    })
}

fn loading(asked: &Asked<'_>) -> Option<Objection> {
    refuse_if(asked.core.standing.loading && !asked.flags.has(Flags::LOADING), || Refusal::Loading)
}

/// CLIENT PAUSE: commands wait unread. Links to other servers go on.
fn pause(asked: &Asked<'_>) -> Option<Objection> {
    let pause = asked.core.pause.filter(|pause| pause.until > asked.core.now.mono)?;
    let stops = match pause.what {
        Paused::All => true,
        Paused::Writes => asked.flags.any(Flags::WRITE.with(Flags::MAY_REPLICATE)),
    };
    (stops && asked.session.is_client()).then_some(Objection::Postpone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_contract() {
        let names: Vec<&str> = GATES.iter().map(|(name, _)| *name).collect();
        let golden = "auth protected multi memory disk min-replicas read-only subscribed stale loading pause";
        assert_eq!(names.join(" "), golden);
    }
}
