//! Single members: adding, removing, scores, ranks, and members at random.

use quorate_keyspace::{Tuned, Zset};
use quorate_resp::Protocol;

use crate::commands::float::parse_float;
use crate::commands::sample::{Asked, Wanted, distinct, repeated};
use crate::commands::scan::{Scan, Scanned, write_page};
use crate::commands::sorted_set::{NOT_EMPTY, Order, Scores, write_member};
use crate::commands::write_text;
use crate::{Call, Refusal, Reply};

/// The words between ZADD's key and its scores.
#[derive(Debug, Clone, Copy, Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

/// What became of one member.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Added(f64),
    Updated(f64),
    Same(f64),
    /// An option did not let it pass.
    Kept,
}

impl Options {
    /// Takes the options from the front of `words`.
    fn read<'a>(&mut self, mut words: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
        while let [word, rest @ ..] = words {
            let named = [
                ("nx", &mut self.nx),
                ("xx", &mut self.xx),
                ("gt", &mut self.gt),
                ("lt", &mut self.lt),
                ("ch", &mut self.ch),
                ("incr", &mut self.incr),
            ];
            let Some((_, flag)) = named.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())) else {
                break;
            };
            *flag = true;
            words = rest;
        }
        words
    }

    /// Do they go together?
    fn check(self, pairs: usize) -> Result<(), Refusal> {
        const NX_XX: &str = "ERR XX and NX options at the same time are not compatible";
        const GT_LT_NX: &str = "ERR GT, LT, and/or NX options at the same time are not compatible";
        const INCR: &str = "ERR INCR option supports a single increment-element pair";
        if self.nx && self.xx {
            return Err(Refusal::fixed(NX_XX));
        }
        if (self.gt || self.lt) && self.nx || self.gt && self.lt {
            return Err(Refusal::fixed(GT_LT_NX));
        }
        if self.incr && pairs > 1 {
            return Err(Refusal::fixed(INCR));
        }
        Ok(())
    }

    /// Gives a member its score, or adds to it, as far as the options allow.
    fn apply(self, zset: &mut Tuned<'_, Zset>, member: &[u8], score: f64) -> Result<Outcome, Refusal> {
        let mut outcome = Ok(Outcome::Kept);
        zset.update(member, |old| {
            outcome = self.decide(old, score);
            match outcome {
                Ok(Outcome::Added(new) | Outcome::Updated(new)) => Some(new),
                Ok(Outcome::Same(_) | Outcome::Kept) | Err(_) => None,
            }
        });
        outcome
    }

    /// What becomes of a member that has this score, or none.
    fn decide(self, old: Option<f64>, score: f64) -> Result<Outcome, Refusal> {
        let Some(old) = old else {
            return Ok(if self.xx { Outcome::Kept } else { Outcome::Added(score) });
        };
        if self.nx {
            return Ok(Outcome::Kept);
        }
        let new = if self.incr { old + score } else { score };
        if new.is_nan() {
            return Err(Refusal::fixed("ERR resulting score is not a number (NaN)"));
        }
        if self.lt && new >= old || self.gt && new <= old {
            return Ok(Outcome::Kept);
        }
        Ok(if new == old { Outcome::Same(new) } else { Outcome::Updated(new) })
    }
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]`: how many are new (CH: or changed), INCR: the sum or null.
pub(super) fn zadd(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    add(call, Options::default())
}

/// `ZINCRBY key increment member`: the sum. In Redis it is a ZADD, and an option's word is no increment: a syntax error.
pub(super) fn zincrby(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    add(call, Options { incr: true, ..Options::default() })
}

fn add(call: &mut Call<'_>, mut options: Options) -> Result<Reply, Refusal> {
    let (pairs, odd) = options.read(&call.argv[2..]).as_chunks::<2>();
    if pairs.is_empty() || !odd.is_empty() {
        return Err(Refusal::Syntax);
    }
    options.check(pairs.len())?;
    let scores: Result<Vec<f64>, Refusal> =
        pairs.iter().map(|[score, _]| parse_float(score).ok_or(Refusal::NotFloat)).collect();
    let scores = scores?;
    let key = call.argv[1];
    if options.xx && call.db.zset(key)?.is_none() {
        return Ok(if options.incr { Reply::Null } else { Reply::Int(0) });
    }
    let mut zset = call.db.zset_mut(key)?;
    let (mut added, mut updated, mut result) = (0, 0, Reply::Null);
    for ([_, member], score) in pairs.iter().zip(scores) {
        match options.apply(&mut zset, member, score)? {
            Outcome::Added(score) => (added, result) = (added + 1, Reply::Double(score)),
            Outcome::Updated(score) => (updated, result) = (updated + 1, Reply::Double(score)),
            Outcome::Same(score) => result = Reply::Double(score),
            Outcome::Kept => {}
        }
    }
    call.changed(key, if options.incr { "zincr" } else { "zadd" }, added + updated);
    if options.incr {
        return Ok(result);
    }
    Ok(Reply::Int(if options.ch { added + updated } else { added } as i64))
}

/// `ZREM key member [member ...]`: how many were there.
pub(super) fn zrem(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, members @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let Some(mut zset) = call.db.zset_existing_mut(key)? else { return Ok(Reply::Int(0)) };
    let removed = members.iter().filter(|member| zset.remove(member).is_some()).count();
    call.changed(key, "zrem", removed);
    Ok(Reply::Int(removed as i64))
}

/// `ZCARD key`
pub(super) fn zcard(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.db.zset(call.argv[1])?.map_or(0, |zset| zset.len() as i64)))
}

/// `ZSCORE key member`: the score or null.
pub(super) fn zscore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let score = call.db.zset(call.argv[1])?.and_then(|zset| zset.score(call.argv[2]));
    Ok(score.map_or(Reply::Null, Reply::Double))
}

/// `ZMSCORE key member [member ...]`: a score or null for each.
pub(super) fn zmscore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, members @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let zset = call.db.zset(key)?;
    call.out.array(members.len());
    for member in members {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.out.double(score),
            None => call.out.null(),
        }
    }
    Ok(Reply::Written)
}

/// `ZRANK key member [WITHSCORE]`: the rank from the lowest, with its score as an array; null when absent.
pub(super) fn zrank(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    rank(call, Order::Ascending)
}

/// `ZREVRANK key member [WITHSCORE]`: the rank from the highest.
pub(super) fn zrevrank(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    rank(call, Order::Descending)
}

fn rank(call: &mut Call<'_>, order: Order) -> Result<Reply, Refusal> {
    let (key, member, scores) = match call.argv {
        [_, key, member] => (key, member, Scores::Hidden),
        [_, key, member, option] if option.eq_ignore_ascii_case(b"withscore") => (key, member, Scores::Shown),
        [_, _, _, _] => return Err(Refusal::Syntax),
        _ => return Err(call.arity()),
    };
    let found = call.db.zset(key)?.and_then(|zset| {
        let rank = zset.rank(member)?;
        let rank = if order == Order::Ascending { rank } else { zset.len() - 1 - rank };
        Some((rank as i64, zset.score(member).expect("it has a rank")))
    });
    Ok(match (found, scores) {
        (None, Scores::Hidden) => Reply::Null,
        (None, Scores::Shown) => Reply::NullArray,
        (Some((rank, _)), Scores::Hidden) => Reply::Int(rank),
        (Some((rank, score)), Scores::Shown) => {
            call.out.array(2);
            call.out.int(rank);
            call.out.double(score);
            Reply::Written
        }
    })
}

/// `ZRANDMEMBER key [count [WITHSCORES]]`: a member or null; with a count an array, in RESP3 of pairs if scores are wanted.
pub(super) fn zrandmember(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Asked { wanted, with_values } = Asked::parse(&call.argv[2..], "withscores")?;
    let Some(zset) = call.db.zset(call.argv[1])? else {
        return Ok(if wanted.is_some() { Reply::EmptyArray } else { Reply::Null });
    };
    let draw = |rng: &mut fastrand::Rng| zset.random(rng).expect(NOT_EMPTY);
    let (rng, out, len) = (&mut call.core.rng, &mut call.out, zset.len());
    let scores = if with_values { Scores::Shown } else { Scores::Hidden };
    let per_member = if with_values && out.protocol() == Protocol::Resp2 { 2 } else { 1 };
    match wanted {
        None => write_text(out, draw(rng).0),
        Some(Wanted::Repeated(count)) => {
            out.array(count * per_member);
            repeated(count, len, zset.iter(), draw, rng, |pair| write_member(out, pair, scores));
        }
        Some(Wanted::Distinct(count)) => {
            let chosen = distinct(count, len, zset.iter(), draw, |(member, _)| member.to_vec(), rng);
            out.array(chosen.len() * per_member);
            chosen.into_iter().for_each(|pair| write_member(out, pair, scores));
        }
    }
    Ok(Reply::Written)
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`: `[cursor [member score …]]`, scores as text in both protocols.
pub(super) fn zscan(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, key, cursor, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    Scan::parse(cursor, &[], Scanned::Elements)?;
    let Some(zset) = call.db.zset(key)? else {
        write_page(call, 0, &[]);
        return Ok(Reply::Written);
    };
    let scan = Scan::parse(cursor, options, Scanned::Elements)?;
    let mut page = Vec::new();
    let next = scan.run(|cursor| {
        let mut visited = 0;
        let next = zset.scan(cursor, &mut |member, score| {
            visited += 1;
            let member = member.to_vec();
            if scan.lets(&member) {
                page.extend([member, quorate_resp::double_text(score).into_bytes()]);
            }
        });
        (next, visited)
    });
    write_page(call, next, &page);
    Ok(Reply::Written)
}
