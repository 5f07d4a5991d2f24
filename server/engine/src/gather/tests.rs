use std::convert::Infallible;

use quorate_keyspace::{DbIndex, Text};
use quorate_resp::{Value, encode_command};

use super::*;
use crate::check::Stage;
use crate::{Closing, Effect, Input, SessionId};

const ID: SessionId = SessionId(1);
const LEN: usize = LARGE + 100;

/// How bytes come to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the shell's buffer.
    Handed,
    /// Read to where they belong, as far as the engine has room for them, so many at a time.
    Apart(usize),
}

const WAYS: [Way; 3] = [Way::Handed, Way::Apart(usize::MAX), Way::Apart(1000)];

/// A large text that begins with `name`, of `len` bytes, no two neighbours alike.
fn large(name: &str, len: usize) -> Vec<u8> {
    name.bytes().chain((0..).map(|n: u32| (n * 7 % 251) as u8)).take(len).collect()
}

fn encoded(argv: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_command(&mut bytes, argv);
    bytes
}

fn stage() -> Stage {
    let mut stage = Stage::new();
    assert_eq!(stage.say(1, "ping"), "+PONG");
    stage
}

fn send(stage: &mut Stage, mut bytes: &[u8], way: Way) {
    while let Way::Apart(at_most) = way
        && !bytes.is_empty()
        && let Some(filled) = stage.engine.fill(ID, at_most, |room| {
            let count = room.len().min(bytes.len());
            Ok::<_, Infallible>(room[..count].write_copy_of_slice(&bytes[..count]))
        })
    {
        let Ok(filled) = filled;
        bytes = &bytes[filled.count..];
    }
    if bytes.is_empty() { stage.turn(None) } else { stage.send(1, bytes) }
}

fn session(stage: &Stage) -> &Session {
    stage.engine.core().sessions.get(ID).expect("it is there")
}

/// A command in pieces, cut at these places, each way: its reply, and what the stream says of it (nothing if that is `None`). No memory stays.
#[track_caller]
fn check_cut(argv: &[&[u8]], places: &[usize], reply: &str, stream: Option<&[u8]>) {
    let bytes = encoded(argv);
    for way in WAYS {
        let mut stage = stage();
        let mut from = 0;
        for &to in places.iter().chain([&bytes.len()]) {
            assert_eq!(stage.hear(1), "nothing", "{way:?}, cut at {places:?}");
            send(&mut stage, &bytes[from..to], way);
            assert!(session(&stage).unread() <= to, "{way:?}, cut at {places:?}");
            from = to;
        }
        let said = stage.hear(1);
        assert!(said == reply, "{way:?}, cut at {places:?}: {}", &said[..said.len().min(100)]);
        assert_eq!(stage.hear(1), "nothing");
        let streamed = std::mem::take(&mut stage.engine.core_mut().streamed);
        match stream {
            Some(stream) => assert!(streamed.ends_with(stream), "{way:?}, cut at {places:?}"),
            None => assert!(streamed.is_empty(), "{way:?}, cut at {places:?}"),
        }
        assert_eq!((session(&stage).unread(), stage.engine.core().ahead.bytes()), (0, 0), "{way:?}, cut at {places:?}");
        assert!(session(&stage).gathered.is_none() && stage.engine.core().given.is_empty());
    }
}

/// The same, cut at each place around the beginnings and ends of arguments, and in pieces of a network's size.
#[track_caller]
fn check(argv: &[&[u8]], reply: &str, stream: Option<&[u8]>) {
    let mut seams = Vec::new();
    for count in 0..=argv.len() {
        seams.push(encoded(&argv[..count]).len());
    }
    let len = encoded(argv).len();
    for place in seams.iter().flat_map(|seam| seam.saturating_sub(12)..seam + 20).filter(|at| (1..len).contains(at)) {
        check_cut(argv, &[place], reply, stream);
    }
    for size in [1460, 16 * 1024, 64 * 1024] {
        let places: Vec<usize> = (1..).map(|n| n * size).take_while(|at| *at < len).collect();
        check_cut(argv, &places, reply, stream);
    }
}

/// One that changes data and is told to replicas as it was said.
#[track_caller]
fn check_told(argv: &[&[u8]], reply: &str) {
    check(argv, reply, Some(&encoded(argv)));
}

#[test]
fn a_large_value_arrives_in_any_pieces() {
    check_told(&[b"SET", b"k", &large("v", LEN)], "+OK");
    check_told(&[b"SET", b"k", &large("v", LEN), b"KEEPTTL"], "+OK");
    check_told(&[b"MSET", b"a", &large("a", LEN), b"b", b"small", b"c", &large("c", 3 * LEN)], "+OK");
    check_told(&[b"SETNX", b"k", &large("v", LEN)], ":1");
    let value = large("v", LEN);
    check(&[b"GETSET", b"k", &value], "nil", Some(&encoded(&[b"SET", b"k", &value])));
    let at = encoded(&[b"SET", b"k", &value, b"PXAT", b"1700000100000"]);
    check(&[b"SETEX", b"k", b"100", &value], "+OK", Some(&at));
}

#[test]
fn a_large_argument_that_nobody_takes_over_is_one_like_any() {
    let text = large("v", LEN);
    check_told(&[b"APPEND", b"k", &text], &format!(":{LEN}"));
    check_told(&[b"LPUSH", b"k", &text, b"b"], ":2");
    check_told(&[b"SET", &text, b"a large key"], "+OK");
    check_told(&[b"HSET", b"k", &text, &text], ":1");
    check(&[b"GET", &text], "nil", None);
    check(&[b"PING", &text], &Value::Bulk(text.clone()).to_string(), None);
}

#[test]
fn what_is_refused_is_refused() {
    let text = large("v", LEN);
    check(&[b"GET", b"k", &text], "-ERR wrong number of arguments for 'get' command", None);
    check(&[b"SET", b"k", &text, b"PX", &text], "-ERR value is not an integer or out of range", None);
    let plain = "n".repeat(LEN);
    let unknown = format!("-ERR unknown command '{}', with args beginning with: 'a' ", &plain[..128]);
    check(&[plain.as_bytes(), b"a"], &unknown, None);
}

#[test]
fn the_value_lies_where_it_was_read_to() {
    let value = large("v", LEN);
    let bytes = encoded(&[b"SET", b"k", &value]);
    let mut stage = stage();
    let head = bytes.len() - LEN - 2;
    stage.send(1, &bytes[..head + 10]);
    assert_eq!(stage.engine.take_gathering(), [ID]);
    let mut place = std::ptr::null();
    let filled = stage.engine.fill(ID, usize::MAX, |room| {
        place = room.as_ptr().cast::<u8>();
        Ok::<_, Infallible>(&mut [])
    });
    assert_eq!(filled, Some(Ok(Filled { count: 0, room: LEN - 10 })));
    send(&mut stage, &bytes[head + 10..], Way::Apart(usize::MAX));
    assert_eq!(stage.hear(1), "+OK");
    let db = stage.engine.keyspace_mut().db(DbIndex(0));
    let Ok(Some(Text::Shared(held))) = db.text(b"k") else { panic!("a large string is shared") };
    assert_eq!((held[..].as_ptr().wrapping_add(10), Arc::strong_count(held)), (place, 1));
    assert!(**held == *value);
}

#[test]
fn what_stands_around_it_runs_in_order() {
    let value = large("v", LEN);
    for way in WAYS {
        let mut stage = stage();
        let bytes = [
            encoded(&[b"MULTI"]),
            encoded(&[b"SET", b"k", &value]),
            encoded(&[b"STRLEN", b"k"]),
            encoded(&[b"EXEC"]),
            b"strlen k\r\n".to_vec(),
            encoded(&[b"SET", b"k", &large("w", 2 * LEN)]),
            encoded(&[b"STRLEN", b"k"]),
        ];
        for piece in bytes.concat().chunks(10_000) {
            send(&mut stage, piece, way);
        }
        let replies = std::iter::from_fn(|| Some(stage.hear(1)).filter(|reply| reply != "nothing"));
        let replies: Vec<String> = replies.collect();
        let (short, long) = (format!(":{LEN}"), format!(":{}", 2 * LEN));
        let exec = format!("[+OK {short}]");
        assert_eq!(replies, ["+OK", "+QUEUED", "+QUEUED", &exec, &short, "+OK", &long], "{way:?}");
    }
}

#[test]
fn a_pause_lets_it_wait_whole() {
    let (a, b) = (large("a", LEN), large("b", 2 * LEN));
    let bytes = encoded(&[b"MSET", b"a", &a, b"b", &b]);
    for way in WAYS {
        let mut stage = stage();
        assert_eq!(stage.say(2, "client pause 1000 write"), "+OK");
        for piece in bytes.chunks(20_000) {
            send(&mut stage, piece, way);
        }
        send(&mut stage, b"strlen a\r\n", way);
        assert_eq!(stage.hear(1), "nothing");
        assert!(session(&stage).gathered.is_none() && session(&stage).rest.starts_with(&bytes), "{way:?}");
        stage.wait(std::time::Duration::from_millis(1100));
        assert_eq!([stage.hear(1), stage.hear(1)], ["+OK".into(), format!(":{LEN}")]);
        assert!(stage.engine.core_mut().streamed.ends_with(&bytes), "{way:?}");
    }
}

#[test]
fn a_wrong_request_behind_it_is_told_and_frees_it() {
    let value = large("v", LEN);
    let whole = encoded(&[b"SET", b"k", &value, b"GET"]);
    let cut = whole.len() - b"$3\r\nGET\r\n".len();
    for (wrong, error) in [("!", "expected '$', got '!'"), ("$536870913", "invalid bulk length")] {
        let mut stage = stage();
        send(&mut stage, &whole[..cut], Way::Apart(usize::MAX));
        assert_eq!(session(&stage).unread(), cut);
        send(&mut stage, format!("{wrong}\r\n").as_bytes(), Way::Handed);
        assert_eq!(stage.hear(1), format!("-ERR Protocol error: {error}"));
        assert!(session(&stage).gathered.is_none());
    }
    let mut stage = stage();
    stage.send(1, b"*2\r\n$3\r\nget\r\n$536870913\r\n");
    assert_eq!(stage.hear(1), "-ERR Protocol error: invalid bulk length");
}

/// What session 1 takes, as CLIENT LIST tells another: unread bytes, bytes allocated for more.
fn buffers(stage: &mut Stage) -> (usize, usize) {
    let list = stage.say(2, "client list id 1");
    let field = |name: &str| {
        let (_, behind) = list.split_once(name).expect("a field");
        behind.split(' ').next().and_then(|number| number.parse::<usize>().ok()).expect("a number")
    };
    (field(" qbuf="), field(" qbuf-free="))
}

#[test]
fn who_says_much_and_sends_nothing_costs_little() {
    let mut stage = stage();
    let head = b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$536870912\r\n";
    stage.send(1, head);
    let (unread, free) = buffers(&mut stage);
    assert!(unread == head.len() && free <= 2 * LARGE + 100, "{unread} and {free}");
    assert_eq!(stage.engine.core().ahead.bytes(), 0, "half a gigabyte is not made room for");
    let piece = vec![b'a'; 100_000];
    for count in 1..=20 {
        send(&mut stage, &piece, Way::Apart(usize::MAX));
        let (unread, free) = buffers(&mut stage);
        assert!(unread == head.len() + count * piece.len() && free <= unread + 100, "{unread} and {free}");
    }
    for id in 10..110 {
        stage.send(id, b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1048576\r\n");
    }
    assert_eq!(stage.engine.core().ahead.bytes(), AHEAD, "64 of them have room for all");
    for id in (1..110).filter(|id| *id == 1 || *id >= 10) {
        stage.turn(Some(Input::Closed { id: SessionId(id) }));
    }
    assert_eq!(stage.engine.core().ahead.bytes(), 0);
}

#[test]
fn the_limit_of_unread_bytes_holds() {
    for way in WAYS {
        let mut stage = stage();
        stage.say(2, "config set client-query-buffer-limit 1mb");
        let bytes = encoded(&[b"SET", b"k", &large("v", 2 << 20)]);
        let mut pieces = bytes.chunks(64 * 1024);
        for piece in pieces.by_ref().take(15) {
            send(&mut stage, piece, way);
        }
        assert!(stage.effects.is_empty() && buffers(&mut stage).0 == 15 * 64 * 1024, "{way:?}");
        for piece in pieces.take(2) {
            send(&mut stage, piece, way);
        }
        let close = |effect: &Effect| matches!(effect, Effect::Close { id, how: Closing::Now } if *id == ID);
        assert!(stage.effects.iter().any(close), "{way:?}");
        assert_eq!(stage.engine.fill(ID, 1, |_| Err(())), None, "nothing more is read for it");
    }
}

#[test]
fn what_has_not_arrived_evicts_nothing() {
    let mut stage = stage();
    // As if all that is in use were room for what has not arrived.
    stage.engine.core_mut().host.used_memory = || 1000 + (1 << 20);
    assert_eq!(stage.say(2, "config set maxmemory 2000 maxmemory-policy noeviction"), "+OK");
    assert_eq!(stage.say(2, "set a 1"), "-OOM command not allowed when used memory > 'maxmemory'.");
    stage.send(1, b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1048576\r\n");
    assert_eq!(stage.say(2, "set a 1"), "+OK");
    send(&mut stage, &[b'a'; 2000], Way::Apart(usize::MAX));
    assert_eq!(stage.say(2, "set a 1"), "-OOM command not allowed when used memory > 'maxmemory'.");
}
