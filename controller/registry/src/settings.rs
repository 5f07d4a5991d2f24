//! What an operator may set for a group, under the directive names of `sentinel.conf`.
//!
//! Defaults are Sentinel's, except that `down-after-milliseconds` is 1000: a reset connection is acted upon at once, so
//! only silence waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::MAX_NODES;
use crate::voting::COPIES_LEAST;

/// What a group promises about acknowledged writes, the weaker first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Redis's own semantics: the master alone acknowledges.
    #[default]
    Async,
    /// So many nodes hold a write before it is acknowledged that no failover can lose it.
    Quorum,
}

/// When a replica acknowledges what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// Once it received it: survives the loss of processes.
    #[default]
    Receipt,
    /// Once its disk holds it: survives the loss of power everywhere at once.
    Fsync,
}

impl Ack {
    /// The value as it is written in configuration and shown in every API.
    pub fn as_str(self) -> &'static str {
        match self {
            Ack::Receipt => "receipt",
            Ack::Fsync => "fsync",
        }
    }
}

impl Durability {
    /// The value as it is written in configuration and shown in every API.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Async => "async",
            Durability::Quorum => "quorum",
        }
    }
}

/// Why a setting was refused; `Display` is the text after `ERR ` of SENTINEL SET's reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SettingError {
    /// No such directive. Source: Redis 7 `sentinelSetCommand`.
    #[error("Unknown option or number of arguments for SENTINEL SET '{0}'")]
    Unknown(String),
    /// The directive exists and the value does not fit.
    #[error("Invalid argument '{value}' for SENTINEL SET '{option}'")]
    Invalid {
        /// The directive.
        option: String,
        /// What was given.
        value: String,
    },
}

/// A group's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How many sentinels must see the master down before it counts as down.
    pub quorum: u32,
    /// Silence for longer than this makes a node suspect.
    pub down_after_ms: u64,
    /// A failover that has not finished repointing replicas after this is ended.
    pub failover_timeout_ms: u64,
    /// How many replicas may be resynchronising with a new master at once.
    pub parallel_syncs: u32,
    /// Whether acknowledged writes may be lost.
    pub durability: Durability,
    /// How many hold a write before `quorum` acknowledges it, the master included; `None`: a majority of the voters.
    pub copies: Option<u32>,
    /// When a replica acknowledges.
    pub ack: Ack,
    /// A reply that `quorum` holds for longer becomes an explicit error; 0: it waits for ever.
    pub quorum_timeout_ms: u32,
    /// The user to authenticate as at the nodes.
    pub auth_user: Option<String>,
    /// The password to authenticate with at the nodes.
    pub auth_pass: Option<String>,
    /// Called for events of the warning level.
    pub notification_script: Option<String>,
    /// Called when the master's address changes.
    pub client_reconfig_script: Option<String>,
    /// Commands that the nodes know by another name.
    pub rename_command: BTreeMap<String, String>,
    /// How long a master that restarted may take to load before it counts as down; 0: for ever.
    pub master_reboot_down_after_period_ms: u64,
}

/// The longest lease: what a new leader waits for at most when it cannot know what was granted (I8).
pub const LEASE_MOST_MS: u64 = 1000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            quorum: 2,
            down_after_ms: 1000,
            failover_timeout_ms: 180_000,
            parallel_syncs: 1,
            durability: Durability::Async,
            copies: None,
            ack: Ack::Receipt,
            quorum_timeout_ms: 0,
            auth_user: None,
            auth_pass: None,
            notification_script: None,
            client_reconfig_script: None,
            rename_command: BTreeMap::new(),
            master_reboot_down_after_period_ms: 0,
        }
    }
}

/// The directives that [`Settings::set`] takes, each with one value.
pub const DIRECTIVES: &[&str] = &[
    "quorum",
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "durability",
    "copies",
    "ack",
    "quorum-timeout",
    "auth-user",
    "auth-pass",
    "notification-script",
    "client-reconfig-script",
    "master-reboot-down-after-period",
];

/// Do these changes concern what a group promises? Only then is it judged whether it can.
pub(crate) fn concern_durability(changes: &[(String, String)]) -> bool {
    let concerned = ["durability", "copies", "ack"];
    changes.iter().any(|(option, _)| concerned.iter().any(|name| option.eq_ignore_ascii_case(name)))
}

impl Settings {
    /// `down-after-milliseconds` as a duration.
    pub fn down_after(&self) -> Duration {
        Duration::from_millis(self.down_after_ms)
    }

    /// `failover-timeout` as a duration.
    pub fn failover_timeout(&self) -> Duration {
        Duration::from_millis(self.failover_timeout_ms)
    }

    /// For how long the master may answer alone once a heartbeat of it was granted (I7, I8): it is over before silence of
    /// `down-after` can replace the master, so that only a planned or an operator's failover ever waits for it.
    pub fn lease_ms(&self) -> u64 {
        (self.down_after_ms / 2).clamp(1, LEASE_MOST_MS)
    }

    /// Sets one directive. Names are compared without case; an empty script or credential removes it.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), SettingError> {
        let invalid = || SettingError::Invalid { option: option.to_owned(), value: value.to_owned() };
        let positive = || value.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(invalid);
        let milliseconds = || value.parse::<u32>().ok().filter(|n| *n > 0).map(u64::from).ok_or_else(invalid);
        let text = || (!value.is_empty()).then(|| value.to_owned());
        match option.to_ascii_lowercase().as_str() {
            "quorum" => self.quorum = positive()?,
            "down-after-milliseconds" => self.down_after_ms = milliseconds()?,
            "failover-timeout" => self.failover_timeout_ms = milliseconds()?,
            "parallel-syncs" => self.parallel_syncs = positive()?,
            "durability" => {
                self.durability = match value {
                    "async" => Durability::Async,
                    "quorum" => Durability::Quorum,
                    _ => return Err(invalid()),
                }
            }
            "copies" if value.eq_ignore_ascii_case("majority") => self.copies = None,
            "copies" => {
                let known = value.parse::<u32>().ok().filter(|n| (COPIES_LEAST..=MAX_NODES as u32).contains(n));
                self.copies = Some(known.ok_or_else(invalid)?);
            }
            "ack" => {
                self.ack = match value {
                    "receipt" => Ack::Receipt,
                    "fsync" => Ack::Fsync,
                    _ => return Err(invalid()),
                }
            }
            "quorum-timeout" => self.quorum_timeout_ms = value.parse::<u32>().map_err(|_| invalid())?,
            "auth-user" => self.auth_user = text(),
            "auth-pass" => self.auth_pass = text(),
            "notification-script" => self.notification_script = text(),
            "client-reconfig-script" => self.client_reconfig_script = text(),
            "master-reboot-down-after-period" => {
                self.master_reboot_down_after_period_ms = value.parse::<u32>().map_err(|_| invalid())?.into()
            }
            _ => return Err(SettingError::Unknown(option.to_owned())),
        }
        Ok(())
    }

    /// The value as an event may show it: credentials never leave the registry.
    pub fn shown<'v>(option: &str, value: &'v str) -> &'v str {
        if option.eq_ignore_ascii_case("auth-pass") { "******" } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_settable_and_refuses_nonsense() {
        for option in DIRECTIVES {
            let good = match *option {
                "durability" => "quorum",
                "ack" => "fsync",
                _ => "7",
            };
            let mut settings = Settings::default();
            settings.set(option, good).expect(option);
            assert_ne!(settings, Settings::default(), "{option}");
        }
        for (option, value) in [
            ("quorum", "0"),
            ("parallel-syncs", "-1"),
            ("down-after-milliseconds", "x"),
            ("durability", "most"),
            ("copies", "1"),
            ("ack", "disk"),
            ("quorum-timeout", "-1"),
        ] {
            let before = Settings::default();
            let mut settings = before.clone();
            let refused = settings.set(option, value).expect_err(option);
            assert_eq!(refused.to_string(), format!("Invalid argument '{value}' for SENTINEL SET '{option}'"));
            assert_eq!(settings, before);
        }
        assert_eq!(
            Settings::default().set("colour", "red").expect_err("unknown").to_string(),
            "Unknown option or number of arguments for SENTINEL SET 'colour'"
        );
    }
}
