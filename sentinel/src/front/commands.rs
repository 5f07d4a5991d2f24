//! The commands that a sentinel serves besides SENTINEL, and the gates before all of them: arity, authentication,
//! subscriber mode. A new command is a row and an arm.

use quorate_resp::{Protocol, Writer};

use super::{
    Shared,
    client::{self, Client, Verdict, is, shown},
    info, sentinel,
    subscriptions::{Kind, allowed_while_subscribed},
};

/// One command: arity as in COMMAND INFO (negative: at least).
struct Row {
    name: &'static str,
    arity: i64,
    summary: &'static str,
}

const fn row(name: &'static str, arity: i64, summary: &'static str) -> Row {
    Row { name, arity, summary }
}

/// Every command of a sentinel, by name.
const COMMANDS: &[Row] = &[
    row("acl", -2, "Names the connection's user."),
    row("auth", -2, "Authenticates the connection."),
    row("client", -2, "Manages this connection."),
    row("command", -1, "Describes the commands."),
    row("echo", 2, "Returns its argument."),
    row("hello", -1, "Chooses the protocol and says who answers."),
    row("info", -1, "Describes this sentinel."),
    row("ping", -1, "Answers PONG, or its argument."),
    row("psubscribe", -2, "Listens to the events whose names match patterns."),
    row("publish", 3, "Takes a hello message."),
    row("punsubscribe", -1, "Stops listening to patterns."),
    row("quit", -1, "Ends the connection."),
    row("reset", 1, "Puts the connection back to how it began."),
    row("role", 1, "Names the watched groups."),
    row("sentinel", -2, "Tells about masters, replicas and sentinels, and fails over."),
    row("shutdown", -1, "Ends the process."),
    row("subscribe", -2, "Listens to events."),
    row("unsubscribe", -1, "Stops listening to events."),
];

/// Runs one command.
pub(super) async fn run(shared: &Shared, client: &mut Client, argv: &[&[u8]], out: &mut Writer<'_>) -> Verdict {
    let [name, args @ ..] = argv else { return Verdict::Stay };
    let Some(row) = COMMANDS.iter().find(|row| is(name, row.name)) else {
        unknown(name, args, out);
        return Verdict::Stay;
    };
    let count = i64::try_from(argv.len()).expect("bounded by the parser");
    if count < row.arity.abs() || (row.arity > 0 && count != row.arity) {
        out.error(&format!("ERR wrong number of arguments for '{}' command", row.name));
        return Verdict::Stay;
    }
    if !client.authenticated && !matches!(row.name, "auth" | "hello" | "quit" | "reset") {
        out.error("NOAUTH Authentication required.");
        return Verdict::Stay;
    }
    if client.subscriptions.len() > 0 && !allowed_while_subscribed(client.protocol, row.name) {
        out.error(&format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            row.name
        ));
        return Verdict::Stay;
    }
    client.last_command.clear();
    client.last_command.push_str(row.name);
    dispatch(shared, client, row.name, args, out).await
}

async fn dispatch(shared: &Shared, client: &mut Client, name: &str, args: &[&[u8]], out: &mut Writer<'_>) -> Verdict {
    match name {
        "sentinel" => return sentinel::run(shared, args, out).await,
        "ping" => ping(client, args, out),
        "echo" => out.bulk(args[0]),
        "auth" => auth(shared, client, args, out),
        "hello" => hello(shared, client, args, out),
        "client" => client::command(client, args, out),
        "command" => command(args, out),
        "info" => out.verbatim("txt", info::text(shared, args).as_bytes()),
        "role" => role(shared, out),
        "acl" if args.len() == 1 && is(args[0], "whoami") => out.bulk(b"default"),
        "acl" => out.error(&format!("ERR unknown subcommand '{}'. Try ACL HELP.", shown(args[0]))),
        "publish" => publish(args, out),
        "subscribe" => client.subscriptions.add(Kind::Channel, args, out),
        "psubscribe" => client.subscriptions.add(Kind::Pattern, args, out),
        "unsubscribe" => client.subscriptions.remove(Kind::Channel, args, out),
        "punsubscribe" => client.subscriptions.remove(Kind::Pattern, args, out),
        "reset" => {
            client.reset(shared);
            out.set_protocol(Protocol::Resp2);
            out.simple("RESET");
        }
        "quit" => {
            out.simple("OK");
            return Verdict::Close;
        }
        "shutdown" => {
            shared.tower.shut_down();
            return Verdict::Drop;
        }
        _ => unreachable!("every row has an arm: test every_row_is_served"),
    }
    Verdict::Stay
}

fn unknown(name: &[u8], args: &[&[u8]], out: &mut Writer<'_>) {
    let mut shown_args = String::new();
    for arg in args {
        if shown_args.len() >= 128 {
            break;
        }
        shown_args.push_str(&format!("'{}' ", shown(arg)));
    }
    out.error(&format!("ERR unknown command '{}', with args beginning with: {shown_args}", shown(name)));
}

fn ping(client: &Client, args: &[&[u8]], out: &mut Writer<'_>) {
    match args {
        [] if client.subscriptions.len() > 0 && client.protocol == Protocol::Resp2 => {
            out.array(2);
            out.bulk(b"pong");
            out.bulk(b"");
        }
        [text] if client.subscriptions.len() > 0 && client.protocol == Protocol::Resp2 => {
            out.array(2);
            out.bulk(b"pong");
            out.bulk(text);
        }
        [] => out.simple("PONG"),
        [text] => out.bulk(text),
        _ => out.error("ERR wrong number of arguments for 'ping' command"),
    }
}

/// Checks a user and password; sets `authenticated`. Returns the error.
fn login(shared: &Shared, client: &mut Client, user: &[u8], password: &[u8]) -> Result<(), &'static str> {
    let expected = shared.options.password.as_bytes();
    let right =
        expected.len() == password.len() && expected.iter().zip(password).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0;
    if user != b"default" || (!expected.is_empty() && !right) {
        return Err("WRONGPASS invalid username-password pair or user is disabled.");
    }
    client.authenticated = true;
    Ok(())
}

fn auth(shared: &Shared, client: &mut Client, args: &[&[u8]], out: &mut Writer<'_>) {
    let done = match args {
        [_] if shared.options.password.is_empty() => Err(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ),
        [password] => login(shared, client, b"default", password),
        [user, password] => login(shared, client, user, password),
        _ => Err("ERR syntax error"),
    };
    match done {
        Ok(()) => out.simple("OK"),
        Err(text) => out.error(text),
    }
}

/// `HELLO [protover [AUTH user password] [SETNAME name]]`.
fn hello(shared: &Shared, client: &mut Client, args: &[&[u8]], out: &mut Writer<'_>) {
    let (version, mut rest) = match args {
        [] => (client.protocol, args),
        [b"2", rest @ ..] => (Protocol::Resp2, rest),
        [b"3", rest @ ..] => (Protocol::Resp3, rest),
        [word, ..] if quorate_resp::parse_int(word).is_none() => {
            return out.error("ERR Protocol version is not an integer or out of range");
        }
        _ => return out.error("NOPROTO unsupported protocol version"),
    };
    let mut name = None;
    while let [option, more @ ..] = rest {
        match more {
            [user, password, more @ ..] if is(option, "auth") => {
                if let Err(text) = login(shared, client, user, password) {
                    return out.error(text);
                }
                rest = more;
            }
            [given, more @ ..] if is(option, "setname") => {
                name = Some(*given);
                rest = more;
            }
            _ => return out.error(&format!("ERR Syntax error in HELLO option '{}'", shown(option))),
        }
    }
    if !client.authenticated {
        return out.error(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        );
    }
    if let Some(name) = name {
        if !name.iter().all(|b| (b'!'..=b'~').contains(b)) {
            return out.error("ERR Client names cannot contain spaces, newlines or special characters.");
        }
        client.name = String::from_utf8_lossy(name).into_owned();
    }
    client.protocol = version;
    out.set_protocol(version);
    out.map(6);
    for (field, value) in [("server", "redis"), ("version", info::REDIS_VERSION)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.int(if version == Protocol::Resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.int(i64::try_from(client.id).expect("fewer than 2^63 connections"));
    out.bulk(b"mode");
    out.bulk(b"sentinel");
    out.bulk(b"modules");
    out.array(0);
}

fn role(shared: &Shared, out: &mut Writer<'_>) {
    let groups = shared.tower.all_facts();
    out.array(2);
    out.bulk(b"sentinel");
    out.array(groups.len());
    groups.iter().for_each(|g| out.bulk(g.master.name.as_bytes()));
}

/// Sentinels of the reference announce themselves here too. Ours know each other through Raft, so the message is only
/// checked for its form.
fn publish(args: &[&[u8]], out: &mut Writer<'_>) {
    match args {
        [b"__sentinel__:hello", _] => out.int(1),
        _ => out.error("ERR Only HELLO messages are accepted by Sentinel instances."),
    }
}

/// `COMMAND [COUNT | LIST | INFO [name ...] | DOCS [name ...]]`.
fn command(args: &[&[u8]], out: &mut Writer<'_>) {
    match args {
        [] => {
            out.array(COMMANDS.len());
            COMMANDS.iter().for_each(|row| describe(row, out));
        }
        [sub] if is(sub, "count") => out.int(i64::try_from(COMMANDS.len()).expect("a handful")),
        [sub] if is(sub, "list") => {
            out.array(COMMANDS.len());
            COMMANDS.iter().for_each(|row| out.bulk(row.name.as_bytes()));
        }
        [sub, names @ ..] if is(sub, "info") => {
            out.array(if names.is_empty() { COMMANDS.len() } else { names.len() });
            if names.is_empty() {
                COMMANDS.iter().for_each(|row| describe(row, out));
            }
            for name in names {
                match COMMANDS.iter().find(|row| is(name, row.name)) {
                    Some(row) => describe(row, out),
                    None => out.null_array(),
                }
            }
        }
        [sub, names @ ..] if is(sub, "docs") => {
            let asked = |row: &&Row| names.is_empty() || names.iter().any(|name| is(name, row.name));
            let rows: Vec<_> = COMMANDS.iter().filter(asked).collect();
            out.map(rows.len());
            for row in rows {
                out.bulk(row.name.as_bytes());
                out.map(1);
                out.bulk(b"summary");
                out.bulk(row.summary.as_bytes());
            }
        }
        [sub, ..] => out.error(&format!("ERR unknown subcommand '{}'. Try COMMAND HELP.", shown(sub))),
    }
}

/// One entry of COMMAND INFO: a sentinel's commands have no keys.
fn describe(row: &Row, out: &mut Writer<'_>) {
    out.array(6);
    out.bulk(row.name.as_bytes());
    out.int(row.arity);
    out.set(0);
    (0..3).for_each(|_| out.int(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::tests::{shared, talk};

    #[tokio::test]
    async fn every_row_is_served() {
        for row in COMMANDS {
            let args = vec!["1"; usize::try_from(row.arity.abs()).expect("small") - 1];
            let text = talk(&shared(""), &[&format!("{} {}", row.name, args.join(" "))]).await;
            assert!(!text.contains("unknown command"), "{}: {text}", row.name);
        }
    }
}
