//! A node's loop: one turn in its stages, between any two of which the process may be stopped.

use std::time::Duration;

use quorate_engine::{Closing, Effect, Input, LinkInput, Outputs, SessionId, SocketName};

use super::{Around, Holding, Keeping, LinkNews, Mail, News, Node, REFRESH, Stage, TURN_MOST, WAKE_US, wall_and};
use crate::disk::Crashed;
use crate::net::{End, Piece};
use crate::queue::Queue;
use crate::time::{Time, show};

impl Node {
    /// The loop goes on: with a new turn, or with the rest of one in which the process was stopped.
    pub fn turn(&mut self, around: &mut Around<'_>) {
        let now = around.queue.now();
        let Some(process) = &mut self.process else { return };
        if process.wake_at.is_none_or(|at| at > now) {
            return; // an earlier one took its place
        }
        process.wake_at = None;
        let clock = process.clock.read(now);
        show(clock);
        if matches!(process.stage, Stage::Idle) {
            process.engine.begin(wall_and(now, clock));
            process.stage = Stage::Begun;
            if let Some(until) = self.stands_in_turn_until.take().filter(|until| *until > now) {
                return self.stand(around.queue, until);
            }
            if self.is_stopped_here(around.queue) {
                return;
            }
        }
        if matches!(self.process.as_ref().expect("still").stage, Stage::Begun) {
            self.feed(clock);
            self.process.as_mut().expect("still").stage = Stage::Fed;
            if self.is_stopped_here(around.queue) {
                return;
            }
        }
        let process = self.process.as_mut().expect("still");
        if matches!(process.stage, Stage::Fed) {
            let mut outputs = Outputs::default();
            process.engine.finish(&mut outputs);
            process.stage = Stage::Finished(outputs);
            if self.is_stopped_here(around.queue) {
                return;
            }
        }
        let process = self.process.as_mut().expect("still");
        let Stage::Finished(outputs) = std::mem::replace(&mut process.stage, Stage::Idle) else { return };
        if self.perform(around, clock, outputs).is_err() {
            return self.end(around);
        }
        self.turn_ended(around, clock);
    }

    /// Is the process stopped between two stages of this turn?
    fn is_stopped_here(&mut self, queue: &mut Queue) -> bool {
        if self.stop_chance == 0 || self.rng.u32(..1000) >= self.stop_chance {
            return false;
        }
        let until = queue.now().plus_us(self.rng.u64(1000..2_500_000));
        self.stand(queue, until);
        true
    }

    /// The process stands still where it is.
    fn stand(&mut self, queue: &mut Queue, until: Time) {
        self.stopped_until = Some(until);
        self.wake(queue, until);
    }

    fn feed(&mut self, clock: Duration) {
        let process = self.process.as_mut().expect("a turn is a living process's");
        let engine = &mut process.engine;
        for _ in 0..TURN_MOST {
            let Some(mail) = process.mail.pop_front() else { break };
            match mail {
                Mail::Opened(id) => {
                    engine.feed(Input::Opened { id, peer: SocketName::None, local: SocketName::None });
                }
                Mail::Received(id, bytes) => engine.feed(Input::Received { id, bytes: &bytes }),
                Mail::Closed(id) => engine.feed(Input::Closed { id }),
                Mail::Link(link, LinkNews::Connected) => engine.feed(Input::Link(LinkInput::Connected(link))),
                // What comes behind a payload waits in the socket until the payload is loaded.
                Mail::Link(_, news @ LinkNews::Bytes(_)) if !engine.takes_more_from_master() => {
                    process.link_held = true;
                    process.link_waiting.push_back(news);
                }
                Mail::Link(link, LinkNews::Bytes(bytes)) => {
                    engine.feed(Input::Link(LinkInput::Received(link, &bytes)));
                }
                Mail::Link(link, LinkNews::Closed(why)) => {
                    engine.feed(Input::Link(LinkInput::Closed(link, why.to_owned())));
                }
                Mail::Resynced(held, keyspace, info) => {
                    engine.feed(Input::Link(LinkInput::Loaded { held, keyspace, info }));
                }
                Mail::Restored(loaded) => engine.feed(Input::Loaded(*loaded)),
                Mail::Disk(done) => engine.feed(Input::Disk(done)),
                Mail::Control(control) => engine.feed(Input::Control(control)),
                Mail::Kept(revision) => engine.feed(Input::Kept(revision)),
            }
        }
        if clock >= process.next_tick {
            process.next_tick = clock + Duration::from_millis(100);
            engine.feed(Input::Tick);
        }
    }

    fn perform(&mut self, around: &mut Around<'_>, clock: Duration, outputs: Outputs) -> Result<(), Crashed> {
        self.note_holding();
        let mut later = Vec::new();
        for effect in outputs.effects {
            match effect {
                Effect::Disk(task) => self.storage.perform(clock, task, &mut self.rng, &mut later)?,
                Effect::Link(task) => self.link(around, task),
                Effect::Answer { ticket, report } => self.answered(around, ticket, *report),
                Effect::Keep(keep) => self.remember(around.queue, Keeping { keep, waits: None }),
                Effect::Close { id, how } => {
                    if how == Closing::AfterFlush {
                        self.flush(around, id);
                    }
                    self.end_session(around, id);
                }
                Effect::Shutdown(_) => return Err(Crashed),
                Effect::Log(_, line) => self.news.push(News::Said(line)),
                Effect::Free(_) | Effect::Apply(_) => {}
            }
        }
        self.storage.tick(clock, &mut later);
        self.follow_up(around.queue, later);
        for id in outputs.ready {
            self.flush(around, id);
        }
        Ok(())
    }

    fn note_holding(&mut self) {
        let Some(process) = &self.process else { return };
        let replication = &process.engine.core().replication;
        let (held, epoch) = (replication.held(), replication.data_epoch());
        let holding = Holding { replid: held.replid, offset: held.offset, epoch };
        if self.holding != Some(holding) {
            self.holding = Some(holding);
            self.news.push(News::Holds(holding));
        }
    }

    fn turn_ended(&mut self, around: &mut Around<'_>, clock: Duration) {
        let Some(process) = &mut self.process else { return };
        self.news.push(News::Turned);
        let version = process.engine.core().replication.version();
        if version != process.published {
            process.published = version;
            process.facts = process.engine.core().facts();
            self.news.push(News::Changed(Box::new(process.facts.clone())));
            self.send_beats(around);
        } else if clock >= process.refreshed_at + REFRESH {
            process.refreshed_at = clock;
            process.facts = process.engine.core().facts();
        }
        let process = self.process.as_mut().expect("still");
        let deadline = process.engine.next_deadline().map_or(process.next_tick, |due| due.min(process.next_tick));
        let at = process.clock.when(deadline.max(clock)).max(around.queue.now().plus_us(WAKE_US));
        let at = if process.mail.is_empty() { at } else { around.queue.now().plus_us(WAKE_US) };
        self.wake(around.queue, at);
    }

    fn flush(&mut self, around: &mut Around<'_>, id: SessionId) {
        let Some(process) = &mut self.process else { return };
        let Some(stream) = process.sessions.get(&id).copied() else { return };
        loop {
            let bytes = process.engine.output(id).concat();
            if bytes.is_empty() {
                return;
            }
            process.engine.sent(id, bytes.len());
            around.net.send(around.queue, stream, End::Listener, Piece::Bytes(bytes));
        }
    }

    fn end_session(&mut self, around: &mut Around<'_>, id: SessionId) {
        let Some(process) = &mut self.process else { return };
        if let Some(stream) = process.sessions.remove(&id) {
            process.streams.remove(&stream);
            around.net.close(around.queue, stream, End::Listener);
        }
        self.mail(around.queue, Mail::Closed(id));
    }
}
