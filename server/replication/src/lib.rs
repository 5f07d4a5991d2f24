//! Replication identities, backlog, both ends of PSYNC: bytes and offsets, no keys.
