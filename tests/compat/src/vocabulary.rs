//! What is said to both sides. Every command of the table stands here, in a template or among those left out: a new one fails the
//! test until it does.

use crate::verdict::Order;

/// Templates (see `grammar.rs`) and how their replies are compared.
pub const SPOKEN: &[(Order, &[&str])] = &[
    (
        Order::Exact,
        &[
            // Strings.
            "append STR VALUE",
            "decr STR",
            "decrby STR INT",
            "get STR",
            "getdel STR",
            "getex STR [ persist | ex SECONDS | px MILLIS | exat INSTANT | pxat INSTANTMS ]",
            "getrange STR INDEX INDEX",
            "getset STR VALUE",
            "incr STR",
            "incrby STR INT",
            "incrbyfloat STR FLOAT",
            "lcs STR STR [ len ] [ idx ] [ minmatchlen COUNT ] [ withmatchlen ]",
            "mget { ANY }",
            "mset { STR VALUE }",
            "msetnx { STR VALUE }",
            "psetex STR MILLIS VALUE",
            "set STR VALUE [ nx | xx ] [ get ] [ ex SECONDS | px MILLIS | exat INSTANT | pxat INSTANTMS | keepttl ]",
            "set STR VALUE",
            "setex STR SECONDS VALUE",
            "setnx STR VALUE",
            "setrange STR COUNT VALUE",
            "strlen STR",
            "substr STR INDEX INDEX",
            // Lists.
            "lindex LIST INDEX",
            "linsert LIST ( before | after ) MEMBER VALUE",
            "llen LIST",
            "lmove LIST LIST ( left | right ) ( left | right )",
            "lmpop ( 1 LIST | 2 LIST LIST ) ( left | right ) [ count COUNT ]",
            "lpop LIST [ COUNT ]",
            "lpos LIST MEMBER [ rank INDEX ] [ count COUNT ] [ maxlen COUNT ]",
            "lpush LIST { MEMBER }",
            "lpushx LIST { MEMBER }",
            "lrange LIST INDEX INDEX",
            "lrem LIST INDEX MEMBER",
            "lset LIST INDEX VALUE",
            "ltrim LIST INDEX INDEX",
            "rpop LIST [ COUNT ]",
            "rpoplpush LIST LIST",
            "rpush LIST { MEMBER }",
            "rpush LIST { MEMBER }",
            "rpushx LIST { MEMBER }",
            // Sets.
            "sadd SET { MEMBER }",
            "sadd SET { INT }",
            "scard SET",
            "sdiffstore SET { SET }",
            "sintercard ( 1 SET | 2 SET SET ) [ limit COUNT ]",
            "sinterstore SET { SET }",
            "sismember SET MEMBER",
            "smismember SET { MEMBER }",
            "smove SET SET MEMBER",
            "srem SET { MEMBER }",
            "sunionstore SET { SET }",
            // Hashes.
            "hdel HASH { MEMBER }",
            "hexists HASH MEMBER",
            "hget HASH MEMBER",
            "hincrby HASH MEMBER INT",
            "hincrbyfloat HASH MEMBER FLOAT",
            "hlen HASH",
            "hmget HASH { MEMBER }",
            "hmset HASH { MEMBER VALUE }",
            "hset HASH { MEMBER VALUE }",
            "hset HASH { MEMBER VALUE }",
            "hsetnx HASH MEMBER VALUE",
            "hstrlen HASH MEMBER",
            // Sorted sets.
            "zadd ZSET [ nx | xx ] [ gt | lt ] [ ch ] { SCORE MEMBER }",
            "zadd ZSET [ nx | xx | gt | lt ] incr SCORE MEMBER",
            "zadd ZSET { SCORE MEMBER }",
            "zadd LEX 0 MEMBER 0 MEMBER",
            "zcard ZSET",
            "zcount ZSET BOUND BOUND",
            "zdiff ( 1 ZSET | 2 ZSET ZSET | 2 ZSET SET ) [ withscores ]",
            "zdiffstore ZSET ( 1 ZSET | 2 ZSET ZSET )",
            "zincrby ZSET SCORE MEMBER",
            "zinter ( 1 ZSET | 2 ZSET ZSET weights SCORE SCORE | 2 SET ZSET ) [ aggregate ( sum | min | max ) ] [ withscores ]",
            "zintercard ( 1 ZSET | 2 ZSET ZSET ) [ limit COUNT ]",
            "zinterstore ZSET ( 1 ZSET | 2 ZSET ZSET | 2 SET ZSET ) [ aggregate ( sum | min | max ) ]",
            "zlexcount LEX LEXBOUND LEXBOUND",
            "zmpop ( 1 ZSET | 2 ZSET ZSET ) ( min | max ) [ count COUNT ]",
            "zmscore ZSET { MEMBER }",
            "zpopmax ZSET [ COUNT ]",
            "zpopmin ZSET [ COUNT ]",
            "zrange LEX LEXBOUND LEXBOUND bylex [ rev ] [ limit INDEX INDEX ]",
            "zrange ZSET BOUND BOUND byscore [ rev ] [ limit INDEX INDEX ] [ withscores ]",
            "zrange ZSET INDEX INDEX [ rev ] [ withscores ]",
            "zrangebylex LEX LEXBOUND LEXBOUND [ limit INDEX INDEX ]",
            "zrangebyscore ZSET BOUND BOUND [ withscores ] [ limit INDEX INDEX ]",
            "zrangestore ZSET ZSET ( INDEX INDEX | BOUND BOUND byscore [ limit INDEX INDEX ] ) [ rev ]",
            "zrank ZSET MEMBER",
            "zrem ZSET { MEMBER }",
            "zremrangebylex LEX LEXBOUND LEXBOUND",
            "zremrangebyrank ZSET INDEX INDEX",
            "zremrangebyscore ZSET BOUND BOUND",
            "zrevrange ZSET INDEX INDEX [ withscores ]",
            "zrevrangebylex LEX LEXBOUND LEXBOUND [ limit INDEX INDEX ]",
            "zrevrangebyscore ZSET BOUND BOUND [ withscores ] [ limit INDEX INDEX ]",
            "zrevrank ZSET MEMBER",
            "zscore ZSET MEMBER",
            "zunion ( 1 ZSET | 2 ZSET ZSET weights SCORE SCORE | 2 SET ZSET ) [ aggregate ( sum | min | max ) ] [ withscores ]",
            "zunionstore ZSET ( 1 ZSET | 2 ZSET ZSET weights SCORE SCORE | 2 SET ZSET ) [ aggregate ( sum | min | max ) ]",
            // Keys of any type.
            "copy ANY ANY [ db BIT ] [ replace ]",
            "dbsize",
            "del { ANY }",
            "del LEX",
            "exists { ANY }",
            "expire ANY ( SECONDS | -1 | 0 ) [ nx | xx | gt | lt ]",
            "expireat ANY ( INSTANT | 1 ) [ nx | xx | gt | lt ]",
            "move ANY BIT",
            "object encoding ANY",
            "object encoding ANY",
            "object freq ANY",
            "object idletime nosuch",
            "object refcount LIST",
            "persist ANY",
            "pexpire ANY MILLIS [ nx | xx | gt | lt ]",
            "pexpireat ANY INSTANTMS [ nx | xx | gt | lt ]",
            "rename ANY ANY",
            "renamenx ANY ANY",
            "restore ANY COUNT VALUE [ replace ]",
            "sort SORTABLE [ limit INDEX INDEX ] [ get # | get str:* ] [ asc | desc ] [ alpha ]",
            "sort SORTABLE by nosuch:* [ limit INDEX INDEX ] [ get # | get str:* ] [ asc | desc ]",
            "sort SEQUENCE by nosort [ limit INDEX INDEX ] [ desc ]",
            "sort SORTABLE [ limit INDEX INDEX ] [ asc | desc ] [ alpha ] store LIST",
            "sort SORTABLE by nosort store LIST",
            "sort_ro SORTABLE [ limit INDEX INDEX ] [ desc ]",
            "touch { ANY }",
            "type ANY",
            "unlink { ANY }",
            // The rest.
            "command getkeys get STR",
            "command getkeys zunionstore ZSET ( 1 ZSET | 2 ZSET ZSET )",
            "echo VALUE",
            "flushall [ async | sync ]",
            "ping [ VALUE ]",
            "select BIT",
            "swapdb BIT BIT",
            "unwatch",
            "nosuchcommand VALUE { MEMBER }",
        ],
    ),
    (
        Order::Any,
        &[
            "keys PATTERN",
            "hkeys HASH",
            "hvals HASH",
            "sdiff { SET }",
            "sinter { SET }",
            "smembers SET",
            "spop SET 1000",
            "sunion { SET }",
        ],
    ),
    (Order::AnyPairs, &["hgetall HASH"]),
    (
        Order::AnyPage,
        &[
            "scan 0 [ match PATTERN ] count 1000 [ type ( string | list | set | hash | zset ) ]",
            "sscan SET 0 [ match PATTERN ] count 1000",
        ],
    ),
    (Order::AnyPagePairs, &["hscan HASH 0 [ match PATTERN ] count 1000", "zscan ZSET 0 [ match PATTERN ] count 1000"]),
    (
        Order::Shape,
        &[
            "hrandfield HASH [ INDEX [ withvalues ] ]",
            "randomkey",
            "srandmember SET [ INDEX ]",
            "time",
            "zrandmember ZSET [ INDEX [ withscores ] ]",
        ],
    ),
    (Order::Near(5), &["expiretime ANY", "ttl ANY"]),
    (Order::Near(5000), &["pexpiretime ANY", "pttl ANY"]),
];

/// Does the outcome depend on dice, or on how a hash table lies in memory? Such a command is not said: a SPOP that leaves
/// something, a scan that begins anywhere but at 0.
#[must_use]
pub fn is_gamble(argv: &[Vec<u8>]) -> bool {
    let word = |at: usize, text: &[u8]| argv.get(at).is_some_and(|word| word == text);
    match &argv[0].to_ascii_lowercase()[..] {
        b"spop" => !word(2, b"1000"),
        b"scan" => !word(1, b"0"),
        b"hscan" | b"sscan" | b"zscan" => !word(2, b"0"),
        _ => false,
    }
}

/// Said inside MULTI alone, where nobody waits.
pub const WAITING: &[&str] = &[
    "blmove LIST LIST ( left | right ) ( left | right ) COUNT",
    "blmpop COUNT ( 1 LIST | 2 LIST LIST ) ( left | right ) [ count COUNT ]",
    "blpop { LIST } COUNT",
    "brpop { LIST } COUNT",
    "brpoplpush LIST LIST COUNT",
    "bzmpop COUNT ( 1 ZSET | 2 ZSET ZSET ) ( min | max ) [ count COUNT ]",
    "bzpopmax { ZSET } COUNT",
    "bzpopmin { ZSET } COUNT",
];

/// Commands that frame others; `tests/differential.rs` says them.
pub const FRAMES: &[&str] = &["discard", "exec", "hello", "multi", "watch"];

/// Commands that are not compared, and why.
pub const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "tells of this very process or machine",
        &["client", "config", "debug", "info", "latency", "lolwut", "memory", "slowlog"],
    ),
    ("needs a second connection; scenarios in the engine's tests", &["monitor", "publish", "pubsub", "spublish"]),
    (
        "changes what a connection may say; scenarios in the engine's tests",
        &[
            "auth",
            "psubscribe",
            "punsubscribe",
            "quit",
            "reset",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "unsubscribe",
        ],
    ),
    (
        "replication; tests of the node and drills",
        &["failover", "psync", "replconf", "replicaof", "role", "slaveof", "sync", "wait", "waitaof"],
    ),
    ("disk; tests of persist and of the node", &["bgrewriteaof", "bgsave", "dump", "lastsave", "save", "shutdown"]),
    ("there are no functions to tell of; the engine's tests", &["function"]),
    ("FLUSHALL stands for it", &["flushdb"]),
];

/// Commands whose COMMAND INFO differs, and why.
pub const DESCRIBED_OTHERWISE: &[(&str, &[&str])] = &[
    (
        "what all subcommands have in common stands in the container's row, too",
        &["client", "config", "function", "latency", "memory", "object", "pubsub", "slowlog"],
    ),
    (
        "nothing runs while a dataset is loaded asynchronously: there is no such mode",
        &["bgrewriteaof", "bgsave", "psync", "replicaof", "save", "slaveof", "sync"],
    ),
    ("runs at any time", &["ping"]),
    ("flags that Redis does not show", &["debug", "publish", "spublish"]),
    ("a shard channel is no key here", &["spublish", "ssubscribe", "sunsubscribe"]),
    (
        "categories follow from the flags and the group",
        &[
            "command|count",
            "command|docs",
            "command|getkeys",
            "command|getkeysandflags",
            "command|help",
            "command|info",
            "command|list",
            "lastsave",
            "role",
            "sort",
            "sort_ro",
        ],
    ),
    (
        "a subcommand carries its container's flags",
        &["client|help", "config|help", "latency|history", "latency|latest", "latency|reset", "pubsub|help"],
    ),
    ("WITHSCORE is new in Redis 7.2", &["zrank", "zrevrank"]),
];
