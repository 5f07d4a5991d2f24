//! SUBSCRIBE and its kin, PUBLISH, PUBSUB. Who listens to what is kept in `crate::pubsub`.

use quorate_collections::glob::{self, Case};

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group};
use crate::pubsub::Topic;
use crate::{Call, Refusal, Reply};

const ROW: Command = Command {
    flags: Flags::PUBSUB.with(Flags::ANYTIME).with(Flags::NOSCRIPT),
    since: "2.0.0",
    ..Command::of(Group::Pubsub)
};
const PUBLISHES: Flags = Flags::PUBSUB.with(Flags::ANYTIME).with(Flags::FAST).with(Flags::MAY_REPLICATE);
const ASKS: Flags = Flags::PUBSUB.with(Flags::ANYTIME);

/// Every command about publish/subscribe.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "subscribe",
        arity: AtLeast(2),
        complexity: "O(N) where N is the number of channels to subscribe to.",
        summary: "Listens for messages published to channels.",
        run: |call| subscribe(call, Topic::Channel),
        ..ROW
    },
    Command {
        name: "unsubscribe",
        arity: AtLeast(1),
        complexity: "O(N) where N is the number of channels to unsubscribe.",
        summary: "Stops listening to messages posted to channels.",
        run: |call| unsubscribe(call, Topic::Channel),
        ..ROW
    },
    Command {
        name: "psubscribe",
        arity: AtLeast(2),
        complexity: "O(N) where N is the number of patterns to subscribe to.",
        summary: "Listens for messages published to channels that match one or more patterns.",
        run: |call| subscribe(call, Topic::Pattern),
        ..ROW
    },
    Command {
        name: "punsubscribe",
        arity: AtLeast(1),
        complexity: "O(N) where N is the number of patterns to unsubscribe.",
        summary: "Stops listening to messages published to channels that match one or more patterns.",
        run: |call| unsubscribe(call, Topic::Pattern),
        ..ROW
    },
    Command {
        name: "ssubscribe",
        arity: AtLeast(2),
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels to subscribe to.",
        summary: "Listens for messages published to shard channels.",
        run: |call| subscribe(call, Topic::Shard),
        ..ROW
    },
    Command {
        name: "sunsubscribe",
        arity: AtLeast(1),
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels to unsubscribe.",
        summary: "Stops listening to messages posted to shard channels.",
        run: |call| unsubscribe(call, Topic::Shard),
        ..ROW
    },
    Command {
        name: "publish",
        arity: Exactly(3),
        flags: PUBLISHES,
        complexity: "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).",
        summary: "Posts a message to a channel.",
        run: publish,
        ..ROW
    },
    Command {
        name: "spublish",
        arity: Exactly(3),
        flags: PUBLISHES,
        since: "7.0.0",
        complexity: "O(N) where N is the number of clients subscribed to the receiving shard channel.",
        summary: "Post a message to a shard channel.",
        run: spublish,
        ..ROW
    },
    Command {
        name: "pubsub",
        arity: AtLeast(2),
        flags: Flags::NONE,
        since: "2.8.0",
        complexity: "Depends on subcommand.",
        summary: "A container for Pub/Sub commands.",
        subcommands: PUBSUB,
        ..ROW
    },
];

const ASK: Command = Command { flags: ASKS, since: "2.8.0", ..Command::of(Group::Pubsub) };

const PUBSUB: &[Command] = &[
    Command {
        name: "channels",
        arity: AtLeast(2),
        complexity: "O(N) where N is the number of active channels.",
        summary: "Returns the active channels.",
        run: |call| channels(call, Topic::Channel),
        ..ASK
    },
    Command {
        name: "numsub",
        arity: AtLeast(2),
        complexity: "O(N) for the NUMSUB subcommand, where N is the number of requested channels.",
        summary: "Returns a count of subscribers to channels.",
        run: |call| numsub(call, Topic::Channel),
        ..ASK
    },
    Command {
        name: "numpat",
        arity: Exactly(2),
        summary: "Returns a count of unique pattern subscriptions.",
        run: numpat,
        ..ASK
    },
    Command {
        name: "shardchannels",
        arity: AtLeast(2),
        since: "7.0.0",
        complexity: "O(N) where N is the number of active shard channels.",
        summary: "Returns the active shard channels.",
        run: |call| channels(call, Topic::Shard),
        ..ASK
    },
    Command {
        name: "shardnumsub",
        arity: AtLeast(2),
        since: "7.0.0",
        complexity: "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels.",
        summary: "Returns the count of subscribers of shard channels.",
        run: |call| numsub(call, Topic::Shard),
        ..ASK
    },
    Command {
        name: "help",
        arity: Exactly(2),
        since: "6.2.0",
        summary: "Returns helpful text about the different subcommands.",
        run: help,
        ..ASK
    },
];

/// What is answered to a subscription or its end, and how many there are then.
fn confirm(call: &mut Call<'_>, verb: &str, topic: Topic, name: Option<&[u8]>) {
    let subscriptions = &call.session.subscriptions;
    let count = match topic {
        Topic::Shard => subscriptions.shards.len(),
        Topic::Channel | Topic::Pattern => subscriptions.channels.len() + subscriptions.patterns.len(),
    };
    call.out.push(3);
    call.out.bulk(verb.as_bytes());
    match name {
        Some(name) => call.out.bulk(name),
        None => call.out.null(),
    }
    call.out.int(count as i64);
}

/// `SUBSCRIBE channel [channel ...]`, PSUBSCRIBE, SSUBSCRIBE: one message for each.
fn subscribe(call: &mut Call<'_>, topic: Topic) -> Result<Reply, Refusal> {
    let verb = match topic {
        Topic::Channel => "subscribe",
        Topic::Pattern => "psubscribe",
        Topic::Shard => "ssubscribe",
    };
    for name in &call.argv[1..] {
        call.core.pubsub.subscribe(call.session, topic, name);
        confirm(call, verb, topic, Some(name));
    }
    Ok(Reply::Written)
}

/// `UNSUBSCRIBE [channel ...]`, PUNSUBSCRIBE, SUNSUBSCRIBE: without arguments from all; one message for each, and one if there was none.
fn unsubscribe(call: &mut Call<'_>, topic: Topic) -> Result<Reply, Refusal> {
    let verb = match topic {
        Topic::Channel => "unsubscribe",
        Topic::Pattern => "punsubscribe",
        Topic::Shard => "sunsubscribe",
    };
    let names: Vec<Box<[u8]>> = match &call.argv[1..] {
        [] => call.session.subscriptions.of(topic).iter().cloned().collect(),
        names => names.iter().map(|name| Box::from(*name)).collect(),
    };
    for name in &names {
        call.core.pubsub.unsubscribe(call.session, topic, name);
        confirm(call, verb, topic, Some(name));
    }
    if names.is_empty() {
        confirm(call, verb, topic, None);
    }
    Ok(Reply::Written)
}

/// `PUBLISH channel message`: how many received it here. Replicas pass it on to their own subscribers.
fn publish(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, channel, message] = call.argv else { unreachable!("arity is checked before run") };
    let received = call.core.publish(channel, message, Some(call.session));
    if !call.core.replication.replicas.is_empty() {
        call.propagate_anyway();
    }
    Ok(Reply::Int(received as i64))
}

/// `SPUBLISH shardchannel message`
fn spublish(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let [_, channel, message] = call.argv else { unreachable!("arity is checked before run") };
    let received = call.core.publish_shard(channel, message, call.session);
    if !call.core.replication.replicas.is_empty() {
        call.propagate_anyway();
    }
    Ok(Reply::Int(received as i64))
}

/// `PUBSUB CHANNELS [pattern]`: channels that somebody listens to.
fn channels(call: &mut Call<'_>, topic: Topic) -> Result<Reply, Refusal> {
    let pattern = match &call.argv[2..] {
        [] => None,
        [pattern] => Some(*pattern),
        _ => return Err(Refusal::SubcommandSyntax(String::from_utf8_lossy(call.argv[1]).into_owned(), "PUBSUB")),
    };
    let names: Vec<&[u8]> = call
        .core
        .pubsub
        .listeners(topic)
        .keys()
        .map(|name| &**name)
        .filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive)))
        .collect();
    call.out.array(names.len());
    for name in names {
        call.out.bulk(name);
    }
    Ok(Reply::Written)
}

/// `PUBSUB NUMSUB [channel ...]`: each channel and how many listen to it.
fn numsub(call: &mut Call<'_>, topic: Topic) -> Result<Reply, Refusal> {
    let names = &call.argv[2..];
    call.out.array(2 * names.len());
    for name in names {
        let count = call.core.pubsub.listeners(topic).get(*name).map_or(0, Vec::len);
        call.out.bulk(name);
        call.out.int(count as i64);
    }
    Ok(Reply::Written)
}

/// `PUBSUB NUMPAT`
fn numpat(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.core.pubsub.listeners(Topic::Pattern).len() as i64))
}

/// `PUBSUB HELP`
fn help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    super::write_help(call, "PUBSUB", PUBSUB);
    Ok(Reply::Written)
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, scenario};

    #[test]
    fn messages_reach_channels_and_patterns() {
        scenario(
            "> subscribe a b
             [$subscribe $a :1]
             [$subscribe $b :2]
             2> psubscribe a* *
             [$psubscribe $a* :1]
             [$psubscribe $* :2]
             3> publish a hi
             :3
             1< [$message $a $hi]
             2< [$pmessage $* $a $hi]
             2< [$pmessage $a* $a $hi]
             3> pubsub channels
             [$a $b]
             3> pubsub channels b?
             []
             3> pubsub numsub a c
             [$a :1 $c :0]
             3> pubsub numpat
             :2
             > unsubscribe
             [$unsubscribe $a :1]
             [$unsubscribe $b :0]
             > unsubscribe
             [$unsubscribe nil :0]
             3> publish b hi
             :1
             2< [$pmessage $* $b $hi]",
        );
    }

    #[test]
    fn a_subscriber_in_resp2_may_say_little() {
        scenario(
            "> subscribe a
             [$subscribe $a :1]
             > echo a
             -ERR Can't execute 'echo': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
             > ping
             [$pong $]
             > ping hi
             [$pong $hi]
             > reset
             +RESET
             > ping
             +PONG",
        );
    }

    #[test]
    fn in_resp3_messages_are_pushed_behind_the_own_reply() {
        let mut stage = Stage::new();
        stage.say(1, "hello 3");
        stage.play(
            "> subscribe a
             >[$subscribe $a :1]
             > publish a hi
             :1
             1< >[$message $a $hi]
             > echo x
             $x
             > ssubscribe s
             >[$ssubscribe $s :1]
             2> spublish s hi
             :1
             1< >[$smessage $s $hi]",
        );
    }

    #[test]
    fn whoever_leaves_listens_no_more() {
        let mut stage = Stage::new();
        stage.say(1, "subscribe a");
        stage.turn(Some(crate::Input::Closed { id: crate::SessionId(1) }));
        assert_eq!(stage.say(2, "publish a hi"), ":0");
        assert_eq!(stage.say(2, "pubsub channels"), "[]");
    }
}
