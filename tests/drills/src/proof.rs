//! A run: rounds of faults under load, each healed, read back and judged.

use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use quorate_checkers::Client;
use quorate_cli::local::Durability;

use crate::cluster::Cluster;
use crate::judge::{judge, retire};
use crate::nemesis::{Damage, Fault, Nemesis};
use crate::report::Report;
use crate::system::{Ack, System};
use crate::workload::{Board, Identity, Kind, Log, Record, read_back, work};
use crate::world::{self, Disks, Means};

/// Length of a round's faults; healing and reading back come after.
const ROUND: Duration = Duration::from_secs(45);
/// Before each round whose number is one less than a multiple of this, `quorum` is given up for a while.
const INTERLUDE_EVERY: u64 = 4;
/// Rounds that are not judged are numbered from here.
const UNJUDGED: u64 = 1_000_000;
/// Clients of each kind, each on the next host.
const CLIENTS: u32 = 5;
/// How long a healed group may take to be in order: under a second in most rounds, far more on a machine that does much else.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);
/// How long all keys may take to be read back.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// In a group in order somebody's write is acknowledged within this time.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// Records of rounds with breaches that are kept.
const MAX_KEPT: usize = 3;
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(50);

/// Breaks a group of five nodes and three sentinels under load, and judges what clients saw. Exit code 1: something was lost, out of order or
/// not linearizable, or the group did not recover; 2: it could not be run.
#[derive(Parser, Debug)]
pub struct Args {
    /// How long to run.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// What the group promises.
    #[arg(long, value_enum, default_value_t = Durability::Quorum)]
    durability: Durability,
    /// When replicas acknowledge. With `fsync` the power fails, too, now and then (as root).
    #[arg(long, value_enum, default_value_t = Ack::Receipt)]
    ack: Ack,
    /// The schedule's seed; by default from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Puts another system to the proof.
    #[arg(long, value_enum)]
    against: Option<Against>,
    /// Deals these faults only.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// How hosts are made.
    #[arg(long, value_enum, default_value_t = Means::Any)]
    network: Means,
    /// The `quorate` binary; by default `quorate-drilled` beside this program.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the folder of the run is made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Keeps the folder whatever is found.
    #[arg(long)]
    keep: bool,
}

/// Systems to compare with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Against {
    /// `redis-server` from PATH, as nodes and as sentinels.
    RedisSentinel,
}

/// The program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) => {
            println!("{}", report.table());
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("drill-proof: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> io::Result<Report> {
    let system = match args.against {
        Some(Against::RedisSentinel) => System::Redis,
        None => {
            let beside = std::env::current_exe()?.with_file_name("quorate-drilled");
            System::Quorate {
                program: args.program.clone().unwrap_or(beside),
                durability: args.durability,
                ack: args.ack,
            }
        }
    };
    let inside = world::enter(args.network)?;
    let faults = chosen(args, inside.disks)?;
    let folder = args.dir.join(format!("quorate-proof-{}", inside.id));
    std::fs::create_dir_all(&folder)?;
    let cluster = Cluster::start(&folder, system, &inside)?;
    let seed = args.seed.unwrap_or_else(|| fastrand::Rng::with_seed(clock_seed()).u64(1..1_000_000));
    let mut run = Run {
        nemesis: Nemesis::new(seed, faults),
        report: Report { system: cluster.system.to_string(), seed, ..Report::default() },
        cluster,
        board: Board::new(),
        retired: Record::default(),
        folder: folder.clone(),
        kept: 0,
        interrupted: interruptible()?,
    };
    let done = run.all(Duration::from_secs_f64(args.minutes * 60.0));
    let Run { report, cluster, .. } = run;
    drop(cluster);
    done?;
    if report.is_clean() && !args.keep {
        // The disks are still mounted in there until this process ends: what can be removed is the rest.
        clear(&folder);
    } else {
        println!("logs and records: {}", folder.display());
    }
    Ok(report)
}

fn clock_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The faults that were asked for; by default all that this machine can deal and that the system should survive. Power loss is survived only
/// when a write is acknowledged by disks.
fn chosen(args: &Args, disks: Disks) -> io::Result<Vec<Fault>> {
    let possible = |fault: &Fault| fault.is_possible(disks);
    if args.faults.is_empty() {
        let ours = args.against.is_none();
        let fits = |fault: &Fault| match fault {
            Fault::PowerLoss => args.ack == Ack::Fsync,
            Fault::Copies | Fault::Async => ours && args.durability == Durability::Quorum,
            other => ours || !other.is_change(),
        };
        return Ok(Fault::ALL.into_iter().filter(possible).filter(fits).collect());
    }
    if args.faults == [Fault::Async.word()] {
        return Err(io::Error::other("async comes between other faults: name one of them, too"));
    }
    let fault = |word: &String| {
        let known = || Fault::ALL.map(Fault::word).join(" ");
        let found = Fault::ALL.into_iter().find(|fault| fault.word() == word);
        let found =
            found.ok_or_else(|| io::Error::other(format!("no fault is called '{word}'; there are {}", known())))?;
        let lacking =
            || io::Error::other(format!("{word} needs a disk for each process, and this machine allows none"));
        Some(found).filter(possible).ok_or_else(lacking)
    };
    args.faults.iter().map(fault).collect()
}

/// Ctrl-C ends the run after its round; a second one ends it at once, and the kernel cleans up.
fn interruptible() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

fn clear(folder: &Path) {
    let removed = world::unmount_below(folder).and_then(|()| std::fs::remove_dir_all(folder));
    if let Err(error) = removed {
        println!("{} could not be removed: {error}", folder.display());
    }
}

/// A run in progress.
struct Run {
    cluster: Cluster,
    nemesis: Nemesis,
    board: Board,
    report: Report,
    retired: Record,
    folder: PathBuf,
    kept: usize,
    interrupted: Arc<AtomicBool>,
}

impl Run {
    fn all(&mut self, length: Duration) -> io::Result<()> {
        self.cluster.wait_settled(SETTLE_WITHIN).map_err(io::Error::other)?;
        let began = Instant::now();
        while began.elapsed() < length && !self.interrupted.load(Ordering::SeqCst) {
            let mut damage = Damage::default();
            if self.nemesis.interludes && self.report.rounds % INTERLUDE_EVERY == INTERLUDE_EVERY - 1 {
                damage = self.interlude()?;
                if !self.report.stuck.is_empty() {
                    return Ok(());
                }
            }
            let left = length.saturating_sub(began.elapsed());
            let going_on = self.round(left.min(ROUND), damage)?;
            self.report.ran = began.elapsed();
            self.report.dealt = self.nemesis.dealt.clone();
            if !going_on {
                return Ok(());
            }
        }
        self.read_all("at the end");
        Ok(())
    }

    /// What was acknowledged in any round is still there. Nothing of it is asked for again.
    fn read_all(&mut self, when: &str) {
        let sentinels = self.cluster.sentinels();
        match read_back(&mut self.retired, &sentinels, &self.board, READ_WITHIN) {
            Ok(()) => self.report.judge(&judge(&self.retired), true),
            Err(reason) => self.report.stuck.push(format!("{when}: {reason}")),
        }
        self.retired = Record::default();
    }

    /// Nothing is promised for a while, and nothing judged; before that, all that was promised is read once more. Answers with what is still broken
    /// when `quorum` is in force again: what is acknowledged from then on counts.
    fn interlude(&mut self) -> io::Result<Damage> {
        self.read_all("before the interlude");
        println!("[{:>7.1}s] interlude: async for a while", seconds(&self.board));
        self.nemesis.note(Fault::Async);
        let (identities, number) = (self.identities(), UNJUDGED + self.report.rounds);
        self.board.set_working(true);
        let (left, logs) = std::thread::scope(|scope| {
            let board = &self.board;
            let clients: Vec<_> =
                identities.iter().map(|identity| scope.spawn(move || work(identity, number, number, board))).collect();
            let left = there_and_back(&mut self.cluster, &mut self.nemesis, &mut self.report, board);
            board.set_working(false);
            let logs: Vec<_> =
                clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect();
            (left, logs)
        });
        logs.into_iter().try_for_each(|log| log.map(drop))?;
        println!("[{:>7.1}s] quorum is in force again", seconds(&self.board));
        left
    }

    /// One round; `damage` is healed in its course. `false`: the group is not in order again, and there is no use in going on.
    fn round(&mut self, length: Duration, damage: Damage) -> io::Result<bool> {
        let number = self.report.rounds;
        let identities = self.identities();
        self.board.set_working(true);
        let seed = self.report.seed.wrapping_add(number << 32);
        let (broken, logs) = std::thread::scope(|scope| {
            let board = &self.board;
            let clients: Vec<_> = identities
                .iter()
                .map(|identity| {
                    scope.spawn(move || work(identity, number, seed.wrapping_add(u64::from(identity.client.0)), board))
                })
                .collect();
            let broken = faults(&mut self.cluster, &mut self.nemesis, &mut self.report, board, length, damage);
            board.set_working(false);
            let logs: Vec<_> =
                clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect();
            (broken, logs)
        });
        let mut log = Log::default();
        for client in logs {
            log.add(client?);
        }
        broken?;
        self.report.rounds += 1;
        for (kind, count) in &log.counts {
            self.report.counts.entry(*kind).or_default().add(*count);
        }
        for (reason, times) in std::mem::take(&mut log.reasons) {
            *self.report.reasons.entry(reason).or_default() += times;
        }
        self.close(number, log)
    }

    /// Reads back and judges.
    fn close(&mut self, number: u64, mut log: Log) -> io::Result<bool> {
        let sentinels = self.cluster.sentinels();
        if let Err(reason) = read_back(&mut log.record, &sentinels, &self.board, READ_WITHIN) {
            self.report.stuck.push(format!("round {number}: {reason}"));
        }
        let verdict = judge(&log.record);
        if !verdict.findings.is_empty() && self.kept < MAX_KEPT {
            let path = self.folder.join(format!("round-{number}.json"));
            serde_json::to_writer(std::fs::File::create(&path)?, &log.record).map_err(io::Error::other)?;
            println!("breaches in round {number}: its record is {}", path.display());
            self.kept += 1;
        }
        self.report.judge(&verdict, false);
        let retired = retire(log.record, &verdict.findings);
        self.retired.registers.extend(retired.registers);
        self.retired.lists.extend(retired.lists);
        self.retired.sets.extend(retired.sets);
        let tally: u64 = verdict.tallies.values().map(|tally| tally.wrong).sum();
        println!("[{:>7.1}s] round {number} judged: {tally} keys with breaches", seconds(&self.board));
        Ok(self.report.stuck.is_empty())
    }

    fn identities(&self) -> Vec<Identity> {
        let hosts = self.cluster.client_hosts();
        let sentinels = self.cluster.sentinels();
        let identity = |number: u32, kind: Kind| {
            let mut sentinels: Vec<SocketAddrV4> = sentinels.clone();
            sentinels.rotate_left(number as usize % 3);
            Identity { client: Client(number), host: hosts[number as usize % hosts.len()], kind, sentinels }
        };
        (0..CLIENTS * 3).map(|number| identity(number, Kind::ALL[(number / CLIENTS) as usize])).collect()
    }
}

fn seconds(board: &Board) -> f64 {
    board.now().0 as f64 / 1e9
}

/// A round's faults: strike, wait, heal, again and again; then everything is healed and the group has to be in order.
fn faults(
    cluster: &mut Cluster,
    nemesis: &mut Nemesis,
    report: &mut Report,
    board: &Board,
    length: Duration,
    damage: Damage,
) -> io::Result<()> {
    let until = Instant::now() + length;
    std::thread::sleep(nemesis.calm());
    heal(cluster, report, board, damage)?;
    while Instant::now() < until {
        std::thread::sleep(nemesis.calm());
        let mut damage = Damage::default();
        let struck = strikes(cluster, nemesis, board, &mut damage);
        heal(cluster, report, board, damage)?;
        struck?;
    }
    let healed = Instant::now();
    if let Err(reason) = cluster.wait_settled(SETTLE_WITHIN) {
        report.stuck.push(format!("round {}: {reason}", report.rounds));
        return Ok(());
    }
    report.recoveries.push(healed.elapsed());
    let before = board.acknowledged();
    let deadline = Instant::now() + WRITE_WITHIN;
    while board.acknowledged() == before {
        if Instant::now() > deadline {
            report.stuck.push(format!("round {}: no write was acknowledged in a group in order", report.rounds));
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Mends the damage, and what ended by itself.
fn heal(cluster: &mut Cluster, report: &mut Report, board: &Board, mut damage: Damage) -> io::Result<()> {
    for (index, death) in cluster.take_dead() {
        println!("[{:>7.1}s] {} ended by itself: {}", seconds(board), death.name, death.how);
        report.deaths.push(format!("{} {}", death.name, death.how));
        damage.note_dead(index);
    }
    damage.heal(cluster)
}

/// From `quorum` to `async` and back, each asked for while something is broken. Answers with what is broken still when `quorum` is in force.
fn there_and_back(
    cluster: &mut Cluster,
    nemesis: &mut Nemesis,
    report: &mut Report,
    board: &Board,
) -> io::Result<Damage> {
    for durability in [Durability::Async, Durability::Quorum] {
        let mut damage = Damage::default();
        let struck = strikes(cluster, nemesis, board, &mut damage);
        if let Err(why) = cluster.promise(durability) {
            println!("[{:>7.1}s] {}: {why}", seconds(board), durability.as_str());
        }
        let until = Instant::now() + nemesis.lasting();
        while Instant::now() < until {
            if durability == Durability::Quorum && struck.is_ok() && cluster.is_in_force() {
                return Ok(damage);
            }
            std::thread::sleep(POLL);
        }
        heal(cluster, report, board, damage)?;
        struck?;
        if let Err(reason) = cluster.wait_settled(SETTLE_WITHIN) {
            report.stuck.push(format!("{} before round {}: {reason}", durability.as_str(), report.rounds));
            break;
        }
    }
    Ok(Damage::default())
}

/// One fault, or two at a time.
fn strikes(cluster: &mut Cluster, nemesis: &mut Nemesis, board: &Board, damage: &mut Damage) -> io::Result<()> {
    let mut count = if nemesis.doubles() { 2 } else { 1 };
    while count > 0 {
        let strike = nemesis.strike(cluster, damage)?;
        println!("[{:>7.1}s] {strike}", seconds(board));
        std::thread::sleep(nemesis.lasting());
        count -= 1;
    }
    Ok(())
}
