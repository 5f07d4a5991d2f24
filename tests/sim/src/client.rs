//! A client: asks some sentinel where the master is, makes sure that it is one, works there one operation at a time, and writes down what it was told.
//!
//! A connection that ends, a patience that ends and `-UNCERTAIN` leave an outcome unknown. Every other error is a refusal: nothing was done.

use quorate_resp::{Value, encode_command};

use crate::history::{Call, Key, Op};
use crate::net::{End, Host, Piece, Service, StreamId};
use crate::node::Around;
use crate::plan::Plan;
use crate::queue::Event;
use crate::time::Time;

/// Between two operations at most, in microseconds.
const REST_US: u64 = 50_000;
/// After a failure at least, so that a group without a master is not asked without end.
const RETRY_US: u64 = 20_000;

/// What an operation in progress waits for.
#[derive(Debug, Clone)]
struct Working {
    key: Key,
    what: Want,
    began: Time,
    /// Replies that make up the present step.
    replies: usize,
}

/// The operation that is wanted, and its step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    Get,
    Set(u32),
    /// WATCH and GET are asked; then comes the rest.
    Watch(u32),
    Swap(u32, u32),
    Push(u32),
    PushRange(u32),
    Range,
    Add(u32),
    Members,
}

#[derive(Debug)]
enum State {
    /// Does nothing until its wish comes due.
    Resting,
    /// Waits for a sentinel's answer.
    Asking,
    /// Waits for a connection.
    Dialing,
    /// Waits for ROLE's answer: whoever was told of a master makes sure that it is one, as Sentinel's clients have to.
    Greeting,
    /// Waits for replies.
    Working(Working),
}

/// See the module.
pub struct Client {
    place: usize,
    sentinels: usize,
    rng: fastrand::Rng,
    patience_us: u64,
    only_reads: bool,
    rest_us: u64,
    state: State,
    wish: u64,
    stream: Option<StreamId>,
    is_connected: bool,
    master: Option<usize>,
    unread: Vec<u8>,
    next_value: u32,
    /// Reads of the end that are still to be done.
    last_reads: Vec<Key>,
    /// It reads every key once more and then rests.
    is_last: bool,
    /// It begins nothing any more.
    pub is_done: bool,
    /// What it did.
    pub calls: Vec<Call>,
    /// Successful writes so far.
    pub written: u64,
    /// Replies that nobody would expect.
    pub strange: Vec<String>,
}

impl Client {
    /// A client with a patience of its own.
    pub fn new(place: usize, plan: &Plan, mut rng: fastrand::Rng) -> Client {
        let most = if place < plan.readers { plan.reader_patience_us } else { plan.patience_us.1 };
        let (sentinels, patience_us) = (plan.watchers(), rng.u64(plan.patience_us.0..most));
        Client {
            place,
            sentinels,
            rng,
            patience_us,
            only_reads: place < plan.readers,
            rest_us: if place < plan.readers { plan.reader_rest_us } else { REST_US },
            state: State::Resting,
            wish: 0,
            stream: None,
            is_connected: false,
            master: None,
            unread: Vec::new(),
            next_value: 0,
            last_reads: Vec::new(),
            is_last: false,
            is_done: false,
            calls: Vec::new(),
            written: 0,
            strange: Vec::new(),
        }
    }

    fn host(&self) -> Host {
        Host::Client(self.place)
    }

    /// The number of its present wish: older ones are void.
    pub fn wish(&self) -> u64 {
        self.wish
    }

    fn later(&mut self, around: &mut Around<'_>, micros: u64) {
        self.wish += 1;
        let event = Event::Client { client: self.place, wish: self.wish };
        around.queue.push(around.queue.now().plus_us(micros), event);
    }

    /// Begins to work.
    pub fn start(&mut self, around: &mut Around<'_>) {
        let rest = self.rng.u64(..REST_US);
        self.later(around, rest);
    }

    /// From now on it begins nothing new; with `read_all` it reads every key once, and is done when it has.
    pub fn finish(&mut self, around: &mut Around<'_>, read_all: bool) {
        self.is_last = true;
        if read_all {
            self.last_reads = Key::ALL.to_vec();
            if matches!(self.state, State::Resting) {
                self.later(around, 0);
            }
        } else if matches!(self.state, State::Resting) {
            self.is_done = true;
        }
    }

    /// Its wish has come due: it acts, or its patience has ended. Returns the sentinel that it asks, if it does.
    pub fn act(&mut self, around: &mut Around<'_>) -> Option<usize> {
        match std::mem::replace(&mut self.state, State::Resting) {
            State::Resting if self.is_last && self.last_reads.is_empty() => {
                self.is_done = true;
                None
            }
            State::Resting if self.is_connected => {
                self.begin(around);
                None
            }
            State::Resting => self.look_for_master(around),
            State::Asking => self.look_for_master(around),
            State::Dialing | State::Greeting => {
                self.hang_up(around);
                self.master = None;
                self.look_for_master(around)
            }
            State::Working(working) => {
                self.give_up(working);
                self.hang_up(around);
                self.master = None;
                self.later(around, RETRY_US);
                None
            }
        }
    }

    fn look_for_master(&mut self, around: &mut Around<'_>) -> Option<usize> {
        self.state = State::Asking;
        let wait = self.rng.u64(50_000..150_000);
        self.later(around, wait);
        Some(self.rng.usize(..self.sentinels))
    }

    /// A sentinel has answered.
    pub fn told(&mut self, around: &mut Around<'_>, master: usize) {
        if !matches!(self.state, State::Asking) {
            return;
        }
        self.master = Some(master);
        let stream = around.net.dial(around.queue, self.host(), Host::Node(master), Service::Resp);
        (self.stream, self.is_connected, self.state) = (Some(stream), false, State::Dialing);
        self.unread.clear();
        let patience = self.patience_us;
        self.later(around, patience);
    }

    fn hang_up(&mut self, around: &mut Around<'_>) {
        if let Some(stream) = self.stream.take() {
            around.net.close(around.queue, stream, End::Dialer);
        }
        self.is_connected = false;
        self.unread.clear();
    }

    /// What was under way may have happened or not.
    fn give_up(&mut self, working: Working) {
        let op = match working.what {
            Want::Get | Want::Watch(_) | Want::Range | Want::Members => return,
            Want::Set(value) => Op::Set(value),
            Want::Swap(from, to) => Op::Swap(from, to),
            Want::Push(value) => Op::Push(value),
            Want::PushRange(value) => Op::PushRange(value, None),
            Want::Add(value) => Op::Add(value),
        };
        let (client, node, key, began) = (self.place, self.master, working.key, working.began);
        self.calls.push(Call { client, node, key, op, by_quorum: false, began, ended: None });
    }

    /// A value that no other client and no other operation writes.
    fn value(&mut self) -> u32 {
        self.next_value += 1;
        self.next_value * 16 + self.place as u32 + 1
    }

    fn begin(&mut self, around: &mut Around<'_>) {
        let (key, what) = match self.last_reads.last().copied() {
            Some(key) => (key, read_of(key)),
            None => {
                let key = Key::ALL[self.rng.usize(..Key::ALL.len())];
                (key, if self.only_reads { read_of(key) } else { self.choose(key) })
            }
        };
        self.ask(around, key, what);
    }

    fn choose(&mut self, key: Key) -> Want {
        let value = self.value();
        match (key, self.rng.u8(..10)) {
            (Key::Register(_), 0..4) => Want::Get,
            (Key::Register(_), 4..7) => Want::Set(value),
            (Key::Register(_), _) => Want::Watch(value),
            (Key::List(_), 0..3) => Want::Range,
            (Key::List(_), 3..7) => Want::Push(value),
            (Key::List(_), _) => Want::PushRange(value),
            (Key::Set(_), 0..4) => Want::Members,
            (Key::Set(_), _) => Want::Add(value),
        }
    }

    fn ask(&mut self, around: &mut Around<'_>, key: Key, what: Want) {
        let (name, mut bytes) = (key.name(), Vec::new());
        let mut replies = 0;
        let mut say = |words: &[&str]| {
            let argv: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            encode_command(&mut bytes, &argv);
            replies += 1;
        };
        match &what {
            Want::Get => say(&["GET", &name]),
            Want::Set(value) => say(&["SET", &name, &value.to_string()]),
            Want::Watch(_) => {
                say(&["WATCH", &name]);
                say(&["GET", &name]);
            }
            Want::Swap(_, value) => {
                say(&["MULTI"]);
                say(&["SET", &name, &value.to_string()]);
                say(&["EXEC"]);
            }
            Want::Push(value) => say(&["RPUSH", &name, &value.to_string()]),
            Want::PushRange(value) => {
                say(&["MULTI"]);
                say(&["RPUSH", &name, &value.to_string()]);
                say(&["LRANGE", &name, "0", "-1"]);
                say(&["EXEC"]);
            }
            Want::Range => say(&["LRANGE", &name, "0", "-1"]),
            Want::Add(value) => say(&["SADD", &name, &value.to_string()]),
            Want::Members => say(&["SMEMBERS", &name]),
        }
        let Some(stream) = self.stream else { return };
        let began = around.queue.now();
        around.net.send(around.queue, stream, End::Dialer, Piece::Bytes(bytes));
        self.state = State::Working(Working { key, what, began, replies });
        let patience = self.patience_us;
        self.later(around, patience);
    }

    /// Something arrives on its connection.
    pub fn arrived(&mut self, around: &mut Around<'_>, stream: StreamId, piece: Piece) {
        if self.stream != Some(stream) {
            return;
        }
        match piece {
            Piece::Accepted => {
                self.state = State::Greeting;
                let mut bytes = Vec::new();
                encode_command(&mut bytes, &[b"ROLE"]);
                around.net.send(around.queue, stream, End::Dialer, Piece::Bytes(bytes));
                let patience = self.patience_us;
                self.later(around, patience);
            }
            Piece::Bytes(bytes) if matches!(self.state, State::Greeting) => {
                self.unread.extend_from_slice(&bytes);
                self.greeted(around);
            }
            Piece::Bytes(bytes) => {
                self.unread.extend_from_slice(&bytes);
                self.read(around);
            }
            Piece::Fin | Piece::Reset => {
                if let State::Working(working) = std::mem::replace(&mut self.state, State::Resting) {
                    self.give_up(working);
                }
                self.hang_up(around);
                self.later(around, RETRY_US);
            }
            Piece::Syn(_) | Piece::Beat(_) => {}
        }
    }

    fn greeted(&mut self, around: &mut Around<'_>) {
        let Some((value, taken)) = Value::decode(&self.unread).expect("a node writes RESP") else { return };
        self.unread.drain(..taken);
        self.state = State::Resting;
        let role = value.elements().and_then(|elements| elements.first()).and_then(Value::bytes);
        if role == Some(b"master") {
            self.is_connected = true;
            return self.later(around, 0);
        }
        self.hang_up(around);
        self.master = None;
        self.later(around, RETRY_US);
    }

    fn read(&mut self, around: &mut Around<'_>) {
        let State::Working(working) = &self.state else { return };
        let (mut at, mut replies) = (0, Vec::new());
        while replies.len() < working.replies {
            match Value::decode(&self.unread[at..]).expect("a node writes RESP") {
                Some((value, taken)) => {
                    at += taken;
                    replies.push(value);
                }
                None => return,
            }
        }
        self.unread.drain(..at);
        let State::Working(working) = std::mem::replace(&mut self.state, State::Resting) else { unreachable!() };
        self.replied(around, working, replies);
    }

    fn replied(&mut self, around: &mut Around<'_>, working: Working, mut replies: Vec<Value>) {
        let last = replies.pop().expect("every step has a reply");
        if let Some(Value::Error(text)) = replies.iter().chain([&last]).find(|reply| matches!(reply, Value::Error(_))) {
            return self.refused(around, working, &text.clone());
        }
        let now = around.queue.now();
        let Working { key, what, began, .. } = working;
        let done = match (what, last) {
            (Want::Get, value) => number(&value).map(Op::Get),
            (Want::Watch(to), value) => {
                let Some(from) = number(&value) else { return self.surprised(around, "GET", &value) };
                self.note(key, Op::Get(from), began, now);
                return self.ask(around, key, Want::Swap(from, to));
            }
            (Want::Set(value), Value::Simple(ok)) if ok == "OK" => Some(Op::Set(value)),
            (Want::Swap(from, to), Value::Array(_)) => Some(Op::Swap(from, to)),
            // Somebody changed it: nothing was done.
            (Want::Swap(..), Value::NullArray | Value::Null) => return self.rest(around),
            (Want::Push(value), Value::Int(_)) => Some(Op::Push(value)),
            (Want::PushRange(value), Value::Array(both)) => {
                both.get(1).and_then(numbers).map(|list| Op::PushRange(value, Some(list)))
            }
            (Want::Range, value) => numbers(&value).map(Op::Range),
            (Want::Add(value), Value::Int(1)) => Some(Op::Add(value)),
            (Want::Members, value) => numbers(&value).map(|mut members| {
                members.sort_unstable();
                Op::Members(members)
            }),
            (what, value) => return self.surprised(around, &format!("{what:?}"), &value),
        };
        match done {
            Some(op) => self.note(key, op, began, now),
            None => self.strange.push(format!("an answer to an operation on {key:?} is none")),
        }
        if self.last_reads.last() == Some(&key) {
            self.last_reads.pop();
        }
        self.rest(around);
    }

    fn note(&mut self, key: Key, op: Op, began: Time, ended: Time) {
        self.written += u64::from(op.is_write());
        let (client, node, ended) = (self.place, self.master, Some(ended));
        self.calls.push(Call { client, node, key, op, by_quorum: false, began, ended });
    }

    fn surprised(&mut self, around: &mut Around<'_>, what: &str, value: &Value) {
        self.strange.push(format!("{what} was answered with {value}"));
        self.rest(around);
    }

    fn rest(&mut self, around: &mut Around<'_>) {
        let rest = if self.is_last { 0 } else { self.rng.u64(..self.rest_us) };
        self.later(around, rest);
    }

    fn refused(&mut self, around: &mut Around<'_>, working: Working, text: &str) {
        let word = text.split(' ').next().unwrap_or_default();
        match word {
            "UNCERTAIN" => self.give_up(working),
            "READONLY" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" | "MISCONF" | "EXECABORT" | "FENCED" | "UNBLOCKED" => {
            }
            _ => {
                self.strange.push(format!("{:?} was refused: {text}", working.what));
                self.give_up(working);
            }
        }
        // Perhaps it is master no more.
        self.hang_up(around);
        self.master = None;
        self.later(around, RETRY_US);
    }
}

fn read_of(key: Key) -> Want {
    match key {
        Key::Register(_) => Want::Get,
        Key::List(_) => Want::Range,
        Key::Set(_) => Want::Members,
    }
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::NullBulk | Value::Null => Some(0),
        other => std::str::from_utf8(other.bytes()?).ok()?.parse().ok(),
    }
}

fn numbers(value: &Value) -> Option<Vec<u32>> {
    value.elements()?.iter().map(number).collect()
}
