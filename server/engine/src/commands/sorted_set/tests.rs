//! Each transcript is played twice: with small sets as listpacks, and with none.

use quorate_config::ServerConfig;

use crate::check::{Stage, check};

#[derive(Clone, Copy)]
enum Speaking {
    Resp2,
    Resp3,
}

#[track_caller]
fn play(transcript: &str, speaking: Speaking) {
    for (entries, encoding) in [(128, "listpack"), (0, "skiplist")] {
        let config = ServerConfig { zset_max_listpack_entries: entries, ..ServerConfig::default() };
        let mut stage = Stage::with(config);
        stage.say(1, "zadd encoding 1 a");
        assert_eq!(stage.say(1, "object encoding encoding"), format!("${encoding}"));
        assert_eq!(stage.say(1, "del encoding"), ":1");
        stage.engine.core_mut().streamed.clear();
        if matches!(speaking, Speaking::Resp3) {
            stage.say(1, "hello 3");
        }
        stage.play(transcript);
    }
}

#[track_caller]
fn resp2(transcript: &str) {
    play(transcript, Speaking::Resp2);
}

#[track_caller]
fn resp3(transcript: &str) {
    play(transcript, Speaking::Resp3);
}

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn members_get_scores() {
    resp2(
        "> zadd z 1 a 2 b 3 c
         :3
         > zadd z 1 a 5 b 4 d
         :1
         > zadd z ch 1 a 6 b 7 e
         :2
         > zscore z b
         $6
         > zscore z none
         nil
         > zscore none a
         nil
         > zmscore z a none e
         [$1 nil $7]
         > zmscore none a b
         [nil nil]
         > zcard z
         :5
         > zcard none
         :0
         > zincrby z 1.5 a
         $2.5
         > zincrby z -inf new
         $-inf
         > zincrby z +inf new
         -ERR resulting score is not a number (NaN)
         > zrem z new none a
         :2
         > zrem z none
         :0
         > zrem none a
         :0
         > zrem z b c d e
         :4
         > exists z
         :0
         stream [$zadd $z $1 $a $2 $b $3 $c] [$zadd $z $1 $a $5 $b $4 $d] [$zadd $z $ch $1 $a $6 $b $7 $e] [$zincrby $z $1.5 $a] [$zincrby $z $-inf $new] [$zrem $z $new $none $a] [$zrem $z $b $c $d $e]",
    );
}

#[test]
fn conditions_of_zadd() {
    resp2(
        "> zadd z xx 1 a
         :0
         > exists z
         :0
         > zadd z xx incr 1 a
         nil
         > zadd z nx 5 a 1 a
         :1
         > zadd z nx ch 9 a 2 b
         :1
         > zscore z a
         $5
         > zadd z gt ch 4 a 3 b 7 new
         :2
         > zmscore z a b new
         [$5 $3 $7]
         > zadd z lt ch 4 a 4 b 8 new
         :1
         > zmscore z a b new
         [$4 $3 $7]
         > zadd z xx gt ch 9 a 9 none
         :1
         > zadd z incr 2 a
         $11
         > zadd z nx incr 2 a
         nil
         > zadd z nx incr 2 fresh
         $2
         > zadd z gt incr -1 a
         nil
         > zadd z lt incr 1 a
         nil
         > zadd z lt incr -1 a
         $10
         > zadd z xx ch 10 a
         :0
         stream [$zadd $z $nx $5 $a $1 $a] [$zadd $z $nx $ch $9 $a $2 $b] [$zadd $z $gt $ch $4 $a $3 $b $7 $new] [$zadd $z $lt $ch $4 $a $4 $b $8 $new] [$zadd $z $xx $gt $ch $9 $a $9 $none] [$zadd $z $incr $2 $a] [$zadd $z $nx $incr $2 $fresh] [$zadd $z $lt $incr $-1 $a]",
    );
}

#[test]
fn what_zadd_refuses() {
    check("zadd z 1", "-ERR wrong number of arguments for 'zadd' command");
    check("zadd z 1 a 2", "-ERR syntax error");
    check("zadd z nx xx", "-ERR syntax error");
    check("zadd z nx xx 1 a", "-ERR XX and NX options at the same time are not compatible");
    let not_together = "-ERR GT, LT, and/or NX options at the same time are not compatible";
    check("zadd z gt nx 1 a", not_together);
    check("zadd z lt nx 1 a", not_together);
    check("zadd z gt lt 1 a", not_together);
    check("zadd z incr 1 a 2 b", "-ERR INCR option supports a single increment-element pair");
    for score in ["x", "nan", "\"\"", "1e400", "\" 1\""] {
        check(&format!("zadd z {score} a"), "-ERR value is not a valid float");
    }
    check("zadd z 1 a x b", "-ERR value is not a valid float");
    check("zincrby z x a", "-ERR value is not a valid float");
    check("zincrby z nx a", "-ERR syntax error");
    check("zincrby z 1e-400 a", "-ERR value is not a valid float");
    check("zadd z 0x10 a", ":1");
}

#[test]
fn the_wrong_type_is_refused() {
    for command in [
        "zadd s 1 a",
        "zadd s xx 1 a",
        "zincrby s 1 a",
        "zrem s a",
        "zcard s",
        "zscore s a",
        "zmscore s a",
        "zrank s a",
        "zrandmember s",
        "zscan s 0",
        "zrange s 0 -1",
        "zrangestore d s 0 -1",
        "zcount s 0 1",
        "zlexcount s - +",
        "zremrangebyrank s 0 1",
        "zpopmin s",
        "zpopmax s 0",
        "zmpop 2 none s min",
        "bzpopmin s 0",
        "bzmpop 0 1 s max",
        "zunion 1 s",
        "zinterstore d 2 none s",
        "zdiff 2 none s",
        "zintercard 1 s nonsense",
    ] {
        let mut stage = Stage::new();
        stage.say(1, "set s v");
        assert_eq!(stage.say(1, command), WRONG_TYPE, "{command}");
    }
}

#[test]
fn ranks_count_from_either_end() {
    resp2(
        "> zadd z 1 a 2 b 2 c 3 d
         :4
         > zrank z a
         :0
         > zrank z c
         :2
         > zrevrank z c
         :1
         > zrank z none
         nil
         > zrank none a
         nil
         > zrank z c withscore
         [:2 $2]
         > zrevrank z a WITHSCORE
         [:3 $1]
         > zrank z none withscore
         nil-array
         > zrank none a withscore
         nil-array
         > zrank z c what
         -ERR syntax error
         > zrank z c withscore more
         -ERR wrong number of arguments for 'zrank' command",
    );
    resp3(
        "> zadd z 1.5 a
         :1
         > zrank z a withscore
         [:0 ,1.5]
         > zrank z none withscore
         _",
    );
}

#[test]
fn ranges_by_rank() {
    resp2(
        "> zadd z 1 a 2 b 3 c 4 d
         :4
         > zrange z 0 -1
         [$a $b $c $d]
         > zrange z 1 2 withscores
         [$b $2 $c $3]
         > zrange z -2 -1
         [$c $d]
         > zrange z 2 1
         []
         > zrange z 4 9
         []
         > zrange z 0 -5
         []
         > zrange z -9 9
         [$a $b $c $d]
         > zrange z 0 1 rev
         [$d $c]
         > zrevrange z 0 1 withscores
         [$d $4 $c $3]
         > zrevrange z -1 -1
         [$a]
         > zrange none 0 -1
         []
         > zrange z -9223372036854775808 9223372036854775807
         [$a $b $c $d]
         > zrange z 0 x
         -ERR value is not an integer or out of range
         > zrange z 0 1 limit 0 1
         -ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
         > zrange z 0 1 limit 5 -1
         [$a $b]
         > zrange z 0 1 limit 5
         -ERR syntax error
         > zrange z 0 1 limit x 1
         -ERR value is not an integer or out of range
         > zrevrange z 0 1 rev
         -ERR syntax error
         > zrange z 0 1 rev rev
         -ERR syntax error
         > zrange z 0 1 bylex byscore
         -ERR syntax error",
    );
    resp3(
        "> zadd z 1 a 2.5 b
         :2
         > zrange z 0 -1 withscores
         [[$a ,1] [$b ,2.5]]
         > zrange z 0 -1
         [$a $b]
         > zrange z 5 9 withscores
         []",
    );
}

#[test]
fn ranges_by_score() {
    resp2(
        "> zadd z -inf a 1 b 2 c 2 d 3 e inf f
         :6
         > zrangebyscore z 1 2
         [$b $c $d]
         > zrangebyscore z (1 (3 withscores
         [$c $2 $d $2]
         > zrangebyscore z -inf +inf
         [$a $b $c $d $e $f]
         > zrangebyscore z (-inf (inf limit 1 2
         [$c $d]
         > zrangebyscore z 3 1
         []
         > zrangebyscore z (2 (2
         []
         > zrangebyscore z 0 9 limit 1 -1
         [$c $d $e]
         > zrangebyscore z 0 9 limit -1 2
         []
         > zrangebyscore z 0 9 limit 0 0
         []
         > zrevrangebyscore z 3 (1
         [$e $d $c]
         > zrevrangebyscore z 3 1 limit 1 2 withscores
         [$d $2 $c $2]
         > zrange z 3 1 byscore rev limit 0 1
         [$e]
         > zrange z 1 3 byscore limit 3 9
         [$e]
         > zcount z 1 (3
         :3
         > zcount z 3 1
         :0
         > zcount none 0 1
         :0
         > zcount z x 1
         -ERR min or max is not a float
         > zrangebyscore z ((1 2
         -ERR min or max is not a float
         > zrangebyscore z nan 2
         -ERR min or max is not a float
         > zrangebyscore z 1 2 bylex
         -ERR syntax error
         > zremrangebyscore z (1 2
         :2
         > zremrangebyscore z 5 1
         :0
         > zrange z 0 -1
         [$a $b $e $f]
         > zremrangebyscore z -inf inf
         :4
         > exists z
         :0
         > zremrangebyscore z 0 1
         :0",
    );
}

#[test]
fn ranges_by_member() {
    resp2(
        "> zadd z 0 a 0 b 0 c 0 d 0 10
         :5
         > zrangebylex z - +
         [$10 $a $b $c $d]
         > zrangebylex z [b (d
         [$b $c]
         > zrangebylex z (a + limit 1 1
         [$c]
         > zrangebylex z + -
         []
         > zrangebylex z [c [b
         []
         > zrevrangebylex z + [c
         [$d $c]
         > zrevrangebylex z (d - limit 1 2
         [$b $a]
         > zrange z [c - bylex rev
         [$c $b $a $10]
         > zlexcount z - [b
         :3
         > zlexcount none - +
         :0
         > zlexcount z a +
         -ERR min or max not valid string range item
         > zrangebylex z -a +
         -ERR min or max not valid string range item
         > zrangebylex z - + withscores
         -ERR syntax error, WITHSCORES not supported in combination with BYLEX
         > zremrangebylex z [1 (b
         :2
         > zremrangebyrank z -1 -1
         :1
         > zrange z 0 -1
         [$b $c]
         > zremrangebyrank z 0 -1
         :2
         > exists z
         :0
         stream [$zadd $z $0 $a $0 $b $0 $c $0 $d $0 $10] [$zremrangebylex $z $[1 $(b] [$zremrangebyrank $z $-1 $-1] [$zremrangebyrank $z $0 $-1]",
    );
}

#[test]
fn ranges_are_stored() {
    resp2(
        "> zadd z 1 a 2 b 3 c
         :3
         > set d v
         +OK
         > zrangestore d z 0 1
         :2
         > zrange d 0 -1 withscores
         [$a $1 $b $2]
         > zrangestore d z 3 2 byscore rev limit 0 1
         :1
         > zrange d 0 -1
         [$c]
         > zrangestore z z 1 1
         :1
         > zrange z 0 -1
         [$b]
         > zrangestore d z 5 9
         :0
         > exists d
         :0
         > zrangestore d none 0 -1
         :0
         > zrangestore d z 0 -1 withscores
         -ERR syntax error
         stream [$zadd $z $1 $a $2 $b $3 $c] [$set $d $v] [$zrangestore $d $z $0 $1] [$zrangestore $d $z $3 $2 $byscore $rev $limit $0 $1] [$zrangestore $z $z $1 $1] [$zrangestore $d $z $5 $9]",
    );
}

#[test]
fn sets_are_combined() {
    resp2(
        "> zadd a 1 x 2 y 3 z
         :3
         > zadd b 10 y 20 z 30 w
         :3
         > sadd s x y
         :2
         > zunion 2 a b withscores
         [$x $1 $y $12 $z $23 $w $30]
         > zunion 2 a b weights 2 0.5 aggregate max withscores
         [$x $2 $y $5 $z $10 $w $15]
         > zinter 2 a b aggregate min withscores
         [$y $2 $z $3]
         > zinter 3 a b s
         [$y]
         > zinter 2 a s withscores
         [$x $2 $y $3]
         > zinter 2 a none
         []
         > zdiff 2 a b withscores
         [$x $1]
         > zdiff 3 a none s
         [$z]
         > zdiff 2 none a
         []
         > zintercard 2 a b
         :2
         > zintercard 2 a b limit 1
         :1
         > zintercard 2 a b limit 0
         :2
         > zunionstore d 2 a b
         :4
         > zinterstore d 2 a b weights 1 -1
         :2
         > zrange d 0 -1 withscores
         [$z $-17 $y $-8]
         > zdiffstore d 2 a b
         :1
         > zdiffstore d 2 a a
         :0
         > exists d
         :0
         > zadd i inf x
         :1
         > zadd j -inf x
         :1
         > zunion 2 i j withscores
         [$x $0]
         > zinter 1 i weights 0 withscores
         [$x $0]
         stream [$zadd $a $1 $x $2 $y $3 $z] [$zadd $b $10 $y $20 $z $30 $w] [$sadd $s $x $y] [$zunionstore $d $2 $a $b] [$zinterstore $d $2 $a $b $weights $1 $-1] [$zdiffstore $d $2 $a $b] [$zdiffstore $d $2 $a $a] [$zadd $i $inf $x] [$zadd $j $-inf $x]",
    );
    resp3(
        "> zadd a 1 x
         :1
         > zunion 1 a withscores
         [[$x ,1]]
         > zdiff 1 a
         [$x]",
    );
}

#[test]
fn what_a_combination_refuses() {
    check("zunion 0 a", "-ERR at least 1 input key is needed for 'zunion' command");
    check("zinterstore d -1 a", "-ERR at least 1 input key is needed for 'zinterstore' command");
    check("zunion x a", "-ERR value is not an integer or out of range");
    check("zunion 2 a", "-ERR syntax error");
    check("zunion 1 a weights", "-ERR syntax error");
    check("zunion 1 a weights x", "-ERR weight value is not a float");
    check("zunion 1 a weights 1 2", "-ERR syntax error");
    check("zunion 1 a aggregate avg", "-ERR syntax error");
    check("zunionstore d 1 a withscores", "-ERR syntax error");
    check("zdiff 1 a weights 1", "-ERR syntax error");
    check("zintercard 1 a withscores", "-ERR syntax error");
    check("zintercard 1 a limit -1", "-ERR LIMIT can't be negative");
    check("zintercard 1 a limit x", "-ERR LIMIT can't be negative");
    check("zinter 1 a limit 1", "-ERR syntax error");
}

#[test]
fn members_are_popped() {
    resp2(
        "> zadd z 1 a 2 b 3 c 4 d 5 e
         :5
         > zpopmin z
         [$a $1]
         > zpopmax z 2
         [$e $5 $d $4]
         > zpopmin z 0
         []
         > zpopmin none
         []
         > zpopmin none 2
         []
         > zpopmax z -1
         -ERR value is out of range, must be positive
         > zpopmax z x
         -ERR value is out of range, must be positive
         > zpopmax z 1 2
         -ERR syntax error
         > zmpop 2 none z max count 1
         [$z [[$c $3]]]
         > zmpop 1 z min count 9
         [$z [[$b $2]]]
         > exists z
         :0
         > zmpop 1 z min
         nil-array
         stream [$zadd $z $1 $a $2 $b $3 $c $4 $d $5 $e] [$zpopmin $z] [$zpopmax $z $2] [$ZPOPMAX $z $1] [$ZPOPMIN $z $1]",
    );
    resp3(
        "> zadd z 1 a 2 b 3 c 4 d
         :4
         > zpopmin z
         [$a ,1]
         > zpopmin z 1
         [[$b ,2]]
         > zmpop 1 z max
         [$z [[$d ,4]]]
         > zmpop 1 none max
         _
         > bzpopmin z 0
         [$z $c ,3]",
    );
    check("zmpop 0 z min", "-ERR numkeys should be greater than 0");
    check("zmpop 2 z min", "-ERR syntax error");
    check("zmpop 1 z left", "-ERR syntax error");
    check("zmpop 1 z min count 0", "-ERR count should be greater than 0");
    check("zmpop 1 z min count 0 more", "-ERR count should be greater than 0");
    check("zmpop 1 z min count 1 count 1", "-ERR syntax error");
    check("bzmpop x 1 z left", "-ERR syntax error");
    check("bzmpop x 1 z min", "-ERR timeout is not a float or out of range");
}

#[test]
fn waiting_for_a_member() {
    resp2(
        "> bzpopmin y z 0
         2> zadd z 2 b 1 a
         2< :2
         1< [$z $a $1]
         > bzpopmax y z 1
         [$z $b $2]
         > bzpopmax y z 1
         wait 1100
         nil-array
         > bzmpop 0 2 y z max count 5
         2> sadd y a
         2< :1
         2> zunionstore z 1 y
         2< :1
         1< [$z [[$a $1]]]
         > multi
         +OK
         > bzpopmin z 0
         +QUEUED
         > exec
         [nil-array]
         > bzpopmin z -1
         -ERR timeout is negative
         stream [$zadd $z $2 $b $1 $a] [$ZPOPMIN $z] [$ZPOPMAX $z] [$sadd $y $a] [$zunionstore $z $1 $y] [$ZPOPMAX $z $1]",
    );
}

#[test]
fn members_at_random() {
    resp2(
        "> zadd z 1.5 a
         :1
         > zrandmember z
         $a
         > zrandmember z 5
         [$a]
         > zrandmember z -2 withscores
         [$a $1.5 $a $1.5]
         > zrandmember z 0
         []
         > zrandmember none
         nil
         > zrandmember none 1
         []
         > zrandmember z x
         -ERR value is not an integer or out of range
         > zrandmember z 1 what
         -ERR syntax error
         > zrandmember z 9223372036854775807 withscores
         -ERR value is out of range",
    );
    resp3(
        "> zadd z 1.5 a
         :1
         > zrandmember z -2 withscores
         [[$a ,1.5] [$a ,1.5]]
         > zrandmember z 1
         [$a]",
    );
}

#[test]
fn sorted_sets_are_scanned() {
    resp3(
        "> zadd z 1.5 a 2 other
         :2
         > zscan z 0 match a*
         [$0 [$a $1.5]]
         > zscan z 0 count 100 match none*
         [$0 []]
         > zscan none 0
         [$0 []]
         > zscan z x
         -ERR invalid cursor
         > zscan z 0 count 0
         -ERR syntax error",
    );
    let mut stage = Stage::new();
    for member in 0..500 {
        stage.say(1, &format!("zadd big {member} member:{member}"));
    }
    assert_eq!(stage.say(1, "object encoding big"), "$skiplist");
    let (mut cursor, mut seen) = (String::from("0"), std::collections::BTreeSet::new());
    loop {
        let page = stage.say(1, &format!("zscan big {cursor} count 20"));
        let (next, members) = page.trim_matches(['[', ']']).split_once(" [").expect("a page");
        seen.extend(members.split(' ').step_by(2).map(str::to_owned));
        cursor = next.trim_start_matches('$').into();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
}

#[test]
fn changes_are_announced() {
    resp2(
        "config notify-keyspace-events KEA
         2> psubscribe __keyevent*
         2< [$psubscribe $__keyevent* :1]
         > zadd z 1 a 2 b
         :2
         2< [$pmessage $__keyevent* $__keyevent@0__:zadd $z]
         > zadd z incr 1 a
         $2
         2< [$pmessage $__keyevent* $__keyevent@0__:zincr $z]
         > zadd z 2 a
         :0
         > zrangestore d z 0 0
         :1
         2< [$pmessage $__keyevent* $__keyevent@0__:zrangestore $d]
         > zpopmax d
         [$a $2]
         2< [$pmessage $__keyevent* $__keyevent@0__:zpopmax $d]
         2< [$pmessage $__keyevent* $__keyevent@0__:del $d]
         > zremrangebylex z - +
         :2
         2< [$pmessage $__keyevent* $__keyevent@0__:zremrangebylex $z]
         2< [$pmessage $__keyevent* $__keyevent@0__:del $z]",
    );
}

#[test]
fn encodings_follow_the_limits() {
    let config = ServerConfig { zset_max_listpack_entries: 2, zset_max_listpack_value: 3, ..ServerConfig::default() };
    Stage::with(config).play(
        "> zadd z 1 a 2 b
         :2
         > object encoding z
         $listpack
         > zadd z 3 c
         :1
         > object encoding z
         $skiplist
         > zadd y 1 long
         :1
         > object encoding y
         $skiplist
         > zrangestore d z 0 1
         :2
         > object encoding d
         $listpack",
    );
}
