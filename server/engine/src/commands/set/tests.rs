//! Sets, in their small and large encodings. Errors were compared with Redis 7.0.15; the bound of repetitions is our own.

use quorate_config::ServerConfig;

use crate::check::{Stage, check};

/// Plays a transcript with sets as intsets or listpacks while they are small, and again with all as tables.
#[track_caller]
fn in_both_encodings(transcript: &str) {
    Stage::new().play(transcript);
    large().play(transcript);
}

fn large() -> Stage {
    let config = ServerConfig { set_max_intset_entries: 0, set_max_listpack_entries: 0, ..ServerConfig::default() };
    Stage::with(config)
}

/// Plays a transcript in both encodings; the elements of arrays and sets are put in order before they are compared.
#[track_caller]
fn unordered(prelude: &[&str], cases: &[(&str, &str)]) {
    for mut stage in [Stage::new(), large()] {
        prelude.iter().for_each(|command| drop(stage.say(1, command)));
        for (command, expected) in cases {
            assert_eq!(sorted(&stage.say(1, command)), *expected, "{command}");
        }
    }
}

fn sorted(reply: &str) -> String {
    let Some(open) = reply.rfind('[') else { return reply.to_owned() };
    let (open, elements) = reply.split_at(open + 1);
    let close = elements.find(']').expect("what is opened is closed");
    let mut inner: Vec<&str> = elements[..close].split(' ').collect();
    inner.sort_unstable();
    format!("{open}{}{}", inner.join(" "), &elements[close..])
}

#[test]
fn members_come_and_go() {
    in_both_encodings(
        "> sadd s 1 a 1
         :2
         > sadd s a 1
         :0
         > scard s
         :2
         > sismember s 1
         :1
         > sismember s 01
         :0
         > smismember s a b 1
         [:1 :0 :1]
         > srem s 1 b
         :1
         > smembers s
         [$a]
         > srem s b
         :0
         > srem s a
         :1
         > scard s
         :0
         stream [$SELECT $0] [$sadd $s $1 $a $1] [$srem $s $1 $b] [$srem $s $a]",
    );
}

#[test]
fn absent_sets_are_empty() {
    for (command, reply) in [
        ("scard s", ":0"),
        ("sismember s a", ":0"),
        ("smismember s a b", "[:0 :0]"),
        ("smembers s", "[]"),
        ("srem s a", ":0"),
        ("smove s t a", ":0"),
        ("spop s", "nil"),
        ("spop s 3", "[]"),
        ("srandmember s", "nil"),
        ("srandmember s -3", "[]"),
        ("sinter s t", "[]"),
        ("sunion s t", "[]"),
        ("sdiff s t", "[]"),
        ("sinterstore d s t", ":0"),
        ("sunionstore d s t", ":0"),
        ("sdiffstore d s t", ":0"),
        ("sintercard 2 s t", ":0"),
        ("sscan s 0", "[$0 []]"),
    ] {
        check(command, reply);
    }
}

#[test]
fn wrong_words_are_refused() {
    for (command, reply) in [
        ("sadd s", "-ERR wrong number of arguments for 'sadd' command"),
        ("spop s -1", "-ERR value is out of range, must be positive"),
        ("spop s x", "-ERR value is out of range, must be positive"),
        ("spop s 1 2", "-ERR syntax error"),
        ("srandmember s x", "-ERR value is not an integer or out of range"),
        ("srandmember s 1 2", "-ERR syntax error"),
        (
            "srandmember s -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("sintercard 0 s", "-ERR numkeys should be greater than 0"),
        ("sintercard x s", "-ERR numkeys should be greater than 0"),
        ("sintercard 2 s", "-ERR Number of keys can't be greater than number of args"),
        ("sintercard 1 s limit -1", "-ERR LIMIT can't be negative"),
        ("sintercard 1 s limit x", "-ERR LIMIT can't be negative"),
        ("sintercard 1 s limit", "-ERR syntax error"),
        ("sintercard 1 s foo 1", "-ERR syntax error"),
        ("sscan s x", "-ERR invalid cursor"),
    ] {
        check(command, reply);
    }
}

#[test]
fn other_types_are_refused() {
    let mut stage = Stage::new();
    stage.play("> hset h a 1\n:1\n> sadd s a\n:1");
    for command in [
        "sadd h a",
        "srem h a",
        "smove h s a",
        "smove s h a",
        "sismember h a",
        "smismember h a",
        "scard h",
        "smembers h",
        "spop h",
        "spop h 2",
        "srandmember h",
        "srandmember h 2",
        "sinter nokey h",
        "sunion s h",
        "sdiff s h",
        "sinterstore s nokey h",
        "sintercard 2 nokey h",
        "sscan h 0",
    ] {
        let refusal = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(stage.say(1, command), refusal, "{command}");
    }
    stage.play("> smembers s\n[$a]\n> hget h a\n$1");
}

#[test]
fn a_member_moves() {
    in_both_encodings(
        "> sadd a 1 x
         :2
         > smove a b x
         :1
         > smembers a
         [$1]
         > smembers b
         [$x]
         > smove a b 2
         :0
         > smove b b x
         :1
         > smove b b y
         :0
         > smove a b 1
         :1
         > scard b
         :2
         > scard a
         :0
         stream [$SELECT $0] [$sadd $a $1 $x] [$smove $a $b $x] [$smove $a $b $1]",
    );
}

#[test]
fn what_sets_have_in_common() {
    unordered(
        &["sadd a 1 2 3 x", "sadd b 2 3 4 y", "sadd c 3 x y"],
        &[
            ("sinter a b", "[$2 $3]"),
            ("sinter a b c", "[$3]"),
            ("sinter a nokey", "[]"),
            ("sinter a", "[$1 $2 $3 $x]"),
            ("sunion a b nokey", "[$1 $2 $3 $4 $x $y]"),
            ("sdiff a b", "[$1 $x]"),
            ("sdiff a b c nokey", "[$1]"),
            ("sdiff nokey a", "[]"),
            ("sdiff a a", "[]"),
            ("sintercard 2 a b", ":2"),
            ("sintercard 2 a b limit 1", ":1"),
            ("sintercard 2 a b limit 0", ":2"),
            ("sintercard 2 a b LIMIT 9 limit 1", ":1"),
            ("sinterstore d a b", ":2"),
            ("smembers d", "[$2 $3]"),
            ("sunionstore a a c", ":5"),
            ("smembers a", "[$1 $2 $3 $x $y]"),
            ("sdiffstore d c a", ":0"),
            ("scard d", ":0"),
            ("sdiffstore d a b", ":2"),
            ("smembers d", "[$1 $x]"),
            ("hset h f v", ":1"),
            ("sinterstore h b", ":4"),
            ("scard h", ":4"),
        ],
    );
}

#[test]
fn stored_results_are_propagated_as_said_and_nothing_is_when_nothing_was_there() {
    in_both_encodings(
        "> sadd a 1
         :1
         > sinterstore d nokey a
         :0
         > sunionstore d a
         :1
         > sdiffstore d a a
         :0
         stream [$SELECT $0] [$sadd $a $1] [$sunionstore $d $a] [$sdiffstore $d $a $a]",
    );
}

#[test]
fn popping_tells_replicas_which() {
    in_both_encodings(
        "> sadd s a
         :1
         > spop s 0
         []
         > spop s
         $a
         > sadd s b
         :1
         > spop s 5
         [$b]
         > scard s
         :0
         stream [$SELECT $0] [$sadd $s $a] [$SREM $s $a] [$sadd $s $b] [$DEL $s]",
    );
}

#[test]
fn a_large_pop_goes_in_batches() {
    let mut stage = Stage::new();
    for number in 0..1500 {
        stage.say(1, &format!("sadd s m{number}"));
    }
    stage.engine.core_mut().streamed.clear();
    let popped = stage.say(1, "spop s 1100");
    assert_eq!(popped.split(' ').count(), 1100);
    stage.play("> scard s\n:400");
    let stream = String::from_utf8(stage.engine.core_mut().streamed.clone()).expect("text");
    assert!(stream.starts_with("*1\r\n$5\r\nMULTI"), "one transaction");
    assert_eq!(stream.matches("SREM").count(), 2);
    assert_eq!(stream.matches("*1026\r\n").count(), 1, "1024 members at once");
}

#[test]
fn random_members() {
    unordered(
        &["sadd s 1 2 3"],
        &[
            ("srandmember s 5", "[$1 $2 $3]"),
            ("srandmember s 3", "[$1 $2 $3]"),
            ("srandmember s 0", "[]"),
            ("scard s", ":3"),
            ("spop s 3", "[$1 $2 $3]"),
        ],
    );
    in_both_encodings("> sadd s 7\n:1\n> srandmember s\n$7\n> srandmember s -3\n[$7 $7 $7]\n> spop s\n$7");
    check("srandmember s -16777217", "-ERR value is out of range");
}

#[test]
fn resp3_has_sets() {
    let mut stage = Stage::new();
    stage.say(1, "hello 3");
    stage.play(
        "> sadd s 1
         :1
         > smembers s
         ~[$1]
         > smembers nokey
         ~[]
         > sinter s s
         ~[$1]
         > sunion nokey
         ~[]
         > srandmember s 2
         [$1]
         > spop nokey 1
         ~[]
         > spop nokey
         _
         > spop s 1
         ~[$1]",
    );
}

#[test]
fn scans_pass_members_by_their_pattern() {
    unordered(
        &["sadd s ab ac b 12"],
        &[
            ("sscan s 0 match a* count 100", "[$0 [$ab $ac]]"),
            ("sscan s 0 match 1*", "[$0 [$12]]"),
            ("sscan s 0 count 0", "-ERR syntax error"),
        ],
    );
}

#[test]
fn events() {
    let mut stage = Stage::new();
    stage.play("config notify-keyspace-events EA");
    stage.say(2, "psubscribe *");
    for (command, events) in [
        ("sadd s 1 2 3 4", &["sadd s"][..]),
        ("sadd s 1", &[]),
        ("srem s 1", &["srem s"]),
        ("smove s t 2", &["srem s", "sadd t"]),
        ("sunionstore d s t", &["sunionstore d"]),
        ("sinterstore d s t", &["del d"]),
        ("smove t s 2", &["srem t", "del t", "sadd s"]),
        ("spop s", &["spop s"]),
        ("spop s 5", &["spop s", "del s"]),
    ] {
        stage.say(1, command);
        for event in events {
            let (event, key) = event.split_once(' ').expect("an event and a key");
            assert_eq!(stage.hear(2), format!("[$pmessage $* $__keyevent@0__:{event} ${key}]"), "{command}");
        }
        assert_eq!(stage.hear(2), "nothing", "{command}");
    }
}
