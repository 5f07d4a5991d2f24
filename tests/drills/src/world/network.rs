//! Hosts on one switch, each a network namespace with an address of its own.
//!
//! A link is cut in one direction by giving the sender a hardware address that nobody has: what it sends is lost without a word, as on a real
//! network, and connections that stand stay open and time out in their own time. Both directions are two cuts. Needs iproute2 and no firewall.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::tool;

/// A host on the network, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub u8);

impl Host {
    /// Its address.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.0 + 1)
    }

    fn name(self) -> String {
        format!("h{}", self.0)
    }

    /// Its hardware address.
    fn hardware(self) -> String {
        format!("02:00:00:00:00:{:02x}", self.0 + 1)
    }

    /// Moves the calling thread to this host: sockets that it makes from now on, and processes that it starts, are there.
    pub fn enter(self) -> io::Result<()> {
        let namespace = File::open(format!("/run/netns/{}", self.name()))?;
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// An address that no host has.
const NOBODY: &str = "02:ff:ff:ff:ff:ff";

/// A slow link's rate: a page of replies takes a while, a ping does not.
const SLOW: &str = "rate 256kbit burst 4kb latency 500ms";

/// All hosts and what is cut between them.
pub struct Network {
    hosts: u8,
    cut: BTreeSet<(Host, Host)>,
}

impl Network {
    /// Builds hosts 0 to `hosts` - 1, all connected.
    pub fn build(hosts: u8) -> io::Result<Self> {
        let network = Self { hosts, cut: BTreeSet::new() };
        tool(&["ip", "-batch", "-"], "netns add switch\n")?;
        let mut script = String::new();
        for host in network.all() {
            writeln!(script, "netns add {}", host.name()).expect("a string takes all");
            writeln!(
                script,
                "link add eth0 netns {} address {} type veth peer name p{} netns switch",
                host.name(),
                host.hardware(),
                host.0
            )
            .expect("a string takes all");
        }
        tool(&["ip", "-batch", "-"], &script)?;
        let ports = network.all().map(|host| format!("link set p{} master bridge up\n", host.0));
        let script = format!("link add bridge type bridge\nlink set bridge up\n{}", ports.collect::<String>());
        tool(&["ip", "-n", "switch", "-batch", "-"], &script)?;
        for host in network.all() {
            let script = format!("link set lo up\nlink set eth0 up\naddr add {}/24 dev eth0\n", host.address());
            tool(&["ip", "-n", &host.name(), "-batch", "-"], &script)?;
            network.tell(host, network.all().filter(|other| *other != host))?;
        }
        Ok(network)
    }

    fn all(&self) -> impl Iterator<Item = Host> + use<> {
        (0..self.hosts).map(Host)
    }

    /// Cuts these links, each from the first host to the second, beside what is cut already.
    pub fn cut(&mut self, links: impl IntoIterator<Item = (Host, Host)>) -> io::Result<()> {
        let added: Vec<(Host, Host)> = links.into_iter().filter(|link| self.cut.insert(*link)).collect();
        self.apply(&added)
    }

    /// Mends these links.
    pub fn mend(&mut self, links: impl IntoIterator<Item = (Host, Host)>) -> io::Result<()> {
        let removed: Vec<(Host, Host)> = links.into_iter().filter(|link| self.cut.remove(link)).collect();
        self.apply(&removed)
    }

    /// Makes what this host sends slow, or fast again.
    pub fn set_slow(&self, host: Host, slow: bool) -> io::Result<()> {
        let name = host.name();
        let device = ["tc", "-n", &name, "qdisc"];
        match slow {
            true => tool(&[&device[..], &["replace", "dev", "eth0", "root", "tbf"], &words(SLOW)].concat(), ""),
            false => tool(&[&device[..], &["delete", "dev", "eth0", "root"]].concat(), ""),
        }
    }

    fn apply(&self, links: &[(Host, Host)]) -> io::Result<()> {
        let mut by_sender: BTreeMap<Host, Vec<Host>> = BTreeMap::new();
        for (from, to) in links {
            by_sender.entry(*from).or_default().push(*to);
        }
        by_sender.into_iter().try_for_each(|(from, to)| self.tell(from, to.into_iter()))
    }

    /// Tells a host where others are, or that they are nowhere.
    fn tell(&self, host: Host, others: impl Iterator<Item = Host>) -> io::Result<()> {
        let line = |other: Host| {
            let cut = self.cut.contains(&(host, other));
            let hardware = if cut { NOBODY.to_owned() } else { other.hardware() };
            format!("neigh replace {} lladdr {hardware} nud permanent dev eth0\n", other.address())
        };
        tool(&["ip", "-n", &host.name(), "-batch", "-"], &others.map(line).collect::<String>())
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
