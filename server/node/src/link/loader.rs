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
        };
        let (mail, for_thread) = (mailbox.clone(), Arc::clone(&shared));
        let work = move || {
            let options = LoadOptions { now: keyspace.now(), expired: ExpiredKeys::Keep, checksum: Checksum::Crc64 };
            let outcome = load(&mut source, &mut keyspace, &options);
            if for_thread.cancelled.load(Ordering::Relaxed) {
                return;
            }
            let input = match outcome {
                Ok(info) => LinkInput::Loaded { held, keyspace, info },
                Err(error) => LinkInput::LoadFailed { held, why: error.to_string() },
            };
            mail.send(Mail::Link(input));
        };
        if let Err(error) = std::thread::Builder::new().name("resync".into()).spawn(work) {
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
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() && !self.ended {
            match self.arriving.recv() {
                Ok(Piece::Bytes(bytes)) => {
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
