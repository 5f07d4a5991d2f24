//! SIGTERM and SIGINT as a readable socket in the loop.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdStream;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Signals {
    stream: UnixStream,
}

impl Signals {
    /// From now on the two signals do not end the process but wake the loop.
    pub fn register(registry: &Registry, token: Token) -> io::Result<Signals> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
        }
        let mut stream = UnixStream::from_std(ours);
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Signals { stream })
    }

    /// Whether a signal came since the last call.
    pub fn take(&mut self) -> bool {
        let mut bytes = [0; 16];
        let mut any = false;
        while matches!(self.stream.read(&mut bytes), Ok(count) if count > 0) {
            any = true;
        }
        any
    }
}
