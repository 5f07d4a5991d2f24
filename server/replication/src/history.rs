//! Which stream of writes this dataset is a prefix of, and who may go on from where.
//!
//! A dataset is named by (replid, offset). A promotion starts a new history that shares the old one up to the offset of
//! the promotion: the old name is kept as replid2, so that whoever followed the old master, and the old master itself,
//! can go on by partial resync if and only if what they hold is a prefix (I12).
//!
//! Invariants: `second.upto <= offset`; when there is a backlog it ends at `offset`.

use crate::backlog::Backlog;
use crate::faults::{Fault, is_armed};
use crate::id::{Epoch, Offset, ReplId};

/// See the module. One for a node, whatever its role; `offset` counts what was written or applied.
#[derive(Debug)]
pub struct History {
    replid: ReplId,
    second: Option<Second>,
    offset: Offset,
    data_epoch: Epoch,
    backlog: Option<Backlog>,
}

/// The history that this one continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// replid2.
    pub replid: ReplId,
    /// The last offset that both histories share. INFO's `second_repl_offset` is one more.
    pub upto: Offset,
}

/// What a replica that wants to go on holds: `PSYNC replid offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The history it follows.
    pub replid: ReplId,
    /// How much of it.
    pub offset: Offset,
}

/// The answer to PSYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything after this offset follows from the backlog.
    Continue(Offset),
    /// A full resync, and why.
    Full(Reason),
}

/// Why a partial resync is impossible; for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `PSYNC ? -1`: the replica holds nothing.
    Asked,
    /// Its history is neither ours nor the one we continue.
    OtherHistory,
    /// It holds writes that our history does not have (I12): they are dropped by the full resync.
    Diverged,
    /// Its place has left the backlog, or there is none.
    TooOld,
}

impl History {
    /// A new, empty history.
    pub fn new(replid: ReplId) -> History {
        History::restored(Held { replid, offset: Offset(0) }, Epoch(0))
    }

    /// The history of a dataset that was loaded: named in an RDB file's aux fields or an AOF's annotation.
    pub fn restored(held: Held, data_epoch: Epoch) -> History {
        History { replid: held.replid, second: None, offset: held.offset, data_epoch, backlog: None }
    }

    /// The id of this history: `master_replid`.
    pub fn replid(&self) -> ReplId {
        self.replid
    }

    /// The history before the last promotion: `master_replid2` and `second_repl_offset`.
    pub fn second(&self) -> Option<Second> {
        self.second
    }

    /// Bytes written or applied: `master_repl_offset`.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// What PSYNC asks for when this node becomes a replica or its link broke.
    pub fn held(&self) -> Held {
        Held { replid: self.replid, offset: self.offset }
    }

    /// The epoch in which the newest write of the dataset was made: half of what I4 compares.
    pub fn data_epoch(&self) -> Epoch {
        self.data_epoch
    }

    /// The stream has entered `epoch`: its barrier was written (master) or applied (replica).
    pub fn enter_epoch(&mut self, epoch: Epoch) {
        self.data_epoch = self.data_epoch.max(epoch);
    }

    /// The backlog, once there is one.
    pub fn backlog(&self) -> Option<&Backlog> {
        self.backlog.as_ref()
    }

    /// Does the stream have to be fed? Without a backlog nobody can read it.
    pub fn is_recorded(&self) -> bool {
        self.backlog.is_some()
    }

    /// Starts to keep the stream, from here on, in a backlog of `size` bytes; does nothing if it is kept already.
    pub fn record(&mut self, size: u64) {
        if self.backlog.is_none() {
            self.backlog = Some(Backlog::new(self.offset, size));
        }
    }

    /// Stops keeping the stream (`repl-backlog-ttl`). What follows is unknown to anyone, so it needs a new id.
    pub fn forget(&mut self, fresh: ReplId) {
        self.backlog = None;
        self.second = None;
        self.replid = fresh;
    }

    /// Sets `repl-backlog-size`.
    pub fn resize(&mut self, size: u64) {
        if let Some(backlog) = &mut self.backlog {
            backlog.resize(size);
        }
    }

    /// Adds bytes of the stream: encoded once by a master, or the master's own bytes verbatim once a replica applied them.
    pub fn append(&mut self, bytes: &[u8]) {
        self.offset = self.offset.plus(bytes.len());
        if let Some(backlog) = &mut self.backlog {
            backlog.append(bytes);
        }
    }

    /// Forgets what neither the backlog's size nor the slowest cursor needs.
    pub fn trim(&mut self, slowest: Option<Offset>) {
        if let Some(backlog) = &mut self.backlog {
            backlog.trim(slowest);
        }
    }

    /// May a replica that holds `held` go on from the backlog? `None` is `PSYNC ? -1`.
    pub fn psync(&self, held: Option<Held>) -> Verdict {
        let Some(held) = held else {
            return Verdict::Full(Reason::Asked);
        };
        let shared = if held.replid == self.replid {
            self.offset
        } else {
            match self.second {
                Some(second) if second.replid == held.replid => second.upto,
                _ => return Verdict::Full(Reason::OtherHistory),
            }
        };
        if held.offset > shared && !is_armed(Fault::I12Diverged) {
            return Verdict::Full(Reason::Diverged); // I12
        }
        match &self.backlog {
            Some(backlog) if backlog.reaches(held.offset) => Verdict::Continue(held.offset),
            _ => Verdict::Full(Reason::TooOld),
        }
    }

    /// Up to where a history is known to be the same as this one; `None` for one that is neither this one nor the one before it (I12).
    pub fn shared_with(&self, held: Held) -> Option<Offset> {
        match self.second {
            _ if held.replid == self.replid => Some(self.offset.min(held.offset)),
            Some(second) if second.replid == held.replid => Some(second.upto.min(held.offset)),
            _ => None,
        }
    }

    /// This node becomes a master: a new history begins that shares the old one up to here.
    pub fn promote(&mut self, fresh: ReplId) {
        self.second = Some(Second { replid: self.replid, upto: self.offset });
        self.replid = fresh;
    }

    /// A full resync was loaded: the dataset is now the master's. Whoever followed us has to start again.
    pub fn adopt_full(&mut self, held: Held, data_epoch: Epoch) {
        let size = self.backlog.as_ref().map(Backlog::size);
        *self = History::restored(held, data_epoch);
        if let Some(size) = size {
            self.record(size);
        }
    }

    /// `+CONTINUE`: the master's history goes on from where we are, perhaps under a new id.
    /// Says whether the id is new, in which case our own replicas have to hear of it by reconnecting.
    pub fn adopt_continue(&mut self, replid: Option<ReplId>) -> Renamed {
        match replid {
            Some(replid) if replid != self.replid => {
                self.promote(replid);
                Renamed::Yes
            }
            _ => Renamed::No,
        }
    }
}

/// Has the history's id changed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// Yes: replicas of this node must be cut, so that they learn it from `+CONTINUE`.
    Yes,
    /// No.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: u8) -> ReplId {
        ReplId::parse(&[letter; 40]).expect("forty letters")
    }

    /// A history `a` of 100 bytes.
    fn hundred() -> History {
        let mut history = History::new(id(b'a'));
        history.record(1 << 20);
        history.append(&[b'x'; 100]);
        history
    }

    fn check(history: &History, replid: u8, offset: u64, expected: Verdict) {
        let held = Held { replid: id(replid), offset: Offset(offset) };
        assert_eq!(history.psync(Some(held)), expected, "{held:?}");
    }

    #[test]
    fn a_replica_goes_on_from_what_it_holds() {
        let history = hundred();
        assert_eq!(history.psync(None), Verdict::Full(Reason::Asked));
        check(&history, b'a', 0, Verdict::Continue(Offset(0)));
        check(&history, b'a', 100, Verdict::Continue(Offset(100)));
        check(&history, b'a', 101, Verdict::Full(Reason::Diverged));
        check(&history, b'b', 50, Verdict::Full(Reason::OtherHistory));
    }

    /// I12: the former master, and its other replicas, go on exactly when they hold a prefix.
    #[test]
    fn a_promotion_shares_the_past_and_nothing_after_it() {
        let mut history = hundred();
        history.promote(id(b'b'));
        history.append(&[b'y'; 20]);
        check(&history, b'a', 90, Verdict::Continue(Offset(90)));
        check(&history, b'a', 100, Verdict::Continue(Offset(100)));
        check(&history, b'a', 101, Verdict::Full(Reason::Diverged));
        check(&history, b'b', 120, Verdict::Continue(Offset(120)));
        history.promote(id(b'c'));
        check(&history, b'a', 90, Verdict::Full(Reason::OtherHistory));
        check(&history, b'b', 120, Verdict::Continue(Offset(120)));
    }

    #[test]
    fn a_new_name_is_adopted_with_the_old_one_kept() {
        let mut history = hundred();
        assert_eq!(history.adopt_continue(None), Renamed::No);
        assert_eq!(history.adopt_continue(Some(id(b'a'))), Renamed::No);
        assert_eq!(history.adopt_continue(Some(id(b'b'))), Renamed::Yes);
        assert_eq!(history.second(), Some(Second { replid: id(b'a'), upto: Offset(100) }));
        check(&history, b'a', 100, Verdict::Continue(Offset(100)));
    }

    #[test]
    fn a_full_resync_forgets_the_past() {
        let mut history = hundred();
        history.adopt_full(Held { replid: id(b'z'), offset: Offset(7) }, Epoch(3));
        assert_eq!((history.offset(), history.data_epoch(), history.second()), (Offset(7), Epoch(3), None));
        check(&history, b'a', 7, Verdict::Full(Reason::OtherHistory));
        check(&history, b'z', 7, Verdict::Continue(Offset(7)));
        check(&history, b'z', 6, Verdict::Full(Reason::TooOld));
    }

    #[test]
    fn without_a_backlog_nobody_goes_on() {
        let history = History::restored(Held { replid: id(b'a'), offset: Offset(9) }, Epoch(1));
        check(&history, b'a', 9, Verdict::Full(Reason::TooOld));
    }
}
