//! The front over a tower in memory: shapes, gates, discovery without a quorum, events.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::ready, stream::BoxStream};
use quorate_api::{
    plane::{ControlPlane, Outcome, Standing},
    problem::Problem,
    view::{Event, FailoverOrder, FailoverReport, Group, MonitorOrder, Sentinel},
};
use quorate_resp::{Value, Writer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

use super::{
    GroupFacts, Instance, Options, PeerFacts, ReplicaFacts, Shared, Tower,
    client::{Client, Verdict},
    commands, serve,
};

/// A master at 7001, a replica at 7002, two other sentinels.
pub(super) fn group() -> GroupFacts {
    let instance = |name: &str, port, role_reported| Instance {
        name: name.into(),
        host: "127.0.0.1".into(),
        port,
        run_id: "a".repeat(40),
        role_reported,
        last_ok_ping_ms: 12,
        last_ping_ms: 12,
        ..Instance::default()
    };
    let peer = |port| PeerFacts {
        instance: instance(&"c".repeat(40), port, "sentinel"),
        voted_leader_epoch: 4,
        ..PeerFacts::default()
    };
    GroupFacts {
        master: instance("main", 7001, "master"),
        config_epoch: 3,
        quorum: 2,
        down_after_ms: 1000,
        failover_timeout_ms: 180_000,
        parallel_syncs: 1,
        replicas: vec![ReplicaFacts {
            instance: instance("127.0.0.1:7002", 7002, "slave"),
            link_up: true,
            master_host: "127.0.0.1".into(),
            master_port: 7001,
            priority: 100,
            offset: 9,
            ..ReplicaFacts::default()
        }],
        sentinels: vec![peer(26380), peer(26381)],
        ..GroupFacts::default()
    }
}

struct FakeTower {
    group: Mutex<GroupFacts>,
    no_quorum: AtomicBool,
    refusal: Mutex<Option<Problem>>,
    orders: Mutex<Vec<String>>,
    events: broadcast::Sender<Event>,
}

impl FakeTower {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            group: Mutex::new(group()),
            no_quorum: AtomicBool::new(false),
            refusal: Mutex::new(None),
            orders: Mutex::new(vec![]),
            events: broadcast::channel(16).0,
        })
    }

    fn order<T: Send + 'static>(&self, what: String, answer: impl FnOnce() -> T) -> Outcome<T> {
        self.orders.lock().expect("no panic holds it").push(what);
        let refused = self.refusal.lock().expect("no panic holds it").clone();
        ready(refused.map_or_else(|| Ok(answer()), Err)).boxed()
    }
}

fn view() -> Group {
    let master = quorate_api::view::Master { group: "main".into(), host: "h".into(), port: 1, epoch: 1 };
    Group {
        name: "main".into(),
        epoch: 1,
        status: quorate_api::view::GroupStatus::Ok,
        durability: "async".into(),
        stock: false,
        master,
        nodes: vec![],
        quorum: 2,
        down_after_ms: 1,
        failover_timeout_ms: 1,
        parallel_syncs: 1,
        failover_phase: String::new(),
        voting: Default::default(),
    }
}

impl ControlPlane for FakeTower {
    fn groups(&self) -> Vec<Group> {
        vec![view()]
    }
    fn group(&self, _: &str) -> Option<Group> {
        Some(view())
    }
    fn sentinels(&self) -> Vec<Sentinel> {
        vec![]
    }
    fn standing(&self) -> Standing {
        Standing::default()
    }
    fn confirm(&self) -> Outcome<Standing> {
        let lost = self.no_quorum.load(Ordering::Relaxed);
        ready(if lost { Err(Problem::NoQuorum) } else { Ok(Standing::default()) }).boxed()
    }
    fn history(&self, _: Option<&str>, _: usize) -> Vec<Event> {
        vec![]
    }
    fn watch(&self, _: Option<u64>) -> Result<BoxStream<'static, Result<Event, Problem>>, Problem> {
        let receiver = self.events.subscribe();
        let next = |mut receiver: broadcast::Receiver<Event>| async move {
            receiver.recv().await.ok().map(|event| (Ok(event), receiver))
        };
        Ok(futures::stream::unfold(receiver, next).boxed())
    }
    fn failover(&self, group: &str, order: FailoverOrder) -> Outcome<FailoverReport> {
        let report = || FailoverReport { master: view().master, took_ms: 1, paused_ms: 1 };
        self.order(format!("failover {group} {}", order.force), report)
    }
    fn monitor(&self, o: MonitorOrder) -> Outcome<Group> {
        self.order(format!("monitor {} {} {} {}", o.name, o.host, o.port, o.quorum), view)
    }
    fn remove(&self, group: &str) -> Outcome<()> {
        self.order(format!("remove {group}"), || ())
    }
    fn add_node(&self, group: &str, node: &str) -> Outcome<Group> {
        self.order(format!("add {node} to {group}"), view)
    }
    fn remove_node(&self, group: &str, node: &str) -> Outcome<Group> {
        self.order(format!("remove {node} from {group}"), view)
    }
    fn remove_sentinel(&self, id: &str) -> Outcome<()> {
        self.order(format!("remove sentinel {id}"), || ())
    }
    fn set(&self, group: &str, settings: BTreeMap<String, String>) -> Outcome<Group> {
        self.order(format!("set {group} {settings:?}"), view)
    }
}

impl Tower for FakeTower {
    fn my_id(&self) -> String {
        "b".repeat(40)
    }
    fn facts(&self, group: &str) -> Option<GroupFacts> {
        (group == "main").then(|| self.group.lock().expect("no panic holds it").clone())
    }
    fn all_facts(&self) -> Vec<GroupFacts> {
        self.facts("main").into_iter().collect()
    }
    fn shut_down(&self) {
        self.orders.lock().expect("no panic holds it").push("shutdown".into());
    }
}

fn shared_over(tower: Arc<FakeTower>, password: &str) -> Shared {
    Shared {
        tower,
        options: Options { password: password.into(), clients_most: 10, port: 26379, protected: true },
        started: std::time::Instant::now(),
        next_client: 1.into(),
        connected: 0.into(),
        accepted: 0.into(),
        rejected: 0.into(),
        commands: 0.into(),
    }
}

pub(super) fn shared(password: &str) -> Shared {
    shared_over(FakeTower::new(), password)
}

/// Runs lines (words between single spaces) as one client and returns everything it was sent; `(closed)` where it was dropped.
pub(super) async fn talk(shared: &Shared, lines: &[&str]) -> String {
    let nowhere: SocketAddr = ([127, 0, 0, 1], 1).into();
    let mut client = Client::new(shared, nowhere, nowhere);
    let mut output = Vec::new();
    for line in lines {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut out = Writer::new(&mut output, client.protocol);
        match commands::run(shared, &mut client, &argv, &mut out).await {
            Verdict::Stay => {}
            Verdict::Close => break,
            Verdict::Drop => return "(closed)".into(),
        }
    }
    String::from_utf8(output).expect("text")
}

async fn check(line: &str, expected: &str) {
    assert_eq!(talk(&shared(""), &[line]).await, expected.replace('|', "\r\n"), "{line}");
}

#[tokio::test]
async fn clients_get_the_master() {
    check("SENTINEL get-master-addr-by-name main", "*2|$9|127.0.0.1|$4|7001|").await;
    check("SENTINEL get-primary-addr-by-name main", "*2|$9|127.0.0.1|$4|7001|").await;
    check("SENTINEL get-master-addr-by-name nope", "*-1|").await;
    check("SENTINEL master nope", "-ERR No such master with that name|").await;
    check("SENTINEL replicas nope", "-ERR No such master with that name|").await;
    let text = talk(&shared(""), &["HELLO 3", "SENTINEL get-master-addr-by-name nope"]).await;
    assert!(text.ends_with("_\r\n"), "{text}");
}

#[tokio::test]
async fn records_are_flat_arrays_in_resp2_and_maps_in_resp3() {
    let shared = shared("");
    for (line, records, fields) in
        [("SENTINEL masters", 1, 20), ("SENTINEL slaves main", 1, 21), ("SENTINEL sentinels main", 2, 14)]
    {
        let text = talk(&shared, &[line]).await;
        assert!(text.starts_with(&format!("*{records}\r\n*{}\r\n$4\r\nname\r\n", 2 * fields)), "{line}: {text}");
        let text = talk(&shared, &["HELLO 3", line]).await;
        assert!(text.contains(&format!("*{records}\r\n%{fields}\r\n$4\r\nname\r\n")), "{line}: {text}");
    }
}

#[tokio::test]
async fn without_a_quorum_no_master_is_named() {
    let tower = FakeTower::new();
    tower.no_quorum.store(true, Ordering::Relaxed);
    let shared = shared_over(tower.clone(), "");
    for line in ["SENTINEL masters", "SENTINEL master main", "SENTINEL get-master-addr-by-name main"] {
        assert_eq!(talk(&shared, &[line]).await, "(closed)", "{line}");
    }
    assert!(talk(&shared, &["SENTINEL sentinels main"]).await.starts_with("*2"));
    assert_eq!(talk(&shared, &["PING"]).await, "+PONG\r\n");
    tower.group.lock().expect("no panic holds it").master.s_down_ms = Some(5);
    assert!(talk(&shared, &["SENTINEL master main"]).await.contains("s_down,master"));
    assert_eq!(talk(&shared, &["SENTINEL get-master-addr-by-name main"]).await, "(closed)");
}

#[tokio::test]
async fn ckquorum_counts_the_living() {
    check("SENTINEL ckquorum main", "+OK 3 usable Sentinels. Quorum and failover authorization can be reached|").await;
    let tower = FakeTower::new();
    for peer in &mut tower.group.lock().expect("no panic holds it").sentinels {
        peer.instance.disconnected = true;
    }
    let text = talk(&shared_over(tower, ""), &["SENTINEL ckquorum main"]).await;
    assert!(text.starts_with("-NOQUORUM 1 usable Sentinels. "), "{text}");
}

#[tokio::test]
async fn failover_answers_in_the_references_words() {
    let tower = FakeTower::new();
    let shared = shared_over(tower.clone(), "");
    assert_eq!(talk(&shared, &["SENTINEL failover main"]).await, "+OK\r\n");
    tower.group.lock().expect("no panic holds it").master.s_down_ms = Some(5);
    assert_eq!(talk(&shared, &["SENTINEL FAILOVER main"]).await, "+OK\r\n");
    assert_eq!(talk(&shared, &["SENTINEL failover main coordinated"]).await, "+OK\r\n");
    let forced: Vec<_> = tower.orders.lock().expect("no panic holds it").clone();
    assert_eq!(forced, ["failover main false", "failover main true", "failover main false"]);
    for (problem, answer) in [
        (Problem::InProgress { group: "main".into() }, "-INPROG Failover already in progress\r\n"),
        (Problem::NoCandidate { group: "main".into() }, "-NOGOODSLAVE No suitable replica to promote\r\n"),
        (Problem::NoQuorum, "-NOQUORUM a majority of the sentinels cannot be reached\r\n"),
    ] {
        *tower.refusal.lock().expect("no panic holds it") = Some(problem);
        assert_eq!(talk(&shared, &["SENTINEL failover main"]).await, answer);
    }
    assert_eq!(talk(&shared, &["SENTINEL failover x"]).await, "-ERR No such master with that name\r\n");
}

#[tokio::test]
async fn operators_change_groups() {
    let tower = FakeTower::new();
    let shared = shared_over(tower.clone(), "");
    for (line, answer) in [
        ("SENTINEL monitor main 127.0.0.1 7001 2", "+OK\r\n"),
        ("SENTINEL monitor main 127.0.0.1 7002 2", "-ERR Duplicate master name.\r\n"),
        ("SENTINEL monitor new 127.0.0.1 7009 2", "+OK\r\n"),
        ("SENTINEL monitor new 127.0.0.1 0 2", "-ERR Invalid port number\r\n"),
        ("SENTINEL monitor new 127.0.0.1 7009 0", "-ERR Quorum must be 1 or greater.\r\n"),
        ("SENTINEL set main Quorum 1 down-after-milliseconds 500", "+OK\r\n"),
        ("SENTINEL set main quorum", "-ERR Unknown option or number of arguments for SENTINEL SET 'quorum'\r\n"),
        ("SENTINEL remove main", "+OK\r\n"),
        ("SENTINEL remove nope", "-ERR No such master with that name\r\n"),
    ] {
        assert_eq!(talk(&shared, &[line]).await, answer, "{line}");
    }
    assert_eq!(
        *tower.orders.lock().expect("no panic holds it"),
        [
            "monitor new 127.0.0.1 7009 2",
            "set main {\"down-after-milliseconds\": \"500\", \"quorum\": \"1\"}",
            "remove main",
        ]
    );
}

#[tokio::test]
async fn connections_behave() {
    check("ROLE", "*2|$8|sentinel|*1|$4|main|").await;
    check("SENTINEL myid", &format!("$40|{}|", "b".repeat(40))).await;
    check("PING hi", "$2|hi|").await;
    check("GET x", "-ERR unknown command 'GET', with args beginning with: 'x' |").await;
    check("SENTINEL nope", "-ERR unknown subcommand 'nope'. Try SENTINEL HELP.|").await;
    let text = talk(&shared(""), &["SENTINEL master"]).await;
    assert_eq!(text, "-ERR wrong number of arguments for 'sentinel|master' command\r\n");
}

#[tokio::test]
async fn client_and_hello() {
    for line in ["CLIENT SETINFO lib-name x", "CLIENT NO-EVICT on", "CLIENT TRACKING ON OPTIN", "CLIENT SETNAME me"] {
        check(line, "+OK|").await;
    }
    let text = talk(&shared(""), &["CLIENT SETNAME me", "CLIENT GETNAME", "HELLO 3 SETNAME you", "CLIENT INFO"]).await;
    assert!(text.starts_with("+OK\r\n$2\r\nme\r\n%6\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{text}");
    assert!(text.contains(" name=you ") && text.contains(" resp=3 "), "{text}");
    check("HELLO 4", "-NOPROTO unsupported protocol version|").await;
    check("CLIENT NOPE", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.|").await;
}

#[tokio::test]
async fn a_password_guards_everything() {
    let shared = shared("s3cret");
    assert_eq!(talk(&shared, &["SENTINEL masters"]).await, "-NOAUTH Authentication required.\r\n");
    let text = talk(&shared, &["AUTH nope", "AUTH s3cret", "PING"]).await;
    assert_eq!(text, "-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n+PONG\r\n");
    assert!(talk(&shared, &["HELLO 3"]).await.starts_with("-NOAUTH HELLO must be called"));
    assert!(talk(&shared, &["HELLO 3 AUTH default s3cret"]).await.starts_with("%6"));
}

#[tokio::test]
async fn info_has_the_line_that_exporters_parse() {
    let text = talk(&shared(""), &["INFO sentinel"]).await;
    assert!(text.contains("\r\nmaster0:name=main,status=ok,address=127.0.0.1:7001,slaves=1,sentinels=3\r\n"), "{text}");
    assert!(!text.contains("# Server"), "{text}");
    assert!(talk(&shared(""), &["INFO"]).await.contains("redis_mode:sentinel\r\n"));
}

struct Peer(TcpStream, Vec<u8>);

impl Peer {
    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.expect("a write");
    }

    /// The next reply, or None at the connection's end.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            if let Some((value, used)) = Value::decode(&self.1).expect("well formed") {
                self.1.drain(..used);
                return Some(value);
            }
            let read = tokio::time::timeout(Duration::from_secs(20), self.0.read_buf(&mut self.1));
            if read.await.expect("an answer within 20 s").ok()? == 0 {
                return None;
            }
        }
    }

    async fn hear_text(&mut self) -> String {
        fn flat(value: &Value) -> String {
            match (value.elements(), value.bytes(), value.int()) {
                (Some(elements), _, _) => elements.iter().map(flat).collect::<Vec<_>>().join(" "),
                (_, Some(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
                (_, _, Some(int)) => int.to_string(),
                _ => value.to_string(),
            }
        }
        flat(&self.hear().await.expect("still connected"))
    }
}

async fn connected(tower: Arc<FakeTower>) -> impl AsyncFn() -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let options = Options { password: String::new(), clients_most: 2, port: address.port(), protected: true };
    tokio::spawn(serve(listener, tower, options));
    async move || Peer(TcpStream::connect(address).await.expect("a connection"), Vec::new())
}

#[tokio::test]
async fn subscribers_hear_events() {
    let tower = FakeTower::new();
    let connect = connected(tower.clone()).await;
    let mut peer = connect().await;
    peer.say("PSUBSCRIBE [-+]sdown").await;
    assert_eq!(peer.hear_text().await, "psubscribe [-+]sdown 1");
    peer.say("SUBSCRIBE +switch-master").await;
    assert_eq!(peer.hear_text().await, "subscribe +switch-master 2");
    for (name, text) in [("+slave", "unheard"), ("+sdown", "a"), ("+switch-master", "main h 1 h 2")] {
        let event =
            Event { index: 0, unix_ms: 0, group: "main".into(), name: name.into(), text: text.into(), epoch: 1 };
        tower.events.send(event).expect("a subscriber");
    }
    assert_eq!(peer.hear_text().await, "pmessage [-+]sdown +sdown a");
    assert_eq!(peer.hear_text().await, "message +switch-master main h 1 h 2");
    peer.say("SENTINEL masters").await;
    assert!(peer.hear_text().await.contains("are allowed in this context"));
    peer.say("UNSUBSCRIBE").await;
    assert_eq!(peer.hear_text().await, "unsubscribe +switch-master 1");
}

#[tokio::test]
async fn malformed_requests_and_crowds_are_refused() {
    let connect = connected(FakeTower::new()).await;
    let mut peer = connect().await;
    peer.say("*1\r\n$x").await;
    assert_eq!(peer.hear_text().await, "-ERR Protocol error: invalid bulk length");
    assert!(peer.hear().await.is_none(), "closed behind the error");
    let (mut a, mut b, mut c) = (connect().await, connect().await, connect().await);
    for peer in [&mut a, &mut b] {
        peer.say("PING").await;
        assert_eq!(peer.hear_text().await, "PONG");
    }
    assert_eq!(c.hear_text().await, "-ERR max number of clients reached");
}

#[test]
fn protected_mode_serves_strangers_only_with_a_password() {
    let (here, mapped, away) = ("127.0.0.1", "::ffff:127.0.0.1", "192.0.2.1");
    for (protected, password, peer, served) in [
        (true, "", here, true),
        (true, "", mapped, true),
        (true, "", away, false),
        (true, "p", away, true),
        (false, "", away, true),
    ] {
        let options = Options { password: password.into(), clients_most: 1, port: 1, protected };
        assert_eq!(options.serves(peer.parse().expect("an address")), served, "{protected} {password} {peer}");
    }
}

#[tokio::test]
async fn without_a_quorum_the_connection_ends() {
    let tower = FakeTower::new();
    tower.no_quorum.store(true, Ordering::Relaxed);
    let connect = connected(tower).await;
    let mut peer = connect().await;
    peer.say("SENTINEL get-master-addr-by-name main").await;
    assert!(peer.hear().await.is_none());
}
