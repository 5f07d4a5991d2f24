//! The data node's configuration through its public door.

use quorate_config::{
    DIRECTIVES, Directive, EventClasses, HostPort, MaxmemoryPolicy, Origin, SavePoint, ServerConfig, Support, When,
};

fn options(words: &str) -> Vec<String> {
    quorate_config::split(words).expect("a test's words are balanced")
}

fn load(text: &str) -> Result<ServerConfig, String> {
    load_as("redis.conf", text, "")
}

fn load_as(name: &str, text: &str, command_line: &str) -> Result<ServerConfig, String> {
    let mut read = |path: &str| match path {
        "other.conf" => Ok("timeout 9\n".to_owned()),
        "loop.conf" => Ok("include loop.conf\n".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    };
    ServerConfig::load(Some((name, text)), &options(command_line), &mut read).map_err(|error| error.to_string())
}

#[track_caller]
fn check(text: &str, name: &str, value: &str) {
    let config = load(text).expect("the text is accepted");
    assert_eq!(config.get(|known| known == name), [(Directive::find(name).unwrap().name, value.to_owned())]);
}

#[track_caller]
fn refused(text: &str, reason: &str) {
    assert_eq!(load(text).expect_err("the text is refused"), reason);
}

#[track_caller]
fn set_refused(name: &str, value: &str, text: &str) {
    let mut config = ServerConfig::default();
    let error = config.set(&[(name, value)], Origin::Remote).expect_err("the value is refused");
    assert_eq!(error.to_string(), text);
    assert_eq!(config, ServerConfig::default());
}

#[test]
fn every_default_reads_back_from_its_own_lines() {
    let config = ServerConfig::default();
    for directive in DIRECTIVES {
        let [(_, shown)] = &config.get(|name| name == directive.name)[..] else {
            panic!("{} shows once", directive.name)
        };
        let rewritten = config
            .rewrite("redis.conf", &format!("{} {}\n", directive.name, quorate_config::quote(directive.default)))
            .unwrap();
        let read = load(&rewritten).unwrap_or_else(|error| panic!("{}: {error}", directive.name));
        assert_eq!(&read.get(|name| name == directive.name)[0].1, shown, "{}", directive.name);
        assert!(!directive.summary.trim().is_empty());
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = DIRECTIVES.iter().flat_map(Directive::names).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn kinds_read_as_in_redis() {
    check("maxmemory 2kb", "maxmemory", "2048");
    check("maxmemory 2K", "maxmemory", "2000");
    check("save 60 1\nsave 5 2", "save", "60 1 5 2");
    check("save 60 1\nsave ''", "save", "");
    check("save \"60 1 5 2\"", "save", "60 1 5 2");
    check("slave-priority 7", "replica-priority", "7");
    check("notify-keyspace-events KEA", "notify-keyspace-events", "AKE");
    check("notify-keyspace-events gnKEm$", "notify-keyspace-events", "g$nKEm");
    check(
        "client-output-buffer-limit slave 1kb 2 3",
        "client-output-buffer-limit",
        "normal 0 0 0 slave 1024 2 3 pubsub 33554432 8388608 60",
    );
    check("bind 127.0.0.1 ::1", "bind", "127.0.0.1 ::1");
    check("unixsocketperm 0700", "unixsocketperm", "700");
    check("include other.conf", "timeout", "9");
    check("timeout 1\ninclude other.conf\ntimeout 2", "timeout", "2");
    check("REPLICAOF host 6379", "replicaof", "host 6379");
    check("requirepass \"a b\\x41\" ", "requirepass", "a bA");
}

#[test]
fn aliases_show_under_their_own_name() {
    let config = load("hash-max-ziplist-entries 3").unwrap();
    let shown = config.get(|name| name.starts_with("hash-max-") && name.ends_with("entries"));
    assert_eq!(shown, [("hash-max-listpack-entries", "3".to_owned()), ("hash-max-ziplist-entries", "3".to_owned())]);
}

#[test]
fn faults_name_file_line_directive_and_reason() {
    refused("port 1\n\n# x\nport abc", "redis.conf:4: 'port abc': argument couldn't be parsed into an integer");
    refused("port 70000", "redis.conf:1: 'port 70000': argument must be between 0 and 65535 inclusive");
    refused("foo bar", "redis.conf:1: 'foo bar': Bad directive or wrong number of arguments");
    refused("port 1 2", "redis.conf:1: 'port 1 2': wrong number of arguments");
    refused("port", "redis.conf:1: 'port': wrong number of arguments");
    refused("logfile \"a", "redis.conf:1: 'logfile \"a': Unbalanced quotes in configuration line");
    refused("maxmemory 5mbb", "redis.conf:1: 'maxmemory 5mbb': argument must be a memory value");
    refused("appendonly maybe", "redis.conf:1: 'appendonly maybe': argument must be 'yes' or 'no'");
    refused("save 1", "redis.conf:1: 'save 1': Invalid save parameters");
    refused(
        "include nofile",
        "redis.conf:1: 'include nofile': can't open config file 'nofile': No such file or directory",
    );
    refused("include loop.conf", "loop.conf:1: 'include loop.conf': includes nest deeper than 16 files");
    refused("tls-port 6380", "redis.conf:1: 'tls-port 6380': only '0' is supported: TLS is not there yet");
    refused(
        "cluster-enabled yes",
        "redis.conf:1: 'cluster-enabled yes': only 'no' is supported: cluster mode is not there yet",
    );
}

#[test]
fn the_command_line_wins_over_the_file() {
    let config =
        load_as("x.conf", "port 1\nsave 60 1", "--port 7000 --save '' --replicaof host 6379 --tags a b").unwrap();
    assert_eq!(config.port, 7000);
    assert_eq!(config.save.0, []);
    assert_eq!(config.replicaof, Some(HostPort { host: "host".into(), port: 6379 }));
    assert_eq!(config.tags.0, ["a", "b"]);
    assert_eq!(load_as("x.conf", "", "--save --port 1").unwrap().save.0, []);
    assert_eq!(
        load_as("x.conf", "", "'--port 7002' --save 3 1").unwrap().save.0,
        [SavePoint { seconds: 3, changes: 1 }]
    );
    let fault = |words| load_as("x.conf", "", words).unwrap_err();
    assert_eq!(
        fault("--timeout 1 --nosuch 1"),
        "command line:3: '--nosuch 1': Bad directive or wrong number of arguments"
    );
    assert_eq!(fault("port 1"), "command line:1: 'port': an option begins with two dashes");
}

#[test]
fn yaml_takes_flat_and_nested_keys() {
    let text = "port: 7000\nappendonly: true\nsave: [[60, 1], [5, 2]]\nbind: [127.0.0.1, '::1']\nnetwork:\n  timeout: 3\nrepl:\n  timeout: 4\n";
    let config = load_as("server.yaml", text, "--hz 20").unwrap();
    assert_eq!(
        (config.port, config.appendonly, config.timeout_s, config.repl_timeout_s, config.hz),
        (7000, true, 3, 4, 20)
    );
    assert_eq!(config.save.0.len(), 2);
    assert_eq!(config.bind.0, ["127.0.0.1", "::1"]);
    assert_eq!(load_as("a.yml", "# nothing\n", "").unwrap(), ServerConfig::default());
    let fault = |text| load_as("a.yml", text, "").unwrap_err();
    assert_eq!(fault("port: 1\ntimeouts: 2\n"), "a.yml:2: 'timeouts': Bad directive or wrong number of arguments");
    assert_eq!(fault("\nport: x\n"), "a.yml:2: 'port x': argument couldn't be parsed into an integer");
    assert!(fault("port: [1\n").starts_with("a.yml:"), "{}", fault("port: [1\n"));
}

#[test]
fn config_set_takes_all_or_none() {
    let mut config = ServerConfig::default();
    let changed =
        config.set(&[("maxmemory", "1mb"), ("hz", "10"), ("maxmemory-policy", "allkeys-lru")], Origin::Remote);
    let names: Vec<_> = changed.unwrap().iter().map(|directive| directive.name).collect();
    assert_eq!(names, ["maxmemory", "maxmemory-policy"]);
    assert_eq!((config.maxmemory, config.maxmemory_policy), (1 << 20, MaxmemoryPolicy::AllkeysLru));
    let before = config.clone();
    config.set(&[("maxmemory", "2mb"), ("timeout", "x")], Origin::Remote).unwrap_err();
    assert_eq!(config, before);
    config.set(&[("save", "900 1 300 10"), ("client-output-buffer-limit", "pubsub 1 2 3")], Origin::Remote).unwrap();
    assert_eq!(config.save.0.len(), 2);
    assert_eq!(config.client_output_buffer_limit.pubsub.soft_seconds, 3);
    config.set(&[("save", ""), ("notify-keyspace-events", "")], Origin::Remote).unwrap();
    assert_eq!((config.save.0.len(), config.notify_keyspace_events), (0, EventClasses::default()));
    config.set(&[("requirepass", "two words")], Origin::Remote).unwrap();
    assert_eq!(config.requirepass, "two words");
}

#[test]
fn config_set_refuses_in_redis_words() {
    let failed =
        |name: &str, reason: &str| format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}");
    set_refused("nosuch", "1", "Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    set_refused("maxmemory", "foo", &failed("maxmemory", "argument must be a memory value"));
    set_refused("timeout", "-1", &failed("timeout", "argument must be between 0 and 2147483647 inclusive"));
    set_refused("TIMEOUT", "a", &failed("TIMEOUT", "argument couldn't be parsed into an integer"));
    set_refused("databases", "3", &failed("databases", "can't set immutable config"));
    set_refused("dir", "/", &failed("dir", "can't set protected config"));
    set_refused(
        "loglevel",
        "foo",
        &failed("loglevel", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"),
    );
    let mut config = ServerConfig::default();
    let twice = config.set(&[("timeout", "1"), ("timeout", "2")], Origin::Local).unwrap_err();
    assert_eq!(twice.to_string(), failed("timeout", "duplicate parameter"));
}

#[test]
fn protected_directives_open_as_their_permission_says() {
    let mut config = load("enable-protected-configs local").unwrap();
    config.set(&[("dbfilename", "x.rdb")], Origin::Remote).unwrap_err();
    config.set(&[("dbfilename", "x.rdb")], Origin::Local).unwrap();
    assert_eq!(config.dbfilename, "x.rdb");
}

#[test]
fn rewrite_keeps_comments_and_order() {
    let text = "# mine\nport 7000\n\nsave 60 1\nsave 5 2\n# end\nslave-priority 5\nmaxmemory 100mb\n";
    let mut config = load(text).unwrap();
    config
        .set(&[("save", "7 7"), ("maxmemory", "1536mb"), ("hz", "20"), ("requirepass", "a b")], Origin::Remote)
        .unwrap();
    let rewritten = config.rewrite("redis.conf", text).unwrap();
    let expected = "# mine\nport 7000\n\nsave 7 7\n# end\nslave-priority 5\nmaxmemory 1536mb\n\
                    # Generated by CONFIG REWRITE\nhz 20\nrequirepass \"a b\"\n";
    assert_eq!(rewritten, expected);
    assert_eq!(load(&rewritten).unwrap(), config);
    assert_eq!(config.rewrite("redis.conf", &rewritten).unwrap(), rewritten);
}

#[test]
fn rewrite_leaves_yaml_alone() {
    assert!(
        ServerConfig::default()
            .rewrite("server.yaml", "port: 1\n")
            .unwrap_err()
            .starts_with("a YAML file is not rewritten")
    );
}

#[test]
fn what_changes_nothing_is_told() {
    let config = load("io-threads 4\nport 7000\ndynamic-hz yes").unwrap();
    let told: Vec<_> = config.without_effect().iter().map(|(directive, _)| directive.name).collect();
    assert_eq!(told, ["io-threads"]);
}

#[test]
fn rewrite_writes_and_drops_the_master() {
    let mut config = load("replicaof a 1\n").unwrap();
    config.replicaof = None;
    assert_eq!(config.rewrite("redis.conf", "replicaof a 1\nport 6379\n").unwrap(), "port 6379\n");
    config.replicaof = Some(HostPort { host: "b".into(), port: 2 });
    assert_eq!(
        config.rewrite("redis.conf", "port 6379\n").unwrap(),
        "port 6379\n# Generated by CONFIG REWRITE\nreplicaof b 2\n"
    );
}

#[test]
fn what_is_not_there_is_refused_and_not_promised() {
    for directive in DIRECTIVES.iter().filter(|directive| matches!(directive.support, Support::DefaultOnly(_))) {
        assert_ne!(directive.when, When::Protected, "{}", directive.name);
        if directive.default == "no" {
            let error = load(&format!("{} yes", directive.name)).expect_err(directive.name);
            assert!(error.contains("only 'no' is supported"), "{error}");
        }
    }
}
