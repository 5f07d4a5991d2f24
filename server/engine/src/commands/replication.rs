//! REPLICAOF, PSYNC and what belongs to them: between nodes, and between an operator and a node.

use std::time::Duration;

use quorate_replication::failover::{AtDeadline, Deadline, Failover};
use quorate_replication::history::Held;
use quorate_replication::master::{AskedBy, PayloadFraming, ReplicaId, Wants};
use quorate_replication::{Address, Epoch, NodeId, Offset, ReplId};
use quorate_resp::parse_int;

use crate::blocking::{Timeout, Unit};
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Categories, Command, Flags, Group};
use crate::replication::{NodeRole, introduce};
use crate::session::Kind;
use crate::{Call, Refusal, Reply};

const ROW: Command = Command {
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE),
    complexity: "O(1)",
    ..Command::of(Group::Replication)
};
const BETWEEN_NODES: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_MULTI);

/// Every command of replication.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "replicaof",
        arity: Exactly(3),
        since: "5.0.0",
        summary: "Configures a server as replica of another, or promotes it to a master.",
        run: replicaof,
        ..ROW
    },
    Command {
        name: "slaveof",
        arity: Exactly(3),
        summary: "Sets a Redis server as a replica of another, or promotes it to being a master.",
        run: replicaof,
        ..ROW
    },
    Command {
        name: "psync",
        arity: AtLeast(3),
        flags: BETWEEN_NODES,
        since: "2.8.0",
        summary: "An internal command used in replication.",
        run: psync,
        ..ROW
    },
    Command {
        name: "sync",
        arity: Exactly(1),
        flags: BETWEEN_NODES,
        summary: "An internal command used in replication.",
        run: sync,
        ..ROW
    },
    Command {
        name: "replconf",
        arity: AtLeast(1),
        flags: ROW.flags.with(Flags::LOADING).with(Flags::ALLOW_BUSY),
        since: "3.0.0",
        summary: "An internal command for configuring the replication stream.",
        run: replconf,
        ..ROW
    },
    Command {
        name: "role",
        arity: Exactly(1),
        flags: Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST),
        since: "2.8.12",
        summary: "Returns the replication role.",
        run: role,
        ..ROW
    },
    Command {
        name: "wait",
        arity: Exactly(3),
        flags: Flags::NOSCRIPT,
        categories: Categories::CONNECTION,
        since: "3.0.0",
        summary: "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.",
        run: wait,
        ..ROW
    },
    Command {
        name: "failover",
        arity: AtLeast(1),
        since: "6.2.0",
        summary: "Starts a coordinated failover from a server to one of its replicas.",
        run: failover,
        ..ROW
    },
];

/// What an operator is told who gives a node of a group an order that is the sentinels'.
fn of_a_group(call: &Call<'_>) -> Option<Refusal> {
    let group = call.core.group()?;
    Some(Refusal::err(format_args!(
        "{} not allowed: this node belongs to group '{group}', its role is the sentinels' decision",
        call.name().to_ascii_uppercase()
    )))
}

/// `REPLICAOF host port`, `REPLICAOF NO ONE`.
fn replicaof(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if !call.session.is_client() {
        return Err(Refusal::err("REPLICAOF comes from clients only"));
    }
    if let Some(refusal) = of_a_group(call) {
        return Err(refusal);
    }
    if call.core.is_failing_over() {
        return Err(Refusal::err("REPLICAOF not allowed while failing over."));
    }
    if call.says(1, "no") && call.says(2, "one") {
        if call.core.role() != NodeRole::Master {
            call.core.config.replicaof = None;
            call.core.become_master(call.db.keyspace());
        }
        return Ok(Reply::Ok);
    }
    let port = parse_int(call.argv[2]).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(Refusal::fixed("ERR Invalid master port"))?;
    let host = std::str::from_utf8(call.argv[1]).map_err(|_| Refusal::fixed("ERR Invalid master host"))?;
    let master = Address::new(host, port);
    if call.core.master_address() == Some(&master) {
        return Ok(Reply::Simple("OK Already connected to specified master"));
    }
    call.core.config.replicaof = Some(quorate_config::HostPort { host: host.to_owned(), port });
    call.core.follow(call.db.keyspace(), master);
    Ok(Reply::Ok)
}

/// `PSYNC replid offset [FAILOVER]`: the reply is the beginning of the stream.
fn psync(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.session.is_replica() {
        return Ok(Reply::Written);
    }
    let replid = ReplId::parse(call.argv[1]);
    if call.argv.len() > 3 && call.says(3, "failover") {
        take_over(call, replid)?;
    }
    let next = call.int(2)?;
    let offset = u64::try_from(next).ok().and_then(Offset::from_next_on_wire);
    let held = replid.zip(offset).map(|(replid, offset)| Held { replid, offset });
    start(call, held, AskedBy::Psync)
}

/// `SYNC`: a payload with its length in front, and then the stream.
fn sync(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.session.is_replica() {
        return Ok(Reply::Written);
    }
    start(call, None, AskedBy::Sync)
}

/// The master asks this replica to take its place (FAILOVER).
fn take_over(call: &mut Call<'_>, replid: Option<ReplId>) -> Result<(), Refusal> {
    if let Some(refusal) = of_a_group(call) {
        return Err(refusal);
    }
    if call.core.role() == NodeRole::Master {
        return Err(Refusal::err("PSYNC FAILOVER can't be sent to a master."));
    }
    if replid != Some(call.core.replication.history.replid()) {
        return Err(Refusal::err("PSYNC FAILOVER replid must match my replid."));
    }
    call.core.config.replicaof = None;
    call.core.become_master(call.db.keyspace());
    Ok(())
}

fn start(call: &mut Call<'_>, held: Option<Held>, by: AskedBy) -> Result<Reply, Refusal> {
    match call.core.role() {
        NodeRole::Replica if call.core.link_word() == "connected" => {}
        NodeRole::Master if !call.core.is_failing_over() => {}
        _ => return Err(Refusal::fixed("NOMASTERLINK Can't SYNC while not connected with my master")),
    }
    if !call.out.is_empty() {
        return Err(Refusal::err("SYNC and PSYNC are invalid with pending output"));
    }
    if let Some(line) = call.core.psync(call.session, held, by) {
        call.out.raw(line.as_bytes());
    }
    Ok(Reply::Written)
}

/// `REPLCONF option value [option value ...]`: what a replica says of itself, and acknowledgements, which get no reply.
fn replconf(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let (pairs, odd) = call.argv[1..].as_chunks::<2>();
    if !odd.is_empty() {
        return Err(Refusal::Syntax);
    }
    if call.session.is_applier() {
        // In a stream: the master asks for an acknowledgement, in a log it once did.
        if matches!(call.session.kind, Kind::Master)
            && pairs.iter().any(|[name, _]| name.eq_ignore_ascii_case(b"getack"))
        {
            call.core.ack_asked();
        }
        return Ok(Reply::Written);
    }
    for [option, value] in pairs {
        let text = String::from_utf8_lossy(value);
        match option.to_ascii_lowercase().as_slice() {
            b"ack" => {
                acknowledged(call, pairs);
                return Ok(Reply::Written);
            }
            b"getack" => return Ok(Reply::Written),
            b"listening-port" => {
                let port = parse_int(value).ok_or(Refusal::NotInteger)?;
                introduce(call.core, call.session).port = u16::try_from(port).map_err(|_| Refusal::OutOfRange)?;
            }
            b"ip-address" => {
                // Source: Redis, NET_HOST_STR_LEN.
                if text.len() > 255 {
                    let long = format_args!(
                        "REPLCONF ip-address provided by replica instance is too long: {} bytes",
                        text.len()
                    )
                    .to_string();
                    return Err(Refusal::err(long));
                }
                introduce(call.core, call.session).ip = Some(text.into_owned()).filter(|ip| !ip.is_empty());
            }
            b"capa" => {
                let replica = introduce(call.core, call.session);
                if value.eq_ignore_ascii_case(b"eof") {
                    replica.payload = PayloadFraming::Mark;
                }
            }
            b"rdb-only" => {
                let wanted = parse_int(value).ok_or(Refusal::NotInteger)?;
                introduce(call.core, call.session).wants = if wanted == 1 { Wants::DatasetOnly } else { Wants::Stream };
            }
            b"rdb-filter-only" => {}
            b"quorate-node" => {
                let node = NodeId::parse(value).ok_or(Refusal::Syntax)?;
                introduce(call.core, call.session).node = Some(node);
                call.core.replica_is(ReplicaId(call.session.id.0), node);
            }
            b"quorate-epoch" => {
                let epoch = Epoch(text.parse().map_err(|_| Refusal::NotInteger)?);
                if !call.core.admits_replica_of(epoch) {
                    // I2: whoever was assigned later than this node must not follow it.
                    return Err(Refusal::Text(format!("FENCED this node does not serve epoch {epoch}").into()));
                }
                if call.core.role() == NodeRole::Master {
                    // I10: whoever is not sure of its tail is once it holds this much.
                    let line = format!("+OK {}\r\n", call.core.stream_position());
                    call.out.raw(line.as_bytes());
                    return Ok(Reply::Written);
                }
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Refusal::err(format_args!("Unrecognized REPLCONF option: {option}")));
            }
        }
    }
    Ok(Reply::Ok)
}

/// `REPLCONF ACK offset [FACK synced] [EPOCH epoch]`.
fn acknowledged(call: &mut Call<'_>, pairs: &[[&[u8]; 2]]) {
    let number = |name: &[u8]| {
        let pair = pairs.iter().find(|[option, _]| option.eq_ignore_ascii_case(name))?;
        parse_int(pair[1]).and_then(|number| u64::try_from(number).ok())
    };
    if let Some(offset) = number(b"ack")
        && call.session.is_replica()
    {
        let (synced, epoch) = (number(b"fack").map(Offset), number(b"epoch").map(Epoch));
        call.core.replica_acked(call.session, Offset(offset), synced, epoch);
        call.core.tick_failover(call.db.keyspace());
        call.core.standing_changed(call.db.keyspace());
    }
}

/// `ROLE`: what this node is, and who is at the other ends.
fn role(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let offset = call.core.stream_position().0 as i64;
    let out = &mut call.out;
    if call.core.role() == NodeRole::Master {
        let online: Vec<_> = call.core.replication.replicas.iter().filter(|(_, one)| one.is_online()).collect();
        out.array(3);
        out.bulk(b"master");
        out.int(offset);
        out.array(online.len());
        for (_, one) in online {
            let Address { host, port } = one.address();
            out.array(3);
            out.bulk(host.as_bytes());
            out.bulk(port.to_string().as_bytes());
            out.bulk(one.acked.to_string().as_bytes());
        }
        return Ok(Reply::Written);
    }
    let (host, port) = call.core.master_address().map_or(("", 0), |master| (master.host.as_str(), master.port));
    let state = call.core.link_word();
    out.array(5);
    out.bulk(b"slave");
    out.bulk(host.as_bytes());
    out.int(port.into());
    out.bulk(state.as_bytes());
    out.int(if state == "connected" { offset } else { -1 });
    Ok(Reply::Written)
}

/// `WAIT numreplicas timeout`: replies with how many replicas have acknowledged this session's writes.
fn wait(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.core.role() != NodeRole::Master {
        return Err(Refusal::err(
            "WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let wanted = call.int(1)?;
    let timeout = Timeout::parse(call.argv[2], Unit::Milliseconds)?;
    let offset = Offset(call.session.last_write_offset);
    let acked = call.core.replication.replicas.count_acked(offset) as i64;
    if acked >= wanted {
        return Ok(Reply::Int(acked));
    }
    if call.wake.is_none() {
        // Once: asking again at each acknowledgement would never end while one replica is missing.
        call.core.ask_for_acks();
    }
    call.block_on_acks(timeout, Reply::Int(acked))
}

/// `FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]`.
fn failover(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if let Some(refusal) = of_a_group(call) {
        return Err(refusal);
    }
    let (mut target, mut force, mut abort, mut timeout) = (None, false, false, None);
    let mut at = 1;
    while at < call.argv.len() {
        let left = call.argv.len() - at - 1;
        if call.says(at, "timeout") && left >= 1 && timeout.is_none() {
            let ms = call.int(at + 1)?;
            let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
            timeout = Some(ms.ok_or(Refusal::fixed("ERR FAILOVER timeout must be greater than 0"))?);
            at += 2;
        } else if call.says(at, "to") && left >= 2 && target.is_none() {
            let port = u16::try_from(call.int(at + 2)?).map_err(|_| Refusal::OutOfRange)?;
            target = Some(Address::new(String::from_utf8_lossy(call.argv[at + 1]), port));
            at += 3;
            if at < call.argv.len() && call.says(at, "force") {
                force = true;
                at += 1;
            }
        } else if call.says(at, "abort") {
            abort = true;
            at += 1;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    if abort {
        let was = call.argv.len() == 2 && call.core.abort_failover(call.db.keyspace());
        return if was { Ok(Reply::Ok) } else { Err(Refusal::err("No failover in progress.")) };
    }
    check_failover(call, target.as_ref(), force && timeout.is_none())?;
    let then = if force { AtDeadline::HandOver } else { AtDeadline::Abort };
    let now = call.core.now.mono;
    let deadline = timeout.map(|ms| Deadline { at: now + Duration::from_millis(ms), then });
    call.core.begin_failover(call.db.keyspace(), Failover::WaitingForSync { target, deadline });
    Ok(Reply::Ok)
}

fn check_failover(call: &Call<'_>, target: Option<&Address>, forced_without_time: bool) -> Result<(), Refusal> {
    if call.core.is_failing_over() {
        return Err(Refusal::err("FAILOVER already in progress."));
    }
    if call.core.role() != NodeRole::Master {
        return Err(Refusal::err("FAILOVER is not valid when server is a replica."));
    }
    if call.core.replication.replicas.is_empty() {
        return Err(Refusal::err("FAILOVER requires connected replicas."));
    }
    if forced_without_time {
        return Err(Refusal::err("FAILOVER with force option requires both a timeout and target HOST and IP."));
    }
    if let Some(target) = target {
        let found = call.core.replication.replicas.iter().find(|(_, one)| one.address() == *target);
        let Some((_, found)) = found else {
            return Err(Refusal::err("FAILOVER target HOST and PORT is not a replica."));
        };
        if !found.is_online() {
            return Err(Refusal::err("FAILOVER target replica is not online."));
        }
    }
    Ok(())
}
