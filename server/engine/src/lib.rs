//! The data node's mind: commands, sessions and the turn. No I/O.
