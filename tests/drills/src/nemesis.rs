//! Who breaks things: a schedule of faults from a seed, aimed at masters, Raft leaders and majorities.
//!
//! A strike breaks something and answers with the [`Damage`]; healing mends exactly that. Which fault comes next and how long it lasts follows
//! from the seed alone; whom it hits depends on who is master at that moment.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use quorate_cli::local::Kind;

use crate::cluster::{Cluster, Member};
use crate::resp::Connection;
use crate::system::GROUP;
use crate::world::{Disks, Host};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL; started again when healed.
    Kill,
    /// SIGSTOP; SIGCONT when healed.
    Stop,
    /// SIGTERM; started again when healed.
    Restart,
    /// All hosts fall into two halves.
    Halves,
    /// Each host reaches only its neighbours on a ring: each a majority, no two the same.
    Ring,
    /// One part of the hosts is not heard by the other, which it hears.
    OneWay,
    /// Two halves, and one host that reaches both.
    Bridge,
    /// Cut off from everybody but perhaps one client.
    Isolate,
    /// What it sends is slow.
    SlowLink,
    /// Writes to its disk stand still.
    SlowDisk,
    /// Its disk is full.
    FullDisk,
    /// A planned failover.
    Handover,
    /// A replica is taken out of the group; it joins again when healed.
    Leave,
    /// A sentinel is taken out for good; a new one comes in its place when healed.
    SentinelLeave,
    /// Another number of nodes is to hold a write before it is acknowledged.
    Copies,
    /// Between rounds: the group promises nothing for a while, and is asked for `quorum` again while something is broken.
    Async,
    /// Every process is killed at once, and every disk loses what was not synced.
    PowerLoss,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Kill,
        Self::Stop,
        Self::Restart,
        Self::Halves,
        Self::Ring,
        Self::OneWay,
        Self::Bridge,
        Self::Isolate,
        Self::SlowLink,
        Self::SlowDisk,
        Self::FullDisk,
        Self::Handover,
        Self::Leave,
        Self::SentinelLeave,
        Self::Copies,
        Self::Async,
        Self::PowerLoss,
    ];

    /// Its name in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Halves => "halves",
            Self::Ring => "ring",
            Self::OneWay => "one-way",
            Self::Bridge => "bridge",
            Self::Isolate => "isolate",
            Self::SlowLink => "slow-link",
            Self::SlowDisk => "slow-disk",
            Self::FullDisk => "full-disk",
            Self::Handover => "handover",
            Self::Leave => "leave",
            Self::SentinelLeave => "sentinel-leave",
            Self::Copies => "copies",
            Self::Async => "async",
            Self::PowerLoss => "power-loss",
        }
    }

    /// Can it be dealt on such disks?
    pub fn is_possible(self, disks: Disks) -> bool {
        match self {
            Self::PowerLoss | Self::SlowDisk => disks == Disks::Loop,
            Self::FullDisk => disks != Disks::Folder,
            _ => true,
        }
    }

    /// Does it change who belongs to the group, or what it promises? Redis knows nothing of it.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Leave | Self::SentinelLeave | Self::Copies | Self::Async)
    }

    /// Does it hit processes that are chosen, or the system as a whole?
    fn has_targets(self) -> bool {
        let network = matches!(self, Self::Halves | Self::Ring | Self::OneWay | Self::Bridge);
        !network && !self.is_change() && !matches!(self, Self::Handover | Self::PowerLoss)
    }
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// The master.
    Master,
    /// The sentinels' Raft leader.
    Leader,
    /// Both.
    MasterAndLeader,
    /// A replica.
    Replica,
    /// The master and a replica: a minority of five.
    Minority,
    /// The master and two replicas.
    Majority,
    /// Two of three sentinels, the leader among them.
    Sentinels,
}

impl Whom {
    const ALL: [Self; 7] = [
        Self::Master,
        Self::Leader,
        Self::MasterAndLeader,
        Self::Replica,
        Self::Minority,
        Self::Majority,
        Self::Sentinels,
    ];

    /// Its name in a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Leader => "leader",
            Self::MasterAndLeader => "master and leader",
            Self::Replica => "replica",
            Self::Minority => "master and a replica",
            Self::Majority => "majority of nodes",
            Self::Sentinels => "majority of sentinels",
        }
    }
}

/// What has to be mended.
#[derive(Debug, Default)]
pub struct Damage {
    dead: Vec<usize>,
    still: Vec<usize>,
    links: Vec<(Host, Host)>,
    slow: Vec<Host>,
    stalled: Vec<usize>,
    full: Vec<usize>,
}

/// A fault as it was dealt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// What was done.
    pub fault: Fault,
    /// To whom, if to chosen ones.
    pub whom: Option<Whom>,
    /// Who that was.
    pub hit: Vec<String>,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.word())?;
        if let Some(whom) = self.whom {
            write!(f, ": {}", whom.word())?;
        }
        if !self.hit.is_empty() {
            write!(f, " ({})", self.hit.join(", "))?;
        }
        Ok(())
    }
}

/// The schedule, and what was dealt so far.
pub struct Nemesis {
    random: fastrand::Rng,
    faults: Vec<Fault>,
    /// Is the group to promise nothing between some rounds?
    pub interludes: bool,
    /// How often each fault was dealt.
    pub dealt: BTreeMap<Fault, u64>,
}

impl Nemesis {
    /// Deals these faults, in an order that the seed decides.
    pub fn new(seed: u64, faults: Vec<Fault>) -> Self {
        let interludes = faults.contains(&Fault::Async);
        let faults = faults.into_iter().filter(|fault| *fault != Fault::Async).collect();
        Self { random: fastrand::Rng::with_seed(seed), faults, interludes, dealt: BTreeMap::new() }
    }

    /// How long to leave things alone before the next fault.
    pub fn calm(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(500..3500))
    }

    /// How long a fault lasts. Some end before anybody can have noticed.
    pub fn lasting(&mut self) -> Duration {
        match self.random.u8(0..4) {
            0 => Duration::from_millis(self.random.u64(50..1000)),
            _ => Duration::from_millis(self.random.u64(1000..6000)),
        }
    }

    /// Does another fault strike while this one lasts?
    pub fn doubles(&mut self) -> bool {
        self.random.u8(0..3) == 0
    }

    /// Breaks something. What was broken before an error is in the damage, too.
    pub fn strike(&mut self, cluster: &mut Cluster, damage: &mut Damage) -> io::Result<Strike> {
        let fault = self.faults[self.random.usize(0..self.faults.len())];
        let whom = Whom::ALL[self.random.usize(0..Whom::ALL.len())];
        let targets = if fault.has_targets() { self.targets(cluster, whom) } else { Vec::new() };
        let mut hit: Vec<String> = targets.iter().map(|index| cluster.member(*index).child.name.clone()).collect();
        match fault {
            Fault::Leave | Fault::SentinelLeave | Fault::Copies => hit.push(self.change(fault, cluster)),
            Fault::Async => unreachable!("it is dealt between rounds"),
            Fault::Kill => damage.kill(cluster, &targets),
            Fault::Stop => damage.stop(cluster, &targets),
            Fault::Restart => damage.restart(cluster, &targets),
            Fault::Halves | Fault::Ring | Fault::OneWay | Fault::Bridge => {
                let links = self.partition(fault, cluster.hosts());
                damage.cut(cluster, links)?;
            }
            Fault::Isolate => {
                let hosts = targets.iter().map(|index| cluster.member(*index).host).collect::<Vec<_>>();
                let links = self.isolation(&hosts, cluster);
                damage.cut(cluster, links)?;
            }
            Fault::SlowLink => damage.slow_down(cluster, &targets)?,
            Fault::SlowDisk => damage.stall(cluster, &targets)?,
            Fault::FullDisk => damage.fill(cluster, &targets)?,
            Fault::Handover => hand_over(cluster),
            Fault::PowerLoss => damage.lose_power(cluster)?,
        }
        self.note(fault);
        Ok(Strike { fault, whom: fault.has_targets().then_some(whom), hit })
    }

    /// Counts a fault.
    pub fn note(&mut self, fault: Fault) {
        *self.dealt.entry(fault).or_default() += 1;
    }

    /// Asks for another group than it is; answers with what was asked, and why it was refused if it was. Healing undoes it.
    fn change(&mut self, fault: Fault, cluster: &mut Cluster) -> String {
        let (what, answer) = match fault {
            Fault::Copies => {
                let copies = self.random.u32(2..5);
                (format!("{copies} copies"), cluster.set_copies(copies))
            }
            Fault::Leave => {
                let replica = self.targets(cluster, Whom::Replica)[0];
                (cluster.member(replica).child.name.clone(), cluster.remove_node(replica))
            }
            _ => {
                let whom = if self.random.bool() { Whom::Leader } else { Whom::Sentinels };
                let sentinel = *self.targets(cluster, whom).last().expect("there are sentinels");
                (cluster.member(sentinel).child.name.clone(), cluster.remove_sentinel(sentinel))
            }
        };
        match answer {
            Ok(()) => what,
            Err(why) => format!("{what}: {why}"),
        }
    }

    /// The processes that a fault hits. Where nobody is master (or leader), somebody is hit all the same.
    fn targets(&mut self, cluster: &Cluster, whom: Whom) -> Vec<usize> {
        let (nodes, sentinels) =
            (self.shuffled(cluster.of_kind(Kind::Node)), self.shuffled(cluster.of_kind(Kind::Sentinel)));
        // The master first, then replicas; the leader first, then the others.
        let first = |mut of: Vec<usize>, chosen: Option<usize>| {
            of.sort_by_key(|index| Some(*index) != chosen);
            of
        };
        let nodes = first(nodes, cluster.master());
        let sentinels = first(sentinels, cluster.leader());
        match whom {
            Whom::Master => nodes[..1].to_vec(),
            Whom::Leader => sentinels[..1].to_vec(),
            Whom::MasterAndLeader => vec![nodes[0], sentinels[0]],
            Whom::Replica => nodes[1..2].to_vec(),
            Whom::Minority => nodes[..nodes.len() / 2].to_vec(),
            Whom::Majority => nodes[..nodes.len() / 2 + 1].to_vec(),
            Whom::Sentinels => sentinels[..sentinels.len() / 2 + 1].to_vec(),
        }
    }

    fn shuffled<T>(&mut self, mut of: Vec<T>) -> Vec<T> {
        self.random.shuffle(&mut of);
        of
    }

    /// The links that a partition of this kind cuts.
    fn partition(&mut self, fault: Fault, hosts: Vec<Host>) -> Vec<(Host, Host)> {
        let hosts = self.shuffled(hosts);
        let middle = hosts.len() / 2;
        let between = |left: &[Host], right: &[Host]| -> Vec<(Host, Host)> {
            left.iter().flat_map(|from| right.iter().map(|to| (*from, *to))).collect()
        };
        let both = |left: &[Host], right: &[Host]| [between(left, right), between(right, left)].concat();
        match fault {
            Fault::Halves => both(&hosts[..middle], &hosts[middle..]),
            Fault::Bridge => both(&hosts[..middle], &hosts[middle + 1..]),
            Fault::OneWay => between(&hosts[..middle], &hosts[middle..]),
            _ => ring(&hosts),
        }
    }

    /// Cuts hosts off from all others, as one island; half of the time a client's host is on the island.
    fn isolation(&mut self, hosts: &[Host], cluster: &Cluster) -> Vec<(Host, Host)> {
        let mut island = hosts.to_vec();
        let clients = self.shuffled(cluster.client_hosts());
        if self.random.bool() {
            island.extend(clients.first());
        }
        let rest: Vec<Host> = cluster.hosts().into_iter().filter(|host| !island.contains(host)).collect();
        island.iter().flat_map(|one| rest.iter().flat_map(|other| [(*one, *other), (*other, *one)])).collect()
    }
}

/// On a ring each host reaches as many neighbours on both sides as make a majority with itself.
fn ring(hosts: &[Host]) -> Vec<(Host, Host)> {
    let count = hosts.len();
    let reach = count.div_ceil(4);
    let mut links = Vec::new();
    for from in 0..count {
        for to in 0..count {
            let distance = from.abs_diff(to).min(count - from.abs_diff(to));
            if distance > reach {
                links.push((hosts[from], hosts[to]));
            }
        }
    }
    links
}

/// Asks the first sentinel that answers for a planned failover. It may be refused: nobody is owed one while things are broken.
fn hand_over(cluster: &Cluster) {
    for sentinel in cluster.sentinels() {
        let asked = Connection::open(sentinel).and_then(|mut asked| asked.ask(&["SENTINEL", "FAILOVER", GROUP]));
        if asked.is_ok() {
            return;
        }
    }
}

impl Damage {
    fn kill(&mut self, cluster: &mut Cluster, targets: &[usize]) {
        for index in targets {
            // A process whose disk stands still could not die, and who waits for it could not heal the disk.
            if !self.stalled.contains(index) && !self.dead.contains(index) {
                cluster.member(*index).child.kill();
                self.dead.push(*index);
                self.still.retain(|still| still != index);
            }
        }
    }

    fn stop(&mut self, cluster: &mut Cluster, targets: &[usize]) {
        for index in targets.iter().filter(|index| !self.dead.contains(index)) {
            cluster.member(*index).child.pause();
            self.still.push(*index);
        }
    }

    /// Processes that ended by themselves: healing starts them again.
    pub fn note_dead(&mut self, index: usize) {
        if !self.dead.contains(&index) {
            self.dead.push(index);
        }
    }

    /// They are told to leave; healing waits until they have, and starts them again.
    fn restart(&mut self, cluster: &mut Cluster, targets: &[usize]) {
        for index in targets {
            if !self.dead.contains(index) {
                cluster.member(*index).child.terminate();
                self.dead.push(*index);
            }
        }
    }

    fn cut(&mut self, cluster: &mut Cluster, links: Vec<(Host, Host)>) -> io::Result<()> {
        self.links.extend(links.iter().copied());
        cluster.network.cut(links)
    }

    fn slow_down(&mut self, cluster: &mut Cluster, targets: &[usize]) -> io::Result<()> {
        for index in targets {
            let host = cluster.member(*index).host;
            cluster.network.set_slow(host, true)?;
            if !self.slow.contains(&host) {
                self.slow.push(host);
            }
        }
        Ok(())
    }

    fn stall(&mut self, cluster: &mut Cluster, targets: &[usize]) -> io::Result<()> {
        for index in targets {
            let disk = &cluster.member(*index).disk;
            if !self.stalled.contains(index) && !self.full.contains(index) {
                disk.set_still(true)?;
                self.stalled.push(*index);
            }
        }
        Ok(())
    }

    fn fill(&mut self, cluster: &mut Cluster, targets: &[usize]) -> io::Result<()> {
        for index in targets {
            if !self.full.contains(index) && !self.stalled.contains(index) {
                self.full.push(*index);
                cluster.member(*index).disk.fill()?;
            }
        }
        Ok(())
    }

    fn lose_power(&mut self, cluster: &mut Cluster) -> io::Result<()> {
        for index in std::mem::take(&mut self.stalled) {
            cluster.member(index).disk.set_still(false)?;
        }
        let all = [cluster.of_kind(Kind::Node), cluster.of_kind(Kind::Sentinel)].concat();
        self.kill(cluster, &all);
        all.into_iter().try_for_each(|index| {
            let Member { child, disk, .. } = cluster.member(index);
            // One that was told to leave may not have yet.
            child.kill();
            disk.lose_unsynced()
        })
    }

    /// Mends everything. Disks first: a process whose disk stands still can neither end nor start.
    pub fn heal(self, cluster: &mut Cluster) -> io::Result<()> {
        for index in self.stalled {
            cluster.member(index).disk.set_still(false)?;
        }
        for index in self.full {
            cluster.member(index).disk.empty()?;
        }
        for host in self.slow {
            cluster.network.set_slow(host, false)?;
        }
        cluster.network.mend(self.links)?;
        for index in self.still {
            cluster.member(index).child.resume();
        }
        for index in self.dead {
            cluster.member(index).child.end(LEAVE_WITHIN);
            cluster.boot(index)?;
        }
        // What takes longer goes on while the next fault strikes; before a round is judged it has to be done.
        let deadline = Instant::now() + REASSEMBLE_WITHIN;
        while cluster.reassemble().is_err() && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// How long healing waits for the group to be whole again.
const REASSEMBLE_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at that.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long a process may take to leave after SIGTERM before it is killed.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::world::Medium;

    fn hosts() -> Vec<Host> {
        (1..14).map(|number| Host { number, medium: Medium::Namespaces }).collect()
    }

    fn reached(links: &[(Host, Host)], from: Host) -> BTreeSet<Host> {
        hosts().into_iter().filter(|to| !links.contains(&(from, *to))).collect()
    }

    fn links(fault: Fault, seed: u64) -> Vec<(Host, Host)> {
        Nemesis::new(seed, Fault::ALL.to_vec()).partition(fault, hosts())
    }

    #[test]
    fn halves_and_bridges_cut_both_ways() {
        for seed in 0..20 {
            for (fault, in_touch) in [(Fault::Halves, 0), (Fault::Bridge, 1)] {
                let links = links(fault, seed);
                assert!(links.iter().all(|(from, to)| links.contains(&(*to, *from))));
                let everybody = hosts().into_iter().filter(|host| reached(&links, *host).len() == 13).count();
                assert_eq!(everybody, in_touch, "{fault:?}");
            }
        }
    }

    #[test]
    fn one_way_cuts_one_way() {
        let links = links(Fault::OneWay, 7);
        assert_eq!(links.len(), 6 * 7);
        assert!(links.iter().all(|(from, to)| !links.contains(&(*to, *from))));
    }

    #[test]
    fn on_a_ring_everybody_sees_a_majority_and_no_two_the_same() {
        let links = links(Fault::Ring, 7);
        let views: BTreeSet<BTreeSet<Host>> = hosts().into_iter().map(|host| reached(&links, host)).collect();
        assert_eq!(views.len(), 13);
        assert!(views.iter().all(|view| view.len() > 6 && view.len() < 13), "{views:?}");
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let schedule = |seed| {
            let mut nemesis = Nemesis::new(seed, Fault::ALL.to_vec());
            (0..20).map(|_| (nemesis.calm(), nemesis.lasting(), nemesis.doubles())).collect::<Vec<_>>()
        };
        assert_eq!(schedule(1), schedule(1));
        assert_ne!(schedule(1), schedule(2));
    }
}
