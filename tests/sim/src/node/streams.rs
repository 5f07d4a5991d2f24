//! A node's sockets: clients and replicas that connect to it, and its own link to its master, with the payload of a full resync.

use std::collections::VecDeque;

use quorate_engine::{LinkTask, SessionId};
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::Checksum;

use super::{Around, FIRST_PORT, LinkNews, Mail, News, Node, Process, wall};
use crate::net::{End, Host, Piece, Service, StreamId};
use crate::queue::Event;

impl Node {
    /// A piece of a stream arrives at this node's end.
    pub fn arrived(&mut self, around: &mut Around<'_>, stream: StreamId, end: End, piece: Piece) {
        let Some(process) = &mut self.process else {
            return around.net.say_gone(around.queue, stream, end);
        };
        if end == End::Dialer {
            return self.link_news(around, stream, piece);
        }
        match piece {
            Piece::Syn(Service::Beats) => {
                process.listeners.push(stream);
                around.net.send(around.queue, stream, end, Piece::Accepted);
                let facts = self.renewed(around.queue.now());
                around.net.send(around.queue, stream, end, Piece::Beat(facts));
            }
            Piece::Syn(Service::Resp) => {
                let id = SessionId(process.next_session);
                process.next_session += 1;
                process.sessions.insert(id, stream);
                process.streams.insert(stream, id);
                around.net.send(around.queue, stream, end, Piece::Accepted);
                self.mail(around.queue, Mail::Opened(id));
            }
            Piece::Bytes(bytes) => {
                if let Some(id) = process.streams.get(&stream).copied() {
                    self.mail(around.queue, Mail::Received(id, bytes));
                }
            }
            Piece::Fin | Piece::Reset => {
                process.listeners.retain(|one| *one != stream);
                if let Some(id) = process.streams.remove(&stream) {
                    process.sessions.remove(&id);
                    around.net.close(around.queue, stream, end);
                    self.mail(around.queue, Mail::Closed(id));
                }
            }
            Piece::Accepted | Piece::Beat(_) => {}
        }
    }

    fn link_news(&mut self, around: &mut Around<'_>, stream: StreamId, piece: Piece) {
        let Some(process) = &mut self.process else { return };
        let Some((link, _)) = process.link.filter(|(_, mine)| *mine == stream) else { return };
        let news = match piece {
            Piece::Accepted => LinkNews::Connected,
            Piece::Bytes(bytes) => LinkNews::Bytes(bytes),
            Piece::Fin => LinkNews::Closed("the master closed the connection"),
            Piece::Reset => LinkNews::Closed("connection reset by peer"),
            Piece::Syn(_) | Piece::Beat(_) => return,
        };
        if matches!(news, LinkNews::Closed(_)) {
            around.net.close(around.queue, stream, End::Dialer);
        }
        if process.link_held || !process.link_waiting.is_empty() {
            process.link_waiting.push_back(news);
        } else {
            self.mail(around.queue, Mail::Link(link, news));
        }
    }

    /// A load has ended: the dataset of the start, or of a full resync.
    pub fn loaded(&mut self, around: &mut Around<'_>, number: u64) {
        let now = around.queue.now();
        let Some(process) = &mut self.process else { return };
        if number == 0 {
            let at = process.clock.read(now);
            match self.storage.load(at, wall(now), &self.config, self.rng.fork()) {
                Ok(loaded) => self.mail(around.queue, Mail::Restored(Box::new(loaded))),
                Err(why) => {
                    self.news.push(News::Unloadable(why));
                    self.end(around);
                }
            }
            return;
        }
        if number != process.loads {
            return;
        }
        let Some((held, mut keyspace, bytes)) = process.payload.take() else { return };
        let options = LoadOptions { now: wall(now), expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
        let info = load(&mut &bytes[..], &mut keyspace, &options).expect("a payload that arrived whole can be read");
        self.mail(around.queue, Mail::Resynced(held, keyspace, info));
    }

    pub(super) fn link(&mut self, around: &mut Around<'_>, task: LinkTask) {
        let here = self.host();
        let Some(process) = &mut self.process else { return };
        match task {
            LinkTask::Connect { link, master } => {
                drop_link(process, around);
                (process.link_held, process.link_waiting) = (false, VecDeque::new());
                let to = Host::Node(usize::from(master.port.wrapping_sub(FIRST_PORT)));
                let stream = around.net.dial(around.queue, here, to, Service::Resp);
                process.link = Some((link, stream));
            }
            LinkTask::Send(bytes) => {
                if let Some((_, stream)) = process.link {
                    around.net.send(around.queue, stream, End::Dialer, Piece::Bytes(bytes));
                }
            }
            LinkTask::Close => drop_link(process, around),
            LinkTask::TakeNoMore => process.link_held = true,
            LinkTask::TakeMore => {
                process.link_held = false;
                if let Some((link, _)) = process.link {
                    let waiting = std::mem::take(&mut process.link_waiting);
                    process.mail.extend(waiting.into_iter().map(|news| Mail::Link(link, news)));
                }
            }
            LinkTask::PayloadBegins { held, into } => process.payload = Some((held, into, Vec::new())),
            LinkTask::Payload(bytes) => {
                if let Some((_, _, payload)) = &mut process.payload {
                    payload.extend_from_slice(&bytes);
                }
            }
            LinkTask::PayloadEnds => {
                process.loads += 1;
                let (number, life) = (process.loads, process.life);
                let at = around.queue.now().plus_us(self.rng.u64(500..50_000));
                around.queue.push(at, Event::Load { node: self.place, life, number });
            }
            LinkTask::PayloadLost => {
                process.payload = None;
                process.loads += 1;
            }
            LinkTask::Free(_) => {}
        }
    }
}

fn drop_link(process: &mut Process, around: &mut Around<'_>) {
    if let Some((_, stream)) = process.link.take() {
        around.net.close(around.queue, stream, End::Dialer);
    }
}
