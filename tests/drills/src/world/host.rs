//! A host: where a process or a client is.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};

/// What hosts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Medium {
    /// A network namespace each.
    Namespaces,
    /// A loopback address each, behind a proxy that knows who calls.
    Proxy,
}

/// A host on the network, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    /// From 0 up.
    pub number: u8,
    /// What it is made of.
    pub medium: Medium,
}

thread_local! {
    /// The address that connections of this thread come from, where no namespace says it.
    static HERE: Cell<Option<Ipv4Addr>> = const { Cell::new(None) };
}

impl Host {
    /// The address that others know it by.
    pub fn address(self) -> Ipv4Addr {
        match self.medium {
            Medium::Namespaces => Ipv4Addr::new(10, 77, 0, self.number + 1),
            Medium::Proxy => Ipv4Addr::new(127, 77, 0, self.number + 1),
        }
    }

    /// The address that its processes listen on.
    pub fn listens(self) -> Ipv4Addr {
        match self.medium {
            Medium::Namespaces => self.address(),
            Medium::Proxy => Ipv4Addr::new(127, 77, 1, self.number + 1),
        }
    }

    /// The host that is known by this address.
    pub(super) fn known_by(address: Ipv4Addr, medium: Medium) -> Option<Self> {
        let host = Self { number: address.octets()[3].checked_sub(1)?, medium };
        (host.address() == address).then_some(host)
    }

    /// The name of its namespace.
    pub(super) fn name(self) -> String {
        format!("h{}", self.number)
    }

    /// Its hardware address.
    pub(super) fn hardware(self) -> String {
        format!("02:00:00:00:00:{:02x}", self.number + 1)
    }

    /// Moves the calling thread to this host: connections that it opens from now on, and processes that it starts, are there.
    pub fn enter(self) -> io::Result<()> {
        match self.medium {
            Medium::Namespaces => {
                let namespace = File::open(format!("/run/netns/{}", self.name()))?;
                Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
            }
            Medium::Proxy => {
                HERE.set(Some(self.address()));
                Ok(())
            }
        }
    }
}

/// Connects from the calling thread's host.
pub fn connect(to: SocketAddrV4, within: Duration) -> io::Result<TcpStream> {
    let Some(here) = HERE.get() else { return TcpStream::connect_timeout(&SocketAddr::V4(to), within) };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((here, 0)).into())?;
    socket.connect_timeout(&SocketAddr::V4(to).into(), within)?;
    Ok(socket.into())
}
