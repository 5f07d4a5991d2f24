//! What clients do while the system is broken, and their record of it: registers, lists that grow, sets that grow.
//!
//! Each client has a thread and a host of its own, finds the master over the sentinels and calls it one call at a time. A call that was not
//! sent is not in the record. A read is recorded when it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quorate_checkers::{Call, Client, End, Time, Value, append, register, set};
use quorate_resp::Value as Reply;
use serde::Serialize;

use crate::resp::{Connection, Fate, Finder};
use crate::system::GROUP;
use crate::world::Host;

/// Between two calls of a client.
const PACE: Duration = Duration::from_millis(15);
/// Before a client that found no master looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Registers of a round: several clients share each for the whole round.
const REGISTERS: u64 = 6;
/// Lists in use at a time, and sets.
const GROWING: u64 = 3;
/// After this long clients go on to other lists and sets: reading a long one costs more than it tells.
const TURN: Duration = Duration::from_secs(3);

/// What a client works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// GET, SET, and compare-and-set through WATCH and MULTI.
    Register,
    /// RPUSH, LRANGE, and both in MULTI.
    Append,
    /// SADD, SMEMBERS.
    Set,
}

impl Kind {
    /// All of them, as a report lists them.
    pub const ALL: [Self; 3] = [Self::Register, Self::Append, Self::Set];

    /// Its name in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Append => "append",
            Self::Set => "set",
        }
    }
}

/// Calls by key, one map a kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Calls on registers.
    pub registers: BTreeMap<String, Vec<Call<register::Op>>>,
    /// Calls on lists.
    pub lists: BTreeMap<String, Vec<Call<append::Op>>>,
    /// Calls on sets.
    pub sets: BTreeMap<String, Vec<Call<set::Op>>>,
}

/// How calls of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Answered.
    pub ok: u64,
    /// Of these, writes that were acknowledged.
    pub acknowledged: u64,
    /// Refused before anything was done.
    pub refused: u64,
    /// Unknown.
    pub unknown: u64,
}

impl Count {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// What clients bring home.
#[derive(Debug, Default)]
pub struct Log {
    /// Their calls.
    pub record: Record,
    /// How they ended.
    pub counts: BTreeMap<Kind, Count>,
    /// What was answered instead of success, and how often.
    pub reasons: BTreeMap<String, u64>,
    /// When writes were acknowledged, in the record's time.
    pub acknowledged_at: Vec<Time>,
}

fn merge<O>(into: &mut BTreeMap<String, Vec<Call<O>>>, from: BTreeMap<String, Vec<Call<O>>>) {
    for (key, calls) in from {
        into.entry(key).or_default().extend(calls);
    }
}

impl Log {
    /// Adds another client's.
    pub fn add(&mut self, other: Self) {
        merge(&mut self.record.registers, other.record.registers);
        merge(&mut self.record.lists, other.record.lists);
        merge(&mut self.record.sets, other.record.sets);
        for (kind, count) in other.counts {
            self.counts.entry(kind).or_default().add(count);
        }
        for (reason, times) in other.reasons {
            *self.reasons.entry(reason).or_default() += times;
        }
        self.acknowledged_at.extend(other.acknowledged_at);
    }
}

/// What all clients of a run share.
pub struct Board {
    start: Instant,
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: AtomicU64,
}

impl Board {
    /// A run begins.
    pub fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { start: Instant::now(), next: zero(), stop: AtomicBool::new(false), acknowledged: zero() }
    }

    /// The run's clock.
    pub fn now(&self) -> Time {
        Time(self.start.elapsed().as_nanos() as u64)
    }

    /// Lets clients work, or ends their round.
    pub fn set_working(&self, working: bool) {
        self.stop.store(!working, Ordering::SeqCst);
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn working(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// A value that nobody wrote yet.
    fn fresh(&self) -> Value {
        Value(self.next.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

/// Who a client is and where.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number.
    pub client: Client,
    /// Its host.
    pub host: Host,
    /// What it works on.
    pub kind: Kind,
    /// The sentinels, in the order in which it asks them.
    pub sentinels: Vec<SocketAddrV4>,
}

/// Works until the board says stop.
pub fn work(identity: &Identity, round: u64, seed: u64, board: &Board) -> io::Result<Log> {
    identity.host.enter()?;
    let mut session = Session {
        finder: Finder::new(identity.sentinels.clone(), GROUP),
        connection: None,
        board,
        client: identity.client,
        kind: identity.kind,
        random: fastrand::Rng::with_seed(seed),
        log: Log::default(),
    };
    let began = Instant::now();
    while board.working() {
        let turn = began.elapsed().as_secs() / TURN.as_secs();
        let (register, growing) = (session.random.u64(0..REGISTERS), session.random.u64(0..GROWING));
        match identity.kind {
            Kind::Register => session.register(format!("r:{round}:{register}")),
            Kind::Append => session.append(format!("l:{round}:{turn}:{growing}")),
            Kind::Set => session.set(format!("s:{round}:{turn}:{growing}")),
        }
        std::thread::sleep(PACE);
    }
    Ok(session.log)
}

/// A client at work.
struct Session<'a> {
    finder: Finder,
    connection: Option<Connection>,
    board: &'a Board,
    client: Client,
    kind: Kind,
    random: fastrand::Rng,
    log: Log,
}

/// A call's times and fate.
struct Outcome {
    began: Time,
    over: Time,
    fate: Fate,
}

impl Outcome {
    fn end(&self) -> End {
        match &self.fate {
            Fate::Done(_) => End::Ok(self.over),
            Fate::Refused(_) => End::Refused,
            Fate::Unknown(_) => End::Unknown,
        }
    }

    fn answer(&self) -> Option<&Reply> {
        match &self.fate {
            Fate::Done(answer) => Some(answer),
            Fate::Refused(_) | Fate::Unknown(_) => None,
        }
    }
}

/// Does a call change anything?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Read,
    Write,
}

impl Session<'_> {
    /// One command.
    fn ask(&mut self, effect: Effect, command: &[&str]) -> Option<Outcome> {
        self.send(effect, |connection| Fate::of(connection.ask(command)))
    }

    /// MULTI, these commands, EXEC.
    fn ask_in_multi(&mut self, effect: Effect, commands: &[&[&str]]) -> Option<Outcome> {
        let all = [&[&["MULTI"] as &[&str]], commands, &[&["EXEC"]]].concat();
        self.send(effect, |connection| Fate::of_transaction(connection.ask_all(&all)))
    }

    /// `None`: there was nobody to send it to.
    fn send(&mut self, effect: Effect, call: impl FnOnce(&mut Connection) -> Fate) -> Option<Outcome> {
        let mut connection = self.connection.take().or_else(|| self.find())?;
        let began = self.board.now();
        let fate = call(&mut connection);
        let over = self.board.now();
        let count = self.log.counts.entry(self.kind).or_default();
        match &fate {
            Fate::Done(answer) => {
                count.ok += 1;
                if effect == Effect::Write && *answer != Reply::NullArray {
                    count.acknowledged += 1;
                    self.board.acknowledged.fetch_add(1, Ordering::SeqCst);
                    self.log.acknowledged_at.push(over);
                }
                self.connection = Some(connection);
            }
            Fate::Refused(line) => {
                count.refused += 1;
                self.log.note("refused", line);
            }
            Fate::Unknown(line) => {
                count.unknown += 1;
                self.log.note("unknown", line);
            }
        }
        Some(Outcome { began, over, fate })
    }

    /// Finds the master anew; waits a little if there is none.
    fn find(&mut self) -> Option<Connection> {
        match self.finder.connect() {
            Ok((_, connection)) => Some(connection),
            Err(_) => {
                std::thread::sleep(LOOK_AGAIN);
                None
            }
        }
    }

    fn call<O>(&self, op: O, outcome: &Outcome) -> Call<O> {
        Call { client: self.client, op, began: outcome.began, end: outcome.end() }
    }

    fn register(&mut self, key: String) {
        match self.random.u8(0..10) {
            0..4 => {
                self.read_register(&key);
            }
            4..7 => {
                let value = self.board.fresh();
                if let Some(outcome) = self.ask(Effect::Write, &["SET", &key, &value.to_string()]) {
                    self.note_register(key, register::Op::Write(value), &outcome);
                }
            }
            _ => self.compare_and_set(key),
        }
    }

    fn read_register(&mut self, key: &str) -> Option<Option<Value>> {
        let outcome = self.ask(Effect::Read, &["GET", key])?;
        let seen = match outcome.answer()? {
            Reply::NullBulk => None,
            answer => Some(number(answer)?),
        };
        self.note_register(key.to_owned(), register::Op::Read(seen), &outcome);
        Some(seen)
    }

    /// WATCH, GET, and SET in MULTI: done only if nobody wrote in between.
    fn compare_and_set(&mut self, key: String) {
        let watched = self.ask(Effect::Read, &["WATCH", &key]);
        if watched.is_none_or(|outcome| outcome.answer().is_none()) {
            return;
        }
        let Some(from) = self.read_register(&key) else { return };
        let to = self.board.fresh();
        let Some(outcome) = self.ask_in_multi(Effect::Write, &[&["SET", &key, &to.to_string()]]) else { return };
        // Null: somebody wrote in between, and nothing was done.
        if outcome.answer() != Some(&Reply::NullArray) {
            self.note_register(key, register::Op::Cas { from, to }, &outcome);
        }
    }

    fn note_register(&mut self, key: String, op: register::Op, outcome: &Outcome) {
        let call = self.call(op, outcome);
        self.log.record.registers.entry(key).or_default().push(call);
    }

    fn append(&mut self, key: String) {
        let value = self.board.fresh();
        let text = value.to_string();
        let (op, outcome) = match self.random.u8(0..10) {
            0..4 => (append::Op::Append(value), self.ask(Effect::Write, &["RPUSH", &key, &text])),
            4..7 => {
                let commands: [&[&str]; 2] = [&["RPUSH", &key, &text], &["LRANGE", &key, "0", "-1"]];
                let outcome = self.ask_in_multi(Effect::Write, &commands);
                let list = outcome.as_ref().and_then(|outcome| numbers(outcome.answer()?.elements()?.get(1)?));
                (append::Op::AppendRead(value, list.unwrap_or_default()), outcome)
            }
            _ => {
                let outcome = self.ask(Effect::Read, &["LRANGE", &key, "0", "-1"]);
                let list = outcome.as_ref().and_then(|outcome| numbers(outcome.answer()?));
                let Some(list) = list else { return };
                (append::Op::Read(list), outcome)
            }
        };
        if let Some(outcome) = outcome {
            let call = self.call(op, &outcome);
            self.log.record.lists.entry(key).or_default().push(call);
        }
    }

    fn set(&mut self, key: String) {
        let (op, outcome) = match self.random.u8(0..10) {
            0..6 => {
                let value = self.board.fresh();
                (set::Op::Add(value), self.ask(Effect::Write, &["SADD", &key, &value.to_string()]))
            }
            _ => {
                let outcome = self.ask(Effect::Read, &["SMEMBERS", &key]);
                let members = outcome.as_ref().and_then(|outcome| numbers(outcome.answer()?));
                let Some(members) = members else { return };
                (set::Op::Read(members.into_iter().collect()), outcome)
            }
        };
        if let Some(outcome) = outcome {
            let call = self.call(op, &outcome);
            self.log.record.sets.entry(key).or_default().push(call);
        }
    }
}

impl Log {
    /// Counts a reason by its first words.
    fn note(&mut self, what: &str, line: &str) {
        let words: Vec<&str> = line.split_whitespace().take(6).collect();
        *self.reasons.entry(format!("{what}: {}", words.join(" "))).or_default() += 1;
    }
}

fn number(answer: &Reply) -> Option<Value> {
    std::str::from_utf8(answer.bytes()?).ok()?.parse().ok().map(Value)
}

fn numbers(answer: &Reply) -> Option<Vec<Value>> {
    answer.elements()?.iter().map(number).collect()
}

/// Reads every key of a record at the master and adds what it shows to the record: the reads that losses are counted by. Fails when a key is
/// not answered until the deadline.
pub fn read_back(
    record: &mut Record,
    sentinels: &[SocketAddrV4],
    board: &Board,
    within: Duration,
) -> Result<(), String> {
    let mut reader = Reader {
        finder: Finder::new(sentinels.to_vec(), GROUP),
        connection: None,
        board,
        deadline: Instant::now() + within,
    };
    let client = Client(u32::MAX);
    for (key, calls) in &mut record.registers {
        let (began, over, answer) = reader.read(&["GET", key])?;
        let seen = number(&answer);
        calls.push(Call { client, op: register::Op::Read(seen), began, end: End::Ok(over) });
    }
    for (key, calls) in &mut record.lists {
        let (began, over, answer) = reader.read(&["LRANGE", key, "0", "-1"])?;
        let list = numbers(&answer).ok_or_else(|| format!("{key} holds {answer}"))?;
        calls.push(Call { client, op: append::Op::Read(list), began, end: End::Ok(over) });
    }
    for (key, calls) in &mut record.sets {
        let (began, over, answer) = reader.read(&["SMEMBERS", key])?;
        let members: BTreeSet<Value> =
            numbers(&answer).ok_or_else(|| format!("{key} holds {answer}"))?.into_iter().collect();
        calls.push(Call { client, op: set::Op::Read(members), began, end: End::Ok(over) });
    }
    Ok(())
}

struct Reader<'a> {
    finder: Finder,
    connection: Option<Connection>,
    board: &'a Board,
    deadline: Instant,
}

impl Reader<'_> {
    fn read(&mut self, command: &[&str]) -> Result<(Time, Time, Reply), String> {
        loop {
            let began = self.board.now();
            let reason = match self.connection.take().map_or_else(|| self.finder.connect().map(|found| found.1), Ok) {
                Err(error) => error.to_string(),
                Ok(mut connection) => match Fate::of(connection.ask(command)) {
                    Fate::Done(answer) => {
                        self.connection = Some(connection);
                        return Ok((began, self.board.now(), answer));
                    }
                    Fate::Refused(line) | Fate::Unknown(line) => line,
                },
            };
            if Instant::now() > self.deadline {
                return Err(format!("{} was not answered: {reason}", command.join(" ")));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}
