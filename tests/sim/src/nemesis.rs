//! Breaks things, from the plan's list, and mends each after a while.
//!
//! What no protocol survives it leaves alone: two nodes that lose their data before the group was at rest between, and a power loss of nodes that
//! acknowledge what they have only received.

use quorate_registry::steering::Manner;
use quorate_registry::{Ack, Durability};

use crate::net::{FAIR, Host, Weather};
use crate::plan::{Mishap, Plan};
use crate::queue::{Event, Restore};
use crate::world::World;

/// See the module.
pub struct Nemesis {
    rng: fastrand::Rng,
    mishaps: Vec<Mishap>,
    pace_us: u64,
    /// It acts no more.
    is_over: bool,
    /// A node lost its data since the group was last at rest.
    amnesia: bool,
    /// How often it acted.
    pub acts: u64,
}

impl Nemesis {
    /// With the plan's list.
    pub fn new(plan: &Plan, rng: fastrand::Rng) -> Nemesis {
        let (mishaps, pace_us) = (plan.mishaps.clone(), plan.pace_us);
        Nemesis { rng, mishaps, pace_us, is_over: true, amnesia: false, acts: 0 }
    }
}

impl World {
    /// The bad time begins.
    pub(crate) fn chaos_begins(&mut self) {
        self.nemesis.is_over = false;
        self.next_mishap();
    }

    fn next_mishap(&mut self) {
        let wait = self.nemesis.rng.u64(..self.nemesis.pace_us);
        let at = self.queue.now().plus_us(wait);
        self.queue.push(at, Event::Nemesis);
    }

    /// The bad time is over: everything comes back.
    pub(crate) fn chaos_ends(&mut self) {
        self.nemesis.is_over = true;
        self.net.heal(&mut self.queue);
        self.net.weather = FAIR;
        for node in &mut self.nodes {
            (node.stop_chance, node.sync_us) = (0, (300, 3000));
            (node.storage.is_full, node.storage.crash_after) = (false, None);
        }
        for host in self.net.hosts().collect::<Vec<_>>() {
            self.start(host);
        }
    }

    /// The group is at rest: a node that lost its data has it again.
    pub(crate) fn at_rest(&mut self) {
        self.nemesis.amnesia = false;
    }

    pub(crate) fn mishap(&mut self) {
        if self.nemesis.is_over {
            return;
        }
        self.next_mishap();
        if self.nemesis.amnesia && self.unrest().is_none() {
            self.at_rest();
        }
        self.nemesis.acts += 1;
        let mishap = self.nemesis.mishaps[self.nemesis.rng.usize(..self.nemesis.mishaps.len())];
        let now = self.queue.now();
        self.trace.line(now, || format!("nemesis: {mishap:?}"));
        let node = self.some_node();
        match mishap {
            Mishap::KillNode => self.kill_node(node),
            Mishap::KillAtDisk => {
                if self.may_lose_process() {
                    self.nodes[node].storage.crash_after = Some(self.nemesis.rng.u32(..40));
                }
            }
            Mishap::PowerNode => {
                if self.may_lose_power() {
                    self.power(node);
                }
            }
            Mishap::PowerAll => {
                if self.plan.durability == Durability::Async || self.plan.ack == Ack::Fsync {
                    (0..self.nodes.len()).for_each(|node| self.power(node));
                }
            }
            Mishap::WipeNode => self.wipe(node),
            Mishap::StopNode => {
                let until = self.queue.now().plus_us(self.nemesis.rng.u64(10_000..3_000_000));
                self.nodes[node].stopped_until = Some(until);
            }
            Mishap::StopTurns => {
                self.nodes[node].stop_chance = self.nemesis.rng.u32(1..20);
                self.later(Restore::Disk(node));
            }
            Mishap::KillSentinel => {
                let at = self.some_sentinel();
                self.sentinels[at].die(&mut crate::node::Around { queue: &mut self.queue, net: &mut self.net }, false);
                self.later(Restore::Start(Host::Sentinel(at)));
            }
            Mishap::StopSentinel => {
                let (at, micros) = (self.some_sentinel(), self.nemesis.rng.u64(10_000..3_000_000));
                self.sentinels[at].stopped_until = Some(self.queue.now().plus_us(micros));
            }
            Mishap::Isolate | Mishap::Halves | Mishap::OneWay | Mishap::Bridge | Mishap::Aside => self.cut(mishap),
            Mishap::BreakStreams => {
                for _ in 0..self.nemesis.rng.u8(1..6) {
                    let hosts: Vec<Host> = self.net.hosts().collect();
                    let host = hosts[self.nemesis.rng.usize(..hosts.len())];
                    self.net.break_one(&mut self.queue, host);
                }
            }
            Mishap::Weather => {
                let rng = &mut self.nemesis.rng;
                let (delay, jitter) = (rng.u64(100..20_000), rng.u64(100..100_000));
                self.net.weather = Weather { delay, jitter, loss: rng.u32(..200), double: rng.u32(..200) };
                self.later(Restore::Weather);
            }
            Mishap::SlowDisk => {
                self.nodes[node].sync_us = (10_000, self.nemesis.rng.u64(20_000..1_500_000));
                self.later(Restore::Disk(node));
            }
            Mishap::FullDisk => {
                self.nodes[node].storage.is_full = true;
                self.later(Restore::Disk(node));
            }
            Mishap::Handover => self.ask_failover(Manner::Handover),
            Mishap::Force => self.ask_failover(Manner::Force),
        }
    }

    /// The master more often than chance would have it: that is where it hurts.
    fn some_node(&mut self) -> usize {
        let master = self.sentinels.iter().find_map(|sentinel| sentinel.master());
        match master {
            Some(master) if self.nemesis.rng.bool() => master,
            _ => self.nemesis.rng.usize(..self.nodes.len()),
        }
    }

    /// The leader more often than chance would have it.
    fn some_sentinel(&mut self) -> usize {
        let leader = self.sentinels.iter().position(|sentinel| sentinel.leads());
        match leader {
            Some(leader) if self.nemesis.rng.bool() => leader,
            _ => self.nemesis.rng.usize(..self.sentinels.len()),
        }
    }

    fn later(&mut self, restore: Restore) {
        let wait = match self.nemesis.rng.u8(..3) {
            0 => self.nemesis.rng.u64(1000..100_000),
            1 => self.nemesis.rng.u64(100_000..1_000_000),
            _ => self.nemesis.rng.u64(1_000_000..4_000_000),
        };
        self.queue.push(self.queue.now().plus_us(wait), Event::Restore(restore));
    }

    /// A process has ended by itself: whoever supervises it starts it again.
    pub(crate) fn start_again(&mut self, host: Host) {
        self.later(Restore::Start(host));
    }

    fn may_lose_process(&mut self) -> bool {
        if !self.plan.kill_is_amnesia() {
            return true;
        }
        !std::mem::replace(&mut self.nemesis.amnesia, true)
    }

    /// In `quorum` one by one only, unless acknowledgements mean that the disk has it; in `async` nothing was promised.
    fn may_lose_power(&mut self) -> bool {
        if self.plan.durability == Durability::Async || self.plan.ack == Ack::Fsync {
            return true;
        }
        // A node that acknowledged what it had only received may have lost it: as one that lost its data.
        !std::mem::replace(&mut self.nemesis.amnesia, true)
    }

    fn kill_node(&mut self, node: usize) {
        if self.nodes[node].is_up() && self.may_lose_process() {
            self.nodes[node].die(&mut crate::node::Around { queue: &mut self.queue, net: &mut self.net }, false);
            self.later(Restore::Start(Host::Node(node)));
        }
    }

    fn power(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            self.nodes[node].die(&mut crate::node::Around { queue: &mut self.queue, net: &mut self.net }, true);
            self.later(Restore::Start(Host::Node(node)));
        }
    }

    fn wipe(&mut self, node: usize) {
        if self.nodes[node].is_up() && !std::mem::replace(&mut self.nemesis.amnesia, true) {
            self.nodes[node].die(&mut crate::node::Around { queue: &mut self.queue, net: &mut self.net }, false);
            self.nodes[node].wipe();
            self.later(Restore::Start(Host::Node(node)));
        }
    }

    fn cut(&mut self, mishap: Mishap) {
        let hosts: Vec<Host> = self.net.hosts().collect();
        let rng = &mut self.nemesis.rng;
        let one = hosts[rng.usize(..hosts.len())];
        let other = hosts[rng.usize(..hosts.len())];
        let sides: Vec<bool> = hosts.iter().map(|_| rng.bool()).collect();
        let side = |host: Host| sides[hosts.iter().position(|at| *at == host).expect("every host has a side")];
        let aside_from_sentinels = rng.bool();
        let node = Host::Node(self.some_node());
        let is_cut = |from: Host, to: Host| match mishap {
            Mishap::Isolate => from == node || to == node,
            Mishap::OneWay => (from, to) == (one, other),
            Mishap::Bridge => side(from) != side(to) && from != one && to != one,
            Mishap::Aside => {
                let far = |host| match host {
                    Host::Sentinel(_) => aside_from_sentinels,
                    Host::Node(_) => !aside_from_sentinels,
                    Host::Client(_) => false,
                };
                (from == node && far(to)) || (to == node && far(from))
            }
            _ => side(from) != side(to),
        };
        let paths: Vec<(Host, Host)> = hosts
            .iter()
            .flat_map(|from| hosts.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from != to && is_cut(*from, *to))
            .collect();
        for (from, to) in &paths {
            self.net.set_cut(&mut self.queue, *from, *to, true);
        }
        self.later(Restore::Paths(paths));
    }

    /// Something comes back.
    pub(crate) fn restore(&mut self, restore: Restore) {
        let now = self.queue.now();
        self.trace.line(now, || match &restore {
            Restore::Paths(paths) => format!("restored: {} paths", paths.len()),
            other => format!("restored: {other:?}"),
        });
        match restore {
            Restore::Start(host) => self.start(host),
            Restore::Paths(paths) => {
                for (from, to) in paths {
                    self.net.set_cut(&mut self.queue, from, to, false);
                }
            }
            Restore::Weather => self.net.weather = FAIR,
            Restore::Disk(node) => {
                let node = &mut self.nodes[node];
                (node.sync_us, node.storage.is_full, node.stop_chance) = ((300, 3000), false, 0);
            }
        }
    }
}
