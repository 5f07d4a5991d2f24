//! When keys expire: EXPIRE and its like, TTL and its like, PERSIST.
//!
//! AOF and replicas are told the instant, never the delay; a master that is told a past instant deletes the key, and
//! tells DEL.

use quorate_keyspace::{ExpiryMode, UnixMs};

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group, Keys};
use crate::{Call, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::Generic) };

/// The commands about expiry.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "expire",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        summary: "Sets the expiration time of a key in seconds.",
        run: expire,
        ..ROW
    },
    Command {
        name: "expireat",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "1.2.0",
        summary: "Sets the expiration time of a key to a Unix timestamp.",
        run: expireat,
        ..ROW
    },
    Command {
        name: "expiretime",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "7.0.0",
        summary: "Returns the expiration time of a key as a Unix timestamp.",
        run: expiretime,
        ..ROW
    },
    Command {
        name: "persist",
        arity: Exactly(2),
        flags: Flags::WRITE_FAST,
        since: "2.2.0",
        summary: "Removes the expiration time of a key.",
        run: persist,
        ..ROW
    },
    Command {
        name: "pexpire",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "2.6.0",
        summary: "Sets the expiration time of a key in milliseconds.",
        run: pexpire,
        ..ROW
    },
    Command {
        name: "pexpireat",
        arity: AtLeast(3),
        flags: Flags::WRITE_FAST,
        since: "2.6.0",
        summary: "Sets the expiration time of a key to a Unix milliseconds timestamp.",
        run: pexpireat,
        ..ROW
    },
    Command {
        name: "pexpiretime",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "7.0.0",
        summary: "Returns the expiration time of a key as a Unix milliseconds timestamp.",
        run: pexpiretime,
        ..ROW
    },
    Command {
        name: "pttl",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        since: "2.6.0",
        summary: "Returns the expiration time in milliseconds of a key.",
        run: pttl,
        ..ROW
    },
    Command {
        name: "ttl",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Returns the expiration time in seconds of a key.",
        run: ttl,
        ..ROW
    },
];

/// When EXPIRE and its like may set an expiry; all must hold.
#[derive(Default)]
struct Condition {
    only_without: bool,
    only_with: bool,
    only_later: bool,
    only_sooner: bool,
}

impl Condition {
    fn parse(options: &[&[u8]]) -> Result<Condition, Refusal> {
        let mut condition = Condition::default();
        for option in options {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("nx") {
                condition.only_without = true;
            } else if is("xx") {
                condition.only_with = true;
            } else if is("gt") {
                condition.only_later = true;
            } else if is("lt") {
                condition.only_sooner = true;
            } else {
                return Err(Refusal::err(format_args!("Unsupported option {}", String::from_utf8_lossy(option))));
            }
        }
        let Condition { only_without, only_with, only_later, only_sooner } = condition;
        if only_without && (only_with || only_later || only_sooner) {
            return Err(Refusal::fixed("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if only_later && only_sooner {
            return Err(Refusal::fixed("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// A key without expiry lives for ever: nothing is later.
    fn allows(&self, present: Option<UnixMs>, at: i64) -> bool {
        let present = present.map(|at| at.0 as i64);
        let forbidden = match present {
            None => self.only_with || self.only_later,
            Some(present) => self.only_without || self.only_later && at <= present || self.only_sooner && at >= present,
        };
        !forbidden
    }
}

/// What the argument of EXPIRE and its like counts.
#[derive(Clone, Copy)]
struct Clock {
    ms_per_unit: i64,
    from_now: bool,
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
fn expire(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1000, from_now: true })
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
fn pexpire(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1, from_now: true })
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
fn expireat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1000, from_now: false })
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
fn pexpireat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    expire_generic(call, Clock { ms_per_unit: 1, from_now: false })
}

fn expire_generic(call: &mut Call<'_>, clock: Clock) -> Result<Reply, Refusal> {
    let [_, key, _, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let condition = Condition::parse(options)?;
    let base = if clock.from_now { call.db.now().0 as i64 } else { 0 };
    let ms = call.int(2)?.checked_mul(clock.ms_per_unit);
    let at = ms.and_then(|ms| ms.checked_add(base)).ok_or(Refusal::InvalidExpire(call.name()))?;
    let Some(present) = call.db.expiry(key) else { return Ok(Reply::Int(0)) };
    if !condition.allows(present, at) {
        return Ok(Reply::Int(0));
    }
    // A time before the epoch is as past as the epoch itself.
    expire_at(call, key, UnixMs(u64::try_from(at).unwrap_or(0)));
    Ok(Reply::Int(1))
}

/// Lets an existing key expire at `at`; a master deletes it at once when that is past.
pub(super) fn expire_at(call: &mut Call<'_>, key: &[u8], at: UnixMs) {
    if is_past(call, at) {
        call.db.remove(key);
        call.propagate_as(&[b"DEL", key]);
        call.changed(key, "del", 1);
    } else {
        call.db.set_expiry(key, at);
        call.propagate_as(&[b"PEXPIREAT", key, at.0.to_string().as_bytes()]);
        call.changed(key, "expire", 1);
    }
}

/// Is it for us to say that a key has expired? A replica and a loader wait for DEL.
pub(super) fn is_past(call: &mut Call<'_>, at: UnixMs) -> bool {
    at <= call.db.now() && call.db.keyspace().expiry_mode() == ExpiryMode::Delete
}

/// `PERSIST key`
fn persist(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let persisted = call.db.persist(key);
    call.changed(key, "persist", usize::from(persisted));
    Ok(Reply::Flag(persisted))
}

/// `TTL key`: seconds, rounded; -1 for ever, -2 no such key.
fn ttl(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let now = call.db.now();
    Ok(time_of(call, |at| (at.0.saturating_sub(now.0) + 500) / 1000))
}

/// `PTTL key`: milliseconds.
fn pttl(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let now = call.db.now();
    Ok(time_of(call, |at| at.0.saturating_sub(now.0)))
}

/// `EXPIRETIME key`: Unix time in seconds, rounded.
fn expiretime(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(time_of(call, |at| at.0.saturating_add(500) / 1000))
}

/// `PEXPIRETIME key`: Unix time in milliseconds.
fn pexpiretime(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(time_of(call, |at| at.0))
}

fn time_of(call: &Call<'_>, tell: impl Fn(UnixMs) -> u64) -> Reply {
    Reply::Int(match call.db.expiry(call.argv[1]) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => tell(at) as i64,
    })
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn expiry_is_told_as_an_instant_and_obeys_conditions() {
        scenario(
            "> set k v
             +OK
             > ttl k
             :-1
             > ttl none
             :-2
             > expire k 100 xx
             :0
             > expire k 100 gt
             :0
             > expire k 100 nx
             :1
             > expire k 200 nx
             :0
             > expire k 50 gt
             :0
             > pexpire k 150000 gt
             :1
             > pttl k
             :150000
             > expire k 200 lt
             :0
             > expireat k 1700000100 lt
             :1
             > expiretime k
             :1700000100
             > pexpiretime k
             :1700000100000
             > persist k
             :1
             > persist k
             :0
             stream [$SELECT $0] [$set $k $v] [$PEXPIREAT $k $1700000100000] [$PEXPIREAT $k $1700000150000] [$PEXPIREAT $k $1700000100000] [$persist $k]
             > expire k -1
             :1
             > exists k
             :0
             > expire none 5
             :0
             stream [$DEL $k]",
        );
        check("expire k x", "-ERR value is not an integer or out of range");
        check("expire k 5 what", "-ERR Unsupported option what");
        check("expire k 5 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible");
        check("expire k 5 gt lt", "-ERR GT and LT options at the same time are not compatible");
        check("expire k 9223372036854775807", "-ERR invalid expire time in 'expire' command");
        check("pexpire k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command");
    }

    #[test]
    fn an_expired_key_is_gone_and_told_as_del() {
        scenario(
            "> set k v px 50
             +OK
             > set other v
             +OK
             wait 51
             > exists k
             :0
             stream [$SELECT $0] [$SET $k $v $PXAT $1700000000050] [$set $other $v] [$DEL $k]",
        );
    }
}
