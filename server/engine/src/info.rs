//! INFO: what the node knows of itself, section by section. Field names are Redis's; a field whose figure nobody measures is left out rather
//! than made up.

use std::fmt::Write as _;

use quorate_keyspace::DbIndex;

use crate::core::Core;
use crate::{Call, Kind};

/// The sections in Redis's order, and whether a plain INFO shows them.
const SECTIONS: &[(&str, &str, bool)] = &[
    ("server", "Server", true),
    ("clients", "Clients", true),
    ("memory", "Memory", true),
    ("persistence", "Persistence", true),
    ("stats", "Stats", true),
    ("replication", "Replication", true),
    ("cpu", "CPU", true),
    ("modules", "Modules", true),
    ("commandstats", "Commandstats", false),
    ("errorstats", "Errorstats", true),
    ("cluster", "Cluster", true),
    ("keyspace", "Keyspace", true),
];

/// The report that `INFO [section ...]` asks for.
pub(crate) fn report(call: &mut Call<'_>) -> String {
    let asked: Vec<String> =
        call.argv[1..].iter().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let everything = asked.iter().any(|name| name == "all" || name == "everything");
    let default = asked.is_empty() || asked.iter().any(|name| name == "default");
    let mut text = String::with_capacity(4096);
    for (name, title, plain) in SECTIONS {
        if !(everything || (default && *plain) || asked.iter().any(|asked| asked == name)) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        put(&mut text, format_args!("# {title}"));
        match *name {
            "server" => server(&mut text, call.core),
            "clients" => clients(&mut text, call),
            "memory" => memory(&mut text, call),
            "persistence" => text.push_str(&call.core.info_persistence()),
            "stats" => stats(&mut text, call),
            "replication" => text.push_str(&call.core.info_replication()),
            "cpu" => cpu(&mut text, call.core),
            "commandstats" => command_stats(&mut text, call.core),
            "errorstats" => error_stats(&mut text, call.core),
            "cluster" => put(&mut text, format_args!("cluster_enabled:0")),
            "keyspace" => keyspace(&mut text, call),
            _ => {}
        }
    }
    text
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a string succeeds");
    text.push_str("\r\n");
}

/// Lines `name:value`.
macro_rules! fields {
    ($text:expr, $($name:literal: $value:expr),* $(,)?) => {
        $( put($text, format_args!(concat!($name, ":{}"), $value)); )*
    };
}

fn server(text: &mut String, core: &Core) {
    let facts = (core.host.facts)();
    let uptime = core.now.mono.as_secs();
    fields!(text,
        "redis_version": crate::REDIS_VERSION,
        "redis_mode": "standalone",
        "quorate_version": env!("CARGO_PKG_VERSION"),
        "os": facts.os,
        "arch_bits": usize::BITS,
        "multiplexing_api": "epoll",
        "process_id": facts.process_id,
        "process_supervised": "no",
        "run_id": core.run_id,
        "tcp_port": core.config.port,
        "server_time_usec": core.now.wall.0 * 1000,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86400,
        "hz": core.config.hz,
        "configured_hz": core.config.hz,
        "lru_clock": core.now.wall.as_secs() & 0xff_ffff,
        "executable": facts.executable,
        "config_file": core.config_file,
        "io_threads_active": 0,
    );
}

fn clients(text: &mut String, call: &Call<'_>) {
    let core: &Core = call.core;
    let own: &crate::Session = call.session;
    let all = || core.sessions.iter().chain([own]);
    let count = |holds: &dyn Fn(&crate::Session) -> bool| all().filter(|session| holds(session)).count();
    fields!(text,
        "connected_clients": count(&|session| !matches!(session.kind, Kind::Replica(_))),
        "cluster_connections": 0,
        "maxclients": core.config.maxclients,
        "client_recent_max_input_buffer": all().map(crate::Session::unread).max().unwrap_or(0),
        "client_recent_max_output_buffer": all().map(|session| session.output.waiting()).max().unwrap_or(0),
        "blocked_clients": count(&|session| session.blocked.is_some() || session.postponed),
        "tracking_clients": 0,
        "pubsub_clients": count(&|session| session.is_subscriber()),
        "watching_clients": count(&|session| !session.watched.is_empty()),
        "clients_in_timeout_table": core.blocking.deadlines(),
        "total_watched_keys": core.watch.len(),
        "total_blocking_keys": core.blocking.keys(),
    );
}

/// Bytes as people read them, as Redis prints them: `1.50M`.
fn human(bytes: usize) -> String {
    let bytes = bytes as f64;
    for (unit, letter) in [(1u64 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')] {
        if bytes >= unit as f64 {
            return format!("{:.2}{letter}", bytes / unit as f64);
        }
    }
    format!("{bytes}B")
}

fn memory(text: &mut String, call: &Call<'_>) {
    let core: &Core = call.core;
    let facts = (core.host.facts)();
    let used = (core.host.used_memory)();
    let peak = core.stats.peak_memory.max(used);
    let dataset = used.saturating_sub(core.startup_memory);
    let (mut normal, mut replicas) = (call.session.memory(), 0);
    for session in core.sessions.iter() {
        *(if session.is_replica() { &mut replicas } else { &mut normal }) += session.memory();
    }
    let maxmemory = core.config.maxmemory;
    fields!(text,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": facts.rss,
        "used_memory_rss_human": human(facts.rss),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format_args!("{:.2}%", 100.0 * used as f64 / peak.max(1) as f64),
        "used_memory_startup": core.startup_memory,
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": format_args!("{:.2}%", 100.0 * dataset as f64 / used.max(1) as f64),
        "total_system_memory": facts.total_memory,
        "total_system_memory_human": human(facts.total_memory),
        "maxmemory": maxmemory,
        "maxmemory_human": human(usize::try_from(maxmemory).unwrap_or(usize::MAX)),
        "maxmemory_policy": core.config.get(|name| name == "maxmemory-policy").first().map_or("", |(_, value)| value),
        "mem_fragmentation_ratio": format_args!("{:.2}", facts.rss as f64 / used.max(1) as f64),
        "mem_fragmentation_bytes": facts.rss as i64 - used as i64,
        "mem_clients_normal": normal,
        "mem_clients_slaves": replicas,
        "mem_allocator": "mimalloc",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
    );
}

fn stats(text: &mut String, call: &mut Call<'_>) {
    let (hits, misses) = call.db.keyspace().lookups();
    let core: &Core = call.core;
    let stats = &core.stats;
    fields!(text,
        "total_connections_received": stats.connections,
        "total_commands_processed": stats.commands,
        "instantaneous_ops_per_sec": stats.rates.commands_per_second,
        "total_net_input_bytes": stats.net_input,
        "total_net_output_bytes": stats.net_output,
        "total_net_repl_input_bytes": stats.repl_input,
        "total_net_repl_output_bytes": stats.repl_output,
        "instantaneous_input_kbps": format_args!("{:.2}", stats.rates.input_per_second as f64 / 1024.0),
        "instantaneous_output_kbps": format_args!("{:.2}", stats.rates.output_per_second as f64 / 1024.0),
        "rejected_connections": stats.rejected_connections,
        "sync_full": stats.sync_full,
        "sync_partial_ok": stats.sync_partial_ok,
        "sync_partial_err": stats.sync_partial_err,
        "expired_keys": stats.expired_keys,
        "evicted_keys": stats.evicted_keys,
        "keyspace_hits": hits,
        "keyspace_misses": misses,
        "pubsub_channels": core.pubsub.listeners(crate::pubsub::Topic::Channel).len(),
        "pubsub_patterns": core.pubsub.listeners(crate::pubsub::Topic::Pattern).len(),
        "pubsubshard_channels": core.pubsub.listeners(crate::pubsub::Topic::Shard).len(),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "tracking_total_keys": 0,
        "tracking_total_items": 0,
        "tracking_total_prefixes": 0,
        "unexpected_error_replies": 0,
        "total_error_replies": stats.errors,
        "total_reads_processed": stats.reads,
        "total_writes_processed": stats.writes,
        "eventloop_cycles": stats.turns,
        "client_query_buffer_limit_disconnections": stats.query_buffer_closed,
        "client_output_buffer_limit_disconnections": stats.output_buffer_closed,
        "acl_access_denied_auth": stats.auth_failures,
        "acl_access_denied_cmd": 0,
        "acl_access_denied_key": 0,
        "acl_access_denied_channel": 0,
    );
}

fn cpu(text: &mut String, core: &Core) {
    let facts = (core.host.facts)();
    fields!(text,
        "used_cpu_sys": format_args!("{:.6}", facts.cpu_system.as_secs_f64()),
        "used_cpu_user": format_args!("{:.6}", facts.cpu_user.as_secs_f64()),
        "used_cpu_sys_children": "0.000000",
        "used_cpu_user_children": "0.000000",
        "used_cpu_sys_main_thread": format_args!("{:.6}", facts.cpu_system_main.as_secs_f64()),
        "used_cpu_user_main_thread": format_args!("{:.6}", facts.cpu_user_main.as_secs_f64()),
    );
}

/// Commands that were asked for at least once.
fn command_stats(text: &mut String, core: &Core) {
    for (row, stats) in core.table.rows().iter().zip(&core.stats.by_command) {
        if stats.calls + stats.rejected + stats.failed == 0 {
            continue;
        }
        let usec = stats.time.as_micros();
        put(
            text,
            format_args!(
                "cmdstat_{}:calls={},usec={usec},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                row.name,
                stats.calls,
                stats.time.as_nanos() as f64 / 1000.0 / stats.calls.max(1) as f64,
                stats.rejected,
                stats.failed
            ),
        );
    }
}

fn error_stats(text: &mut String, core: &Core) {
    for (code, count) in &core.stats.error_codes {
        put(text, format_args!("errorstat_{code}:count={count}"));
    }
}

/// Databases that hold keys.
fn keyspace(text: &mut String, call: &mut Call<'_>) {
    let keyspace = call.db.keyspace();
    for number in 0..keyspace.databases() {
        let (keys, expires) = keyspace.sizes(DbIndex(number));
        if keys > 0 {
            put(text, format_args!("db{number}:keys={keys},expires={expires},avg_ttl=0"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Stage;

    #[test]
    fn sections_are_chosen_by_name() {
        let mut stage = Stage::new();
        let plain = stage.say(1, "info");
        for title in ["# Server", "# Clients", "# Memory", "# Stats", "# CPU", "# Errorstats", "# Keyspace"] {
            assert!(plain.contains(title), "{title}");
        }
        assert!(!plain.contains("# Commandstats"));
        assert!(stage.say(1, "info all").contains("# Commandstats"));
        let two = stage.say(1, "info CLUSTER cpu");
        assert!(two.contains("# CPU") && two.contains("cluster_enabled:0") && !two.contains("# Server"));
        assert_eq!(stage.say(1, "info nosuch"), "$");
    }

    #[test]
    fn figures_are_counted() {
        let mut stage = Stage::new();
        stage.say(1, "ping");
        stage.say(1, "ping");
        stage.say(1, "nosuch");
        stage.say(1, "ping a b");
        stage.say(2, "subscribe a");
        let stats = stage.say(1, "info commandstats");
        assert!(
            stats.contains("cmdstat_ping:calls=3,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1"),
            "{stats}"
        );
        assert!(stage.say(1, "info errorstats").contains("errorstat_ERR:count=2"));
        let clients = stage.say(1, "info clients");
        assert!(clients.contains("connected_clients:2\\r") && clients.contains("pubsub_clients:1\\r"), "{clients}");
        stage.say(1, "config resetstat");
        assert!(!stage.say(1, "info commandstats").contains("cmdstat_ping"));
    }
}
