//! The names and numbers of the registry, each a type of its own: nothing here is a bare integer or string.
//!
//! Parsing is the only way in, so a value that exists is valid: a group's name is one word, a node's key has a port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused; `Display` is fit to be shown to an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A group's name must be one printable word, since it is a word of every event's payload.
    #[error("a group's name is 1 to {MAX_GROUP_NAME} printable characters without spaces")]
    Group,
    /// A node is named by its address.
    #[error("a node is named host:port, with a port from 1 to 65535")]
    Node,
    /// A stock node has none.
    #[error("a node's id is 40 hexadecimal digits")]
    NodeId,
}

/// The longest name of a group, in bytes; keeps an event on one line of a terminal.
pub const MAX_GROUP_NAME: usize = 128;

/// The name of a group: one word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

impl GroupName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if text.is_empty() || text.len() > MAX_GROUP_NAME || !word {
            return Err(NameError::Group);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for GroupName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> String {
        name.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest host name, in bytes. Source: RFC 1035, section 2.3.4.
pub const MAX_HOST: usize = 255;

/// A node's name everywhere: the address that clients use. Written `host:port`; an IPv6 address stands without brackets,
/// the last colon separates the port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeKey {
    host: String,
    port: u16,
}

impl NodeKey {
    /// Names the node at an address.
    pub fn new(host: &str, port: u16) -> Result<Self, NameError> {
        let word = host.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if host.is_empty() || host.len() > MAX_HOST || !word || port == 0 {
            return Err(NameError::Node);
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host name or IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The RESP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for NodeKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (host, port) = text.rsplit_once(':').ok_or(NameError::Node)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Self::new(host, port.parse().map_err(|_| NameError::Node)?)
    }
}

impl TryFrom<String> for NodeKey {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NodeKey> for String {
    fn from(key: NodeKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A data node's name for voting: it stands in the data directory, so a directory that was lost takes the name with it (I10).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let well_formed = text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        well_formed.then(|| Self(text.to_owned())).ok_or(NameError::NodeId)
    }
}

impl TryFrom<String> for NodeId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> String {
        id.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group's configuration number; each mastership has its own. 0: no mastership was ever committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0.checked_add(1).expect("2^64 masterships do not happen"))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a replication stream, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

/// A sentinel's number in Raft; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RaftId(pub u64);

/// Wall-clock time in milliseconds since 1970. It is shown to people and decides nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_key_reads_back_what_it_writes() {
        for text in ["127.0.0.1:7001", "db-1.example:1", "::1:65535"] {
            let key: NodeKey = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
        assert_eq!("[::1]:7001".parse::<NodeKey>().expect("brackets"), NodeKey::new("::1", 7001).expect("plain"));
        for bad in ["", "h", "h:", ":1", "h:0", "h:65536", "a b:1", "h\n:1"] {
            assert_eq!(bad.parse::<NodeKey>(), Err(NameError::Node), "{bad:?}");
        }
    }

    #[test]
    fn a_group_name_is_one_word() {
        assert!("main".parse::<GroupName>().is_ok());
        for bad in ["", "two words", "tab\t", "line\n", &"x".repeat(MAX_GROUP_NAME + 1)] {
            assert_eq!(bad.parse::<GroupName>(), Err(NameError::Group), "{bad:?}");
        }
    }
}
