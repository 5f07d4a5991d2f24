//! How the engine takes what sessions have sent: cut a window at a time (`batch.rs`), then run command by command.

use std::mem::MaybeUninit;
use std::sync::Arc;

use quorate_collections::Filled;
use quorate_keyspace::KeyHash;
use quorate_resp::{Limits, Writer};

use super::Engine;
use crate::batch::{Argv, BATCH, LANES, Lane, Received, WINDOW};
use crate::dispatch::{self, Next};
use crate::gather::Gathered;
use crate::session::Session;
use crate::{Closing, SessionId};

/// What came of a batch: `Some(bytes)` if it stopped behind so many, and what follows is to be read again.
type Ran = (Box<Session>, Option<usize>);

/// What came of a lane's commands.
struct Spent {
    /// Bytes of the buffer that are used up.
    bytes: usize,
    /// Whether what follows may hold whole commands, and may be looked at.
    goes_on: bool,
}

impl Engine {
    /// Takes what several sessions have sent, all of it in `buffer`: the same as an `Input::Received` for each, in this order, but the keys
    /// of all are fetched together.
    pub fn feed_all(&mut self, received: &[Received], buffer: &[u8]) {
        self.core.end_lease_since(&mut self.keyspace);
        let mut lanes = std::mem::take(&mut self.lanes);
        let mut left = received;
        while !left.is_empty() {
            let (mut taken, mut commands) = (0, 0);
            for one in left.iter().take(LANES) {
                if lanes.len() == taken {
                    lanes.push(Lane::default());
                }
                commands += self.cut_first(one, buffer, &mut lanes[taken]);
                taken += 1;
                if commands >= WINDOW {
                    break;
                }
            }
            let window;
            (window, left) = left.split_at(taken);
            self.wanted.fetch(&mut self.keyspace);
            for (one, lane) in window.iter().zip(&mut lanes) {
                self.received(one.id, &buffer[one.bytes.clone()], lane);
                self.serve();
            }
        }
        self.lanes = lanes;
    }

    /// Cuts the first commands of what a session sent, unless it cannot run them at once; returns how many.
    fn cut_first(&mut self, one: &Received, buffer: &[u8], lane: &mut Lane) -> usize {
        lane.empty();
        let now = self.core.now.mono;
        let Some(session) = self.core.sessions.get_mut(one.id) else { return 0 };
        session.last_heard = now;
        session.bytes_in += one.bytes.len() as u64;
        self.core.stats.net_input += one.bytes.len() as u64;
        self.core.stats.reads += 1;
        if session.is_stopped() || !session.rest.is_empty() || std::mem::replace(&mut session.in_window, true) {
            return 0;
        }
        let session = self.core.sessions.get(one.id).expect("just seen");
        let limits = self.limits(session);
        self.wanted.change_to(session.db, &mut self.keyspace);
        let db = self.keyspace.db(session.db);
        lane.cut(None, &buffer[one.bytes.clone()], limits, &db, &mut self.wanted.keys);
        lane.requests.len()
    }

    fn received(&mut self, id: SessionId, bytes: &[u8], lane: &mut Lane) {
        let Some(mut session) = self.core.sessions.take(id) else { return };
        session.in_window = false;
        if session.closing.is_some() {
            self.core.sessions.put_back(session);
            return;
        }
        let session = if session.rest.is_empty() && !session.is_stopped() {
            let (mut session, used) = self.process(session, bytes, lane);
            if used < bytes.len() {
                self.keep(&mut session, &bytes[used..]);
            }
            session
        } else {
            let bytes = session.gather(bytes, &self.core.ahead);
            if bytes.is_empty() {
                return self.limit_input(session);
            }
            if let Some(partial) = &session.partial
                && session.rest.capacity() < partial.needs()
            {
                let more = partial.needs().min(2 * session.rest.capacity().max(64 * 1024));
                session.rest.reserve(more.saturating_sub(session.rest.len()));
            }
            session.rest.extend_from_slice(bytes);
            lane.empty();
            self.process_rest(session, lane)
        };
        self.limit_input(session);
    }

    fn process_rest(&mut self, mut session: Box<Session>, lane: &mut Lane) -> Box<Session> {
        let mut rest = std::mem::take(&mut session.rest);
        let (mut session, used) = self.process(session, &rest, lane);
        if session.is_before_large() {
            self.keep(&mut session, &rest[used..]);
            return session;
        }
        if used == rest.len() && rest.capacity() > 64 * 1024 {
            rest = Vec::new();
        } else {
            rest.drain(..used);
        }
        if session.partial.is_none()
            && let Some(gathered) = session.gathered.take()
            && session.postponed
        {
            gathered.put_back(&mut rest);
        }
        session.rest = rest;
        session
    }

    /// Keeps what is no whole command.
    #[inline]
    fn keep(&mut self, session: &mut Session, unread: &[u8]) {
        if session.keep(unread, &self.core.ahead) {
            self.core.gathering.push(session.id);
        }
    }

    /// Sessions whose large arguments have begun to arrive since the last call: `fill` may take what they send next.
    pub fn take_gathering(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.core.gathering)
    }

    /// Lets `read` put what a session sends next where it belongs, at most so many bytes, if a large argument of its is arriving. `read` is given
    /// room that holds nothing yet, and returns what it has written at its front. It is not called for more than the argument.
    pub fn fill<E>(
        &mut self,
        id: SessionId,
        at_most: usize,
        read: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<&mut [u8], E>,
    ) -> Option<Result<Filled, E>> {
        let session = self.core.sessions.get_mut(id).filter(|session| session.closing.is_none())?;
        let filled = session.fill(at_most, &self.core.ahead, read)?;
        if let Ok(Filled { count, .. }) = filled {
            session.last_heard = self.core.now.mono;
            session.bytes_in += count as u64;
            self.core.stats.net_input += count as u64;
            self.core.stats.reads += 1;
            let session = self.core.sessions.take(id).expect("just seen");
            self.limit_input(session);
        }
        Some(filled)
    }

    fn limit_input(&mut self, mut session: Box<Session>) {
        let unread = session.unread() + session.multi.as_ref().map_or(0, |multi| multi.bytes);
        if unread as u64 > self.core.config.client_query_buffer_limit && session.is_client() {
            self.core.stats.query_buffer_closed += 1;
            self.core.close(&mut session, Closing::Now);
        }
        self.core.sessions.put_back(session);
    }

    /// Runs the whole commands at the front of `buffer` until the session has to stop; returns how many bytes are spent. The first of them
    /// may have been cut into `lane` already.
    fn process(&mut self, mut session: Box<Session>, buffer: &[u8], lane: &mut Lane) -> (Box<Session>, usize) {
        let (mut used, mut goes_on) = (0, true);
        while goes_on && !session.is_stopped() && used < buffer.len() {
            let unread = &buffer[used..];
            if used > 0 || lane.is_empty() {
                let limits = self.limits(&session);
                self.wanted.change_to(session.db, &mut self.keyspace);
                let db = self.keyspace.db(session.db);
                lane.cut(session.partial.take(), unread, limits, &db, &mut self.wanted.keys);
                self.wanted.fetch(&mut self.keyspace);
            }
            let spent;
            (session, spent) = self.run_lane(session, lane, unread);
            used += spent.bytes;
            goes_on = spent.goes_on;
        }
        lane.shrink();
        (session, used)
    }

    /// Runs a lane's commands, and settles what stands behind them.
    fn run_lane(&mut self, session: Box<Session>, lane: &mut Lane, buffer: &[u8]) -> (Box<Session>, Spent) {
        let (mut session, stopped) = if session.gathered.is_none() {
            self.run_batch(session, lane, buffer, None)
        } else {
            self.run_gathered(session, lane, buffer)
        };
        self.keyspace.expect(KeyHash::NONE);
        if let Some(bytes) = stopped {
            return (session, Spent { bytes, goes_on: true });
        }
        if let Some(error) = lane.error {
            let text = format!("ERR {error}");
            self.core.stats.error(&text);
            Writer::new(&mut session.output.bytes, session.protocol).error(&text);
            self.core.sessions.list(&mut session);
            self.core.close(&mut session, Closing::AfterFlush);
            return (session, Spent { bytes: buffer.len(), goes_on: false });
        }
        if !lane.full {
            session.partial = lane.requests.take_partial();
        }
        (session, Spent { bytes: lane.requests.consumed(), goes_on: lane.full })
    }

    /// Runs a batch to whose first command large arguments belong that were left out of the buffer. They stay with a command that is to be read again.
    #[inline(never)]
    fn run_gathered(&mut self, mut session: Box<Session>, lane: &Lane, buffer: &[u8]) -> Ran {
        let gathered = session.gathered.take_if(|_| !lane.requests.is_empty());
        let mut ran = self.run_batch(session, lane, buffer, gathered.as_deref());
        self.core.given.clear();
        if ran.1 == Some(0) {
            ran.0.gathered = gathered;
        }
        ran
    }

    /// Runs a batch; `left_out` belongs to the first of the commands.
    fn run_batch(
        &mut self,
        mut session: Box<Session>,
        lane: &Lane,
        buffer: &[u8],
        mut left_out: Option<&Gathered>,
    ) -> Ran {
        let mut before = 0;
        let mut argv = Argv::default();
        let mut rest = &lane.planned[..];
        self.core.lap.restart();
        for command in lane.requests.commands(buffer) {
            let (planned, behind) = rest.split_first().expect("each command found is planned");
            rest = behind;
            let (argv, key) = match left_out.take() {
                None => (argv.of(&command), planned.key),
                Some(gathered) => {
                    self.core.given.extend(gathered.arguments().map(|(_, bytes)| Arc::clone(bytes)));
                    (argv.with(&command, gathered), KeyHash::NONE)
                }
            };
            self.keyspace.expect(key);
            self.core.lap.goes_on = planned.is_followed_by(behind.first());
            let mut out = std::mem::take(&mut session.output.bytes);
            let row = planned.row;
            let next = dispatch::request(&mut self.keyspace, &mut self.core, &mut session, &mut out, argv, row);
            session.output.bytes = out;
            if !self.core.lent.is_empty() {
                session.output.take_over(&mut self.core.lent);
            }
            if !session.output.bytes.is_empty() {
                self.core.sessions.list(&mut session);
            }
            if next == Next::Stay {
                return (session, Some(before));
            }
            before = command.consumed();
            if self.core.blocking.has_ready() {
                let id = session.id;
                self.core.sessions.put_back(session);
                self.serve();
                session = self.core.sessions.take(id).expect("only an input removes a session");
            }
            if session.is_stopped() || !session.authenticated {
                return (session, Some(before));
            }
        }
        (session, None)
    }

    /// What a session may send, and how many of its commands may be cut at a time: one that still has to authenticate may be allowed more
    /// behind each.
    fn limits(&self, session: &Session) -> (Limits, usize) {
        let at_most = if session.authenticated { BATCH } else { 1 };
        if session.is_client() && !session.authenticated {
            (Limits::of_stranger(), at_most)
        } else {
            (Limits::of_peer(self.core.config.proto_max_bulk_len.min(i64::MAX as u64) as i64), at_most)
        }
    }

    /// Lets unblocked sessions go on with what they had sent meanwhile.
    pub(super) fn go_on(&mut self) {
        while let Some(id) = self.core.resumed.pop() {
            let Some(session) = self.core.sessions.take(id) else { continue };
            let session = if session.rest.is_empty() || session.is_stopped() {
                session
            } else {
                let mut lane = self.lanes.pop().unwrap_or_default();
                lane.empty();
                let session = self.process_rest(session, &mut lane);
                self.lanes.push(lane);
                session
            };
            self.limit_input(session);
            self.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Stage;

    #[test]
    fn a_large_request_leaves_no_memory_behind() {
        let mut stage = Stage::new();
        let (pairs, mut request) = (100_000, b"*200001\r\n$4\r\nmset\r\n".to_vec());
        (0..2 * pairs).for_each(|_| request.extend_from_slice(b"$1\r\na\r\n"));
        stage.send(1, &request);
        assert_eq!(stage.hear(1), "+OK");
        let kept: usize = stage.engine.lanes.iter().map(|lane| lane.memory()).sum();
        assert!(kept < 1024 * 1024, "{kept} bytes are kept");
    }
}
