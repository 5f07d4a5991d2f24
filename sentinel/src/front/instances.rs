//! Instance maps: the records that clients read by name and, some of them, by position. Every value is a bulk string.

use quorate_resp::Writer;

use super::facts::{GroupFacts, Instance, PeerFacts, ReplicaFacts};

/// Field names and values in the reference's order.
type Fields = Vec<(&'static str, String)>;

/// Writes a record as a RESP3 map or a RESP2 flat array.
pub(super) fn write(out: &mut Writer<'_>, fields: &Fields) {
    out.map(fields.len());
    for (name, value) in fields {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
}

/// The fields that every instance begins with, flags included.
fn head(i: &Instance, flags: &[&str], state: Option<&str>) -> Fields {
    let mut fields: Fields = vec![
        ("name", i.name.clone()),
        ("ip", i.host.clone()),
        ("port", i.port.to_string()),
        ("runid", i.run_id.clone()),
        ("flags", flags.join(",")),
        ("link-pending-commands", if i.last_ping_sent_ms > 0 { "1" } else { "0" }.to_owned()),
        ("link-refcount", "1".to_owned()),
    ];
    fields.extend(state.map(|s| ("failover-state", s.to_owned())));
    fields.push(("last-ping-sent", i.last_ping_sent_ms.to_string()));
    fields.push(("last-ok-ping-reply", i.last_ok_ping_ms.to_string()));
    fields.push(("last-ping-reply", i.last_ping_ms.to_string()));
    fields.extend(i.s_down_ms.map(|ms| ("s-down-time", ms.to_string())));
    fields
}

/// The fields that masters and replicas add.
fn reported(fields: &mut Fields, i: &Instance) {
    fields.push(("info-refresh", i.info_refresh_ms.to_string()));
    fields.push(("role-reported", i.role_reported.to_owned()));
    fields.push(("role-reported-time", i.role_reported_ms.to_string()));
}

/// A master's flags: what it is first, then how it is doing.
fn master_flags(g: &GroupFacts) -> Vec<&'static str> {
    let mut flags = Vec::new();
    flags.extend(g.master.s_down_ms.map(|_| "s_down"));
    flags.extend(g.o_down_ms.map(|_| "o_down"));
    flags.push("master");
    flags.extend(g.master.disconnected.then_some("disconnected"));
    flags.extend(g.failover_state.map(|_| "failover_in_progress"));
    flags.extend(g.failover_forced.then_some("force_failover"));
    flags
}

/// `SENTINEL MASTER`.
pub(super) fn master(g: &GroupFacts) -> Fields {
    let mut fields = head(&g.master, &master_flags(g), g.failover_state);
    fields.extend(g.o_down_ms.map(|ms| ("o-down-time", ms.to_string())));
    fields.push(("down-after-milliseconds", g.down_after_ms.to_string()));
    reported(&mut fields, &g.master);
    fields.push(("config-epoch", g.config_epoch.to_string()));
    fields.push(("num-slaves", g.replicas.len().to_string()));
    fields.push(("num-other-sentinels", g.sentinels.len().to_string()));
    fields.push(("quorum", g.quorum.to_string()));
    fields.push(("failover-timeout", g.failover_timeout_ms.to_string()));
    fields.push(("parallel-syncs", g.parallel_syncs.to_string()));
    fields
}

/// One record of `SENTINEL REPLICAS`. The flags of a sound replica are exactly `slave`: some clients compare.
pub(super) fn replica(g: &GroupFacts, r: &ReplicaFacts) -> Fields {
    let mut flags = Vec::new();
    flags.extend(r.instance.s_down_ms.map(|_| "s_down"));
    flags.push("slave");
    flags.extend(r.instance.disconnected.then_some("disconnected"));
    flags.extend(&r.failover_flags);
    let mut fields = head(&r.instance, &flags, None);
    fields.push(("down-after-milliseconds", g.down_after_ms.to_string()));
    reported(&mut fields, &r.instance);
    fields.push(("master-link-down-time", r.link_down_ms.to_string()));
    fields.push(("master-link-status", if r.link_up { "ok" } else { "err" }.to_owned()));
    fields.push(("master-host", if r.master_host.is_empty() { "?".to_owned() } else { r.master_host.clone() }));
    fields.push(("master-port", r.master_port.to_string()));
    fields.push(("slave-priority", r.priority.to_string()));
    fields.push(("slave-repl-offset", r.offset.to_string()));
    fields.push(("replica-announced", "1".to_owned()));
    fields
}

/// One record of `SENTINEL SENTINELS`.
pub(super) fn peer(g: &GroupFacts, p: &PeerFacts) -> Fields {
    let mut flags = Vec::new();
    flags.extend(p.instance.s_down_ms.map(|_| "s_down"));
    flags.push("sentinel");
    flags.extend(p.instance.disconnected.then_some("disconnected"));
    let mut fields = head(&p.instance, &flags, None);
    fields.push(("down-after-milliseconds", g.down_after_ms.to_string()));
    fields.push(("last-hello-message", p.last_hello_ms.to_string()));
    fields.push(("voted-leader", if p.voted_leader.is_empty() { "?".to_owned() } else { p.voted_leader.clone() }));
    fields.push(("voted-leader-epoch", p.voted_leader_epoch.to_string()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::tests::group;

    fn names(fields: &Fields) -> Vec<&'static str> {
        fields.iter().map(|(name, _)| *name).collect()
    }

    fn value<'a>(fields: &'a Fields, name: &str) -> &'a str {
        fields.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    #[test]
    fn a_masters_fields_stand_where_clients_look_for_them() {
        let fields = master(&group());
        let order = "name ip port runid flags link-pending-commands link-refcount last-ping-sent last-ok-ping-reply \
                     last-ping-reply down-after-milliseconds info-refresh role-reported role-reported-time config-epoch \
                     num-slaves num-other-sentinels quorum failover-timeout parallel-syncs";
        assert_eq!(names(&fields).join(" "), order);
        // Redis's own sentinel tests read num-other-sentinels at flat index 33.
        let flat: Vec<_> = fields.iter().flat_map(|(n, v)| [(*n).to_owned(), v.clone()]).collect();
        assert_eq!((flat[32].as_str(), flat[33].as_str()), ("num-other-sentinels", "2"));
        assert_eq!(value(&fields, "flags"), "master");
    }

    #[test]
    fn trouble_shows_in_flags_and_times() {
        let mut g = group();
        g.master.s_down_ms = Some(40);
        g.o_down_ms = Some(20);
        g.master.disconnected = true;
        g.failover_state = Some("select_slave");
        g.failover_forced = true;
        let fields = master(&g);
        assert_eq!(value(&fields, "flags"), "s_down,o_down,master,disconnected,failover_in_progress,force_failover");
        assert_eq!((value(&fields, "s-down-time"), value(&fields, "o-down-time")), ("40", "20"));
        assert_eq!(value(&fields, "failover-state"), "select_slave");
    }

    #[test]
    fn a_sound_replica_is_exactly_a_slave() {
        let mut g = group();
        let fields = replica(&g, &g.replicas[0]);
        assert_eq!(value(&fields, "flags"), "slave");
        assert_eq!(value(&fields, "master-link-status"), "ok");
        let order = "name ip port runid flags link-pending-commands link-refcount last-ping-sent last-ok-ping-reply \
                     last-ping-reply down-after-milliseconds info-refresh role-reported role-reported-time \
                     master-link-down-time master-link-status master-host master-port slave-priority slave-repl-offset \
                     replica-announced";
        assert_eq!(names(&fields).join(" "), order);
        g.replicas[0].instance.s_down_ms = Some(1);
        g.replicas[0].failover_flags = vec!["promoted"];
        assert_eq!(value(&replica(&g, &g.replicas[0]), "flags"), "s_down,slave,promoted");
    }

    #[test]
    fn a_peer_shows_whom_it_follows() {
        let g = group();
        let fields = peer(&g, &g.sentinels[0]);
        assert_eq!((value(&fields, "flags"), value(&fields, "voted-leader-epoch")), ("sentinel", "4"));
        assert_eq!(names(&fields)[..5], ["name", "ip", "port", "runid", "flags"]);
    }
}
