//! Places for a drill's group: a folder and ports that nobody uses.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::local::Layout;

/// Below the range from which systems take ports for outgoing connections (32768 on Linux).
const FIRST: u16 = 11_000;
/// Room for a group is looked for in this many places.
const PLACES: u16 = 190;
/// Ports of one group: nodes from 0, sentinels from 20; agents and APIs stand 1000 higher, in the next block of places.
const STRIDE: u16 = 50;
/// Where the sentinels' ports begin.
const SENTINELS: u16 = 20;

/// Each call begins at another place, so that groups of one process, and of processes started together, do not meet.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A layout whose ports are free on both loopback addresses, those of agents and APIs included.
pub fn free_layout() -> Option<Layout> {
    let start = (std::process::id() % u32::from(PLACES)) as u16;
    (0..PLACES).find_map(|_| {
        let place = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % PLACES;
        // Blocks of 1000 alternate: even ones hold RESP ports, the odd ones above them agents and APIs.
        let port = FIRST + place / 20 * 2000 + place % 20 * STRIDE;
        let layout = Layout { port, sentinel_port: port + SENTINELS, ..Layout::default() };
        is_free(&layout).then_some(layout)
    })
}

fn is_free(layout: &Layout) -> bool {
    let nodes = (0..layout.nodes).map(|index| layout.port + index);
    // Up to nine sentinels may be asked for.
    let sentinels = (0..9).map(|index| layout.sentinel_port + index);
    let hosts = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];
    nodes
        .chain(sentinels)
        .flat_map(|port| [port, port + 1000])
        .all(|port| hosts.iter().all(|host| TcpListener::bind((*host, port)).is_ok()))
}

/// A folder of this process in the system's temporary one. Not created yet.
pub(super) fn temporary_folder() -> PathBuf {
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("quorate-drill-{}-{serial}", std::process::id()))
}
