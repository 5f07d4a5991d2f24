//! Raft without I/O: inputs in, Persist/Send/Apply out.
