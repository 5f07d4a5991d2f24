//! One client's session: who it is, which protocol it speaks, what it listens to. And the CLIENT command.

use std::{fmt::Write as _, net::SocketAddr, sync::atomic::Ordering, time::Instant};

use quorate_resp::{Protocol, Writer};

use super::{Shared, subscriptions::Subscriptions};

/// What the connection does once the replies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Goes on.
    Stay,
    /// Ends once the replies have left.
    Close,
    /// Ends at once, without the replies: the client shall ask another sentinel.
    Drop,
}

/// A client's session.
#[derive(Debug)]
pub(super) struct Client {
    pub id: u64,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub since: Instant,
    pub protocol: Protocol,
    pub authenticated: bool,
    pub name: String,
    pub library: (String, String),
    pub subscriptions: Subscriptions,
    pub last_command: String,
}

impl Client {
    pub fn new(shared: &Shared, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            id: shared.next_client.fetch_add(1, Ordering::Relaxed),
            peer,
            local,
            since: Instant::now(),
            protocol: Protocol::Resp2,
            authenticated: shared.options.password.is_empty(),
            name: String::new(),
            library: Default::default(),
            subscriptions: Subscriptions::default(),
            last_command: String::new(),
        }
    }

    /// Back to how it began, as RESET does.
    pub fn reset(&mut self, shared: &Shared) {
        self.protocol = Protocol::Resp2;
        self.authenticated = shared.options.password.is_empty();
        self.name.clear();
        self.subscriptions.clear();
    }

    /// The line of CLIENT INFO.
    fn line(&self) -> String {
        let mut line = format!("id={} addr={} laddr={} name={}", self.id, self.peer, self.local, self.name);
        let resp = if self.protocol == Protocol::Resp3 { 3 } else { 2 };
        let _ = writeln!(
            line,
            " age={} db=0 sub={} cmd={} user=default resp={resp} lib-name={} lib-ver={}",
            self.since.elapsed().as_secs(),
            self.subscriptions.len(),
            self.last_command,
            self.library.0,
            self.library.1
        );
        line
    }
}

/// Compares a subcommand or an option, whatever its case.
pub(super) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// An argument as the text of an error: at most 128 characters, as in Redis.
pub(super) fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).chars().take(128).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Names may hold no space, line end or other control character.
fn plain(word: &[u8]) -> Option<String> {
    word.iter().all(|b| (b'!'..=b'~').contains(b)).then(|| String::from_utf8_lossy(word).into_owned())
}

/// The CLIENT command. Tracking, eviction and touching mean nothing at a sentinel, which keeps no keys: clients that ask
/// for them on every connection are told OK (some give up on an error).
pub(super) fn command(client: &mut Client, args: &[&[u8]], out: &mut Writer<'_>) {
    let wrong = |out: &mut Writer<'_>, sub: &str| {
        out.error(&format!("ERR wrong number of arguments for 'client|{sub}' command"));
    };
    match args {
        [] => out.error("ERR wrong number of arguments for 'client' command"),
        [sub] if is(sub, "id") => out.int(i64::try_from(client.id).expect("fewer than 2^63 connections")),
        [sub] if is(sub, "getname") && client.name.is_empty() => out.null(),
        [sub] if is(sub, "getname") => out.bulk(client.name.as_bytes()),
        [sub] if is(sub, "info") => out.verbatim("txt", client.line().as_bytes()),
        [sub, name] if is(sub, "setname") => match plain(name) {
            Some(name) => {
                client.name = name;
                out.simple("OK");
            }
            None => out.error("ERR Client names cannot contain spaces, newlines or special characters."),
        },
        [sub, option, value] if is(sub, "setinfo") => set_info(client, option, value, out),
        [sub, ..] if ["tracking", "no-evict", "no-touch"].iter().any(|name| is(sub, name)) => match args.len() {
            1 => wrong(out, &shown(sub).to_lowercase()),
            _ => out.simple("OK"),
        },
        [sub, ..] if ["setname", "setinfo", "id", "getname", "info"].iter().any(|name| is(sub, name)) => {
            wrong(out, &shown(sub).to_lowercase());
        }
        [sub, ..] => out.error(&format!("ERR unknown subcommand '{}'. Try CLIENT HELP.", shown(sub))),
    }
}

fn set_info(client: &mut Client, option: &[u8], value: &[u8], out: &mut Writer<'_>) {
    let (slot, name) = if is(option, "lib-name") {
        (&mut client.library.0, "lib-name")
    } else if is(option, "lib-ver") {
        (&mut client.library.1, "lib-ver")
    } else {
        return out.error(&format!("ERR Unrecognized option '{}'", shown(option)));
    };
    match plain(value) {
        Some(value) => {
            *slot = value;
            out.simple("OK");
        }
        None => out.error(&format!("ERR {name} cannot contain spaces, newlines or special characters.")),
    }
}
