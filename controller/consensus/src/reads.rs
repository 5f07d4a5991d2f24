//! Reads on their way to a confirmation by the quorum.
//!
//! ```text
//! waiting ──round started──> asked ──confirmed at index i──> behind i ──i applied──> answered
//!    └───────────────timeout──────┴──> TimedOut
//! ```
//! All reads that wait when a batch is formed share one round, named (member, boot, sequence). Names must differ between
//! members (the leader merges equal ones) and between lives (an answer meant for a former life would let a new read see the past).
//! `raft` drops a round in silence when there is no leader, when the leader has committed nothing in its term, or when a message is
//! lost: an unanswered round is asked again on each tick under the same name, which is safe because whatever answers it was
//! confirmed after the reads began.

use std::collections::BTreeMap;

use crate::faults::{Fault, is_armed};
use crate::{Refused, Ticket};

/// Rounds under way at most; reads beyond wait for the next.
const MAX_ROUNDS: usize = 8;

pub(crate) struct Reads {
    id: u64,
    boot: u64,
    timeout: u64,
    limit: usize,
    now: u64,
    seq: u64,
    waiting: Vec<Read>,
    asked: BTreeMap<u64, Round>,
    /// Confirmed, by the index that must be applied first.
    behind: BTreeMap<u64, Vec<Ticket>>,
}

struct Read {
    ticket: Ticket,
    /// The tick by which it must be answered.
    deadline: u64,
}

struct Round {
    reads: Vec<Read>,
    asked_at: u64,
}

impl Reads {
    pub(crate) fn new(id: u64, boot: u64, timeout: u64, limit: usize) -> Self {
        Self {
            id,
            boot,
            timeout,
            limit,
            now: 0,
            seq: 0,
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            behind: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, ticket: Ticket) -> Result<(), Refused> {
        let under_way = self.waiting.len() + self.asked.values().map(|round| round.reads.len()).sum::<usize>();
        if under_way >= self.limit {
            return Err(Refused::Busy("too many reads wait for a quorum"));
        }
        if is_armed(Fault::I14Memory) {
            self.behind.entry(0).or_default().push(ticket);
            return Ok(());
        }
        self.waiting.push(Read { ticket, deadline: self.now + self.timeout });
        Ok(())
    }

    /// A tick: refuses what waited too long, and names the rounds to ask again.
    pub(crate) fn tick(&mut self, failed: &mut Vec<(Ticket, Refused)>) -> Vec<Vec<u8>> {
        self.now += 1;
        let now = self.now;
        let mut expire = |reads: &mut Vec<Read>| {
            reads.retain(|read| {
                let late = read.deadline <= now;
                if late {
                    failed.push((read.ticket, Refused::TimedOut));
                }
                !late
            });
        };
        expire(&mut self.waiting);
        for round in self.asked.values_mut() {
            expire(&mut round.reads);
        }
        self.asked.retain(|_, round| !round.reads.is_empty());
        let again = self.asked.iter().filter(|(_, round)| round.asked_at < now);
        again.map(|(seq, _)| self.name(*seq)).collect()
    }

    /// Starts a round for all that wait, if there is room for one.
    pub(crate) fn start_round(&mut self) -> Option<Vec<u8>> {
        if self.waiting.is_empty() || self.asked.len() >= MAX_ROUNDS {
            return None;
        }
        self.seq += 1;
        let round = Round { reads: std::mem::take(&mut self.waiting), asked_at: self.now };
        self.asked.insert(self.seq, round);
        Some(self.name(self.seq))
    }

    /// A quorum confirmed the round: its reads wait for the index.
    pub(crate) fn confirmed(&mut self, name: &[u8], index: u64) {
        let Some(round) = self.seq_of(name).and_then(|seq| self.asked.remove(&seq)) else {
            return; // a second answer, or one for a former life
        };
        self.behind.entry(index).or_default().extend(round.reads.iter().map(|read| read.ticket));
    }

    /// The reads that may be answered now that everything up to `applied` was handed out.
    pub(crate) fn released(&mut self, applied: u64) -> Vec<Ticket> {
        let later = self.behind.split_off(&(applied + 1));
        std::mem::replace(&mut self.behind, later).into_values().flatten().collect()
    }

    fn name(&self, seq: u64) -> Vec<u8> {
        [self.id, self.boot, seq].iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn seq_of(&self, name: &[u8]) -> Option<u64> {
        let (owner, seq) = name.split_last_chunk::<8>()?;
        let ours = owner == &self.name(0)[..16];
        ours.then(|| u64::from_be_bytes(*seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_released_behind_its_index_only() {
        let mut reads = Reads::new(1, 7, 5, 10);
        reads.add(Ticket(1)).unwrap();
        let name = reads.start_round().unwrap();
        reads.confirmed(&name, 10);
        assert_eq!(reads.released(9), []);
        assert_eq!(reads.released(10), [Ticket(1)]);
        reads.confirmed(&name, 10);
        assert_eq!(reads.released(10), []);
    }

    #[test]
    fn an_answer_meant_for_a_former_life_confirms_nothing() {
        let mut reads = Reads::new(1, 7, 5, 10);
        reads.add(Ticket(1)).unwrap();
        let mut old = Reads::new(1, 6, 5, 10);
        old.add(Ticket(9)).unwrap();
        reads.start_round().unwrap();
        reads.confirmed(&old.start_round().unwrap(), 1);
        assert_eq!(reads.released(100), []);
    }

    #[test]
    fn unanswered_rounds_are_asked_again_and_then_refused() {
        let mut reads = Reads::new(1, 7, 3, 1);
        reads.add(Ticket(1)).unwrap();
        assert_eq!(reads.add(Ticket(2)), Err(Refused::Busy("too many reads wait for a quorum")));
        let name = reads.start_round().unwrap();
        let mut failed = Vec::new();
        assert_eq!(reads.tick(&mut failed), std::slice::from_ref(&name));
        assert_eq!(reads.tick(&mut failed), [name]);
        assert!(reads.tick(&mut failed).is_empty());
        assert_eq!(failed, [(Ticket(1), Refused::TimedOut)]);
    }
}
