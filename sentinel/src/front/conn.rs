//! One connection: reads requests, runs them in order, writes the replies, delivers events in between.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use futures::{StreamExt, stream::BoxStream};
use quorate_api::{problem::Problem, view::Event};
use quorate_resp::{Limits, Requests, Writer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    REPLIES_MOST, Shared,
    client::{Client, Verdict},
    commands,
};

/// Bytes read at a time.
const READ_SIZE: usize = 16 * 1024;
/// Commands run between two looks at the socket and the events.
const BATCH: usize = 128;
/// The longest argument that a sentinel takes: no command of its has a long one.
const BULK_MOST: i64 = 64 * 1024;

/// What a stranger from another machine is told. Source: Redis's protected mode, whose first words clients recognise.
const PROTECTED_MODE: &[u8] =
    b"-DENIED protected mode is on and no password is set: only connections from the loopback \
interface are served. Set 'requirepass', or 'protected-mode no' to serve everybody who reaches this port.\r\n";

/// Serves one client until it leaves, errs or is cut off.
pub(super) async fn run(shared: Arc<Shared>, mut stream: TcpStream, peer: SocketAddr) {
    if !shared.options.serves(peer.ip()) {
        let _ = stream.write_all(PROTECTED_MODE).await;
        return;
    }
    if !shared.admit() {
        let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
        return;
    }
    let _ = stream.set_nodelay(true);
    match stream.local_addr() {
        Ok(local) => {
            let client = Client::new(&shared, peer, local);
            let served = Conn { shared: shared.clone(), stream, client, events: None }.serve().await;
            tracing::debug!(%peer, ?served, "client left");
        }
        Err(error) => tracing::debug!(%peer, %error, "client left at once"),
    }
    shared.connected.fetch_sub(1, Ordering::Relaxed);
}

struct Conn {
    shared: Arc<Shared>,
    stream: TcpStream,
    client: Client,
    /// Present while the client listens to anything.
    events: Option<BoxStream<'static, Result<Event, Problem>>>,
}

impl Conn {
    async fn serve(mut self) -> io::Result<()> {
        let mut input: Vec<u8> = Vec::with_capacity(READ_SIZE);
        let mut output = Vec::new();
        let mut requests = Requests::default();
        let mut partial = None;
        loop {
            let more = tokio::select! {
                read = self.stream.read_buf(&mut input) => match read? {
                    0 => return Ok(()),
                    _ => true,
                },
                event = next(&mut self.events) => match event {
                    Some(Ok(event)) => {
                        self.client.subscriptions.deliver(&event, &mut Writer::new(&mut output, self.client.protocol));
                        false
                    }
                    // It fell behind the event queue: cut off, so that it resumes and knows that it missed something.
                    Some(Err(_)) | None => return Ok(()),
                },
            };
            let mut open = more;
            while open {
                let limits = if self.client.authenticated { Limits::of_peer(BULK_MOST) } else { Limits::of_stranger() };
                let parsed = requests.parse(partial.take(), &input, &limits, BATCH);
                for command in requests.commands(&input) {
                    let argv: Vec<&[u8]> = command.iter().collect();
                    match self.execute(&argv, &mut output).await {
                        Verdict::Stay => {}
                        Verdict::Close => return self.stream.write_all(&output).await,
                        Verdict::Drop => return Ok(()),
                    }
                    if output.len() > REPLIES_MOST {
                        return Err(io::Error::other("the client does not read its replies"));
                    }
                }
                if let Err(error) = parsed {
                    Writer::new(&mut output, self.client.protocol).error(&format!("ERR {error}"));
                    return self.stream.write_all(&output).await;
                }
                open = requests.len() == BATCH;
                input.drain(..requests.consumed());
                partial = requests.take_partial();
            }
            self.stream.write_all(&output).await?;
            output.clear();
        }
    }

    async fn execute(&mut self, argv: &[&[u8]], output: &mut Vec<u8>) -> Verdict {
        self.shared.commands.fetch_add(1, Ordering::Relaxed);
        let mut out = Writer::new(output, self.client.protocol);
        let verdict = commands::run(&self.shared, &mut self.client, argv, &mut out).await;
        match (self.client.subscriptions.len(), &self.events) {
            (0, _) => self.events = None,
            // Subscribed before the reply leaves: nothing that happens after it is missed.
            (_, None) => self.events = self.shared.tower.watch(None).ok(),
            _ => {}
        }
        verdict
    }
}

/// The next event of a client that listens; never, for one that does not.
async fn next(events: &mut Option<BoxStream<'static, Result<Event, Problem>>>) -> Option<Result<Event, Problem>> {
    match events {
        Some(events) => events.next().await,
        None => futures::future::pending().await,
    }
}
