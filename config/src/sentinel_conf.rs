//! sentinel.conf syntax and the command line, laid over what YAML gave: one line at a time onto a [`Draft`].
//!
//! State lines that a reference sentinel wrote into its file (`myid`, `known-replica`, …) are passed over: this sentinel keeps its state in
//! its directory and learns replicas and peers itself.

use std::collections::BTreeMap;

use crate::conf::{self, Line, Reader};
use crate::error::ConfigError;
use crate::sentinel::{Ack, AuthConfig, Durability, GroupConfig, Peer, SentinelConfig};
use crate::sentinel_yaml;
use crate::server::is_yaml;
use crate::value::{HostPort, LogLevel};

/// Source: the Sentinel documentation, `sentinel monitor`'s companions.
const CONF_DOWN_AFTER_MS: u64 = 30_000;
/// Source: likewise.
pub(crate) const FAILOVER_TIMEOUT_MS: u64 = 180_000;

/// A configuration being built. Options of a group may come before its `monitor` line, as the reference's own test suite has them.
#[derive(Default)]
pub(crate) struct Draft {
    pub config: SentinelConfig,
    pub api_port: Option<u16>,
    pub groups: BTreeMap<String, Vec<Line>>,
}

pub(crate) fn load(
    file: Option<(&str, &str)>,
    options: &[String],
    read: Reader<'_>,
) -> Result<SentinelConfig, ConfigError> {
    let mut draft = Draft::default();
    let mut lines = Vec::new();
    match file {
        Some((name, text)) if is_yaml(name) => {
            draft = sentinel_yaml::draft(name, text)?;
        }
        Some((name, text)) => lines = conf::lines(name, text, read)?,
        None => {}
    }
    lines.extend(conf::options(options)?);
    for line in &lines {
        draft.take(line)?;
    }
    draft.finish()
}

impl Draft {
    fn take(&mut self, line: &Line) -> Result<(), ConfigError> {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        let [name, values @ ..] = words.as_slice() else { unreachable!("a line has a word") };
        let name = name.to_ascii_lowercase();
        if name == "sentinel" {
            return self.sentinel(line, values);
        }
        let config = &mut self.config;
        match (name.as_str(), values) {
            ("bind", [_, ..]) => config.bind = values.iter().map(|word| (*word).to_owned()).collect(),
            ("peers", addresses) => {
                config.peers =
                    addresses.iter().map(|word| peer(word).map_err(|why| line.error(why))).collect::<Result<_, _>>()?;
            }
            (_, [value]) => self.scalar(&name, value).map_err(|why| line.error(why))?,
            (_, _) => return Err(line.error("wrong number of arguments")),
        }
        Ok(())
    }

    fn scalar(&mut self, name: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        match name {
            "dir" => config.dir = value.to_owned(),
            "port" => config.port = port(value)?,
            "api-port" => self.api_port = Some(port(value)?),
            "secret" => config.secret = value.to_owned(),
            "requirepass" => config.requirepass = value.to_owned(),
            "loglevel" => config.loglevel = LogLevel::of_word(value)?,
            "logfile" => config.logfile = value.to_owned(),
            "pidfile" => config.pidfile = value.to_owned(),
            "daemonize" => config.daemonize = yes_no(value)?,
            "protected-mode" => config.protected_mode = yes_no(value)?,
            "aclfile" | "user" => return Err("ACL is not there yet; requirepass guards the default user".into()),
            "supervised" | "syslog-enabled" if value != "no" => return Err("only 'no' is supported".into()),
            "supervised" | "syslog-enabled" | "syslog-ident" | "syslog-facility" | "always-show-logo"
            | "tcp-backlog" | "set-proc-title" => {}
            _ if name.starts_with("tls-") => return Err("TLS is not there yet".into()),
            _ => return Err("Bad directive or wrong number of arguments".into()),
        }
        Ok(())
    }

    /// `sentinel <option> …`: of this sentinel, or of the group named next.
    fn sentinel(&mut self, line: &Line, words: &[&str]) -> Result<(), ConfigError> {
        let [option, values @ ..] = words else { return Err(line.error("wrong number of arguments")) };
        let unrecognized = || line.error("Unrecognized sentinel configuration statement.");
        match (option.to_ascii_lowercase().as_str(), values) {
            ("monitor", [name, host, at, quorum]) => {
                self.monitor(name, host, at, quorum).map_err(|why| line.error(why))
            }
            ("announce-ip", [value]) => {
                self.config.announce_ip = (*value).to_owned();
                Ok(())
            }
            ("announce-port", [value]) => {
                self.config.announce_port = port(value).map_err(|why| line.error(why))?;
                Ok(())
            }
            // Names are resolved when a connection opens and announced as they were configured; no script is run.
            ("resolve-hostnames" | "announce-hostnames" | "deny-scripts-reconfig", [value]) => {
                yes_no(value).map(drop).map_err(|why| line.error(why))
            }
            ("sentinel-user" | "sentinel-pass", [_]) => {
                Err(line.error("sentinels know each other by 'secret', the same in each file"))
            }
            ("myid" | "current-epoch", [_]) => Ok(()),
            ("config-epoch" | "leader-epoch" | "known-replica" | "known-slave" | "known-sentinel", [_, ..]) => Ok(()),
            ("notification-script" | "client-reconfig-script", [_, _]) => Err(line.error("scripts are not run yet")),
            ("rename-command", [_, _, _]) => Err(line.error("commands of nodes cannot be renamed yet")),
            ("master-reboot-down-after-period", [_, "0"]) => Ok(()),
            ("master-reboot-down-after-period", [_, _]) => Err(line.error("only 0 is supported yet")),
            (
                "down-after-milliseconds"
                | "failover-timeout"
                | "parallel-syncs"
                | "auth-pass"
                | "auth-user"
                | "durability"
                | "copies"
                | "ack"
                | "quorum-timeout"
                | "secret",
                [name, _],
            ) => {
                self.groups.entry((*name).to_owned()).or_default().push(line.clone());
                Ok(())
            }
            _ => Err(unrecognized()),
        }
    }

    fn monitor(&mut self, name: &str, host: &str, at: &str, quorum: &str) -> Result<(), String> {
        check_group_name(name)?;
        if self.config.groups.iter().any(|group| group.name == name) {
            return Err("Duplicate master name.".into());
        }
        let quorum: u32 = quorum.parse().ok().filter(|quorum| *quorum >= 1).ok_or("Quorum must be 1 or greater.")?;
        let port = port(at).ok().filter(|port| *port != 0).ok_or("Invalid port number")?;
        self.config.groups.push(GroupConfig {
            name: name.to_owned(),
            nodes: vec![HostPort { host: host.to_owned(), port }],
            quorum: Some(quorum),
            down_after_ms: CONF_DOWN_AFTER_MS,
            failover_timeout_ms: FAILOVER_TIMEOUT_MS,
            parallel_syncs: 1,
            durability: Durability::Async,
            copies: None,
            ack: Ack::Receipt,
            quorum_timeout_ms: 0,
            auth: AuthConfig::default(),
            secret: String::new(),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<SentinelConfig, ConfigError> {
        for (name, lines) in &self.groups {
            for line in lines {
                let group = self.config.groups.iter_mut().find(|group| group.name == *name);
                let group = group.ok_or_else(|| line.error("No such master with specified name."))?;
                set_group(group, &line.words[1], &line.words[3]).map_err(|why| line.error(why))?;
            }
        }
        let config = &mut self.config;
        config.api_port = match self.api_port {
            Some(port) => port,
            None => config.port.checked_add(1000).ok_or_else(|| ConfigError {
                file: "configuration".into(),
                line: 0,
                directive: "api-port".into(),
                reason: "port + 1000 is no port: set api-port".into(),
            })?,
        };
        Ok(self.config)
    }
}

/// One setting of a group, by its name in sentinel.conf.
fn set_group(group: &mut GroupConfig, option: &str, value: &str) -> Result<(), String> {
    let number =
        || value.parse::<u64>().ok().filter(|n| *n >= 1).ok_or_else(|| "negative or zero time parameter.".to_owned());
    match option.to_ascii_lowercase().as_str() {
        "down-after-milliseconds" => group.down_after_ms = number()?,
        "failover-timeout" => group.failover_timeout_ms = number()?,
        "parallel-syncs" => group.parallel_syncs = number()?.try_into().map_err(|_| "too large")?,
        "auth-pass" => group.auth.password = value.to_owned(),
        "auth-user" => group.auth.user = value.to_owned(),
        "secret" => group.secret = value.to_owned(),
        "durability" => {
            group.durability = match value {
                "async" => Durability::Async,
                "quorum" => Durability::Quorum,
                _ => return Err("argument(s) must be one of the following: async, quorum".into()),
            }
        }
        "copies" => {
            let copies = value.parse().ok().filter(|copies| *copies >= 2);
            group.copies = Some(copies.ok_or("argument must be at least 2")?);
        }
        "ack" => {
            group.ack = match value {
                "receipt" => Ack::Receipt,
                "fsync" => Ack::Fsync,
                _ => return Err("argument(s) must be one of the following: receipt, fsync".into()),
            }
        }
        "quorum-timeout" => group.quorum_timeout_ms = value.parse().map_err(|_| "argument must be milliseconds")?,
        _ => unreachable!("only options that Draft::sentinel lets through are kept"),
    }
    Ok(())
}

/// A group's name stands in URLs, channels and INFO lines: letters, digits, `.`, `_`, `-`.
pub(crate) fn check_group_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(fits) {
        return Err("a group's name is made of letters, digits, '.', '_' and '-'".into());
    }
    Ok(())
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "argument must be between 0 and 65535 inclusive".into())
}

fn yes_no(value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

/// `host:port`, with an IPv6 address in brackets.
pub(crate) fn host_port(text: &str) -> Result<HostPort, String> {
    let fault = || format!("'{text}' is not host:port");
    let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(fault)?;
    if host.is_empty() {
        return Err(fault());
    }
    Ok(HostPort { host: host.to_owned(), port })
}

/// A peer by its API address; its RESP port is 1000 below.
pub(crate) fn peer(text: &str) -> Result<Peer, String> {
    let api = host_port(text)?;
    let port = api.port.checked_sub(1000).filter(|port| *port != 0);
    let port = port.ok_or_else(|| format!("'{text}' is no API address: its RESP port would be 1000 below"))?;
    Ok(Peer { resp: HostPort { host: api.host.clone(), port }, api })
}
