//! One task watches one node: PING, INFO, heartbeats from its agent, hello. What it notices goes to a [`Pulse`], which
//! judges; the outcome leaves as a sight whenever it changes and every [`REPORT_EVERY`].
//!
//! Bounded: one connection for commands, one for hellos, one to the agent; at most [`MAX_PENDING`] unanswered commands; a
//! full queue to the main loop drops a sight, since the next comes within [`REPORT_EVERY`]. Nothing that a node sends can do
//! more than break its connection.

mod agent;
mod info;
pub(crate) mod line;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_registry::{Group, GroupName, NodeKey, Registry, Settings};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::hello::{self, Hello};
use crate::nodes::{Eyes, Me, SeenSender};

pub(crate) use agent::{MAX_REPORT, endpoint};
pub(crate) use info::parse as parse_info;

/// A sight is repeated this often, changed or not. The leader ignores those older than 5 s.
pub const REPORT_EVERY: Duration = Duration::from_millis(500);

/// A sight is never repeated more often than this.
const REPORT_LEAST: Duration = Duration::from_millis(20);

/// More unanswered commands than this are never sent: a node that does not answer is silent, not flooded.
const MAX_PENDING: usize = 16;

/// Another sentinel's hello, heard on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardHello {
    /// On which node.
    pub node: NodeKey,
    /// What it says.
    pub hello: Hello,
}

/// What a probe must know of its group; changes while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watching {
    /// Silence beyond this makes the node suspect.
    pub down_after: Duration,
    /// Ask for INFO often: a failover is running, or the node is new.
    pub hurry: bool,
    /// What to publish as hello.
    pub hello: Arc<str>,
    /// This sentinel's id, whose hellos are not news.
    pub me: String,
    settings: Arc<Settings>,
}

impl Watching {
    fn of(registry: &Registry, name: &GroupName, group: &Group, me: &Me) -> Self {
        let hello = Hello {
            sentinel: me.resp.clone(),
            sentinel_id: me.sentinel_id.clone(),
            current_epoch: registry.current_epoch(),
            group: name.clone(),
            master: group.master.clone(),
            config_epoch: group.epoch,
        };
        Self {
            down_after: group.settings.down_after(),
            hurry: group.failover.is_some() || group.down_since.is_some(),
            hello: hello.to_string().into(),
            me: me.sentinel_id.clone(),
            settings: Arc::new(group.settings.clone()),
        }
    }

    /// A command under the name that the node knows it by.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Vec<Vec<u8>> {
        command(&self.settings, name, arguments)
    }

    /// AUTH, if a password is set.
    pub(crate) fn auth_command(&self) -> Option<Vec<Vec<u8>>> {
        auth_command(&self.settings)
    }
}

/// A command under the name that the group's nodes know it by (`rename-command`).
pub(crate) fn command(settings: &Settings, name: &str, arguments: &[&str]) -> Vec<Vec<u8>> {
    let renamed = settings.rename_command.iter().find(|(from, _)| from.eq_ignore_ascii_case(name));
    let name = renamed.map_or(name, |(_, to)| to.as_str());
    std::iter::once(name).chain(arguments.iter().copied()).map(|word| word.as_bytes().to_vec()).collect()
}

/// AUTH, if a password is set.
pub(crate) fn auth_command(settings: &Settings) -> Option<Vec<Vec<u8>>> {
    let password = settings.auth_pass.as_deref()?;
    let arguments: Vec<&str> = settings.auth_user.as_deref().into_iter().chain([password]).collect();
    Some(command(settings, "AUTH", &arguments))
}

/// The probes of every node of every group: the sentinel's eyes.
pub struct Probes {
    clock: Clock,
    me: Me,
    secret: Option<Arc<str>>,
    out: SeenSender,
    hellos: Option<mpsc::Sender<HeardHello>>,
    tasks: Mutex<BTreeMap<(GroupName, NodeKey), Probe>>,
}

struct Probe {
    watching: watch::Sender<Watching>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Probes {
    /// No probes yet. `secret` is what the agents ask for; `out` gets what the probes see, and `hellos`, if given, what other
    /// sentinels say on the nodes.
    pub fn new(
        clock: Clock,
        me: Me,
        secret: Option<Arc<str>>,
        out: SeenSender,
        hellos: Option<mpsc::Sender<HeardHello>>,
    ) -> Self {
        Self { clock, me, secret, out, hellos, tasks: Mutex::default() }
    }

    fn start(&self, name: &GroupName, node: &NodeKey, watching: Watching) -> Probe {
        let (sender, receiver) = watch::channel(watching);
        let listening = self
            .hellos
            .as_ref()
            .map(|hellos| tokio::spawn(hello::listen(node.clone(), receiver.clone(), hellos.clone())));
        let place = (name.clone(), node.clone());
        let watcher = watcher::Watcher::new(self.clock, place, self.secret.clone(), receiver, self.out.clone());
        let tasks = std::iter::once(tokio::spawn(watcher.run())).chain(listening).collect();
        Probe { watching: sender, tasks }
    }
}

impl Eyes for Probes {
    fn look(&self, registry: &Arc<Registry>) {
        let mut tasks = self.tasks.lock().expect("no holder panics");
        tasks.retain(|(name, node), _| registry.group(name).is_some_and(|group| group.nodes.contains_key(node)));
        for (name, group) in &registry.groups {
            let watching = Watching::of(registry, name, group, &self.me);
            for node in group.nodes.keys() {
                let place = (name.clone(), node.clone());
                let Some(probe) = tasks.get(&place) else {
                    let probe = self.start(name, node, watching.clone());
                    tasks.insert(place, probe);
                    continue;
                };
                probe.watching.send_if_modified(|known| {
                    let changed = *known != watching;
                    if changed {
                        known.clone_from(&watching);
                    }
                    changed
                });
            }
        }
    }
}
