//! Sorted sets: members ordered by score. Here are the rows and what the files of the family share.

mod algebra;
mod members;
mod pops;
mod ranges;
#[cfg(test)]
mod tests;

use quorate_keyspace::{StrRef, Ttl, Zset};
use quorate_resp::{Protocol, Writer};

use super::write_text;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::SortedSet) };

/// Every sorted-set command.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bzmpop",
        arity: AtLeast(5),
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 2 },
        since: "7.0.0",
        summary: "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        run: pops::bzmpop,
        ..ROW
    },
    Command {
        name: "bzpopmax",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST.with(Flags::NOSCRIPT).with(Flags::BLOCKING),
        keys: Keys::Range { first: 1, last: -2, step: 1 },
        since: "5.0.0",
        summary: "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise. Deletes the sorted set if the last element was popped.",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        run: pops::bzpopmax,
        ..ROW
    },
    Command {
        name: "bzpopmin",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST.with(Flags::NOSCRIPT).with(Flags::BLOCKING),
        keys: Keys::Range { first: 1, last: -2, step: 1 },
        since: "5.0.0",
        summary: "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped.",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        run: pops::bzpopmin,
        ..ROW
    },
    Command {
        name: "zadd",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM_FAST,
        since: "1.2.0",
        summary: "Adds one or more members to a sorted set, or updates their scores. Creates the key if it does not exist.",
        complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
        run: members::zadd,
        ..ROW
    },
    Command {
        name: "zcard",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "1.2.0",
        summary: "Returns the number of members in a sorted set.",
        run: members::zcard,
        ..ROW
    },
    Command {
        name: "zcount",
        arity: Exactly(4),
        flags: Flags::READ_FAST,
        since: "2.0.0",
        summary: "Returns the count of members in a sorted set that have scores within a range.",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        run: ranges::zcount,
        ..ROW
    },
    Command {
        name: "zdiff",
        arity: AtLeast(3),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "6.2.0",
        summary: "Returns the difference between multiple sorted sets.",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        run: algebra::zdiff,
        ..ROW
    },
    Command {
        name: "zdiffstore",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM.with(Flags::MOVABLE_KEYS),
        keys: Keys::StoreCounted { count: 2 },
        since: "6.2.0",
        summary: "Stores the difference of multiple sorted sets in a key.",
        complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
        run: algebra::zdiffstore,
        ..ROW
    },
    Command {
        name: "zincrby",
        arity: Exactly(4),
        flags: Flags::WRITE_OOM_FAST,
        since: "1.2.0",
        summary: "Increments the score of a member in a sorted set.",
        complexity: "O(log(N)) where N is the number of elements in the sorted set.",
        run: members::zincrby,
        ..ROW
    },
    Command {
        name: "zinter",
        arity: AtLeast(3),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "6.2.0",
        summary: "Returns the intersect of multiple sorted sets.",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        run: algebra::zinter,
        ..ROW
    },
    Command {
        name: "zintercard",
        arity: AtLeast(3),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "7.0.0",
        summary: "Returns the number of members of the intersect of multiple sorted sets.",
        complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
        run: algebra::zintercard,
        ..ROW
    },
    Command {
        name: "zinterstore",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM.with(Flags::MOVABLE_KEYS),
        keys: Keys::StoreCounted { count: 2 },
        since: "2.0.0",
        summary: "Stores the intersect of multiple sorted sets in a key.",
        complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
        run: algebra::zinterstore,
        ..ROW
    },
    Command {
        name: "zlexcount",
        arity: Exactly(4),
        flags: Flags::READ_FAST,
        since: "2.8.9",
        summary: "Returns the number of members in a sorted set within a lexicographical range.",
        complexity: "O(log(N)) with N being the number of elements in the sorted set.",
        run: ranges::zlexcount,
        ..ROW
    },
    Command {
        name: "zmpop",
        arity: AtLeast(4),
        flags: Flags::WRITE.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "7.0.0",
        summary: "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped.",
        complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
        run: pops::zmpop,
        ..ROW
    },
    Command {
        name: "zmscore",
        arity: AtLeast(3),
        flags: Flags::READ_FAST,
        since: "6.2.0",
        summary: "Returns the score of one or more members in a sorted set.",
        complexity: "O(N) where N is the number of members being requested.",
        run: members::zmscore,
        ..ROW
    },
    Command {
        name: "zpopmax",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        since: "5.0.0",
        summary: "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        run: pops::zpopmax,
        ..ROW
    },
    Command {
        name: "zpopmin",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        since: "5.0.0",
        summary: "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped.",
        complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
        run: pops::zpopmin,
        ..ROW
    },
    Command {
        name: "zrandmember",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        since: "6.2.0",
        summary: "Returns one or more random members from a sorted set.",
        complexity: "O(N) where N is the number of members returned.",
        run: members::zrandmember,
        ..ROW
    },
    Command {
        name: "zrange",
        arity: AtLeast(4),
        flags: Flags::READONLY,
        since: "1.2.0",
        summary: "Returns members in a sorted set within a range of indexes.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        run: ranges::zrange,
        ..ROW
    },
    Command {
        name: "zrangebylex",
        arity: AtLeast(4),
        flags: Flags::READONLY,
        since: "2.8.9",
        summary: "Returns members in a sorted set within a lexicographical range.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned.",
        run: ranges::zrangebylex,
        ..ROW
    },
    Command {
        name: "zrangebyscore",
        arity: AtLeast(4),
        flags: Flags::READONLY,
        since: "1.0.5",
        summary: "Returns members in a sorted set within a range of scores.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned.",
        run: ranges::zrangebyscore,
        ..ROW
    },
    Command {
        name: "zrangestore",
        arity: AtLeast(5),
        flags: Flags::WRITE_OOM,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        since: "6.2.0",
        summary: "Stores a range of members from sorted set in a key.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.",
        run: ranges::zrangestore,
        ..ROW
    },
    Command {
        name: "zrank",
        arity: AtLeast(3),
        flags: Flags::READ_FAST,
        since: "2.0.0",
        summary: "Returns the index of a member in a sorted set ordered by ascending scores.",
        complexity: "O(log(N))",
        run: members::zrank,
        ..ROW
    },
    Command {
        name: "zrem",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "1.2.0",
        summary: "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.",
        complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
        run: members::zrem,
        ..ROW
    },
    Command {
        name: "zremrangebylex",
        arity: Exactly(4),
        flags: Flags::WRITE,
        since: "2.8.9",
        summary: "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        run: ranges::zremrangebylex,
        ..ROW
    },
    Command {
        name: "zremrangebyrank",
        arity: Exactly(4),
        flags: Flags::WRITE,
        since: "2.0.0",
        summary: "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        run: ranges::zremrangebyrank,
        ..ROW
    },
    Command {
        name: "zremrangebyscore",
        arity: Exactly(4),
        flags: Flags::WRITE,
        since: "1.2.0",
        summary: "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        run: ranges::zremrangebyscore,
        ..ROW
    },
    Command {
        name: "zrevrange",
        arity: AtLeast(4),
        flags: Flags::READONLY,
        since: "1.2.0",
        summary: "Returns members in a sorted set within a range of indexes in reverse order.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.",
        run: ranges::zrevrange,
        ..ROW
    },
    Command {
        name: "zrevrangebylex",
        arity: AtLeast(4),
        flags: Flags::READONLY,
        since: "2.8.9",
        summary: "Returns members in a sorted set within a lexicographical range in reverse order.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned.",
        run: ranges::zrevrangebylex,
        ..ROW
    },
    Command {
        name: "zrevrangebyscore",
        arity: AtLeast(4),
        flags: Flags::READONLY,
        since: "2.2.0",
        summary: "Returns members in a sorted set within a range of scores in reverse order.",
        complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned.",
        run: ranges::zrevrangebyscore,
        ..ROW
    },
    Command {
        name: "zrevrank",
        arity: AtLeast(3),
        flags: Flags::READ_FAST,
        since: "2.0.0",
        summary: "Returns the index of a member in a sorted set ordered by descending scores.",
        complexity: "O(log(N))",
        run: members::zrevrank,
        ..ROW
    },
    Command {
        name: "zscan",
        arity: AtLeast(3),
        flags: Flags::READONLY,
        since: "2.8.0",
        summary: "Iterates over members and scores of a sorted set.",
        complexity: "O(1) for every call. O(N) for a complete iteration. N is the number of elements inside the collection.",
        run: members::zscan,
        ..ROW
    },
    Command {
        name: "zscore",
        arity: Exactly(3),
        flags: Flags::READ_FAST,
        since: "1.2.0",
        summary: "Returns the score of a member in a sorted set.",
        run: members::zscore,
        ..ROW
    },
    Command {
        name: "zunion",
        arity: AtLeast(3),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        keys: Keys::Counted { count: 1 },
        since: "6.2.0",
        summary: "Returns the union of multiple sorted sets.",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        run: algebra::zunion,
        ..ROW
    },
    Command {
        name: "zunionstore",
        arity: AtLeast(4),
        flags: Flags::WRITE_OOM.with(Flags::MOVABLE_KEYS),
        keys: Keys::StoreCounted { count: 2 },
        since: "2.0.0",
        summary: "Stores the union of multiple sorted sets in a key.",
        complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
        run: algebra::zunionstore,
        ..ROW
    },
];

const NOT_EMPTY: &str = "a stored sorted set has members";

/// From which end members are shown or counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// Are scores part of the reply?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scores {
    Shown,
    Hidden,
}

/// An array of members, with their scores if those are shown: flat in RESP2, in pairs in RESP3.
fn write_members<'a>(
    out: &mut Writer<'_>,
    count: usize,
    members: impl Iterator<Item = (StrRef<'a>, f64)>,
    scores: Scores,
) {
    let flat = scores == Scores::Shown && out.protocol() == Protocol::Resp2;
    out.array(if flat { 2 * count } else { count });
    members.for_each(|member| write_member(out, member, scores));
}

fn write_member(out: &mut Writer<'_>, (member, score): (StrRef<'_>, f64), scores: Scores) {
    if scores == Scores::Hidden {
        return write_text(out, member);
    }
    if out.protocol() == Protocol::Resp3 {
        out.array(2);
    }
    write_text(out, member);
    out.double(score);
}

/// Replaces whatever the key held by `result`, or removes it if that is empty: the number of members.
fn store(call: &mut Call<'_>, destination: &[u8], result: Zset, event: &'static str) -> Reply {
    let count = result.len();
    if count > 0 {
        call.db.put(destination, result, Ttl::Clear);
        call.changed(destination, event, 1);
    } else if call.db.remove(destination) {
        call.changed(destination, "del", 1);
    }
    Reply::Int(count as i64)
}
