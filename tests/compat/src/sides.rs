//! The two that are spoken to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorate_config::ServerConfig;
use quorate_engine::{Engine, Host, Input, Now, Outputs, SessionId, SocketName};
use quorate_harness::stock::StockRedis;
use quorate_keyspace::UnixMs;
use quorate_resp::{Value, encode_command};

/// A reply, as bytes and decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// As it came.
    pub bytes: Vec<u8>,
    /// What it says.
    pub value: Value,
}

/// The bytes of the first reply in `buffer`, taken out of it.
fn take_reply(buffer: &mut Vec<u8>) -> Option<Heard> {
    let (value, len) = Value::decode(buffer).expect("a reply is RESP")?;
    Some(Heard { bytes: buffer.drain(..len).collect(), value })
}

fn encoded(argv: &[Vec<u8>]) -> Vec<u8> {
    let argv: Vec<&[u8]> = argv.iter().map(Vec::as_slice).collect();
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &argv);
    bytes
}

/// A stock server and a connection to it.
pub struct Stock {
    connection: TcpStream,
    received: Vec<u8>,
    _server: StockRedis,
}

impl Stock {
    /// Starts one. Fails without `redis-server` in PATH.
    #[must_use]
    pub fn start() -> Stock {
        let server = StockRedis::start(&[]);
        let connection = TcpStream::connect(("127.0.0.1", server.port)).expect("it has just answered");
        connection.set_nodelay(true).expect("a connected socket takes options");
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a connected socket takes options");
        Stock { connection, received: Vec::new(), _server: server }
    }

    /// Says a command and waits for its reply.
    pub fn say(&mut self, argv: &[Vec<u8>]) -> Heard {
        self.connection.write_all(&encoded(argv)).expect("redis-server is there");
        loop {
            if let Some(heard) = take_reply(&mut self.received) {
                return heard;
            }
            let mut chunk = [0; 65536];
            let len = self.connection.read(&mut chunk).expect("redis-server answers within half a minute");
            assert!(len > 0, "redis-server hung up");
            self.received.extend_from_slice(&chunk[..len]);
        }
    }
}

/// An engine with one session.
pub struct Ours {
    engine: Engine,
    received: Vec<u8>,
    started: Instant,
}

const SESSION: SessionId = SessionId(1);

impl Ours {
    /// An engine in its default configuration.
    #[must_use]
    pub fn start() -> Ours {
        let engine = Engine::new(ServerConfig::default(), Host::still(), fastrand::Rng::with_seed(1));
        let mut ours = Ours { engine, received: Vec::new(), started: Instant::now() };
        ours.turn(Input::Opened { id: SESSION, peer: SocketName::None, local: SocketName::None });
        ours
    }

    fn turn(&mut self, input: Input<'_>) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let now = Now { wall: UnixMs(wall.as_millis() as u64), mono: self.started.elapsed() };
        let mut outputs = Outputs::default();
        self.engine.turn(now, std::iter::once(input), &mut outputs);
        let bytes = self.engine.output(SESSION).concat();
        self.engine.sent(SESSION, bytes.len());
        self.received.extend(bytes);
    }

    /// Says a command; the reply must come in the same turn, alone.
    pub fn say(&mut self, argv: &[Vec<u8>]) -> Heard {
        self.turn(Input::Received { id: SESSION, bytes: &encoded(argv) });
        let shown = || argv.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ");
        let heard = take_reply(&mut self.received).unwrap_or_else(|| panic!("no reply to {}", shown()));
        assert!(self.received.is_empty(), "more than one reply to {}", shown());
        heard
    }
}
