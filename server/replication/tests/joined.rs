//! Both ends of replication joined in memory, with the link cut at every byte.
//!
//! The dataset is the stream itself: a list of bytes. So a replica is right exactly when it holds the same bytes.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_replication::follower::{Ack, Action, Counted, Introduction, LinkEvent, LinkId, Purpose};
use quorate_replication::history::{Held, History, Renamed, Verdict};
use quorate_replication::master::{PayloadFraming, ReplicaId, Replicas, StreamBegins};
use quorate_replication::{Address, Epoch, Follower, NodeId, Offset, ReplId};

const MARK: &str = "fedcba9876543210fedcba9876543210fedcba98";

fn id(letter: u8) -> ReplId {
    ReplId::parse(&[letter; 40]).expect("forty letters")
}

fn address() -> Address {
    Address::new("m", 1)
}

/// An acknowledgement that counts for nothing.
fn plain(applied: Offset) -> Ack {
    Ack { applied, counted: None }
}

fn introduction() -> Introduction {
    Introduction {
        port: 7002,
        ip: Some("10.0.0.2".into()),
        user: None,
        password: Some("secret".into()),
        timeout: Duration::from_secs(60),
        member: Some((NodeId::parse(&[b'd'; 40]).expect("hexadecimal"), Epoch(3))),
    }
}

/// A master in the small: enough of the commands for a handshake, and a dataset.
struct Master {
    history: History,
    replicas: Replicas,
    data: Vec<u8>,
    session: ReplicaId,
    input: Vec<u8>,
    fulls: usize,
    partials: usize,
    /// Said instead of an answer to PSYNC, one each time.
    excuses: VecDeque<&'static str>,
}

impl Master {
    fn new(replid: u8, data: &[u8]) -> Master {
        let mut history = History::new(id(replid));
        history.record(1 << 20);
        history.append(data);
        Master {
            history,
            replicas: Replicas::default(),
            data: data.to_vec(),
            session: ReplicaId(0),
            input: Vec::new(),
            fulls: 0,
            partials: 0,
            excuses: VecDeque::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.history.append(bytes);
        self.data.extend_from_slice(bytes);
    }

    fn accept(&mut self) {
        self.replicas.remove(self.session);
        self.session = ReplicaId(self.session.0 + 1);
        self.input.clear();
    }

    /// Takes bytes from the replica, answers, and feeds the stream.
    fn turn(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(words) = self.next_command() {
            self.run(&words, now, &mut out);
        }
        // A connection that takes three bytes at a time: partial sends are the rule here.
        let piece = self.replicas.unsent(self.session, &self.history);
        let piece = &piece[..piece.len().min(3)];
        out.extend_from_slice(piece);
        self.replicas.sent(self.session, piece.len());
        self.history.trim(self.replicas.slowest());
        out
    }

    fn next_command(&mut self) -> Option<Vec<String>> {
        if self.input.first() == Some(&b'\n') {
            self.input.remove(0);
        }
        let text = std::str::from_utf8(&self.input).expect("the handshake is text");
        let mut rest = text.strip_prefix('*')?;
        let (count, after) = rest.split_once("\r\n")?;
        rest = after;
        let mut words = Vec::new();
        for _ in 0..count.parse::<usize>().expect("a count") {
            let (length, after) = rest.strip_prefix('$')?.split_once("\r\n")?;
            let length: usize = length.parse().expect("a length");
            words.push(after.get(..length)?.to_owned());
            rest = after.get(length + 2..)?;
        }
        let used = text.len() - rest.len();
        self.input.drain(..used);
        Some(words)
    }

    fn run(&mut self, words: &[String], now: Duration, out: &mut Vec<u8>) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let replica = self.replicas.introduce(self.session, "p", now);
        match words[..] {
            ["PING"] => out.extend_from_slice(b"-NOAUTH Authentication required.\r\n"),
            ["AUTH", "secret"] => out.extend_from_slice(b"+OK\r\n"),
            ["REPLCONF", "listening-port", port] => {
                replica.port = port.parse().expect("a port");
                out.extend_from_slice(b"+OK\r\n");
            }
            ["REPLCONF", "ip-address", ip] => {
                replica.ip = Some(ip.into());
                out.extend_from_slice(b"+OK\r\n");
            }
            ["REPLCONF", "capa", "eof", "capa", "psync2"] => {
                replica.payload = PayloadFraming::Mark;
                out.extend_from_slice(b"+OK\r\n");
            }
            ["REPLCONF", "quorate-node", _, "quorate-epoch", "3"] => {
                out.extend_from_slice(b"-ERR Unrecognized REPLCONF option\r\n")
            }
            ["REPLCONF", "ACK", offset] => {
                let began = self.replicas.ack(self.session, Offset(offset.parse().expect("an offset")), now);
                assert!(began == StreamBegins::No || self.replicas.get(self.session).expect("known").is_online());
            }
            ["PSYNC", replid, next] => self.psync(replid, next, now, out),
            _ => panic!("unexpected {words:?}"),
        }
    }

    fn psync(&mut self, replid: &str, next: &str, now: Duration, out: &mut Vec<u8>) {
        if let Some(excuse) = self.excuses.pop_front() {
            out.extend_from_slice(excuse.as_bytes());
            return;
        }
        let held = ReplId::parse(replid.as_bytes()).map(|replid| Held {
            replid,
            offset: Offset::from_next_on_wire(next.parse().expect("a number")).expect("from 1"),
        });
        let verdict = self.history.psync(held);
        self.replicas.asked(self.session, verdict, now);
        match verdict {
            Verdict::Continue(_) => {
                self.partials += 1;
                out.extend_from_slice(format!("+CONTINUE {}\r\n", self.history.replid()).as_bytes());
            }
            Verdict::Full(_) => {
                self.fulls += 1;
                let at = self.history.offset();
                assert_eq!(self.replicas.begin_snapshot(at), [(self.session, PayloadFraming::Mark)]);
                out.extend_from_slice(
                    format!("\n+FULLRESYNC {} {at}\r\n\n$EOF:{MARK}\r\n", self.history.replid()).as_bytes(),
                );
                out.extend_from_slice(&self.data);
                out.extend_from_slice(MARK.as_bytes());
                self.replicas.payload_sent(self.session, now);
                self.write(b"<during the transfer>");
            }
        }
    }
}

/// A replica in the small.
struct Replica {
    follower: Follower,
    held: Option<Held>,
    data: Vec<u8>,
    payload: Option<(Held, Vec<u8>)>,
    loaded: bool,
    connected: bool,
    log: Vec<String>,
}

impl Replica {
    fn new() -> Replica {
        Replica {
            follower: Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO),
            held: None,
            data: Vec::new(),
            payload: None,
            loaded: false,
            connected: false,
            log: Vec::new(),
        }
    }

    fn applied(&self) -> Offset {
        self.held.map_or(Offset(0), |held| held.offset)
    }

    /// Performs what the follower wants; returns the bytes for the master.
    fn perform(&mut self, actions: Vec<Action<'_>>) -> Vec<u8> {
        let mut out = Vec::new();
        for action in actions {
            match action {
                Action::Connect(_, to) => {
                    assert_eq!(to, address());
                    self.connected = true;
                    out.clear();
                }
                Action::Send(bytes) => out.extend_from_slice(&bytes),
                Action::Close => {
                    self.connected = false;
                    out.clear();
                }
                Action::PayloadBegins(held) => assert!(self.payload.replace((held, Vec::new())).is_none()),
                Action::Payload(bytes) => self.payload.as_mut().expect("it began").1.extend_from_slice(&bytes),
                Action::PayloadEnds => self.loaded = true,
                Action::PayloadLost => (self.payload, self.loaded) = (None, false),
                Action::Continue(replid) => {
                    let held = self.held.as_mut().expect("it was asked for");
                    held.replid = replid.unwrap_or(held.replid);
                }
                Action::Stream(bytes) => {
                    self.data.extend_from_slice(&bytes);
                    let held = self.held.as_mut().expect("a dataset");
                    held.offset = held.offset.plus(bytes.len());
                }
                Action::TakeMore | Action::TakeNoMore | Action::Met(_) | Action::Diverged(_) => {}
                Action::HandOverRefused => panic!("no hand-over was asked for"),
                Action::Log(line) => self.log.push(line),
            }
        }
        out
    }

    fn on(&mut self, now: Duration, event: LinkEvent<'_>) -> Vec<u8> {
        let mut actions = Vec::new();
        self.follower.on(now, self.follower.link(), event, self.held, &mut actions);
        let mut out = self.perform(actions);
        if std::mem::take(&mut self.loaded) {
            let (held, data) = self.payload.take().expect("it was loaded");
            assert!(self.follower.is_loading(held));
            (self.held, self.data) = (Some(held), data);
            let mut actions = Vec::new();
            self.follower.loaded(now, &mut actions);
            out.extend(self.perform(actions));
        }
        let mut actions = Vec::new();
        self.follower.end_of_turn(now, plain(self.applied()), &mut actions);
        out.extend(self.perform(actions));
        out
    }

    fn tick(&mut self, now: Duration) -> Vec<u8> {
        let mut actions = Vec::new();
        self.follower.tick(now, plain(self.applied()), &mut actions);
        self.perform(actions)
    }
}

/// Runs until the replica holds what the master holds, cutting the link after `cut` bytes have arrived at either end.
/// Returns how many bytes were exchanged.
fn run(master: &mut Master, replica: &mut Replica, piece: usize, mut cut: Option<usize>) -> usize {
    let mut now = Duration::ZERO;
    let mut exchanged = 0;
    let mut to_master = VecDeque::new();
    let mut to_replica: VecDeque<u8> = VecDeque::new();
    for _ in 0..20_000 {
        if !replica.connected {
            now = now.max(replica.follower.due());
            to_master.clear();
            to_replica.clear();
            replica.tick(now);
            if replica.connected {
                master.accept();
                to_master.extend(replica.on(now, LinkEvent::Connected));
            }
            continue;
        }
        if cut.is_some_and(|at| exchanged >= at) {
            cut = None;
            replica.on(now, LinkEvent::Closed);
            assert!(!replica.connected);
            continue;
        }
        let bytes: Vec<u8> = to_master.drain(..to_master.len().min(piece)).collect();
        exchanged += bytes.len();
        to_replica.extend(master.turn(&bytes, now));
        let bytes: Vec<u8> = to_replica.drain(..to_replica.len().min(piece)).collect();
        if !bytes.is_empty() {
            exchanged += bytes.len();
            to_master.extend(replica.on(now, LinkEvent::Bytes(&bytes)));
        }
        let quiet = to_master.is_empty() && to_replica.is_empty() && bytes.is_empty();
        if quiet && replica.data == master.data && cut.is_none_or(|at| exchanged < at) {
            return exchanged;
        }
    }
    panic!("they never agreed: {:?} {:?}", replica.follower, replica.log);
}

#[test]
fn a_new_replica_is_resynchronised_whole_and_then_follows() {
    let mut master = Master::new(b'a', b"some data");
    let mut replica = Replica::new();
    run(&mut master, &mut replica, 7, None);
    master.write(b" and more");
    run(&mut master, &mut replica, 7, None);
    assert_eq!(replica.data, b"some data<during the transfer> and more");
    assert_eq!((master.fulls, master.partials), (1, 0));
    assert_eq!(replica.held, Some(master.history.held()));
    let (_, seen) = master.replicas.iter().next().expect("one replica");
    assert_eq!(seen.address(), Address::new("10.0.0.2", 7002));
}

#[test]
fn a_cut_at_any_byte_loses_nothing() {
    for piece in [1, 5, 4096] {
        let total = run(&mut Master::new(b'a', b"some data"), &mut Replica::new(), piece, None);
        for cut in 0..total {
            let mut master = Master::new(b'a', b"some data");
            let mut replica = Replica::new();
            run(&mut master, &mut replica, piece, Some(cut));
            assert_eq!(replica.data, master.data, "cut after {cut}");
            assert_eq!(replica.held, Some(master.history.held()));
            assert!(master.fulls <= 2, "cut after {cut}: {} full resyncs", master.fulls);
        }
    }
}

#[test]
fn a_cut_stream_goes_on_without_a_full_resync() {
    let mut master = Master::new(b'a', b"some data");
    let mut replica = Replica::new();
    run(&mut master, &mut replica, 4096, None);
    for cut in 0..600 {
        master.write(b"0123456789");
        run(&mut master, &mut replica, 3, Some(cut % 12));
        assert_eq!(replica.data, master.data);
    }
    assert_eq!(master.fulls, 1);
    assert!(master.partials >= 400, "{}", master.partials);
}

/// I12: whoever holds a prefix follows a promoted sibling by partial resync; whoever holds more starts again.
#[test]
fn a_promoted_sibling_is_followed_from_the_shared_past() {
    for (lost, fulls) in [(0, 0), (1, 1)] {
        let mut old = Master::new(b'a', b"some data");
        let mut replica = Replica::new();
        run(&mut old, &mut replica, 64, None);
        let held_by_sibling = replica.data.len() - lost;
        let mut new = Master::new(b'a', &replica.data[..held_by_sibling]);
        new.history.promote(id(b'b'));
        new.write(b"after the promotion");
        replica.on(Duration::ZERO, LinkEvent::Closed);
        run(&mut new, &mut replica, 64, None);
        assert_eq!(replica.data, new.data);
        assert_eq!((new.fulls, new.partials), (fulls, 1 - fulls));
        assert_eq!(replica.held, Some(new.history.held()));
    }
}

#[test]
fn excuses_are_taken_and_the_wait_grows_to_a_second() {
    let mut master = Master::new(b'a', b"some data");
    let excuses =
        ["-NOMASTERLINK Can't SYNC while not connected with my master\r\n", "-LOADING busy\r\n", "-ERR what?\r\n"];
    master.excuses.extend(excuses.iter().cycle().take(9));
    let mut replica = Replica::new();
    run(&mut master, &mut replica, 64, None);
    assert_eq!(replica.data, master.data);
    assert_eq!(replica.log.len(), 9);

    let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let now = follower.due();
        follower.tick(now, plain(Offset(0)), &mut Vec::new());
        follower.on(now, follower.link(), LinkEvent::Closed, None, &mut Vec::new());
        waits.push((follower.due() - now).as_millis());
    }
    assert_eq!(waits, [20, 40, 80, 160, 320, 640, 1000, 1000]);
}

#[test]
fn a_refusal_of_password_or_epoch_ends_the_attempt() {
    for answer in ["-WRONGPASS no\r\n", "-FENCED epoch 2 is over\r\n", "-NOAUTH Authentication required.\r\n"] {
        let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO);
        let mut actions = Vec::new();
        follower.tick(Duration::ZERO, plain(Offset(0)), &mut actions);
        follower.on(Duration::ZERO, LinkId(1), LinkEvent::Connected, None, &mut actions);
        follower.on(Duration::ZERO, LinkId(1), LinkEvent::Bytes(b"+PONG\r\n"), None, &mut actions);
        actions.clear();
        follower.on(Duration::ZERO, LinkId(1), LinkEvent::Bytes(answer.as_bytes()), None, &mut actions);
        assert_eq!(actions[0], Action::Close, "{answer}");
        assert!(matches!(&actions[1], Action::Log(line) if line.contains(answer.trim_end())));
    }
}

#[test]
fn silence_and_nonsense_end_the_attempt() {
    let long = vec![b'x'; 5000];
    for nonsense in [&b"-MISCONF no\r\n"[..], b"*1\r\n", &long] {
        let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO);
        let mut actions = Vec::new();
        follower.tick(Duration::ZERO, plain(Offset(0)), &mut actions);
        follower.on(Duration::ZERO, LinkId(1), LinkEvent::Connected, None, &mut actions);
        actions.clear();
        follower.on(Duration::ZERO, LinkId(1), LinkEvent::Bytes(nonsense), None, &mut actions);
        assert_eq!(actions[0], Action::Close);
    }
    let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO);
    let mut actions = Vec::new();
    follower.tick(Duration::ZERO, plain(Offset(0)), &mut actions);
    actions.clear();
    follower.tick(Duration::from_secs(59), plain(Offset(0)), &mut actions);
    assert!(actions.is_empty());
    follower.tick(Duration::from_secs(60), plain(Offset(0)), &mut actions);
    assert_eq!(actions[0], Action::Close);
}

#[test]
fn what_an_older_connection_says_is_ignored() {
    let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(4), Duration::ZERO);
    let mut actions = Vec::new();
    follower.tick(Duration::ZERO, plain(Offset(0)), &mut actions);
    assert_eq!(actions, [Action::Connect(LinkId(5), address())]);
    actions.clear();
    follower.on(Duration::ZERO, LinkId(4), LinkEvent::Closed, None, &mut actions);
    follower.on(Duration::ZERO, LinkId(4), LinkEvent::Bytes(b"+PONG\r\n"), None, &mut actions);
    assert!(actions.is_empty());
}

/// A link that is lost while the payload is loaded: the load goes on, and PSYNC continues from it.
#[test]
fn a_load_outlives_its_link() {
    let held = Held { replid: id(b'a'), offset: Offset(9) };
    let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO);
    let mut actions = Vec::new();
    follower.tick(Duration::ZERO, plain(Offset(0)), &mut actions);
    follower.on(Duration::ZERO, LinkId(1), LinkEvent::Connected, None, &mut actions);
    let answers = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC {} 9\r\n$3\r\nabc", id(b'a'));
    follower.on(Duration::ZERO, LinkId(1), LinkEvent::Bytes(answers.as_bytes()), None, &mut actions);
    assert!(follower.is_loading(held));
    actions.clear();
    follower.on(Duration::ZERO, LinkId(1), LinkEvent::Closed, None, &mut actions);
    assert_eq!(actions, [Action::Close]);
    assert!(follower.is_loading(held));
    follower.loaded(Duration::from_secs(2), &mut actions);
    assert_eq!(follower.due(), Duration::from_secs(2));
}

#[test]
fn a_history_that_continues_under_a_new_name_says_so() {
    let mut history = History::new(id(b'a'));
    assert_eq!(history.adopt_continue(Some(id(b'b'))), Renamed::Yes);
    assert_eq!(history.held(), Held { replid: id(b'b'), offset: Offset(0) });
}

#[test]
fn replicas_are_counted_and_given_up() {
    use quorate_replication::master::GivenUp;
    let second = Duration::from_secs(1);
    let mut history = History::new(id(b'a'));
    history.record(1 << 20);
    let mut replicas = Replicas::default();
    for session in 1..=2 {
        replicas.introduce(ReplicaId(session), "10.0.0.9", Duration::ZERO);
        assert_eq!(replicas.len(), session as usize - 1, "not counted before PSYNC");
        replicas.asked(ReplicaId(session), Verdict::Continue(Offset(0)), Duration::ZERO);
    }
    history.append(&[0; 1000]);
    replicas.ack(ReplicaId(1), Offset(1000), second * 5);
    assert_eq!(replicas.count_acked(Offset(1000)), 1);
    assert_eq!(replicas.count_acked(Offset(0)), 2);
    assert_eq!(replicas.count_good(second * 12, second * 10), 1);
    let overdue = |now, limit| replicas.overdue(now, second * 60, history.offset(), limit);
    assert_eq!(overdue(second * 59, None), []);
    assert_eq!(overdue(second * 60, None), [(ReplicaId(2), GivenUp::Silent)]);
    assert_eq!(
        overdue(second, Some(999)),
        [(ReplicaId(1), GivenUp::TooFarBehind), (ReplicaId(2), GivenUp::TooFarBehind)]
    );
    assert_eq!(replicas.slowest(), Some(Offset(0)));
}

/// I3: in a group every turn that brought more is acknowledged, once; what the disk holds is told beside it.
#[test]
fn a_node_of_a_group_acknowledges_each_turn() {
    let mut follower = Follower::new(address(), introduction(), Purpose::Follow, LinkId(0), Duration::ZERO);
    let (now, held) = (Duration::ZERO, Held { replid: id(b'a'), offset: Offset(5) });
    let mut actions = Vec::new();
    follower.tick(now, plain(Offset(5)), &mut actions);
    let said: &[&[u8]] = &[b"+PONG\r\n", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n", b"+OK 70\r\n", b"+CONTINUE\r\n"];
    follower.on(now, LinkId(1), LinkEvent::Connected, Some(held), &mut actions);
    for bytes in said {
        follower.on(now, LinkId(1), LinkEvent::Bytes(bytes), Some(held), &mut actions);
    }
    assert!(actions.contains(&Action::Met(Offset(70))), "I10: it is told how far the master is: {actions:?}");
    let mut acknowledged = |applied: u64, synced: Option<u64>| {
        let counted = Some(Counted { epoch: Epoch(3), synced: synced.map(Offset) });
        let mut actions = Vec::new();
        follower.end_of_turn(now, Ack { applied: Offset(applied), counted }, &mut actions);
        let sent = actions.into_iter().map(|action| match action {
            Action::Send(bytes) => String::from_utf8(bytes).expect("text").replace("\r\n", " "),
            other => panic!("{other:?}"),
        });
        sent.collect::<String>()
    };
    assert_eq!(acknowledged(5, None), "*5 $8 REPLCONF $3 ACK $1 5 $5 EPOCH $1 3 ");
    assert_eq!(acknowledged(5, None), "");
    assert_eq!(acknowledged(9, Some(5)), "*7 $8 REPLCONF $3 ACK $1 9 $4 FACK $1 5 $5 EPOCH $1 3 ");
    assert_eq!(acknowledged(9, Some(9)), "*7 $8 REPLCONF $3 ACK $1 9 $4 FACK $1 9 $5 EPOCH $1 3 ");
}
