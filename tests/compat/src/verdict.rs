//! When two replies are as good as equal.

use quorate_resp::Value;

use crate::sides::Heard;

/// How a command's replies are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Byte for byte.
    Exact,
    /// Elements in any order.
    Any,
    /// Pairs in any order, as a map or flat.
    AnyPairs,
    /// A cursor, and elements in any order.
    AnyPage,
    /// A cursor, and flat pairs in any order.
    AnyPagePairs,
    /// The same kinds and lengths: the elements are drawn at random.
    Shape,
    /// Two integers are times, and may differ by so much: a loaded machine's pause.
    Near(u64),
}

/// A difference that we know and keep.
pub struct Difference {
    /// Which commands.
    pub commands: &'static [&'static str],
    /// Is it this one? Gets the command's words, Redis's reply and ours.
    pub is: fn(&[Vec<u8>], &Value, &Value) -> bool,
    /// Why it is kept.
    pub why: &'static str,
}

/// Every known difference from Redis 7.0.
pub const KNOWN: &[Difference] = &[
    Difference {
        commands: &["object"],
        is: |_, theirs, ours| says(theirs, "hashtable") && says(ours, "listpack"),
        why: "a small set is a listpack since Redis 7.2",
    },
    Difference {
        commands: &["object"],
        is: |_, theirs, ours| says(theirs, "quicklist") && says(ours, "listpack"),
        why: "a small list is a listpack since Redis 7.2",
    },
    Difference {
        commands: &["object"],
        is: |argv, theirs, _| argv[1].eq_ignore_ascii_case(b"refcount") && *theirs == Value::Int(i32::MAX.into()),
        why: "Redis shares small integers, we store them in their key",
    },
    Difference {
        commands: &["incrbyfloat", "hincrbyfloat"],
        is: |_, theirs, ours| same_numbers(theirs, ours),
        why: "Redis adds in a long double of 19 digits, we add all digits",
    },
    Difference {
        commands: &["sort", "sort_ro"],
        is: |argv, theirs, ours| argv.iter().any(|word| word == b"nosort") && are_equal(Order::Any, theirs, ours),
        why: "a set that is not sorted has no order",
    },
    Difference {
        commands: SCORES,
        is: |_, theirs, ours| same_numbers(theirs, ours),
        why: "a score is shown by its shortest text since Redis 7.2, by 17 digits before",
    },
    Difference {
        commands: &["command"],
        is: |argv, theirs, _| argv.len() == 3 && matches!(theirs, Value::Error(_)),
        why: "COMMAND GETKEYS takes a command without arguments since Redis 7.2",
    },
    Difference {
        commands: &["command"],
        is: |argv, _, ours| argv.len() > 4 && is_error(ours, "ERR Invalid arguments specified for command"),
        why: "Redis's COMMAND GETKEYS takes 1e400 for 1 key, as the command itself does not",
    },
    Difference {
        commands: &["object"],
        is: |_, theirs, ours| says(theirs, "skiplist") && says(ours, "listpack"),
        why: "Redis's SORT turns a sorted set into a skip list",
    },
    Difference {
        commands: &["object"],
        is: |_, theirs, ours| (says(theirs, "embstr") || says(theirs, "raw")) && says(ours, "int"),
        why: "an integer's text is kept as a number by whatever command it came, in Redis by most",
    },
    Difference {
        commands: TIMEOUTS,
        is: |_, theirs, ours| {
            is_error(theirs, "ERR timeout is negative") && is_error(ours, "ERR timeout is out of range")
        },
        why: "Redis 7.2 refuses a timeout that overflows, 7.0 takes it for a negative one",
    },
    Difference {
        commands: &["zrank", "zrevrank"],
        is: |argv, theirs, _| argv.len() > 3 && matches!(theirs, Value::Error(_)),
        why: "WITHSCORE is new in Redis 7.2",
    },
];

const TIMEOUTS: &[&str] = &["blmove", "blmpop", "blpop", "brpop", "brpoplpush", "bzmpop", "bzpopmax", "bzpopmin"];

const SCORES: &[&str] = &[
    "zadd",
    "zdiff",
    "zincrby",
    "zinter",
    "zmpop",
    "zmscore",
    "zpopmax",
    "zpopmin",
    "zrange",
    "zrangebyscore",
    "zrevrange",
    "zrevrangebyscore",
    "zscan",
    "zscore",
    "zunion",
];

/// Equal but for texts that say the same number.
fn same_numbers(theirs: &Value, ours: &Value) -> bool {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    match (theirs, ours) {
        (Value::Bulk(a), Value::Bulk(b)) => a == b || number(a).is_some_and(|a| number(b) == Some(a)),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_numbers(a, b)),
        (a, b) => a == b,
    }
}

fn is_error(value: &Value, text: &str) -> bool {
    matches!(value, Value::Error(error) if error == text)
}

fn says(value: &Value, text: &str) -> bool {
    value.bytes() == Some(text.as_bytes())
}

/// What two replies have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Equal, as far as they must be.
    Same,
    /// A difference that is listed. What is stored may differ now.
    Known,
    /// Neither.
    Fault,
}

/// Compares the two replies to a command.
#[must_use]
pub fn judge(order: Order, argv: &[Vec<u8>], theirs: &Heard, ours: &Heard) -> Verdict {
    if theirs.bytes == ours.bytes || are_equal(order, &theirs.value, &ours.value) {
        Verdict::Same
    } else if is_known(argv, &theirs.value, &ours.value) {
        Verdict::Known
    } else {
        Verdict::Fault
    }
}

/// Compares the replies to EXEC one by one: those to `queued` commands.
#[must_use]
pub fn judge_transaction(queued: &[Vec<Vec<u8>>], theirs: &Heard, ours: &Heard) -> Verdict {
    if theirs.bytes == ours.bytes {
        return Verdict::Same;
    }
    match (&theirs.value, &ours.value) {
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() && theirs.len() == queued.len() => {
            let mut replies = queued.iter().zip(theirs.iter().zip(ours));
            let fine = replies.all(|(argv, (theirs, ours))| theirs == ours || is_known(argv, theirs, ours));
            if fine { Verdict::Known } else { Verdict::Fault }
        }
        _ => Verdict::Fault,
    }
}

fn are_equal(order: Order, theirs: &Value, ours: &Value) -> bool {
    match (order, theirs, ours) {
        (Order::Exact, ..) => false,
        (Order::Near(most), Value::Int(a), Value::Int(b)) => a.abs_diff(*b) <= most && *a > 0 && *b > 0,
        (order, theirs, ours) => canonical(order, theirs) == canonical(order, ours),
    }
}

fn is_known(argv: &[Vec<u8>], theirs: &Value, ours: &Value) -> bool {
    let name = argv[0].to_ascii_lowercase();
    KNOWN
        .iter()
        .any(|known| known.commands.iter().any(|command| command.as_bytes() == name) && (known.is)(argv, theirs, ours))
}

/// The reply's text with what may differ taken out.
fn canonical(order: Order, value: &Value) -> String {
    match (order, value) {
        (Order::Any, Value::Array(elements)) => format!("[{}]", sorted(elements.iter().map(Value::to_string))),
        (Order::Any, Value::Set(elements)) => format!("~[{}]", sorted(elements.iter().map(Value::to_string))),
        (Order::AnyPairs, Value::Array(elements)) => format!("[{}]", sorted(pairs(elements))),
        (Order::AnyPairs, Value::Map(pairs)) => {
            format!("{{{}}}", sorted(pairs.iter().map(|(key, value)| format!("{key}={value}"))))
        }
        (Order::AnyPage | Order::AnyPagePairs, Value::Array(page)) if page.len() == 2 => {
            let elements = if order == Order::AnyPage { Order::Any } else { Order::AnyPairs };
            format!("[{} {}]", page[0], canonical(elements, &page[1]))
        }
        (Order::Shape, value) => shape(value),
        (_, value) => value.to_string(),
    }
}

fn pairs(elements: &[Value]) -> impl Iterator<Item = String> {
    elements.chunks(2).map(|pair| pair.iter().map(Value::to_string).collect::<Vec<_>>().join("="))
}

fn sorted(texts: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<String> = texts.collect();
    texts.sort_unstable();
    texts.join(" ")
}

/// Kinds and lengths alone. An error is compared as it is.
fn shape(value: &Value) -> String {
    match value {
        Value::Bulk(_) => "$".into(),
        Value::Double(_) => ",".into(),
        Value::Int(_) => ":".into(),
        Value::Array(elements) => format!("[{}]", elements.iter().map(shape).collect::<Vec<_>>().join(" ")),
        value => value.to_string(),
    }
}
