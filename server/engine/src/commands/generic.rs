//! Commands about keys of any type: names, copies, walks over the keyspace. Their expiry is in `expiry.rs`, what they
//! tell about their values in `object.rs`.

use quorate_collections::glob::{Case, matches};
use quorate_keyspace::{Copied, Replace};

use super::scan::{Scan, Scanned, write_page};
use super::sort;
use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Categories, Command, Flags, Group, Keys};
use crate::{Call, Effect, Memory, Refusal, Reply};

const ROW: Command = Command { keys: Keys::First, ..Command::of(Group::Generic) };

/// The commands about keys as such.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "copy",
        arity: AtLeast(3),
        flags: Flags::WRITE_OOM,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        since: "6.2.0",
        summary: "Copies the value of a key to a new key.",
        complexity: "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
        run: copy,
        ..ROW
    },
    Command {
        name: "del",
        arity: AtLeast(2),
        flags: Flags::WRITE,
        keys: Keys::All,
        summary: "Deletes one or more keys.",
        complexity: "O(N) where N is the number of keys that will be removed, and of elements in those that hold a collection.",
        run: del,
        ..ROW
    },
    Command {
        name: "exists",
        arity: AtLeast(2),
        flags: Flags::READ_FAST,
        keys: Keys::All,
        summary: "Determines whether one or more keys exist.",
        complexity: "O(N) where N is the number of keys to check.",
        run: exists,
        ..ROW
    },
    Command {
        name: "keys",
        arity: Exactly(2),
        flags: Flags::READONLY,
        keys: Keys::None,
        categories: Categories::DANGEROUS,
        summary: "Returns all key names that match a pattern.",
        complexity: "O(N) with N being the number of keys in the database.",
        run: keys,
        ..ROW
    },
    Command {
        name: "move",
        arity: Exactly(3),
        flags: Flags::WRITE_FAST,
        summary: "Moves a key to another database.",
        run: move_key,
        ..ROW
    },
    Command {
        name: "randomkey",
        arity: Exactly(1),
        flags: Flags::READONLY,
        keys: Keys::None,
        summary: "Returns a random key name from the database.",
        run: randomkey,
        ..ROW
    },
    Command {
        name: "rename",
        arity: Exactly(3),
        flags: Flags::WRITE,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        summary: "Renames a key and overwrites the destination.",
        run: rename,
        ..ROW
    },
    Command {
        name: "renamenx",
        arity: Exactly(3),
        flags: Flags::WRITE_FAST,
        keys: Keys::Range { first: 1, last: 2, step: 1 },
        summary: "Renames a key only when the target key name doesn't exist.",
        run: renamenx,
        ..ROW
    },
    Command {
        name: "scan",
        arity: AtLeast(2),
        flags: Flags::READONLY,
        keys: Keys::None,
        since: "2.8.0",
        summary: "Iterates over the key names in the database.",
        complexity: "O(1) for every call. O(N) for a complete iteration, where N is the number of keys in the database.",
        run: scan,
        ..ROW
    },
    Command {
        name: "sort",
        arity: AtLeast(2),
        flags: Flags::WRITE_OOM.with(Flags::MOVABLE_KEYS),
        keys: Keys::Custom(sort::keys),
        categories: Categories::DANGEROUS,
        summary: "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
        complexity: "O(N+M*log(M)) where N is the number of elements to sort, and M the number of returned elements.",
        run: sort::sort,
        ..ROW
    },
    Command {
        name: "sort_ro",
        arity: AtLeast(2),
        flags: Flags::READONLY.with(Flags::MOVABLE_KEYS),
        categories: Categories::DANGEROUS,
        since: "7.0.0",
        summary: "Returns the sorted elements of a list, a set, or a sorted set.",
        complexity: "O(N+M*log(M)) where N is the number of elements to sort, and M the number of returned elements.",
        run: sort::sort_ro,
        ..ROW
    },
    Command {
        name: "touch",
        arity: AtLeast(2),
        flags: Flags::READ_FAST,
        keys: Keys::All,
        since: "3.2.1",
        summary: "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
        complexity: "O(N) where N is the number of keys that will be touched.",
        run: touch,
        ..ROW
    },
    Command {
        name: "type",
        arity: Exactly(2),
        flags: Flags::READ_FAST,
        summary: "Determines the type of value stored at a key.",
        run: kind,
        ..ROW
    },
    Command {
        name: "unlink",
        arity: AtLeast(2),
        flags: Flags::WRITE_FAST,
        keys: Keys::All,
        since: "4.0.0",
        summary: "Asynchronously deletes one or more keys.",
        complexity: "O(1) for each key removed regardless of its size; the memory is reclaimed on another thread.",
        run: unlink,
        ..ROW
    },
];

/// `DEL key [key ...]`: how many existed.
fn del(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut removed = 0;
    for key in &call.argv[1..] {
        if call.db.remove(key) {
            call.changed(key, "del", 1);
            removed += 1;
        }
    }
    Ok(Reply::Int(removed))
}

/// From so many allocations on, freeing a value is worth a trip to another thread. Source: Redis, LAZYFREE_THRESHOLD.
const WORTH_A_TRIP: usize = 64;

/// `UNLINK key [key ...]`: how many existed.
fn unlink(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut removed = 0;
    for key in &call.argv[1..] {
        if let Some(old) = call.db.unlink(key) {
            if old.elements() > WORTH_A_TRIP {
                call.core.effects.push(Effect::Free(Memory(old)));
            }
            call.changed(key, "del", 1);
            removed += 1;
        }
    }
    Ok(Reply::Int(removed))
}

/// `TOUCH key [key ...]`: accesses the keys; how many exist, one said twice counting twice.
fn touch(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let found = call.argv[1..].iter().filter(|key| call.db.contains(key)).count();
    Ok(Reply::Int(found as i64))
}

/// `EXISTS key [key ...]`: how many exist, one said twice counting twice. It is no access.
fn exists(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let found = call.argv[1..].iter().filter(|key| call.db.exists(key)).count();
    Ok(Reply::Int(found as i64))
}

/// `TYPE key`
fn kind(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Simple(call.db.kind(call.argv[1]).map_or("none", |kind| kind.name())))
}

/// `RENAME key newkey`
fn rename(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to] = call.argv else { unreachable!("arity is checked before run") };
    call.db.rename(from, to).ok_or(Refusal::NoSuchKey)?;
    if from != to {
        call.changed(from, "rename_from", 1);
        call.changed(to, "rename_to", 1);
    }
    Ok(Reply::Ok)
}

/// `RENAMENX key newkey`: 0 when the new name is taken.
fn renamenx(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to] = call.argv else { unreachable!("arity is checked before run") };
    if call.db.kind(from).is_none() {
        return Err(Refusal::NoSuchKey);
    }
    if call.db.kind(to).is_some() {
        return Ok(Reply::Int(0));
    }
    rename(call)?;
    Ok(Reply::Int(1))
}

const SAME_OBJECT: Refusal = Refusal::fixed("ERR source and destination objects are the same");

/// `COPY source destination [DB index] [REPLACE]`: 1 when it was copied.
fn copy(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, from, to, options @ ..] = call.argv else { unreachable!("arity is checked before run") };
    let (mut into, mut replace) = (call.db.index(), Replace::No);
    let mut index = 0;
    while let Some(option) = options.get(index) {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = Replace::Yes;
        } else if option.eq_ignore_ascii_case(b"db") && index + 1 < options.len() {
            index += 1;
            into = call.db_index(3 + index)?;
        } else {
            return Err(Refusal::Syntax);
        }
        index += 1;
    }
    if into == call.db.index() && from == to {
        return Err(SAME_OBJECT);
    }
    let copied = call.db.copy(from, into, to, replace) == Copied::Done;
    call.changed_in(into, to, "copy_to", usize::from(copied));
    Ok(Reply::Flag(copied))
}

/// `MOVE key db`: 1 when it was moved.
fn move_key(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let key = call.argv[1];
    let into = call.db_index(2)?;
    if into == call.db.index() {
        return Err(SAME_OBJECT);
    }
    let moved = call.db.move_to(key, into);
    call.changed(key, "move_from", usize::from(moved));
    call.changed_in(into, key, "move_to", usize::from(moved));
    Ok(Reply::Flag(moved))
}

/// `KEYS pattern`
fn keys(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let pattern = call.argv[1];
    let place = call.out.defer();
    let mut count = 0;
    for (key, _) in call.db.keys() {
        if pattern == b"*" || matches(pattern, key, Case::Sensitive) {
            call.out.bulk(key);
            count += 1;
        }
    }
    call.out.finish_array(place, count);
    Ok(Reply::Written)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`: the next cursor and some keys.
fn scan(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let asked = Scan::parse(call.argv[1], &call.argv[2..], Scanned::Keys)?;
    let mut found = Vec::new();
    let cursor = asked.run(|cursor| {
        let mut visited = 0;
        let next = call.db.scan(cursor, &mut |key, value| {
            visited += 1;
            let right_kind = asked.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(value.kind().name().as_bytes()));
            if right_kind && asked.lets(key) {
                found.push(key.to_vec());
            }
        });
        (next, visited)
    });
    write_page(call, cursor, &found);
    Ok(Reply::Written)
}

/// `RANDOMKEY`
fn randomkey(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(call.db.random_key(&mut call.core.rng).map_or(Reply::Null, Reply::Bulk))
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, scenario};

    #[test]
    fn keys_come_and_go() {
        scenario(
            "> mset a 1 b 2 c 3
             +OK
             > exists a a none
             :2
             > touch a b none
             :2
             > del a none b
             :2
             > unlink c none
             :1
             > del a
             :0
             stream [$SELECT $0] [$mset $a $1 $b $2 $c $3] [$del $a $none $b] [$unlink $c $none]
             > type a
             +none
             > lpush l x
             :1
             > type l
             +list
             > randomkey
             $l
             > del l
             :1
             > randomkey
             nil",
        );
    }

    #[test]
    fn names_change() {
        scenario(
            "> set a 1 ex 100
             +OK
             > rename a b
             +OK
             > ttl b
             :100
             > rename none b
             -ERR no such key
             > rename b b
             +OK
             > set c 2
             +OK
             > renamenx b c
             :0
             > renamenx b d
             :1
             > renamenx none d
             -ERR no such key
             > rename d c
             +OK
             > get c
             $1
             stream [$SELECT $0] [$SET $a $1 $PXAT $1700000100000] [$rename $a $b] [$set $c $2] [$renamenx $b $d] [$rename $d $c]",
        );
    }

    #[test]
    fn copies_and_moves_between_databases() {
        scenario(
            "> rpush l a b
             :2
             > copy l m
             :1
             > copy l m
             :0
             > rpush l c
             :3
             > copy l m replace db 0
             :1
             > lrange m 0 -1
             [$a $b $c]
             > copy l l
             -ERR source and destination objects are the same
             > copy l l db 1
             :1
             > copy none x
             :0
             > copy l x db 99
             -ERR DB index is out of range
             > copy l x db
             -ERR syntax error
             > move l 1
             :0
             > move m 1
             :1
             > move l 0
             -ERR source and destination objects are the same
             > move l -1
             -ERR DB index is out of range
             > move l x
             -ERR value is not an integer or out of range
             > select 1
             +OK
             > lrange m 0 -1
             [$a $b $c]",
        );
    }

    #[test]
    fn walks_over_the_keyspace() {
        scenario(
            "> mset user:1 a
             +OK
             > lpush list:1 x
             :1
             > keys user:*
             [$user:1]
             > keys nothing
             []
             > scan 0 match user:* count 100
             [$0 [$user:1]]
             > scan 0 type list count 100
             [$0 [$list:1]]
             > scan 0 type nonsense
             [$0 []]
             > scan x
             -ERR invalid cursor
             > scan 0 count 0
             -ERR syntax error
             > scan 0 count x
             -ERR value is not an integer or out of range
             > scan 0 count
             -ERR syntax error",
        );
        let mut stage = Stage::new();
        for number in 0..1000 {
            assert_eq!(stage.say(1, &format!("set key:{number} v")), "+OK");
        }
        let (mut cursor, mut seen) = (String::from("0"), std::collections::BTreeSet::new());
        loop {
            let page = stage.say(1, &format!("scan {cursor} count 50"));
            let (next, keys) = page[2..].split_once(' ').expect("a cursor and keys");
            seen.extend(keys.split(['[', ']', ' ']).filter(|key| !key.is_empty()).map(str::to_owned));
            cursor = next.to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 1000);
    }
}
