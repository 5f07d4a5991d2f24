//! A sentinel's configuration in YAML.

use serde::Deserialize;

use crate::error::ConfigError;
use crate::sentinel::{Ack, AuthConfig, Durability, GroupConfig, Peer, SentinelConfig};
use crate::sentinel_conf::{Draft, FAILOVER_TIMEOUT_MS, check_group_name, host_port, peer};
use crate::value::{HostPort, LogLevel};

/// A group that names nothing is suspected after a second of silence.
const DOWN_AFTER_MS: u64 = 1000;

/// The file's shape. Unknown keys are faults: a misspelt directive must not be passed over.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    dir: Option<String>,
    bind: Option<Many<String>>,
    port: Option<u16>,
    api_port: Option<u16>,
    announce_ip: String,
    announce_port: u16,
    secret: String,
    requirepass: String,
    protected_mode: Option<bool>,
    peers: Vec<PeerEntry>,
    groups: Vec<Group>,
    loglevel: Option<String>,
    logfile: String,
    pidfile: String,
    daemonize: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Many<T> {
    One(T),
    Some(Vec<T>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a peer is host:api-port, or {api: host:port, resp: host:port}")]
enum PeerEntry {
    Api(String),
    Both { api: String, resp: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Group {
    name: String,
    master: Option<String>,
    #[serde(default)]
    nodes: Vec<String>,
    quorum: Option<u32>,
    down_after_milliseconds: Option<u64>,
    failover_timeout: Option<u64>,
    parallel_syncs: Option<u32>,
    #[serde(default)]
    durability: Durability,
    copies: Option<u32>,
    #[serde(default)]
    ack: Ack,
    #[serde(default)]
    quorum_timeout: u32,
    #[serde(default)]
    auth: AuthConfig,
    #[serde(default)]
    secret: String,
}

pub(crate) fn draft(name: &str, text: &str) -> Result<Draft, ConfigError> {
    let fault = |line: usize, directive: &str, reason: String| ConfigError {
        file: name.to_owned(),
        line,
        directive: directive.to_owned(),
        reason,
    };
    // An empty file, or one of comments alone, is YAML's null.
    let file: Option<File> = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |at| at.line());
        let message = error.to_string();
        let (path, reason) = match message.split_once(": ") {
            Some((path, reason)) if !path.contains(' ') => (path.to_owned(), reason.to_owned()),
            _ => (message.split('`').nth(1).unwrap_or("configuration").to_owned(), message),
        };
        fault(line, &path, reason)
    })?;
    let file = file.unwrap_or_default();
    let default = SentinelConfig::default();
    let peers = file
        .peers
        .iter()
        .enumerate()
        .map(|(index, entry)| entry.peer().map_err(|why| fault(0, &format!("peers[{index}]"), why)));
    let groups = file.groups.iter().enumerate().map(|(index, group)| {
        group.config().map_err(|(field, why)| fault(0, &format!("groups[{index}].{field}"), why))
    });
    let config = SentinelConfig {
        peers: peers.collect::<Result<_, _>>()?,
        groups: groups.collect::<Result<Vec<_>, _>>()?,
        dir: file.dir.unwrap_or(default.dir),
        bind: match file.bind {
            Some(Many::One(address)) => vec![address],
            Some(Many::Some(addresses)) => addresses,
            None => default.bind,
        },
        port: file.port.unwrap_or(default.port),
        api_port: default.api_port,
        announce_ip: file.announce_ip,
        announce_port: file.announce_port,
        secret: file.secret,
        requirepass: file.requirepass,
        protected_mode: file.protected_mode.unwrap_or(default.protected_mode),
        loglevel: match file.loglevel {
            Some(word) => LogLevel::of_word(&word).map_err(|why| fault(0, "loglevel", why))?,
            None => default.loglevel,
        },
        logfile: file.logfile,
        pidfile: file.pidfile,
        daemonize: file.daemonize,
    };
    for (index, group) in config.groups.iter().enumerate() {
        if config.groups[..index].iter().any(|earlier| earlier.name == group.name) {
            return Err(fault(0, &format!("groups[{index}].name"), format!("the group '{}' stands twice", group.name)));
        }
    }
    Ok(Draft { config, api_port: file.api_port, ..Draft::default() })
}

impl PeerEntry {
    fn peer(&self) -> Result<Peer, String> {
        match self {
            Self::Api(address) => peer(address),
            Self::Both { api, resp } => Ok(Peer { api: host_port(api)?, resp: host_port(resp)? }),
        }
    }
}

impl Group {
    /// The group, or the field at fault and why.
    fn config(&self) -> Result<GroupConfig, (&'static str, String)> {
        check_group_name(&self.name).map_err(|why| ("name", why))?;
        let mut nodes: Vec<HostPort> = Vec::new();
        let named =
            self.master.iter().map(|node| ("master", node)).chain(self.nodes.iter().map(|node| ("nodes", node)));
        for (field, node) in named {
            let node = host_port(node).map_err(|why| (field, why))?;
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            return Err(("nodes", "a group names its nodes, or at least its master".into()));
        }
        let at_least_one = |field: &'static str, value: u64| {
            if value == 0 { Err((field, "must be at least 1".to_owned())) } else { Ok(value) }
        };
        at_least_one("quorum", self.quorum.unwrap_or(1).into())?;
        let parallel_syncs = self.parallel_syncs.unwrap_or(1);
        at_least_one("parallel-syncs", parallel_syncs.into())?;
        Ok(GroupConfig {
            name: self.name.clone(),
            nodes,
            quorum: self.quorum,
            down_after_ms: at_least_one(
                "down-after-milliseconds",
                self.down_after_milliseconds.unwrap_or(DOWN_AFTER_MS),
            )?,
            failover_timeout_ms: at_least_one(
                "failover-timeout",
                self.failover_timeout.unwrap_or(FAILOVER_TIMEOUT_MS),
            )?,
            parallel_syncs,
            durability: self.durability,
            copies: match self.copies {
                Some(0 | 1) => return Err(("copies", "must be at least 2".to_owned())),
                copies => copies,
            },
            ack: self.ack,
            quorum_timeout_ms: self.quorum_timeout,
            auth: self.auth.clone(),
            secret: self.secret.clone(),
        })
    }
}
