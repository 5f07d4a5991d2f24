//! A local group's folder: its lock, its layout, and the configuration of each process.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::LocalError;

/// What the group promises about acknowledged writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Redis's own semantics: the master alone acknowledges a write.
    #[default]
    Async,
    /// A write is acknowledged once a majority holds it: no failover loses it.
    Quorum,
}

impl Durability {
    /// The value as it is written in configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Async => "async",
            Durability::Quorum => "quorum",
        }
    }
}

/// The shape of a local group; `group.json` in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The group's name.
    pub name: String,
    /// Data nodes: one master, the rest replicas.
    pub nodes: u16,
    /// Sentinels.
    pub sentinels: u16,
    /// RESP port of the first node; the next ones follow. An agent listens 1000 above its node.
    pub port: u16,
    /// RESP port of the first sentinel; the next ones follow. gRPC and HTTP listen 1000 above.
    pub sentinel_port: u16,
    /// What the group promises.
    pub durability: Durability,
    /// Silence after which a node is suspected, in milliseconds.
    pub down_after_ms: u64,
    /// Nodes listen on 127.0.0.2 and are known as 127.0.0.1, where something that can cut their network forwards to them.
    pub behind_proxy: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            name: "main".into(),
            nodes: 3,
            sentinels: 3,
            port: 7001,
            sentinel_port: 26379,
            durability: Durability::Async,
            down_after_ms: 1000,
            behind_proxy: false,
        }
    }
}

impl Layout {
    /// The layout that the folder holds, if it holds one.
    pub fn load(dir: &Path) -> Result<Option<Self>, LocalError> {
        let path = dir.join("group.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // A folder that cannot be is for the lock to complain about.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(LocalError::BadLayout { path, reason: error.to_string() }),
        };
        match serde_json::from_str(&text) {
            Ok(layout) => Ok(Some(layout)),
            Err(error) => Err(LocalError::BadLayout { path, reason: error.to_string() }),
        }
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), LocalError> {
        let text = serde_json::to_string_pretty(self).expect("a layout is plain data");
        write_if_absent(&dir.join("group.json"), &(text + "\n"))
    }

    /// Where clients, sentinels and replicas reach the nodes.
    pub fn node_addresses(&self) -> Vec<String> {
        (0..self.nodes).map(|index| format!("127.0.0.1:{}", self.port + index)).collect()
    }

    /// The sentinels' RESP addresses.
    pub fn sentinel_addresses(&self) -> Vec<String> {
        (0..self.sentinels).map(|index| format!("127.0.0.1:{}", self.sentinel_port + index)).collect()
    }

    /// The sentinels' gRPC and HTTP addresses.
    pub fn api_addresses(&self) -> Vec<String> {
        (0..self.sentinels).map(|index| format!("127.0.0.1:{}", self.sentinel_port + 1000 + index)).collect()
    }

    /// The address that a node listens on.
    pub(super) fn node_bind(&self, _index: u16) -> Ipv4Addr {
        if self.behind_proxy { Ipv4Addr::new(127, 0, 0, 2) } else { Ipv4Addr::LOCALHOST }
    }

    pub(super) fn node_config(&self, index: u16) -> String {
        let announce = match self.behind_proxy {
            true => "replica-announce-ip 127.0.0.1\n",
            false => "",
        };
        format!(
            "# A data node of a local group. Written once by quorate; yours to change.\n\
             port {port}\nbind {bind}\n{announce}dir .\ngroup {group}\nappendonly yes\nappendfsync everysec\n",
            port = self.port + index,
            bind = self.node_bind(index),
            group = self.name,
        )
    }

    pub(super) fn sentinel_config(&self, index: u16) -> String {
        format!(
            "# A sentinel of a local group. Written once by quorate; yours to change.\n\
             port: {port}\nbind: 127.0.0.1\ndir: .\npeers: [{peers}]\ngroups:\n  - name: {group}\n    nodes: [{nodes}]\n    \
             down-after-milliseconds: {down_after}\n    durability: {durability}\n",
            port = self.sentinel_port + index,
            peers = self.api_addresses().join(", "),
            group = self.name,
            nodes = self.node_addresses().join(", "),
            down_after = self.down_after_ms,
            durability = self.durability.as_str(),
        )
    }
}

/// Creates the folder and takes its lock, which falls with the process. The file's text is the holder's process id.
pub(super) fn lock(dir: &Path) -> Result<File, LocalError> {
    let fault = |error| LocalError::Folder { path: dir.to_owned(), error };
    fs::create_dir_all(dir).map_err(fault)?;
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("lock"));
    let mut file = options.map_err(fault)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let read = file.read_to_string(&mut holder);
        let holder = if read.is_ok() && !holder.trim().is_empty() { holder.trim() } else { "unknown" };
        return Err(LocalError::Locked { path: dir.to_owned(), holder: holder.to_owned() });
    }
    file.set_len(0).map_err(fault)?;
    writeln!(file, "{}", std::process::id()).map_err(fault)?;
    Ok(file)
}

pub(super) fn write_if_absent(path: &Path, text: &str) -> Result<(), LocalError> {
    let fault = |error| LocalError::Folder { path: path.to_owned(), error };
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(fault)?;
    }
    fs::write(path, text).map_err(fault)
}
