//! Union, intersection and difference of sorted sets. A plain set takes part, too: its members score 1.

use std::sync::Arc;

use quorate_collections::text::INT_TEXT_MAX;
use quorate_keyspace::{Limits, Set, StrRef, ValueRef, Zset};
use quorate_resp::parse_int;

use crate::commands::float::parse_float;
use crate::commands::sorted_set::{Scores, store, write_members};
use crate::{Call, Refusal, Reply};

/// One of the sets.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Absent,
    Set(&'a Set),
    Zset(&'a Zset),
}

impl<'a> Operand<'a> {
    fn len(self) -> usize {
        match self {
            Operand::Absent => 0,
            Operand::Set(set) => set.len(),
            Operand::Zset(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Operand::Absent => None,
            Operand::Set(set) => set.contains(member).then_some(1.0),
            Operand::Zset(zset) => zset.score(member),
        }
    }

    /// Shows every member with its score, until one is enough.
    fn walk(self, mut visit: impl FnMut(&[u8], f64) -> More) {
        let mut show = |member: StrRef<'_>, score| visit(member.text(&mut [0; INT_TEXT_MAX]), score) == More::Yes;
        match self {
            Operand::Absent => {}
            Operand::Set(set) => _ = set.iter().all(|member| show(member, 1.0)),
            Operand::Zset(zset) => _ = zset.iter().all(|(member, score)| show(member, score)),
        }
    }
}

/// Does whoever looks at members want another one?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// What is made of the sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algebra {
    Union,
    Inter,
    Diff,
}

/// How the scores of one member become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of_word(word: &[u8]) -> Result<Aggregate, Refusal> {
        let known = [("sum", Aggregate::Sum), ("min", Aggregate::Min), ("max", Aggregate::Max)];
        let known = known.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        known.map(|(_, aggregate)| aggregate).ok_or(Refusal::Syntax)
    }

    /// Both scores, weighted; infinities that cancel each other out make 0.
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum => number(a + b),
            Aggregate::Min => a.min(b),
            Aggregate::Max => a.max(b),
        }
    }
}

/// Infinity times zero, and infinities that cancel each other out, are 0. Source: Redis's documentation of ZUNIONSTORE.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A command's sets and options.
struct Operation<'a> {
    sets: Vec<(Operand<'a>, f64)>,
    aggregate: Aggregate,
    scores: Scores,
    /// ZINTERCARD's LIMIT; 0 for none.
    limit: usize,
}

/// Which options a command knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Replies,
    Stores,
    Counts,
}

impl<'a> Operation<'a> {
    /// Reads `numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`, as far as the command knows the options;
    /// ZINTERCARD knows `LIMIT limit` alone.
    fn parse(
        call: &'a Call<'_>,
        words: &'a [&'a [u8]],
        algebra: Algebra,
        form: Form,
    ) -> Result<Operation<'a>, Refusal> {
        let [count, words @ ..] = words else { unreachable!("arity is checked before run") };
        let count = parse_int(count).ok_or(Refusal::NotInteger)?;
        let none = || Refusal::err(format_args!("at least 1 input key is needed for '{}' command", call.name()));
        let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(none)?;
        let (keys, options) = words.split_at_checked(count).ok_or(Refusal::Syntax)?;
        let sets: Result<Vec<_>, Refusal> = keys.iter().map(|key| Ok((operand(call, key)?, 1.0))).collect();
        let mut operation = Operation { sets: sets?, aggregate: Aggregate::Sum, scores: Scores::Hidden, limit: 0 };
        operation.parse_options(options, algebra, form)?;
        if algebra != Algebra::Diff {
            // The order in which floating point numbers are added shows: the smallest set comes first, as in Redis.
            operation.sets.sort_by_key(|(set, _)| set.len());
        }
        Ok(operation)
    }

    fn parse_options(&mut self, mut options: &[&[u8]], algebra: Algebra, form: Form) -> Result<(), Refusal> {
        let weighs = algebra != Algebra::Diff && form != Form::Counts;
        while let [option, rest @ ..] = options {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            let taken = if is("weights") && weighs && rest.len() >= self.sets.len() {
                for ((_, weight), text) in self.sets.iter_mut().zip(rest) {
                    *weight = parse_float(text).ok_or(Refusal::fixed("ERR weight value is not a float"))?;
                }
                self.sets.len()
            } else if is("aggregate") && weighs && !rest.is_empty() {
                self.aggregate = Aggregate::of_word(rest[0])?;
                1
            } else if is("withscores") && form == Form::Replies {
                self.scores = Scores::Shown;
                0
            } else if is("limit") && form == Form::Counts && !rest.is_empty() {
                let limit = parse_int(rest[0]).and_then(|limit| usize::try_from(limit).ok());
                self.limit = limit.ok_or(Refusal::fixed("ERR LIMIT can't be negative"))?;
                1
            } else {
                return Err(Refusal::Syntax);
            };
            options = &rest[taken..];
        }
        Ok(())
    }

    fn run(&self, algebra: Algebra, limits: &Limits) -> Zset {
        match algebra {
            Algebra::Union => self.union(limits),
            Algebra::Diff => self.difference(limits),
            Algebra::Inter => {
                let mut result = Zset::new();
                self.intersect(|member, score| {
                    result.insert(limits, member, score);
                    More::Yes
                });
                result
            }
        }
    }

    fn union(&self, limits: &Limits) -> Zset {
        let mut result = Zset::new();
        for (set, weight) in &self.sets {
            set.walk(|member, score| {
                let score = number(weight * score);
                let joined = result.score(member).map_or(score, |held| self.aggregate.join(held, score));
                result.insert(limits, member, joined);
                More::Yes
            });
        }
        result
    }

    fn intersect(&self, mut visit: impl FnMut(&[u8], f64) -> More) {
        let [(smallest, weight), others @ ..] = &self.sets[..] else { unreachable!("there is at least one key") };
        smallest.walk(|member, score| {
            let mut joined = number(weight * score);
            for (set, weight) in others {
                let Some(score) = set.score(member) else { return More::Yes };
                joined = self.aggregate.join(joined, weight * score);
            }
            visit(member, joined)
        });
    }

    fn difference(&self, limits: &Limits) -> Zset {
        let mut result = Zset::new();
        let [(first, _), others @ ..] = &self.sets[..] else { unreachable!("there is at least one key") };
        first.walk(|member, score| {
            if others.iter().all(|(set, _)| set.score(member).is_none()) {
                result.insert(limits, member, score);
            }
            More::Yes
        });
        result
    }
}

fn operand<'a>(call: &'a Call<'_>, key: &[u8]) -> Result<Operand<'a>, Refusal> {
    match call.db.value(key) {
        None => Ok(Operand::Absent),
        Some(ValueRef::Set(set)) => Ok(Operand::Set(set)),
        Some(ValueRef::Zset(zset)) => Ok(Operand::Zset(zset)),
        Some(_) => Err(Refusal::WrongType),
    }
}

/// `ZUNION numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`: as ZRANGE shows members.
pub(super) fn zunion(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    show(call, Algebra::Union)
}

/// `ZINTER numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
pub(super) fn zinter(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    show(call, Algebra::Inter)
}

/// `ZDIFF numkeys key [key ...] [WITHSCORES]`
pub(super) fn zdiff(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    show(call, Algebra::Diff)
}

fn show(call: &mut Call<'_>, algebra: Algebra) -> Result<Reply, Refusal> {
    let limits = Arc::clone(call.db.keyspace().limits());
    let operation = Operation::parse(call, &call.argv[1..], algebra, Form::Replies)?;
    let (result, scores) = (operation.run(algebra, &limits), operation.scores);
    write_members(&mut call.out, result.len(), result.iter(), scores);
    Ok(Reply::Written)
}

/// `ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`: how many members are stored.
pub(super) fn zunionstore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    store_result(call, Algebra::Union, "zunionstore")
}

/// `ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX]`
pub(super) fn zinterstore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    store_result(call, Algebra::Inter, "zinterstore")
}

/// `ZDIFFSTORE destination numkeys key [key ...]`
pub(super) fn zdiffstore(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    store_result(call, Algebra::Diff, "zdiffstore")
}

fn store_result(call: &mut Call<'_>, algebra: Algebra, event: &'static str) -> Result<Reply, Refusal> {
    let limits = Arc::clone(call.db.keyspace().limits());
    let result = Operation::parse(call, &call.argv[2..], algebra, Form::Stores)?.run(algebra, &limits);
    Ok(store(call, call.argv[1], result, event))
}

/// `ZINTERCARD numkeys key [key ...] [LIMIT limit]`: how many members the intersection has, at most `limit` if that is not 0.
pub(super) fn zintercard(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let operation = Operation::parse(call, &call.argv[1..], Algebra::Inter, Form::Counts)?;
    let mut count = 0;
    operation.intersect(|_, _| {
        count += 1;
        if count == operation.limit { More::No } else { More::Yes }
    });
    Ok(Reply::Int(count as i64))
}
