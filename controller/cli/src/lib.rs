//! The `quorate` command line.
