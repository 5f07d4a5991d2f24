//! Taking the lowest or the highest members away, and waiting for there to be one.

use quorate_resp::{Protocol, Writer};

use crate::commands::counted::Pop;
use crate::{Call, Refusal, Reply, Timeout, Unit};

/// Which members go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    /// `MIN` or `MAX`.
    fn of_word(word: &[u8]) -> Result<End, Refusal> {
        if word.eq_ignore_ascii_case(b"min") {
            Ok(End::Min)
        } else if word.eq_ignore_ascii_case(b"max") {
            Ok(End::Max)
        } else {
            Err(Refusal::Syntax)
        }
    }

    /// The event; in capitals it is the command that AOF and replicas get.
    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }

    fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// A member that was taken away.
type Popped = (Vec<u8>, f64);

/// `ZPOPMIN key [count]`: members and scores, flat; in RESP3 with a count in pairs.
pub(super) fn zpopmin(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    zpop(call, End::Min)
}

/// `ZPOPMAX key [count]`
pub(super) fn zpopmax(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    zpop(call, End::Max)
}

fn zpop(call: &mut Call<'_>, end: End) -> Result<Reply, Refusal> {
    let (key, count) = match call.argv {
        [_, key] => (*key, None),
        [_, key, count] => {
            let count = quorate_resp::parse_int(count).and_then(|count| usize::try_from(count).ok());
            (*key, Some(count.ok_or(Refusal::NotPositive)?))
        }
        _ => return Err(Refusal::Syntax),
    };
    if call.db.zset(key)?.is_none() || count == Some(0) {
        return Ok(Reply::EmptyArray);
    }
    let popped = pop(call, key, end, count.unwrap_or(1))?;
    if count.is_some() && call.out.protocol() == Protocol::Resp3 {
        write_pairs(&mut call.out, &popped);
    } else {
        call.out.array(2 * popped.len());
        popped.iter().for_each(|popped| write(&mut call.out, popped));
    }
    Ok(Reply::Written)
}

/// Takes members from a sorted set that exists.
fn pop(call: &mut Call<'_>, key: &[u8], end: End, count: usize) -> Result<Vec<Popped>, Refusal> {
    let mut zset = call.db.zset_mut(key)?;
    let (len, count) = (zset.len(), count.min(zset.len()));
    let ranks = if end == End::Min { 0..count } else { len - count..len };
    let mut popped: Vec<Popped> = zset.range(ranks.clone()).map(|(member, score)| (member.to_vec(), score)).collect();
    if end == End::Max {
        popped.reverse();
    }
    zset.remove_ranks(ranks);
    call.changed(key, end.event(), popped.len());
    Ok(popped)
}

fn write(out: &mut Writer<'_>, (member, score): &Popped) {
    out.bulk(member);
    out.double(*score);
}

fn write_pairs(out: &mut Writer<'_>, popped: &[Popped]) {
    out.array(popped.len());
    for popped in popped {
        out.array(2);
        write(out, popped);
    }
}

/// `ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]`: the first sorted set's name and its members in pairs.
pub(super) fn zmpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let wanted = Pop::parse(&call.argv[1..], End::of_word)?;
    Ok(if mpop(call, &wanted)? { Reply::Written } else { Reply::NullArray })
}

/// `BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]`
pub(super) fn bzmpop(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let wanted = Pop::parse(&call.argv[2..], End::of_word)?;
    let timeout = Timeout::parse(call.argv[1], Unit::Seconds)?;
    if mpop(call, &wanted)? {
        return Ok(Reply::Written);
    }
    call.block(wanted.keys, timeout, Reply::NullArray)
}

/// Pops from the first of the keys that holds a sorted set and writes the reply; false when none does.
fn mpop(call: &mut Call<'_>, wanted: &Pop<'_, End>) -> Result<bool, Refusal> {
    let Some(key) = first_zset(call, wanted.keys)? else { return Ok(false) };
    let popped = pop(call, key, wanted.end, wanted.count)?;
    call.out.array(2);
    call.out.bulk(key);
    write_pairs(&mut call.out, &popped);
    call.propagate_as(&[wanted.end.command(), key, popped.len().to_string().as_bytes()]);
    Ok(true)
}

/// The first of the keys that holds a sorted set. A key of another type is refused, unless the command waits already.
fn first_zset<'k>(call: &Call<'_>, keys: &[&'k [u8]]) -> Result<Option<&'k [u8]>, Refusal> {
    for key in keys {
        match call.db.zset(key) {
            Ok(Some(_)) => return Ok(Some(key)),
            Ok(None) => {}
            Err(_) if call.wake.is_some() => {}
            Err(wrong) => return Err(wrong.into()),
        }
    }
    Ok(None)
}

/// `BZPOPMIN key [key ...] timeout`: the sorted set's name, the member and its score.
pub(super) fn bzpopmin(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    bzpop(call, End::Min)
}

/// `BZPOPMAX key [key ...] timeout`
pub(super) fn bzpopmax(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    bzpop(call, End::Max)
}

fn bzpop(call: &mut Call<'_>, end: End) -> Result<Reply, Refusal> {
    let [_, keys @ .., timeout] = call.argv else { unreachable!("arity is checked before run") };
    let timeout = Timeout::parse(timeout, Unit::Seconds)?;
    let Some(key) = first_zset(call, keys)? else { return call.block(keys, timeout, Reply::NullArray) };
    let popped = pop(call, key, end, 1)?;
    call.out.array(1 + 2 * popped.len());
    call.out.bulk(key);
    popped.iter().for_each(|popped| write(&mut call.out, popped));
    call.propagate_as(&[end.command(), key]);
    Ok(Reply::Written)
}
