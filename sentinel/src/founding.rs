//! How a cluster begins, and why it cannot begin twice.
//!
//! The danger: a founder whose directory was emptied starts again beside others that still have their logs. If it believed that
//! nothing exists yet it would vote under its old Raft id as if it had never voted (one term could get two leaders), or found a second
//! cluster with another emptied one. So a blank sentinel does nothing in Raft until it knows which of two things it is:
//!
//! - **A founder.** Each directory draws a sentinel id when it is first used. A [`Record`] names one sentinel id for every configured
//!   address. A sentinel *pledges* a record, on its disk, when it has heard all founders and none is a member of anything; it *founds*
//!   the record when it has heard that all of them pledge the same one. It is then a member and never pledges again.
//! - **A new member.** As soon as any peer is a member, the only ways in are the seat that the founded record keeps for exactly this
//!   sentinel id (its directory never voted: an emptied one has another id), or joining under a Raft id that nobody ever had.
//!
//! # Why no second cluster while one founder keeps its directory
//! Founding record S needs the pledge of every address. Let a founder F keep its directory since record R was founded anywhere. If F has
//! founded R it never pledges S. If F has only pledged R it may still pledge S, but only after hearing *all* founders and no member, so
//! whoever founded R is no longer there: it lost its directory, and its log with it. R's members need a majority to have done anything; had a
//! majority founded R, all but those who lost their directory would still be members, and F would have heard one of them.
//! So S can be founded only when nobody holds a log of R any more. The price: a cluster is founded only once all its founders have met.
//!
//! ```text
//! Wait ──all heard, all blank──> Pledge(record) ──all pledged it──> Found(record)
//!   └──────────a member heard──────> Found(its record, if it has our seat) or Join(its cluster)
//! ```
//! Pure: the shell asks the peers and does what [`decide`] says, again and again, until it is Found or Join.

use quorate_consensus::{RaftId, Recovered};
use quorate_registry as registry;
use quorate_registry::{Member, Registry};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::Contact;

/// One founder: an address and the directory behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seat {
    /// Its gRPC port, as host:port.
    pub address: String,
    /// Its RESP port, as host:port.
    pub resp: String,
    /// The directory's id.
    pub sentinel_id: String,
}

/// Who founds a cluster. Ordered: a later round, then any fixed order, so that all come to pledge the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Record {
    /// Grows when a founder was replaced before the founding.
    pub round: u64,
    /// In the order of their addresses; a founder's Raft id is its place, from 1.
    pub seats: Vec<Seat>,
}

/// What a peer said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It belongs to nothing yet.
    Blank {
        /// Its address and directory.
        seat: Seat,
        /// What it has pledged.
        pledge: Option<Record>,
    },
    /// It is a member.
    Member {
        /// Of this cluster.
        cluster_id: String,
        /// What was founded, when it is a founder.
        founded: Option<Record>,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask again.
    Wait,
    /// Put this pledge on the disk, then ask again.
    Pledge(Record),
    /// Become a member with the founding state of this record.
    Found(Record),
    /// Ask this cluster's leader to be let in.
    Join {
        /// The cluster.
        cluster_id: String,
    },
    /// The peers belong to different clusters: an operator's mistake that nothing here can mend.
    Divided,
}

/// Decides from what all peers answered *after* the present pledge was on the disk. `others` has one answer for each other configured
/// address, `None` where there was none.
pub fn decide(me: &Seat, pledge: Option<&Record>, others: &[Option<Heard>]) -> Decision {
    let members: Vec<(&String, &Option<Record>)> = others
        .iter()
        .flatten()
        .filter_map(|heard| match heard {
            Heard::Member { cluster_id, founded } => Some((cluster_id, founded)),
            Heard::Blank { .. } => None,
        })
        .collect();
    if let Some((first, _)) = members.first() {
        if members.iter().any(|(cluster, _)| cluster != first) {
            return Decision::Divided;
        }
        let ours = members
            .iter()
            .filter_map(|(_, founded)| founded.as_ref())
            .find(|record| record.raft_id_of(&me.sentinel_id).is_some());
        return match ours {
            Some(record) => Decision::Found(record.clone()),
            None => Decision::Join { cluster_id: (*first).clone() },
        };
    }
    let blank: Option<Vec<(&Seat, Option<&Record>)>> = others
        .iter()
        .map(|heard| match heard {
            Some(Heard::Blank { seat, pledge }) => Some((seat, pledge.as_ref())),
            _ => None,
        })
        .collect();
    match blank {
        Some(blank) => among_blank(me, pledge, &blank),
        None => Decision::Wait,
    }
}

/// Everybody was heard and nobody is a member.
fn among_blank(me: &Seat, pledge: Option<&Record>, others: &[(&Seat, Option<&Record>)]) -> Decision {
    let mut seats: Vec<Seat> = others.iter().map(|(seat, _)| (*seat).clone()).collect();
    seats.push(me.clone());
    seats.sort();
    if seats.windows(2).any(|pair| pair[0].address == pair[1].address) {
        return Decision::Wait; // one process answers under two addresses
    }
    let pledges = others.iter().filter_map(|(_, pledge)| *pledge).chain(pledge);
    let highest = pledges.max();
    let target = match highest {
        Some(record) if record.seats == seats => record.clone(),
        Some(record) => Record { round: record.round + 1, seats },
        None => Record { round: 1, seats },
    };
    if pledge != Some(&target) {
        return Decision::Pledge(target);
    }
    let all = others.iter().all(|(_, pledge)| *pledge == Some(&target));
    if all { Decision::Found(target) } else { Decision::Wait }
}

impl Record {
    /// The cluster's name: 40 hexadecimal digits of a digest of its founders.
    pub fn cluster_id(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.round.to_be_bytes());
        for seat in &self.seats {
            digest.update(format!("{} {}\n", seat.address, seat.sentinel_id));
        }
        digest.finalize().iter().take(20).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The founder's Raft id.
    pub fn raft_id_of(&self, sentinel_id: &str) -> Option<RaftId> {
        let place = self.seats.iter().position(|seat| seat.sentinel_id == sentinel_id)?;
        Some(RaftId(place as u64 + 1))
    }

    /// Every founder's number and address.
    pub fn contacts(&self) -> Vec<Contact> {
        let contact = |(seat, raft_id): (&Seat, u64)| Contact { raft_id, address: seat.address.clone() };
        self.seats.iter().zip(1..).map(contact).collect()
    }

    /// Could this have been written by a sentinel? It comes from a peer.
    pub fn is_sound(&self) -> bool {
        let sorted = self.seats.windows(2).all(|pair| pair[0].address < pair[1].address);
        let named = self
            .seats
            .iter()
            .all(|seat| seat.resp.parse::<registry::NodeKey>().is_ok() && seat.sentinel_id.len() == 40);
        sorted && named && (1..=registry::model::MAX_SENTINELS).contains(&self.seats.len()) && self.round < 1 << 32
    }

    /// The state that all founders begin with, the same bytes at each.
    pub fn state(&self) -> Recovered {
        let voters: Vec<RaftId> = (1..=self.seats.len() as u64).map(RaftId).collect();
        let mut registry = Registry { highest_raft_id: self.seats.len() as u64, ..Default::default() };
        for (seat, id) in self.seats.iter().zip(1..) {
            let raft_id = registry::RaftId(id);
            let member = Member {
                raft_id,
                sentinel_id: seat.sentinel_id.clone(),
                address: seat.address.clone(),
                resp: seat.resp.parse().expect("a sound record names RESP ports as host:port"),
            };
            registry.sentinels.insert(raft_id, member);
        }
        Recovered::founding(&voters, registry.snapshot())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn seat(n: u64, id: u64) -> Seat {
        Seat { address: format!("h:{}", n + 1), resp: format!("h:{}", n + 100), sentinel_id: format!("{id:040}") }
    }

    fn blank(n: u64, id: u64, pledge: Option<&Record>) -> Option<Heard> {
        Some(Heard::Blank { seat: seat(n, id), pledge: pledge.cloned() })
    }

    fn record(round: u64, ids: [u64; 3]) -> Record {
        Record { round, seats: (0..).zip(ids).map(|(n, id)| seat(n, id)).collect() }
    }

    fn member(record: &Record) -> Option<Heard> {
        Some(Heard::Member { cluster_id: record.cluster_id(), founded: Some(record.clone()) })
    }

    #[test]
    fn founders_meet_pledge_and_found() {
        let (me, first) = (seat(0, 10), record(1, [10, 11, 12]));
        assert_eq!(decide(&me, None, &[blank(1, 11, None), None]), Decision::Wait);
        assert_eq!(decide(&me, None, &[blank(1, 11, None), blank(2, 12, None)]), Decision::Pledge(first.clone()));
        let half = [blank(1, 11, Some(&first)), blank(2, 12, None)];
        assert_eq!(decide(&me, Some(&first), &half), Decision::Wait);
        let all = [blank(1, 11, Some(&first)), blank(2, 12, Some(&first))];
        assert_eq!(decide(&me, Some(&first), &all), Decision::Found(first));
        assert_eq!(decide(&me, None, &[]), Decision::Pledge(Record { round: 1, seats: vec![me.clone()] }));
    }

    #[test]
    fn a_member_is_believed_before_any_pledge() {
        let founded = record(1, [10, 11, 12]);
        // The directory that was there at the founding takes its seat, though it had not heard of the end of it.
        let decision = decide(&seat(0, 10), Some(&record(2, [10, 11, 77])), &[member(&founded), None]);
        assert_eq!(decision, Decision::Found(founded.clone()));
        // An emptied one is a stranger at the same address.
        let decision = decide(&seat(0, 99), None, &[blank(1, 11, None), member(&founded)]);
        assert_eq!(decision, Decision::Join { cluster_id: founded.cluster_id() });
        let other = record(1, [1, 2, 3]);
        assert_eq!(decide(&seat(0, 99), None, &[member(&other), member(&founded)]), Decision::Divided);
    }

    #[test]
    fn a_founder_replaced_before_the_founding_raises_the_round() {
        let (old, new) = (record(1, [10, 11, 12]), record(2, [10, 11, 13]));
        let heard = [blank(1, 11, Some(&old)), blank(2, 13, None)];
        assert_eq!(decide(&seat(0, 10), Some(&old), &heard), Decision::Pledge(new));
    }

    #[test]
    fn a_cluster_id_names_directories_and_not_only_addresses() {
        assert_ne!(record(1, [10, 11, 12]).cluster_id(), record(1, [10, 11, 13]).cluster_id());
        assert_eq!(record(1, [10, 11, 12]).cluster_id().len(), 40);
        assert!(record(1, [10, 11, 12]).is_sound());
        assert!(!Record { round: 1, seats: vec![seat(1, 1), seat(0, 2)] }.is_sound());
    }

    /// One founder of the random walk below: a directory, with a log once it has founded.
    #[derive(Clone)]
    struct Founder {
        seat: Seat,
        pledge: Option<Record>,
        founded: Option<Record>,
        answers: Vec<Option<Heard>>,
    }

    /// Random orders of asking, restarting and emptying; answers are as stale as the order makes them.
    #[test]
    fn no_second_cluster_while_a_founder_of_the_first_keeps_its_log() {
        for seed in 0..3000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut ids = 100;
            let mut founders: Vec<Founder> = (0..3).map(|n| new_founder(n, n)).collect();
            let mut was_able: BTreeMap<String, bool> = BTreeMap::new();
            for _ in 0..150 {
                step(&mut founders, &mut rng, &mut ids);
                for (cluster, members) in alive(&founders) {
                    let able = was_able.entry(cluster.clone()).or_default();
                    *able |= members >= 2;
                    let others = alive(&founders).into_iter().filter(|(other, _)| *other != cluster);
                    for (other, members) in others {
                        // A single one may be left with a record that never did anything, or whose others were all
                        // emptied: the rest refuses it. But two that can elect a leader, beside one that remembers,
                        // would be a second cluster.
                        assert!(!(*able && members >= 2), "seed {seed}: {other} beside {cluster}");
                    }
                }
            }
        }
    }

    fn alive(founders: &[Founder]) -> BTreeMap<String, usize> {
        let mut alive = BTreeMap::new();
        for record in founders.iter().filter_map(|founder| founder.founded.as_ref()) {
            *alive.entry(record.cluster_id()).or_default() += 1;
        }
        alive
    }

    fn new_founder(n: u64, id: u64) -> Founder {
        Founder { seat: seat(n, id), pledge: None, founded: None, answers: vec![None, None] }
    }

    /// Something happens to somebody: emptied, restarted, an answer arrives, or it acts on the answers that it has.
    fn step(founders: &mut [Founder], rng: &mut fastrand::Rng, ids: &mut u64) {
        let n = rng.usize(..3);
        match rng.u32(..14) {
            0 if rng.bool() => {
                *ids += 1;
                founders[n] = new_founder(n as u64, *ids);
            }
            1 => founders[n].answers = vec![None, None],
            2..9 => {
                let place = rng.usize(..2);
                let other = &founders[(n + 1 + place) % 3];
                founders[n].answers[place] = match &other.founded {
                    Some(record) => member(record),
                    None => Some(Heard::Blank { seat: other.seat.clone(), pledge: other.pledge.clone() }),
                };
            }
            _ => act(&mut founders[n]),
        }
    }

    fn act(founder: &mut Founder) {
        if founder.founded.is_some() {
            return;
        }
        match decide(&founder.seat, founder.pledge.as_ref(), &founder.answers) {
            Decision::Pledge(record) => {
                founder.pledge = Some(record);
                founder.answers = vec![None, None];
            }
            Decision::Found(record) => founder.founded = Some(record),
            _ => {}
        }
    }
}
