//! RESP2 and RESP3, pure: what a server reads (`Requests`), what it writes (`Writer`), and what a client or a test reads
//! back (`Value`). Nothing here knows a command.
//!
//! Invariant: no byte that a peer sends can panic or make this room allocate more than the peer has sent.

#![warn(missing_docs)]

mod number;
mod request;
mod value;
mod write;

pub use number::{double_text, parse_int};
pub use request::{Arguments, Limits, Partial, ProtocolError, Requests, split_line};
pub use value::{DecodeError, Value};
pub use write::{Deferred, Protocol, Writer, encode_command};
