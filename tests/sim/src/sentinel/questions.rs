//! Clients ask who the master is: they are told what is committed, once a majority has confirmed that nothing newer is (I14).

use quorate_consensus as consensus;

use super::{Around, Event, Host, Sentinel, group_name};
use crate::node::place;

/// Who asked.
pub(super) struct Question {
    client: usize,
    wish: u64,
}

impl Sentinel {
    /// A client asks. It hears nothing where no majority answers.
    pub fn asked(&mut self, around: &mut Around<'_>, client: usize, wish: u64) {
        let Some(process) = &mut self.process else { return };
        process.tickets += 1;
        let ticket = consensus::Ticket(process.tickets);
        if process.raft.read_index(ticket).is_ok() {
            process.questions.insert(ticket, Question { client, wish });
        }
        self.pump(around);
    }

    /// A majority has confirmed what was known when this was asked.
    pub(super) fn confirmed(&mut self, around: &mut Around<'_>, ticket: consensus::Ticket) {
        let Some(process) = &mut self.process else { return };
        let Some(Question { client, wish }) = process.questions.remove(&ticket) else { return };
        let Some(group) = process.registry.group(&group_name()) else { return };
        let (epoch, master) = (group.epoch, place(&group.master));
        if epoch == quorate_registry::Epoch::default() {
            return;
        }
        let arrives = around.net.post(around.queue.now(), Host::Sentinel(self.place), Host::Client(client)).next();
        if let Some(at) = arrives {
            around.queue.push(at, Event::Told { client, wish, epoch, master });
        }
    }
}
