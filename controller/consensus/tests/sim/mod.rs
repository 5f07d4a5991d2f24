//! A group of members in one thread: virtual time, a network that loses, delays, reorders and doubles, disks that keep what was
//! saved and nothing else, and crashes at every point of a batch. One seed decides everything.
//!
//! Checked all the time: one leader a term, one command an index, no answer twice, no read of the past, nothing acknowledged lost.

use std::collections::{BTreeMap, BTreeSet};

use quorate_consensus::{
    Apply, Change, Config, Elections, Index, Limits, Node, Outgoing, RaftId, Recovered, Refused, Role, Ticket, Timing,
};

/// Virtual time units between two ticks of a member.
const TICK: u64 = 10;

/// What a disk holds.
#[derive(Clone, Default)]
pub struct Disk {
    snapshot: Option<Vec<u8>>,
    hard_state: Option<Vec<u8>>,
    entries: BTreeMap<u64, Vec<u8>>,
}

/// The state machine: every command so far, in order, with its index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub applied: u64,
    pub commands: Vec<u64>,
}

/// One member, alive or crashed.
pub struct Member {
    pub node: Option<Node>,
    pub disk: Disk,
    pub machine: Machine,
    life: u64,
    phase: u64,
}

/// The weather: chances in thousandths.
#[derive(Clone, Copy)]
pub struct Weather {
    pub loss: u32,
    pub double: u32,
    pub crash: u32,
    pub partition: u32,
    pub delay: u64,
}

pub const CALM: Weather = Weather { loss: 0, double: 0, crash: 0, partition: 0, delay: 1 };
pub const STORM: Weather = Weather { loss: 80, double: 40, crash: 2, partition: 4, delay: 12 };

#[derive(Clone, Copy, PartialEq, Eq)]
enum CrashPoint {
    None,
    BeforeSave,
    AfterSave,
    BeforeSend,
}

pub struct Sim {
    pub now: u64,
    pub members: BTreeMap<RaftId, Member>,
    pub weather: Weather,
    rng: fastrand::Rng,
    flying: BTreeMap<(u64, u64), (RaftId, RaftId, Vec<u8>)>,
    sent: u64,
    cut: BTreeSet<(RaftId, RaftId)>,
    tickets: u64,
    /// Open tickets, with who was asked, in which life, and what a read must see at least.
    open: BTreeMap<Ticket, (RaftId, u64, u64)>,
    proposed: BTreeMap<Ticket, u64>,
    committed: BTreeMap<u64, u64>,
    leaders: BTreeMap<u64, RaftId>,
    /// The highest index that was acknowledged to a proposer.
    acked_index: u64,
    pub acked: Vec<u64>,
    pub reads: u64,
    pub refused: u64,
    pub snapshots_installed: u64,
    /// A running digest of everything that was applied, to compare two runs of a seed.
    pub digest: u64,
    pub tap: Vec<(RaftId, RaftId, Vec<u8>)>,
}

fn config(id: RaftId, boot: u64) -> Config {
    // Each its own timeout: two that wake together would split the votes forever.
    let timing = Timing { elections: Elections::Fixed(6 + (id.0 as usize * 2) % 11), ..Default::default() };
    let limits = Limits { snapshot_every: 16, message_bytes: 256, inflight: 8, ..Default::default() };
    Config { id, boot, timing, limits, snapshot_is_sound: |bytes| bytes.len() % 8 == 0 }
}

impl Sim {
    pub fn new(seed: u64, voters: u64, weather: Weather) -> Self {
        let ids: Vec<RaftId> = (1..=voters).map(RaftId).collect();
        let founding = Recovered::founding(&ids, Vec::new());
        let disk = Disk {
            snapshot: Some(founding.snapshot_bytes()),
            hard_state: Some(founding.hard_state_bytes()),
            ..Default::default()
        };
        let mut sim = Self {
            now: 0,
            members: BTreeMap::new(),
            weather,
            rng: fastrand::Rng::with_seed(seed),
            flying: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            tickets: 0,
            open: BTreeMap::new(),
            proposed: BTreeMap::new(),
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            acked_index: 0,
            acked: Vec::new(),
            reads: 0,
            refused: 0,
            snapshots_installed: 0,
            digest: seed,
            tap: Vec::new(),
        };
        for id in ids {
            sim.add(id, disk.clone());
        }
        sim
    }

    /// Adds a member with a disk; a joiner's is empty.
    pub fn add(&mut self, id: RaftId, disk: Disk) {
        let phase = self.rng.u64(..TICK);
        self.members.insert(id, Member { node: None, disk, machine: Machine::default(), life: 0, phase });
        self.start(id);
    }

    /// Starts a member from its disk.
    pub fn start(&mut self, id: RaftId) {
        let boot = self.rng.u64(..);
        let member = self.members.get_mut(&id).expect("a known member");
        let entries = member.disk.entries.iter().map(|(index, bytes)| (Index(*index), bytes.as_slice()));
        let recovered =
            Recovered::from_bytes(member.disk.snapshot.as_deref(), member.disk.hard_state.as_deref(), entries)
                .expect("what was saved can be read");
        member.machine =
            recovered.state().map_or_else(Machine::default, |(index, state)| Machine::restore(index, state));
        member.life += 1;
        member.node = Some(Node::new(&config(id, boot), recovered));
    }

    /// The process is gone; its disk stays.
    pub fn crash(&mut self, id: RaftId) {
        let member = self.members.get_mut(&id).expect("a known member");
        member.node = None;
        let life = member.life;
        self.open.retain(|_, (asked, asked_life, _)| (*asked, *asked_life) != (id, life));
    }

    pub fn ids(&self) -> Vec<RaftId> {
        self.members.keys().copied().collect()
    }

    pub fn node(&mut self, id: RaftId) -> Option<&mut Node> {
        self.members.get_mut(&id)?.node.as_mut()
    }

    /// The established leader with the highest term.
    pub fn leader(&mut self) -> Option<RaftId> {
        let leading = |member: &Member| {
            let status = member.node.as_ref()?.status();
            (status.role == Role::Leader { established: true }).then_some((status.term, status.id))
        };
        self.members.values().filter_map(leading).max().map(|(_, id)| id)
    }

    pub fn propose(&mut self, id: RaftId) {
        let (ticket, command) = (self.ticket(), self.tickets);
        let life = self.members[&id].life;
        let Some(node) = self.node(id) else { return };
        match node.propose(command.to_le_bytes().to_vec(), ticket) {
            Ok(()) => {
                self.open.insert(ticket, (id, life, 0));
                self.proposed.insert(ticket, command);
            }
            Err(Refused::NotLeader { .. } | Refused::Busy(_)) => {}
            Err(other) => panic!("a small command was refused: {other}"),
        }
    }

    pub fn read(&mut self, id: RaftId) {
        let (ticket, life, floor) = (self.ticket(), self.members[&id].life, self.acked_index);
        let Some(node) = self.node(id) else { return };
        if node.read_index(ticket).is_ok() {
            self.open.insert(ticket, (id, life, floor));
        }
    }

    pub fn change(&mut self, id: RaftId, changes: &[Change]) -> Result<(), Refused> {
        let (ticket, life) = (self.ticket(), self.members[&id].life);
        let Some(node) = self.node(id) else { return Err(Refused::Lost) };
        node.change(changes, ticket)?;
        self.open.insert(ticket, (id, life, 0));
        Ok(())
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// One unit of time: weather, deliveries, ticks, and all work that follows.
    pub fn step(&mut self) {
        self.now += 1;
        self.blow();
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.now
        {
            let (from, to, bytes) = entry.remove();
            if let Some(node) = self.node(to) {
                node.step(from, &bytes).unwrap_or_else(|bad| panic!("an honest message was refused: {bad}"));
                self.pump(to);
            }
        }
        for id in self.ids() {
            if self.now % TICK == self.members[&id].phase
                && let Some(node) = self.node(id)
            {
                node.tick();
            }
            self.pump(id);
        }
    }

    pub fn run(&mut self, units: u64) {
        (0..units).for_each(|_| self.step());
    }

    /// Steps until the condition holds.
    pub fn until(&mut self, what: &str, limit: u64, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.now < end, "not within {limit} units: {what}");
            self.step();
        }
    }

    /// Good weather, everybody up.
    pub fn heal(&mut self) {
        self.weather = CALM;
        self.cut.clear();
        for id in self.ids() {
            if self.members[&id].node.is_none() {
                self.start(id);
            }
        }
    }

    fn blow(&mut self) {
        let weather = self.weather;
        for id in self.ids() {
            if self.members[&id].node.is_none() && weather.crash > 0 && self.rng.u32(..100) == 0 {
                self.start(id);
            }
        }
        if self.chance(weather.partition) {
            self.cut.clear();
            let island: Vec<RaftId> = self.ids().into_iter().filter(|_| self.rng.bool()).collect();
            for a in self.ids() {
                for b in self.ids() {
                    if island.contains(&a) != island.contains(&b) {
                        self.cut.insert((a, b));
                    }
                }
            }
        }
        // What a transport reports: a link that is cut is noticed by its sender now and then.
        for (a, b) in self.cut.clone() {
            if self.rng.u32(..50) == 0
                && let Some(node) = self.node(a)
            {
                node.link_down(b);
            }
        }
    }

    fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.rng.u32(..1000) < thousandths
    }

    fn send(&mut self, from: RaftId, messages: Vec<Outgoing>) {
        for message in messages {
            let copies = 1 + u32::from(self.chance(self.weather.double));
            for _ in 0..copies {
                if self.cut.contains(&(from, message.to)) || self.chance(self.weather.loss) {
                    continue;
                }
                if self.tap.len() < 4096 {
                    self.tap.push((from, message.to, message.bytes.clone()));
                }
                self.sent += 1;
                let at = self.now + 1 + self.rng.u64(..self.weather.delay);
                self.flying.insert((at, self.sent), (from, message.to, message.bytes.clone()));
            }
        }
    }

    /// Carries out all batches of a member, perhaps dying on the way.
    fn pump(&mut self, id: RaftId) {
        loop {
            let point = match self.chance(self.weather.crash) {
                true => [CrashPoint::BeforeSave, CrashPoint::AfterSave, CrashPoint::BeforeSend][self.rng.usize(..3)],
                false => CrashPoint::None,
            };
            let member = self.members.get_mut(&id).expect("a known member");
            let Some(batch) = member.node.as_mut().and_then(Node::ready) else { break };
            let Some((early, outcome)) = turn(batch, &mut member.disk, point) else {
                self.crash(id);
                break;
            };
            self.send(id, early);
            if point == CrashPoint::BeforeSend {
                self.crash(id);
                break;
            }
            self.send(id, outcome.messages);
            for step in outcome.apply {
                self.carry_out(id, step);
            }
            self.checkpoint(id);
        }
        self.check_leader(id);
    }

    fn carry_out(&mut self, id: RaftId, step: Apply) {
        let machine = &mut self.members.get_mut(&id).expect("a known member").machine;
        match step {
            Apply::Restore { index, state } => {
                assert!(index.0 > machine.applied, "a snapshot of the past");
                *machine = Machine::restore(index, &state);
                self.snapshots_installed += 1;
            }
            Apply::Command { index, data, ticket } => {
                let command = u64::from_le_bytes(data.try_into().expect("eight bytes"));
                machine.apply(index, command);
                let first = *self.committed.entry(index.0).or_insert(command);
                assert_eq!(first, command, "two commands at index {}", index.0);
                self.digest = self.digest.wrapping_mul(0x100000001b3) ^ command ^ (id.0 << 48);
                if let Some(ticket) = ticket {
                    self.close(id, ticket);
                    assert_eq!(self.proposed[&ticket], command, "another's answer");
                    self.acked.push(command);
                    self.acked_index = self.acked_index.max(index.0);
                }
            }
            Apply::Members { index, ticket, .. } => {
                machine.applied = index.0;
                if let Some(ticket) = ticket {
                    self.close(id, ticket);
                }
            }
            Apply::Read { ticket } => {
                let seen = self.members[&id].machine.commands.len() as u64;
                let floor = self.close(id, ticket);
                let must = self.committed.range(..=floor).count() as u64;
                assert!(seen >= must, "a read saw {seen} commands, {must} were acknowledged before it began");
                self.reads += 1;
            }
            Apply::Refused { ticket, .. } => {
                self.close(id, ticket);
                self.refused += 1;
            }
        }
    }

    fn close(&mut self, id: RaftId, ticket: Ticket) -> u64 {
        let (asked, life, floor) = self.open.remove(&ticket).expect("an answer to an open ticket, once");
        assert_eq!((asked, life), (id, self.members[&id].life), "answered by another");
        floor
    }

    fn checkpoint(&mut self, id: RaftId) {
        let member = self.members.get_mut(&id).expect("a known member");
        let node = member.node.as_mut().expect("alive: it just worked");
        if !node.checkpoint_due() {
            return;
        }
        let disk = &mut member.disk;
        let saved: Result<(), ()> = node.checkpoint(member.machine.save()).save(|compaction| {
            disk.snapshot = Some(compaction.snapshot());
            disk.entries = disk.entries.split_off(&(compaction.drop_up_to().0 + 1));
            Ok(())
        });
        saved.expect("this disk never fails");
    }

    fn check_leader(&mut self, id: RaftId) {
        let Some(node) = self.members[&id].node.as_ref() else { return };
        let status = node.status();
        if matches!(status.role, Role::Leader { .. }) {
            let first = *self.leaders.entry(status.term.0).or_insert(id);
            assert_eq!(first, id, "two leaders in term {}", status.term.0);
        }
    }

    /// Everybody holds the same, everything acknowledged is there once, every ticket was answered.
    pub fn check_agreement(&mut self) {
        let machines: Vec<Machine> = self.members.values().map(|member| member.machine.clone()).collect();
        for machine in &machines {
            assert_eq!(machine.commands, machines[0].commands, "members differ");
        }
        let there: BTreeSet<u64> = machines[0].commands.iter().copied().collect();
        assert_eq!(there.len(), machines[0].commands.len(), "a command was applied twice");
        let lost: Vec<&u64> = self.acked.iter().filter(|command| !there.contains(command)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
    }
}

/// One batch; none when the member died before the disk had it or right after.
fn turn(
    mut batch: quorate_consensus::Batch<'_>,
    disk: &mut Disk,
    point: CrashPoint,
) -> Option<(Vec<Outgoing>, quorate_consensus::Outcome)> {
    let early = batch.take_messages();
    if point == CrashPoint::BeforeSave {
        return None;
    }
    let saved: Result<_, ()> = batch.save(|write| {
        if let Some(snapshot) = write.snapshot() {
            disk.snapshot = Some(snapshot);
        }
        if let Some(Index(from)) = write.replace_from() {
            disk.entries.split_off(&from);
        }
        disk.entries.extend(write.entries().map(|(index, bytes)| (index.0, bytes)));
        if let Some(hard_state) = write.hard_state() {
            disk.hard_state = Some(hard_state);
        }
        Ok(())
    });
    let saved = saved.expect("this disk never fails");
    if point == CrashPoint::AfterSave {
        return None;
    }
    Some((early, saved.finish()))
}

impl Machine {
    fn apply(&mut self, index: Index, command: u64) {
        assert!(index.0 > self.applied, "applied twice: {}", index.0);
        self.applied = index.0;
        self.commands.push(command);
    }

    fn save(&self) -> Vec<u8> {
        self.commands.iter().flat_map(|command| command.to_le_bytes()).collect()
    }

    fn restore(index: Index, state: &[u8]) -> Self {
        let (commands, rest) = state.as_chunks::<8>();
        assert!(rest.is_empty(), "judged sound before it was saved");
        Self { applied: index.0, commands: commands.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect() }
    }
}
