//! What of a turn's replies has to wait: for the disk (appendfsync always) and, on the master of a quorum group, for the voters.
//!
//! ```text
//! a command that changed something ──▶ its session's replies of this turn wait until the turn's stream is committed (I3)
//! a command that read  ──a key changed by a turn that is not committed──▶ the same (I6)
//!                      ──otherwise──▶ they leave if the lease covers now, else they wait until a marker behind the read is confirmed (I7)
//! ```
//! All that a session got in a turn is one piece with one mark, the turn's end: pieces of a turn are let go together, by a walk over those that wait. The
//! lease is tested once a turn, after its commands and before its replies; a turn that needs a marker writes one into its stream.
//!
//! Which keys wait is kept as the number of the turn that changed them last, in a table of [`SLOTS`] places by the key's hash (without its database):
//! two keys of one place only make a read wait that need not. An epoch's begin (I5) and whatever changes at large change every key.
//!
//! Cost: nothing but one branch a command while this node is not the master of a quorum group. Bounds: [`TURNS`] turns are told apart, older
//! ones wait for the newest; what waits is bounded by the sessions' output limits and `quorum-timeout`.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_replication::Offset;
use quorate_replication::faults::{Fault, is_armed};
use quorate_resp::{Value, Writer};

use crate::command::{Flags, Keys};
use crate::core::Core;
use crate::multi::Row;
use crate::output::{Hold, Reached};
use crate::session::Session;
use crate::{Closing, SessionId};

/// Places for keys: 128 KiB, of which a turn of a few thousand writes takes a small part.
const SLOTS: usize = 1 << 14;
/// Turns whose ends are told apart.
const TURNS: usize = 1 << 12;

/// What the replies that a session got in this turn have observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// Something that is not committed: a change of its own, or another's.
    uncommitted: bool,
    /// The dataset, without having changed it: who else may be the master matters.
    read: bool,
}

impl Observed {
    /// What a command changed, or what a message tells of another's change.
    pub const CHANGE: Observed = Observed { uncommitted: true, read: false };

    pub fn add(&mut self, other: Observed) {
        self.uncommitted |= other.uncommitted;
        self.read |= other.read;
    }
}

/// Who waits, and for how long already.
#[derive(Debug, Clone, Copy)]
struct Waiting<T> {
    until: T,
    id: SessionId,
    since: Duration,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Holding {
    /// The master of a quorum group: replies wait for voters.
    on: bool,
    /// The running turn's number.
    turn: u64,
    /// Every change up to this turn is committed.
    settled: u64,
    /// The turns that changed something and are not committed, with the stream's end behind each.
    unsettled: VecDeque<(u64, Offset)>,
    /// By a key's place: the turn that changed it last.
    changed: Vec<u64>,
    /// The turn that changed every key.
    all_changed: u64,
    /// The turn that changed any.
    last_changed: u64,
    /// A reply of this turn depends on nobody else being the master.
    read: bool,
    /// Who waits for what, in the order in which it comes.
    tickets: VecDeque<Waiting<u64>>,
    commits: VecDeque<Waiting<Offset>>,
    confirms: VecDeque<Waiting<Offset>>,
}

/// What the end of a turn means for its replies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    on: bool,
    /// The ticket that they wait for; 0 for none.
    ticket: u64,
    /// The stream's end: it has to be committed for whatever is not.
    end: Offset,
    /// What has to be confirmed for reads: nothing if the lease covers them.
    confirm: Offset,
    reached: Reached,
}

impl Verdict {
    /// May any reply of the turn have to wait?
    #[inline]
    pub fn holds(&self) -> bool {
        self.on || self.ticket > 0
    }

    fn hold(&self, observed: Observed) -> Hold {
        Hold {
            ticket: self.ticket,
            commit: if observed.uncommitted { self.end } else { Offset(0) },
            confirm: if observed.read { self.confirm } else { Offset(0) },
        }
    }
}

impl Holding {
    /// Do replies wait for voters?
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// A mastership in a quorum config begins, or goes on under one: nothing is known to be committed.
    pub fn begin(&mut self) {
        if !self.on {
            self.on = true;
            self.turn += 1;
            self.changed = vec![0; SLOTS];
        }
        self.change_all();
    }

    /// Replies wait for voters no longer; what waits is the caller's to free or to drop.
    pub fn end(&mut self) {
        self.on = false;
        self.changed = Vec::new();
        self.unsettled.clear();
    }

    /// A key changed.
    #[inline]
    pub fn change(&mut self, key: &[u8]) {
        if self.on {
            self.changed[slot(key)] = self.turn;
            self.last_changed = self.turn;
        }
    }

    /// Every key may have changed.
    pub fn change_all(&mut self) {
        (self.all_changed, self.last_changed) = (self.turn, self.turn);
    }

    fn is_settled(&self, key: &[u8]) -> bool {
        self.changed[slot(key)] <= self.settled
    }

    /// Does a command that changed nothing see only what is committed?
    fn sees_settled(&self, row: Row, argv: &[&[u8]]) -> bool {
        if self.last_changed <= self.settled {
            return true;
        }
        if self.all_changed > self.settled || row.command.flags.has(Flags::MOVABLE_KEYS) {
            return false;
        }
        match row.command.keys {
            Keys::None | Keys::Custom(_) => false,
            Keys::First => argv.get(1).is_some_and(|key| self.is_settled(key)),
            keys => keys.positions(argv).into_iter().all(|at| self.is_settled(argv[at])),
        }
    }

    /// The turn's stream ends at `end`: remembers which changes are settled with it.
    fn end_turn(&mut self, end: Offset, committed: Offset) {
        if self.last_changed == self.turn {
            if self.unsettled.len() == TURNS {
                self.unsettled.pop_back();
            }
            self.unsettled.push_back((self.turn, end));
        }
        while let Some((turn, _)) = self.unsettled.pop_front_if(|(_, end)| *end <= committed) {
            self.settled = turn;
        }
        self.turn += 1;
        self.read = false;
    }
}

/// A key's place.
fn slot(key: &[u8]) -> usize {
    // Multiply and rotate, eight bytes at a time: whoever makes keys collide makes reads of them wait, no more.
    let mut hash = key.len() as u64;
    for chunk in key.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as usize
}

impl Core {
    /// A command has run, on the master of a quorum group: notes what its reply tells.
    pub(crate) fn observe(&mut self, session: &mut Session, row: Row, argv: &[&[u8]], dirty: usize) {
        if dirty > 0 {
            return session.observed.add(Observed::CHANGE);
        }
        if !row.command.flags.any(Flags::READONLY.with(Flags::WRITE)) && row.name != "exec" {
            return; // it tells nothing of the dataset
        }
        self.holding.read = true;
        let uncommitted = !self.holding.sees_settled(row, argv) && !is_armed(Fault::I6Reads);
        session.observed.add(Observed { uncommitted, read: true });
    }

    /// The turn's commands have run: tests the lease for its reads, and asks for a confirming round if it does not cover them (I7). Returns whether
    /// it does.
    pub(crate) fn vouch(&mut self) -> bool {
        if !self.holding.on || !self.holding.read || is_armed(Fault::I7Lease) {
            return true;
        }
        // Not the turn's time: the process may have stood still since.
        let now = if is_armed(Fault::I7Early) { self.now.mono } else { (self.host.clock)() };
        let alone = self.lease_covers(now);
        if !alone {
            self.ask_for_acks();
        }
        alone
    }

    /// The turn's stream has gone to the log and to the replicas: what its replies wait for. Whoever waited for what has come now is listed.
    pub(crate) fn verdict(&mut self, ticket: Option<u64>, alone: bool, streamed: bool) -> Verdict {
        let (end, committed, confirmed) = self.commit_step();
        let reached = Reached { ticket: self.persistence.confirmed_ticket(), committed, confirmed };
        if self.holding.on {
            self.holding.end_turn(end, committed);
        }
        self.let_go(&reached);
        // A marker that could not be written, because a handover has stopped the stream: whatever comes next will do.
        let fresh = if streamed { end } else { end.plus(1) };
        let confirm = if alone { Offset(0) } else { fresh };
        Verdict { on: self.holding.on, ticket: ticket.unwrap_or(0), end, confirm, reached }
    }

    /// Lets a session's output of this turn go, or notes what it waits for.
    pub(crate) fn settle_output(&mut self, id: SessionId, verdict: &Verdict) {
        let now = self.now.mono;
        let Some(session) = self.sessions.get_mut(id) else { return };
        let hold = verdict.hold(std::mem::take(&mut session.observed));
        if hold.is_over(&verdict.reached) {
            return session.output.release();
        }
        if !session.output.hold(hold) {
            return;
        }
        if hold.ticket > verdict.reached.ticket {
            self.holding.tickets.push_back(Waiting { until: hold.ticket, id, since: now });
        }
        if hold.commit > verdict.reached.committed {
            self.holding.commits.push_back(Waiting { until: hold.commit, id, since: now });
        }
        if hold.confirm > Offset(0) {
            self.holding.confirms.push_back(Waiting { until: hold.confirm, id, since: now });
        }
    }

    /// Walks over those whose wait has come to its end, and over no others.
    fn let_go(&mut self, reached: &Reached) {
        let free = |core: &mut Core, id: SessionId| {
            if core.sessions.get_mut(id).is_some_and(|session| session.output.reached(reached)) {
                core.sessions.list_id(id);
            }
        };
        while let Some(one) = self.holding.tickets.pop_front_if(|one| one.until <= reached.ticket) {
            free(self, one.id);
        }
        while let Some(one) = self.holding.commits.pop_front_if(|one| one.until <= reached.committed) {
            free(self, one.id);
        }
        let confirmed = reached.confirmed.max(reached.committed);
        while let Some(one) = self.holding.confirms.pop_front_if(|one| one.until <= confirmed) {
            free(self, one.id);
        }
    }

    /// When the oldest held reply has waited for `quorum-timeout`.
    pub(crate) fn holding_deadline(&self) -> Option<Duration> {
        let oldest = [self.holding.commits.front(), self.holding.confirms.front()];
        let oldest = oldest.into_iter().flatten().map(|one| one.since).min()?;
        Some(oldest + self.quorum_timeout()?)
    }

    /// Replies that have waited for `quorum-timeout` become errors: their outcome is unknown, and the client shall know that (I3).
    pub(crate) fn give_up_waiting(&mut self) {
        let now = self.now.mono;
        if self.holding_deadline().is_none_or(|due| due > now) {
            return;
        }
        let Some(timeout) = self.quorum_timeout() else { return };
        let mut late = Vec::new();
        for queue in [&mut self.holding.commits, &mut self.holding.confirms] {
            while let Some(one) = queue.pop_front_if(|one| one.since + timeout <= now) {
                late.push((one.until, one.id));
            }
        }
        for (until, id) in late {
            let Some(mut session) = self.sessions.take(id) else { continue };
            while let Some((piece, hold)) = session.output.oldest_held()
                && hold.commit.max(hold.confirm) <= until
            {
                let errors = uncertain(&piece, &session);
                drop(piece);
                match errors {
                    Some(errors) => session.output.replace_oldest_held(&errors),
                    None => {
                        session.output.drop_held();
                        self.close(&mut session, Closing::AfterFlush);
                    }
                }
                self.sessions.list(&mut session);
            }
            self.sessions.put_back(session);
        }
    }

    /// The mastership is over: nobody will ever know what became of the replies that wait. Returns the sessions that had any; they are to be closed without
    /// another word.
    pub(crate) fn drop_held_replies(&mut self) -> Vec<SessionId> {
        if !self.holding.on {
            return Vec::new();
        }
        self.holding.end();
        self.holding.commits.clear();
        self.holding.confirms.clear();
        let mut concerned = Vec::new();
        for id in self.sessions.ids() {
            let session = self.sessions.get_mut(id).expect("just listed");
            if session.is_client() && session.output.drop_held() {
                session.observed = Observed::default();
                concerned.push(id);
            }
        }
        concerned
    }
}

/// An error for each reply of a piece; messages that nobody asked for are left out. `None` where replies and messages cannot be told apart.
fn uncertain(piece: &[u8], session: &Session) -> Option<Vec<u8>> {
    const TEXT: &str = "UNCERTAIN outcome unknown: too few voters have confirmed it within quorum-timeout";
    if session.is_subscriber() && session.protocol == quorate_resp::Protocol::Resp2 {
        return None;
    }
    let (mut rest, mut errors) = (piece, Vec::new());
    while !rest.is_empty() {
        let (value, taken) = Value::decode(rest).ok().flatten()?;
        if !matches!(value, Value::Push(_)) {
            Writer::new(&mut errors, session.protocol).error(TEXT);
        }
        rest = &rest[taken..];
    }
    Some(errors)
}

#[cfg(test)]
mod tests;
