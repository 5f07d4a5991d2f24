use quorate_keyspace::Text;
use quorate_resp::{Protocol, Writer, encode_command, split_line};

use super::*;
use crate::check::Stage;
use crate::output::Output;
use crate::session::{Kind, Session};
use crate::{Input, Now, Outputs, SessionId, SocketName};

fn encoded(command: &str) -> Vec<u8> {
    let words = split_line(command.as_bytes()).expect("a test's quotes are balanced");
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
    bytes
}

/// Session 1 of a stage where `k` holds a large value of `a`. It says something and does not read what comes.
fn unread(commands: &[&str]) -> Stage {
    let mut stage = Stage::new();
    assert_eq!(stage.say(1, &format!("set k {}", "a".repeat(LENT_MIN))), "+OK");
    let bytes: Vec<u8> = commands.iter().flat_map(|command| encoded(command)).collect();
    let input = Input::Received { id: SessionId(1), bytes: &bytes };
    stage.engine.turn(stage.now, std::iter::once(input), &mut Outputs::default());
    stage
}

/// How many values, and bytes of them, are lent to session 1.
fn lent(stage: &Stage) -> (usize, usize) {
    stage.engine.core().sessions.get(SessionId(1)).expect("it is there").output.lent()
}

fn bulk() -> String {
    format!("${LENT_MIN}\r\n{}\r\n", "a".repeat(LENT_MIN))
}

/// Session 1 has asked for the value and reads it only after another session has said `then`: it gets the old one.
#[track_caller]
fn check(then: &str, reply: &str) {
    let mut stage = unread(&["get k"]);
    assert_eq!(lent(&stage), (1, LENT_MIN));
    assert_eq!(stage.say(2, then), reply);
    stage.wait(std::time::Duration::from_millis(10));
    assert_eq!(String::from_utf8_lossy(&stage.engine.output(SessionId(1)).concat()), bulk(), "{then}");
    stage.engine.sent(SessionId(1), bulk().len());
    assert_eq!((lent(&stage), stage.engine.unsent(SessionId(1))), ((0, 0), 0));
}

/// What session 1's commands are answered, with so many values lent.
#[track_caller]
fn check_lent(commands: &[&str], values: usize, replies: &str) {
    let stage = unread(commands);
    assert_eq!(lent(&stage), (values, values * LENT_MIN), "{commands:?}");
    assert_eq!(stage.engine.unsent(SessionId(1)), replies.len(), "{commands:?}");
    assert_eq!(String::from_utf8_lossy(&stage.engine.output(SessionId(1)).concat()), replies, "{commands:?}");
}

#[test]
fn what_a_slow_reader_gets_is_what_it_asked_for() {
    check("append k b", &format!(":{}", LENT_MIN + 1));
    check("setrange k 5 bbb", &format!(":{LENT_MIN}"));
    check(&format!("set k {}", "b".repeat(LENT_MIN)), "+OK");
    check("set k b", "+OK");
    check("getset k b", &format!("${}", "a".repeat(LENT_MIN)));
    check("lpush other b", ":1");
    check("del k", ":1");
    check("unlink k", ":1");
    check("pexpire k 1", ":1");
    check("rename k other", "+OK");
    check("copy k other", ":1");
    check("move k 1", ":1");
    check("swapdb 0 1", "+OK");
    check("flushall", "+OK");
    check("flushall async", "+OK");
}

#[test]
fn every_command_that_reads_whole_strings_lends() {
    let bulk = bulk();
    check_lent(&["get k"], 1, &bulk);
    check_lent(&["getex k ex 10"], 1, &bulk);
    check_lent(&["getdel k", "get k"], 1, &format!("{bulk}$-1\r\n"));
    check_lent(&["getset k b", "get k"], 1, &format!("{bulk}$1\r\nb\r\n"));
    check_lent(&["set k b get"], 1, &bulk);
    check_lent(&["mget k none k"], 2, &format!("*3\r\n{bulk}$-1\r\n{bulk}"));
    let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n";
    let grown = LENT_MIN + 1;
    let exec = &["multi", "get k", "append k b", "strlen k", "exec"];
    check_lent(exec, 1, &format!("{queued}*3\r\n{bulk}:{grown}\r\n:{grown}\r\n"));
    check_lent(&["get k", "ping", "get k"], 2, &format!("{bulk}+PONG\r\n{bulk}"));
}

#[test]
fn small_and_changed_strings_are_copied() {
    let small = "b".repeat(LENT_MIN - 1);
    check_lent(&[&format!("set k {small}"), "get k"], 0, &format!("+OK\r\n${}\r\n{small}\r\n", small.len()));
    let grown = format!("{}b", "a".repeat(LENT_MIN));
    check_lent(&["append k b", "get k"], 0, &format!(":{}\r\n${}\r\n{grown}\r\n", grown.len(), grown.len()));
}

#[test]
fn a_reply_that_is_taken_back_lends_nothing() {
    check_lent(&["client reply off", "get k", "client reply on"], 0, "+OK\r\n");
    let mut stage = unread(&[]);
    let mut loader = Session::new(SessionId(9), SocketName::None, SocketName::None, Now::default());
    loader.kind = Kind::Loader;
    stage.engine.apply(&mut loader, &[b"get", b"k"]).expect("it is a string");
    assert!(stage.engine.core().lent.is_empty());
}

#[test]
fn lent_bytes_count_as_waiting_output() {
    let mut stage = unread(&["get k"]);
    let list = stage.say(2, "client list");
    assert!(list.contains(&format!(" oll=1 omem={LENT_MIN} ")), "{list}");
    let limit = 3 * LENT_MIN;
    assert_eq!(stage.say(2, &format!("config set client-output-buffer-limit \"normal {limit} 0 0\"")), "+OK");
    for closed in [0, 1] {
        let get = encoded("get k");
        let input = Input::Received { id: SessionId(1), bytes: &get };
        stage.engine.turn(stage.now, std::iter::once(input), &mut Outputs::default());
        assert_eq!(stage.engine.core().stats.output_buffer_closed, closed);
    }
}

/// Large values and short ones in turn, sent some bytes at a time.
#[test]
fn bytes_leave_in_order_however_many_at_a_time() {
    let values = [b'a', b'b', b'c'].map(|byte| Arc::<[u8]>::from(vec![byte; LENT_MIN + usize::from(byte)]));
    for step in [1, 2, 7, 1000, LENT_MIN, LENT_MIN + 100, 2 * LENT_MIN + 300, usize::MAX] {
        let (mut output, mut lending, mut expected) = (Output::default(), Lending::default(), Vec::new());
        let count = if step < 1000 { 3 } else { 2 * 128 }; // more pieces than go into one call
        for value in values.iter().cycle().take(count) {
            let mut out = Writer::new(&mut output.bytes, Protocol::Resp2);
            for text in [Text::Shared(value), Text::Shared(&Arc::from(*b"short"))] {
                lending.write(&mut out, text);
            }
            expected.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
            expected.extend_from_slice(value);
            expected.extend_from_slice(b"\r\n$5\r\nshort\r\n");
        }
        output.take_over(&mut lending);
        output.release();
        let mut sent = Vec::new();
        while !output.is_quiet() {
            assert_eq!(output.waiting(), expected.len() - sent.len());
            assert_eq!(output.sendable(), output.waiting());
            let mut pieces = smallvec::SmallVec::new();
            output.pieces(&mut pieces);
            // One call's pieces, and of them as many bytes as the socket takes.
            let first = if step < 1000 { &pieces[..pieces.len().min(2)] } else { &pieces[..] };
            let bytes = first.concat();
            let count = bytes.len().min(step);
            sent.extend_from_slice(&bytes[..count]);
            drop(pieces);
            output.mark_sent(count);
        }
        assert!(sent == expected, "{step} bytes at a time");
        assert_eq!((output.waiting(), output.lent()), (0, (0, 0)));
    }
    assert!(values.iter().all(|value| Arc::strong_count(value) == 1));
}
