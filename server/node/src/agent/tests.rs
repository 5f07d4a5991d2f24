//! The agent over a real socket, with a stand-in for the engine.

use super::*;
use quorate_engine::{Facts, NodeRole};
use quorate_replication::fence::{Change, Durable, Fence, Role, Standing};
use quorate_replication::{Address, Offset, ReplId};
use quorate_rpc::v1::agent_client::AgentClient;
use tonic::Code;
use tonic::transport::Channel;

fn clock() -> Duration {
    static STARTED: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    STARTED.elapsed()
}

fn facts(fence: &Fence) -> Facts {
    Facts {
        role: match fence.standing() {
            Standing::Fenced => NodeRole::Fenced,
            Standing::Master { .. } => NodeRole::Master,
            Standing::Replica => NodeRole::Replica,
        },
        group: fence.group().to_owned(),
        epoch: fence.epoch(),
        promised: fence.promised(),
        data_epoch: Epoch(0),
        data_known: false,
        held: Held { replid: ReplId::from_random([7; 20]), offset: Offset(9) },
        master: fence.master().cloned(),
        link_up: false,
        link_at: Duration::ZERO,
        loading: false,
        paused: false,
        priority: 100,
        config_version: 0,
        committed: Offset(0),
        fsync_acks: false,
        tail_unsure: false,
        dropped_tail: 0,
    }
}

/// A fence behind the agent instead of an engine.
struct Node {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    port: u16,
    vitals: Arc<Vitals>,
}

fn settings(dir: &std::path::Path, secret: &str, vitals: &Arc<Vitals>) -> Settings {
    let (state, _) = StateFile::open(dir, &"a".repeat(40)).expect("a new file");
    Settings {
        listeners: vec![TcpListener::bind("127.0.0.1:0").expect("a free port")],
        secret: secret.into(),
        run_id: "b".repeat(40),
        state,
        vitals: Arc::clone(vitals),
        lease: Arc::new(Mutex::new(Lease::new(1))),
    }
}

fn node(secret: &str) -> Node {
    let dir = tempfile::tempdir().expect("a directory");
    let fence = Fence::boot("main", Durable::default(), Epoch(0));
    let vitals = Arc::new(Vitals::new(clock, facts(&fence)));
    let (orders, engine) = std::sync::mpsc::channel::<Mail>();
    let settings = settings(dir.path(), secret, &vitals);
    let port = settings.listeners[0].local_addr().expect("bound").port();
    let agent = Agent::start(settings, move |mail| orders.send(mail).expect("the stand-in runs")).expect("started");
    let seen = Arc::clone(&vitals);
    std::thread::spawn(move || stand_in(fence, &engine, &agent, &seen));
    Node { path: dir.path().to_owned(), _dir: dir, port, vitals }
}

fn stand_in(mut fence: Fence, orders: &std::sync::mpsc::Receiver<Mail>, agent: &Agent, vitals: &Vitals) {
    let mut revision = 0;
    for mail in orders {
        let Mail::Control(Control { ticket, order }) = mail else { continue };
        let outcome = match order {
            Order::Promise { group, epoch } => fence.promise(&group, epoch),
            Order::Assign { group, epoch, role, .. } => fence.assign(&group, epoch, role),
            Order::Configure { .. } => Ok(Change::Nothing),
            Order::Pause { group, epoch, timeout } => fence.pause(&group, epoch, timeout),
            Order::Resume { group, epoch } => fence.resume(&group, epoch),
            Order::Describe | Order::CatchUp { .. } => Ok(Change::Nothing),
        };
        let refused = outcome.err().map(Denied::Fence);
        vitals.publish(facts(&fence));
        revision += 1;
        let durable = Some(Keep { revision, durable: fence.durable() });
        agent.answer(ticket, Report { facts: facts(&fence), durable, refused });
    }
}

async fn connect(port: u16) -> AgentClient<Channel> {
    AgentClient::connect(format!("http://127.0.0.1:{port}")).await.expect("the agent listens")
}

fn promise(epoch: u64) -> v1::PromiseRequest {
    v1::PromiseRequest { group: "main".into(), epoch }
}

fn assign(epoch: u64, role: v1::NodeRole, host: &str, port: u32) -> v1::AssignRequest {
    let (group, master_host) = ("main".into(), host.into());
    v1::AssignRequest { group, epoch, role: role.into(), master_host, master_port: port, config: None, lease_ms: 0 }
}

/// I2: when the answer is there, the promise is on disk; and a lower epoch is refused.
#[tokio::test]
async fn a_promise_is_durable_before_its_answer() {
    let node = node("");
    let mut client = connect(node.port).await;
    let report = client.promise(promise(5)).await.expect("promised").into_inner();
    assert_eq!((report.promised_epoch, report.role()), (5, v1::NodeRole::Fenced));
    let (kept, _) = StateFile::open(&node.path, "unused").expect("the file");
    assert_eq!(kept.kept().promised, Epoch(5));
    let refused = client.promise(promise(4)).await.expect_err("lower");
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "epoch 5 was promised"));

    let report =
        client.assign(assign(6, v1::NodeRole::Replica, "10.0.0.1", 7001)).await.expect("assigned").into_inner();
    assert_eq!(
        (report.role(), report.master_host.as_str(), report.master_port),
        (v1::NodeRole::Replica, "10.0.0.1", 7001)
    );
    let (kept, _) = StateFile::open(&node.path, "unused").expect("the file");
    assert_eq!(kept.kept().told, Some(Role::Replica(Address::new("10.0.0.1", 7001))));
}

/// What changed beside any order is remembered once the disk takes it, though nobody asks again.
#[test]
fn what_the_disk_refused_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let fence = Fence::boot("main", Durable::default(), Epoch(0));
    let (post, mail) = std::sync::mpsc::channel::<Mail>();
    let settings = settings(dir.path(), "", &Arc::new(Vitals::new(clock, facts(&fence))));
    let agent = Agent::start(settings, move |mail| post.send(mail).expect("the test listens")).expect("started");
    let obstacle = dir.path().join("quorate-node.state.tmp");
    std::fs::create_dir(&obstacle).expect("made");
    let durable = Durable { promised: Epoch(7), ..Durable::default() };
    agent.keep(Keep { revision: 3, durable: durable.clone() });
    assert!(mail.recv_timeout(Duration::from_millis(200)).is_err(), "nothing was written");
    std::fs::remove_dir(&obstacle).expect("removed");
    let kept = mail.recv_timeout(Duration::from_secs(30)).expect("it is tried again");
    assert!(matches!(kept, Mail::Kept(3)), "{kept:?}");
    let (state, _) = StateFile::open(dir.path(), "unused").expect("the file");
    assert_eq!(*state.kept(), durable);
}

/// An order that the disk refused is one that the engine obeyed: nobody gives it again, and it is remembered later.
#[tokio::test]
async fn what_was_obeyed_is_remembered_later() {
    let node = node("");
    let mut client = connect(node.port).await;
    let obstacle = node.path.join("quorate-node.state.tmp");
    std::fs::create_dir(&obstacle).expect("made");
    assert_eq!(client.promise(promise(5)).await.expect_err("no disk").code(), Code::Internal);
    std::fs::remove_dir(&obstacle).expect("removed");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let (kept, _) = StateFile::open(&node.path, "unused").expect("the file");
        if kept.kept().promised == Epoch(5) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "it is tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_arrives_is_checked() {
    let node = node("");
    let mut client = connect(node.port).await;
    for bad in [
        assign(6, v1::NodeRole::Replica, "10.0.0.1", 0),
        assign(6, v1::NodeRole::Replica, "10.0.0.1", 65536),
        assign(6, v1::NodeRole::Replica, "", 7001),
        assign(6, v1::NodeRole::Replica, "a b", 7001),
        assign(6, v1::NodeRole::Unspecified, "", 0),
        assign(6, v1::NodeRole::Fenced, "", 0),
    ] {
        let refused = client.assign(bad).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    let catch_up = v1::CatchUpRequest { replid: "short".into(), offset: 1, timeout_ms: 1 };
    assert_eq!(client.catch_up(catch_up).await.expect_err("no replid").code(), Code::InvalidArgument);
    let other = v1::PromiseRequest { group: "other".into(), epoch: 9 };
    assert_eq!(client.promise(other).await.expect_err("another group").code(), Code::FailedPrecondition);
    assert_eq!(
        client
            .pause(v1::PauseRequest { group: "main".into(), epoch: 1, timeout_ms: 9 })
            .await
            .expect_err("not the master")
            .code(),
        Code::FailedPrecondition
    );
}

#[tokio::test]
async fn nobody_enters_without_the_secret() {
    let node = node("xyzzy");
    for (carried, passes) in
        [(None, false), (Some("Bearer xyzz"), false), (Some("xyzzy"), false), (Some("Bearer xyzzy"), true)]
    {
        let channel = Channel::from_shared(format!("http://127.0.0.1:{}", node.port))
            .expect("a URI")
            .connect()
            .await
            .expect("connected");
        let mut client = AgentClient::with_interceptor(channel, move |mut request: Request<()>| {
            if let Some(carried) = carried {
                request.metadata_mut().insert(quorate_rpc::AUTHORIZATION, carried.parse().expect("ASCII"));
            }
            Ok(request)
        });
        let outcome = client.describe(v1::DescribeRequest {}).await;
        assert_eq!(outcome.is_ok(), passes, "{carried:?}");
        if let Err(status) = outcome {
            assert_eq!(status.code(), Code::Unauthenticated);
        }
    }
}

/// A busy engine is not a dead node: reports come without it, and say how long it has been busy.
#[tokio::test]
async fn a_busy_engine_is_reported_and_not_waited_for() {
    let node = node("");
    let mut client = connect(node.port).await;
    let report = client.describe(v1::DescribeRequest {}).await.expect("described").into_inner();
    assert_eq!((report.node_id, report.run_id, report.busy_ms), ("a".repeat(40), "b".repeat(40), 0));
    node.vitals.turn_begins(clock());
    let deadline = clock() + Duration::from_secs(20);
    while client.describe(v1::DescribeRequest {}).await.expect("described").into_inner().busy_ms < 20 {
        assert!(clock() < deadline);
    }
    node.vitals.turn_ends(Offset(77), Offset(70));
    let report = client.describe(v1::DescribeRequest {}).await.expect("described").into_inner();
    assert_eq!((report.busy_ms, report.offset, report.committed_offset), (0, 77, 70));
}

#[tokio::test]
async fn heartbeats_come_by_the_clock_and_at_each_change() {
    let node = node("");
    let mut client = connect(node.port).await;
    let mut beats = client.heartbeats(v1::HeartbeatsRequest { period_ms: 20 }).await.expect("a stream").into_inner();
    for _ in 0..3 {
        assert_eq!(beats.message().await.expect("alive").expect("a beat").promised_epoch, 0);
    }
    // A period so long that only the change can explain the second beat.
    let mut beats =
        client.heartbeats(v1::HeartbeatsRequest { period_ms: 3_600_000 }).await.expect("a stream").into_inner();
    beats.message().await.expect("alive").expect("the first comes at once");
    client.promise(promise(3)).await.expect("promised");
    let beat = tokio::time::timeout(Duration::from_secs(20), beats.message()).await.expect("at once");
    assert_eq!(beat.expect("alive").expect("a beat").promised_epoch, 3);
}

/// I7, I8: a heartbeat asks for the lease from when it was sent; a grant is for the master of the epoch and needs no engine.
#[tokio::test]
async fn a_lease_is_granted_for_a_heartbeat() {
    let node = node("");
    let mut client = connect(node.port).await;
    client.assign(assign(4, v1::NodeRole::Master, "", 0)).await.expect("assigned");
    let mut beats = client.heartbeats(v1::HeartbeatsRequest { period_ms: 20 }).await.expect("a stream").into_inner();
    let beat = beats.message().await.expect("alive").expect("a beat");
    assert!(beat.renewal > 0 && beat.lease_remaining_ms == 0, "{beat:?}");
    let next = beats.message().await.expect("alive").expect("a beat");
    assert!(next.renewal > beat.renewal);
    let grant = |epoch, renewal| v1::GrantRequest { group: "main".into(), epoch, renewal, lease_ms: 60_000 };
    let refused = client.grant(grant(3, beat.renewal)).await.expect_err("another epoch");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let refused = client.grant(grant(4, beat.renewal + 1000)).await.expect_err("no such heartbeat");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    node.vitals.turn_begins(clock()); // the engine is busy
    let report = client.grant(grant(4, beat.renewal)).await.expect("granted").into_inner();
    assert!((1..=57_000).contains(&report.lease_remaining_ms), "T less ε: {}", report.lease_remaining_ms);
    assert_eq!(report.renewal, 0, "an answer is no heartbeat");
}
