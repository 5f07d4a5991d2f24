//! Parses a full resync's payload on a thread of its own, piece by piece as it arrives.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use quorate_engine::LinkInput;
use quorate_keyspace::Keyspace;
use quorate_persist::rdb::read::{ExpiredKeys, LoadOptions, load};
use quorate_persist::rdb::seal::Checksum;
use quorate_replication::history::Held;

use crate::background::{self, Breath};
use crate::{Mail, Mailbox};

/// What the loop hears again of reading when the loader is down to this many bytes.
const CAUGHT_UP: usize = 16 << 20;

/// The loop's handle to a loader that runs. Dropped without `end`, the loader stops.
#[derive(Debug)]
pub(super) struct Loader {
    pieces: Sender<Piece>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    End,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes handed over and not yet taken.
    waiting: AtomicUsize,
    cancelled: AtomicBool,
}

impl Loader {
    /// Starts a loader of the dataset `held` into `keyspace`; the outcome comes by mail.
    pub fn start(held: Held, mut keyspace: Box<Keyspace>, mailbox: Mailbox) -> Loader {
        let (pieces, arriving) = channel();
        let shared = Arc::new(Shared::default());
        let mut source = Source {
            arriving,
            shared: Arc::clone(&shared),
            mailbox: mailbox.clone(),
            piece: Vec::new(),
            at: 0,
            ended: false,
            breath: Breath::default(),
        };
        let (mail, for_thread) = (mailbox.clone(), Arc::clone(&shared));
        let work = move || {
            let options = LoadOptions { now: keyspace.now(), expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
            let outcome = load(&mut source, &mut keyspace, &options);
            // The RDB ends before the payload does (its mark comes after it): whoever waits, waits for the payload's end.
            let complete = source.read_to_end();
            if for_thread.cancelled.load(Ordering::Relaxed) {
                return;
            }
            let input = match outcome {
                Ok(info) if complete => LinkInput::Loaded { held, keyspace, info },
                Ok(_) => return,
                Err(error) => LinkInput::LoadFailed { held, why: error.to_string() },
            };
            mail.send(Mail::Link(input));
        };
        if let Err(error) = background::spawn("resync", work) {
            mailbox.send(Mail::Link(LinkInput::LoadFailed { held, why: error.to_string() }));
        }
        Loader { pieces, shared }
    }

    /// Hands over the next piece.
    pub fn feed(&self, bytes: Vec<u8>) {
        self.shared.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ended = self.pieces.send(Piece::Bytes(bytes)); // a loader that failed has said so
    }

    /// Bytes that the loader has not taken yet.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// That was all.
    pub fn end(self) {
        let _ended = self.pieces.send(Piece::End);
    }

    /// The payload will not be completed; nobody wants the outcome.
    pub fn cancel(self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The payload as a reader: blocks until the next piece is there.
struct Source {
    arriving: Receiver<Piece>,
    shared: Arc<Shared>,
    mailbox: Mailbox,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
    breath: Breath,
}

impl Source {
    /// Takes what is left; returns whether it ended as it should.
    fn read_to_end(&mut self) -> bool {
        loop {
            match self.fill_buf() {
                Ok([]) => return true,
                Ok(left) => {
                    let count = left.len();
                    self.consume(count);
                }
                Err(_) => return false,
            }
        }
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() && !self.ended {
            match self.arriving.recv() {
                Ok(Piece::Bytes(bytes)) => {
                    self.breath.take();
                    let before = self.shared.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                    if before > CAUGHT_UP && before - bytes.len() <= CAUGHT_UP {
                        self.mailbox.send(Mail::LoaderCaughtUp);
                    }
                    (self.piece, self.at) = (bytes, 0);
                }
                Ok(Piece::End) => self.ended = true,
                Err(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the payload was given up")),
            }
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.len().min(into.len());
        into[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use mio::{Poll, Token, Waker};
    use quorate_keyspace::{Limits, UnixMs};
    use quorate_persist::rdb::RdbHeader;
    use quorate_persist::rdb::seal::Sealer;
    use quorate_persist::rdb::write::{Compression, RdbWriter};
    use quorate_replication::{Offset, ReplId};

    use super::*;

    fn empty_rdb() -> Vec<u8> {
        use quorate_keyspace::ImageSink as _;
        let mut writer = RdbWriter::new(&RdbHeader::default(), Vec::new(), Compression::None);
        writer.finish();
        let (mut sealer, mut rdb) = (Sealer::new(Checksum::Crc64), Vec::new());
        sealer.seal(&writer.drain(), &mut rdb);
        sealer.finish(&mut rdb);
        rdb
    }

    fn start() -> (Loader, Receiver<Mail>, Poll) {
        let poll = Poll::new().expect("epoll");
        let (mailbox, mail) = Mailbox::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
        let mut keyspace =
            Keyspace::new(16, Limits::new(quorate_collections::HashSeed([1, 2])), fastrand::Rng::with_seed(1));
        keyspace.set_now(UnixMs(1));
        let held = Held { replid: ReplId::from_random([1; 20]), offset: Offset(9) };
        (Loader::start(held, Box::new(keyspace), mailbox), mail, poll)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The RDB says where it ends, and the payload's mark comes behind that, perhaps much later: an outcome told before would meet a
    /// follower that is still receiving, and be lost.
    #[test]
    fn the_outcome_waits_for_the_payloads_end() {
        let (loader, mail, _poll) = start();
        loader.feed(empty_rdb());
        let deadline = Instant::now() + PATIENCE;
        while loader.waiting() > 0 {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert!(mail.recv_timeout(Duration::from_millis(100)).is_err());
        loader.end();
        let outcome = mail.recv_timeout(PATIENCE).expect("an outcome");
        assert!(matches!(outcome, Mail::Link(LinkInput::Loaded { .. })), "{outcome:?}");
    }

    #[test]
    fn damage_is_told_and_a_cancelled_load_says_nothing() {
        let (loader, mail, _poll) = start();
        loader.feed(b"REDIS0010 nonsense".to_vec());
        loader.end();
        let outcome = mail.recv_timeout(PATIENCE).expect("an outcome");
        assert!(matches!(outcome, Mail::Link(LinkInput::LoadFailed { .. })), "{outcome:?}");

        let (loader, mail, _poll) = start();
        loader.feed(empty_rdb());
        loader.cancel();
        assert!(mail.recv_timeout(PATIENCE).is_err(), "the thread ended and its mailbox with it");
    }
}
