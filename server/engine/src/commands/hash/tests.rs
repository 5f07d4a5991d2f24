//! Hashes, in their small and large encodings. Errors were compared with Redis 7.0.15; the bound of repetitions is our own.

use quorate_config::ServerConfig;

use crate::check::{Stage, check};

/// Plays a transcript with hashes in their small encoding and again with all in their large one.
#[track_caller]
fn in_both_encodings(transcript: &str) {
    Stage::new().play(transcript);
    Stage::with(ServerConfig { hash_max_listpack_entries: 0, ..ServerConfig::default() }).play(transcript);
}

#[test]
fn fields_are_set_read_and_removed() {
    in_both_encodings(
        "> hset h a 1 a 2 b 3
         :2
         > hset h a 4
         :0
         > hmset h c x
         +OK
         > hget h a
         $4
         > hget h nofield
         nil
         > hmget h a nofield c
         [$4 nil $x]
         > hlen h
         :3
         > hstrlen h c
         :1
         > hstrlen h nofield
         :0
         > hexists h c
         :1
         > hexists h d
         :0
         > hsetnx h c y
         :0
         > hsetnx h d 12345
         :1
         > hstrlen h d
         :5
         > hdel h a nofield b d
         :3
         > hgetall h
         [$c $x]
         > hdel h c
         :1
         > hdel h c
         :0
         > hlen h
         :0
         stream [$SELECT $0] [$hset $h $a $1 $a $2 $b $3] [$hset $h $a $4] [$hmset $h $c $x] [$hsetnx $h $d $12345] [$hdel $h $a $nofield $b $d] [$hdel $h $c]",
    );
}

#[test]
fn absent_hashes_are_empty() {
    for (command, reply) in [
        ("hget h a", "nil"),
        ("hmget h a b", "[nil nil]"),
        ("hgetall h", "[]"),
        ("hkeys h", "[]"),
        ("hvals h", "[]"),
        ("hlen h", ":0"),
        ("hstrlen h a", ":0"),
        ("hexists h a", ":0"),
        ("hdel h a", ":0"),
        ("hrandfield h", "nil"),
        ("hrandfield h 5", "[]"),
        ("hrandfield h -5 withvalues", "[]"),
        ("hscan h 0", "[$0 []]"),
        ("hscan h 0 foo bar", "[$0 []]"), // Redis looks at the options only when there is something to scan
    ] {
        check(command, reply);
    }
}

#[test]
fn wrong_words_are_refused() {
    for (command, reply) in [
        ("hset h a", "-ERR wrong number of arguments for 'hset' command"),
        ("hset h a 1 b", "-ERR wrong number of arguments for 'hset' command"),
        ("hmset h a 1 b", "-ERR wrong number of arguments for 'hmset' command"),
        ("hget h", "-ERR wrong number of arguments for 'hget' command"),
        ("hincrby h a x", "-ERR value is not an integer or out of range"),
        ("hincrbyfloat h a x", "-ERR value is not a valid float"),
        ("hincrbyfloat h a nan", "-ERR value is not a valid float"),
        ("hincrbyfloat h a inf", "-ERR value is NaN or Infinity"),
        ("hrandfield h x", "-ERR value is not an integer or out of range"),
        ("hrandfield h 3 foo", "-ERR syntax error"),
        ("hrandfield h 3 withvalues x", "-ERR syntax error"),
        ("hrandfield h 9223372036854775807 withvalues", "-ERR value is out of range"),
        (
            "hrandfield h -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("hscan h x", "-ERR invalid cursor"),
    ] {
        check(command, reply);
    }
}

#[test]
fn other_types_are_refused() {
    let mut stage = Stage::new();
    stage.play("> sadd s x\n:1");
    for command in [
        "hset s a 1",
        "hsetnx s a 1",
        "hmset s a 1",
        "hget s a",
        "hmget s a",
        "hdel s a",
        "hlen s",
        "hstrlen s a",
        "hexists s a",
        "hkeys s",
        "hvals s",
        "hgetall s",
        "hincrby s a 1",
        "hincrbyfloat s a 1",
        "hrandfield s",
        "hscan s 0",
    ] {
        let refusal = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(stage.say(1, command), refusal, "{command}");
    }
}

#[test]
fn counters_count() {
    in_both_encodings(
        "> hincrby h n 5
         :5
         > hincrby h n -7
         :-2
         > hset h s x big 9223372036854775807 f 10.50
         :3
         > hincrby h s 1
         -ERR hash value is not an integer
         > hincrby h f 1
         -ERR hash value is not an integer
         > hincrby h big 1
         -ERR increment or decrement would overflow
         > hincrbyfloat h f 0.1
         $10.6
         > hincrbyfloat h new -5.0e3
         $-5000
         > hincrbyfloat h s 1
         -ERR hash value is not a float
         > hincrby none n x
         -ERR value is not an integer or out of range
         > hlen none
         :0
         stream [$SELECT $0] [$hincrby $h $n $5] [$hincrby $h $n $-7] [$hset $h $s $x $big $9223372036854775807 $f $10.50] [$HSET $h $f $10.6] [$HSET $h $new $-5000]",
    );
}

#[test]
fn a_refused_counter_leaves_no_empty_hash() {
    in_both_encodings(
        "> hset h a x
         :1
         > hincrby h a 1
         -ERR hash value is not an integer
         > hincrbyfloat h2 a inf
         -ERR value is NaN or Infinity
         > hgetall h2
         []",
    );
}

#[test]
fn random_fields() {
    in_both_encodings(
        "> hset h a 1
         :1
         > hrandfield h
         $a
         > hrandfield h 5
         [$a]
         > hrandfield h -3
         [$a $a $a]
         > hrandfield h 0
         []
         > hrandfield h 2 WithValues
         [$a $1]
         > hrandfield h -2 withvalues
         [$a $1 $a $1]",
    );
    check("hrandfield h -16777217", "-ERR value is out of range");
}

#[test]
fn resp3_has_maps_and_pairs() {
    let mut stage = Stage::new();
    stage.say(1, "hello 3");
    stage.play(
        "> hgetall h
         {}
         > hset h a 1
         :1
         > hgetall h
         {$a=$1}
         > hkeys h
         [$a]
         > hrandfield h 2 withvalues
         [[$a $1]]
         > hget h b
         _",
    );
}

#[test]
fn scans_see_everything_once_in_a_quiet_hash() {
    in_both_encodings(
        "> hset h ab 1
         :1
         > hscan h 0
         [$0 [$ab $1]]
         > hscan h 0 match a* count 100
         [$0 [$ab $1]]
         > hscan h 0 match b*
         [$0 []]
         > hscan h 0 count 0
         -ERR syntax error
         > hscan h 0 count x
         -ERR value is not an integer or out of range
         > hscan h 0 type hash
         -ERR syntax error
         > hscan h 0 match
         -ERR syntax error",
    );
    let mut stage = Stage::new();
    for number in 0..2000 {
        stage.say(1, &format!("hset h f{number} v{number}"));
    }
    let (mut cursor, mut seen, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let page = stage.say(1, &format!("hscan h {cursor} count 50"));
        let (next, elements) = page.strip_prefix("[$").and_then(|page| page.split_once(" [")).expect("a page");
        seen.extend(elements.split(' ').filter(|word| word.starts_with("$f")).map(str::to_owned));
        cursor = next.to_owned();
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!((20..100).contains(&calls), "{calls} calls for 2000 fields, about 50 at a time");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 2000);
}

#[test]
fn events() {
    let mut stage = Stage::new();
    stage.play("config notify-keyspace-events KA");
    stage.say(2, "psubscribe *");
    for (command, events) in [
        ("hset h a 1 b 2", &["hset"][..]),
        ("hincrby h a 1", &["hincrby"]),
        ("hincrbyfloat h a 1", &["hincrbyfloat"]),
        ("hsetnx h a 1", &[]),
        ("hdel h nofield", &[]),
        ("hdel h a", &["hdel"]),
        ("hdel h b", &["hdel", "del"]),
    ] {
        stage.say(1, command);
        for event in events {
            assert_eq!(stage.hear(2), format!("[$pmessage $* $__keyspace@0__:h ${event}]"), "{command}");
        }
        assert_eq!(stage.hear(2), "nothing", "{command}");
    }
}
