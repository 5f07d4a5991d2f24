//! The numbers and names of replication, each a type of its own.

use std::fmt;

/// The name of one history of writes: 40 characters, random when it is born.
/// Two datasets with the same id and offset hold the same data. Source: Redis, "Replication ID explained".
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplId([u8; 40]);

impl ReplId {
    /// The id made of 20 random bytes, as 40 hexadecimal digits.
    pub fn from_random(bits: [u8; 20]) -> ReplId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = [0; 40];
        for (pair, byte) in name.as_chunks_mut::<2>().0.iter_mut().zip(bits) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        ReplId(name)
    }

    /// Reads an id off the wire: exactly 40 ASCII letters or digits; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<ReplId> {
        let name: [u8; 40] = text.try_into().ok()?;
        name.iter().all(u8::is_ascii_alphanumeric).then_some(ReplId(name))
    }

    /// The 40 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII passes parse and from_random")
    }
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node's name, which it keeps in its data directory: 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 40]);

impl NodeId {
    /// Reads a name: exactly 40 hexadecimal digits; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<NodeId> {
        let name: [u8; 40] = text.try_into().ok()?;
        name.iter().all(u8::is_ascii_hexdigit).then_some(NodeId(name))
    }

    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII passes parse")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str()[..8])
    }
}

/// How many bytes of the stream: written by a master, applied by a replica.
/// On the wire PSYNC names the *next* byte wanted, counted from 1: see [`Offset::next_on_wire`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset after `bytes` more.
    #[must_use]
    pub fn plus(self, bytes: usize) -> Offset {
        Offset(self.0 + bytes as u64)
    }

    /// Bytes from `earlier` to here; zero if `earlier` is not earlier.
    pub fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// What PSYNC asks for by whoever holds this much: the number of the next byte, counted from 1.
    pub fn next_on_wire(self) -> u64 {
        self.0 + 1
    }

    /// The other direction: what is held by whoever asks for byte `next`.
    pub fn from_next_on_wire(next: u64) -> Option<Offset> {
        next.checked_sub(1).map(Offset)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A group's configuration number. Each mastership has its own (I1); 0 is "never assigned".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a node listens. The host is kept as it was written: a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// RESP port.
    pub port: u16,
}

impl Address {
    /// The address of `host` and `port`.
    pub fn new(host: impl Into<String>, port: u16) -> Address {
        Address { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replid_is_forty_letters_or_digits() {
        let id = ReplId::from_random([0xab; 20]);
        assert_eq!(id.as_str(), "ab".repeat(20));
        assert_eq!(ReplId::parse(id.as_str().as_bytes()), Some(id));
        assert_eq!(ReplId::parse(b"?"), None);
        assert_eq!(ReplId::parse(&[b' '; 40]), None);
        assert_eq!(ReplId::parse(&[b'a'; 41]), None);
    }

    #[test]
    fn a_node_id_is_forty_hexadecimal_digits() {
        let id = NodeId::parse(&[b'a'; 40]).expect("hexadecimal");
        assert_eq!(id.to_string(), "a".repeat(40));
        assert_eq!(NodeId::parse(&[b'g'; 40]), None);
        assert_eq!(NodeId::parse(&[b'a'; 39]), None);
    }

    #[test]
    fn the_wire_counts_from_one() {
        assert_eq!(Offset(0).next_on_wire(), 1);
        assert_eq!(Offset::from_next_on_wire(1), Some(Offset(0)));
        assert_eq!(Offset::from_next_on_wire(0), None);
    }
}
