//! A node of a group: its state file, its agent, and what the loop leaves for it after each turn.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_engine::{Engine, Keep, Promises, Report, Ticket};
use quorate_replication::{Lease, NodeId};

use crate::agent::{Agent, Kept, Settings, StateFile, Vitals};
use crate::{Mail, Mailbox, NodeError, host, listen};

/// How often the facts are refreshed though nothing but times changed in them.
const REFRESH: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Member {
    agent: Agent,
    vitals: Arc<Vitals>,
    published: u64,
    refreshed_at: Duration,
}

impl Member {
    /// Joins the group that the configuration names, if it names one: the node boots fenced (I11).
    pub fn join(engine: &mut Engine, mailbox: &Mailbox) -> Result<Option<Member>, NodeError> {
        let config = engine.config();
        if config.group.is_empty() {
            return Ok(None);
        }
        let (group, secret) = (config.group.clone(), config.secret.clone());
        let listeners = listen::tcp(config, config.agent_port())?;
        let mut rng = host::rng();
        let fresh_id: String = (0..40).map(|_| char::from_digit(rng.u32(0..16), 16).expect("below 16")).collect();
        let (state, kept) = StateFile::open(Path::new("."), &fresh_id).map_err(NodeError::State)?;
        let promises = match kept {
            Kept::Found => Promises::Kept,
            Kept::Fresh => Promises::Lost,
        };
        let node = NodeId::parse(state.node_id().as_bytes()).expect("the state file's id was checked");
        let core = engine.core_mut();
        core.join_group(&group, node, state.kept().clone(), promises, host::boot_id());
        // A random first number: no grant for an earlier process fits.
        let lease = Arc::new(Mutex::new(Lease::new(rng.u64(1..1 << 48))));
        core.replication.set_lease(Arc::clone(&lease));
        // Nothing is known of the dataset before the first turn, which says whether it has to be loaded.
        let facts = quorate_engine::Facts { loading: true, ..core.facts() };
        let vitals = Arc::new(Vitals::new(host::clock, facts));
        let run_id = core.run_id.clone();
        let settings = Settings { listeners, secret, run_id, state, vitals: Arc::clone(&vitals), lease };
        let mailbox = mailbox.clone();
        let agent = Agent::start(settings, move |mail: Mail| mailbox.send(mail));
        let agent = agent.map_err(|error| NodeError::System("the agent's thread", error))?;
        Ok(Some(Member { agent, vitals, published: u64::MAX, refreshed_at: Duration::ZERO }))
    }

    /// The loop begins a turn: from now on the engine is busy.
    pub fn turn_begins(&self, now: Duration) {
        self.vitals.turn_begins(now);
    }

    /// The turn is over: leaves what changed.
    pub fn turn_ended(&mut self, engine: &Engine) {
        let core = engine.core();
        let (version, now) = (core.replication.version(), core.now.mono);
        if version != self.published {
            self.published = version;
            self.vitals.publish(core.facts());
        } else if now >= self.refreshed_at + REFRESH {
            self.refreshed_at = now;
            self.vitals.refresh(core.facts());
        }
        self.vitals.turn_ends(core.replication.offset(), core.replication.committed());
    }

    /// The engine has something to remember: its loop does not wait for the disk.
    pub fn keep(&self, keep: Keep) {
        self.agent.keep(keep);
    }

    /// The engine has answered the agent.
    pub fn answer(&self, ticket: Ticket, report: Report) {
        self.agent.answer(ticket, report);
    }
}
