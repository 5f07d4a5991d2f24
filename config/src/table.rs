//! The data node's directives: one row each, from which the [`ServerConfig`] field, the parser, CONFIG GET/SET/REWRITE and
//! the samples derive. A new directive is a row here and nothing else.
//!
//! Names, bounds and defaults are Redis 7.2's (redis.conf and CONFIG GET of a running server), save the last group, which
//! is ours. A field's name says its unit where it has one.

use crate::directive::Kind::{self, *};
use crate::directive::Support::{self, *};
use crate::directive::{Apply, Directive, Turn, When};
use crate::value::{
    AppendFsync, BufferLimits, EventClasses, HostPort, LogLevel, MaxmemoryPolicy, OomScoreAdj, Percentiles, Permission,
    PropagationError, ReplDisklessLoad, SanitizeDump, SavePoints, Setting, ShutdownOptions, Supervised,
    Words as WordList,
};

const LONG_MAX: u64 = i64::MAX as u64;
const INT_MAX: i64 = i32::MAX as i64;
const MB: u64 = 1 << 20;

const NO_TLS: Support = DefaultOnly("TLS is not there yet");
const NO_CLUSTER: Support = DefaultOnly("cluster mode is not there yet");
const CLUSTER_ONLY: Support = Inert("it matters in cluster mode only, which is not there yet");
const NO_FORK: Support = Inert("no child process is ever forked");
const NO_DEFRAG: Support = Inert("mimalloc does not fragment in the way this would mend");
const ONE_THREAD: Support = Inert("commands and sockets share one thread by design");
const NO_SYSLOG: Support = DefaultOnly("the log goes to stdout or a file");
const NO_TITLE: Support = Inert("the process title is never changed");
const NO_STREAMS: Support = Inert("streams are not there yet");
const NO_SCRIPTS: Support = Inert("scripting is not there yet");
const NO_ACL: Support = Inert("ACL is not there yet; requirepass guards the default user");
const LATER: Support = Inert("accepted; the feature is not there yet");

macro_rules! directives {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $ty:ty = $name:literal $(| $alias:literal)*, $kind:expr, $default:literal, $when:ident, $apply:ident, $support:expr;
    )*) => {
        /// A data node's configuration: one field a directive. [`ServerConfig::default`] holds Redis 7.2's defaults.
        #[derive(Clone, Debug, PartialEq)]
        pub struct ServerConfig { $( $(#[doc = $doc])+ pub $field: $ty, )* }

        impl Default for ServerConfig {
            fn default() -> Self {
                Self { $( $field: default::<$ty>($kind, $default), )* }
            }
        }

        /// Every directive of the data node.
        pub static DIRECTIVES: &[Directive] = &[ $( Directive {
            name: $name,
            aliases: &[$($alias),*],
            kind: $kind,
            default: $default,
            when: When::$when,
            apply: Apply::$apply,
            support: $support,
            summary: concat!($($doc),+),
            many: <$ty as Setting>::MANY,
            read: |config| config.$field.show($kind),
            lines: |config| config.$field.lines($kind),
            write: |config, words, turn| config.$field.write(words, $kind, turn),
        }, )* ];
    };
}

/// A row's default as a value.
fn default<T: Setting + Default>(kind: Kind, text: &str) -> T {
    let mut value = T::default();
    let words: Vec<&str> = if T::MANY { text.split_whitespace().collect() } else { vec![text] };
    if !(T::MANY && words.is_empty()) {
        value.write(&words, kind, Turn::First).expect("a row's default suits its kind: every test builds it");
    }
    value
}

directives! {
    // Network.
    /// Addresses to listen on; a leading `-` forgives one that does not exist.
    bind: WordList = "bind", Words, "127.0.0.1 -::1", Runtime, Listen, Works;
    /// Local address for outgoing connections to a master.
    bind_source_addr: String = "bind-source-addr", Text, "", Runtime, Stored, LATER;
    /// TCP port for clients; 0 opens none.
    port: u16 = "port", Int(0, 65535), "6379", Runtime, Listen, Works;
    /// Connections that may wait to be accepted.
    tcp_backlog: u32 = "tcp-backlog", Int(0, INT_MAX), "511", Startup, Stored, Works;
    /// Path of a Unix socket; empty opens none.
    unixsocket: String = "unixsocket", Text, "", Startup, Stored, Works;
    /// Permissions of the Unix socket, octal; 0 leaves them alone.
    unixsocketperm: u32 = "unixsocketperm", Octal, "0", Startup, Stored, Works;
    /// Seconds after which an idle client is closed; 0 never.
    timeout_s: u32 = "timeout", Int(0, INT_MAX), "0", Runtime, Stored, Works;
    /// Seconds between TCP keep-alive probes; 0 sends none.
    tcp_keepalive_s: u32 = "tcp-keepalive", Int(0, INT_MAX), "300", Runtime, Stored, Works;
    /// Without a password, refuse clients from other machines.
    protected_mode: bool = "protected-mode", Bool, "yes", Runtime, Stored, Works;
    /// Mark of listening sockets (Linux SO_MARK).
    socket_mark_id: u32 = "socket-mark-id", Int(0, 0xffff_ffff), "0", Startup, Stored, DefaultOnly("sockets are never marked");
    /// Most clients at a time.
    maxclients: u32 = "maxclients", Int(1, 0xffff_ffff), "10000", Runtime, Clients, Works;
    /// Threads that read and write sockets.
    io_threads: u32 = "io-threads", Int(1, 128), "1", Startup, Stored, ONE_THREAD;
    /// Whether those threads read, too.
    io_threads_do_reads: bool = "io-threads-do-reads", Bool, "no", Startup, Stored, ONE_THREAD;

    // TLS: later work; only the defaults are taken, so that nobody believes to be encrypted.
    /// TLS port; 0 opens none.
    tls_port: u16 = "tls-port", Int(0, 65535), "0", Runtime, Stored, NO_TLS;
    /// TLS: own certificate.
    tls_cert_file: String = "tls-cert-file", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: own key.
    tls_key_file: String = "tls-key-file", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: the key's pass phrase.
    tls_key_file_pass: String = "tls-key-file-pass", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: certificate towards masters.
    tls_client_cert_file: String = "tls-client-cert-file", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: key towards masters.
    tls_client_key_file: String = "tls-client-key-file", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: that key's pass phrase.
    tls_client_key_file_pass: String = "tls-client-key-file-pass", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: Diffie-Hellman parameters.
    tls_dh_params_file: String = "tls-dh-params-file", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: trusted authorities, one file.
    tls_ca_cert_file: String = "tls-ca-cert-file", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: trusted authorities, a folder.
    tls_ca_cert_dir: String = "tls-ca-cert-dir", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: must clients show a certificate?
    tls_auth_clients: String = "tls-auth-clients", Enum(&["no", "yes", "optional"]), "yes", Runtime, Stored, NO_TLS;
    /// TLS towards the master.
    tls_replication: bool = "tls-replication", Bool, "no", Runtime, Stored, NO_TLS;
    /// TLS on the cluster bus.
    tls_cluster: bool = "tls-cluster", Bool, "no", Runtime, Stored, NO_TLS;
    /// TLS: versions offered.
    tls_protocols: String = "tls-protocols", Text, "", Runtime, Stored, NO_TLS;
    /// TLS 1.2 ciphers.
    tls_ciphers: String = "tls-ciphers", Text, "", Runtime, Stored, NO_TLS;
    /// TLS 1.3 cipher suites.
    tls_ciphersuites: String = "tls-ciphersuites", Text, "", Runtime, Stored, NO_TLS;
    /// TLS: the server's order of ciphers wins.
    tls_prefer_server_ciphers: bool = "tls-prefer-server-ciphers", Bool, "no", Runtime, Stored, NO_TLS;
    /// TLS: sessions may resume.
    tls_session_caching: bool = "tls-session-caching", Bool, "yes", Runtime, Stored, NO_TLS;
    /// TLS: sessions kept.
    tls_session_cache_size: u32 = "tls-session-cache-size", Int(0, INT_MAX), "20480", Runtime, Stored, NO_TLS;
    /// TLS: seconds for which a session is kept.
    tls_session_cache_timeout_s: u32 = "tls-session-cache-timeout", Int(0, INT_MAX), "300", Runtime, Stored, NO_TLS;

    // General.
    /// Go to the background.
    daemonize: bool = "daemonize", Bool, "no", Startup, Stored, Works;
    /// Supervisor that is told of readiness.
    supervised: Supervised = "supervised", Enum(Supervised::WORDS), "no", Startup, Stored, LATER;
    /// File that holds the process id while the server runs; empty writes none.
    pidfile: String = "pidfile", Text, "", Startup, Stored, Works;
    /// Which log lines are written.
    loglevel: LogLevel = "loglevel", Enum(LogLevel::WORDS), "notice", Runtime, Log, Works;
    /// The log's file; empty: standard output.
    logfile: String = "logfile", Text, "", Startup, Stored, Works;
    /// Log to syslog.
    syslog_enabled: bool = "syslog-enabled", Bool, "no", Startup, Stored, NO_SYSLOG;
    /// Name in syslog.
    syslog_ident: String = "syslog-ident", Text, "redis", Startup, Stored, NO_SYSLOG;
    /// Facility in syslog.
    syslog_facility: String = "syslog-facility", Text, "local0", Startup, Stored, NO_SYSLOG;
    /// Databases, numbered from 0.
    databases: u32 = "databases", Int(1, INT_MAX), "16", Startup, Stored, Works;
    /// Show the logo at the start.
    always_show_logo: bool = "always-show-logo", Bool, "no", Startup, Stored, Inert("there is no logo");
    /// Change the process title.
    set_proc_title: bool = "set-proc-title", Bool, "yes", Startup, Stored, NO_TITLE;
    /// The process title.
    proc_title_template: String = "proc-title-template", Text, "{title} {listen-addr} {server-mode}", Runtime, Stored, NO_TITLE;
    /// Locale for comparing strings.
    locale_collate: String = "locale-collate", Text, "", Runtime, Stored, DefaultOnly("strings are compared bytewise");
    /// Known start-up warnings to leave out.
    ignore_warnings: String = "ignore-warnings", Text, "", Runtime, Stored, Inert("there are no such warnings");
    /// Log a report on a crash.
    crash_log_enabled: bool = "crash-log-enabled", Bool, "yes", Runtime, Stored, Inert("a panic always logs its place");
    /// Test memory on a crash.
    crash_memcheck_enabled: bool = "crash-memcheck-enabled", Bool, "yes", Runtime, Stored, Inert("memory is not tested");
    /// Adjust the kernel's out-of-memory score.
    oom_score_adj: String = "oom-score-adj", Enum(&["no", "yes", "relative", "absolute"]), "no", Runtime, Stored, LATER;
    /// The adjustment for a master, a replica and a child.
    oom_score_adj_values: OomScoreAdj = "oom-score-adj-values", Words, "0 200 800", Runtime, Stored, LATER;
    /// Disable transparent huge pages for this process.
    disable_thp: bool = "disable-thp", Bool, "yes", Startup, Stored, Inert("without fork huge pages cost no copies");
    /// CPUs of the server's threads.
    server_cpulist: String = "server_cpulist", Text, "", Startup, Stored, LATER;
    /// CPUs of background threads.
    bio_cpulist: String = "bio_cpulist", Text, "", Startup, Stored, LATER;
    /// CPUs of an AOF rewrite's child.
    aof_rewrite_cpulist: String = "aof_rewrite_cpulist", Text, "", Startup, Stored, NO_FORK;
    /// CPUs of a snapshot's child.
    bgsave_cpulist: String = "bgsave_cpulist", Text, "", Startup, Stored, NO_FORK;
    /// Times a second that background work runs; raised by dynamic-hz.
    hz: u32 = "hz", Int(0, INT_MAX), "10", Runtime, Tick, Works;
    /// Raise hz with the number of clients.
    dynamic_hz: bool = "dynamic-hz", Bool, "yes", Runtime, Tick, Inert("work per client is not polled");
    /// What SIGTERM does beside Redis's default.
    shutdown_on_sigterm: ShutdownOptions = "shutdown-on-sigterm", Words, "default", Runtime, Stored, Works;
    /// What SIGINT does beside Redis's default.
    shutdown_on_sigint: ShutdownOptions = "shutdown-on-sigint", Words, "default", Runtime, Stored, Inert("SIGINT does what shutdown-on-sigterm says");
    /// Seconds that a shutdown waits for replicas that lag.
    shutdown_timeout_s: u32 = "shutdown-timeout", Int(0, INT_MAX), "10", Runtime, Stored, Inert("a shutdown does not wait for replicas that lag yet");

    // Snapshots.
    /// Snapshot after so many seconds if at least so many writes happened.
    save: SavePoints = "save", Words, "3600 1 300 100 60 10000", Runtime, Snapshots, Works;
    /// Refuse writes while the last snapshot failed.
    stop_writes_on_bgsave_error: bool = "stop-writes-on-bgsave-error", Bool, "yes", Runtime, Stored, Works;
    /// Compress strings in snapshots.
    rdbcompression: bool = "rdbcompression", Bool, "yes", Runtime, Stored, Works;
    /// End a snapshot with a checksum and test it when loading.
    rdbchecksum: bool = "rdbchecksum", Bool, "yes", Startup, Stored, Works;
    /// The snapshot's file name in `dir`.
    dbfilename: String = "dbfilename", Text, "dump.rdb", Protected, Stored, Works;
    /// Delete a snapshot that only served replication when persistence is off.
    rdb_del_sync_files: bool = "rdb-del-sync-files", Bool, "no", Runtime, Stored, Inert("full resynchronisation goes through the socket");
    /// The working directory: snapshots, AOF, node state.
    dir: String = "dir", Text, ".", Protected, Dir, Works;
    /// Force a snapshot to disk bit by bit.
    rdb_save_incremental_fsync: bool = "rdb-save-incremental-fsync", Bool, "yes", Runtime, Stored, LATER;
    /// Test only: microseconds to wait after each key saved.
    rdb_key_save_delay_us: i64 = "rdb-key-save-delay", Int(i32::MIN as i64, INT_MAX), "0", Runtime, Stored, LATER;
    /// Test only: microseconds to wait after each key loaded.
    key_load_delay_us: i64 = "key-load-delay", Int(i32::MIN as i64, INT_MAX), "0", Runtime, Stored, LATER;
    /// Bytes between two looks at clients while loading.
    loading_process_events_interval_bytes: u64 = "loading-process-events-interval-bytes", Int(1024, INT_MAX), "2097152", Runtime, Stored, Inert("loading has a thread of its own");
    /// Which payloads are checked in depth.
    sanitize_dump_payload: SanitizeDump = "sanitize-dump-payload", Enum(SanitizeDump::WORDS), "no", Runtime, Stored, Inert("every payload is checked in depth");

    // Append-only file.
    /// Keep an append-only file.
    appendonly: bool = "appendonly", Bool, "no", Runtime, Aof, Works;
    /// The AOF's base name.
    appendfilename: String = "appendfilename", Text, "appendonly.aof", Startup, Stored, Works;
    /// The AOF's folder in `dir`.
    appenddirname: String = "appenddirname", Text, "appendonlydir", Startup, Stored, Works;
    /// When the AOF is forced to disk.
    appendfsync: AppendFsync = "appendfsync", Enum(AppendFsync::WORDS), "everysec", Runtime, Aof, Works;
    /// Do not fsync while a snapshot is written.
    no_appendfsync_on_rewrite: bool = "no-appendfsync-on-rewrite", Bool, "no", Runtime, Stored, Works;
    /// Rewrite when the AOF has grown by so many percent; 0 never.
    auto_aof_rewrite_percentage: u32 = "auto-aof-rewrite-percentage", Int(0, INT_MAX), "100", Runtime, Stored, Works;
    /// Never rewrite an AOF smaller than this.
    auto_aof_rewrite_min_size: u64 = "auto-aof-rewrite-min-size", Memory(0, LONG_MAX), "64mb", Runtime, Stored, Works;
    /// Load an AOF whose last command is cut off, and cut it there; files behind a gap are kept as NAME.behind-gap.
    aof_load_truncated: bool = "aof-load-truncated", Bool, "yes", Runtime, Stored, Works;
    /// Base files in RDB format.
    aof_use_rdb_preamble: bool = "aof-use-rdb-preamble", Bool, "yes", Runtime, Stored, Works;
    /// Write times into the AOF.
    aof_timestamp_enabled: bool = "aof-timestamp-enabled", Bool, "no", Runtime, Stored, DefaultOnly("the AOF holds no times yet");
    /// Force a rewrite to disk bit by bit.
    aof_rewrite_incremental_fsync: bool = "aof-rewrite-incremental-fsync", Bool, "yes", Runtime, Stored, LATER;
    /// Keep history files (test only).
    aof_disable_auto_gc: bool = "aof-disable-auto-gc", Bool, "no", Runtime, Stored, LATER;

    // Replication.
    /// The master to follow, as `host port`; none: be a master.
    replicaof: Option<HostPort> = "replicaof" | "slaveof", Words, "", Startup, Stored, Works;
    /// User to give to the master.
    masteruser: String = "masteruser", Text, "", Runtime, Stored, Works;
    /// Password to give to the master.
    masterauth: String = "masterauth", Text, "", Runtime, Stored, Works;
    /// Answer reads while the link to the master is down.
    replica_serve_stale_data: bool = "replica-serve-stale-data" | "slave-serve-stale-data", Bool, "yes", Runtime, Stored, Works;
    /// Refuse writes as a replica.
    replica_read_only: bool = "replica-read-only" | "slave-read-only", Bool, "yes", Runtime, Stored, Works;
    /// Send a full resynchronisation over the socket, not through a file.
    repl_diskless_sync: bool = "repl-diskless-sync", Bool, "yes", Runtime, Stored, Inert("it is always diskless");
    /// Seconds to wait for more replicas before a full resynchronisation starts.
    repl_diskless_sync_delay_s: u32 = "repl-diskless-sync-delay", Int(0, INT_MAX), "5", Runtime, Stored, LATER;
    /// Do not wait once so many replicas came; 0: wait the whole delay.
    repl_diskless_sync_max_replicas: u32 = "repl-diskless-sync-max-replicas", Int(0, INT_MAX), "0", Runtime, Stored, LATER;
    /// How a replica takes a full resynchronisation.
    repl_diskless_load: ReplDisklessLoad = "repl-diskless-load", Enum(ReplDisklessLoad::WORDS), "disabled", Runtime, Stored, Inert("it always loads beside the old data and swaps");
    /// Seconds between pings to replicas.
    repl_ping_replica_period_s: u32 = "repl-ping-replica-period" | "repl-ping-slave-period", Int(1, INT_MAX), "10", Runtime, Stored, Works;
    /// Seconds of silence after which a replication link is given up.
    repl_timeout_s: u32 = "repl-timeout", Int(1, INT_MAX), "60", Runtime, Stored, Works;
    /// Let the kernel gather small packets to replicas.
    repl_disable_tcp_nodelay: bool = "repl-disable-tcp-nodelay", Bool, "no", Runtime, Stored, LATER;
    /// Bytes of the stream kept for partial resynchronisation.
    repl_backlog_size: u64 = "repl-backlog-size", Memory(1, LONG_MAX), "1mb", Runtime, Backlog, Works;
    /// Seconds without replicas after which the backlog is dropped; 0 never.
    repl_backlog_ttl_s: u32 = "repl-backlog-ttl", Int(0, INT_MAX), "3600", Runtime, Stored, Works;
    /// Rank for promotion: lower is better, 0 never.
    replica_priority: u32 = "replica-priority" | "slave-priority", Int(0, INT_MAX), "100", Runtime, Replication, Works;
    /// Whether sentinels list this replica.
    replica_announced: bool = "replica-announced", Bool, "yes", Runtime, Replication, Works;
    /// Address that a replica names to its master.
    replica_announce_ip: String = "replica-announce-ip" | "slave-announce-ip", Text, "", Runtime, Replication, Works;
    /// Port that a replica names to its master; 0: `port`.
    replica_announce_port: u16 = "replica-announce-port" | "slave-announce-port", Int(0, 65535), "0", Runtime, Replication, Works;
    /// Refuse writes with fewer good replicas than this; 0 never.
    min_replicas_to_write: u32 = "min-replicas-to-write" | "min-slaves-to-write", Int(0, INT_MAX), "0", Runtime, Replication, Works;
    /// Seconds since its last acknowledgement for which a replica is good.
    min_replicas_max_lag_s: u32 = "min-replicas-max-lag" | "min-slaves-max-lag", Int(0, INT_MAX), "10", Runtime, Replication, Works;
    /// A replica does not evict; its master does.
    replica_ignore_maxmemory: bool = "replica-ignore-maxmemory" | "slave-ignore-maxmemory", Bool, "yes", Runtime, Stored, LATER;
    /// Drop old data in the background before loading new.
    replica_lazy_flush: bool = "replica-lazy-flush" | "slave-lazy-flush", Bool, "no", Runtime, Stored, Inert("old data is always dropped off the engine's thread");
    /// A replica goes on when it cannot write to disk.
    replica_ignore_disk_write_errors: bool = "replica-ignore-disk-write-errors", Bool, "no", Runtime, Stored, LATER;
    /// What a replica does when a command of its master fails.
    propagation_error_behavior: PropagationError = "propagation-error-behavior", Enum(PropagationError::WORDS), "ignore", Runtime, Stored, LATER;

    // Security.
    /// Password of the default user; empty: none.
    requirepass: String = "requirepass", Text, "", Runtime, Password, Works;
    /// File of users.
    aclfile: String = "aclfile", Text, "", Startup, Stored, DefaultOnly("ACL is not there yet; requirepass guards the default user");
    /// Entries of ACL LOG.
    acllog_max_len: u32 = "acllog-max-len", Int(0, INT_MAX), "128", Runtime, Stored, NO_ACL;
    /// Channels of a new user.
    acl_pubsub_default: String = "acl-pubsub-default", Enum(&["allchannels", "resetchannels"]), "resetchannels", Runtime, Stored, NO_ACL;
    /// Who may CONFIG SET protected directives.
    enable_protected_configs: Permission = "enable-protected-configs", Enum(Permission::WORDS), "no", Startup, Stored, Works;
    /// Who may call DEBUG.
    enable_debug_command: Permission = "enable-debug-command", Enum(Permission::WORDS), "no", Startup, Stored, Works;
    /// Who may call MODULE.
    enable_module_command: Permission = "enable-module-command", Enum(Permission::WORDS), "no", Startup, Stored, Inert("there are no modules");

    // Limits and memory.
    /// Bytes that the dataset may use; 0: no limit.
    maxmemory: u64 = "maxmemory", Memory(0, u64::MAX), "0", Runtime, Memory, Works;
    /// What is evicted at that limit.
    maxmemory_policy: MaxmemoryPolicy = "maxmemory-policy", Enum(MaxmemoryPolicy::WORDS), "noeviction", Runtime, Memory, Works;
    /// Keys compared for one eviction.
    maxmemory_samples: u32 = "maxmemory-samples", Int(1, 64), "5", Runtime, Stored, Works;
    /// How hard one command tries to get below the limit.
    maxmemory_eviction_tenacity: u32 = "maxmemory-eviction-tenacity", Int(0, 100), "10", Runtime, Stored, LATER;
    /// Bytes that all clients' buffers may use; 0: no limit.
    maxmemory_clients: u64 = "maxmemory-clients", Memory(0, LONG_MAX), "0", Runtime, Stored, LATER;
    /// How fast LFU counters saturate.
    lfu_log_factor: u32 = "lfu-log-factor", Int(0, INT_MAX), "10", Runtime, Stored, LATER;
    /// Minutes after which an LFU counter decays by one.
    lfu_decay_time_min: u32 = "lfu-decay-time", Int(0, INT_MAX), "1", Runtime, Stored, LATER;
    /// How hard expired keys are looked for, 1 to 10.
    active_expire_effort: u32 = "active-expire-effort", Int(1, 10), "1", Runtime, Stored, LATER;
    /// Evicted values are freed in the background.
    lazyfree_lazy_eviction: bool = "lazyfree-lazy-eviction", Bool, "no", Runtime, Stored, LATER;
    /// Expired values are freed in the background.
    lazyfree_lazy_expire: bool = "lazyfree-lazy-expire", Bool, "no", Runtime, Stored, LATER;
    /// Overwritten values are freed in the background.
    lazyfree_lazy_server_del: bool = "lazyfree-lazy-server-del", Bool, "no", Runtime, Stored, LATER;
    /// DEL frees in the background, as UNLINK does.
    lazyfree_lazy_user_del: bool = "lazyfree-lazy-user-del", Bool, "no", Runtime, Stored, LATER;
    /// FLUSHDB and FLUSHALL free in the background.
    lazyfree_lazy_user_flush: bool = "lazyfree-lazy-user-flush", Bool, "no", Runtime, Stored, Works;
    /// Defragment while running.
    activedefrag: bool = "activedefrag", Bool, "no", Runtime, Stored, DefaultOnly("mimalloc does not fragment in the way this would mend");
    /// Defragmentation: bytes wasted before it starts.
    active_defrag_ignore_bytes: u64 = "active-defrag-ignore-bytes", Memory(1, LONG_MAX), "100mb", Runtime, Stored, NO_DEFRAG;
    /// Defragmentation: percent at which it starts.
    active_defrag_threshold_lower: u32 = "active-defrag-threshold-lower", Int(0, 1000), "10", Runtime, Stored, NO_DEFRAG;
    /// Defragmentation: percent at which it works hardest.
    active_defrag_threshold_upper: u32 = "active-defrag-threshold-upper", Int(0, 1000), "100", Runtime, Stored, NO_DEFRAG;
    /// Defragmentation: least CPU percent.
    active_defrag_cycle_min: u32 = "active-defrag-cycle-min", Int(1, 99), "1", Runtime, Stored, NO_DEFRAG;
    /// Defragmentation: most CPU percent.
    active_defrag_cycle_max: u32 = "active-defrag-cycle-max", Int(1, 99), "25", Runtime, Stored, NO_DEFRAG;
    /// Defragmentation: fields scanned at once.
    active_defrag_max_scan_fields: u64 = "active-defrag-max-scan-fields", Int(1, i64::MAX), "1000", Runtime, Stored, NO_DEFRAG;
    /// jemalloc's background thread.
    jemalloc_bg_thread: bool = "jemalloc-bg-thread", Bool, "yes", Runtime, Stored, Inert("the allocator is mimalloc");
    /// Rehash in idle time.
    activerehashing: bool = "activerehashing", Bool, "yes", Runtime, Stored, LATER;
    /// Bytes that one client may send ahead of execution.
    client_query_buffer_limit: u64 = "client-query-buffer-limit", Memory(MB, LONG_MAX), "1gb", Runtime, Stored, Works;
    /// Longest bulk string in a request.
    proto_max_bulk_len: u64 = "proto-max-bulk-len", Memory(MB, LONG_MAX), "512mb", Runtime, Stored, Works;
    /// When a client whose output waits is closed, by class.
    client_output_buffer_limit: BufferLimits = "client-output-buffer-limit", Words, "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60", Runtime, Stored, Works;
    /// Keys remembered for client-side caching.
    tracking_table_max_keys: u64 = "tracking-table-max-keys", Int(0, i64::MAX), "1000000", Runtime, Stored, LATER;

    // Encodings.
    /// Fields up to which a hash is a listpack.
    hash_max_listpack_entries: usize = "hash-max-listpack-entries" | "hash-max-ziplist-entries", Int(0, i64::MAX), "512", Runtime, Stored, Works;
    /// Bytes of a field or value up to which a hash is a listpack.
    hash_max_listpack_value: usize = "hash-max-listpack-value" | "hash-max-ziplist-value", Int(0, i64::MAX), "64", Runtime, Stored, Works;
    /// A list node's limit: elements if positive, -1 to -5 for 4 to 64 KiB.
    list_max_listpack_size: i32 = "list-max-listpack-size" | "list-max-ziplist-size", Int(i32::MIN as i64, INT_MAX), "-2", Runtime, Stored, Works;
    /// List nodes at each end left uncompressed; 0 compresses none.
    list_compress_depth: u32 = "list-compress-depth", Int(0, INT_MAX), "0", Runtime, Stored, LATER;
    /// Members up to which a set of integers is an intset.
    set_max_intset_entries: usize = "set-max-intset-entries", Int(0, i64::MAX), "512", Runtime, Stored, Works;
    /// Members up to which a set is a listpack.
    set_max_listpack_entries: usize = "set-max-listpack-entries", Int(0, i64::MAX), "128", Runtime, Stored, Works;
    /// Bytes of a member up to which a set is a listpack.
    set_max_listpack_value: usize = "set-max-listpack-value", Int(0, i64::MAX), "64", Runtime, Stored, Works;
    /// Members up to which a sorted set is a listpack.
    zset_max_listpack_entries: usize = "zset-max-listpack-entries" | "zset-max-ziplist-entries", Int(0, i64::MAX), "128", Runtime, Stored, Works;
    /// Bytes of a member up to which a sorted set is a listpack.
    zset_max_listpack_value: usize = "zset-max-listpack-value" | "zset-max-ziplist-value", Int(0, i64::MAX), "64", Runtime, Stored, Works;
    /// Bytes up to which a HyperLogLog is sparse.
    hll_sparse_max_bytes: u64 = "hll-sparse-max-bytes", Memory(0, LONG_MAX), "3000", Runtime, Stored, LATER;
    /// Bytes of a stream's node.
    stream_node_max_bytes: u64 = "stream-node-max-bytes", Memory(0, LONG_MAX), "4096", Runtime, Stored, NO_STREAMS;
    /// Entries of a stream's node.
    stream_node_max_entries: u64 = "stream-node-max-entries", Int(0, i64::MAX), "100", Runtime, Stored, NO_STREAMS;

    // Observation.
    /// Microseconds from which a command is slow; negative logs none.
    slowlog_log_slower_than_us: i64 = "slowlog-log-slower-than", Int(-1, i64::MAX), "10000", Runtime, Stored, Works;
    /// Entries of the slow log.
    slowlog_max_len: u64 = "slowlog-max-len", Int(0, i64::MAX), "128", Runtime, Trim, Works;
    /// Milliseconds from which an event's latency is recorded; 0 records none.
    latency_monitor_threshold_ms: u64 = "latency-monitor-threshold", Int(0, i64::MAX), "0", Runtime, Stored, LATER;
    /// Keep a latency histogram for each command.
    latency_tracking: bool = "latency-tracking", Bool, "yes", Runtime, Stored, LATER;
    /// Percentiles that INFO latencystats shows.
    latency_tracking_info_percentiles: Percentiles = "latency-tracking-info-percentiles", Words, "50 99 99.9", Runtime, Stored, LATER;
    /// Classes of keyspace events that are published.
    notify_keyspace_events: EventClasses = "notify-keyspace-events", Text, "", Runtime, Events, Works;

    // Scripting.
    /// Milliseconds after which a script lets others in with BUSY.
    busy_reply_threshold_ms: u64 = "busy-reply-threshold" | "lua-time-limit", Int(0, i64::MAX), "5000", Runtime, Stored, NO_SCRIPTS;

    // Cluster mode: later work.
    /// Be a node of a cluster.
    cluster_enabled: bool = "cluster-enabled", Bool, "no", Startup, Stored, NO_CLUSTER;
    /// Cluster: own file of state.
    cluster_config_file: String = "cluster-config-file", Text, "nodes.conf", Startup, Stored, CLUSTER_ONLY;
    /// Cluster: milliseconds of silence after which a node is suspected.
    cluster_node_timeout_ms: u64 = "cluster-node-timeout", Int(0, i64::MAX), "15000", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: the bus's port; 0: port + 10000.
    cluster_port: u16 = "cluster-port", Int(0, 65535), "0", Startup, Stored, CLUSTER_ONLY;
    /// Cluster: how stale a candidate may be.
    cluster_replica_validity_factor: u32 = "cluster-replica-validity-factor" | "cluster-slave-validity-factor", Int(0, INT_MAX), "10", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: replicas a master keeps when one migrates.
    cluster_migration_barrier: u32 = "cluster-migration-barrier", Int(0, INT_MAX), "1", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: replicas migrate to orphaned masters.
    cluster_allow_replica_migration: bool = "cluster-allow-replica-migration", Bool, "yes", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: refuse everything while a slot has no owner.
    cluster_require_full_coverage: bool = "cluster-require-full-coverage", Bool, "yes", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: never promote this replica.
    cluster_replica_no_failover: bool = "cluster-replica-no-failover" | "cluster-slave-no-failover", Bool, "no", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: answer reads while it is down.
    cluster_allow_reads_when_down: bool = "cluster-allow-reads-when-down", Bool, "no", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: sharded pub/sub while it is down.
    cluster_allow_pubsubshard_when_down: bool = "cluster-allow-pubsubshard-when-down", Bool, "yes", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: bytes a bus link may buffer; 0: no limit.
    cluster_link_sendbuf_limit: u64 = "cluster-link-sendbuf-limit", Memory(0, LONG_MAX), "0", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: announced address.
    cluster_announce_ip: String = "cluster-announce-ip", Text, "", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: announced name.
    cluster_announce_hostname: String = "cluster-announce-hostname", Text, "", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: name for logs.
    cluster_announce_human_nodename: String = "cluster-announce-human-nodename", Text, "", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: announced port.
    cluster_announce_port: u16 = "cluster-announce-port", Int(0, 65535), "0", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: announced TLS port.
    cluster_announce_tls_port: u16 = "cluster-announce-tls-port", Int(0, 65535), "0", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: announced bus port.
    cluster_announce_bus_port: u16 = "cluster-announce-bus-port", Int(0, 65535), "0", Runtime, Stored, CLUSTER_ONLY;
    /// Cluster: what clients are told to connect to.
    cluster_preferred_endpoint_type: String = "cluster-preferred-endpoint-type", Enum(&["ip", "hostname", "unknown-endpoint"]), "ip", Runtime, Stored, CLUSTER_ONLY;

    // Quorate's own.
    /// The group this node belongs to: it boots read-only until the sentinels have said what it is. Empty: a plain Redis.
    group: String = "group", Text, "", Startup, Stored, Works;
    /// Secret that sentinels must show to the agent; empty: none is asked for.
    secret: String = "secret", Text, "", Startup, Stored, Works;
    /// The agent's gRPC port; 0: port + 1000.
    agent_port: u16 = "agent-port", Int(0, 65535), "0", Startup, Stored, Works;
    /// Words that sentinels see with this node, as `nofailover`.
    tags: WordList = "tags", Words, "", Startup, Stored, LATER;
}
