//! A sentinel's configuration through its public door.

use quorate_config::{Ack, Durability, HostPort, SentinelConfig};

fn load(name: &str, text: &str, command_line: &str) -> Result<SentinelConfig, String> {
    let options = quorate_config::split(command_line).expect("a test's words are balanced");
    let mut read = |_: &str| Err("No such file or directory".to_owned());
    SentinelConfig::load(Some((name, text)), &options, &mut read).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(name: &str, text: &str, reason: &str) {
    assert_eq!(load(name, text, "").expect_err("the text is refused"), reason);
}

fn at(host: &str, port: u16) -> HostPort {
    HostPort { host: host.into(), port }
}

#[test]
fn yaml_with_everything() {
    let text = "
dir: ./s1
port: 26380
secret: s3
peers: [127.0.0.1:27379, 127.0.0.1:27380, {api: '[::1]:1', resp: 'h:2'}]
groups:
  - name: main
    nodes: [127.0.0.1:7001, 127.0.0.1:7002]
  - name: other
    master: 10.0.0.1:6379
    quorum: 1
    down-after-milliseconds: 500
    failover-timeout: 10000
    parallel-syncs: 2
    durability: quorum
    copies: 3
    ack: fsync
    quorum-timeout: 2000
    auth: {password: p}
";
    let config = load("s.yaml", text, "").unwrap();
    assert_eq!((config.port, config.api_port, config.dir.as_str()), (26380, 27380, "./s1"));
    assert_eq!(config.peers[0].resp, at("127.0.0.1", 26379));
    assert_eq!((&config.peers[2].api, &config.peers[2].resp), (&at("::1", 1), &at("h", 2)));
    assert_eq!(config.own_peer(), Some(&config.peers[1]));
    let [main, other] = &config.groups[..] else { panic!("two groups") };
    assert_eq!((main.quorum, main.down_after_ms, main.failover_timeout_ms), (None, 1000, 180_000));
    assert_eq!(main.nodes, [at("127.0.0.1", 7001), at("127.0.0.1", 7002)]);
    assert_eq!((other.quorum, other.down_after_ms, other.parallel_syncs), (Some(1), 500, 2));
    assert_eq!((other.copies, other.ack, other.quorum_timeout_ms), (Some(3), Ack::Fsync, 2000));
    assert_eq!((main.copies, main.ack, main.quorum_timeout_ms), (None, Ack::Receipt, 0));
    assert_eq!((other.durability, other.auth.password.as_str()), (Durability::Quorum, "p"));
    assert_eq!(other.nodes, [at("10.0.0.1", 6379)]);
}

#[test]
fn the_command_line_wins() {
    let config =
        load("s.yaml", "port: 1\n", "--port 26390 --peers 127.0.0.1:27390 --sentinel monitor m 127.0.0.1 7 2").unwrap();
    assert_eq!((config.port, config.api_port, config.groups[0].name.as_str()), (26390, 27390, "m"));
    assert_eq!(config.own_peer().unwrap().resp.port, 26390);
    assert_eq!(load("s.yaml", "api-port: 5\n", "--port 1").unwrap().api_port, 5);
}

#[test]
fn sentinel_conf_with_options_before_the_monitor_line() {
    let text = "port 26379\nsentinel down-after-milliseconds m 2000\nsentinel monitor m 127.0.0.1 6379 2\n\
                sentinel auth-pass m p\nsentinel known-replica m 127.0.0.1 6380\nsentinel myid 0123\n";
    let config = load("sentinel.conf", text, "").unwrap();
    let group = &config.groups[0];
    assert_eq!((group.down_after_ms, group.quorum, group.auth.password.as_str()), (2000, Some(2), "p"));
    let text = "sentinel monitor m h 1 1\nsentinel durability m quorum\nsentinel copies m 2\nsentinel ack m fsync\n\
                sentinel quorum-timeout m 500\n";
    let group = &load("s.conf", text, "").unwrap().groups[0];
    assert_eq!((group.durability, group.copies), (Durability::Quorum, Some(2)));
    assert_eq!((group.ack, group.quorum_timeout_ms), (Ack::Fsync, 500));
    assert_eq!(load("s.conf", "sentinel monitor m h 1 1", "").unwrap().groups[0].down_after_ms, 30_000);
}

#[test]
fn faults_name_the_place_and_the_reason() {
    refused(
        "s.conf",
        "sentinel auth-pass m p",
        "s.conf:1: 'sentinel auth-pass m p': No such master with specified name.",
    );
    refused("s.conf", "sentinel monitor m h 1 0", "s.conf:1: 'sentinel monitor m h 1 0': Quorum must be 1 or greater.");
    refused("s.conf", "sentinel foo m", "s.conf:1: 'sentinel foo m': Unrecognized sentinel configuration statement.");
    refused("s.conf", "save 1 1", "s.conf:1: 'save 1 1': wrong number of arguments");
    refused(
        "s.yaml",
        "groups:\n  - name: m\n",
        "s.yaml: 'groups[0].nodes': a group names its nodes, or at least its master",
    );
    refused(
        "s.yaml",
        "groups:\n  - name: m\n    master: h:1\n    copies: 1\n",
        "s.yaml: 'groups[0].copies': must be at least 2",
    );
    refused("s.yaml", "peers: [nohost]\n", "s.yaml: 'peers[0]': 'nohost' is not host:port");
    let fault = load("s.yaml", "dir: x\nprot: 5\n", "").unwrap_err();
    assert!(fault.starts_with("s.yaml:2: 'prot': unknown field `prot`"), "{fault}");
    let fault = load("s.yaml", "groups:\n  - name: m\n    quorum: x\n", "").unwrap_err();
    assert!(fault.starts_with("s.yaml:3: 'groups[0].quorum': invalid type"), "{fault}");
}
