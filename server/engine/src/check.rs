//! How the engine's tests speak: one function for one command, one for a scenario of several sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_config::ServerConfig;
use quorate_keyspace::UnixMs;
use quorate_resp::{Value, encode_command, split_line};

use crate::{Effect, Engine, Host, Input, Now, Outputs, SessionId, SocketName};

/// Runs one command on a fresh engine; `reply` is its reply's short form (see `quorate_resp::Value`).
#[track_caller]
pub(crate) fn check(command: &str, reply: &str) {
    let mut stage = Stage::new();
    assert_eq!(stage.say(1, command), reply, "{command}");
}

/// Plays a transcript on a fresh engine. Leading spaces are ignored. Each line is one of
/// ```text
/// > set a 1          session 1 says a command            2> get a      session 2 does
/// +OK                the next reply of whoever spoke     2< $1         the next reply or message of session 2
/// wait 100           so many milliseconds pass           stream [$SELECT $0] [$SET $a $1]     what AOF and replicas got since
/// config hz 20       CONFIG SET without asking           closed 2      session 2's connection was ended
/// ```
/// At the end every reply must have been expected.
#[track_caller]
pub(crate) fn scenario(transcript: &str) {
    Stage::new().play(transcript);
}

/// An engine with clients around it.
pub(crate) struct Stage {
    pub engine: Engine,
    pub now: Now,
    pub effects: Vec<Effect>,
    received: BTreeMap<u64, Vec<u8>>,
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(ServerConfig { enable_debug_command: quorate_config::Permission::Yes, ..ServerConfig::default() })
    }

    pub fn with(config: ServerConfig) -> Stage {
        let mut engine = Engine::new(config, Host::still(), fastrand::Rng::with_seed(7));
        engine.core_mut().replication.record();
        // 2023-11-14, so that expiry times look like expiry times.
        let now = Now { wall: UnixMs(1_700_000_000_000), mono: Duration::from_secs(1) };
        Stage { engine, now, effects: Vec::new(), received: BTreeMap::new() }
    }

    /// A turn with one input; gathers what was sent.
    pub fn turn(&mut self, input: Option<Input<'_>>) {
        let mut outputs = Outputs::default();
        self.engine.turn(self.now, input.into_iter(), &mut outputs);
        self.effects.append(&mut outputs.effects);
        for id in outputs.ready {
            let bytes = self.engine.output(id).concat();
            self.engine.sent(id, bytes.len());
            self.received.entry(id.0).or_default().extend(bytes);
        }
    }

    /// Bytes from a session, opened if it is new.
    pub fn send(&mut self, session: u64, bytes: &[u8]) {
        let id = SessionId(session);
        if let std::collections::btree_map::Entry::Vacant(place) = self.received.entry(session) {
            place.insert(Vec::new());
            self.turn(Some(Input::Opened { id, peer: SocketName::None, local: SocketName::None }));
        }
        self.turn(Some(Input::Received { id, bytes }));
    }

    /// Sends a command and returns the first thing that came back, if anything.
    pub fn say(&mut self, session: u64, command: &str) -> String {
        self.send_command(session, command);
        self.hear(session)
    }

    fn send_command(&mut self, session: u64, command: &str) {
        let words = split_line(command.as_bytes()).expect("a test's quotes are balanced");
        let argv: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &argv);
        self.send(session, &bytes);
    }

    /// The next reply or message that a session got, or `nothing`.
    pub fn hear(&mut self, session: u64) -> String {
        let bytes = self.received.entry(session).or_default();
        match Value::decode(bytes).expect("the engine writes RESP") {
            Some((value, taken)) => {
                bytes.drain(..taken);
                value.to_string()
            }
            None => "nothing".into(),
        }
    }

    /// Lets time pass, with a tick at the end.
    pub fn wait(&mut self, time: Duration) {
        self.now.wall = self.now.wall.plus(time);
        self.now.mono += time;
        self.turn(Some(Input::Tick));
    }

    #[track_caller]
    pub fn play(&mut self, transcript: &str) {
        let mut speaker = 1;
        for line in transcript.lines().map(|line| line.trim_start()).filter(|line| !line.is_empty()) {
            if let Some((who, command)) =
                line.split_once("> ").filter(|(who, _)| who.bytes().all(|b| b.is_ascii_digit()))
            {
                speaker = who.parse().unwrap_or(1);
                self.send_command(speaker, command);
            } else if let Some((who, reply)) = line.split_once("< ").filter(|(who, _)| who.parse::<u64>().is_ok()) {
                let who = who.parse().expect("just tried");
                assert_eq!(self.hear(who), reply, "at {line:?}");
            } else if let Some(ms) = line.strip_prefix("wait ") {
                self.wait(Duration::from_millis(ms.parse().expect("milliseconds")));
            } else if let Some(pair) = line.strip_prefix("config ") {
                let pair = pair.split_once(' ').expect("a name and a value");
                self.engine.core_mut().config.set(&[pair], quorate_config::Origin::Local).expect("a right value");
            } else if let Some(who) = line.strip_prefix("closed ") {
                let id = SessionId(who.parse().expect("a session"));
                let closed =
                    self.effects.iter().any(|effect| matches!(effect, Effect::Close { id: of, .. } if *of == id));
                assert!(closed, "session {who} is still there");
            } else if let Some(expected) = line.strip_prefix("stream") {
                assert_eq!(self.stream(), expected.trim(), "at {line:?}");
            } else {
                assert_eq!(self.hear(speaker), line, "session {speaker}, at {line:?}");
            }
        }
        for (session, rest) in &self.received {
            assert!(rest.is_empty(), "session {session} got more: {}", String::from_utf8_lossy(rest));
        }
    }

    fn stream(&mut self) -> String {
        let bytes = std::mem::take(&mut self.engine.core_mut().streamed);
        let (mut rest, mut shown) = (&bytes[..], Vec::new());
        while let Some((value, taken)) = Value::decode(rest).expect("the stream is RESP") {
            shown.push(value.to_string());
            rest = &rest[taken..];
        }
        shown.join(" ")
    }
}
