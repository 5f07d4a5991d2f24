//! Who belongs to the group, and what it promises, as an operator changes both while things are broken.
//!
//! What is asked of broken sentinels may be refused, get lost, or be carried out much later. So nobody remembers what was asked:
//! [`Cluster::reassemble`] looks at what is, and asks for what should be.

use std::net::SocketAddr;

use quorate_cli::Outcome;
use quorate_cli::control::{Again, Client, Control};
use quorate_cli::local::{Durability, Kind};
use quorate_rpc::v1;
use tonic::Status;

use crate::cluster::Cluster;
use crate::system::{GROUP, SENTINEL_PORT, SIDE, System};

/// What a write needs when nobody changed that: a majority of the five nodes.
const COPIES: u32 = 3;

/// The last line of a sentinel that heard that it was removed.
const REMOVED: &str = "this sentinel was removed from the cluster";

impl Cluster {
    /// Asks one sentinel after another. Everything that is asked here may be asked twice.
    fn ask<T>(&self, call: impl AsyncFnMut(Client) -> Result<T, Status>) -> Result<T, String> {
        let addresses = self.sentinels().iter().map(|at| format!("{}:{}", at.ip(), SENTINEL_PORT + SIDE)).collect();
        match quorate_cli::block_on(Control::of(addresses).call(Again::Yes, call)) {
            Ok(answer) => Ok(answer),
            Err(
                Outcome::Failed(why) | Outcome::Unreachable(why) | Outcome::Usage(why) | Outcome::Unauthorized(why),
            ) => Err(why),
            Err(Outcome::Done | Outcome::Unwell) => unreachable!("a failed call carries its reason"),
        }
    }

    fn group(&self) -> Result<v1::Group, String> {
        let request = v1::GetGroupRequest { group: GROUP.into() };
        self.ask(async |mut client| Ok(client.get_group(request.clone()).await?.into_inner()))
    }

    fn known_sentinels(&self) -> Result<Vec<v1::SentinelInfo>, String> {
        let request = v1::ListSentinelsRequest {};
        self.ask(async |mut client| Ok(client.list_sentinels(request).await?.into_inner().sentinels))
    }

    fn node_name(&mut self, index: usize) -> String {
        self.member(index).child.address().to_string()
    }

    /// A node is to leave the group.
    pub fn remove_node(&mut self, index: usize) -> Result<(), String> {
        let request = v1::NodeRequest { group: GROUP.into(), node: self.node_name(index) };
        self.ask(async |mut client| Ok(client.remove_node(request.clone()).await?.into_inner())).map(drop)
    }

    /// A sentinel is to leave for good.
    pub fn remove_sentinel(&mut self, index: usize) -> Result<(), String> {
        let address = SocketAddr::new(self.member(index).child.address().ip(), SENTINEL_PORT + SIDE).to_string();
        let known = self.known_sentinels()?;
        let found = known.into_iter().find(|sentinel| sentinel.api_address == address);
        let request = v1::RemoveSentinelRequest { id: found.ok_or_else(|| format!("nobody knows {address}"))?.id };
        self.ask(async |mut client| Ok(client.remove_sentinel(request.clone()).await?.into_inner())).map(drop)
    }

    /// So many nodes are to hold a write before it is acknowledged.
    pub fn set_copies(&mut self, copies: u32) -> Result<(), String> {
        self.set(self.wanted, copies)
    }

    /// What the group is to promise from now on. [`Cluster::reassemble`] asks again if this is refused.
    pub fn promise(&mut self, durability: Durability) -> Result<(), String> {
        self.wanted = durability;
        self.set(durability, COPIES)
    }

    fn set(&mut self, durability: Durability, copies: u32) -> Result<(), String> {
        let settings = [("durability", durability.as_str().to_owned()), ("copies", copies.to_string())];
        let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = v1::SetGroupRequest { group: GROUP.into(), settings };
        self.ask(async |mut client| Ok(client.set_group(request.clone()).await?.into_inner())).map(drop)
    }

    /// Has the group what it should have: every node with its vote, every sentinel, the promise that was asked for at the start? Asks for what
    /// is missing, which then takes a moment.
    pub fn reassemble(&mut self) -> Result<(), String> {
        if self.system == System::Redis {
            return Ok(());
        }
        self.seat_sentinels()?;
        let group = self.group()?;
        for index in self.of_kind(Kind::Node) {
            let node = self.node_name(index);
            let known = group.nodes.iter().find(|known| known.name == node);
            if known.is_none() {
                let request = v1::NodeRequest { group: GROUP.into(), node: node.clone() };
                self.ask(async |mut client| Ok(client.add_node(request.clone()).await?.into_inner()))?;
            }
            if known.is_none_or(|known| known.leaving || !known.voter) {
                return Err(format!("{node} has no vote yet"));
            }
        }
        let voting = group.voting.clone().unwrap_or_default();
        let copies = if self.wanted == Durability::Quorum { COPIES } else { 1 };
        if (voting.wanted.as_str(), voting.copies) != (self.wanted.as_str(), copies) {
            self.promise(self.wanted)?;
        }
        self.covers(&group)
    }

    /// Is what was asked for in force, so that whatever is acknowledged from now on is covered by it?
    fn covers(&self, group: &v1::Group) -> Result<(), String> {
        let voting = group.voting.clone().unwrap_or_default();
        match voting.settled && group.durability == self.wanted.as_str() && voting.wanted == group.durability {
            true => Ok(()),
            false => Err(format!("durability {} is in force, and {voting:?}", group.durability)),
        }
    }

    /// Looks once.
    pub fn is_in_force(&self) -> bool {
        self.group().is_ok_and(|group| self.covers(&group).is_ok())
    }

    /// A sentinel that was removed comes again as a new one, with an empty disk.
    fn seat_sentinels(&mut self) -> Result<(), String> {
        for index in self.of_kind(Kind::Sentinel) {
            let member = self.member(index);
            let log = std::fs::read_to_string(&member.child.log).unwrap_or_default();
            if !member.child.is_running() && is_removed(&log) {
                member.disk.clear().map_err(|error| format!("cannot clear a disk: {error}"))?;
                self.boot(index).map_err(|error| error.to_string())?;
            }
        }
        let known = self.known_sentinels()?;
        let seated = known.iter().filter(|sentinel| sentinel.alive).count();
        let all = self.of_kind(Kind::Sentinel).len();
        if (seated, known.len()) == (all, all) {
            Ok(())
        } else {
            Err(format!("{seated} of {all} sentinels are members"))
        }
    }
}

/// Does a sentinel's log end with its removal?
pub fn is_removed(log: &str) -> bool {
    log.lines().next_back().is_some_and(|line| line.contains(REMOVED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_that_was_removed_says_so_last() {
        let line = format!("quorate: {REMOVED}; to let it join again as a new one, empty its directory\n");
        assert!(is_removed(&line));
        assert!(!is_removed(&format!("{line}INFO sentinel starts\n")));
        assert!(!is_removed(""));
    }
}
