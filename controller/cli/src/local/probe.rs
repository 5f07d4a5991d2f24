//! Does something answer RESP at an address?

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A loopback peer that takes longer is not ready.
const TIMEOUT: Duration = Duration::from_millis(300);

/// PONG, or a refusal that proves a server (`-NOAUTH`); not `-LOADING`.
pub fn answers(address: SocketAddr) -> bool {
    let reply = ask(address, b"PING\r\n").unwrap_or_default();
    !reply.is_empty() && !reply.starts_with(b"-LOADING")
}

/// The first bytes of the answer to an inline command.
fn ask(address: SocketAddr, command: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(command)?;
    let mut reply = [0; 256];
    let count = stream.read(&mut reply)?;
    Ok(reply[..count].to_vec())
}
