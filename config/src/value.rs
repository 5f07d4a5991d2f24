//! The types of the data node's directives: how each is read from words, shown by CONFIG GET and written in a file.
//! Error texts are Redis's, since CONFIG SET and startup faults show them.

use crate::directive::{Kind, Turn};
use crate::split::quote;

/// A type that a directive's field can have.
pub(crate) trait Setting: Sized {
    /// Whether several words make the value: CONFIG SET then splits its argument.
    const MANY: bool = false;
    /// Takes the words of a line, or of CONFIG SET's argument.
    fn write(&mut self, words: &[&str], kind: Kind, turn: Turn) -> Result<(), String>;
    /// The value as CONFIG GET shows it.
    fn show(&self, kind: Kind) -> String;
    /// The words that follow the directive's name in a file, one entry a line.
    fn lines(&self, kind: Kind) -> Vec<String> {
        vec![quote(&self.show(kind))]
    }
}

fn single<'a>(words: &[&'a str]) -> Result<&'a str, String> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

/// Bytes with an optional unit: `k m g` are powers of 1000, `kb mb gb` of 1024.
pub(crate) fn parse_memory(word: &str) -> Option<u64> {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let unit: u64 = match word[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    word[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The shortest exact form of a number of bytes.
fn show_memory(bytes: u64) -> String {
    for (unit, suffix) in [(1u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

fn parse_number(word: &str, kind: Kind) -> Result<i128, String> {
    let (number, min, max) = match kind {
        Kind::Int(min, max) => {
            let number: i64 = word.parse().map_err(|_| "argument couldn't be parsed into an integer")?;
            (i128::from(number), i128::from(min), i128::from(max))
        }
        Kind::Memory(min, max) => {
            let bytes = parse_memory(word).ok_or("argument must be a memory value")?;
            (i128::from(bytes), i128::from(min), i128::from(max))
        }
        Kind::Octal => {
            let mode = u32::from_str_radix(word, 8).map_err(|_| "argument couldn't be parsed into an integer")?;
            (i128::from(mode), 0, 0o1777)
        }
        _ => unreachable!("a number's row has a number's kind"),
    };
    if number < min || number > max {
        return Err(match kind {
            Kind::Octal => format!("argument must be between {min:o} and {max:o} inclusive"),
            _ => format!("argument must be between {min} and {max} inclusive"),
        });
    }
    Ok(number)
}

macro_rules! numbers {
    ($($ty:ty),*) => { $(
        impl Setting for $ty {
            fn write(&mut self, words: &[&str], kind: Kind, _: Turn) -> Result<(), String> {
                let number = parse_number(single(words)?, kind)?;
                *self = number.try_into().map_err(|_| format!("argument must be between {} and {} inclusive", Self::MIN, Self::MAX))?;
                Ok(())
            }

            fn show(&self, kind: Kind) -> String {
                if kind == Kind::Octal { format!("{self:o}") } else { self.to_string() }
            }

            fn lines(&self, kind: Kind) -> Vec<String> {
                match kind {
                    Kind::Memory(..) => vec![show_memory(*self as u64)],
                    _ => vec![self.show(kind)],
                }
            }
        }
    )* };
}
numbers!(u16, u32, u64, usize, i32, i64);

impl Setting for bool {
    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        *self = match single(words)?.to_ascii_lowercase().as_str() {
            "yes" => true,
            "no" => false,
            _ => return Err("argument must be 'yes' or 'no'".into()),
        };
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        if *self { "yes" } else { "no" }.into()
    }
}

impl Setting for String {
    fn write(&mut self, words: &[&str], kind: Kind, _: Turn) -> Result<(), String> {
        let word = single(words)?;
        *self = match kind {
            Kind::Enum(choices) => {
                let choice = choices.iter().find(|choice| choice.eq_ignore_ascii_case(word));
                let choice = choice
                    .ok_or_else(|| format!("argument(s) must be one of the following: {}", choices.join(", ")))?;
                (*choice).to_owned()
            }
            _ => word.to_owned(),
        };
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        self.clone()
    }
}

/// Words separated by blanks, of any number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Setting for Words {
    const MANY: bool = true;

    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        self.0 = words.iter().filter(|word| !word.is_empty()).map(|word| (*word).to_owned()).collect();
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        self.0.join(" ")
    }

    fn lines(&self, _: Kind) -> Vec<String> {
        if self.0.is_empty() {
            vec!["\"\"".into()]
        } else {
            vec![self.0.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")]
        }
    }
}

/// `host port`; how `replicaof` names a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
}

impl Setting for Option<HostPort> {
    const MANY: bool = true;

    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        *self = match words {
            [] | [""] => None,
            [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => None,
            [host, port] => {
                let port = port.parse().ok().filter(|port| *port != 0).ok_or("Invalid master port")?;
                Some(HostPort { host: (*host).to_owned(), port })
            }
            _ => return Err("wrong number of arguments".into()),
        };
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        self.as_ref().map(|at| format!("{} {}", at.host, at.port)).unwrap_or_default()
    }

    fn lines(&self, _: Kind) -> Vec<String> {
        self.as_ref().map(|at| format!("{} {}", quote(&at.host), at.port)).into_iter().collect()
    }
}

/// Snapshot after `seconds` if at least `changes` writes happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// The interval.
    pub seconds: u32,
    /// The writes.
    pub changes: u32,
}

/// The rules for periodic snapshots; none: no periodic snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavePoints(pub Vec<SavePoint>);

impl Setting for SavePoints {
    const MANY: bool = true;

    /// The first `save` line replaces the defaults, further lines add; `save ""` clears.
    fn write(&mut self, words: &[&str], _: Kind, turn: Turn) -> Result<(), String> {
        let mut points = if turn == Turn::Further { self.0.clone() } else { Vec::new() };
        if matches!(words, [] | [""]) {
            self.0.clear();
            return Ok(());
        }
        let (pairs, odd) = words.as_chunks::<2>();
        if !odd.is_empty() {
            return Err("Invalid save parameters".into());
        }
        for [seconds, changes] in pairs {
            let seconds = seconds.parse().ok().filter(|s| *s >= 1).ok_or("Invalid save parameters")?;
            let changes = changes.parse().map_err(|_| "Invalid save parameters")?;
            points.push(SavePoint { seconds, changes });
        }
        self.0 = points;
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        self.0.iter().map(|point| format!("{} {}", point.seconds, point.changes)).collect::<Vec<_>>().join(" ")
    }

    fn lines(&self, _: Kind) -> Vec<String> {
        if self.0.is_empty() {
            return vec!["\"\"".into()];
        }
        self.0.iter().map(|point| format!("{} {}", point.seconds, point.changes)).collect()
    }
}

/// When a client whose output waits is closed. 0: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimit {
    /// At once beyond this many bytes.
    pub hard_bytes: u64,
    /// Beyond this many bytes for `soft_seconds` on end.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u32,
}

/// `client-output-buffer-limit` of each class of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimits {
    /// Ordinary clients.
    pub normal: BufferLimit,
    /// Replicas.
    pub replica: BufferLimit,
    /// Clients with a subscription.
    pub pubsub: BufferLimit,
}

impl Setting for BufferLimits {
    const MANY: bool = true;

    /// Names one or more classes; the others keep their limits.
    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        let mut limits = *self;
        let (chunks, odd) = words.as_chunks::<4>();
        if !odd.is_empty() || chunks.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for [class, hard, soft, seconds] in chunks {
            let limit = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut limits.normal,
                "replica" | "slave" => &mut limits.replica,
                "pubsub" => &mut limits.pubsub,
                _ => {
                    return Err("Invalid client class specified in buffer limit configuration.".into());
                }
            };
            let invalid = || "Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned();
            *limit = BufferLimit {
                hard_bytes: parse_memory(hard).ok_or_else(invalid)?,
                soft_bytes: parse_memory(soft).ok_or_else(invalid)?,
                soft_seconds: seconds.parse().map_err(|_| invalid())?,
            };
        }
        *self = limits;
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        let show = |class, limit: BufferLimit| {
            format!("{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
        };
        [show("normal", self.normal), show("slave", self.replica), show("pubsub", self.pubsub)].join(" ")
    }

    fn lines(&self, _: Kind) -> Vec<String> {
        let line = |class, limit: BufferLimit| {
            format!(
                "{class} {} {} {}",
                show_memory(limit.hard_bytes),
                show_memory(limit.soft_bytes),
                limit.soft_seconds
            )
        };
        vec![line("normal", self.normal), line("replica", self.replica), line("pubsub", self.pubsub)]
    }
}

/// The classes of keyspace events that are published, as `notify-keyspace-events` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventClasses(u32);

/// Letters in the order in which Redis shows them; `A` stands for the first ten.
const EVENT_LETTERS: &str = "g$lshzxetdnKEm";
const EVENTS_ALL: u32 = (1 << 10) - 1;
/// `K` and `E`: without either nothing is published.
const EVENT_CHANNELS: u32 = 1 << 11 | 1 << 12;

impl EventClasses {
    /// Is this class (`g $ l s h z x e t d m n`) or channel (`K`, `E`) switched on?
    pub fn has(self, letter: char) -> bool {
        EVENT_LETTERS.find(letter).is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    /// Is nothing ever published?
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 & EVENT_CHANNELS == 0
    }
}

impl Setting for EventClasses {
    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        let mut classes = 0;
        for letter in single(words)?.chars() {
            classes |= match (letter, EVENT_LETTERS.find(letter)) {
                ('A', _) => EVENTS_ALL,
                (_, Some(bit)) => 1 << bit,
                (_, None) => {
                    return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
                }
            };
        }
        self.0 = classes;
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        let all = self.0 & EVENTS_ALL == EVENTS_ALL;
        let rest = EVENT_LETTERS.char_indices().filter(|(bit, _)| self.0 & (1 << bit) != 0 && !(all && *bit < 10));
        all.then_some('A').into_iter().chain(rest.map(|(_, letter)| letter)).collect()
    }
}

/// The percentiles that INFO latencystats shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Percentiles(pub Vec<f64>);

impl Setting for Percentiles {
    const MANY: bool = true;

    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        let mut percentiles = Vec::new();
        for word in words.iter().filter(|word| !word.is_empty()) {
            let percentile: f64 = word.parse().map_err(|_| "Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&percentile) {
                return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
            }
            percentiles.push(percentile);
        }
        self.0 = percentiles;
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        self.0.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
    }

    fn lines(&self, kind: Kind) -> Vec<String> {
        vec![if self.0.is_empty() { "\"\"".into() } else { self.show(kind) }]
    }
}

/// `oom_score_adj` of a master, a replica, and a child that writes a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomScoreAdj(pub [i32; 3]);

impl Setting for OomScoreAdj {
    const MANY: bool = true;

    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        let words: &[&str; 3] = words.try_into().map_err(|_| "wrong number of arguments")?;
        let mut values = [0; 3];
        for (value, word) in values.iter_mut().zip(words) {
            *value = word
                .parse()
                .ok()
                .filter(|value| (-2000..=2000).contains(value))
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        }
        self.0 = values;
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        self.0.map(|value| value.to_string()).join(" ")
    }

    fn lines(&self, kind: Kind) -> Vec<String> {
        vec![self.show(kind)]
    }
}

/// What SIGTERM or SIGINT does, beside Redis's default (save if save points exist).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownOptions {
    /// Save though there is no save point.
    pub save: bool,
    /// Never save.
    pub nosave: bool,
    /// Do not wait for replicas that lag.
    pub now: bool,
    /// Leave even when saving failed.
    pub force: bool,
}

impl Setting for ShutdownOptions {
    const MANY: bool = true;

    fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
        let mut options = Self::default();
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "default" if words.len() == 1 => {}
                "save" => options.save = true,
                "nosave" => options.nosave = true,
                "now" => options.now = true,
                "force" => options.force = true,
                _ => return Err("argument(s) must be one of the following: default, save, nosave, now, force".into()),
            }
        }
        if options.save && options.nosave {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        *self = options;
        Ok(())
    }

    fn show(&self, _: Kind) -> String {
        let words = [(self.save, "save"), (self.nosave, "nosave"), (self.now, "now"), (self.force, "force")];
        let words: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        if words.is_empty() { "default".into() } else { words.join(" ") }
    }

    fn lines(&self, kind: Kind) -> Vec<String> {
        vec![self.show(kind)]
    }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every word that the directive takes.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this choice.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The choice that a word stands for, or the refusal that names them all.
            pub(crate) fn of_word(word: &str) -> Result<Self, String> {
                match word.to_ascii_lowercase().as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("argument(s) must be one of the following: {}", Self::WORDS.join(", "))),
                }
            }
        }

        impl Default for $name {
            /// The first word; the table overrides it with the directive's default.
            fn default() -> Self { [$(Self::$variant),+][0] }
        }

        impl Setting for $name {
            fn write(&mut self, words: &[&str], _: Kind, _: Turn) -> Result<(), String> {
                *self = Self::of_word(single(words)?)?;
                Ok(())
            }

            fn show(&self, _: Kind) -> String {
                self.word().to_owned()
            }
        }
    )+ };
}

choices! {
    /// What is evicted when `maxmemory` is reached.
    MaxmemoryPolicy {
        /// Least recently used, among keys with an expiry.
        VolatileLru = "volatile-lru",
        /// Least often used, among keys with an expiry.
        VolatileLfu = "volatile-lfu",
        /// Any key with an expiry.
        VolatileRandom = "volatile-random",
        /// The key that expires first.
        VolatileTtl = "volatile-ttl",
        /// Least recently used.
        AllkeysLru = "allkeys-lru",
        /// Least often used.
        AllkeysLfu = "allkeys-lfu",
        /// Any key.
        AllkeysRandom = "allkeys-random",
        /// Nothing: writes that need memory are refused.
        Noeviction = "noeviction",
    }
    /// When the append-only file is forced to disk.
    AppendFsync {
        /// Once a second, on the disk thread.
        Everysec = "everysec",
        /// Before each reply.
        Always = "always",
        /// When the system likes.
        No = "no",
    }
    /// Which log lines are written.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// Much.
        Verbose = "verbose",
        /// What a production server should say.
        Notice = "notice",
        /// Only what needs attention.
        Warning = "warning",
        /// Nothing.
        Nothing = "nothing",
    }
    /// Which supervisor is told of readiness.
    Supervised {
        /// systemd, through NOTIFY_SOCKET.
        Systemd = "systemd",
        /// upstart.
        Upstart = "upstart",
        /// Whichever the environment names.
        Auto = "auto",
        /// None.
        No = "no",
    }
    /// How a replica takes a full resynchronisation.
    ReplDisklessLoad {
        /// Through a file.
        Disabled = "disabled",
        /// From the socket if it holds no data.
        OnEmptyDb = "on-empty-db",
        /// From the socket into a second keyspace.
        Swapdb = "swapdb",
    }
    /// Which payloads are checked in depth when loaded.
    SanitizeDump {
        /// None.
        No = "no",
        /// All.
        Yes = "yes",
        /// Those of RESTORE.
        Clients = "clients",
    }
    /// What a replica does when its master's stream makes it fail.
    PropagationError {
        /// Logs it.
        Ignore = "ignore",
        /// Crashes.
        Panic = "panic",
        /// Crashes if it is a replica.
        PanicOnReplicas = "panic-on-replicas",
    }
    /// Who may call a command that is off by default.
    Permission {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Connections from this machine.
        Local = "local",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_published_only_where_a_channel_is_switched_on() {
        for (bit, letter) in EVENT_LETTERS.char_indices() {
            let classes = EventClasses(1 << bit);
            assert!(classes.has(letter));
            assert_eq!(classes.is_empty(), !matches!(letter, 'K' | 'E'), "{letter}");
        }
    }
}
