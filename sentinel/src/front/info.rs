//! INFO: the sections that the reference serves, with this process's own figures.

use std::{fmt::Write as _, sync::atomic::Ordering};

use super::{Shared, client::is, facts::GroupFacts};

/// The version of Redis whose behaviour and command set clients may expect.
pub(super) const REDIS_VERSION: &str = "7.2.0";

/// Sections in the reference's order.
const SECTIONS: [&str; 5] = ["server", "clients", "cpu", "stats", "sentinel"];

/// The text of `INFO [section ...]`.
pub(super) fn text(shared: &Shared, asked: &[&[u8]]) -> String {
    let everything =
        asked.is_empty() || asked.iter().any(|a| ["all", "default", "everything"].iter().any(|word| is(a, word)));
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|s| everything || asked.iter().any(|a| is(a, s))) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        match *section {
            "server" => server(shared, &mut text),
            "clients" => clients(shared, &mut text),
            "cpu" => cpu(&mut text),
            "stats" => stats(shared, &mut text),
            _ => sentinel(shared, &mut text),
        }
    }
    text
}

fn lines(text: &mut String, title: &str, fields: &[(&str, String)]) {
    let _ = write!(text, "# {title}\r\n");
    for (name, value) in fields {
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

fn server(shared: &Shared, text: &mut String) {
    let up = shared.started.elapsed().as_secs();
    lines(
        text,
        "Server",
        &[
            ("redis_version", REDIS_VERSION.to_owned()),
            ("quorate_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("redis_mode", "sentinel".to_owned()),
            ("arch_bits", usize::BITS.to_string()),
            ("process_id", std::process::id().to_string()),
            ("run_id", shared.tower.my_id()),
            ("tcp_port", shared.options.port.to_string()),
            ("uptime_in_seconds", up.to_string()),
            ("uptime_in_days", (up / 86_400).to_string()),
        ],
    );
}

fn clients(shared: &Shared, text: &mut String) {
    lines(
        text,
        "Clients",
        &[
            ("connected_clients", shared.connected.load(Ordering::Relaxed).to_string()),
            ("maxclients", shared.options.clients_most.to_string()),
        ],
    );
}

fn cpu(text: &mut String) {
    use rustix::time::{ClockId, clock_gettime};
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = format!("{}.{:06}", spent.tv_sec, spent.tv_nsec / 1000);
    lines(text, "CPU", &[("used_cpu_total", seconds)]);
}

fn stats(shared: &Shared, text: &mut String) {
    lines(
        text,
        "Stats",
        &[
            ("total_connections_received", shared.accepted.load(Ordering::Relaxed).to_string()),
            ("total_commands_processed", shared.commands.load(Ordering::Relaxed).to_string()),
            ("rejected_connections", shared.rejected.load(Ordering::Relaxed).to_string()),
        ],
    );
}

fn sentinel(shared: &Shared, text: &mut String) {
    let groups = shared.tower.all_facts();
    lines(
        text,
        "Sentinel",
        &[
            ("sentinel_masters", groups.len().to_string()),
            // There is no TILT mode here: timers run on a monotonic clock, and authority comes from Raft.
            ("sentinel_tilt", "0".to_owned()),
            ("sentinel_tilt_since_seconds", "-1".to_owned()),
            ("sentinel_running_scripts", "0".to_owned()),
            ("sentinel_scripts_queue_length", "0".to_owned()),
            ("sentinel_simulate_failure_flags", "0".to_owned()),
        ],
    );
    for (index, g) in groups.iter().enumerate() {
        let (m, status) = (&g.master, status(g));
        let _ = write!(
            text,
            "master{index}:name={},status={status},address={}:{},slaves={},sentinels={}\r\n",
            m.name,
            m.host,
            m.port,
            g.replicas.len(),
            g.sentinels.len() + 1
        );
    }
}

/// The word of a group's `masterN` line.
fn status(g: &GroupFacts) -> &'static str {
    match (g.o_down_ms, g.master.s_down_ms) {
        (Some(_), _) => "odown",
        (None, Some(_)) => "sdown",
        (None, None) => "ok",
    }
}
