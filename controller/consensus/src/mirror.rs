//! The log as `raft` reads it: in memory, a copy of what the disk holds.
//!
//! Every read of the log is served from here; [`crate::Batch::save`] and [`crate::Checkpoint::save`] change it only after the
//! disk has the same. It holds at most the entries between two snapshots, twice.

use std::collections::VecDeque;

use raft::{
    GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{Entry, HardState, Snapshot},
};

use crate::recovered::Recovered;

pub(crate) struct Mirror {
    snapshot: Snapshot,
    hard_state: HardState,
    /// Index and term of the entry before the first one held. Invariant: at most the snapshot's index.
    floor: (u64, u64),
    /// Contiguous: `entries[i]` has index `floor.0 + 1 + i`.
    entries: VecDeque<Entry>,
}

impl Mirror {
    pub(crate) fn new(recovered: Recovered) -> Self {
        let meta = recovered.snapshot.get_metadata();
        Self {
            floor: (meta.index, meta.term),
            entries: recovered.entries.into(),
            hard_state: recovered.hard_state,
            snapshot: recovered.snapshot,
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.floor.0 + self.entries.len() as u64
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: &HardState) {
        self.hard_state = hard_state.clone();
    }

    /// A leader's snapshot replaces everything.
    pub(crate) fn install(&mut self, snapshot: &Snapshot) {
        let meta = snapshot.get_metadata();
        self.floor = (meta.index, meta.term);
        self.entries.clear();
        self.hard_state.commit = self.hard_state.commit.max(meta.index);
        self.snapshot = snapshot.clone();
    }

    /// Appends, dropping what a new leader overwrites.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.floor.0, "an append below the compacted log, at {}", first.index);
        assert!(first.index <= self.last() + 1, "an append that leaves a hole, at {}", first.index);
        self.entries.truncate((first.index - self.floor.0 - 1) as usize);
        self.entries.extend(entries.iter().cloned());
    }

    /// Our own snapshot: keeps the newest `keep` entries up to it, and all after it.
    pub(crate) fn checkpoint(&mut self, snapshot: Snapshot, keep: u64) {
        let index = snapshot.get_metadata().index;
        self.snapshot = snapshot;
        let floor = index.saturating_sub(keep);
        if floor > self.floor.0 {
            let term = self.term(floor).expect("a snapshot lies within the log");
            self.entries.drain(..(floor - self.floor.0) as usize);
            self.floor = (floor, term);
        }
    }
}

impl Storage for Mirror {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.snapshot.get_metadata().get_conf_state().clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.floor.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        let range = (low - self.floor.0 - 1) as usize..(high - self.floor.0 - 1) as usize;
        let mut entries: Vec<Entry> = self.entries.range(range).cloned().collect();
        raft::util::limit_size(&mut entries, max.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.floor.0 {
            return Ok(self.floor.1);
        }
        if index == self.snapshot.get_metadata().index {
            return Ok(self.snapshot.get_metadata().term);
        }
        if index < self.floor.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        match self.entries.get((index - self.floor.0 - 1) as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(raft::Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.floor.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// The newest snapshot, if its member list has the receiver: another would be dropped there in silence, and the sender
    /// would wait for an answer that never comes (tikv/raft-rs #472). The next one is taken as soon as members change.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let meta = self.snapshot.get_metadata();
        let conf = meta.get_conf_state();
        let named = [&conf.voters, &conf.learners, &conf.voters_outgoing].iter().any(|ids| ids.contains(&to));
        if !named || meta.index < request_index {
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RaftId;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, ..Default::default() }
    }

    fn mirror(terms: &[u64]) -> Mirror {
        let mut mirror = Mirror::new(Recovered::founding(&[RaftId(1), RaftId(2), RaftId(3)], b"state".to_vec()));
        let entries: Vec<Entry> = (2..).zip(terms).map(|(index, term)| entry(index, *term)).collect();
        mirror.append(&entries);
        mirror
    }

    #[test]
    fn a_new_leaders_append_replaces_the_tail() {
        let mut mirror = mirror(&[1, 1, 1]);
        mirror.append(&[entry(3, 2)]);
        assert_eq!((mirror.last(), mirror.term(3).unwrap(), mirror.term(2).unwrap()), (3, 2, 1));
        assert!(mirror.term(4).is_err());
    }

    #[test]
    fn a_checkpoint_keeps_the_tail_and_the_term_before_it() {
        let mut mirror = mirror(&[1, 1, 2, 2, 3]);
        let mut snapshot = mirror.snapshot.clone();
        snapshot.mut_metadata().index = 5;
        snapshot.mut_metadata().term = 2;
        mirror.checkpoint(snapshot, 2);
        assert_eq!((mirror.first_index().unwrap(), mirror.last()), (4, 6));
        assert_eq!(mirror.term(3).unwrap(), 1);
        assert_eq!(mirror.term(2), Err(raft::Error::Store(StorageError::Compacted)));
        assert_eq!(mirror.entries(4, 7, None, GetEntriesContext::empty(false)).unwrap().len(), 3);
    }

    #[test]
    fn no_snapshot_for_a_receiver_that_it_does_not_name() {
        let mirror = mirror(&[]);
        assert!(mirror.snapshot(0, 3).is_ok());
        assert!(mirror.snapshot(0, 4).is_err());
        assert!(mirror.snapshot(9, 3).is_err());
    }
}
