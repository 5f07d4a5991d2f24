//! Hello messages on the data nodes: how Sentinel's instances meet, and what their clients' tools listen to.
//!
//! Our sentinels know each other through Raft; they publish hellos so that whoever reads them sees what it expects, and hand
//! on what they hear. Nothing that a hello says is believed without more.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use quorate_registry::{Epoch, GroupName, NodeKey};
use quorate_resp::Value;
use tokio::sync::{mpsc, watch};

use crate::probe::line::{Line, LineEvent};
use crate::probe::{HeardHello, Watching};

/// The channel. Source: Redis Sentinel, `SENTINEL_HELLO_CHANNEL`.
pub const CHANNEL: &str = "__sentinel__:hello";

/// How often each sentinel says hello on each node. Source: Redis Sentinel, `SENTINEL_PUBLISH_PERIOD`.
pub const PERIOD: Duration = Duration::from_secs(2);

/// The longest message that is read; the parts' own bounds make a real one shorter.
const MAX_LEN: usize = 1024;

/// One message: who says it, and what it holds for the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Where clients reach the sentinel.
    pub sentinel: NodeKey,
    /// Its id: 40 hexadecimal digits.
    pub sentinel_id: String,
    /// The highest epoch that it knows.
    pub current_epoch: Epoch,
    /// The group.
    pub group: GroupName,
    /// The group's master.
    pub master: NodeKey,
    /// The epoch of that mastership.
    pub config_epoch: Epoch,
}

/// The message is no hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed hello message")]
pub struct MalformedHello;

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hello { sentinel, sentinel_id, current_epoch, group, master, config_epoch } = self;
        let (ip, port) = (sentinel.host(), sentinel.port());
        write!(
            f,
            "{ip},{port},{sentinel_id},{current_epoch},{group},{},{},{config_epoch}",
            master.host(),
            master.port()
        )
    }
}

impl FromStr for Hello {
    type Err = MalformedHello;

    fn from_str(text: &str) -> Result<Self, MalformedHello> {
        if text.len() > MAX_LEN {
            return Err(MalformedHello);
        }
        let parts: Vec<&str> = text.split(',').collect();
        let [ip, port, id, current, group, master_ip, master_port, config] = parts[..] else {
            return Err(MalformedHello);
        };
        let node = |host: &str, port: &str| {
            let port = port.parse().map_err(|_| MalformedHello)?;
            NodeKey::new(host, port).map_err(|_| MalformedHello)
        };
        let epoch = |text: &str| text.parse().map(Epoch).map_err(|_| MalformedHello);
        if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(MalformedHello);
        }
        Ok(Hello {
            sentinel: node(ip, port)?,
            sentinel_id: id.to_owned(),
            current_epoch: epoch(current)?,
            group: group.parse().map_err(|_| MalformedHello)?,
            master: node(master_ip, master_port)?,
            config_epoch: epoch(config)?,
        })
    }
}

/// Listens on one node for as long as it is polled; hands on every hello of another sentinel. A full queue drops it: the
/// next comes within two seconds.
pub(crate) async fn listen(node: NodeKey, watching: watch::Receiver<Watching>, out: mpsc::Sender<HeardHello>) {
    let mut line = Line::new(node.clone());
    loop {
        match line.event().await {
            LineEvent::Up => {
                let watching = watching.borrow().clone();
                if let Some(auth) = watching.auth_command() {
                    line.send(&auth);
                }
                line.send(&watching.command("SUBSCRIBE", &[CHANNEL]));
            }
            LineEvent::Reply(value) => {
                let me = watching.borrow().me.clone();
                if let Some(hello) = message(&value).filter(|hello| hello.sentinel_id != me) {
                    let _ = out.try_send(HeardHello { node: node.clone(), hello });
                }
            }
            LineEvent::Refused | LineEvent::Failed | LineEvent::Broken => {}
        }
    }
}

/// The hello in a published message.
fn message(value: &Value) -> Option<Hello> {
    let [kind, channel, payload] = value.elements()? else { return None };
    if kind.bytes()? != b"message" || channel.bytes()? != CHANNEL.as_bytes() {
        return None;
    }
    std::str::from_utf8(payload.bytes()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_reads_back_what_it_writes() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let text = format!("127.0.0.1,26379,{id},7,main,127.0.0.1,7001,5");
        let hello: Hello = text.parse().expect("well-formed");
        assert_eq!(hello.to_string(), text);
        assert_eq!((hello.current_epoch, hello.config_epoch), (Epoch(7), Epoch(5)));
    }

    #[test]
    fn malformed_hellos_are_refused() {
        let id = "a".repeat(40);
        for bad in [
            String::new(),
            ",,,,,,,".into(),
            format!("127.0.0.1,26379,{id},7,main,127.0.0.1,7001"),
            format!("127.0.0.1,26379,{id},7,main,127.0.0.1,7001,5,6"),
            format!("127.0.0.1,0,{id},7,main,127.0.0.1,7001,5"),
            format!("127.0.0.1,70000,{id},7,main,127.0.0.1,7001,5"),
            format!("127.0.0.1,26379,{id},-7,main,127.0.0.1,7001,5"),
            format!("127.0.0.1,26379,{id},7,two words,127.0.0.1,7001,5"),
            format!("127.0.0.1,26379,{}é,7,main,127.0.0.1,7001,5", &id[2..]),
            "127.0.0.1,26379,short,7,main,127.0.0.1,7001,5".into(),
            format!("{},26379,{id},7,main,127.0.0.1,7001,5", "h".repeat(2000)),
        ] {
            assert_eq!(bad.parse::<Hello>(), Err(MalformedHello), "{bad}");
        }
    }
}
