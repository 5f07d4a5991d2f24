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
#[inline]
pub(crate) fn pass(asked: &Asked<'_>) -> Result<(), Objection> {
    if is_calm(asked) || asked.session.is_applier() { Ok(()) } else { ask(asked) }
}

fn ask(asked: &Asked<'_>) -> Result<(), Objection> {
    for (_, gate) in GATES {
        if let Some(objection) = gate(asked) {
            return Err(objection);
        }
    }
    Ok(())
}

/// Nothing is the matter, so no gate objects: what nearly every command finds, told by a few comparisons
/// (test: `where_all_is_calm_no_gate_objects`).
#[inline]
fn is_calm(asked: &Asked<'_>) -> bool {
    let (core, session) = (asked.core, asked.session);
    session.authenticated
        && session.multi.is_none()
        && !asked.flags.has(Flags::PROTECTED)
        && core.standing.is_calm()
        && core.pause.is_none()
        && (session.protocol == quorate_resp::Protocol::Resp3 || !session.is_subscriber())
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
    refuse_if(asked.core.standing.out_of_memory && asked.flags.has(Flags::DENYOOM), || Refusal::OutOfMemory)
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
    refuse_if(asked.core.standing.few_replicas && asked.flags.has(Flags::WRITE), || {
        if asked.core.replication.is_cut_off() { Refusal::CutOff } else { Refusal::NoReplicas }
    })
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
    if !standing.stale {
        return None;
    }
    if asked.flags.has(Flags::READONLY) && asked.core.is_fenced() {
        // I6: what it holds may be the past, or what was never acknowledged; nobody has said yet which.
        return Some(Objection::Refuse(Refusal::Fenced));
    }
    refuse_if(!asked.core.config.replica_serve_stale_data && !asked.flags.has(Flags::STALE), || Refusal::MasterDown)
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
    use crate::check::Stage;
    use crate::core::Standing;

    #[test]
    fn the_order_is_the_contract() {
        let names: Vec<&str> = GATES.iter().map(|(name, _)| *name).collect();
        let golden = "auth protected multi memory disk min-replicas read-only subscribed stale loading pause";
        assert_eq!(names.join(" "), golden);
    }

    /// Every single trouble, and none: whenever `is_calm` says so, every gate must agree.
    #[test]
    fn where_all_is_calm_no_gate_objects() {
        let mut calm = 0;
        for trouble in 0..10 {
            let mut stage = Stage::new();
            stage.say(1, "config set replica-serve-stale-data no save \"60 1\"");
            stage.say(1, "ping");
            let core = stage.engine.core_mut();
            let standing = &mut core.standing;
            match trouble {
                0 => {}
                1 => standing.loading = true,
                2 => standing.out_of_memory = true,
                3 => standing.read_only = true,
                4 => standing.stale = true,
                5 => standing.snapshot_failing = true,
                6 => standing.aof_failing = Some("No space left on device".into()),
                7 => standing.few_replicas = true,
                8 => core.pause = Some(crate::core::Pause { until: std::time::Duration::MAX, what: Paused::All }),
                _ => drop(stage.say(1, "subscribe a")),
            }
            let core = stage.engine.core();
            let session = core.sessions.get(crate::SessionId(1)).expect("it has spoken");
            for row in core.table.rows() {
                let asked = Asked { core, session, row, flags: row.command.flags };
                let objects = GATES.iter().any(|(_, gate)| gate(&asked).is_some());
                assert!(!is_calm(&asked) || !objects, "trouble {trouble}, {}", row.name);
                calm += usize::from(is_calm(&asked));
            }
        }
        assert!(calm > 100, "an untroubled node is calm");
    }

    /// Everything is wrong at once; what is mended from front to back shows the next objection.
    #[test]
    fn the_first_objection_decides() {
        let mut stage = Stage::new();
        stage.say(1, "config set requirepass p maxmemory 1 replica-serve-stale-data no");
        stage.engine.core_mut().host.used_memory = || 2;
        stage.engine.core_mut().standing = Standing {
            loading: false,
            out_of_memory: false,
            read_only: false,
            stale: true,
            snapshot_failing: true,
            aof_failing: None,
            few_replicas: true,
        };
        let set = |stage: &mut Stage| stage.say(2, "set a 1");
        assert_eq!(stage.say(2, "set a"), "-ERR wrong number of arguments for 'set' command");
        assert_eq!(set(&mut stage), "-NOAUTH Authentication required.");
        stage.say(2, "auth p");
        assert_eq!(set(&mut stage), "-OOM command not allowed when used memory > 'maxmemory'.");
        // A replica evicts nothing, and so is never out of memory: its master is.
        stage.engine.core_mut().standing.read_only = true;
        stage.engine.core_mut().standing.loading = true;
        assert_eq!(set(&mut stage), "-NOREPLICAS Not enough good replicas to write.");
        stage.engine.core_mut().standing.few_replicas = false;
        assert_eq!(set(&mut stage), "-READONLY You can't write against a read only replica.");
        stage.engine.core_mut().standing.read_only = false;
        assert!(set(&mut stage).starts_with("-MISCONF Redis is configured to save RDB snapshots"));
        assert!(stage.say(2, "ping").starts_with("-MISCONF"));
        stage.engine.core_mut().standing.snapshot_failing = false;
        assert!(set(&mut stage).starts_with("-MASTERDOWN Link with MASTER is down"));
        stage.engine.core_mut().standing.stale = false;
        assert_eq!(set(&mut stage), "-LOADING Redis is loading the dataset in memory");
        assert_eq!(stage.say(2, "ping"), "-LOADING Redis is loading the dataset in memory");
        assert_eq!(stage.say(2, "echo a"), "$a");
        stage.engine.core_mut().standing.loading = false;
        stage.engine.core_mut().config.maxmemory = 0;
        stage.say(2, "client pause 100");
        assert_eq!(set(&mut stage), "nothing");
        stage.wait(std::time::Duration::from_millis(101));
        assert_eq!(stage.hear(2), "+OK");
    }

    #[test]
    fn a_stale_replica_runs_no_transaction_of_reads() {
        let mut stage = Stage::new();
        stage.play("config replica-serve-stale-data no\n> multi\n+OK\n> get a\n+QUEUED");
        stage.engine.core_mut().standing.stale = true;
        let refusal = stage.say(1, "exec");
        assert!(refusal.starts_with("-EXECABORT Transaction discarded because of: MASTERDOWN"), "{refusal}");
        stage.play("> multi\n+OK\n> config get port\n+QUEUED\n> exec\n[[$port $6379]]");
    }

    #[test]
    fn exec_is_judged_by_what_it_holds() {
        let mut stage = Stage::new();
        stage.play("> multi\n+OK\n> set a 1\n+QUEUED");
        stage.engine.core_mut().standing.read_only = true;
        assert_eq!(
            stage.say(1, "exec"),
            "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica."
        );
    }
}
