//! Listening sockets: what `bind`, `port` and `unixsocket` ask for, or one clear line about why not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use mio::net::UnixListener;
use quorate_config::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

/// Why an address cannot be listened on. `Display` begins as Redis's line does, since test suites look for it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The operating system refused.
    #[error("Failed listening on port {port} (TCP): {address}: {source}")]
    Tcp {
        /// Which address.
        address: String,
        /// Which port.
        port: u16,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A Unix socket's path.
    #[error("Failed opening Unix socket {path}: {source}")]
    Unix {
        /// Its path.
        path: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Not an address.
    #[error("Failed listening on port {port} (TCP): '{address}' is not an IP address")]
    Address {
        /// What was configured.
        address: String,
        /// Which port.
        port: u16,
    },
    /// Every address was optional, and none is there.
    #[error("Failed listening on port {0} (TCP): none of the addresses of 'bind' exists on this machine")]
    Nothing(u16),
}

/// Opens a TCP socket at `port` on every configured address; none for port 0.
pub(crate) fn tcp(config: &ServerConfig, port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    if port == 0 {
        return Ok(listeners);
    }
    for word in &config.bind.0 {
        let (address, optional) = match word.strip_prefix('-') {
            Some(address) => (address, true),
            None => (word.as_str(), false),
        };
        match bind(parse(address, port)?, config.tcp_backlog) {
            Ok(listener) => listeners.push(listener),
            Err(error) if optional && is_absent(&error) => {}
            Err(source) => return Err(ListenError::Tcp { address: address.to_owned(), port, source }),
        }
    }
    if listeners.is_empty() && !config.bind.0.is_empty() {
        return Err(ListenError::Nothing(port));
    }
    Ok(listeners)
}

/// Opens the Unix socket, if one is configured. A file left behind at its path is removed first.
pub(crate) fn unix(config: &ServerConfig) -> Result<Option<UnixListener>, ListenError> {
    let path = &config.unixsocket;
    if path.is_empty() {
        return Ok(None);
    }
    let refused = |source| ListenError::Unix { path: path.clone(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    if config.unixsocketperm != 0 {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(config.unixsocketperm);
        std::fs::set_permissions(path, mode).map_err(refused)?;
    }
    Ok(Some(listener))
}

fn parse(address: &str, port: u16) -> Result<SocketAddr, ListenError> {
    let ip: IpAddr = match address {
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        "::*" => Ipv6Addr::UNSPECIFIED.into(),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        other => other.parse().map_err(|_| ListenError::Address { address: other.to_owned(), port })?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// The machine has no such address or no such family: what a leading `-` forgives.
fn is_absent(error: &io::Error) -> bool {
    let absent =
        [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT, libc::ENOPROTOOPT, libc::EPROTONOSUPPORT, libc::EPFNOSUPPORT];
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &[&str]) -> ServerConfig {
        let mut config = ServerConfig::default();
        config.bind.0 = bind.iter().map(|&word| word.to_owned()).collect();
        config
    }

    #[test]
    fn a_taken_port_is_one_clear_line() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
        let port = taken.local_addr().expect("bound").port();
        let error = tcp(&config(&["127.0.0.1"]), port).expect_err("taken");
        assert!(error.to_string().starts_with(&format!("Failed listening on port {port} (TCP): 127.0.0.1: Address")));
    }

    #[test]
    fn optional_addresses_may_be_absent_but_not_all() {
        // 192.0.2.0/24 is reserved for documentation (RFC 5737): no machine has it.
        let error = tcp(&config(&["-192.0.2.1"]), 65535).expect_err("nothing to listen on");
        assert!(matches!(error, ListenError::Nothing(65535)));
        let error = tcp(&config(&["example"]), 65535).expect_err("no address");
        assert!(matches!(error, ListenError::Address { .. }));
    }
}
