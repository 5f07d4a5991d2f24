//! Sessions that wait: for keys (BLPOP), for acknowledgements (WAIT), each with an optional deadline.
//!
//! A blocked command is kept with its arguments and simply runs again when what it waits for may have come: it then replies, or blocks again
//! without losing its place. At its deadline it runs a last time, with `Call::timed_out()`, and must reply. So a blocking command is
//! written once:
//!
//! ```text
//! fn blpop(call) { for key in keys { if let Some(popped) = … { return …; } }
//!                  call.block(keys, timeout, Reply::NullArray) }
//! ```
//!
//! A key becomes ready through `Call::changed`, whatever the command: waiters are served after the command (or the whole EXEC) that made
//! it ready, the longest waiting first, each against the state that the one before left.
//!
//! ```text
//! Running --block--> Blocked --key changed--> Running again --reply--> free
//!                       ^------------block again--|
//! Blocked --deadline / CLIENT UNBLOCK TIMEOUT--> Running, timed out --reply--> free
//! Blocked --CLIENT UNBLOCK ERROR / role change--> error reply --> free      Blocked --connection lost--> gone
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use quorate_keyspace::DbIndex;

use crate::commands::float::parse_unbounded;
use crate::{Refusal, SessionId};

/// How long a session waits: `None` for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// The unit of a timeout argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, fractions allowed (BLPOP).
    Seconds,
    /// Whole milliseconds (WAIT).
    Milliseconds,
}

impl Timeout {
    /// Reads a timeout argument; 0 is for ever.
    pub fn parse(argument: &[u8], unit: Unit) -> Result<Timeout, Refusal> {
        let ms = match unit {
            Unit::Milliseconds => quorate_resp::parse_int(argument)
                .ok_or(Refusal::fixed("ERR timeout is not an integer or out of range"))?,
            Unit::Seconds => {
                let seconds =
                    parse_unbounded(argument).ok_or(Refusal::fixed("ERR timeout is not a float or out of range"))?;
                let ms = (seconds * 1000.0).ceil();
                if ms >= i64::MAX as f64 {
                    return Err(Refusal::fixed("ERR timeout is out of range"));
                }
                ms as i64
            }
        };
        match u64::try_from(ms) {
            Err(_) => Err(Refusal::fixed("ERR timeout is negative")),
            Ok(0) => Ok(Timeout(None)),
            Ok(ms) => Ok(Timeout(Some(Duration::from_millis(ms)))),
        }
    }
}

/// What a blocked session waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// Any change of one of these keys.
    Keys(DbIndex, Vec<Box<[u8]>>),
    /// Any acknowledgement of a replica, or of the disk.
    Acks,
}

/// A session's wait, and the command that will run again.
#[derive(Debug)]
pub(crate) struct Blocked {
    pub argv: Vec<Box<[u8]>>,
    pub wait: WaitFor,
    pub deadline: Option<Duration>,
}

/// Why a blocked command runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What it waits for may have come.
    Ready,
    /// It must reply now.
    TimedOut,
}

/// A key of a database.
pub(crate) type Place = (DbIndex, Box<[u8]>);

/// Every waiting session.
#[derive(Debug, Default)]
pub(crate) struct Blocking {
    queues: BTreeMap<Place, VecDeque<SessionId>>,
    acks: VecDeque<SessionId>,
    deadlines: BTreeSet<(Duration, SessionId)>,
    ready_keys: VecDeque<Place>,
    acks_ready: bool,
}

impl Blocking {
    /// A key changed: whoever waits for it is to be woken.
    #[inline]
    pub fn signal(&mut self, db: DbIndex, key: &[u8]) {
        if self.queues.is_empty() {
            return;
        }
        let place = (db, key.into());
        if self.queues.contains_key(&place) && !self.ready_keys.contains(&place) {
            self.ready_keys.push_back(place);
        }
    }

    /// A whole database changed (SWAPDB): whoever waits for any of its keys is to be woken.
    pub fn signal_all(&mut self, db: DbIndex) {
        let keys: Vec<_> = self.queues.keys().filter(|(of, _)| *of == db).cloned().collect();
        for (db, key) in keys {
            self.signal(db, &key);
        }
    }

    /// A replica or the disk acknowledged something.
    pub fn signal_acks(&mut self) {
        self.acks_ready = !self.acks.is_empty();
    }

    /// Whether somebody is to be woken.
    pub fn has_ready(&self) -> bool {
        !self.ready_keys.is_empty() || self.acks_ready
    }

    /// Whom to wake next, the longest waiting first, and because of which key. Each is to run again in this order, as long as the key exists.
    pub fn take_ready(&mut self) -> (Option<Place>, Vec<SessionId>) {
        if let Some(place) = self.ready_keys.pop_front() {
            let waiting = self.queues.get(&place).map(|queue| queue.iter().copied().collect()).unwrap_or_default();
            return (Some(place), waiting);
        }
        if std::mem::take(&mut self.acks_ready) {
            return (None, self.acks.iter().copied().collect());
        }
        (None, Vec::new())
    }

    /// The session begins to wait, or goes on: a place that it holds already is kept.
    pub fn enter(&mut self, id: SessionId, blocked: &Blocked) {
        match &blocked.wait {
            WaitFor::Keys(db, keys) => {
                for key in keys {
                    let queue = self.queues.entry((*db, key.clone())).or_default();
                    if !queue.contains(&id) {
                        queue.push_back(id);
                    }
                }
            }
            WaitFor::Acks => {
                if !self.acks.contains(&id) {
                    self.acks.push_back(id);
                }
            }
        }
        if let Some(deadline) = blocked.deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    /// The session waits no longer.
    pub fn leave(&mut self, id: SessionId, blocked: &Blocked) {
        match &blocked.wait {
            WaitFor::Keys(db, keys) => {
                for key in keys {
                    let place = (*db, key.clone());
                    if let Some(queue) = self.queues.get_mut(&place) {
                        queue.retain(|waiting| *waiting != id);
                        if queue.is_empty() {
                            self.queues.remove(&place);
                        }
                    }
                }
            }
            WaitFor::Acks => self.acks.retain(|waiting| *waiting != id),
        }
        if let Some(deadline) = blocked.deadline {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Sessions whose deadline has come, earliest first.
    pub fn due(&self, now: Duration) -> Vec<SessionId> {
        self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| *id).collect()
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// How many waits have a deadline: INFO's clients_in_timeout_table.
    pub fn deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// How many keys are waited for: INFO's total_blocking_keys.
    pub fn keys(&self) -> usize {
        self.queues.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Stage, scenario};

    #[test]
    fn whoever_waits_longest_is_served_first() {
        scenario(
            "2> blpop a b 0
             3> blpop b 0
             > rpush b 1
             :1
             2< [$b $1]
             > rpush b 2 3
             :2
             3< [$b $2]
             > llen b
             :1
             stream [$SELECT $0] [$rpush $b $1] [$LPOP $b] [$rpush $b $2 $3] [$LPOP $b]",
        );
    }

    #[test]
    fn several_elements_serve_several_in_their_order() {
        scenario(
            "2> blpop a 0
             3> blpop a 0
             4> blpop a 0
             > rpush a 1 2
             :2
             2< [$a $1]
             3< [$a $2]
             > rpush a 3
             :1
             4< [$a $3]",
        );
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_pipelined_commands_go_on() {
        scenario(
            "2> blpop a 0.1
             2> ping
             wait 50
             wait 60
             2< nil-array
             2< +PONG
             > rpush a 1
             :1
             > blpop a 0.1
             [$a $1]",
        );
    }

    #[test]
    fn a_deadline_is_not_moved_by_waking_in_vain() {
        scenario(
            "2> blpop a 0.1
             wait 60
             > multi
             +OK
             > rpush a 1
             +QUEUED
             > del a
             +QUEUED
             > exec
             [:1 :1]
             wait 60
             2< nil-array",
        );
    }

    #[test]
    fn exec_serves_after_its_last_command_and_never_blocks() {
        scenario(
            "2> blpop a 0
             > multi
             +OK
             > rpush a 1
             +QUEUED
             > lpush a 0
             +QUEUED
             > blpop c 0
             +QUEUED
             > exec
             [:1 :2 nil-array]
             2< [$a $0]",
        );
    }

    #[test]
    fn waits_can_be_ended_by_others() {
        scenario(
            "2> blpop a 0
             > client unblock 2
             :1
             2< nil-array
             > client unblock 2
             :0
             2> blpop a 0
             > client unblock 2 error
             :1
             2< -UNBLOCKED client unblocked via CLIENT UNBLOCK
             2> ping
             +PONG",
        );
    }

    #[test]
    fn a_wait_of_the_wrong_type_goes_on() {
        scenario(
            "2> blpop a 0
             > set a 1
             +OK
             > del a
             :1
             > rpush a 1
             :1
             2< [$a $1]",
        );
    }

    #[test]
    fn a_session_that_leaves_waits_no_more() {
        let mut stage = Stage::new();
        stage.say(2, "blpop a 0");
        stage.turn(Some(crate::Input::Closed { id: SessionId(2) }));
        assert_eq!(stage.say(1, "rpush a 1"), ":1");
        assert_eq!(stage.say(1, "llen a"), ":1");
        assert_eq!(stage.engine.core().blocking.keys(), 0);
    }

    #[test]
    fn swapping_databases_wakes() {
        scenario(
            "2> blpop a 0
             > select 1
             +OK
             > rpush a 1
             :1
             > swapdb 0 1
             +OK
             2< [$a $1]",
        );
    }

    #[test]
    fn timeouts_are_read_as_redis_reads_them() {
        let seconds =
            |text: &str| Timeout::parse(text.as_bytes(), Unit::Seconds).map_err(|refusal| refusal.to_string());
        assert_eq!(seconds("0"), Ok(Timeout(None)));
        assert_eq!(seconds("0.5"), Ok(Timeout(Some(Duration::from_millis(500)))));
        assert_eq!(seconds("0.0001"), Ok(Timeout(Some(Duration::from_millis(1)))));
        assert_eq!(seconds("-1"), Err("ERR timeout is negative".into()));
        assert_eq!(seconds("1e300"), Err("ERR timeout is out of range".into()));
        assert_eq!(seconds("inf"), Err("ERR timeout is out of range".into()));
        assert_eq!(seconds("1e400"), Err("ERR timeout is out of range".into()));
        assert_eq!(seconds("-inf"), Err("ERR timeout is negative".into()));
        assert_eq!(seconds("x"), Err("ERR timeout is not a float or out of range".into()));
        let ms =
            |text: &str| Timeout::parse(text.as_bytes(), Unit::Milliseconds).map_err(|refusal| refusal.to_string());
        assert_eq!(ms("1.5"), Err("ERR timeout is not an integer or out of range".into()));
        assert_eq!(ms("15"), Ok(Timeout(Some(Duration::from_millis(15)))));
    }
}
