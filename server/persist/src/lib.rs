//! RDB and AOF formats over `io::Read` and `io::Write`.
