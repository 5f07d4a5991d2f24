//! The connection to our master: one socket in the loop, driven by `LinkTask` and read into `LinkInput`; and the loader of a full resync.
//!
//! Names are resolved on a thread of their own, and the payload is parsed on one, into a keyspace that the engine then takes whole. The socket is
//! read [`READS`] times a turn at most; it is not read while the loader has [`LOADER_WAITING`] bytes to do, or when the engine says so.

mod loader;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use quorate_engine::{Engine, Input, LinkInput, LinkTask};
use quorate_replication::Address;
use quorate_replication::follower::LinkId;

use crate::{Mail, Mailbox, background};
use loader::Loader;

/// Reads of one turn, and what one of them takes at most: a master's stream or payload may not starve the clients.
const READS: usize = 4;
const SHARE: usize = 128 << 10;
/// Bytes of payload that may wait for the loader.
const LOADER_WAITING: usize = 64 << 20;

/// The link's place in the loop.
#[derive(Debug)]
pub(crate) struct Link {
    token: Token,
    mailbox: Mailbox,
    newest: LinkId,
    socket: Option<Socket>,
    loader: Option<Loader>,
    /// The engine wants no more for now.
    held: bool,
    /// There may be more to read though the loop has no event of it.
    unread: bool,
    /// Connections that failed before they had a socket.
    failed: VecDeque<(LinkId, String)>,
}

#[derive(Debug)]
struct Socket {
    link: LinkId,
    stream: TcpStream,
    is_connected: bool,
    unsent: Vec<u8>,
}

/// A master's name was looked up.
#[derive(Debug)]
pub struct Resolved {
    link: LinkId,
    outcome: Result<SocketAddr, String>,
}

impl Link {
    /// A link that is not connected; its socket will be registered under `token`.
    pub fn new(token: Token, mailbox: Mailbox) -> Link {
        let newest = LinkId::default();
        Link { token, mailbox, newest, socket: None, loader: None, held: false, unread: false, failed: VecDeque::new() }
    }

    /// Does what the engine asks.
    pub fn perform(&mut self, task: LinkTask, registry: &Registry) {
        match task {
            LinkTask::Connect { link, master } => {
                self.drop_socket(registry);
                self.newest = link;
                self.held = false;
                self.resolve(link, &master, registry);
            }
            LinkTask::Send(bytes) => {
                if let Some(socket) = &mut self.socket {
                    socket.unsent.extend_from_slice(&bytes);
                    if socket.is_connected {
                        self.flush(registry);
                    }
                }
            }
            LinkTask::Close => self.drop_socket(registry),
            LinkTask::TakeNoMore => self.held = true,
            LinkTask::TakeMore => (self.held, self.unread) = (false, true),
            LinkTask::PayloadBegins { held, into } => {
                self.loader = Some(Loader::start(held, into, self.mailbox.clone()))
            }
            LinkTask::Payload(bytes) => {
                if let Some(loader) = &self.loader {
                    loader.feed(bytes);
                }
            }
            LinkTask::PayloadEnds => {
                if let Some(loader) = self.loader.take() {
                    loader.end();
                }
            }
            LinkTask::PayloadLost => {
                if let Some(loader) = self.loader.take() {
                    loader.cancel();
                }
            }
            LinkTask::Free(keyspace) => {
                // If no thread can be had, dropping here is slow but right.
                let _ = background::spawn("lazyfree", move || drop(keyspace));
            }
        }
    }

    /// Is there something to do though no event may tell of it?
    pub fn is_due(&self) -> bool {
        !self.failed.is_empty() || (self.unread && self.may_read())
    }

    /// The socket is ready, or `is_due`: feeds the engine with what it says. Called between `begin` and `finish`.
    pub fn ready(&mut self, engine: &mut Engine, scratch: &mut [u8], registry: &Registry) {
        while let Some((link, why)) = self.failed.pop_front() {
            engine.feed(Input::Link(LinkInput::Closed(link, why)));
        }
        let Some(socket) = &mut self.socket else { return };
        let link = socket.link;
        if !socket.is_connected {
            match connected(&socket.stream) {
                Ok(false) => return,
                Ok(true) => {
                    socket.is_connected = true;
                    engine.feed(Input::Link(LinkInput::Connected(link)));
                }
                Err(error) => return self.end(engine, registry, &error.to_string()),
            }
        }
        self.flush(registry);
        self.read(engine, scratch, registry);
    }

    /// A lookup has ended.
    pub fn resolved(&mut self, resolved: Resolved, registry: &Registry) {
        if resolved.link != self.newest {
            return;
        }
        let outcome = resolved
            .outcome
            .and_then(|address| self.connect(resolved.link, address, registry).map_err(|e| e.to_string()));
        if let Err(why) = outcome {
            self.failed.push_back((resolved.link, why));
        }
    }

    /// The loader has caught up with what was read.
    pub fn loader_caught_up(&mut self) {
        self.unread = true;
    }

    fn resolve(&mut self, link: LinkId, master: &Address, registry: &Registry) {
        if let Ok(ip) = master.host.parse::<IpAddr>() {
            let outcome = Ok(SocketAddr::new(ip, master.port));
            return self.resolved(Resolved { link, outcome }, registry);
        }
        let (mailbox, master) = (self.mailbox.clone(), master.clone());
        let look_up = move || {
            let found = (master.host.as_str(), master.port).to_socket_addrs();
            let outcome = match found.map(|mut all| all.next()) {
                Ok(Some(address)) => Ok(address),
                Ok(None) => Err(format!("{} has no address", master.host)),
                Err(error) => Err(error.to_string()),
            };
            mailbox.send(Mail::Resolved(Resolved { link, outcome }));
        };
        if let Err(error) = std::thread::Builder::new().name("resolve".into()).spawn(look_up) {
            self.failed.push_back((link, error.to_string()));
        }
    }

    fn connect(&mut self, link: LinkId, address: SocketAddr, registry: &Registry) -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
        // Acknowledgements leave at once; a refused option costs latency, not correctness.
        let _ = stream.set_nodelay(true);
        self.socket = Some(Socket { link, stream, is_connected: false, unsent: Vec::new() });
        Ok(())
    }

    fn may_read(&self) -> bool {
        let loader_lags = self.loader.as_ref().is_some_and(|loader| loader.waiting() > LOADER_WAITING);
        self.socket.is_some() && !self.held && !loader_lags
    }

    fn read(&mut self, engine: &mut Engine, scratch: &mut [u8], registry: &Registry) {
        self.unread = true;
        for _ in 0..READS {
            if !self.may_read() {
                return;
            }
            let Some(socket) = &mut self.socket else { return };
            match socket.stream.read(&mut scratch[..SHARE]) {
                Ok(0) => return self.end(engine, registry, "the master closed the connection"),
                Ok(count) => {
                    let input = LinkInput::Received(socket.link, &scratch[..count]);
                    engine.feed(Input::Link(input));
                    if !engine.takes_more_from_master() {
                        return; // the rest waits in the socket until the payload is loaded
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unread = false;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.end(engine, registry, &error.to_string()),
            }
        }
    }

    /// Sends what waits, as far as the socket takes it. An error shows again when the socket is read.
    fn flush(&mut self, _registry: &Registry) {
        let Some(socket) = &mut self.socket else { return };
        while !socket.unsent.is_empty() {
            match socket.stream.write(&socket.unsent) {
                Ok(count) => drop(socket.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn end(&mut self, engine: &mut Engine, registry: &Registry, why: &str) {
        let Some(socket) = &self.socket else { return };
        let link = socket.link;
        self.drop_socket(registry);
        engine.feed(Input::Link(LinkInput::Closed(link, why.to_owned())));
    }

    fn drop_socket(&mut self, registry: &Registry) {
        if let Some(mut socket) = self.socket.take() {
            // Dropping the stream deregisters it anyway; an error here has no one to tell.
            let _ = registry.deregister(&mut socket.stream);
        }
        self.unread = false;
    }
}

/// Is the connection there? `Ok(false)`: not yet.
fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
