//! What a node finds on its disk when it starts, decoded and checked.

use prost011::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};

use crate::{Index, RaftId, Term, message};

/// A member's durable state: the snapshot, the log behind it, the hard state (term and vote).
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    pub(crate) snapshot: Snapshot,
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard_state: HardState,
}

/// The stored bytes are not what a member ever saves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// A record does not decode, or a field has a value that is never written.
    #[error("the stored {0} is unreadable")]
    Unreadable(&'static str),
    /// The log has a hole, or an entry is stored under another's index.
    #[error("the log is broken at entry {0}")]
    Broken(u64),
}

impl Recovered {
    /// A member that has nothing yet: it cannot vote or lead until a leader has sent it a snapshot that names it.
    pub fn blank() -> Self {
        Self::default()
    }

    /// The state with which a new group begins, the same bytes at each of its founding voters.
    ///
    /// It is a snapshot at index 1 and not an empty log: so that whoever joins later, and has nothing, is always sent a
    /// snapshot with the member list instead of entries that would be applied to an empty one.
    pub fn founding(voters: &[RaftId], state: Vec<u8>) -> Self {
        let mut ids: Vec<u64> = voters.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        let metadata =
            SnapshotMetadata { conf_state: Some(ConfState { voters: ids, ..Default::default() }), index: 1, term: 1 };
        Self {
            snapshot: Snapshot { data: state, metadata: Some(metadata) },
            entries: Vec::new(),
            hard_state: HardState { term: 1, vote: 0, commit: 1 },
        }
    }

    /// Reads back what [`crate::Write`] and [`crate::Compaction`] gave out. `entries` in ascending order of their keys.
    pub fn from_bytes<'a>(
        snapshot: Option<&[u8]>,
        hard_state: Option<&[u8]>,
        entries: impl IntoIterator<Item = (Index, &'a [u8])>,
    ) -> Result<Self, Damaged> {
        let snapshot = snapshot
            .map(Snapshot::decode)
            .transpose()
            .map_err(|_| Damaged::Unreadable("snapshot"))?
            .unwrap_or_default();
        if !snapshot.is_empty() && message::check_snapshot(&snapshot).is_err() {
            return Err(Damaged::Unreadable("snapshot"));
        }
        let base = snapshot.get_metadata().index;
        let mut log = Vec::new();
        let mut last = (base, snapshot.get_metadata().term);
        for (Index(index), bytes) in entries {
            if index <= base {
                continue; // compacted: kept on disk for slow followers of the former life only
            }
            let entry = Entry::decode(bytes).map_err(|_| Damaged::Broken(index))?;
            let follows = entry.index == index && index == last.0 + 1 && entry.term >= last.1;
            if !follows || message::check_entry(&entry).is_err() {
                return Err(Damaged::Broken(index));
            }
            last = (entry.index, entry.term);
            log.push(entry);
        }
        let mut hard_state = hard_state
            .map(HardState::decode)
            .transpose()
            .map_err(|_| Damaged::Unreadable("hard state"))?
            .unwrap_or_default();
        if hard_state.term < last.1 || hard_state.commit > last.0 {
            return Err(Damaged::Unreadable("hard state"));
        }
        hard_state.commit = hard_state.commit.max(base);
        Ok(Self { snapshot, entries: log, hard_state })
    }

    /// Was nothing ever stored here?
    pub fn is_blank(&self) -> bool {
        self.snapshot.is_empty() && self.entries.is_empty() && self.hard_state == HardState::default()
    }

    /// The state machine's bytes in the snapshot, and the index they stand for; none when blank.
    pub fn state(&self) -> Option<(Index, &[u8])> {
        (!self.snapshot.is_empty()).then(|| (Index(self.snapshot.get_metadata().index), self.snapshot.get_data()))
    }

    /// The newest term that this member knew.
    pub fn term(&self) -> Term {
        Term(self.hard_state.term)
    }

    /// The newest entry held, committed or not.
    pub fn last(&self) -> Index {
        Index(self.entries.last().map_or(self.snapshot.get_metadata().index, |entry| entry.index))
    }

    /// The snapshot as the bytes to store: how a founder or a joiner writes its first state.
    pub fn snapshot_bytes(&self) -> Vec<u8> {
        self.snapshot.encode_to_vec()
    }

    /// The hard state as the bytes to store.
    pub fn hard_state_bytes(&self) -> Vec<u8> {
        self.hard_state.encode_to_vec()
    }
}
