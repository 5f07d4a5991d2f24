//! A small deterministic world: sentinels that share one committed log, and fake nodes that keep their promises. Virtual
//! time in steps of 10 ms, all randomness from one seed. It checks on every step that no epoch has two masters, and that
//! every sentinel's registry is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_registry::command::NodeSpec;
use quorate_registry::pulse::Liveness;
use quorate_registry::sights::{NodeFacts, Role, Sight, Sights};
use quorate_registry::steering::{Failure, Manner, request_failover};
use quorate_registry::{
    Action, Command, Durability, Effect, Entry, Epoch, Event, Group, GroupName, Member, NodeId, NodeKey, Offset, Order,
    Outcome, RaftId, Registry, Rejected, Settings, Steering, Ticket, UnixMs, Voting, VotingConfig,
};

pub const STEP: Duration = Duration::from_millis(10);
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A data node, real enough for its agent's contract.
#[derive(Debug, Clone)]
pub struct FakeNode {
    pub up: bool,
    pub stock: bool,
    pub process: u32,
    pub role: Role,
    pub epoch: Epoch,
    pub promised: Epoch,
    pub data_epoch: Epoch,
    pub data_known: bool,
    pub offset: u64,
    /// Which epochs wrote its data, and up to which offset each.
    pub history: BTreeMap<Epoch, u64>,
    pub master: Option<NodeKey>,
    pub link_up: bool,
    pub paused_until: Option<Duration>,
    pub priority: u32,
    /// Replication to this node stands still.
    pub lagging: bool,
    /// Its agent's heartbeats are cut off: INFO alone is heard.
    pub mute: bool,
    /// It is still reading its dataset.
    pub loading: bool,
    /// Cut off from sentinels and other nodes alike, though it runs.
    pub isolated: bool,
    /// Cut off from the sentinels alone.
    pub unseen: bool,
    /// How often its directory was emptied: it has another id then.
    pub births: u32,
    /// What it was told last, and what is in force.
    pub told: VotingConfig,
    pub in_force: VotingConfig,
    /// Everything that it had acknowledged when it was told.
    told_at: u64,
    /// Its heartbeats, and until when it counts upon its lease.
    renewals: u64,
    sent: BTreeMap<u64, Duration>,
    pub lease_until: Duration,
    /// It could not acknowledge by fsync, if asked to.
    pub no_fsync: bool,
    /// It restarted and may have lost what it acknowledged last.
    pub tail_unsure: bool,
}

impl FakeNode {
    fn new(stock: bool) -> Self {
        Self {
            up: true,
            stock,
            process: 1,
            role: if stock { Role::Master } else { Role::Fenced },
            epoch: Epoch(0),
            promised: Epoch(0),
            data_epoch: Epoch(0),
            data_known: stock,
            offset: 0,
            history: BTreeMap::new(),
            master: None,
            link_up: false,
            paused_until: None,
            priority: 100,
            lagging: false,
            mute: false,
            loading: false,
            isolated: false,
            unseen: false,
            births: 0,
            told: VotingConfig::default(),
            in_force: VotingConfig::default(),
            told_at: 0,
            renewals: 0,
            sent: BTreeMap::new(),
            lease_until: Duration::ZERO,
            no_fsync: false,
            tail_unsure: false,
        }
    }

    pub fn reachable(&self) -> bool {
        self.up && !self.isolated
    }

    /// By sentinels.
    pub fn visible(&self) -> bool {
        self.reachable() && !self.unseen
    }

    fn adopt(&mut self, config: &VotingConfig) {
        if self.told.version != config.version {
            (self.told, self.told_at) = (config.clone(), self.offset);
        }
    }
}

pub struct Sentinel {
    pub up: bool,
    pub registry: Registry,
    pub sights: Sights,
    pub steering: Steering,
}

enum Mail {
    Commit(Command),
    Run { to: usize, ticket: Ticket, effect: Effect },
    Done { to: usize, outcome: Outcome },
}

pub struct World {
    pub now: Duration,
    pub rng: fastrand::Rng,
    pub name: GroupName,
    pub nodes: BTreeMap<NodeKey, FakeNode>,
    pub sentinels: Vec<Sentinel>,
    pub leader: usize,
    /// A second sentinel that believes that it leads, and whose proposals get through too: worse than Raft allows.
    pub usurper: Option<usize>,
    pub events: Vec<Event>,
    pub rejected: Vec<Rejected>,
    /// Out of 100: outcomes lost on the way, and outcomes that come twice.
    pub lose: u8,
    pub duplicate: u8,
    pub latency: Duration,
    /// The furthest offset that a published, unpaused master acknowledged, per epoch.
    pub acknowledged: u64,
    /// What a majority held while its master served: a `quorum` group acknowledged exactly this, per epoch.
    pub committed: BTreeMap<Epoch, u64>,
    pub writes: bool,
    down_after: Duration,
    silent_since: BTreeMap<NodeKey, Duration>,
    log: Vec<Entry>,
    mail: Vec<(Duration, Mail)>,
    next_report: Duration,
    chosen: BTreeMap<Epoch, NodeKey>,
    served: BTreeMap<Epoch, NodeKey>,
}

pub fn key(port: u16) -> NodeKey {
    NodeKey::new("10.0.0.1", port).expect("a port")
}

impl World {
    /// `nodes` nodes on ports 7001.., the first the configured master, and three sentinels.
    pub fn new(seed: u64, nodes: u16, settings: Settings, stock: bool) -> Self {
        let name: GroupName = "main".parse().expect("a word");
        let mut world = World {
            now: Duration::from_secs(1),
            rng: fastrand::Rng::with_seed(seed),
            name: name.clone(),
            nodes: (1..=nodes).map(|n| (key(7000 + n), FakeNode::new(stock))).collect(),
            sentinels: Vec::new(),
            leader: 0,
            usurper: None,
            events: Vec::new(),
            rejected: Vec::new(),
            lose: 0,
            duplicate: 0,
            latency: Duration::from_millis(2),
            acknowledged: 0,
            committed: BTreeMap::new(),
            writes: true,
            down_after: Duration::from_secs(1),
            silent_since: BTreeMap::new(),
            log: Vec::new(),
            mail: Vec::new(),
            next_report: Duration::ZERO,
            chosen: BTreeMap::new(),
            served: BTreeMap::new(),
        };
        for _ in 0..3 {
            let (registry, sights, steering) = (Registry::default(), Sights::default(), Steering::default());
            world.sentinels.push(Sentinel { up: true, registry, sights, steering });
        }
        for id in 1..=3 {
            world.commit(Command::MemberJoined(Member {
                raft_id: RaftId(id),
                sentinel_id: format!("{id:040}"),
                address: format!("10.0.0.9:{}", 27378 + id),
                resp: NodeKey::new("10.0.0.9", 26378 + id as u16).expect("a port"),
            }));
        }
        let specs = world.nodes.keys().map(|node| NodeSpec { node: node.clone(), tags: vec![] }).collect();
        world.commit(Command::MonitorGroup { group: name, master: key(7001), nodes: specs, settings });
        if stock {
            for n in 2..=nodes {
                let node = world.node(7000 + n);
                (node.role, node.master, node.link_up) = (Role::Replica, Some(key(7001)), true);
            }
        }
        world
    }

    /// A world whose group serves: the configured master was assigned and every node follows it.
    pub fn serving(seed: u64, nodes: u16, settings: Settings) -> Self {
        let mut world = Self::new(seed, nodes, settings, false);
        let wanted = world.group().settings.durability;
        world.run_until("the group serves", Duration::from_secs(5), |w| {
            w.calm() && w.acknowledged > 0 && w.voters() == usize::from(nodes) && w.published() == wanted
        });
        assert_eq!(world.group().master, key(7001));
        world
    }

    pub fn node(&mut self, port: u16) -> &mut FakeNode {
        self.nodes.get_mut(&key(port)).expect("a node of this world")
    }

    pub fn registry(&self) -> &Registry {
        &self.sentinels.iter().find(|sentinel| sentinel.up).expect("one sentinel is up").registry
    }

    pub fn group(&self) -> &Group {
        self.registry().group(&self.name).expect("the group is monitored")
    }

    pub fn phase(&self) -> Option<&'static str> {
        self.group().failover.as_ref().map(|failover| failover.phase.name())
    }

    /// How many vote, once that is settled; 0 while it changes.
    pub fn voters(&self) -> usize {
        match &self.group().voting {
            Voting::Settled(config) => config.voters.len(),
            Voting::Joint { .. } => 0,
        }
    }

    /// Exactly the nodes that there are vote, under the names that they have now.
    pub fn all_vote(&self) -> bool {
        let voters = self.nodes.iter().map(|(key, node)| Self::id(key, node)).collect();
        matches!(&self.group().voting, Voting::Settled(config) if config.voters == voters)
    }

    pub fn published(&self) -> Durability {
        self.group().voting.published()
    }

    /// No failover, the published master serves, and every other node that is up follows it.
    pub fn calm(&self) -> bool {
        let group = self.group();
        let master = &self.nodes[&group.master];
        let follows = |(node, fake): (&NodeKey, &FakeNode)| {
            let ok = fake.role == Role::Replica && fake.master.as_ref() == Some(&group.master) && fake.link_up;
            *node == group.master || !fake.reachable() || (ok && (fake.stock || fake.epoch == group.epoch))
        };
        let serves = master.reachable() && master.role == Role::Master && !self.paused(master);
        group.failover.is_none() && serves && self.nodes.iter().all(follows)
    }

    fn paused(&self, node: &FakeNode) -> bool {
        node.paused_until.is_some_and(|until| self.now < until)
    }

    pub fn names(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.name.as_str()).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event.name == name).count()
    }

    /// Somebody pointed another node at the master, behind the sentinels' back.
    pub fn attach(&mut self, port: u16) {
        let mut node = FakeNode::new(false);
        (node.role, node.master) = (Role::Replica, Some(self.group().master.clone()));
        self.nodes.insert(key(port), node);
    }

    /// The process dies.
    pub fn kill(&mut self, port: u16) {
        let node = self.node(port);
        (node.up, node.lease_until, node.link_up) = (false, Duration::ZERO, false);
        node.sent.clear();
    }

    /// A new process on the same data directory; one that is emptied has neither data nor promise.
    pub fn restart(&mut self, port: u16, emptied: bool) {
        let node = self.node(port);
        node.up = true;
        node.process += 1;
        node.paused_until = None;
        node.link_up = false;
        node.master = None;
        node.lease_until = Duration::ZERO;
        (node.told, node.in_force) = (VotingConfig::default(), VotingConfig::default());
        node.sent.clear();
        if node.stock {
            node.role = Role::Master;
            return;
        }
        node.role = Role::Fenced;
        if emptied {
            (node.epoch, node.promised, node.data_epoch) = (Epoch(0), Epoch(0), Epoch(0));
            (node.data_known, node.offset) = (false, 0);
            node.history.clear();
            node.births += 1;
        }
    }

    /// The leader's process dies and another sentinel is elected, with the log and nothing else.
    pub fn depose(&mut self) {
        self.sentinels[self.leader].up = false;
        self.elect();
    }

    /// Another sentinel leads from now on; the old one lives.
    pub fn elect(&mut self) {
        self.leader = (1..self.sentinels.len())
            .map(|n| (self.leader + n) % self.sentinels.len())
            .find(|n| self.sentinels[*n].up)
            .expect("a sentinel is left");
        self.sentinels[self.leader].steering = Steering::default();
    }

    /// The operator asks the leader.
    pub fn ask_failover(&mut self, candidate: Option<u16>, manner: Manner) -> Result<(), Rejected> {
        let leader = &self.sentinels[self.leader];
        let candidate = candidate.map(key);
        let command =
            request_failover(self.now, &leader.registry, &leader.sights, &self.name, candidate.as_ref(), manner)?;
        self.commit(command);
        Ok(())
    }

    /// Commits a command on every sentinel.
    pub fn commit(&mut self, command: Command) {
        let chosen = match &command {
            Command::Chosen { epoch, candidate, .. } => Some((*epoch, candidate.clone())),
            _ => None,
        };
        let entry = Entry { at: UnixMs(self.now.as_millis() as u64), command };
        let entry = Entry::decode(&entry.encode()).expect("an entry reads back");
        self.log.push(entry);
        let mut result = None;
        for sentinel in self.sentinels.iter_mut().filter(|sentinel| sentinel.up) {
            let from = sentinel.registry.applied as usize;
            for (at, entry) in self.log.iter().enumerate().skip(from) {
                result = Some(sentinel.registry.apply(at as u64 + 1, entry.clone()));
            }
        }
        match result.expect("one sentinel is up") {
            Ok(events) => {
                self.events.extend(events);
                if let Some((epoch, candidate)) = chosen {
                    let before = self.chosen.insert(epoch, candidate);
                    assert_eq!(before, None, "I1: epoch {epoch} was given twice");
                }
            }
            Err(refusal) => self.rejected.push(refusal),
        }
        let mut up = self.sentinels.iter().filter(|sentinel| sentinel.up);
        let first = up.next().expect("one sentinel is up");
        assert!(up.all(|other| other.registry == first.registry), "every sentinel applies alike");
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    pub fn run_until(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now;
        while !done(self) {
            assert!(
                self.now - begin < limit,
                "not in {limit:?}: {what}\n{:#?}\n{:#?}\n{:?}",
                self.group(),
                self.nodes,
                self.names()
            );
            self.step();
        }
        self.now - begin
    }

    pub fn step(&mut self) {
        self.now += STEP;
        self.replicate();
        self.watch();
        self.deliver();
        for id in [Some(self.leader), self.usurper].into_iter().flatten().collect::<BTreeSet<_>>() {
            self.lead(id);
        }
        self.check();
    }

    fn lead(&mut self, id: usize) {
        let sentinel = &mut self.sentinels[id];
        if !sentinel.up {
            return;
        }
        let actions = sentinel.steering.step(self.now, &sentinel.registry, &sentinel.sights);
        for action in actions {
            match action {
                // Not at once: a leader must bear that its registry is older than its proposal.
                Action::Propose(command) => self.mail.push((self.now + STEP, Mail::Commit(command))),
                Action::Run(ticket, effect) => {
                    self.mail.push((self.now + self.latency, Mail::Run { to: id, ticket, effect }));
                }
            }
        }
    }

    /// Masters take writes, replicas that may follow do.
    fn replicate(&mut self) {
        let before = self.nodes.clone();
        let published = self.group().master.clone();
        for (key, node) in &mut self.nodes {
            let paused = node.paused_until.is_some_and(|until| self.now < until);
            if !node.up {
                continue;
            }
            if node.role == Role::Master && self.writes && !paused && node.promised <= node.epoch {
                node.offset += 10;
                node.data_epoch = node.epoch;
                node.history.insert(node.epoch, node.offset);
                if *key == published && !node.isolated {
                    self.acknowledged = self.acknowledged.max(node.offset);
                }
            }
            let source = node.master.as_ref().and_then(|master| before.get(master));
            // A fenced old master still streams what it has; a node that promised more listens to it no longer (I2).
            let ok = source.is_some_and(|from| {
                let reachable = from.reachable() && !node.isolated;
                reachable && (node.stock || (from.epoch >= node.promised && from.role != Role::Fenced))
            });
            node.link_up = node.role == Role::Replica && ok;
            if node.link_up && !node.lagging {
                let from = source.expect("the link is up");
                (node.offset, node.data_epoch, node.data_known) = (from.offset, from.data_epoch, from.data_known);
                node.history = from.history.clone();
                node.tail_unsure = false;
            }
        }
        self.acknowledge();
    }

    fn id(key: &NodeKey, node: &FakeNode) -> NodeId {
        format!("{:04}{:036}", node.births, key.port()).parse().expect("40 digits")
    }

    /// How much of an epoch's stream as many hold as a config asks for.
    fn held(&self, config: &VotingConfig, epoch: Epoch) -> Option<u64> {
        let voters = self.nodes.iter().filter(|(key, node)| config.voters.contains(&Self::id(key, node)));
        let mut held: Vec<u64> = voters.filter_map(|(_, node)| node.history.get(&epoch).copied()).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(config.copies.max(1) as usize - 1).copied()
    }

    /// I3: a write is acknowledged when as many voters as the config in force asks for hold it. A config comes into force
    /// once its voters hold all that was acknowledged before.
    fn acknowledge(&mut self) {
        let masters: Vec<NodeKey> = self
            .nodes
            .iter()
            .filter(|(_, n)| n.up && n.role == Role::Master && !n.stock)
            .map(|(k, _)| k.clone())
            .collect();
        for key in masters {
            let master = &self.nodes[&key];
            let async_now = master.told.durability == Durability::Async;
            let covered = self.held(&master.told, master.epoch).is_some_and(|held| held >= master.told_at);
            let in_force = if async_now || covered { master.told.clone() } else { master.in_force.clone() };
            if in_force.durability == Durability::Quorum
                && let Some(offset) = self.held(&in_force, master.epoch)
            {
                let known = self.committed.entry(master.epoch).or_default();
                *known = (*known).max(offset);
            }
            self.node(key.port()).in_force = in_force;
        }
    }

    /// The published master holds everything that was acknowledged in `quorum`.
    pub fn assert_nothing_lost(&self, what: &str) {
        let master = &self.nodes[&self.group().master];
        for (epoch, offset) in &self.committed {
            let held = master.history.get(epoch).copied().unwrap_or_default();
            assert!(held >= *offset, "{what}: {offset} of epoch {epoch} was acknowledged, the master holds {held}");
        }
    }

    /// Every sentinel looks at every node, and tells everyone what it saw.
    fn watch(&mut self) {
        let due = self.now >= self.next_report;
        if due {
            self.next_report = self.now + REPORT_EVERY;
        }
        let keys: Vec<NodeKey> = self.group().nodes.keys().cloned().collect();
        self.down_after = self.group().settings.down_after();
        for (key, node) in &mut self.nodes {
            node.renewals += 1;
            match node.visible() {
                true => drop(self.silent_since.remove(key)),
                false => drop(self.silent_since.entry(key.clone()).or_insert(self.now)),
            }
        }
        for node in &keys {
            let Some(fake) = self.nodes.get(node) else { continue };
            let visible = fake.visible();
            let heard = visible.then(|| self.facts(node, fake));
            let known = self.sentinels[self.leader].sights.facts(self.now, &self.name, node).map(|(facts, _)| facts);
            let link = |facts: &NodeFacts| (facts.link_up, facts.role, facts.epoch, facts.config_version);
            let news = heard.is_none() || heard.as_ref().map(link) != known.map(link);
            if !due && !news {
                continue;
            }
            let dead = !fake.up;
            if let Some(fake) = self.nodes.get_mut(node).filter(|_| visible) {
                fake.sent.insert(fake.renewals, self.now);
            }
            for from in 0..self.sentinels.len() {
                if !self.sentinels[from].up {
                    continue;
                }
                let (id, name, now) = (RaftId(from as u64 + 1), self.name.clone(), self.now);
                let before = self.sentinels[from].sights.seen_by(now, id, &name, node);
                let since = self.silent_since.get(node).copied().unwrap_or(now);
                let silent = now - since;
                let liveness = match (heard.is_some(), dead) {
                    (true, _) => Liveness::Alive,
                    (false, true) => Liveness::Gone,
                    (false, false) if silent > self.down_after => Liveness::Suspect,
                    (false, false) => Liveness::Alive,
                };
                let facts = heard.clone().or(before.and_then(|s| s.facts.clone()));
                let sight = Sight { liveness, silent, facts, facts_age: silent };
                for to in &mut self.sentinels {
                    to.sights.report(now, id, &name, node, sight.clone());
                }
            }
        }
    }

    fn facts(&self, key: &NodeKey, node: &FakeNode) -> NodeFacts {
        let follows = |other: &&NodeKey| {
            let other = &self.nodes[*other];
            other.link_up && other.master.as_ref() == Some(key)
        };
        NodeFacts {
            run_id: format!("{:036}{:04}", key.port(), node.process),
            node_id: if node.stock { String::new() } else { Self::id(key, node).to_string() },
            role: node.role,
            replid: "r".repeat(40),
            offset: Offset(node.offset),
            master: node.master.clone(),
            link_up: node.link_up,
            link_down: Duration::ZERO,
            priority: node.priority,
            epoch: node.epoch,
            promised: node.promised,
            data_epoch: node.data_epoch,
            data_known: node.data_known && !node.loading,
            agent_port: if node.stock { 0 } else { key.port() + 1000 },
            loading: node.loading,
            paused: self.paused(node),
            link_idle: Duration::ZERO,
            config_version: if node.role == Role::Master { node.in_force.version } else { node.told.version },
            committed: Offset(self.committed.get(&node.epoch).copied().unwrap_or_default()),
            renewal: if node.stock || node.mute { 0 } else { node.renewals },
            lease_left: node.lease_until.saturating_sub(self.now),
            fsync_acks: !node.no_fsync,
            tail_unsure: node.tail_unsure,
            replicas: self.nodes.keys().filter(follows).cloned().collect(),
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.mail).into_iter().partition(|(at, _)| *at <= now);
        self.mail = later;
        for (_, mail) in due {
            match mail {
                Mail::Commit(command) => self.commit(command),
                // Raft would not confirm it: no majority follows two leaders.
                Mail::Run { to, effect, .. } if effect.order.is_confirmed() && to != self.leader => {}
                Mail::Run { to, ticket, effect } => {
                    let result = self.execute(&effect);
                    let copies = 1 + u8::from(self.rng.u8(..100) < self.duplicate);
                    for _ in 0..copies {
                        if self.rng.u8(..100) >= self.lose {
                            let outcome = Outcome { ticket, result: result.clone() };
                            let jitter = self.latency * self.rng.u32(1..4);
                            self.mail.push((now + jitter, Mail::Done { to, outcome }));
                        }
                    }
                }
                Mail::Done { to, outcome } => {
                    if self.sentinels[to].up {
                        self.sentinels[to].steering.outcome(now, outcome);
                    }
                }
            }
        }
    }

    /// What the agent does.
    fn execute(&mut self, effect: &Effect) -> Result<NodeFacts, Failure> {
        let (now, published) = (self.now, effect.epoch);
        let node = self.nodes.get_mut(&effect.node).expect("effects go to known nodes");
        if !node.visible() {
            return Err(Failure::Unreachable("refused".into()));
        }
        if !node.stock && published < node.promised {
            return Err(Failure::Refused { promised: node.promised });
        }
        match &effect.order {
            Order::Promise if node.stock => {}
            Order::Promise => {
                node.promised = published;
                if published > node.epoch {
                    node.lease_until = Duration::ZERO;
                }
            }
            Order::AssignMaster { .. }
                if effect.config.durability == Durability::Quorum
                    && !effect.config.voters.contains(&Self::id(&effect.node, node)) =>
            {
                return Err(Failure::Error("no voter of that config".into()));
            }
            Order::AssignMaster { .. } => {
                (node.role, node.master, node.paused_until) = (Role::Master, None, None);
                node.data_known = true;
                if !node.stock {
                    if node.epoch != published {
                        node.in_force = VotingConfig::default();
                        node.history.insert(published, node.offset);
                    }
                    node.adopt(&effect.config);
                    (node.epoch, node.promised) = (published, published);
                    let before = self.served.insert(published, effect.node.clone());
                    let only = before.is_none_or(|before| before == effect.node);
                    assert!(only, "I1: two nodes were told that they are master in {published}");
                }
            }
            Order::AssignReplica { master } => {
                (node.role, node.master, node.paused_until) = (Role::Replica, Some(master.clone()), None);
                if !node.stock {
                    (node.epoch, node.promised) = (published, published);
                    (node.told, node.lease_until) = (effect.config.clone(), Duration::ZERO);
                }
            }
            Order::Configure { .. } if node.role == Role::Master && node.epoch == published => {
                node.adopt(&effect.config)
            }
            Order::Grant { renewal, lease } if node.role == Role::Master && node.epoch == published => {
                if let Some(sent) = node.sent.get(renewal) {
                    node.lease_until = node.lease_until.max(*sent + lease.mul_f64(0.95));
                }
            }
            Order::Configure { .. } | Order::Grant { .. } => return Err(Failure::Error("not the master".into())),
            Order::Pause { limit } => node.paused_until = Some(now + *limit),
            Order::Resume => node.paused_until = None,
            Order::CatchUp { .. } => {}
        }
        let node = self.nodes[&effect.node].clone();
        Ok(self.facts(&effect.node, &node))
    }

    /// What must hold on every step.
    fn check(&self) {
        let mut masters: BTreeMap<Epoch, &NodeKey> = BTreeMap::new();
        for (key, node) in &self.nodes {
            if node.role == Role::Master && node.up && !node.stock {
                assert_eq!(masters.insert(node.epoch, key), None, "I1: two masters in {}", node.epoch);
                let committed = self.chosen.get(&node.epoch);
                assert_eq!(committed, Some(key), "I11: {key} serves without a committed record");
            }
        }
        let newest = masters.keys().next_back().copied().unwrap_or_default();
        for (key, node) in &self.nodes {
            let alone = node.role == Role::Master && node.up && node.lease_until > self.now;
            let superseded = node.epoch < newest;
            assert!(!(alone && superseded), "I8: {key} counts upon its lease while epoch {newest} is served");
        }
        let group = self.group();
        assert!(group.claimed >= group.epoch && group.nodes.contains_key(&group.master));
    }
}
