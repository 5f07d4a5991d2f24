//! Why a command was refused. `Display` is the exact line that the client sees, without its leading `-`. Source: Redis 7.0's replies.

use std::borrow::Cow;

use quorate_keyspace::{NoSuchDb, WrongType};

/// A refused command. A text that only one command says is written where it is said, with `Refusal::err("…")`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// Too few or too many arguments; the command's full name (`client|list`).
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    /// Arguments that do not fit together.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument or value is no 64-bit integer.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// An argument or value is no floating point number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// An argument is out of its bounds.
    #[error("ERR value is out of range")]
    OutOfRange,
    /// An argument must be positive.
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    /// A minimum or maximum is no floating point number.
    #[error("ERR min or max is not a float")]
    NotRange,
    /// An index outside of the value.
    #[error("ERR index out of range")]
    Index,
    /// There is no such key.
    #[error("ERR no such key")]
    NoSuchKey,
    /// The sum does not fit.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The sum is no number.
    #[error("ERR increment would produce NaN or Infinity")]
    NotANumber,
    /// SETRANGE and APPEND beyond proto-max-bulk-len.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLong,
    /// `DB index is out of range`
    #[error("ERR DB index is out of range")]
    NoSuchDb,
    /// An expiry that is no time: the command's name.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// Nobody knows this command.
    #[error("ERR unknown command '{0}', with args beginning with: {1}")]
    UnknownCommand(String, String),
    /// A container does not know this subcommand.
    #[error("ERR unknown subcommand '{0}'. Try {1} HELP.")]
    UnknownSubcommand(String, String),
    /// A container that reads its subcommands itself does not know this one, or not with so many arguments.
    #[error("ERR unknown subcommand or wrong number of arguments for '{0}'. Try {1} HELP.")]
    SubcommandSyntax(String, &'static str),
    /// `requirepass` is set and the session has not authenticated.
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// A wrong password or user.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    /// A command that MULTI does not allow.
    #[error("ERR Command not allowed inside a transaction")]
    NotInMulti,
    /// Above maxmemory, and nothing may be evicted.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// The last snapshot failed and stop-writes-on-bgsave-error is on.
    #[error(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."
    )]
    SnapshotFailing,
    /// The AOF cannot be written; the operating system's text.
    #[error("MISCONF Errors writing to the AOF file: {0}")]
    AofFailing(String),
    /// Fewer than min-replicas-to-write replicas are in step.
    #[error("NOREPLICAS Not enough good replicas to write.")]
    NoReplicas,
    /// An async master without a lease that some member does not acknowledge (I13).
    #[error(
        "NOREPLICAS No sentinel has renewed the lease and not every member acknowledges: another master may have been made."
    )]
    CutOff,
    /// A write said to a replica.
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnly,
    /// A RESP2 session with subscriptions may say only a few commands; this one's full name.
    #[error(
        "ERR Can't execute '{0}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )]
    Subscribed(String),
    /// A replica without its master, replica-serve-stale-data no.
    #[error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")]
    MasterDown,
    /// A read said to a node of a group that serves no epoch (I6).
    #[error("MASTERDOWN This node has not been told what it is in its group, and serves no reads until then.")]
    Fenced,
    /// The dataset is being loaded.
    #[error("LOADING Redis is loading the dataset in memory")]
    Loading,
    /// DEBUG and its like are switched off.
    #[error(
        "ERR {0} command not allowed. If the {1} option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
    )]
    Protected(&'static str, &'static str),
    /// EXEC of a transaction that a refused command spoilt.
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAbort,
    /// CLIENT UNBLOCK … ERROR.
    #[error("UNBLOCKED client unblocked via CLIENT UNBLOCK")]
    Unblocked,
    /// A role change or a full resync ended the wait.
    #[error("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)")]
    RoleChanged,
    /// Any other text, its code included.
    #[error("{0}")]
    Text(Cow<'static, str>),
}

impl Refusal {
    /// `ERR text`
    #[must_use]
    pub fn err(text: impl std::fmt::Display) -> Refusal {
        Refusal::Text(Cow::Owned(format!("ERR {text}")))
    }

    /// A fixed text with its code.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Refusal {
        Refusal::Text(Cow::Borrowed(text))
    }
}

impl From<WrongType> for Refusal {
    fn from(_: WrongType) -> Refusal {
        Refusal::WrongType
    }
}

impl From<NoSuchDb> for Refusal {
    fn from(_: NoSuchDb) -> Refusal {
        Refusal::NoSuchDb
    }
}
