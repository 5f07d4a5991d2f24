//! Five nodes and three sentinels, each on a host and a disk of its own.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate_cli::control::{Again, Control};
use quorate_cli::local::{Child, Durability, Kind};
use quorate_resp::Value;
use quorate_rpc::v1;

use crate::members::is_removed;
use crate::resp::{Connection, master_by};
use crate::system::{GROUP, NODE_PORT, Plan, SENTINEL_PORT, SIDE, System};
use crate::world::{Disk, Disks, Host, Inside, Network};

/// Data nodes.
const NODES: u8 = 5;
/// Sentinels.
const SENTINELS: u8 = 3;
/// Hosts of clients: more than one, so that a partition has clients on both sides.
const CLIENT_HOSTS: u8 = 5;
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(100);
/// Lines of a process's log that are shown when it ended by itself.
const LAST_LINES: usize = 12;

/// A process, its host and its disk.
pub struct Member {
    /// Where it is.
    pub host: Host,
    /// The process.
    pub child: Child,
    /// Its data's disk.
    pub disk: Disk,
}

/// A process that ended unasked.
#[derive(Debug)]
pub struct Death {
    /// Which.
    pub name: String,
    /// How, and the end of its log.
    pub how: String,
}

/// A running system under proof. Dropping it kills its processes.
pub struct Cluster {
    /// What runs here.
    pub system: System,
    /// What the group is to promise now.
    pub wanted: Durability,
    /// The network between them.
    pub network: Network,
    members: Vec<Member>,
    plan: Plan,
    hosts: Vec<Host>,
}

impl Cluster {
    /// Builds the network, mounts the disks and starts every process. The calling thread goes to the control host.
    pub fn start(folder: &Path, system: System, inside: &Inside) -> io::Result<Self> {
        let count = 1 + NODES + SENTINELS + CLIENT_HOSTS;
        let hosts: Vec<Host> = (0..count).map(|number| Host { number, medium: inside.medium }).collect();
        let (nodes, sentinels) = (1..1 + usize::from(NODES), 1 + usize::from(NODES)..usize::from(count - CLIENT_HOSTS));
        let plan = Plan { nodes: hosts[nodes].to_vec(), sentinels: hosts[sentinels].to_vec() };
        let ports =
            |hosts: &[Host], port| hosts.iter().map(|host| (*host, vec![port, port + SIDE])).collect::<Vec<_>>();
        let listening = [ports(&plan.nodes, NODE_PORT), ports(&plan.sentinels, SENTINEL_PORT)].concat();
        let network = Network::build(&hosts, &listening)?;
        let wanted = match system {
            System::Quorate { durability, .. } => durability,
            System::Redis => Durability::Async,
        };
        let mut cluster = Self { system, wanted, network, members: Vec::new(), plan, hosts };
        for index in 0..usize::from(NODES) {
            cluster.add(folder, Kind::Node, index, inside.disks)?;
        }
        for index in 0..usize::from(SENTINELS) {
            cluster.add(folder, Kind::Sentinel, index, inside.disks)?;
        }
        cluster.control().enter()?;
        (0..cluster.members.len()).try_for_each(|member| cluster.boot(member))?;
        Ok(cluster)
    }

    fn add(&mut self, folder: &Path, kind: Kind, index: usize, disks: Disks) -> io::Result<()> {
        let (name, host, port) = match kind {
            Kind::Node => (format!("node-{}", index + 1), self.plan.nodes[index], NODE_PORT),
            Kind::Sentinel => (format!("sentinel-{}", index + 1), self.plan.sentinels[index], SENTINEL_PORT),
        };
        let dir: PathBuf = folder.join(name);
        let data = dir.join("data");
        std::fs::create_dir_all(&data)?;
        let disk = Disk::mount(&data, disks)?;
        let child =
            Child::new(kind, SocketAddr::from((host.address(), port)), port + SIDE, dir, self.system.file(kind));
        std::fs::write(&child.config, self.system.config(kind, host, &self.plan))?;
        self.members.push(Member { host, child, disk });
        Ok(())
    }

    /// Starts a process that does not run.
    pub fn boot(&mut self, member: usize) -> io::Result<()> {
        let Member { host, child, .. } = &mut self.members[member];
        let command = self.system.command(child.kind, &child.config.clone());
        host.enter()?;
        let (host, started) = (*host, child.start(command));
        self.network.note_process(child.pid().unwrap_or_default(), host);
        self.control().enter()?;
        started.map_err(io::Error::other)
    }

    /// A process by its number: nodes first.
    pub fn member(&mut self, index: usize) -> &mut Member {
        &mut self.members[index]
    }

    /// The numbers of all nodes, or of all sentinels.
    pub fn of_kind(&self, kind: Kind) -> Vec<usize> {
        (0..self.members.len()).filter(|index| self.members[*index].child.kind == kind).collect()
    }

    /// The host of whoever runs the proof. It reaches everybody, whatever is cut.
    fn control(&self) -> Host {
        self.hosts[0]
    }

    /// Every host but the control's: processes first, then clients.
    pub fn hosts(&self) -> Vec<Host> {
        self.hosts[1..].to_vec()
    }

    /// The clients' hosts.
    pub fn client_hosts(&self) -> Vec<Host> {
        self.hosts[self.hosts.len() - usize::from(CLIENT_HOSTS)..].to_vec()
    }

    /// Where sentinels answer.
    pub fn sentinels(&self) -> Vec<SocketAddrV4> {
        self.plan.sentinels.iter().map(|host| SocketAddrV4::new(host.address(), SENTINEL_PORT)).collect()
    }

    /// The node that most sentinels call the master and that agrees: of several that agree (a split), the one that more sentinels name.
    pub fn master(&self) -> Option<usize> {
        let named: Vec<SocketAddrV4> =
            self.sentinels().into_iter().filter_map(|sentinel| master_by(sentinel, GROUP).ok()).collect();
        let votes = |index: &usize| {
            let address = self.members[*index].child.address();
            named.iter().filter(|master| SocketAddr::V4(**master) == address).count()
        };
        self.of_kind(Kind::Node).into_iter().filter(|index| votes(index) > 0).max_by_key(votes)
    }

    /// The sentinels' Raft leader; of Redis's, which have none, the first one.
    pub fn leader(&self) -> Option<usize> {
        let sentinels = self.of_kind(Kind::Sentinel);
        if self.system == System::Redis {
            return sentinels.first().copied();
        }
        let addresses = self.plan.sentinels.iter().map(|host| format!("{}:{}", host.address(), SENTINEL_PORT + SIDE));
        let control = Control::of(addresses.collect());
        let call = control.call(Again::Yes, async |mut client| {
            Ok(client.list_sentinels(v1::ListSentinelsRequest {}).await?.into_inner().sentinels)
        });
        let known = quorate_cli::block_on(call).ok()?;
        let leader = known.iter().find(|sentinel| sentinel.role == "leader")?;
        let host = leader.api_address.rsplit_once(':')?.0.to_owned();
        sentinels.into_iter().find(|index| self.members[*index].host.address().to_string() == host)
    }

    /// Waits until every sentinel names the same master and every node agrees; fails with what was missing at the deadline.
    pub fn wait_settled(&mut self, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let missing = match self.settled() {
                Ok(()) => return Ok(()),
                Err(missing) => missing,
            };
            if Instant::now() > deadline {
                return Err(format!("not in order within {} s: {missing}", within.as_secs()));
            }
            std::thread::sleep(POLL);
        }
    }

    /// What the group is promised is in force: writes that are acknowledged from now on are covered by it.
    fn in_force(&self, master: SocketAddrV4) -> Result<(), String> {
        if self.wanted == Durability::Async {
            return Ok(());
        }
        let info = Connection::open(master).and_then(|mut connection| connection.ask(&["INFO", "replication"]));
        let info = info.map_err(|error| format!("{master}: {error}"))?;
        let text = info.bytes().map(String::from_utf8_lossy).unwrap_or_default();
        match text.contains("\nquorate_durability:quorum\r") {
            true => Ok(()),
            false => Err(format!("durability quorum is not in force at {master}: {text}")),
        }
    }

    fn settled(&mut self) -> Result<(), String> {
        self.reassemble()?;
        let mut named = Vec::new();
        for sentinel in self.sentinels() {
            named.push(master_by(sentinel, GROUP).map_err(|error| format!("sentinel {sentinel}: {error}"))?);
        }
        let master = named[0];
        if named.iter().any(|other| *other != master) {
            return Err(format!("the sentinels name different masters: {named:?}"));
        }
        self.in_force(master)?;
        for index in self.of_kind(Kind::Node) {
            let node = &self.members[index].child;
            let SocketAddr::V4(address) = node.address() else { continue };
            let role = Connection::open(address).and_then(|mut connection| connection.ask(&["ROLE"]));
            let role = role.map_err(|error| format!("{}: {error}", node.name))?;
            if !plays(&role, address, master) {
                return Err(format!("{} says {role} while the sentinels name {master}", node.name));
            }
        }
        Ok(())
    }

    /// Processes that ended by themselves since the last call, other than by being removed.
    pub fn take_dead(&mut self) -> Vec<(usize, Death)> {
        let dead = self.members.iter_mut().enumerate().filter_map(|(index, member)| {
            let ended = member.child.died_unasked().then(|| member.child.ended())??;
            let log = std::fs::read_to_string(&member.child.log).unwrap_or_default();
            if is_removed(&log) {
                return None;
            }
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
            Some((index, Death { name: member.child.name.clone(), how: format!("{ended}\n  {last}") }))
        });
        dead.collect()
    }
}

/// Does the node at this address play its part: the master, or a replica whose link to it is up?
fn plays(role: &Value, address: SocketAddrV4, master: SocketAddrV4) -> bool {
    let parts = role.elements().unwrap_or_default();
    let text = |index: usize| parts.get(index).and_then(Value::bytes).map(String::from_utf8_lossy);
    let port = parts.get(2).and_then(Value::int);
    if address == master {
        return text(0).as_deref() == Some("master");
    }
    text(0).as_deref() == Some("slave")
        && text(1).as_deref() == Some(master.ip().to_string().as_str())
        && port == Some(i64::from(master.port()))
        && text(3).as_deref() == Some("connected")
}
