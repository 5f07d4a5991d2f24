//! A client's connection: one request at a time, each with its deadline, and what an answer says about what happened.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use quorate_resp::{Value, encode_command};

use crate::world::connect;

/// A host that answers a connection later than this is not there.
const CONNECT_WITHIN: Duration = Duration::from_millis(300);
/// A client that waits longer for an answer gives the connection up.
const ANSWER_WITHIN: Duration = Duration::from_millis(800);
/// Longest answer that is taken: far beyond what the workloads ask for.
const MAX_ANSWER: usize = 16 << 20;

/// A connection. After an error it must be dropped: the answer may still come.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects from the calling thread's host.
    pub fn open(to: SocketAddrV4) -> io::Result<Self> {
        let stream = connect(to, CONNECT_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends commands in one piece and waits for all their answers.
    pub fn ask_all(&mut self, commands: &[&[&str]]) -> io::Result<Vec<Value>> {
        let mut request = Vec::new();
        for command in commands {
            let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
            encode_command(&mut request, &words);
        }
        self.stream.write_all(&request)?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        (0..commands.len()).map(|_| self.answer(deadline)).collect()
    }

    /// Sends one command and waits for its answer.
    pub fn ask(&mut self, command: &[&str]) -> io::Result<Value> {
        Ok(self.ask_all(&[command])?.remove(0))
    }

    fn answer(&mut self, deadline: Instant) -> io::Result<Value> {
        loop {
            if let Some((value, used)) = Value::decode(&self.received).map_err(io::Error::other)? {
                self.received.drain(..used);
                return Ok(value);
            }
            if self.received.len() > MAX_ANSWER {
                return Err(io::Error::other("an answer is longer than any may be"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                // A timeout's name on some systems.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It was done; this is the answer.
    Done(Value),
    /// It was refused before anything was done, with this line.
    Refused(String),
    /// Nobody knows. The line tells what was seen.
    Unknown(String),
}

/// Refusals that come before a command runs: the gates' codes, Redis's and ours. Any other error leaves open what was done.
const REFUSALS: &[&str] =
    &["READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "MISCONF", "OOM", "NOAUTH", "DENIED", "BUSY", "EXECABORT"];

impl Fate {
    /// Of one command.
    pub fn of(answer: io::Result<Value>) -> Self {
        match answer {
            Ok(Value::Error(line)) if is_refusal(&line) => Self::Refused(line),
            Ok(Value::Error(line)) => Self::Unknown(line),
            Ok(value) => Self::Done(value),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    /// Of MULTI, some commands, EXEC, sent in one piece. `Done` holds EXEC's answer.
    pub fn of_transaction(answers: io::Result<Vec<Value>>) -> Self {
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return Self::Unknown(error.to_string()),
        };
        let [begin, queued @ .., last] = answers.as_slice() else { return Self::Unknown("no answers".into()) };
        let queued_only = queued.iter().all(|answer| matches!(answer, Value::Simple(_) | Value::Error(_)));
        match (begin, last) {
            // Without MULTI the commands stood for themselves.
            (Value::Simple(_), Value::Error(line)) if queued_only && is_refusal(line) => Self::Refused(line.clone()),
            (Value::Simple(_), Value::Error(line)) => Self::Unknown(line.clone()),
            (Value::Simple(_), Value::Array(parts)) => {
                match parts.iter().find(|part| matches!(part, Value::Error(_))) {
                    Some(error) => Self::Unknown(error.to_string()),
                    None => Self::Done(last.clone()),
                }
            }
            (Value::Simple(_), _) => Self::Done(last.clone()),
            (begin, _) => match queued.iter().all(|answer| matches!(answer, Value::Error(line) if is_refusal(line))) {
                true => Self::Refused(begin.to_string()),
                false => Self::Unknown(begin.to_string()),
            },
        }
    }
}

fn is_refusal(line: &str) -> bool {
    line.split(' ').next().is_some_and(|code| REFUSALS.contains(&code))
}

/// A client's way to the master: over the sentinels, as real clients find it.
pub struct Finder {
    sentinels: Vec<SocketAddrV4>,
    group: String,
}

impl Finder {
    /// Asks these sentinels in this order; one that answered is asked first the next time.
    pub fn new(sentinels: Vec<SocketAddrV4>, group: &str) -> Self {
        Self { sentinels, group: group.to_owned() }
    }

    /// Connects to the master that the first answering sentinel names, if it says itself that it is one.
    pub fn connect(&mut self) -> io::Result<(SocketAddrV4, Connection)> {
        let mut last = io::Error::other("no sentinel is known");
        for index in 0..self.sentinels.len() {
            match master_by(self.sentinels[index], &self.group) {
                Ok(master) => {
                    self.sentinels[..=index].rotate_right(1);
                    let mut connection = Connection::open(master)?;
                    let role = connection.ask(&["ROLE"])?;
                    return match role.elements().and_then(|role| role.first()?.bytes()) {
                        Some(b"master") => Ok((master, connection)),
                        _ => Err(io::Error::other(format!("{master} is no master: {role}"))),
                    };
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The master as this sentinel names it.
pub fn master_by(sentinel: SocketAddrV4, group: &str) -> io::Result<SocketAddrV4> {
    let answer = Connection::open(sentinel)?.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group])?;
    let parts = answer.elements().unwrap_or_default();
    let text = |index: usize| std::str::from_utf8(parts.get(index)?.bytes()?).ok();
    let found = text(0).zip(text(1)).and_then(|(host, port)| format!("{host}:{port}").parse().ok());
    found.ok_or_else(|| io::Error::other(format!("{sentinel} names no master: {answer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> Value {
        Value::Error(line.into())
    }

    fn queued() -> Value {
        Value::Simple("QUEUED".into())
    }

    #[track_caller]
    fn check(fate: Fate, expected: &str) {
        let word = match fate {
            Fate::Done(_) => "done",
            Fate::Refused(_) => "refused",
            Fate::Unknown(_) => "unknown",
        };
        assert_eq!(word, expected);
    }

    #[test]
    fn only_a_gate_refuses_for_certain() {
        check(Fate::of(Ok(Value::Int(1))), "done");
        check(Fate::of(Ok(error("READONLY You can't write against a read only replica."))), "refused");
        check(Fate::of(Ok(error("UNCERTAIN outcome unknown"))), "unknown");
        check(Fate::of(Ok(error("ERR something else"))), "unknown");
        check(Fate::of(Err(io::ErrorKind::TimedOut.into())), "unknown");
    }

    #[test]
    fn a_transaction_is_refused_only_as_a_whole() {
        let ok = Value::Simple("OK".into());
        let done = Value::Array(vec![Value::Int(1)]);
        check(Fate::of_transaction(Ok(vec![ok.clone(), queued(), done.clone()])), "done");
        check(Fate::of_transaction(Ok(vec![ok.clone(), queued(), Value::NullArray])), "done");
        check(Fate::of_transaction(Ok(vec![ok.clone(), error("READONLY x"), error("EXECABORT x")])), "refused");
        check(Fate::of_transaction(Ok(vec![ok.clone(), queued(), error("UNCERTAIN x")])), "unknown");
        check(Fate::of_transaction(Ok(vec![ok, queued(), Value::Array(vec![error("READONLY x")])])), "unknown");
        // MULTI was refused and the command was not: it ran alone.
        check(
            Fate::of_transaction(Ok(vec![error("LOADING x"), Value::Int(1), error("ERR EXEC without MULTI")])),
            "unknown",
        );
        check(Fate::of_transaction(Ok(vec![error("LOADING x"), error("LOADING x"), error("LOADING x")])), "refused");
        check(Fate::of_transaction(Err(io::ErrorKind::UnexpectedEof.into())), "unknown");
    }
}
