//! Hosts that reach each other, link by link.
//!
//! As namespaces they are on one switch, and a link is cut in one direction by giving the sender a hardware address that nobody has: what it sends is lost without a word, as on a real
//! network, and connections that stand stay open and time out in their own time. Both directions are two cuts. Needs iproute2 and no firewall.
//! Where there are no namespaces, a proxy cuts (`proxy.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;

use super::host::{Host, Medium};
use super::proxy::Proxy;
use super::tool;

/// An address that no host has.
const NOBODY: &str = "02:ff:ff:ff:ff:ff";

/// A slow link's rate: a page of replies takes a while, a ping does not.
const SLOW: &str = "rate 256kbit burst 4kb latency 500ms";

/// All hosts and what is cut between them.
pub struct Network {
    hosts: Vec<Host>,
    cut: BTreeSet<(Host, Host)>,
    proxy: Option<Proxy>,
}

impl Network {
    /// Connects these hosts. `listening`: the ports that others reach on some of them.
    pub fn build(hosts: &[Host], listening: &[(Host, Vec<u16>)]) -> io::Result<Self> {
        let proxied = hosts[0].medium == Medium::Proxy;
        let proxy = proxied.then(|| Proxy::start(listening, hosts[0])).transpose()?;
        let network = Self { hosts: hosts.to_vec(), cut: BTreeSet::new(), proxy };
        if !proxied {
            network.wire()?;
        }
        Ok(network)
    }

    /// Makes the namespaces and a cable from each to the switch.
    fn wire(&self) -> io::Result<()> {
        tool(&["ip", "-batch", "-"], "netns add switch\n")?;
        let mut script = String::new();
        for host in self.all() {
            writeln!(script, "netns add {}", host.name()).expect("a string takes all");
            writeln!(
                script,
                "link add eth0 netns {} address {} type veth peer name p{} netns switch",
                host.name(),
                host.hardware(),
                host.number
            )
            .expect("a string takes all");
        }
        tool(&["ip", "-batch", "-"], &script)?;
        let ports = self.all().map(|host| format!("link set p{} master bridge up\n", host.number));
        let script = format!("link add bridge type bridge\nlink set bridge up\n{}", ports.collect::<String>());
        tool(&["ip", "-n", "switch", "-batch", "-"], &script)?;
        for host in self.all() {
            let script = format!("link set lo up\nlink set eth0 up\naddr add {}/24 dev eth0\n", host.address());
            tool(&["ip", "-n", &host.name(), "-batch", "-"], &script)?;
            self.tell(host, self.all().filter(|other| *other != host))?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = Host> {
        self.hosts.iter().copied()
    }

    /// This process runs on this host.
    pub fn note_process(&self, process: u32, host: Host) {
        if let Some(proxy) = &self.proxy {
            proxy.note(process, host);
        }
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
        if let Some(proxy) = &self.proxy {
            proxy.set_slow(host, slow);
            return Ok(());
        }
        let name = host.name();
        let device = ["tc", "-n", &name, "qdisc"];
        match slow {
            true => tool(&[&device[..], &["replace", "dev", "eth0", "root", "tbf"], &words(SLOW)].concat(), ""),
            false => tool(&[&device[..], &["delete", "dev", "eth0", "root"]].concat(), ""),
        }
    }

    fn apply(&self, links: &[(Host, Host)]) -> io::Result<()> {
        if let Some(proxy) = &self.proxy {
            proxy.set_cut(&self.cut);
            return Ok(());
        }
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
