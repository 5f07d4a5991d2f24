//! CLIENT: what a connection says about itself and about others.

use std::fmt::Write as _;
use std::time::Duration;

use quorate_resp::{Protocol, parse_int};

use crate::command::Arity::{AtLeast, Exactly};
use crate::command::{Command, Flags, Group};
use crate::core::{Core, Pause, Paused};
use crate::session::{Kind, Replies, Session};
use crate::{Call, Closing, Refusal, Reply, SessionId};

const ROW: Command = Command {
    flags: Flags::ANYTIME.with(Flags::NOSCRIPT),
    since: "2.4.0",
    complexity: "O(1)",
    ..Command::of(Group::Connection)
};
const OPERATORS: Flags = ROW.flags.with(Flags::ADMIN);

/// CLIENT and its subcommands.
pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    arity: AtLeast(2),
    summary: "A container for client connection commands.",
    complexity: "Depends on subcommand.",
    subcommands: CLIENT,
    ..ROW
}];

const CLIENT: &[Command] = &[
    Command {
        name: "id",
        arity: Exactly(2),
        since: "5.0.0",
        summary: "Returns the unique client ID of the connection.",
        run: id,
        ..ROW
    },
    Command {
        name: "info",
        arity: Exactly(2),
        since: "6.2.0",
        summary: "Returns information about the connection.",
        run: info,
        ..ROW
    },
    Command {
        name: "list",
        arity: AtLeast(2),
        flags: OPERATORS,
        complexity: "O(N) where N is the number of client connections",
        summary: "Lists open connections.",
        run: list,
        ..ROW
    },
    Command {
        name: "kill",
        arity: AtLeast(3),
        flags: OPERATORS,
        complexity: "O(N) where N is the number of client connections",
        summary: "Terminates open connections.",
        run: kill,
        ..ROW
    },
    Command {
        name: "setname",
        arity: Exactly(3),
        since: "2.6.9",
        summary: "Sets the connection name.",
        run: set_name,
        ..ROW
    },
    Command {
        name: "getname",
        arity: Exactly(2),
        since: "2.6.9",
        summary: "Returns the name of the connection.",
        run: get_name,
        ..ROW
    },
    Command {
        name: "setinfo",
        arity: Exactly(4),
        since: "7.2.0",
        summary: "Sets information specific to the client or connection.",
        run: set_info,
        ..ROW
    },
    Command {
        name: "reply",
        arity: Exactly(3),
        since: "3.2.0",
        summary: "Instructs the server whether to reply to commands.",
        run: reply,
        ..ROW
    },
    Command {
        name: "pause",
        arity: AtLeast(3),
        flags: OPERATORS,
        since: "3.0.0",
        summary: "Suspends commands processing.",
        run: pause,
        ..ROW
    },
    Command {
        name: "unpause",
        arity: Exactly(2),
        flags: OPERATORS,
        since: "6.2.0",
        complexity: "O(N) Where N is the number of paused clients",
        summary: "Resumes processing commands from paused clients.",
        run: unpause,
        ..ROW
    },
    Command {
        name: "no-evict",
        arity: Exactly(3),
        flags: OPERATORS,
        since: "7.0.0",
        summary: "Sets the client eviction mode of the connection.",
        run: no_evict,
        ..ROW
    },
    Command {
        name: "no-touch",
        arity: Exactly(3),
        since: "7.2.0",
        summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
        run: no_touch,
        ..ROW
    },
    Command {
        name: "unblock",
        arity: AtLeast(3),
        flags: OPERATORS,
        since: "5.0.0",
        complexity: "O(log N) where N is the number of client connections",
        summary: "Unblocks a client blocked by a blocking command from a different connection.",
        run: unblock,
        ..ROW
    },
    Command {
        name: "tracking",
        arity: AtLeast(3),
        since: "6.0.0",
        summary: "Controls server-assisted client-side caching for the connection.",
        run: tracking,
        ..ROW
    },
    Command {
        name: "caching",
        arity: Exactly(3),
        since: "6.0.0",
        summary: "Instructs the server whether to track the keys in the next request.",
        run: caching,
        ..ROW
    },
    Command {
        name: "trackinginfo",
        arity: Exactly(2),
        since: "6.2.0",
        summary: "Returns information about server-assisted client-side caching for the connection.",
        run: tracking_info,
        ..ROW
    },
    Command {
        name: "getredir",
        arity: Exactly(2),
        since: "6.0.0",
        summary: "Returns the client ID to which the connection's tracking notifications are redirected.",
        run: get_redir,
        ..ROW
    },
    Command {
        name: "help",
        arity: Exactly(2),
        since: "5.0.0",
        summary: "Returns helpful text about the different subcommands.",
        run: help,
        ..ROW
    },
];

/// `CLIENT ID`
fn id(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(call.session.id.0 as i64))
}

/// `CLIENT INFO`
fn info(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let line = call.core.describe(call.session);
    call.out.verbatim("txt", line.as_bytes());
    Ok(Reply::Written)
}

/// `CLIENT LIST [TYPE type | ID id [id ...]]`
fn list(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let wanted: Box<dyn Fn(&Session) -> bool> = match &call.argv[2..] {
        [] => Box::new(|_| true),
        [option, class] if option.eq_ignore_ascii_case(b"type") => {
            let class = Class::parse(class)?;
            Box::new(move |session| Class::of(session) == class)
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let ids = ids.iter().map(|id| parse_id(id)).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |session| ids.contains(&session.id))
        }
        _ => return Err(Refusal::Syntax),
    };
    let mut ids = call.core.sessions.ids();
    ids.push(call.session.id);
    ids.sort_unstable();
    let mut lines = String::new();
    for id in ids {
        let session = call.core.sessions.get(id).unwrap_or(call.session);
        if wanted(session) {
            lines.push_str(&call.core.describe(session));
        }
    }
    call.out.verbatim("txt", lines.as_bytes());
    Ok(Reply::Written)
}

fn parse_id(text: &[u8]) -> Result<SessionId, Refusal> {
    parse_int(text)
        .and_then(|id| u64::try_from(id).ok())
        .filter(|id| *id > 0)
        .map(SessionId)
        .ok_or(Refusal::fixed("ERR Invalid client ID"))
}

/// The classes that CLIENT LIST and KILL know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl Class {
    fn parse(text: &[u8]) -> Result<Class, Refusal> {
        match text.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Class::Normal),
            b"master" => Ok(Class::Master),
            b"replica" | b"slave" => Ok(Class::Replica),
            b"pubsub" => Ok(Class::Pubsub),
            _ => Err(Refusal::err(format_args!("Unknown client type '{}'", String::from_utf8_lossy(text)))),
        }
    }

    fn of(session: &Session) -> Class {
        match session.kind {
            Kind::Replica(_) => Class::Replica,
            Kind::Master | Kind::Loader => Class::Master,
            Kind::Normal if session.is_subscriber() => Class::Pubsub,
            Kind::Normal => Class::Normal,
        }
    }
}

/// What CLIENT KILL looks for: every filter given must hold.
#[derive(Debug, Default)]
struct Filter {
    id: Option<SessionId>,
    class: Option<Class>,
    addr: Option<String>,
    laddr: Option<String>,
    user: Option<String>,
    min_age: Option<Duration>,
    spare_me: bool,
}

impl Filter {
    fn parse(argv: &[&[u8]]) -> Result<Filter, Refusal> {
        let mut filter = Filter { spare_me: true, ..Filter::default() };
        let (pairs, odd) = argv.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(Refusal::Syntax);
        }
        for [name, value] in pairs {
            let text = || String::from_utf8_lossy(value).into_owned();
            match name.to_ascii_lowercase().as_slice() {
                b"id" => {
                    filter.id =
                        Some(parse_id(value).map_err(|_| Refusal::fixed("ERR client-id should be greater than 0"))?);
                }
                b"type" => filter.class = Some(Class::parse(value)?),
                b"addr" => filter.addr = Some(text()),
                b"laddr" => filter.laddr = Some(text()),
                b"user" if *value == b"default" => filter.user = Some(text()),
                b"user" => return Err(Refusal::err(format_args!("No such user '{}'", text()))),
                b"maxage" => {
                    let age = parse_int(value).ok_or(Refusal::fixed("ERR maxage is not an integer or out of range"))?;
                    let age = u64::try_from(age).ok().filter(|age| *age > 0);
                    let age = age.ok_or(Refusal::fixed("ERR maxage should be greater than 0"))?;
                    filter.min_age = Some(Duration::from_secs(age));
                }
                b"skipme" => {
                    filter.spare_me = match value.to_ascii_lowercase().as_slice() {
                        b"yes" => true,
                        b"no" => false,
                        _ => return Err(Refusal::Syntax),
                    }
                }
                _ => return Err(Refusal::Syntax),
            }
        }
        Ok(filter)
    }

    fn fits(&self, session: &Session, now: Duration) -> bool {
        self.id.is_none_or(|id| session.id == id)
            && self.class.is_none_or(|class| Class::of(session) == class)
            && self.addr.as_ref().is_none_or(|addr| session.peer.to_string() == *addr)
            && self.laddr.as_ref().is_none_or(|laddr| session.local.to_string() == *laddr)
            && self.min_age.is_none_or(|age| now.saturating_sub(session.since) >= age)
    }
}

/// `CLIENT KILL ip:port` or `CLIENT KILL <filter> <value> ...`
fn kill(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if let [_, _, addr] = call.argv {
        let filter = Filter { addr: Some(String::from_utf8_lossy(addr).into_owned()), ..Filter::default() };
        return match kill_all(call, &filter) {
            0 => Err(Refusal::fixed("ERR No such client")),
            _ => Ok(Reply::Ok),
        };
    }
    let filter = Filter::parse(&call.argv[2..])?;
    Ok(Reply::Int(kill_all(call, &filter)))
}

/// Others end at once; whoever kills itself still gets its reply.
fn kill_all(call: &mut Call<'_>, filter: &Filter) -> i64 {
    let now = call.core.now.mono;
    let mut killed = 0;
    for id in call.core.sessions.ids() {
        if !call.core.sessions.get(id).is_some_and(|session| filter.fits(session, now)) {
            continue;
        }
        let mut session = call.core.sessions.take(id).expect("just looked at");
        call.core.close(&mut session, Closing::Now);
        call.core.sessions.put_back(session);
        killed += 1;
    }
    if !filter.spare_me && filter.fits(call.session, now) {
        call.core.close(call.session, Closing::AfterFlush);
        killed += 1;
    }
    killed
}

/// A name is shown in lines of fields: it holds nothing that would break them.
pub(crate) fn check_name(name: &[u8]) -> Result<(), Refusal> {
    check_printable(name, "Client names cannot contain spaces, newlines or special characters.")
}

fn check_printable(text: &[u8], complaint: &str) -> Result<(), Refusal> {
    if text.iter().all(|byte| (b'!'..=b'~').contains(byte)) { Ok(()) } else { Err(Refusal::err(complaint)) }
}

/// `CLIENT SETNAME name`
fn set_name(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    check_name(call.argv[2])?;
    call.session.name = call.argv[2].to_vec();
    Ok(Reply::Ok)
}

/// `CLIENT GETNAME`
fn get_name(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.session.name.is_empty() { Ok(Reply::Null) } else { Ok(Reply::Bulk(call.session.name.clone())) }
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`
fn set_info(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let value = call.argv[3];
    let option = call.argv[2].to_ascii_lowercase();
    let complaint = |name: &str| format!("{name} cannot contain spaces, newlines or special characters.");
    match option.as_slice() {
        b"lib-name" => {
            check_printable(value, &complaint("lib-name"))?;
            call.session.lib_name = value.to_vec();
        }
        b"lib-ver" => {
            check_printable(value, &complaint("lib-ver"))?;
            call.session.lib_ver = value.to_vec();
        }
        _ => {
            let option = String::from_utf8_lossy(call.argv[2]);
            return Err(Refusal::err(format_args!("Unrecognized option '{option}'")));
        }
    }
    Ok(Reply::Ok)
}

/// `CLIENT REPLY ON | OFF | SKIP`
fn reply(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    match call.argv[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            call.session.replies = Replies::On;
            return Ok(Reply::Ok);
        }
        b"off" => call.session.replies = Replies::Off,
        b"skip" if call.session.replies != Replies::Off => call.session.replies = Replies::SkipNext,
        b"skip" => {}
        _ => return Err(Refusal::Syntax),
    }
    Ok(Reply::Written)
}

/// `CLIENT PAUSE timeout [WRITE | ALL]`: a longer or stricter pause that is in force stays in force.
fn pause(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let what = match &call.argv[3..] {
        [] => Paused::All,
        [what] if what.eq_ignore_ascii_case(b"all") => Paused::All,
        [what] if what.eq_ignore_ascii_case(b"write") => Paused::Writes,
        _ => return Err(Refusal::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let ms = call.int(2).map_err(|_| Refusal::fixed("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| Refusal::fixed("ERR timeout is negative"))?;
    let now = call.core.now.mono;
    let mut pause = Pause { until: now.saturating_add(Duration::from_millis(ms)), what };
    if let Some(before) = call.core.pause.filter(|before| before.until > now) {
        pause = Pause { until: pause.until.max(before.until), what: pause.what.max(before.what) };
    }
    call.core.pause = Some(pause);
    Ok(Reply::Ok)
}

/// `CLIENT UNPAUSE`
fn unpause(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.core.unpause();
    Ok(Reply::Ok)
}

fn on_or_off(argument: &[u8]) -> Result<bool, Refusal> {
    match argument.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Refusal::Syntax),
    }
}

/// `CLIENT NO-EVICT ON | OFF`
fn no_evict(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.session.no_evict = on_or_off(call.argv[2])?;
    Ok(Reply::Ok)
}

/// `CLIENT NO-TOUCH ON | OFF`
fn no_touch(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    call.session.no_touch = on_or_off(call.argv[2])?;
    Ok(Reply::Ok)
}

/// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`: 1 if that session waited.
fn unblock(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let with_error = match &call.argv[3..] {
        [] => false,
        [how] if how.eq_ignore_ascii_case(b"timeout") => false,
        [how] if how.eq_ignore_ascii_case(b"error") => true,
        _ => return Err(Refusal::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = call.int(2)?;
    let Ok(id) = u64::try_from(id).map(SessionId) else { return Ok(Reply::Int(0)) };
    if with_error {
        return Ok(Reply::Flag(call.core.unblock(id, &Refusal::Unblocked)));
    }
    let waits = call.core.sessions.get(id).is_some_and(|session| session.blocked.is_some());
    if waits {
        call.core.to_time_out.push(id);
    }
    Ok(Reply::Flag(waits))
}

/// `CLIENT TRACKING ON | OFF …`: not there yet, and a client that asks must know.
fn tracking(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if on_or_off(call.argv[2])? {
        return Err(Refusal::fixed("ERR Client tracking is not supported"));
    }
    Ok(Reply::Ok)
}

/// `CLIENT CACHING YES | NO`: nobody is in a tracking mode.
fn caching(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    Err(Refusal::fixed(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))
}

/// `CLIENT TRACKINGINFO`
fn tracking_info(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let out = &mut call.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(1);
    out.bulk(b"off");
    out.bulk(b"redirect");
    out.int(-1);
    out.bulk(b"prefixes");
    out.array(0);
    Ok(Reply::Written)
}

/// `CLIENT GETREDIR`: -1, nobody tracks.
fn get_redir(_: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::Int(-1))
}

/// `CLIENT HELP`
fn help(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    super::write_help(call, "CLIENT", CLIENT);
    Ok(Reply::Written)
}

impl Core {
    /// One line of CLIENT LIST. Fields and their order are Redis 7.2's.
    pub(crate) fn describe(&self, session: &Session) -> String {
        let now = self.now.mono;
        let mut line = String::with_capacity(320);
        let age = |since: Duration| now.saturating_sub(since).as_secs();
        let unread = session.unread();
        let memory = session.memory();
        let (lent, lent_bytes) = session.output.lent();
        let events = if session.output.waiting() > 0 { "rw" } else { "r" };
        let subscriptions = &session.subscriptions;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let result = writeln!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} \
             qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs={} rbp={} obl={} oll={} omem={} tot-mem={} events={} \
             cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            session.id.0,
            session.peer,
            session.local,
            text(&session.name),
            age(session.since),
            age(session.last_heard),
            session.flag_letters(),
            session.db.0,
            subscriptions.channels.len(),
            subscriptions.patterns.len(),
            subscriptions.shards.len(),
            session.multi.as_ref().map_or(-1, |multi| multi.queue.len() as i64),
            unread,
            session.input_memory() - unread,
            session.multi.as_ref().map_or(0, |multi| multi.bytes),
            session.output.memory(),
            session.output.memory(),
            session.output.waiting(),
            lent,
            lent_bytes,
            memory,
            events,
            session.last_command,
            if session.protocol == Protocol::Resp3 { 3 } else { 2 },
            text(&session.lib_name),
            text(&session.lib_ver),
        );
        result.expect("writing to a string succeeds");
        line
    }
}

impl Session {
    /// CLIENT LIST's flags.
    fn flag_letters(&self) -> String {
        let mut letters = String::new();
        let mut put = |holds: bool, letter: char| {
            if holds {
                letters.push(letter);
            }
        };
        put(self.is_replica(), 'S');
        put(matches!(self.kind, Kind::Master), 'M');
        put(self.is_subscriber(), 'P');
        put(self.multi.is_some(), 'x');
        put(self.blocked.is_some(), 'b');
        put(self.closing == Some(Closing::AfterFlush), 'c');
        put(self.closing == Some(Closing::Now), 'A');
        put(self.no_evict, 'e');
        put(self.no_touch, 'T');
        if letters.is_empty() {
            letters.push('N');
        }
        letters
    }
}

#[cfg(test)]
mod tests {
    use crate::check::{Stage, check, scenario};

    #[test]
    fn names_are_kept_and_checked() {
        check("client getname", "nil");
        check("client setname \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.");
        check("client setinfo lib-name x", "+OK");
        check("client setinfo lib-color x", "-ERR Unrecognized option 'lib-color'");
        check("client no-evict maybe", "-ERR syntax error");
        check("client tracking on", "-ERR Client tracking is not supported");
        scenario(
            "> client setname me
             +OK
             > client getname
             $me",
        );
    }

    #[test]
    fn the_list_shows_every_session() {
        let mut stage = Stage::new();
        stage.say(2, "client setname two");
        let list = stage.say(1, "client list");
        assert!(list.contains("id=1 ") && list.contains("cmd=client|list"), "{list}");
        assert!(list.contains("name=two age=0 idle=0 flags=N db=0"), "{list}");
        assert!(!stage.say(1, "client list id 2").contains("id=1 "));
        assert_eq!(stage.say(1, "client list type master"), "$");
        assert_eq!(stage.say(1, "client list type x"), "-ERR Unknown client type 'x'");
    }

    #[test]
    fn kill_ends_others_and_spares_the_killer_unless_told() {
        scenario(
            "2> ping
             +PONG
             > client kill id 2
             :1
             closed 2
             > client kill id 1
             :0
             > client kill id 1 skipme no
             :1
             closed 1",
        );
        check("client kill 1.2.3.4:5", "-ERR No such client");
        check("client kill id x", "-ERR client-id should be greater than 0");
    }

    #[test]
    fn replies_can_be_switched_off() {
        scenario(
            "> client reply skip
             > ping
             > ping
             +PONG
             > client reply off
             > ping
             > client reply on
             +OK",
        );
    }

    #[test]
    fn a_pause_holds_commands_until_it_ends() {
        scenario(
            "> client pause 100
             +OK
             2> ping
             wait 50
             wait 60
             2< +PONG
             > client pause 1000 write
             +OK
             2> ping
             +PONG
             > client unpause
             +OK",
        );
    }
}
