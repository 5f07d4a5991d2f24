//! Keyspace events: which class an event belongs to, and the channels it goes to (`notify-keyspace-events`).

use quorate_keyspace::DbIndex;

use crate::core::Core;
use crate::session::Session;

/// The class letter of an event, as notify-keyspace-events spells it. An unknown event is a programmer's error.
/// Source: Redis's documentation of keyspace notifications.
fn class_of(event: &str) -> char {
    match event {
        "del" | "expire" | "persist" | "rename_from" | "rename_to" | "copy_to" | "move_from" | "move_to"
        | "restore" => 'g',
        "set" | "setrange" | "append" | "incrby" | "decrby" | "incrbyfloat" | "getdel" | "setbit" | "getset" => '$',
        "lpush" | "rpush" | "lpop" | "rpop" | "linsert" | "lset" | "lrem" | "ltrim" | "sortstore" => 'l',
        "sadd" | "srem" | "spop" | "sinterstore" | "sunionstore" | "sdiffstore" => 's',
        "hset" | "hdel" | "hincrby" | "hincrbyfloat" => 'h',
        "zadd" | "zincr" | "zrem" | "zremrangebyscore" | "zremrangebyrank" | "zremrangebylex" | "zpopmin"
        | "zpopmax" | "zdiffstore" | "zinterstore" | "zunionstore" | "zrangestore" => 'z',
        "expired" => 'x',
        "evicted" => 'e',
        "keymiss" => 'm',
        "new" => 'n',
        _ => panic!("event {event:?} has no class: name it in notify.rs"),
    }
}

impl Core {
    /// Publishes a keyspace event, if its class is switched on. `current` is the session whose command caused it.
    #[inline]
    pub(crate) fn notify(&mut self, db: DbIndex, key: &[u8], event: &'static str, current: Option<&mut Session>) {
        let classes = self.config.notify_keyspace_events;
        debug_assert!(class_of(event) != ' ', "every event has a class, asked for or not");
        if !classes.is_empty() && classes.has(class_of(event)) {
            self.announce(db, key, event, current);
        }
    }

    fn announce(&mut self, db: DbIndex, key: &[u8], event: &'static str, mut current: Option<&mut Session>) {
        let classes = self.config.notify_keyspace_events;
        if classes.has('K') {
            let mut channel = format!("__keyspace@{}__:", db.0).into_bytes();
            channel.extend_from_slice(key);
            self.publish(&channel, event.as_bytes(), current.as_deref_mut());
        }
        if classes.has('E') {
            let channel = format!("__keyevent@{}__:{event}", db.0);
            self.publish(channel.as_bytes(), key, current);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::scenario;

    #[test]
    fn events_are_published_by_class() {
        scenario(
            "config notify-keyspace-events KEl$gx
             2> psubscribe __key*
             [$psubscribe $__key* :1]
             > rpush a 1
             :1
             2< [$pmessage $__key* $__keyspace@0__:a $rpush]
             2< [$pmessage $__key* $__keyevent@0__:rpush $a]
             > rpop a
             $1
             2< [$pmessage $__key* $__keyspace@0__:a $rpop]
             2< [$pmessage $__key* $__keyevent@0__:rpop $a]
             2< [$pmessage $__key* $__keyspace@0__:a $del]
             2< [$pmessage $__key* $__keyevent@0__:del $a]
             config notify-keyspace-events Ex
             > set b 1 px 10
             +OK
             wait 20
             2< [$pmessage $__key* $__keyevent@0__:expired $b]
             stream [$SELECT $0] [$rpush $a $1] [$rpop $a] [$SET $b $1 $PXAT $1700000000010] [$DEL $b]",
        );
    }
}
