//! Directives of every process, in redis.conf syntax and YAML, from one table.
//!
//! [`ServerConfig`] is the data node's configuration: one field a directive, generated with its row from the table in
//! `table.rs`, so that files, the command line, YAML, CONFIG GET/SET/REWRITE and the samples cannot disagree.
//! [`SentinelConfig`] is a sentinel's, from YAML or sentinel.conf.
//!
//! Pure: texts come in, values go out. Whoever calls reads the files and passes their text (and, for `include`, a reader).
//! Nothing here applies a directive; [`Directive::apply`] only names what the process must do when one changes.

mod conf;
mod directive;
mod error;
mod rewrite;
mod sentinel;
mod sentinel_conf;
mod sentinel_yaml;
mod server;
mod split;
mod table;
mod value;
mod yaml;

pub use conf::Reader;
pub use directive::{Apply, Directive, Kind, Support, When};
pub use error::{ConfigError, SetError};
pub use sentinel::{Ack, AuthConfig, Durability, GroupConfig, Peer, SentinelConfig};
pub use server::Origin;
pub use split::{quote, split};
pub use table::{DIRECTIVES, ServerConfig};
pub use value::{
    AppendFsync, BufferLimit, BufferLimits, EventClasses, HostPort, LogLevel, MaxmemoryPolicy, OomScoreAdj,
    Percentiles, Permission, PropagationError, ReplDisklessLoad, SanitizeDump, SavePoint, SavePoints, ShutdownOptions,
    Supervised, Words,
};
