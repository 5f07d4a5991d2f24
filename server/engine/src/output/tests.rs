use std::sync::Arc;

use quorate_keyspace::Text;
use quorate_resp::{Protocol, Writer};

use super::*;
use crate::lent::LENT_MIN;

fn ticket(ticket: u64) -> Hold {
    Hold { ticket, ..Hold::default() }
}

fn sendable(output: &Output) -> Vec<u8> {
    let mut pieces = SmallVec::new();
    output.pieces(&mut pieces);
    pieces.concat()
}

fn written(output: &mut Output, text: &str) {
    output.bytes.extend_from_slice(text.as_bytes());
}

#[test]
fn held_replies_leave_in_order_once_confirmed() {
    let mut output = Output::default();
    written(&mut output, "a");
    output.release();
    written(&mut output, "b");
    assert!(output.hold(ticket(1)));
    written(&mut output, "c");
    assert!(output.hold(ticket(2)));
    written(&mut output, "d");
    output.release();
    assert!(!output.hold(ticket(3)), "nothing was written since");
    assert_eq!(sendable(&output), b"a");
    assert!(output.reached(&Reached { ticket: 1, ..Reached::default() }));
    assert_eq!(sendable(&output), b"ab");
    output.mark_sent(2);
    assert!(output.reached(&Reached { ticket: 2, ..Reached::default() }));
    assert_eq!(sendable(&output), b"cd");
    output.mark_sent(2);
    assert_eq!((output.waiting(), output.oldest_held()), (0, None));
}

#[test]
fn a_piece_waits_for_the_disk_and_the_voters() {
    let hold = Hold { ticket: 3, commit: Offset(50), confirm: Offset(60) };
    let check = |ticket: u64, committed: u64, confirmed: u64, over: bool| {
        let reached = Reached { ticket, committed: Offset(committed), confirmed: Offset(confirmed) };
        assert_eq!(hold.is_over(&reached), over, "{reached:?}");
    };
    check(3, 50, 60, true);
    check(3, 60, 0, true);
    check(2, 60, 60, false);
    check(3, 49, 60, false);
    check(3, 50, 59, false);
}

#[test]
fn a_piece_can_be_replaced_and_the_rest_dropped() {
    let mut output = Output::default();
    written(&mut output, "a");
    output.release();
    written(&mut output, "bbb");
    output.hold(ticket(1));
    written(&mut output, "c");
    output.hold(ticket(2));
    assert_eq!(output.oldest_held(), Some((Cow::Borrowed(&b"bbb"[..]), ticket(1))));
    output.replace_oldest_held(b"x");
    assert_eq!(sendable(&output), b"ax");
    written(&mut output, "d");
    assert!(output.reached(&Reached { ticket: 2, ..Reached::default() }));
    assert_eq!(sendable(&output), b"axc");
    assert!(output.drop_held());
    assert!(!output.drop_held());
    assert_eq!((&sendable(&output)[..], output.waiting()), (&b"axc"[..], 3));
}

#[test]
fn a_long_output_is_sent_in_pieces() {
    let mut output = Output { bytes: vec![7; 300_000], ..Output::default() };
    output.release();
    let mut sent = 0;
    while !output.is_quiet() {
        let count = output.sendable().min(1000);
        output.mark_sent(count);
        sent += count;
    }
    assert_eq!((sent, output.waiting()), (300_000, 0));
    assert!(output.memory() <= KEPT_CAPACITY);
}

#[test]
fn a_held_piece_may_hold_lent_values() {
    let value = Arc::<[u8]>::from(vec![b'a'; LENT_MIN]);
    let bulk = [format!("${LENT_MIN}\r\n").as_bytes(), &value, b"\r\n"].concat();
    let (mut output, mut lending) = (Output::default(), Lending::default());
    let lend = |output: &mut Output, lending: &mut Lending| {
        lending.write(&mut Writer::new(&mut output.bytes, Protocol::Resp2), Text::Shared(&value));
        output.take_over(lending);
    };
    lend(&mut output, &mut lending);
    output.release();
    for number in 1..=3 {
        lend(&mut output, &mut lending);
        written(&mut output, "+b");
        output.hold(ticket(number));
    }
    assert_eq!((output.sendable(), output.waiting()), (bulk.len(), 4 * bulk.len() + 6));
    output.mark_sent(100);
    let held = [&bulk[..], b"+b"].concat();
    assert_eq!(output.oldest_held(), Some((Cow::Borrowed(&held[..]), ticket(1))));
    output.replace_oldest_held(b"-error");
    assert!(output.reached(&Reached { ticket: 2, ..Reached::default() }));
    assert_eq!(sendable(&output), [&bulk[100..], b"-error", &held].concat());
    assert_eq!((output.lent().0, Arc::strong_count(&value)), (3, 4));
    assert!(output.drop_held());
    assert_eq!(sendable(&output), [&bulk[100..], b"-error", &held].concat());
    assert_eq!((output.lent().0, Arc::strong_count(&value)), (2, 3));
    output.mark_sent(output.sendable());
    assert_eq!((output.waiting(), Arc::strong_count(&value)), (0, 1));
}
