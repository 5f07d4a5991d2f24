//! Our own link to a master: the replica's half of the replication protocol, over bytes.
//!
//! ```text
//!            ┌─────────────────────────── any failure: Close, then wait 20 ms … 1 s ───────────────────────────┐
//!            ▼                                                                                                 │
//!   Waiting ───▶ Connecting ───▶ Greeting ───▶ Introducing ───▶ Asking ──+CONTINUE──────────────▶ Streaming ───┤
//!    (due)       (connected)      (+PONG)       (all REPLCONFs    │                                   ▲        │
//!                                                answered)        └─+FULLRESYNC─▶ Announced           │        │
//!                                                                                   │ $…              │        │
//!                                                                                   ▼                 │        │
//!                                                                               Receiving ─end─▶ Loading ──────┘
//!                                                                                                  │   (loaded)
//!                                                            (the link is lost: goes on loading)   ▼
//!                                                                                               Orphaned ─loaded─▶ Waiting
//! ```
//!
//! [`Follower`] consumes what the link says and emits [`Action`]s; it holds no dataset. The engine tells it what it holds
//! ([`Held`]) when PSYNC is asked, runs the stream it is handed, and says when a payload was loaded. An offset is counted
//! where commands are applied, never here: a link that breaks within a transaction asks again for the whole of it.
//!
//! Every state that waits for the master has one limit, `repl-timeout` without a byte. Everything that an answer is
//! kept in is bounded: a line by [`LINE_LIMIT`], what arrives during a load by the one piece that it arrived in.

use std::borrow::Cow;
use std::time::Duration;

use crate::framing::{Framing, Progress};
use crate::history::Held;
use crate::id::{Address, Epoch, NodeId, Offset, ReplId};

/// The longest line that a master may send during the handshake.
const LINE_LIMIT: usize = 4096;
/// The first wait before a new attempt: a master that was just promoted needs a moment, not a second (Redis waits 1 s).
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// The longest wait before a new attempt. Source: Redis tries once a second.
const BACKOFF_LAST: Duration = Duration::from_secs(1);
/// At least one acknowledgement in this time. Source: Redis, replicationCron.
const ACK_PERIOD: Duration = Duration::from_secs(1);

/// One connection to a master: whatever an older one still says is ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkId(pub u64);

/// What the node says about itself and how long it waits.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// `replica-announce-port`, or the port that it listens on.
    pub port: u16,
    /// `replica-announce-ip`.
    pub ip: Option<String>,
    /// `masteruser`.
    pub user: Option<String>,
    /// `masterauth`.
    pub password: Option<String>,
    /// `repl-timeout`.
    pub timeout: Duration,
    /// Of a node of a group: its name, and the epoch that it was assigned in: a master of an older one refuses (I2).
    pub member: Option<(NodeId, Epoch)>,
}

/// An acknowledgement: what was applied and, of a node of a group, what may be counted as a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// How much of the stream was applied.
    pub applied: Offset,
    /// `None`: it says that the node lives, and no more.
    pub counted: Option<Counted>,
}

/// What makes an acknowledgement count (I2, I3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The epoch that the node was assigned in.
    pub epoch: Epoch,
    /// How much its disk holds, for a node that acknowledges by fsync; otherwise what was applied is held.
    pub synced: Option<Offset>,
}

/// What PSYNC is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To follow.
    Follow,
    /// To make the other end take over (`PSYNC … FAILOVER`).
    HandOver,
}

/// What the link's other end did.
#[derive(Clone, Copy, Debug)]
pub enum LinkEvent<'a> {
    /// The connection is established.
    Connected,
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// The connection could not be established, failed, or was closed.
    Closed,
}

/// What to do next, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Drop any older connection and connect.
    Connect(LinkId, Address),
    /// Send this.
    Send(Vec<u8>),
    /// Close the connection.
    Close,
    /// Take nothing more from the socket, until [`Action::TakeMore`]: a payload is being loaded.
    TakeNoMore,
    /// Take from the socket again.
    TakeMore,
    /// A full resync's payload begins; it is the dataset of this history.
    PayloadBegins(Held),
    /// The next piece of the payload.
    Payload(Cow<'a, [u8]>),
    /// The payload is complete: load it and call [`Follower::loaded`].
    PayloadEnds,
    /// The payload will not be completed: forget it.
    PayloadLost,
    /// The stream goes on from what was held, under this id if it is new.
    Continue(Option<ReplId>),
    /// Bytes of the stream to parse and apply.
    Stream(Cow<'a, [u8]>),
    /// A master of a group said that its stream ends here (I10).
    Met(Offset),
    /// What this node holds behind this offset is not the master's: the full resync that follows drops it (I12).
    Diverged(Offset),
    /// The other end refused to take over, or cannot be reached: stay what you were.
    HandOverRefused,
    /// Something for the log.
    Log(String),
}

/// The coarse state, as `ROLE` and `master_link_status` tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected: `connect`.
    Connect,
    /// Waiting for the connection: `connecting`.
    Connecting,
    /// Shaking hands: `handshake`.
    Handshake,
    /// Receiving or loading a payload: `sync`.
    Sync,
    /// `connected`.
    Connected,
}

/// See the module.
#[derive(Debug)]
pub struct Follower {
    master: Address,
    introduction: Introduction,
    purpose: Purpose,
    link: LinkId,
    backoff: Duration,
    /// When a byte last came, or the current attempt began.
    heard_at: Duration,
    /// When the link was last lost; `None` while it streams.
    down_since: Option<Duration>,
    state: State,
}

/// Every arrow is in the module's header. A state that reads lines carries the line read so far.
#[derive(Debug)]
enum State {
    Waiting {
        until: Duration,
    },
    Connecting,
    Greeting {
        line: Line,
    },
    Introducing {
        line: Line,
        answers_left: usize,
    },
    Asking {
        line: Line,
    },
    Announced {
        line: Line,
        held: Held,
    },
    Receiving {
        framing: Framing,
        held: Held,
        received: u64,
    },
    Loading {
        held: Held,
        rest: Vec<u8>,
        pinged_at: Duration,
    },
    /// The link was lost during the load. What is being loaded is still worth having: PSYNC goes on from it.
    Orphaned {
        held: Held,
    },
    Streaming {
        acked_at: Option<Duration>,
        ack_wanted: bool,
        /// What the last acknowledgement said.
        last: Option<Ack>,
    },
}

/// A line being read. Empty lines are a master's sign of life.
#[derive(Debug, Default)]
struct Line(Vec<u8>);

impl Line {
    /// Takes bytes up to the end of a line that is not empty. `Err` when it is too long.
    fn take(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            self.0.extend_from_slice(&input[..end]);
            *input = &input[end + 1..];
            if self.0.last() == Some(&b'\r') {
                self.0.pop();
            }
            if self.0.len() > LINE_LIMIT {
                return Err(Failure("the master's answer is too long".into()));
            }
            if !self.0.is_empty() {
                return Ok(Some(std::mem::take(&mut self.0)));
            }
        }
        self.0.extend_from_slice(input);
        *input = &[];
        if self.0.len() > LINE_LIMIT { Err(Failure("the master's answer is too long".into())) } else { Ok(None) }
    }
}

/// Why the link is given up; the text is for the log.
#[derive(Debug)]
struct Failure(String);

/// Is there more to do with the input at hand?
enum Turn {
    Again(State),
    Done(State),
}

impl Follower {
    /// Follows `master`; the first attempt is made by the next [`Follower::tick`].
    pub fn new(master: Address, introduction: Introduction, purpose: Purpose, link: LinkId, now: Duration) -> Follower {
        Follower {
            master,
            introduction,
            purpose,
            link,
            backoff: BACKOFF_FIRST,
            heard_at: now,
            down_since: Some(now),
            state: State::Waiting { until: now },
        }
    }

    /// Whom we follow.
    pub fn master(&self) -> &Address {
        &self.master
    }

    /// The newest connection.
    pub fn link(&self) -> LinkId {
        self.link
    }

    /// What PSYNC is asked for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Replaces what is said about this node; timeouts count at once, the rest with the next handshake.
    pub fn introduce_as(&mut self, introduction: Introduction) {
        self.introduction = introduction;
    }

    /// Where the link stands.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Waiting { .. } => Phase::Connect,
            State::Connecting => Phase::Connecting,
            State::Greeting { .. } | State::Introducing { .. } | State::Asking { .. } => Phase::Handshake,
            State::Announced { .. } | State::Receiving { .. } | State::Loading { .. } | State::Orphaned { .. } => {
                Phase::Sync
            }
            State::Streaming { .. } => Phase::Connected,
        }
    }

    /// When the last byte came.
    pub fn heard_at(&self) -> Duration {
        self.heard_at
    }

    /// When the link was lost; `None` while it streams.
    pub fn down_since(&self) -> Option<Duration> {
        self.down_since
    }

    /// During a full resync: bytes received, and the total where it is known.
    pub fn transfer(&self) -> Option<(u64, Option<u64>)> {
        match &self.state {
            State::Receiving { framing, received, .. } => {
                Some((*received, framing.length().map(|left| left + received)))
            }
            _ => None,
        }
    }

    /// May more be taken from the socket? Not between [`Action::TakeNoMore`] and [`Action::TakeMore`].
    pub fn takes_more(&self) -> bool {
        !matches!(self.state, State::Loading { .. } | State::Orphaned { .. })
    }

    /// When [`Follower::tick`] has something to do.
    pub fn due(&self) -> Duration {
        let timeout = self.heard_at + self.introduction.timeout;
        match &self.state {
            State::Waiting { until } => *until,
            State::Orphaned { .. } => Duration::MAX,
            State::Loading { pinged_at, .. } => *pinged_at + ACK_PERIOD,
            State::Streaming { acked_at, .. } => timeout.min(acked_at.map_or(Duration::ZERO, |at| at + ACK_PERIOD)),
            _ => timeout,
        }
    }

    /// Time has passed. `ack` is what an acknowledgement says now.
    pub fn tick(&mut self, now: Duration, ack: Ack, out: &mut Vec<Action<'_>>) {
        let timed_out = now >= self.heard_at + self.introduction.timeout;
        match &mut self.state {
            State::Waiting { until } if *until > now => {}
            State::Waiting { .. } => {
                self.link = LinkId(self.link.0 + 1);
                self.heard_at = now;
                self.state = State::Connecting;
                out.push(Action::Connect(self.link, self.master.clone()));
            }
            State::Orphaned { .. } => {}
            State::Loading { pinged_at, .. } if now < *pinged_at + ACK_PERIOD => {}
            State::Loading { pinged_at, .. } => {
                *pinged_at = now;
                out.push(Action::Send(b"\n".to_vec())); // a sign of life, as Redis's replica sends while it loads
            }
            _ if timed_out => self.give_up(now, &Failure("no sign of life from the master".into()), out),
            State::Streaming { acked_at, .. } if acked_at.is_none_or(|at| now >= at + ACK_PERIOD) => {
                self.acknowledge(now, ack, out);
            }
            _ => {}
        }
    }

    /// The master asked for an acknowledgement (`REPLCONF GETACK`): it is sent by [`Follower::end_of_turn`].
    pub fn want_ack(&mut self) {
        if let State::Streaming { ack_wanted, .. } = &mut self.state {
            *ack_wanted = true;
        }
    }

    /// Everything that arrived has been applied: acknowledges it if the master asked, and in a group whenever more of it counts than was said.
    pub fn end_of_turn(&mut self, now: Duration, ack: Ack, out: &mut Vec<Action<'_>>) {
        let State::Streaming { ack_wanted, last, .. } = &self.state else { return };
        if *ack_wanted || (ack.counted.is_some() && *last != Some(ack)) {
            self.acknowledge(now, ack, out);
        }
    }

    /// The link said something. `held` is the dataset's place, `None` when nothing is held that a master could continue.
    pub fn on<'a>(
        &mut self,
        now: Duration,
        link: LinkId,
        event: LinkEvent<'a>,
        held: Option<Held>,
        out: &mut Vec<Action<'a>>,
    ) {
        if link != self.link || matches!(self.state, State::Waiting { .. } | State::Orphaned { .. }) {
            return;
        }
        match event {
            LinkEvent::Closed => match self.state {
                State::Loading { held, .. } => {
                    self.state = State::Orphaned { held };
                    out.push(Action::Close);
                }
                _ => self.give_up(now, &Failure("the connection to the master was lost".into()), out),
            },
            LinkEvent::Connected => {
                if matches!(self.state, State::Connecting) {
                    self.heard_at = now;
                    self.state = State::Greeting { line: Line::default() };
                    out.push(Action::Send(b"*1\r\n$4\r\nPING\r\n".to_vec()));
                }
            }
            LinkEvent::Bytes(bytes) => {
                self.heard_at = now;
                self.take(now, bytes, held, out);
            }
        }
    }

    /// The payload was loaded and is now the dataset. What came after it in the same piece follows as [`Action::Stream`].
    /// The acknowledgement makes a diskless master begin to stream.
    pub fn loaded(&mut self, now: Duration, out: &mut Vec<Action<'_>>) {
        match std::mem::replace(&mut self.state, State::Streaming { acked_at: None, ack_wanted: false, last: None }) {
            State::Loading { held, rest, .. } => {
                self.established(now);
                // It counts for nothing yet: the engine's own acknowledgement follows when its log holds the new dataset.
                self.acknowledge(now, Ack { applied: held.offset, counted: None }, out);
                out.push(Action::TakeMore);
                if !rest.is_empty() {
                    out.push(Action::Stream(Cow::Owned(rest)));
                }
            }
            State::Orphaned { .. } => self.state = State::Waiting { until: now },
            other => self.state = other,
        }
    }

    /// Is a payload of this history still wanted? A load that was given up is dropped when it ends.
    pub fn is_loading(&self, of: Held) -> bool {
        matches!(&self.state, State::Loading { held, .. } | State::Orphaned { held } if *held == of)
    }

    /// The payload could not be loaded, or the stream could not be applied: starts again.
    pub fn fail(&mut self, now: Duration, why: &str, out: &mut Vec<Action<'_>>) {
        if !matches!(self.state, State::Waiting { .. }) {
            self.give_up(now, &Failure(why.into()), out);
        }
    }

    /// Ends the link for good: whoever owns this follower is about to drop it.
    pub fn stop(self, out: &mut Vec<Action<'_>>) {
        match self.state {
            State::Waiting { .. } => {}
            State::Orphaned { .. } => out.push(Action::PayloadLost),
            State::Receiving { .. } | State::Loading { .. } => out.extend([Action::PayloadLost, Action::Close]),
            _ => out.push(Action::Close),
        }
    }

    fn take<'a>(&mut self, now: Duration, mut input: &'a [u8], held: Option<Held>, out: &mut Vec<Action<'a>>) {
        loop {
            let state = std::mem::replace(&mut self.state, State::Connecting);
            match self.step(now, state, &mut input, held, out) {
                Ok(Turn::Again(state)) => self.state = state,
                Ok(Turn::Done(state)) => {
                    self.state = state;
                    return;
                }
                Err((state, failure)) => {
                    self.state = state;
                    self.give_up(now, &failure, out);
                    return;
                }
            }
        }
    }

    fn step<'a>(
        &mut self,
        now: Duration,
        state: State,
        input: &mut &'a [u8],
        held: Option<Held>,
        out: &mut Vec<Action<'a>>,
    ) -> Result<Turn, (State, Failure)> {
        let fail = |failure| (State::Connecting, failure);
        Ok(match state {
            State::Waiting { .. } | State::Orphaned { .. } | State::Connecting => Turn::Done(state),
            State::Greeting { mut line } => match line.take(input).map_err(fail)? {
                None => Turn::Done(State::Greeting { line }),
                Some(answer) => Turn::Again(self.greeted(&answer, out).map_err(fail)?),
            },
            State::Introducing { mut line, answers_left } => match line.take(input).map_err(fail)? {
                None => Turn::Done(State::Introducing { line, answers_left }),
                Some(answer) => Turn::Again(self.introduced(&answer, answers_left, held, out).map_err(fail)?),
            },
            State::Asking { mut line } => match line.take(input).map_err(fail)? {
                None => Turn::Done(State::Asking { line }),
                Some(answer) => Turn::Again(self.answered(now, &answer, held, out).map_err(fail)?),
            },
            State::Announced { mut line, held } => {
                match line.take(input).map_err(|failure| (State::Connecting, failure))? {
                    None => Turn::Done(State::Announced { line, held }),
                    Some(header) => match Framing::parse(&header) {
                        Some(framing) => {
                            out.push(Action::PayloadBegins(held));
                            Turn::Again(State::Receiving { framing, held, received: 0 })
                        }
                        None => {
                            return Err(fail(Failure(format!("bad payload header: {}", text(&header)))));
                        }
                    },
                }
            }
            State::Receiving { mut framing, held, mut received } => {
                let mut hand_on = |bytes: Cow<'a, [u8]>| {
                    received += bytes.len() as u64;
                    out.push(Action::Payload(bytes));
                };
                match framing.feed(input, &mut hand_on) {
                    Progress::More => Turn::Done(State::Receiving { framing, held, received }),
                    Progress::Ended(used) => {
                        out.extend([Action::PayloadEnds, Action::TakeNoMore]);
                        Turn::Done(State::Loading { held, rest: input[used..].to_vec(), pinged_at: now })
                    }
                }
            }
            State::Loading { held, mut rest, pinged_at } => {
                rest.extend_from_slice(input); // only what the shell had read before it saw TakeNoMore
                Turn::Done(State::Loading { held, rest, pinged_at })
            }
            state @ State::Streaming { .. } => {
                if !input.is_empty() {
                    out.push(Action::Stream(Cow::Borrowed(input)));
                }
                Turn::Done(state)
            }
        })
    }

    /// The answer to PING. A master that wants a password says so here, and that is fine.
    fn greeted(&self, answer: &[u8], out: &mut Vec<Action<'_>>) -> Result<State, Failure> {
        let fine = [&b"+"[..], b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
        if !fine.iter().any(|prefix| answer.starts_with(prefix)) {
            return Err(Failure(format!("the master answered PING with: {}", text(answer))));
        }
        let me = &self.introduction;
        let mut bytes = Vec::new();
        let mut answers_left = 0;
        let mut say = |words: &[&str]| {
            command(&mut bytes, words);
            answers_left += 1;
        };
        match (&me.user, &me.password) {
            (Some(user), Some(password)) => say(&["AUTH", user, password]),
            (None, Some(password)) => say(&["AUTH", password]),
            (_, None) => {}
        }
        say(&["REPLCONF", "listening-port", &me.port.to_string()]);
        if let Some(ip) = &me.ip {
            say(&["REPLCONF", "ip-address", ip]);
        }
        say(&["REPLCONF", "capa", "eof", "capa", "psync2"]);
        if let Some((node, epoch)) = me.member {
            say(&["REPLCONF", "quorate-node", node.as_str(), "quorate-epoch", &epoch.to_string()]);
        }
        out.push(Action::Send(bytes));
        Ok(State::Introducing { line: Line::default(), answers_left })
    }

    /// One of the answers to AUTH and the REPLCONFs. A REPLCONF that a master does not know is no reason to leave.
    fn introduced(
        &self,
        answer: &[u8],
        answers_left: usize,
        held: Option<Held>,
        out: &mut Vec<Action<'_>>,
    ) -> Result<State, Failure> {
        let refused = [&b"-WRONGPASS"[..], b"-NOAUTH", b"-NOPERM", b"-FENCED", b"-ERR invalid password", b"-ERR AUTH"];
        if refused.iter().any(|prefix| answer.starts_with(prefix)) {
            return Err(Failure(format!("the master refused: {}", text(answer))));
        }
        let end = answer.strip_prefix(b"+OK ").and_then(|end| std::str::from_utf8(end).ok()?.parse().ok());
        if let Some(end) = end {
            out.push(Action::Met(Offset(end)));
        }
        if answers_left > 1 {
            return Ok(State::Introducing { line: Line::default(), answers_left: answers_left - 1 });
        }
        let (replid, next) = match held {
            Some(held) => (held.replid.to_string(), held.offset.next_on_wire().to_string()),
            None => ("?".to_owned(), "-1".to_owned()),
        };
        let mut bytes = Vec::new();
        match self.purpose {
            Purpose::Follow => command(&mut bytes, &["PSYNC", &replid, &next]),
            Purpose::HandOver => command(&mut bytes, &["PSYNC", &replid, &next, "FAILOVER"]),
        }
        out.push(Action::Send(bytes));
        Ok(State::Asking { line: Line::default() })
    }

    /// The answer to PSYNC.
    fn answered(
        &mut self,
        now: Duration,
        answer: &[u8],
        held: Option<Held>,
        out: &mut Vec<Action<'_>>,
    ) -> Result<State, Failure> {
        let mut words = answer.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        match words.next() {
            Some(b"+CONTINUE") if held.is_some() => {
                self.purpose = Purpose::Follow;
                self.established(now);
                out.push(Action::Continue(words.next().and_then(ReplId::parse)));
                // Acknowledged by the next tick or end of turn, once the engine has adopted the history.
                Ok(State::Streaming { acked_at: None, ack_wanted: true, last: None })
            }
            Some(b"+FULLRESYNC") => {
                let replid = words.next().and_then(ReplId::parse);
                let offset = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
                let (Some(replid), Some(offset)) = (replid, offset) else {
                    return Err(Failure(format!("bad answer to PSYNC: {}", text(answer))));
                };
                self.purpose = Purpose::Follow;
                let shared = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
                if let Some(shared) = shared {
                    out.push(Action::Diverged(Offset(shared)));
                }
                Ok(State::Announced { line: Line::default(), held: Held { replid, offset: Offset(offset) } })
            }
            // -NOMASTERLINK and -LOADING mean "later", and so does everything else: the wait grows to a second.
            _ => {
                if self.purpose == Purpose::HandOver {
                    out.push(Action::HandOverRefused);
                }
                Err(Failure(format!("the master answered PSYNC with: {}", text(answer))))
            }
        }
    }

    fn established(&mut self, now: Duration) {
        self.heard_at = now;
        self.down_since = None;
        self.backoff = BACKOFF_FIRST;
    }

    fn acknowledge(&mut self, now: Duration, ack: Ack, out: &mut Vec<Action<'_>>) {
        let State::Streaming { acked_at, ack_wanted, last } = &mut self.state else { return };
        (*acked_at, *ack_wanted, *last) = (Some(now), false, Some(ack));
        let applied = ack.applied.to_string();
        let mut bytes = Vec::new();
        match ack.counted {
            None => command(&mut bytes, &["REPLCONF", "ACK", &applied]),
            Some(Counted { epoch, synced: None }) => {
                command(&mut bytes, &["REPLCONF", "ACK", &applied, "EPOCH", &epoch.to_string()]);
            }
            Some(Counted { epoch, synced: Some(synced) }) => {
                let (synced, epoch) = (synced.to_string(), epoch.to_string());
                command(&mut bytes, &["REPLCONF", "ACK", &applied, "FACK", &synced, "EPOCH", &epoch]);
            }
        }
        out.push(Action::Send(bytes));
    }

    fn give_up(&mut self, now: Duration, why: &Failure, out: &mut Vec<Action<'_>>) {
        let until = now + self.backoff;
        match std::mem::replace(&mut self.state, State::Waiting { until }) {
            State::Receiving { .. } | State::Loading { .. } | State::Orphaned { .. } => out.push(Action::PayloadLost),
            State::Streaming { .. } => self.down_since = Some(now),
            _ => {}
        }
        self.backoff = (self.backoff * 2).min(BACKOFF_LAST);
        out.extend([Action::Close, Action::Log(format!("replication from {}: {}", self.master, why.0))]);
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned()
}

/// Encodes a command as an array of bulk strings.
fn command(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
