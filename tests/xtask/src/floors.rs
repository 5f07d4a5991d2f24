//! The house's floors: a room depends on lower floors only, and a pure room on nothing that can do I/O or read a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, PackageId};

/// A room's floor, and whether it is pure. Every member of the workspace stands here.
const ROOMS: &[(&str, u8, Purity)] = &[
    ("quorate-resp", 0, Purity::Pure),
    ("quorate-collections", 0, Purity::Pure),
    ("quorate-config", 0, Purity::Pure),
    ("quorate-checkers", 0, Purity::Pure),
    ("quorate-rpc", 0, Purity::Generated),
    ("quorate-memory", 0, Purity::Shell),
    ("quorate-keyspace", 1, Purity::Pure),
    ("quorate-replication", 1, Purity::Pure),
    ("quorate-registry", 1, Purity::Pure),
    ("quorate-persist", 2, Purity::Pure),
    ("quorate-consensus", 2, Purity::Pure),
    ("quorate-engine", 3, Purity::Pure),
    ("quorate-api", 4, Purity::Shell),
    ("quorate-node", 4, Purity::Shell),
    ("quorate-sentinel", 4, Purity::Shell),
    ("quorate-cli", 4, Purity::Shell),
    ("quorate-bench", 4, Purity::Shell),
    ("quorate-compat", 4, Purity::Shell),
    ("quorate-harness", 4, Purity::Shell),
    ("quorate-drills", 4, Purity::Shell),
    ("quorate-sim", 4, Purity::Shell),
    ("quorate-xtask", 4, Purity::Shell),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purity {
    /// Cannot do I/O: `now`, randomness and configuration are arguments.
    Pure,
    /// Generated gRPC code: only floor 4 may use it.
    Generated,
    /// Moves bytes and performs effects.
    Shell,
}

/// Crates that sockets, files, clocks or runtimes come with, wherever in a pure room's tree they stand.
const IMPURE: &[&str] = &[
    "async-io",
    "axum",
    "chrono",
    "coarsetime",
    "hyper",
    "instant",
    "mio",
    "quanta",
    "quorate-rpc",
    "redb",
    "redis",
    "signal-hook",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tonic",
    "tracing-subscriber",
    "ureq",
    "web-time",
];

/// Words of the standard library that a pure room's source does not use outside its tests.
const IMPURE_WORDS: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "UNIX_EPOCH",
    "std::env",
    "std::fs",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "std::process",
    "std::thread",
    "thread::spawn",
    "Rng::new()",
];

/// What the workspace breaks, one line each.
pub fn check(metadata: &Metadata) -> Vec<String> {
    let mut faults = members(metadata);
    faults.extend(edges(metadata));
    faults.extend(trees(metadata));
    faults.extend(sources(metadata));
    faults
}

fn room(name: &str) -> Option<&'static (&'static str, u8, Purity)> {
    ROOMS.iter().find(|(known, _, _)| *known == name)
}

/// Every member has its floor, and every floor its member.
fn members(metadata: &Metadata) -> Vec<String> {
    let names: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let unknown =
        names.iter().filter(|name| room(name).is_none()).map(|name| format!("{name} has no floor: see floors.rs"));
    let gone = ROOMS
        .iter()
        .filter(|(name, _, _)| !names.contains(name))
        .map(|(name, _, _)| format!("{name} is no member any more"));
    unknown.chain(gone).collect()
}

/// Dependencies between rooms point down. Rooms of floor 4 may use each other; tests' own dependencies are free.
fn edges(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        let Some((name, floor, purity)) = room(&package.name) else { continue };
        let needed = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        for (other, other_floor, other_purity) in needed.filter_map(|dependency| room(&dependency.name)) {
            if other_floor >= floor && *floor < 4 {
                faults.push(format!(
                    "{name} (floor {floor}) depends on {other} (floor {other_floor}): dependencies point down"
                ));
            }
            if *purity == Purity::Pure && *other_purity != Purity::Pure {
                faults.push(format!("{name} is pure and depends on {other}, which is not"));
            }
        }
    }
    faults
}

/// No impure crate anywhere below a pure room. The resolved tree holds the features of the whole workspace, so this errs on the strict side.
fn trees(metadata: &Metadata) -> Vec<String> {
    let resolve = metadata.resolve.as_ref().expect("metadata was asked for with dependencies");
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        if !room(&package.name).is_some_and(|(_, _, purity)| *purity == Purity::Pure) {
            continue;
        }
        let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
        let mut open: Vec<(&PackageId, String)> = vec![(&package.id, package.name.to_string())];
        while let Some((id, path)) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if IMPURE.contains(&names[id]) {
                faults.push(format!("{} is pure, yet: {path}", package.name));
                continue;
            }
            for next in &nodes[id].deps {
                if next.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal) {
                    open.push((&next.pkg, format!("{path} -> {}", names[&next.pkg])));
                }
            }
        }
    }
    faults
}

/// No impure word in a pure room's source.
fn sources(metadata: &Metadata) -> Vec<String> {
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        if room(&package.name).is_some_and(|(_, _, purity)| *purity == Purity::Pure) {
            let src = package.manifest_path.parent().expect("a manifest has a folder").join("src");
            walk(src.as_std_path(), &mut faults);
        }
    }
    faults
}

fn walk(path: &Path, faults: &mut Vec<String>) {
    let entries = std::fs::read_dir(path).expect("a room's folder can be read");
    for entry in entries {
        let path = entry.expect("a room's folder can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "tests" {
                walk(&path, faults);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
            let text = std::fs::read_to_string(&path).expect("a source file is text");
            faults.extend(
                impure_lines(&text).map(|(line, word)| format!("{}:{line}: a pure room says {word}", path.display())),
            );
        }
    }
}

/// Lines that use what a pure room may not, up to the file's tests (which stand last), comments aside.
pub(crate) fn impure_lines(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    let code = text.lines().enumerate().take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"));
    code.filter(|(_, line)| !line.trim_start().starts_with("//")).filter_map(|(index, line)| {
        let word = IMPURE_WORDS.iter().find(|word| line.contains(**word))?;
        Some((index + 1, *word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_files_are_seen_outside_tests_and_comments() {
        let text = "//! Instant::now is banned\nlet a = Instant::now();\nuse std::fs;\n#[cfg(test)]\nmod tests { use std::env; }\n";
        assert_eq!(impure_lines(text).collect::<Vec<_>>(), [(2, "Instant::now"), (3, "std::fs")]);
    }

    #[test]
    fn a_room_that_looks_up_is_seen() {
        let mut metadata = crate::metadata();
        let id = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == "quorate-resp")
            .expect("resp exists")
            .id
            .clone();
        let node = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == "quorate-node")
            .expect("node exists")
            .clone();
        let up = node
            .dependencies
            .iter()
            .find(|dependency| dependency.name == "quorate-engine")
            .expect("node uses engine")
            .clone();
        metadata.packages.iter_mut().find(|package| package.id == id).expect("resp exists").dependencies.push(up);
        let tokio = node.dependencies.iter().find(|dependency| dependency.name == "tokio").expect("node uses tokio");
        assert_eq!(tokio.kind, DependencyKind::Normal);
        assert_eq!(
            edges(&metadata),
            ["quorate-resp (floor 0) depends on quorate-engine (floor 3): dependencies point down"]
        );
    }
}
