//! The sample files say what the table says.

use quorate_config::{DIRECTIVES, SentinelConfig, ServerConfig, Support, When};

const REDIS_CONF: &str = include_str!("../samples/redis.conf");
const SERVER_YAML: &str = include_str!("../samples/server.yaml");
const SENTINEL_YAML: &str = include_str!("../samples/sentinel.yaml");

fn no_includes(_: &str) -> Result<String, String> {
    Err("samples include nothing".into())
}

/// redis.conf with every directive that works, each at its default.
fn written() -> String {
    let mut text = String::from(
        "# A data node's configuration, in redis.conf syntax: `quorate server redis.conf`.\n\
         # Every directive that does something is here, commented out at its default. `CONFIG GET *` lists the others too.\n\
         # Options on the command line win: `quorate server redis.conf --port 7000 --save ''`.\n\
         # [runtime]: CONFIG SET may change it; [protected]: likewise, if enable-protected-configs allows it.\n",
    );
    for directive in DIRECTIVES.iter().filter(|directive| directive.support == Support::Works) {
        let when = match directive.when {
            When::Startup => "",
            When::Runtime => " [runtime]",
            When::Protected => " [protected]",
        };
        let value = match directive.default {
            "" => "\"\"".to_owned(),
            value => value.to_owned(),
        };
        text.push_str(&format!("\n#{}{when}\n# {} {value}\n", directive.summary, directive.name));
    }
    text
}

#[test]
fn redis_conf_lists_what_works() {
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/samples/redis.conf"), written()).unwrap();
        return;
    }
    assert_eq!(REDIS_CONF, written(), "write it again with UPDATE_SAMPLES=1");
}

#[test]
fn the_data_nodes_samples_load() {
    let config = ServerConfig::load(Some(("redis.conf", REDIS_CONF)), &[], &mut no_includes).unwrap();
    assert_eq!(config, ServerConfig::default());
    // Each line may be uncommented as it stands.
    let lines = REDIS_CONF.lines().filter_map(|line| line.strip_prefix("# "));
    let directives: Vec<_> = lines.filter(|line| line.split(' ').next().is_some_and(is_directive)).collect();
    assert!(directives.len() > 60, "{}", directives.len());
    ServerConfig::load(Some(("redis.conf", &directives.join("\n"))), &[], &mut no_includes).unwrap();
    let config = ServerConfig::load(Some(("server.yaml", SERVER_YAML)), &[], &mut no_includes).unwrap();
    assert_eq!((config.port, config.group.as_str(), config.appendonly), (7001, "main", true));
}

fn is_directive(name: &str) -> bool {
    DIRECTIVES.iter().any(|directive| directive.name == name)
}

#[test]
fn the_sentinels_sample_loads() {
    let config = SentinelConfig::load(Some(("sentinel.yaml", SENTINEL_YAML)), &[], &mut no_includes).unwrap();
    assert_eq!((config.peers.len(), config.groups.len(), config.api_port), (3, 1, 27379));
    assert!(config.own_peer().is_some());
}
