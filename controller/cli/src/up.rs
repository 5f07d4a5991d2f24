//! `quorate up`: a group on this machine, from nothing to a table of what listens where, and its events until Ctrl-C.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use quorate_rpc::v1;

use crate::args::Up;
use crate::control::Control;
use crate::local::{Group, Kind, Layout, LocalError, settled};
use crate::show::{self, Table, cell};
use crate::{Outcome, operate};

/// A node with much data loads it before it answers.
const LISTEN_WITHIN: Duration = Duration::from_secs(300);
/// From listening to a master with its replicas in sync.
const AGREE_WITHIN: Duration = Duration::from_secs(60);
/// A process that ended is started again after this time: long enough to see the sentinels fail over first.
const RESTART_AFTER: Duration = Duration::from_secs(5);
/// A process that was started again and ends sooner than this is given up: something is wrong with it.
const LIVES_AT_LEAST: Duration = Duration::from_secs(10);
/// How often the main loop looks at signals and children.
const TICK: Duration = Duration::from_millis(50);

/// Runs the command.
pub fn run(flags: &Up) -> Outcome {
    let (layout, resumed) = match layout(flags) {
        Ok(found) => found,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let stop = match stop_flag() {
        Ok(stop) => stop,
        Err(error) => return Outcome::Failed(format!("cannot handle signals: {error}")),
    };
    match start_and_follow(flags, layout, resumed, &stop) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The folder's layout, or a new one; flags that contradict what the folder holds are refused.
fn layout(flags: &Up) -> Result<(Layout, bool), LocalError> {
    let Some(found) = Layout::load(&flags.dir)? else {
        let fresh = Layout::default();
        let layout = Layout {
            nodes: flags.nodes.unwrap_or(fresh.nodes),
            sentinels: flags.sentinels.unwrap_or(fresh.sentinels),
            port: flags.port.unwrap_or(fresh.port),
            sentinel_port: flags.sentinel_port.unwrap_or(fresh.sentinel_port),
            durability: flags.durability.unwrap_or(fresh.durability),
            ..fresh
        };
        return Ok((layout, false));
    };
    let asked = [
        ("--nodes", flags.nodes, found.nodes),
        ("--sentinels", flags.sentinels, found.sentinels),
        ("--port", flags.port, found.port),
        ("--sentinel-port", flags.sentinel_port, found.sentinel_port),
    ];
    for (flag, asked, there) in asked {
        if let Some(asked) = asked.filter(|asked| *asked != there) {
            return Err(LocalError::OtherLayout {
                path: flags.dir.clone(),
                found: format!("{flag} {there}"),
                asked: format!("{flag} {asked}"),
            });
        }
    }
    // What is in force is the sentinels' record, and changes while the group runs: `quorate group set`.
    if let Some(asked) = flags.durability.filter(|asked| *asked != found.durability) {
        return Err(LocalError::OtherLayout {
            path: flags.dir.clone(),
            found: format!("--durability {}", found.durability.as_str()),
            asked: format!("--durability {}", asked.as_str()),
        });
    }
    Ok((found, true))
}

/// Set by SIGINT, SIGTERM and SIGHUP.
fn stop_flag() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Progress for people at a terminal; plain lines for pipes.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("the template is well formed"),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    fn say(&self, message: String) {
        match &self.0 {
            Some(bar) => bar.set_message(message),
            None => println!("{message}"),
        }
    }

    fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Did what was waited for come about, or was the program told to stop?
enum Waited<T> {
    Done(T),
    Stopped,
}

fn start_and_follow(flags: &Up, layout: Layout, resumed: bool, stop: &AtomicBool) -> Result<Outcome, LocalError> {
    let program = std::env::current_exe().map_err(|error| LocalError::Spawn { name: "quorate".into(), error })?;
    let (nodes, sentinels) = (layout.nodes, layout.sentinels);
    let progress = Progress::new();
    let with = if resumed { "with the data that is there" } else { "new" };
    progress.say(format!("starting {nodes} nodes and {sentinels} sentinels in {} ({with})", flags.dir.display()));
    let mut group = Group::start(&flags.dir, layout, &program)?;
    let ready = wait_ready(&mut group, &progress, stop);
    progress.finish();
    let picture = match ready? {
        Waited::Done(picture) => picture,
        Waited::Stopped => return Ok(leave(&mut group)),
    };
    anstream::print!("{}", overview(&group, &picture));
    follow_events(&group);
    watch_over(&mut group, stop);
    Ok(leave(&mut group))
}

fn wait_ready(group: &mut Group, progress: &Progress, stop: &AtomicBool) -> Result<Waited<v1::Group>, LocalError> {
    let total = group.children().len();
    let mut most = 0;
    let listening = group.wait(LISTEN_WITHIN, |group| {
        if stop.load(Ordering::Relaxed) {
            return Ok(Waited::Stopped);
        }
        let answering = group.answering();
        if answering > most {
            most = answering;
            progress.say(format!("{answering} of {total} processes answer"));
        }
        if answering == total {
            Ok(Waited::Done(()))
        } else {
            Err(format!("only {answering} of {total} processes answered"))
        }
    })?;
    if let Waited::Stopped = listening {
        return Ok(Waited::Stopped);
    }
    let control = Control::of(group.layout().api_addresses());
    let mut said = String::new();
    group.wait(AGREE_WITHIN, |group| {
        if stop.load(Ordering::Relaxed) {
            return Ok(Waited::Stopped);
        }
        let missing = match settled(&control, group.layout()) {
            Ok(picture) => return Ok(Waited::Done(picture)),
            Err(missing) => missing,
        };
        if missing != said {
            progress.say(missing.clone());
            said.clone_from(&missing);
        }
        Err(missing)
    })
}

/// What listens where, and three commands to try.
fn overview(group: &Group, picture: &v1::Group) -> String {
    let master = picture.master.clone().unwrap_or_default();
    let mut table = Table::new(&["WHAT", "ROLE", "RESP", "gRPC (HTTP)", "PROCESS", "FOLDER"]);
    let mut master_pid = None;
    for child in group.children() {
        let is_master = child.kind == Kind::Node && u32::from(child.port) == master.port;
        let role = match child.kind {
            Kind::Sentinel => "sentinel",
            Kind::Node if is_master => "master",
            Kind::Node => "replica",
        };
        if is_master {
            master_pid = child.pid();
        }
        let side = match child.kind {
            Kind::Node => format!("127.0.0.1:{} (agent)", child.side_port),
            Kind::Sentinel => format!("127.0.0.1:{} (API)", child.side_port),
        };
        table.row([
            cell(&child.name),
            (role.to_owned(), if is_master { show::HEAD } else { show::PLAIN }),
            cell(format!("127.0.0.1:{}", child.port)),
            cell(side),
            cell(child.pid().map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
            cell(child.dir.display()),
        ]);
    }
    let program = std::env::args().next().unwrap_or_else(|| "quorate".into());
    let layout = group.layout();
    let api = match layout.sentinel_port == Layout::default().sentinel_port {
        true => String::new(),
        false => format!(" --api {}", layout.api_addresses().join(",")),
    };
    let mut commands = Table::indented(&[], 2);
    commands.row([cell(format!("{program} status{api}")), ("the group as the sentinels see it".into(), show::DIM)]);
    commands.row([
        cell(format!("{program} failover {}{api}", layout.name)),
        ("moves the master, loses nothing".into(), show::DIM),
    ]);
    commands.row([
        cell(format!("kill -9 {}", master_pid.unwrap_or_default())),
        ("kills the master: watch a replica take over".into(), show::DIM),
    ]);
    format!(
        "\n{}\nClients ask a sentinel for '{}', or connect to the master with any Redis client. To try, in another terminal:\n{}\n\
         Events follow; Ctrl-C stops everything, the data stays in {}\n\n",
        table.render(),
        layout.name,
        commands.render().trim_start_matches('\n'),
        group.dir().display(),
    )
}

/// Prints events from a thread of its own, for as long as the process lives.
fn follow_events(group: &Group) {
    let control = Control::of(group.layout().api_addresses());
    let name = group.layout().name.clone();
    std::thread::spawn(move || {
        operate::block_on(async {
            while let Err(outcome) =
                operate::follow(&control, name.clone(), 0, |event| anstream::println!("{}", show::event(event))).await
            {
                // Every sentinel may be away for a while; the next round asks again.
                tracing::debug!(?outcome, "cannot follow events");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    });
}

/// Until told to stop: says when a child ended, and starts it again a little later.
fn watch_over(group: &mut Group, stop: &AtomicBool) {
    let mut due: Vec<(Instant, String)> = Vec::new();
    let mut again: BTreeSet<String> = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        for (name, ended, lived) in group.take_dead() {
            if lived < LIVES_AT_LEAST && again.contains(&name) {
                println!("{name} {ended} after {} s: not started again, see its log", lived.as_secs());
                continue;
            }
            println!("{name} {ended}; starting it again in {} s", RESTART_AFTER.as_secs());
            due.push((Instant::now() + RESTART_AFTER, name));
        }
        let now = Instant::now();
        for (_, name) in due.extract_if(.., |(at, _)| *at <= now) {
            match group.restart(&name) {
                Ok(()) => {
                    println!("{name} started again");
                    again.insert(name);
                }
                Err(error) => println!("{error}"),
            }
        }
        std::thread::sleep(TICK);
    }
}

fn leave(group: &mut Group) -> Outcome {
    println!("\nstopping {} processes", group.children().len());
    for name in group.stop() {
        println!("{name} did not leave in time and was killed");
    }
    println!("stopped; the data is in {}", shorten(group.dir()));
    Outcome::Done
}

/// Relative to the working directory where that is shorter.
fn shorten(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    inside.map_or_else(|| path.display().to_string(), |inside| format!("./{}", inside.display()))
}
