//! Listening sockets: one for each address of `bind`, and the Unix socket.
//!
//! An address that begins with `-` may be missing on this machine (`-::1`); any other failure is one clear line. There is no
//! SO_REUSEPORT: two servers on one port would share its clients without anybody noticing.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::unix::fs::PermissionsExt,
};

use mio::net::{TcpListener, UnixListener};
use quorate_config::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

/// Why there is no listening socket. `Display` is the line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address could not be bound.
    #[error("Failed listening on port {port} ({address}): {source}")]
    Port {
        /// As in `bind`.
        address: String,
        /// `port`.
        port: u16,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The Unix socket could not be opened.
    #[error("Failed opening Unix socket '{path}': {source}")]
    Unix {
        /// `unixsocket`.
        path: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Neither `port` nor `unixsocket`.
    #[error("Configured to not listen anywhere: set 'port' or 'unixsocket'")]
    Nowhere,
}

/// An open listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket and its path, which is removed at the end.
    Unix(UnixListener, String),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// Opens every socket that the configuration asks for.
pub fn open(config: &ServerConfig) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    if config.port != 0 {
        for word in &config.bind.0 {
            let (optional, address) = match word.strip_prefix('-') {
                Some(address) => (true, address),
                None => (false, word.as_str()),
            };
            match tcp(address, config.port, config.tcp_backlog) {
                Ok(listener) => listeners.push(Listener::Tcp(listener)),
                Err(error) if optional && is_missing(&error) => {}
                Err(source) => {
                    return Err(ListenError::Port { address: address.to_owned(), port: config.port, source });
                }
            }
        }
    }
    if !config.unixsocket.is_empty() {
        let path = config.unixsocket.clone();
        let opened = unix(&path, config.unixsocketperm);
        let listener = opened.map_err(|source| ListenError::Unix { path: path.clone(), source })?;
        listeners.push(Listener::Unix(listener, path));
    }
    if listeners.is_empty() { Err(ListenError::Nowhere) } else { Ok(listeners) }
}

/// Is the address itself not there, rather than taken? Source: Redis, listenToPort.
fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::NOTSUP, Errno::NOPROTOOPT];
    error.raw_os_error().is_some_and(|code| missing.iter().any(|errno| errno.raw_os_error() == code))
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn tcp(address: &str, port: u16, backlog: u32) -> io::Result<TcpListener> {
    let address: SocketAddr = match address {
        "*" => ([0, 0, 0, 0], port).into(),
        "::*" => (IpAddr::from([0u16; 8]), port).into(),
        name => (name, port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address"))?,
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Opens a Unix socket, replacing one that a dead process left behind but not one that somebody serves.
fn unix(path: &str, permissions: u32) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    if permissions != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str, port: u16) -> ServerConfig {
        let mut config = ServerConfig { port, ..ServerConfig::default() };
        config.bind.0 = bind.split(' ').map(str::to_owned).collect();
        config
    }

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port()
    }

    #[test]
    fn a_taken_port_is_one_clear_line() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("an address").port();
        let error = open(&config("127.0.0.1", port)).expect_err("taken");
        assert!(error.to_string().starts_with(&format!("Failed listening on port {port} (127.0.0.1): ")), "{error}");
    }

    #[test]
    fn an_optional_address_may_be_missing() {
        assert_eq!(open(&config("127.0.0.1 -192.0.2.1", free_port())).expect("the other is there").len(), 1);
        assert!(open(&config("192.0.2.1", free_port())).is_err());
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_served_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s").display().to_string();
        let config =
            || ServerConfig { port: 0, unixsocket: path.clone(), unixsocketperm: 0o700, ..ServerConfig::default() };
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let served = open(&config()).expect("replaced");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o700);
        assert!(matches!(open(&config()), Err(ListenError::Unix { .. })));
        drop(served);
        assert!(fs::metadata(&path).is_err(), "removed at the end");
        assert!(matches!(open(&ServerConfig { port: 0, ..ServerConfig::default() }), Err(ListenError::Nowhere)));
    }
}
