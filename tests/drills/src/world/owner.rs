//! Whose socket is that? Asks the kernel for the one socket (sock_diag), then looks through the processes' open files.
//!
//! /proc/net/tcp would tell as much, and lists every connection that ended in the last minute: thousands while processes look for each other.
//! Source: sock_diag(7), inet_diag.h, netlink(7).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};

use super::host::Host;

const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
/// A message's header.
const HEADER: usize = 16;
/// Header and inet_diag_req_v2.
const REQUEST: usize = HEADER + 56;
/// Where inet_diag_msg, behind the header, has the inode.
const INODE_AT: usize = HEADER + 68;

/// The inode of the socket with these addresses; `None` if there is no such socket (any more).
pub(super) fn inode(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<u32>> {
    let mut kernel = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    kernel.write_all(&request(local, remote))?;
    let mut answer = [0; 1024];
    let length = kernel.read(&mut answer)?;
    let kind = u16::from_ne_bytes([answer[4], answer[5]]);
    let found = kind == SOCK_DIAG_BY_FAMILY && length >= INODE_AT + 4;
    let bytes = answer[INODE_AT..INODE_AT + 4].try_into().expect("four bytes");
    Ok(found.then(|| u32::from_ne_bytes(bytes)).filter(|inode| *inode != 0))
}

fn request(local: SocketAddrV4, remote: SocketAddrV4) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(HEADER, &[AF_INET, IPPROTO_TCP]);
    put(HEADER + 4, &u32::MAX.to_ne_bytes()); // in any state
    put(HEADER + 8, &local.port().to_be_bytes());
    put(HEADER + 10, &remote.port().to_be_bytes());
    put(HEADER + 12, &local.ip().octets());
    put(HEADER + 28, &remote.ip().octets());
    put(HEADER + 48, &[u8::MAX; 8]); // no cookie
    bytes
}

/// Sockets by inode, as they were when somebody was last looked for.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    known: BTreeMap<u32, Host>,
}

impl Sockets {
    /// Who of these processes has that socket open? Looks again only for one that is not known.
    pub(super) fn owner(&mut self, inode: u32, processes: &BTreeMap<u32, Host>) -> Option<Host> {
        if !self.known.contains_key(&inode) {
            self.known.clear();
            for (process, owner) in processes {
                self.known.extend(open_sockets(*process).into_iter().map(|inode| (inode, *owner)));
            }
        }
        self.known.get(&inode).copied()
    }
}

fn open_sockets(process: u32) -> Vec<u32> {
    // It may have ended.
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    let targets = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

/// Fails where the kernel does not answer.
pub(super) fn check() -> io::Result<()> {
    let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    inode(nobody, nobody).map(drop)
}
