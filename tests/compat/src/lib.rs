//! Do we answer as Redis answers? Random commands are said to a stock `redis-server` and to an engine in this process, and the replies
//! must be the same bytes.
//!
//! * `vocabulary.rs`: what may be said, one line a command, and which commands are left out, with the reason;
//! * `grammar.rs`: how a line becomes a command;
//! * `sides.rs`: the two that are spoken to;
//! * `verdict.rs`: when two replies are as good as equal, and the differences that we know and keep.

pub mod grammar;
pub mod sides;
pub mod verdict;
pub mod vocabulary;
