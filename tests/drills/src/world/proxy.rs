//! A network without namespaces: whoever calls a host reaches a proxy, which finds out who that is and lets through what is not cut.
//!
//! Clients call from their host's address. A process calls from wherever the system likes: the proxy looks up whose socket that is. What a
//! cut link carries waits in the proxy until it is mended, as TCP would repeat it; connections stay open and carry nothing.
//!
//! Bounds: a thread for each way of a connection; one whose caller gave up while its link was cut ends within [`LOOK_AGAIN`]. When the
//! system gives no more files or threads, callers wait.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::host::{Host, Medium};
use super::owner::{self, Sockets};

/// A process that does not take a connection by then is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// What a slow host sends in this time is [`SLOW_BYTES`].
const SLOW_STEP: Duration = Duration::from_millis(20);
/// 256 kbit/s.
const SLOW_BYTES: usize = 640;

/// The proxy of a whole network.
pub(super) struct Proxy {
    links: Arc<Links>,
}

/// How often a connection that waits for its link looks whether its caller still waits, and somebody who may not have more files tries again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Links {
    state: Mutex<State>,
    changed: Condvar,
    sockets: Mutex<Sockets>,
}

#[derive(Default)]
struct State {
    cut: BTreeSet<(Host, Host)>,
    slow: BTreeSet<Host>,
    processes: BTreeMap<u32, Host>,
}

impl Links {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the links")
    }

    /// Waits until nothing is cut either way; `false`: the caller went away first.
    fn wait_for(&self, caller: &TcpStream, from: Host, to: Host) -> bool {
        let mut state = self.state();
        while state.cut.contains(&(from, to)) || state.cut.contains(&(to, from)) {
            let waited = self.changed.wait_timeout(state, LOOK_AGAIN).expect("nobody panics while holding the links");
            state = waited.0;
            if has_left(caller) {
                return false;
            }
        }
        true
    }

    /// Waits until nothing is cut from one host to the other; answers whether the sender is slow.
    fn wait_open(&self, from: Host, to: Host) -> bool {
        let state = self.state();
        let state = self.changed.wait_while(state, |state| state.cut.contains(&(from, to)));
        state.expect("nobody panics while holding the links").slow.contains(&from)
    }
}

impl Proxy {
    /// Listens for these hosts, each on its ports. Callers whom nobody knows count as `stranger`.
    pub(super) fn start(hosts: &[(Host, Vec<u16>)], stranger: Host) -> io::Result<Self> {
        owner::check()?;
        allow_files()?;
        let links = Arc::new(Links::default());
        for (host, ports) in hosts {
            for port in ports {
                let listener = TcpListener::bind((host.address(), *port))?;
                let (links, host) = (Arc::clone(&links), *host);
                std::thread::spawn(move || serve(&listener, host, stranger, &links));
            }
        }
        Ok(Self { links })
    }

    /// This process is on this host.
    pub(super) fn note(&self, process: u32, host: Host) {
        self.links.state().processes.insert(process, host);
    }

    /// What is cut from now on.
    pub(super) fn set_cut(&self, cut: &BTreeSet<(Host, Host)>) {
        self.links.state().cut.clone_from(cut);
        self.links.changed.notify_all();
    }

    pub(super) fn set_slow(&self, host: Host, slow: bool) {
        let mut state = self.links.state();
        if slow {
            state.slow.insert(host)
        } else {
            state.slow.remove(&host)
        };
    }
}

fn serve(listener: &TcpListener, host: Host, stranger: Host, links: &Arc<Links>) {
    for caller in listener.incoming() {
        let Ok(caller) = caller else {
            // It went away before it was taken, or there are no more files to be had.
            std::thread::sleep(LOOK_AGAIN);
            continue;
        };
        let links = Arc::clone(links);
        // A connection that cannot be forwarded is closed by being dropped; its caller sees that.
        let forward = move || drop(forward(caller, host, stranger, &links));
        let _: io::Result<std::thread::JoinHandle<()>> = std::thread::Builder::new().spawn(forward);
    }
}

/// As many open files as the system allows: each connection through the proxy takes two.
fn allow_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Has the other end closed this connection?
fn has_left(caller: &TcpStream) -> bool {
    let mut seen = [PollFd::new(caller, PollFlags::RDHUP)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    poll(&mut seen, Some(&now)).is_ok() && seen[0].revents().intersects(ends)
}

fn forward(caller: TcpStream, host: Host, stranger: Host, links: &Arc<Links>) -> io::Result<()> {
    let from = who(&caller, links).unwrap_or(stranger);
    let port = caller.local_addr()?.port();
    // Both ways: an answer is needed for a connection to come about.
    if !links.wait_for(&caller, from, host) {
        return Ok(());
    }
    let process = TcpStream::connect_timeout(&SocketAddr::from((host.listens(), port)), CONNECT_WITHIN)?;
    caller.set_nodelay(true)?;
    process.set_nodelay(true)?;
    let (caller, process) = (Arc::new(caller), Arc::new(process));
    let (back_from, back_to, back_links) = (Arc::clone(&process), Arc::clone(&caller), Arc::clone(links));
    std::thread::Builder::new().spawn(move || pump(&back_from, &back_to, (host, from), &back_links))?;
    pump(&caller, &process, (from, host), links);
    Ok(())
}

/// Carries bytes one way until either end closes; then closes both.
fn pump(mut source: &TcpStream, mut sink: &TcpStream, (from, to): (Host, Host), links: &Links) {
    let mut buffer = [0; 64 * 1024];
    'carry: while let Ok(count @ 1..) = source.read(&mut buffer) {
        let slow = links.wait_open(from, to);
        let step = if slow { SLOW_BYTES } else { count };
        for part in buffer[..count].chunks(step) {
            if slow {
                std::thread::sleep(SLOW_STEP);
            }
            if sink.write_all(part).is_err() {
                break 'carry;
            }
        }
    }
    links.wait_open(from, to);
    for stream in [source, sink] {
        // It may be closed already.
        let _: io::Result<()> = stream.shutdown(Shutdown::Both);
    }
}

/// On whose host is the other end of this connection?
fn who(caller: &TcpStream, links: &Links) -> Option<Host> {
    let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (caller.peer_addr().ok()?, caller.local_addr().ok()?) else {
        return None;
    };
    if let Some(host) = Host::known_by(*peer.ip(), Medium::Proxy) {
        return Some(host);
    }
    // The kernel was asked at the start and answered; a socket that is gone is nobody's.
    let inode = owner::inode(peer, local).ok()??;
    let processes = links.state().processes.clone();
    links.sockets.lock().expect("nobody panics while holding the sockets").owner(inode, &processes)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    fn host(number: u8) -> Host {
        Host { number, medium: Medium::Proxy }
    }

    /// Sends a byte and waits a while for its echo.
    fn echo(stream: &mut TcpStream, byte: u8, within: Duration) -> io::Result<u8> {
        stream.write_all(&[byte])?;
        stream.set_read_timeout(Some(within))?;
        let mut got = [0];
        stream.read_exact(&mut got).map(|()| got[0])
    }

    #[test]
    fn a_cut_holds_what_is_sent_and_only_from_whom_it_cuts() {
        let listener = TcpListener::bind((host(201).listens(), 0)).expect("loopback has many addresses");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mut reader, mut writer) = (stream.try_clone().expect("a socket can be shared"), stream);
                std::thread::spawn(move || io::copy(&mut reader, &mut writer));
            }
        });
        let proxy = Proxy::start(&[(host(201), vec![port])], host(200)).expect("the port is free there, too");
        let open = |number: u8| {
            host(number).enter().expect("an address of loopback");
            super::super::connect(SocketAddrV4::new(host(201).address(), port), CONNECT_WITHIN).expect("it listens")
        };
        let (soon, long) = (Duration::from_millis(200), Duration::from_secs(20));
        let (mut one, mut other) = (open(202), open(203));
        assert_eq!(echo(&mut one, 1, long).expect("nothing is cut"), 1);
        assert_eq!(echo(&mut other, 2, long).expect("nothing is cut"), 2);
        proxy.set_cut(&BTreeSet::from([(host(202), host(201))]));
        assert!(echo(&mut one, 3, soon).is_err(), "its link is cut");
        assert_eq!(echo(&mut other, 4, long).expect("another's link is cut"), 4);
        proxy.set_cut(&BTreeSet::new());
        one.set_read_timeout(Some(long)).expect("a socket takes a timeout");
        let mut late = [0];
        one.read_exact(&mut late).expect("the link is mended");
        assert_eq!(late, [3]);
    }

    #[test]
    fn a_process_is_known_by_its_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let to = listener.local_addr().expect("it is bound");
        let _caller = TcpStream::connect(to).expect("it listens");
        let (accepted, _) = listener.accept().expect("somebody called");
        let links = Links::default();
        assert_eq!(who(&accepted, &links), None);
        links.state().processes.insert(std::process::id(), host(7));
        assert_eq!(who(&accepted, &links), Some(host(7)));
    }
}
