//! Which replies have to wait, on one engine that plays the master of a group whose voters are words of the test.

use super::*;

fn holding() -> Holding {
    let mut holding = Holding::default();
    holding.begin();
    holding
}

/// Ends a turn whose stream ends at `end` while so much is committed; what was changed in it is settled when that is.
fn check(holding: &mut Holding, end: u64, committed: u64, argv: &[&[u8]], settled: bool) {
    holding.end_turn(Offset(end), Offset(committed));
    let row = crate::Table::get().find(argv).expect("a command");
    assert_eq!(holding.sees_settled(row, argv), settled, "{}", argv[0].escape_ascii());
}

/// I5, I6: after the begin everything waits, then what was changed by turns that are not committed.
#[test]
fn a_key_is_settled_with_the_turn_that_changed_it() {
    let mut holding = holding();
    check(&mut holding, 10, 0, &[b"get", b"a"], false);
    check(&mut holding, 10, 10, &[b"get", b"a"], true);
    check(&mut holding, 10, 10, &[b"dbsize"], true);
    holding.change(b"a");
    check(&mut holding, 20, 10, &[b"get", b"a"], false);
    check(&mut holding, 20, 10, &[b"get", b"b"], true);
    check(&mut holding, 20, 10, &[b"dbsize"], false);
    check(&mut holding, 20, 10, &[b"sort", b"b"], false);
    holding.change(b"b");
    check(&mut holding, 30, 20, &[b"get", b"a"], true);
    check(&mut holding, 30, 20, &[b"mget", b"c", b"b"], false);
    check(&mut holding, 30, 30, &[b"mget", b"c", b"b"], true);
    holding.change_all();
    check(&mut holding, 40, 30, &[b"get", b"c"], false);
    check(&mut holding, 40, 40, &[b"get", b"c"], true);
}

/// Bound: more turns than are told apart are settled together with the newest.
#[test]
fn turns_beyond_the_bound_wait_for_the_newest() {
    let mut holding = holding();
    for turn in 0..2 * TURNS as u64 {
        holding.change(b"a");
        holding.end_turn(Offset(10 + turn), Offset(0));
    }
    assert!(holding.unsettled.len() <= TURNS);
    let newest = 10 + 2 * TURNS as u64 - 1;
    check(&mut holding, newest, newest - 1, &[b"get", b"a"], false);
    check(&mut holding, newest, newest, &[b"get", b"a"], true);
    check(&mut holding, newest, newest, &[b"dbsize"], true);
}

#[test]
fn keys_spread_over_the_places() {
    let places: std::collections::HashSet<usize> = (0..1000).map(|key| slot(format!("key:{key}").as_bytes())).collect();
    assert!(places.len() > 900 && places.iter().all(|place| *place < SLOTS), "{}", places.len());
}

/// Replies and messages are told apart when they are given up.
#[test]
fn each_reply_becomes_an_error() {
    let session = Session::new(SessionId(1), crate::SocketName::None, crate::SocketName::None, crate::Now::default());
    let errors =
        uncertain(b"+OK\r\n*2\r\n$1\r\na\r\n:1\r\n>2\r\n$1\r\nx\r\n$1\r\ny\r\n$-1\r\n", &session).expect("replies");
    assert_eq!(
        errors.iter().filter(|byte| **byte == b'-').count(),
        3 + 3,
        "three lines, each with quorum-timeout in it"
    );
    assert!(errors.starts_with(b"-UNCERTAIN outcome unknown"));
}
