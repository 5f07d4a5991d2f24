//! `SENTINEL …`: what clients ask for masters, replicas and sentinels, and what operators order.
//!
//! A question for a master (MASTERS, MASTER, GET-MASTER-ADDR-BY-NAME) is answered only once a majority has confirmed that
//! what this sentinel knows is current. Without a quorum the connection is closed: an error escapes the discovery of
//! several clients, while a closed connection makes every client try the next sentinel. One exception: MASTER of a group
//! whose master this sentinel finds down is answered, since its flags say so and no client takes such a master.

use std::{collections::BTreeMap, time::Duration};

use quorate_api::{
    problem::Problem,
    view::{FailoverOrder, MonitorOrder},
};
use quorate_resp::{Writer, parse_int};

use super::{
    Shared,
    client::{Verdict, is, shown},
    facts::GroupFacts,
    instances,
};

/// How long SENTINEL FAILOVER waits for a refusal before it answers OK: the failover goes on by itself.
const FAILOVER_PATIENCE: Duration = Duration::from_secs(2);

const NO_GROUP: &str = "ERR No such master with that name";

/// The lines of SENTINEL HELP.
const HELP: &[&str] = &[
    "SENTINEL <subcommand> [<arg> ...]. Subcommands are:",
    "CKQUORUM <name>",
    "    Says whether enough sentinels can be reached to detect a failure and to authorise a failover.",
    "FAILOVER <name> [COORDINATED]",
    "    Fails over to a replica. Writes are paused until it has caught up, where the master answers.",
    "GET-MASTER-ADDR-BY-NAME <name> (GET-PRIMARY-ADDR-BY-NAME)",
    "    The master's address.",
    "IS-MASTER-DOWN-BY-ADDR <ip> <port> <epoch> <runid> (IS-PRIMARY-DOWN-BY-ADDR)",
    "    Whether this sentinel finds the master at the address down.",
    "MASTER <name> (PRIMARY)",
    "    What this sentinel knows of the master.",
    "MASTERS (PRIMARIES)",
    "    What this sentinel knows of every master.",
    "MONITOR <name> <ip> <port> <quorum>",
    "    Starts to watch a group, on every sentinel.",
    "MYID",
    "    This sentinel's run id.",
    "REMOVE <name>",
    "    Stops watching a group, on every sentinel.",
    "REPLICAS <name> (SLAVES)",
    "    What this sentinel knows of the group's replicas.",
    "SENTINELS <name>",
    "    What this sentinel knows of the other sentinels.",
    "SET <name> <option> <value> [<option> <value> ...]",
    "    Changes a group's settings, on every sentinel.",
    "HELP",
    "    Prints this.",
];

/// Runs one subcommand.
pub(super) async fn run(shared: &Shared, args: &[&[u8]], out: &mut Writer<'_>) -> Verdict {
    let [sub, args @ ..] = args else { unreachable!("arity is checked before") };
    let name = String::from_utf8_lossy(sub).to_ascii_lowercase();
    match (name.as_str(), args) {
        ("masters" | "primaries", []) => return masters(shared, out).await,
        ("master" | "primary", [group]) => return master(shared, group, out).await,
        ("get-master-addr-by-name" | "get-primary-addr-by-name", [group]) => {
            return address(shared, group, out).await;
        }
        ("replicas" | "slaves", [group]) => with(shared, group, out, |g, out| {
            out.array(g.replicas.len());
            g.replicas.iter().for_each(|r| instances::write(out, &instances::replica(g, r)));
        }),
        ("sentinels", [group]) => with(shared, group, out, |g, out| {
            out.array(g.sentinels.len());
            g.sentinels.iter().for_each(|p| instances::write(out, &instances::peer(g, p)));
        }),
        ("ckquorum", [group]) => with(shared, group, out, check_quorum),
        ("is-master-down-by-addr" | "is-primary-down-by-addr", [ip, port, _, _]) => is_down(shared, ip, port, out),
        ("failover", [group]) => failover(shared, group, false, out).await,
        ("failover", [group, word]) if is(word, "coordinated") => failover(shared, group, true, out).await,
        ("monitor", [group, host, port, quorum]) => monitor(shared, [group, host, port, quorum], out).await,
        ("remove", [group]) => remove(shared, group, out).await,
        ("set", [group, pairs @ ..]) if !pairs.is_empty() => set(shared, group, pairs, out).await,
        ("myid", []) => out.bulk(shared.tower.my_id().as_bytes()),
        ("help", []) => {
            out.array(HELP.len());
            HELP.iter().for_each(|line| out.simple(line));
        }
        (known, _) if HELP.iter().any(|line| names(line, known)) => {
            out.error(&format!("ERR wrong number of arguments for 'sentinel|{known}' command"));
        }
        _ => out.error(&format!("ERR unknown subcommand '{}'. Try SENTINEL HELP.", shown(sub))),
    }
    Verdict::Stay
}

/// Does a line of the help name a subcommand, as its first word or its alias?
fn names(line: &str, sub: &str) -> bool {
    !line.starts_with(' ') && line.split([' ', '(', ')']).any(|word| !word.is_empty() && word.eq_ignore_ascii_case(sub))
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// Answers about one group from this sentinel's view, or that there is none.
fn with(shared: &Shared, group: &[u8], out: &mut Writer<'_>, answer: impl FnOnce(&GroupFacts, &mut Writer<'_>)) {
    match shared.tower.facts(&text(group)) {
        Some(facts) => answer(&facts, out),
        None => out.error(NO_GROUP),
    }
}

async fn masters(shared: &Shared, out: &mut Writer<'_>) -> Verdict {
    if shared.tower.confirm().await.is_err() {
        return Verdict::Drop;
    }
    let groups = shared.tower.all_facts();
    out.array(groups.len());
    groups.iter().for_each(|g| instances::write(out, &instances::master(g)));
    Verdict::Stay
}

async fn master(shared: &Shared, group: &[u8], out: &mut Writer<'_>) -> Verdict {
    let down = shared.tower.facts(&text(group)).is_some_and(|g| g.master.s_down_ms.is_some());
    if !down && shared.tower.confirm().await.is_err() {
        return Verdict::Drop;
    }
    with(shared, group, out, |g, out| instances::write(out, &instances::master(g)));
    Verdict::Stay
}

async fn address(shared: &Shared, group: &[u8], out: &mut Writer<'_>) -> Verdict {
    if shared.tower.confirm().await.is_err() {
        return Verdict::Drop;
    }
    match shared.tower.facts(&text(group)) {
        Some(g) => {
            out.array(2);
            out.bulk(g.master.host.as_bytes());
            out.bulk(g.master.port.to_string().as_bytes());
        }
        None => out.null_array(),
    }
    Verdict::Stay
}

fn check_quorum(g: &GroupFacts, out: &mut Writer<'_>) {
    let usable = g.usable_sentinels();
    let detects = usable >= g.quorum as usize;
    let authorises = usable >= g.majority();
    let mut trouble = String::new();
    if !detects {
        trouble.push_str(" Not enough available Sentinels to reach the specified quorum for this master.");
    }
    if !authorises {
        trouble.push_str(" Not enough available Sentinels to reach the majority and authorize a failover.");
    }
    if trouble.is_empty() {
        out.simple(&format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached"));
    } else {
        out.error(&format!("NOQUORUM {usable} usable Sentinels.{trouble}"));
    }
}

/// Votes are Raft's here, so the answer never grants one: down or not, and `*`.
fn is_down(shared: &Shared, ip: &[u8], port: &[u8], out: &mut Writer<'_>) {
    let Some(port) = parse_int(port) else { return out.error("ERR value is not an integer or out of range") };
    let groups = shared.tower.all_facts();
    let found = groups.iter().find(|g| g.master.host.as_bytes() == ip && i64::from(g.master.port) == port);
    out.array(3);
    out.int(found.is_some_and(|g| g.master.s_down_ms.is_some()).into());
    out.bulk(b"*");
    out.int(0);
}

async fn failover(shared: &Shared, group: &[u8], coordinated: bool, out: &mut Writer<'_>) {
    let group = text(group);
    let Some(facts) = shared.tower.facts(&group) else { return out.error(NO_GROUP) };
    // As in the reference, the plain form works though the master is gone; the coordinated one needs it.
    let force = !coordinated && (facts.master.s_down_ms.is_some() || facts.master.disconnected);
    let order = FailoverOrder { candidate: None, force, accept_loss: false };
    match tokio::time::timeout(FAILOVER_PATIENCE, shared.tower.failover(&group, order)).await {
        Ok(Ok(_)) | Err(_) => out.simple("OK"),
        Ok(Err(problem)) => refuse(&problem, out),
    }
}

async fn monitor(shared: &Shared, [name, host, port, quorum]: [&[u8]; 4], out: &mut Writer<'_>) {
    let Some(quorum) = parse_int(quorum).and_then(|q| u32::try_from(q).ok()) else {
        return out.error("ERR Invalid quorum");
    };
    if quorum == 0 {
        return out.error("ERR Quorum must be 1 or greater.");
    }
    let Some(port) = parse_int(port).and_then(|p| u16::try_from(p).ok()).filter(|p| *p > 0) else {
        return out.error("ERR Invalid port number");
    };
    let (name, host) = (text(name), text(host));
    // Every sentinel of the reference is told separately; ours share one registry, so saying the same again is no error.
    if let Some(known) = shared.tower.facts(&name) {
        return match (known.master.host == host, known.master.port == port) {
            (true, true) => out.simple("OK"),
            _ => out.error("ERR Duplicate master name."),
        };
    }
    match shared.tower.monitor(MonitorOrder { name, host, port, quorum, nodes: vec![] }).await {
        Ok(_) => out.simple("OK"),
        Err(problem) => refuse(&problem, out),
    }
}

async fn remove(shared: &Shared, group: &[u8], out: &mut Writer<'_>) {
    let group = text(group);
    if shared.tower.facts(&group).is_none() {
        return out.error(NO_GROUP);
    }
    match shared.tower.remove(&group).await {
        Ok(()) => out.simple("OK"),
        Err(problem) => refuse(&problem, out),
    }
}

async fn set(shared: &Shared, group: &[u8], pairs: &[&[u8]], out: &mut Writer<'_>) {
    let (pairs, odd) = pairs.as_chunks::<2>();
    if let [option] = odd {
        return out.error(&format!("ERR Unknown option or number of arguments for SENTINEL SET '{}'", shown(option)));
    }
    let group = text(group);
    if shared.tower.facts(&group).is_none() {
        return out.error(NO_GROUP);
    }
    let settings: BTreeMap<_, _> =
        pairs.iter().map(|[option, value]| (text(option).to_lowercase(), text(value))).collect();
    match shared.tower.set(&group, settings).await {
        Ok(_) => out.simple("OK"),
        Err(problem) => refuse(&problem, out),
    }
}

/// A refusal in the reference's words where it has some.
fn refuse(problem: &Problem, out: &mut Writer<'_>) {
    match problem {
        Problem::InProgress { .. } => out.error("INPROG Failover already in progress"),
        Problem::NoCandidate { .. } => out.error("NOGOODSLAVE No suitable replica to promote"),
        Problem::NotFound { what: "group", .. } => out.error(NO_GROUP),
        Problem::NoQuorum => out.error("NOQUORUM a majority of the sentinels cannot be reached"),
        other => out.error(&format!("ERR {other}")),
    }
}
