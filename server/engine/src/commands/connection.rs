//! The connection itself: PING, ECHO, AUTH, HELLO, SELECT, QUIT, RESET. CLIENT is in `client.rs`.

use quorate_keyspace::DbIndex;
use quorate_resp::Protocol;

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group};
use crate::session::{Replies, Session};
use crate::{Call, Closing, Refusal, Reply};

const ROW: Command =
    Command { flags: Flags::ANYTIME.with(Flags::FAST).with(Flags::NOSCRIPT), ..Command::of(Group::Connection) };
const STRANGERS: Flags = ROW.flags.with(Flags::NO_AUTH).with(Flags::ALLOW_BUSY);

/// Every command about the connection but CLIENT.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ping",
        arity: AtLeast(1),
        // Not while loading, nor without a master: whoever asks wants to know just that.
        flags: Flags::FAST,
        summary: "Returns the server's liveliness response.",
        run: ping,
        ..ROW
    },
    Command {
        name: "echo",
        arity: Exactly(2),
        flags: Flags::FAST.with(Flags::ANYTIME),
        summary: "Returns the given string.",
        run: echo,
        ..ROW
    },
    Command {
        name: "auth",
        arity: AtLeast(2),
        flags: STRANGERS,
        summary: "Authenticates the connection.",
        complexity: "O(N) where N is the number of passwords defined for the user",
        run: auth,
        ..ROW
    },
    Command {
        name: "hello",
        arity: AtLeast(1),
        flags: STRANGERS,
        since: "6.0.0",
        summary: "Handshakes with the server.",
        run: hello,
        ..ROW
    },
    Command {
        name: "select",
        arity: Exactly(2),
        flags: Flags::ANYTIME.with(Flags::FAST),
        summary: "Changes the selected database.",
        run: select,
        ..ROW
    },
    Command { name: "quit", arity: AtLeast(1), flags: STRANGERS, summary: "Closes the connection.", run: quit, ..ROW },
    Command {
        name: "reset",
        arity: Exactly(1),
        flags: STRANGERS,
        since: "6.2.0",
        summary: "Resets the connection.",
        run: reset,
        ..ROW
    },
];

/// `PING [message]`: a subscriber in RESP2 gets a message.
fn ping(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let message = match call.argv {
        [_] => None,
        [_, message] => Some(*message),
        _ => return Err(call.arity()),
    };
    if call.session.is_subscriber() && call.out.protocol() == Protocol::Resp2 {
        call.out.array(2);
        call.out.bulk(b"pong");
        call.out.bulk(message.unwrap_or_default());
        return Ok(Reply::Written);
    }
    match message {
        None => Ok(Reply::Simple("PONG")),
        Some(message) => {
            call.out.bulk(message);
            Ok(Reply::Written)
        }
    }
}

/// `ECHO message`
fn echo(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.out.bulk(call.argv[1]);
    Ok(Reply::Written)
}

/// `AUTH [username] password`: there is one user, `default`.
fn auth(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match call.argv {
        [_, _] if call.core.config.requirepass.is_empty() => Err(Refusal::fixed(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        )),
        [_, password] => authenticate(call, b"default", password),
        [_, user, password] => authenticate(call, user, password),
        _ => Err(Refusal::Syntax),
    }
    .map(|()| Reply::Ok)
}

fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), Refusal> {
    let wanted = call.core.config.requirepass.as_bytes();
    if user != b"default" || !(wanted.is_empty() || same_secret(wanted, password)) {
        call.core.stats.auth_failures += 1;
        return Err(Refusal::WrongPass);
    }
    call.session.authenticated = true;
    Ok(())
}

/// Compares without telling by its time where the difference is.
fn same_secret(wanted: &[u8], given: &[u8]) -> bool {
    let differing = wanted.iter().zip(given).fold(0, |differing, (a, b)| differing | (a ^ b));
    wanted.len() == given.len() && differing == 0
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
fn hello(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let version = match call.argv.get(1) {
        None => None,
        Some(_) => match call.int(1) {
            Ok(2) => Some(Protocol::Resp2),
            Ok(3) => Some(Protocol::Resp3),
            Ok(_) => return Err(Refusal::fixed("NOPROTO unsupported protocol version")),
            Err(_) => return Err(Refusal::fixed("ERR Protocol version is not an integer or out of range")),
        },
    };
    let mut name = None;
    let mut rest = call.argv.get(2..).unwrap_or_default();
    while let [option, tail @ ..] = rest {
        match (option.to_ascii_lowercase().as_slice(), tail) {
            (b"auth", [user, password, tail @ ..]) => {
                authenticate(call, user, password)?;
                rest = tail;
            }
            (b"setname", [wanted, tail @ ..]) => {
                super::client::check_name(wanted)?;
                name = Some(wanted.to_vec());
                rest = tail;
            }
            _ => {
                return Err(Refusal::err(format_args!(
                    "Syntax error in HELLO option '{}'",
                    String::from_utf8_lossy(option)
                )));
            }
        }
    }
    if !call.session.authenticated {
        return Err(Refusal::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        call.session.name = name;
    }
    if let Some(version) = version {
        call.session.protocol = version;
        call.out.set_protocol(version);
    }
    greet(call);
    Ok(Reply::Written)
}

/// HELLO's reply: who we are.
fn greet(call: &mut Call<'_>) {
    let role = if call.core.is_replica() { "replica" } else { "master" };
    let out = &mut call.out;
    out.map(7);
    for (field, value) in [("server", "redis"), ("version", crate::REDIS_VERSION)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"proto");
    out.int(if call.session.protocol == Protocol::Resp3 { 3 } else { 2 });
    out.bulk(b"id");
    out.int(call.session.id.0 as i64);
    for (field, value) in [("mode", "standalone"), ("role", role)] {
        out.bulk(field.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"modules");
    out.array(0);
}

/// `SELECT index`
fn select(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.session.db = call.db_index(1)?;
    Ok(Reply::Ok)
}

/// `QUIT`
fn quit(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.core.close(call.session, Closing::AfterFlush);
    Ok(Reply::Ok)
}

/// `RESET`: the connection is as if it were new.
fn reset(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if !call.session.is_client() {
        return Err(Refusal::fixed("ERR can only reset normal client connections"));
    }
    let session: &mut Session = call.session;
    session.multi = None;
    call.core.unwatch(session);
    call.core.pubsub.forget(session);
    session.db = DbIndex(0);
    session.protocol = Protocol::Resp2;
    session.name.clear();
    session.no_evict = false;
    session.no_touch = false;
    session.replies = Replies::On;
    session.authenticated = call.core.config.requirepass.is_empty();
    call.out.set_protocol(Protocol::Resp2);
    Ok(Reply::Simple("RESET"))
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn the_plain_ones() {
        check("ping", "+PONG");
        check("ping hi", "$hi");
        check("ping a b", "-ERR wrong number of arguments for 'ping' command");
        check("echo hi", "$hi");
        check("select 15", "+OK");
        check("select 16", "-ERR DB index is out of range");
        check("select x", "-ERR value is not an integer or out of range");
        check("select 4294967296", "-ERR value is out of range, value must between -2147483648 and 2147483647");
        check("reset", "+RESET");
        check(
            "auth a",
            "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        );
        check("auth default a", "+OK");
        check("auth nobody a", "-WRONGPASS invalid username-password pair or user is disabled.");
    }

    #[test]
    fn a_password_guards_everything_but_the_handshake() {
        scenario(
            "config requirepass secret
             > ping
             -NOAUTH Authentication required.
             > auth wrong
             -WRONGPASS invalid username-password pair or user is disabled.
             > hello 3
             -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
             > auth secret
             +OK
             > ping
             +PONG
             2> auth default secret
             +OK
             2> ping
             +PONG
             2> reset
             +RESET
             2> ping
             -NOAUTH Authentication required.",
        );
    }

    #[test]
    fn hello_chooses_the_protocol() {
        scenario(
            "> hello 4
             -NOPROTO unsupported protocol version
             > hello x
             -ERR Protocol version is not an integer or out of range
             > hello 2 nonsense
             -ERR Syntax error in HELLO option 'nonsense'
             > hello 3 setname me
             {$server=$redis $version=$7.2.0 $proto=:3 $id=:1 $mode=$standalone $role=$master $modules=[]}
             > client getname
             $me",
        );
    }

    #[test]
    fn quit_answers_and_closes() {
        scenario(
            "> quit
             +OK
             closed 1
             > ping",
        );
    }
}
