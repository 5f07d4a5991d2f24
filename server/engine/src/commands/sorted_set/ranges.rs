//! Ranges by rank, score or member: read, counted, stored, removed. Each becomes a range of ranks first.

use std::ops::Range;
use std::sync::Arc;

use quorate_collections::text::INT_TEXT_MAX;
use quorate_keyspace::{LexBound, ScoreBound, Zset};
use quorate_resp::parse_int;

use crate::commands::float::parse_bound;
use crate::commands::sorted_set::{Order, Scores, store, write_members};
use crate::{Call, Refusal, Reply};

/// What the bounds of a range are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range as a client says it, the lower bound first.
#[derive(Debug, Clone, Copy)]
enum Span<'a> {
    /// Indexes from the front of the order asked for; negative ones from its end.
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Lex(LexBound<'a>, LexBound<'a>),
}

impl<'a> Span<'a> {
    fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Span<'a>, Refusal> {
        Ok(match by {
            By::Rank => {
                let index = |text| parse_int(text).ok_or(Refusal::NotInteger);
                Span::Ranks(index(min)?, index(max)?)
            }
            By::Score => Span::Scores(score_bound(min)?, score_bound(max)?),
            By::Lex => Span::Lex(lex_bound(min)?, lex_bound(max)?),
        })
    }

    /// The ranks, counted from the lowest.
    fn ranks(self, zset: &Zset, order: Order) -> Range<usize> {
        match self {
            Span::Scores(min, max) => zset.score_ranks(min, max),
            Span::Lex(min, max) => zset.lex_ranks(min, max),
            Span::Ranks(start, end) => {
                let len = zset.len();
                let from_front = |index: i64| if index < 0 { index.saturating_add(len as i64) } else { index };
                let start = usize::try_from(from_front(start)).unwrap_or(0);
                let end = from_front(end).saturating_add(1);
                let end = usize::try_from(end).unwrap_or(0).min(len);
                let start = start.min(end);
                match order {
                    Order::Ascending => start..end,
                    Order::Descending => len - end..len - start,
                }
            }
        }
    }
}

/// `1.5`, `(1.5`, `-inf`
fn score_bound(text: &[u8]) -> Result<ScoreBound, Refusal> {
    let bound = match text {
        [b'(', number @ ..] => parse_bound(number).map(ScoreBound::Excluded),
        number => parse_bound(number).map(ScoreBound::Included),
    };
    bound.ok_or(Refusal::NotRange)
}

/// `[member`, `(member`, `-`, `+`
fn lex_bound(text: &[u8]) -> Result<LexBound<'_>, Refusal> {
    match text {
        [b'-'] => Ok(LexBound::Lowest),
        [b'+'] => Ok(LexBound::Highest),
        [b'[', member @ ..] => Ok(LexBound::Included(member)),
        [b'(', member @ ..] => Ok(LexBound::Excluded(member)),
        _ => Err(Refusal::fixed("ERR min or max not valid string range item")),
    }
}

/// Everything that ZRANGE and its older relatives ask for.
struct Query<'a> {
    span: Span<'a>,
    order: Order,
    /// Offset and count; a negative count is no limit.
    limit: (i64, i64),
    scores: Scores,
}

/// What a command's name says already; `None` is left to the options.
struct Fixed {
    by: Option<By>,
    order: Option<Order>,
    stores: bool,
}

const RANGE: Fixed = Fixed { by: None, order: None, stores: false };

impl<'a> Query<'a> {
    /// Reads `min max [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`.
    fn parse(words: &'a [&'a [u8]], fixed: &Fixed) -> Result<Query<'a>, Refusal> {
        let [first, second, options @ ..] = words else { unreachable!("arity is checked before run") };
        let (mut by, mut order, mut limit, mut scores) = (fixed.by, fixed.order, (0, -1), Scores::Hidden);
        let mut at = 0;
        while let Some(option) = options.get(at) {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("withscores") && !fixed.stores {
                scores = Scores::Shown;
            } else if is("limit") && at + 2 < options.len() {
                let number = |index: usize| parse_int(options[index]).ok_or(Refusal::NotInteger);
                limit = (number(at + 1)?, number(at + 2)?);
                at += 2;
            } else if is("rev") && order.is_none() {
                order = Some(Order::Descending);
            } else if is("bylex") && by.is_none() {
                by = Some(By::Lex);
            } else if is("byscore") && by.is_none() {
                by = Some(By::Score);
            } else {
                return Err(Refusal::Syntax);
            }
            at += 1;
        }
        let (by, order) = (by.unwrap_or(By::Rank), order.unwrap_or(Order::Ascending));
        if limit.1 != -1 && by == By::Rank {
            return Err(Refusal::fixed(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores == Scores::Shown && by == By::Lex {
            return Err(Refusal::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        // From the highest down, the client says the upper bound first.
        let swapped = order == Order::Descending && by != By::Rank;
        let (min, max) = if swapped { (second, first) } else { (first, second) };
        let limit = if by == By::Rank { (0, -1) } else { limit };
        Ok(Query { span: Span::parse(by, min, max)?, order, limit, scores })
    }

    /// The ranks that are asked for, counted from the lowest, within LIMIT.
    fn ranks(&self, zset: &Zset) -> Range<usize> {
        let Range { start, end } = self.span.ranks(zset, self.order);
        let (offset, count) = self.limit;
        // Redis walks past `offset` members until none is left: below zero that is all of them.
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX).min(end - start);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(end - start - skipped);
        match self.order {
            Order::Ascending => start + skipped..start + skipped + count,
            Order::Descending => end - skipped - count..end - skipped,
        }
    }
}

/// `ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`: members in order, in RESP3 paired with their scores if
/// those are wanted.
pub(super) fn zrange(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    range(call, &RANGE)
}

/// `ZREVRANGE key start stop [WITHSCORES]`
pub(super) fn zrevrange(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    range(call, &Fixed { by: Some(By::Rank), order: Some(Order::Descending), ..RANGE })
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrangebyscore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    range(call, &Fixed { by: Some(By::Score), order: Some(Order::Ascending), ..RANGE })
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
pub(super) fn zrevrangebyscore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    range(call, &Fixed { by: Some(By::Score), order: Some(Order::Descending), ..RANGE })
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`
pub(super) fn zrangebylex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    range(call, &Fixed { by: Some(By::Lex), order: Some(Order::Ascending), ..RANGE })
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`
pub(super) fn zrevrangebylex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    range(call, &Fixed { by: Some(By::Lex), order: Some(Order::Descending), ..RANGE })
}

fn range(call: &mut Call<'_>, fixed: &Fixed) -> Result<Reply, Refusal> {
    let query = Query::parse(&call.argv[2..], fixed)?;
    let Some(zset) = call.db.zset(call.argv[1])? else { return Ok(Reply::EmptyArray) };
    let ranks = query.ranks(zset);
    let (count, members) = (ranks.len(), zset.range(ranks));
    match query.order {
        Order::Ascending => write_members(&mut call.out, count, members, query.scores),
        Order::Descending => write_members(&mut call.out, count, members.rev(), query.scores),
    }
    Ok(Reply::Written)
}

/// `ZRANGESTORE destination source start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count]`: how many members are stored. Whatever the
/// destination held goes; an empty range leaves nothing there.
pub(super) fn zrangestore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, destination, source, words @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let query = Query::parse(words, &Fixed { stores: true, ..RANGE })?;
    let (mut result, limits) = (Zset::new(), Arc::clone(call.db.keyspace().limits()));
    if let Some(zset) = call.db.zset(source)? {
        for (member, score) in zset.range(query.ranks(zset)) {
            result.insert(&limits, member.text(&mut [0; INT_TEXT_MAX]), score);
        }
    }
    Ok(store(call, destination, result, "zrangestore"))
}

/// `ZCOUNT key min max`: how many scores lie between.
pub(super) fn zcount(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    count(call, By::Score)
}

/// `ZLEXCOUNT key min max`: how many members lie between.
pub(super) fn zlexcount(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    count(call, By::Lex)
}

fn count(call: &mut Call<'_>, by: By) -> Result<Reply, Refusal> {
    let span = Span::parse(by, call.argv[2], call.argv[3])?;
    let zset = call.db.zset(call.argv[1])?;
    Ok(Reply::Int(zset.map_or(0, |zset| span.ranks(zset, Order::Ascending).len() as i64)))
}

/// `ZREMRANGEBYRANK key start stop`: how many were removed.
pub(super) fn zremrangebyrank(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    remove(call, By::Rank, "zremrangebyrank")
}

/// `ZREMRANGEBYSCORE key min max`
pub(super) fn zremrangebyscore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    remove(call, By::Score, "zremrangebyscore")
}

/// `ZREMRANGEBYLEX key min max`
pub(super) fn zremrangebylex(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    remove(call, By::Lex, "zremrangebylex")
}

fn remove(call: &mut Call<'_>, by: By, event: &'static str) -> Result<Reply, Refusal> {
    let [_, key, min, max] = call.argv else { unreachable!("arity is checked before run") };
    let span = Span::parse(by, min, max)?;
    let Some(mut zset) = call.db.zset_existing_mut(key)? else { return Ok(Reply::Int(0)) };
    let ranks = span.ranks(&zset, Order::Ascending);
    let removed = ranks.len();
    zset.remove_ranks(ranks);
    call.changed(key, event, removed);
    Ok(Reply::Int(removed as i64))
}
