//! A network that can be cut: nodes listen on 127.0.0.2 and everybody knows them as 127.0.0.1, where this forwards.
//!
//! A cut node's connections stay open and carry nothing, new ones are not accepted: what a pulled cable looks like, without root. What
//! waits in the kernel's buffers arrives after mending, as TCP would repeat it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::DrillError;
use crate::local::Layout;

/// Whether traffic of a node flows.
type Cut = watch::Receiver<bool>;

/// The proxy of one group, on a thread of its own.
pub(super) struct Proxy {
    cuts: BTreeMap<u16, watch::Sender<bool>>,
}

impl Proxy {
    /// Listens for every node's client and agent port.
    pub(super) fn start(layout: &Layout) -> Result<Self, DrillError> {
        let mut cuts = BTreeMap::new();
        let mut listeners = Vec::new();
        for port in layout.port..layout.port + layout.nodes {
            let (sender, receiver) = watch::channel(false);
            for port in [port, port + 1000] {
                let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
                let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
                let listener =
                    listener.map_err(|error| DrillError::Other(format!("cannot listen on port {port}: {error}")))?;
                listeners.push((listener, port, receiver.clone()));
            }
            cuts.insert(port, sender);
        }
        std::thread::spawn(move || {
            crate::operate::block_on(async {
                let mut serving = tokio::task::JoinSet::new();
                for (listener, port, cut) in listeners {
                    let listener =
                        TcpListener::from_std(listener).expect("a runtime is running and the socket is non-blocking");
                    serving.spawn(serve(listener, port, cut));
                }
                serving.join_all().await;
            });
        });
        Ok(Self { cuts })
    }

    /// Cuts the node at this port off.
    pub(super) fn cut(&self, port: u16) {
        self.cuts[&port].send_replace(true);
    }

    /// Mends its network.
    pub(super) fn mend(&self, port: u16) {
        self.cuts[&port].send_replace(false);
    }
}

/// Waits until traffic flows. `None`: the drill is over.
async fn flowing(cut: &mut Cut) -> Option<()> {
    cut.wait_for(|cut| !*cut).await.ok().map(drop)
}

async fn serve(listener: TcpListener, port: u16, mut cut: Cut) {
    while flowing(&mut cut).await.is_some() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = cut.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        if let Ok((client, _)) = accepted {
            tokio::spawn(forward(client, port, cut.clone()));
        }
    }
}

/// Forwards one connection until either end closes it.
async fn forward(client: TcpStream, port: u16, mut cut: Cut) {
    if flowing(&mut cut).await.is_none() {
        return;
    }
    let Ok(node) = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).await else { return };
    // Small packets at once, as without a proxy; a socket that refuses is slower and no less right.
    let _: [std::io::Result<()>; 2] = [client.set_nodelay(true), node.set_nodelay(true)];
    let (from_client, to_client) = client.into_split();
    let (from_node, to_node) = node.into_split();
    tokio::join!(pump(from_client, to_node, cut.clone()), pump(from_node, to_client, cut));
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: Cut) {
    let mut buffer = vec![0; 64 * 1024];
    while flowing(&mut cut).await.is_some() {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = cut.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(count @ 1..) = read else { return };
        if flowing(&mut cut).await.is_none() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::time::{Duration, Instant};

    use super::*;

    /// Sends a byte and waits a while for its echo.
    fn echo(stream: &mut std::net::TcpStream, byte: u8) -> std::io::Result<u8> {
        stream.write_all(&[byte])?;
        heard(stream)
    }

    fn heard(stream: &mut std::net::TcpStream) -> std::io::Result<u8> {
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        let mut got = [0];
        stream.read_exact(&mut got).map(|()| got[0])
    }

    #[test]
    fn a_cut_connection_stays_open_and_carries_nothing_until_it_is_mended() {
        let layout = Layout { nodes: 1, ..super::super::ports::free_layout().expect("there are free ports") };
        let node = std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), layout.port)).unwrap();
        std::thread::spawn(move || {
            for stream in node.incoming().map_while(Result::ok) {
                let mut reader = stream.try_clone().unwrap();
                let mut writer = stream;
                std::thread::spawn(move || std::io::copy(&mut reader, &mut writer));
            }
        });
        let proxy = Proxy::start(&layout).unwrap();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", layout.port)).unwrap();
        assert_eq!(echo(&mut stream, 1).unwrap(), 1);
        proxy.cut(layout.port);
        let silent = echo(&mut stream, 2).unwrap_err();
        assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
        proxy.mend(layout.port);
        let deadline = Instant::now() + Duration::from_secs(5);
        let late = loop {
            match heard(&mut stream) {
                Ok(byte) => break byte,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        assert_eq!((late, echo(&mut stream, 3).unwrap()), (2, 3));
    }
}
