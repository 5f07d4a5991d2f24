//! One row of the command table. COMMAND INFO/DOCS/GETKEYS, the gates, ACL categories and statistics are derived from rows.

use crate::{Call, Refusal, Reply};

/// What a command's function looks like. The arity has been checked when it runs.
pub type Run = fn(&mut Call<'_>) -> Result<Reply, Refusal>;

/// A command, or a subcommand of one.
///
/// Rows of a family share `..Command::of(Group::Hash)` for the fields that they do not name.
pub struct Command {
    /// Lower case; a subcommand's own word (`list` of `client list`).
    pub name: &'static str,
    /// How many arguments, the command's name (and its subcommand's) included.
    pub arity: Arity,
    /// What it does to whom: drives the gates.
    pub flags: Flags,
    /// Which arguments are keys.
    pub keys: Keys,
    /// ACL categories beyond those that flags and group imply.
    pub categories: Categories,
    /// The family.
    pub group: Group,
    /// Version of Redis that introduced it.
    pub since: &'static str,
    /// One sentence, for COMMAND DOCS.
    pub summary: &'static str,
    /// Time complexity, for COMMAND DOCS.
    pub complexity: &'static str,
    /// Its function. A container of subcommands never runs itself: leave it out.
    pub run: Run,
    /// Its subcommands' rows; arity and argv count from the container's name.
    pub subcommands: &'static [Command],
}

impl Command {
    /// A row with nothing but its group, to be completed with struct update syntax.
    #[must_use]
    pub const fn of(group: Group) -> Command {
        Command {
            name: "",
            arity: Arity::AtLeast(1),
            flags: Flags::NONE,
            keys: Keys::None,
            categories: Categories::NONE,
            group,
            since: "1.0.0",
            summary: "",
            complexity: "O(1)",
            run: container,
            subcommands: &[],
        }
    }
}

fn container(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    unreachable!("dispatch picks a subcommand's row, never its container's")
}

/// Number of arguments, the command's own name included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly so many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
}

impl Arity {
    /// Whether a command of `count` arguments fits.
    #[must_use]
    pub const fn fits(self, count: usize) -> bool {
        match self {
            Arity::Exactly(n) => count == n,
            Arity::AtLeast(n) => count >= n,
        }
    }

    /// As COMMAND INFO says it: negative for "at least".
    #[must_use]
    pub const fn as_int(self) -> i64 {
        match self {
            Arity::Exactly(n) => n as i64,
            Arity::AtLeast(n) => -(n as i64),
        }
    }
}

/// A set of command flags. Combine with `|` outside of constants and `.with()` inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub(crate) u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*
            /// Every flag that COMMAND INFO shows, with its name there.
            pub(crate) const NAMED: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text)),*];
        }
    };
}

flags! {
    /// May change data: refused on replicas, stopped by CLIENT PAUSE WRITE, propagated when it changed something.
    WRITE = 0, "write";
    /// Reads keys and changes none.
    READONLY = 1, "readonly";
    /// May need memory: refused above maxmemory.
    DENYOOM = 2, "denyoom";
    /// For operators.
    ADMIN = 3, "admin";
    /// Publish/subscribe.
    PUBSUB = 4, "pubsub";
    /// Not from scripts.
    NOSCRIPT = 5, "noscript";
    /// May block its session.
    BLOCKING = 6, "blocking";
    /// Runs while a dataset is loaded.
    LOADING = 7, "loading";
    /// Runs on a replica whose link is down and that serves no stale data.
    STALE = 8, "stale";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Not recorded by SLOWLOG.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Constant or logarithmic time.
    FAST = 11, "fast";
    /// Runs before authentication.
    NO_AUTH = 12, "no_auth";
    /// Changes nothing itself but may be propagated (PUBLISH).
    MAY_REPLICATE = 13, "may_replicate";
    /// Not inside MULTI.
    NO_MULTI = 14, "no_multi";
    /// Keys at places that its row cannot name in general.
    MOVABLE_KEYS = 15, "movablekeys";
    /// Runs while a script blocks the server.
    ALLOW_BUSY = 16, "allow_busy";
    /// Needs `enable-debug-command` or the like.
    PROTECTED = 17, "protected";
}

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// A write of constant time that needs no memory (DEL-like): `WRITE | FAST`.
    pub const WRITE_FAST: Flags = Flags::WRITE.with(Flags::FAST);
    /// A write that may need memory: `WRITE | DENYOOM`.
    pub const WRITE_OOM: Flags = Flags::WRITE.with(Flags::DENYOOM);
    /// A fast write that may need memory: `WRITE | DENYOOM | FAST`.
    pub const WRITE_OOM_FAST: Flags = Flags::WRITE_OOM.with(Flags::FAST);
    /// A read of constant time: `READONLY | FAST`.
    pub const READ_FAST: Flags = Flags::READONLY.with(Flags::FAST);
    /// What commands about the connection or the server have in common: `LOADING | STALE`.
    pub const ANYTIME: Flags = Flags::LOADING.with(Flags::STALE);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// What EXEC inherits from a queued command: whatever concerns the dataset.
    pub(crate) const fn inherited(self) -> Flags {
        Flags(self.0 & (Flags::WRITE.0 | Flags::DENYOOM.0 | Flags::MAY_REPLICATE.0))
    }

    /// This set without those of `some` that `other` lacks.
    pub(crate) const fn without_what_lacks(self, other: Flags, some: Flags) -> Flags {
        Flags(self.0 & !(some.0 & !other.0))
    }

    /// Whether any of `other` is in this set.
    #[must_use]
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        self.with(other)
    }
}

/// Which arguments are keys. Positions count from the command's name at 0.
#[derive(Clone, Copy)]
pub enum Keys {
    /// None.
    None,
    /// The first argument.
    First,
    /// Every argument.
    All,
    /// From `first` to `last` in steps; a negative `last` counts from the end (-1: the last argument).
    Range {
        /// The first key.
        first: usize,
        /// The last key.
        last: isize,
        /// Distance from one key to the next.
        step: usize,
    },
    /// A number of keys at argument `count`, the keys behind it (EVAL, ZUNION, LMPOP).
    Counted {
        /// Position of the number of keys.
        count: usize,
    },
    /// A destination at 1 and counted keys (ZUNIONSTORE).
    StoreCounted {
        /// Position of the number of keys.
        count: usize,
    },
    /// Anything else: tells the positions (SORT, MIGRATE). Such a row also has `Flags::MOVABLE_KEYS`.
    Custom(fn(&[&[u8]]) -> Vec<usize>),
}

impl Keys {
    /// The positions of the keys in `argv`; those that a wrong number of keys would place beyond its end are left out.
    #[must_use]
    pub fn positions(self, argv: &[&[u8]]) -> Vec<usize> {
        let len = argv.len();
        match self {
            Keys::None => Vec::new(),
            Keys::First => (1..len.min(2)).collect(),
            Keys::All => (1..len).collect(),
            Keys::Range { first, last, step } => {
                let end = if last < 0 { len.saturating_add_signed(last + 1) } else { len.min(last as usize + 1) };
                (first..end).step_by(step).collect()
            }
            Keys::Counted { count } => counted(argv, count),
            Keys::StoreCounted { count } => {
                let mut positions: Vec<usize> = (1..len.min(2)).collect();
                positions.extend(counted(argv, count));
                positions
            }
            Keys::Custom(find) => find(argv),
        }
    }

    /// Whether `argv` holds as many keys as it says.
    #[must_use]
    pub fn fits(self, argv: &[&[u8]]) -> bool {
        match self {
            Keys::Counted { count } | Keys::StoreCounted { count } => {
                let number = argv.get(count).and_then(|text| quorate_resp::parse_int(text));
                let number = number.and_then(|number| usize::try_from(number).ok());
                number.is_some_and(|number| number > 0 && number < argv.len() - count)
            }
            _ => true,
        }
    }

    /// First key, last key and step, as the first fields of COMMAND INFO give them; zeros where they are not fixed.
    #[must_use]
    pub const fn fixed(self) -> (i64, i64, i64) {
        match self {
            Keys::First => (1, 1, 1),
            Keys::All => (1, -1, 1),
            Keys::Range { first, last, step } => (first as i64, last as i64, step as i64),
            Keys::StoreCounted { .. } => (1, 1, 1),
            Keys::None | Keys::Counted { .. } | Keys::Custom(_) => (0, 0, 0),
        }
    }
}

fn counted(argv: &[&[u8]], count: usize) -> Vec<usize> {
    let number = argv.get(count).and_then(|text| quorate_resp::parse_int(text)).unwrap_or(0);
    let number = usize::try_from(number).unwrap_or(0);
    (count + 1..argv.len()).take(number).collect()
}

/// ACL categories that neither flags nor group imply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Categories(u8);

impl Categories {
    /// None.
    pub const NONE: Categories = Categories(0);
    /// `@dangerous`, beyond what `ADMIN` implies (KEYS, FLUSHALL).
    pub const DANGEROUS: Categories = Categories(1);
    /// `@keyspace` though the group is another.
    pub const KEYSPACE: Categories = Categories(2);
    /// `@connection` though the group is another.
    pub const CONNECTION: Categories = Categories(4);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Categories) -> Categories {
        Categories(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Categories) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A family, with Redis's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Strings.
    String,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Keys of any type.
    Generic,
    /// The connection itself.
    Connection,
    /// The server.
    Server,
    /// MULTI and its friends.
    Transactions,
    /// Publish/subscribe.
    Pubsub,
    /// Replication.
    Replication,
    /// Scripts and functions.
    Scripting,
}

impl Group {
    /// As COMMAND DOCS names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Hash => "hash",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Generic => "generic",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
            Group::Pubsub => "pubsub",
            Group::Replication => "server",
            Group::Scripting => "scripting",
        }
    }

    /// Its ACL category.
    #[must_use]
    pub const fn category(self) -> Option<&'static str> {
        match self {
            Group::String => Some("string"),
            Group::Hash => Some("hash"),
            Group::List => Some("list"),
            Group::Set => Some("set"),
            Group::SortedSet => Some("sortedset"),
            Group::Generic => Some("keyspace"),
            Group::Connection => Some("connection"),
            Group::Transactions => Some("transaction"),
            Group::Pubsub => Some("pubsub"),
            Group::Scripting => Some("scripting"),
            Group::Server | Group::Replication => None,
        }
    }
}
