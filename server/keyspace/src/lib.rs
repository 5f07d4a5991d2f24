//! Values, databases, expiry, snapshots: the sole owner of stored data.
