//! Breaks things, from the plan's list, and mends each after a while.
//!
//! What no protocol survives it leaves alone: two nodes that lose their data before the group was at rest between, and a power loss of nodes that
//! acknowledge what they have only received. A group in `async` it does not spare: what was acknowledged before is then promised no more.

use quorate_registry::steering::Manner;
use quorate_registry::{Ack, Durability, Epoch};

use crate::net::{FAIR, Host, Weather};
use crate::node::{Around, place};
use crate::plan::{Mishap, Plan};
use crate::queue::{Event, Restore};
use crate::sentinel::group_name;
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
        self.paths_changed();
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
                if self.power_costs_nothing() {
                    (0..self.nodes.len()).for_each(|node| self.power(node));
                }
            }
            Mishap::WipeNode => self.wipe(node),
            Mishap::KillChosen => {} // once somebody is chosen
            Mishap::StopNode => {
                let until = self.queue.now().plus_us(self.nemesis.rng.u64(10_000..3_000_000));
                self.nodes[node].stopped_until = Some(until);
            }
            Mishap::StopTurns => {
                self.nodes[node].stop_chance = self.nemesis.rng.u32(1..20);
                self.later(Restore::Disk(node));
            }
            Mishap::Isolate
            | Mishap::Halves
            | Mishap::OneWay
            | Mishap::Bridge
            | Mishap::Aside
            | Mishap::CutMaster
            | Mishap::BreakStreams
            | Mishap::Weather => self.network(mishap, node),
            Mishap::SlowDisk => {
                self.nodes[node].sync_us = (10_000, self.nemesis.rng.u64(20_000..1_500_000));
                self.later(Restore::Disk(node));
            }
            Mishap::FullDisk => {
                self.nodes[node].storage.is_full = true;
                self.later(Restore::Disk(node));
            }
            Mishap::KillSentinel
            | Mishap::StopSentinel
            | Mishap::LoseControl
            | Mishap::AddSentinel
            | Mishap::RemoveSentinel => self.sentinels(mishap),
            Mishap::Handover
            | Mishap::Force
            | Mishap::Settings
            | Mishap::AddNode
            | Mishap::RemoveNode
            | Mishap::ReplaceNode => self.operators(mishap),
        }
    }

    fn network(&mut self, mishap: Mishap, node: usize) {
        match mishap {
            Mishap::CutMaster => self.cut_master(),
            Mishap::BreakStreams => {
                for _ in 0..self.nemesis.rng.u8(1..6) {
                    let hosts: Vec<Host> = self.net.hosts().collect();
                    let host = hosts[self.nemesis.rng.usize(..hosts.len())];
                    self.net.break_one(&mut self.queue, host);
                }
                self.slander();
            }
            Mishap::Weather => {
                let rng = &mut self.nemesis.rng;
                let (delay, jitter) = (rng.u64(100..20_000), rng.u64(100..100_000));
                self.net.weather = Weather { delay, jitter, loss: rng.u32(..200), double: rng.u32(..200) };
                self.later(Restore::Weather);
            }
            _ => self.cut(mishap, node),
        }
    }

    fn sentinels(&mut self, mishap: Mishap) {
        let mut rng = self.nemesis.rng.fork();
        match mishap {
            Mishap::KillSentinel => {
                let at = self.some_sentinel();
                self.kill_sentinel(at);
                self.later(Restore::Start(Host::Sentinel(at)));
            }
            Mishap::LoseControl => {
                let mut members = self.members();
                rng.shuffle(&mut members);
                let most = members.len() / 2 + 1;
                for at in members.into_iter().take(most) {
                    self.kill_sentinel(at);
                    self.later(Restore::Start(Host::Sentinel(at)));
                }
            }
            Mishap::AddSentinel => self.add_sentinel(&mut rng),
            Mishap::RemoveSentinel => self.remove_sentinel(&mut rng),
            _ => {
                let (at, micros) = (self.some_sentinel(), self.nemesis.rng.u64(10_000..3_000_000));
                self.sentinels[at].stopped_until = Some(self.queue.now().plus_us(micros));
            }
        }
    }

    fn kill_sentinel(&mut self, at: usize) {
        self.sentinels[at].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, false);
    }

    fn operators(&mut self, mishap: Mishap) {
        let mut rng = self.nemesis.rng.fork();
        match mishap {
            Mishap::Handover => self.ask_failover(Manner::Handover),
            Mishap::Settings => self.ask_settings(&mut rng),
            Mishap::AddNode => drop(self.add_node(&mut rng)),
            Mishap::RemoveNode => {
                if let Some(node) = self.some_replica(&mut rng) {
                    self.remove_node(node);
                }
            }
            Mishap::ReplaceNode => self.replace_node(&mut rng),
            _ => self.ask_failover(Manner::Force),
        }
    }

    /// A replica's machine is gone for good. Another takes its place: with its disk, under another address, or with an empty one.
    fn replace_node(&mut self, rng: &mut fastrand::Rng) {
        let spare: Vec<usize> =
            (0..self.nodes.len()).filter(|node| !self.is_in_group(*node) && !self.nodes[*node].is_up()).collect();
        let (Some(old), Some(new)) = (self.some_replica(rng), rng.choice(&spare).copied()) else { return };
        let keeps_disk =
            rng.bool() && self.nodes[old].is_up() && (!self.plan.kill_is_amnesia() || self.may_lose_process());
        if !keeps_disk && std::mem::replace(&mut self.nemesis.amnesia, true) {
            return;
        }
        self.nodes[old].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, false);
        let disk = self.nodes[old].take_disk();
        self.nodes[new].wipe();
        if keeps_disk {
            self.nodes[new].storage.disk = disk;
        }
        self.join(new);
        self.remove_node(old);
    }

    /// Somebody was chosen, and does not know yet.
    pub(crate) fn chosen(&mut self, candidate: usize) {
        let kills = !self.nemesis.is_over && self.nemesis.mishaps.contains(&Mishap::KillChosen);
        if !kills || self.nemesis.rng.bool() || !self.nodes[candidate].is_up() || !self.may_lose_process() {
            return;
        }
        let now = self.queue.now();
        self.trace.line(now, || format!("nemesis: node {candidate} dies as it is chosen"));
        self.nodes[candidate].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, false);
        let back = now.plus_us(self.nemesis.rng.u64(100..20_000));
        self.queue.push(back, Event::Restore(Restore::Start(Host::Node(candidate))));
    }

    /// The master more often than chance would have it: that is where it hurts.
    fn some_node(&mut self) -> usize {
        let published = self.registry.group(&group_name()).filter(|group| group.epoch > Epoch::default());
        match published.map(|group| place(&group.master)) {
            Some(master) if self.nemesis.rng.bool() => master,
            _ => self.nemesis.rng.usize(..self.nodes.len()),
        }
    }

    /// The leader more often than chance would have it.
    fn some_sentinel(&mut self) -> usize {
        match self.leader() {
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

    /// Does a loss of power lose nothing that is promised? In `async` nothing is, and what was promised before ends with it.
    fn power_costs_nothing(&mut self) -> bool {
        let Some(group) = self.registry.group(&group_name()) else { return false };
        if group.voting.parts().all(|part| part.durability == Durability::Async) {
            let now = self.queue.now();
            self.terms.waive(now);
            return true;
        }
        group.voting.parts().all(|part| part.durability == Durability::Quorum && part.ack == Ack::Fsync)
    }

    /// One by one only, unless it costs nothing.
    fn may_lose_power(&mut self) -> bool {
        if self.power_costs_nothing() {
            return true;
        }
        // A node that acknowledged what it had only received may have lost it: as one that lost its data.
        !std::mem::replace(&mut self.nemesis.amnesia, true)
    }

    fn kill_node(&mut self, node: usize) {
        if self.nodes[node].is_up() && self.may_lose_process() {
            self.nodes[node].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, false);
            self.later(Restore::Start(Host::Node(node)));
        }
    }

    fn power(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            self.nodes[node].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, true);
            self.later(Restore::Start(Host::Node(node)));
        }
    }

    fn wipe(&mut self, node: usize) {
        if self.nodes[node].is_up() && !std::mem::replace(&mut self.nemesis.amnesia, true) {
            self.nodes[node].die(&mut Around { queue: &mut self.queue, net: &mut self.net }, false);
            self.nodes[node].wipe();
            self.later(Restore::Start(Host::Node(node)));
        }
    }

    fn cut(&mut self, mishap: Mishap, node: usize) {
        let hosts: Vec<Host> = self.net.hosts().collect();
        let rng = &mut self.nemesis.rng;
        let one = hosts[rng.usize(..hosts.len())];
        let other = hosts[rng.usize(..hosts.len())];
        let sides: Vec<bool> = hosts.iter().map(|_| rng.bool()).collect();
        let side = |host: Host| sides[hosts.iter().position(|at| *at == host).expect("every host has a side")];
        let aside_from_sentinels = rng.bool();
        let node = Host::Node(node);
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
        let paths = self.paths(is_cut);
        self.cut_paths(&paths);
        self.later(Restore::Paths(paths));
    }

    fn paths(&self, is_cut: impl Fn(Host, Host) -> bool) -> Vec<(Host, Host)> {
        let hosts: Vec<Host> = self.net.hosts().collect();
        let all = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (*from, *to)));
        all.filter(|(from, to)| from != to && is_cut(*from, *to)).collect()
    }

    /// Nothing passes there any more, until it is restored; not once the bad time is over.
    pub(crate) fn cut_paths(&mut self, paths: &[(Host, Host)]) {
        if self.nemesis.is_over {
            return;
        }
        for (from, to) in paths {
            self.net.set_cut(&mut self.queue, *from, *to, true);
        }
        self.paths_changed();
    }

    /// The master with some of the clients on the one side, everybody else on the other, for longer than its lease.
    fn cut_master(&mut self) {
        let Some(group) = self.registry.group(&group_name()) else { return };
        let (master, epoch, lease_us) = (place(&group.master), group.epoch, group.lease_ms * 1000);
        let leader = self.leader();
        let (wanted, always_in_turn) = (self.plan.cut_leader, self.plan.stands_in_turn);
        let rng = &mut self.nemesis.rng;
        let with_leader = wanted.unwrap_or(rng.u8(..3) == 0);
        let clients: Vec<bool> = (0..self.plan.clients).map(|at| at == 0 || rng.bool()).collect();
        let stands = (always_in_turn || rng.u8(..4) == 0).then(|| rng.u64(100_000..2_500_000));
        let in_turn = stands.is_some() && (always_in_turn || rng.bool());
        let forced = (wanted.is_some() || rng.bool()).then(|| rng.u64(1000..400_000));
        let length = rng.u64(lease_us..lease_us * 3 + 3_000_000);
        // What was sent to a process that stands waits for it: it stands before it is cut off.
        let after = if stands.is_some() && !in_turn { rng.u64(..300_000) } else { 0 };
        let is_inside = |host: Host| match host {
            Host::Node(at) => at == master,
            Host::Client(at) => clients[at],
            Host::Sentinel(at) => with_leader && leader == Some(at),
        };
        let paths = self.paths(|from, to| is_inside(from) != is_inside(to));
        let now = self.queue.now();
        self.queue.push(now.plus_us(after), Event::Cut(paths.clone()));
        if let Some(stands) = stands {
            let (node, until) = (&mut self.nodes[master], Some(now.plus_us(stands)));
            match in_turn {
                true => node.stands_in_turn_until = until,
                false => node.stopped_until = until,
            }
        }
        if let Some(forced) = forced {
            // Whoever leads by then; and again, for a leader that is new has seen little.
            for again in 0..8 {
                self.queue.push(now.plus_us(after + forced + again * 100_000), Event::Operator(epoch));
            }
        }
        self.queue.push(now.plus_us(after + length), Event::Restore(Restore::Paths(paths)));
    }

    /// A sentinel takes the leader for gone, and it is not.
    fn slander(&mut self) {
        let Some(who) = self.leader().and_then(|leader| self.sentinels[leader].raft_id) else { return };
        let to = self.nemesis.rng.usize(..self.sentinels.len());
        self.queue.push(self.queue.now(), Event::Gone { who, to });
    }

    /// The operator waits no longer for the master of this epoch, unless the bad time is over.
    pub(crate) fn impatient(&mut self, epoch: Epoch) {
        let is_there = self.registry.group(&group_name()).is_some_and(|group| group.epoch == epoch);
        if is_there && !self.nemesis.is_over {
            self.ask_failover(Manner::Force);
        }
    }

    /// Tells whoever keeps count of who is cut off.
    fn paths_changed(&mut self) {
        let hosts: Vec<Host> = self.net.hosts().filter(|host| !matches!(host, Host::Client(_))).collect();
        let (net, now, nodes) = (&self.net, self.queue.now(), self.nodes.len());
        let is_cut_off = |node: usize| {
            let here = Host::Node(node);
            hosts.iter().all(|host| *host == here || net.is_cut(*host, here))
        };
        self.cut_off.paths_changed(now, nodes, is_cut_off);
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
            Restore::Join(node) => self.join(node),
            Restore::Paths(paths) => {
                for (from, to) in paths {
                    self.net.set_cut(&mut self.queue, from, to, false);
                }
                self.paths_changed();
            }
            Restore::Weather => self.net.weather = FAIR,
            Restore::Disk(node) => {
                let node = &mut self.nodes[node];
                (node.sync_us, node.storage.is_full, node.stop_chance) = ((300, 3000), false, 0);
            }
        }
    }
}
