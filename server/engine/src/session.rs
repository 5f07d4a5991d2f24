//! One client: what it has said about itself, what it waits for, what waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_keyspace::DbIndex;
use quorate_resp::{Partial, Protocol};

use crate::blocking::Blocked;
use crate::gather::Gathered;
use crate::holding::Observed;
use crate::multi::Multi;
use crate::output::Output;
use crate::replication::Peer;
use crate::watch::Watched;
use crate::{Closing, Now, SocketName};

/// Names a client for as long as the process lives; CLIENT ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Which of its commands' replies a session gets: CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replies {
    /// All of them.
    On,
    /// None.
    Off,
    /// Not that of the command after CLIENT REPLY SKIP …
    SkipNext,
    /// … which is this one.
    Skipping,
}

/// What a session is to us. `Normal` becomes `Replica` when it says PSYNC.
#[derive(Debug)]
pub enum Kind {
    /// A client (with or without subscriptions).
    Normal,
    /// A replica that follows us; its state is the replication glue's.
    Replica(Box<Peer>),
    /// Our master: its commands are applied without gates and get no replies.
    Master,
    /// Nobody: the AOF loader.
    Loader,
}

/// The channels and patterns that a session listens to.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub channels: BTreeSet<Box<[u8]>>,
    pub patterns: BTreeSet<Box<[u8]>>,
    pub shards: BTreeSet<Box<[u8]>>,
}

impl Subscriptions {
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty()
    }
}

/// One client.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The client's end of the connection.
    pub peer: SocketName,
    /// Our end.
    pub local: SocketName,
    /// The protocol of its replies.
    pub protocol: Protocol,
    /// The database that it selected.
    pub db: DbIndex,
    /// Whether it may run commands: it gave the password, or there is none.
    pub authenticated: bool,
    /// What it is to us.
    pub kind: Kind,
    /// CLIENT SETNAME; empty for none.
    pub name: Vec<u8>,
    /// CLIENT SETINFO lib-name.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO lib-ver.
    pub lib_ver: Vec<u8>,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// When it connected.
    pub since: Duration,
    /// When it last said something.
    pub last_heard: Duration,
    /// The full name of its last command, as CLIENT LIST shows it.
    pub last_command: &'static str,
    /// Bytes that it has sent.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// Commands that it has run.
    pub commands: u64,
    /// The replication offset behind its last write: what WAIT waits for.
    pub last_write_offset: u64,

    pub(crate) replies: Replies,
    pub(crate) multi: Option<Box<Multi>>,
    pub(crate) watched: Vec<Watched>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) blocked: Option<Box<Blocked>>,
    /// Stopped by CLIENT PAUSE in front of the command at the start of `rest`.
    pub(crate) postponed: bool,
    pub(crate) closing: Option<Closing>,
    /// Bytes that are no whole command yet, or that wait for the session to be unblocked.
    pub(crate) rest: Vec<u8>,
    pub(crate) partial: Option<Partial>,
    /// Large arguments of the command at the start of `rest`, which lacks them. Only with `partial`.
    pub(crate) gathered: Option<Box<Gathered>>,
    pub(crate) output: Output,
    /// What the replies of this turn have observed, on the master of a quorum group.
    pub(crate) observed: Observed,
    /// Messages published to this session while its own command runs: they follow the command's reply.
    pub(crate) pushes: Vec<u8>,
    /// Since when the output is beyond the soft limit.
    pub(crate) soft_limit_since: Option<Duration>,
    /// The first commands of what it has sent are cut and wait for their turn in the window.
    pub(crate) in_window: bool,
    /// Whether it stands in the turn's list of sessions with output.
    pub(crate) listed: bool,
}

impl Session {
    pub(crate) fn new(id: SessionId, peer: SocketName, local: SocketName, now: Now) -> Session {
        Session {
            id,
            peer,
            local,
            protocol: Protocol::Resp2,
            db: DbIndex(0),
            authenticated: false,
            kind: Kind::Normal,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            no_evict: false,
            no_touch: false,
            since: now.mono,
            last_heard: now.mono,
            last_command: "NULL",
            bytes_in: 0,
            bytes_out: 0,
            commands: 0,
            last_write_offset: 0,
            replies: Replies::On,
            multi: None,
            watched: Vec::new(),
            subscriptions: Subscriptions::default(),
            blocked: None,
            postponed: false,
            closing: None,
            rest: Vec::new(),
            partial: None,
            gathered: None,
            output: Output::default(),
            observed: Observed::default(),
            pushes: Vec::new(),
            soft_limit_since: None,
            in_window: false,
            listed: false,
        }
    }

    /// Whether it is a client, not a link to another server or a loader.
    #[must_use]
    pub fn is_client(&self) -> bool {
        matches!(self.kind, Kind::Normal)
    }

    /// Whether its commands come from a stream that was accepted elsewhere: no gates, no replies, nothing propagated.
    #[must_use]
    pub fn is_applier(&self) -> bool {
        matches!(self.kind, Kind::Master | Kind::Loader)
    }

    /// Whether it follows us.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        matches!(self.kind, Kind::Replica(_))
    }

    /// Whether it listens to any channel or pattern.
    #[must_use]
    pub fn is_subscriber(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let queued = self.multi.as_ref().map_or(0, |multi| multi.bytes);
        size_of::<Session>() + self.input_memory() + self.output.memory() + self.output.lent().1 + queued
    }

    /// Bytes that it has sent and that have not run.
    pub(crate) fn unread(&self) -> usize {
        self.rest.len() + self.gathered.as_ref().map_or(0, |gathered| gathered.len())
    }

    /// Bytes that are allocated for them.
    pub(crate) fn input_memory(&self) -> usize {
        self.rest.capacity() + self.gathered.as_ref().map_or(0, |gathered| gathered.memory())
    }

    /// Where its orders come from, for directives that only a local connection may touch.
    #[must_use]
    pub fn origin(&self) -> quorate_config::Origin {
        if self.peer.is_local() { quorate_config::Origin::Local } else { quorate_config::Origin::Remote }
    }

    /// Whether it waits and must not be given its next command.
    pub(crate) fn is_stopped(&self) -> bool {
        self.blocked.is_some() || self.postponed || self.closing.is_some()
    }
}
