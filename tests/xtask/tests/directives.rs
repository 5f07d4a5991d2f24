//! A directive that claims to work is read by somebody.

use std::path::Path;

/// The rooms that act on configuration.
const READERS: &[&str] = &["server", "controller/cli", "config/src/server.rs"];

fn gather(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("the source can be read") {
            gather(&entry.expect("the source can be read").path(), text);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        text.push_str(&std::fs::read_to_string(path).expect("source is text"));
    }
}

#[test]
fn a_directive_that_works_is_read() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut readers = String::new();
    for room in READERS {
        gather(&root.join(room), &mut readers);
    }
    let table = std::fs::read_to_string(root.join("config/src/table.rs")).expect("the table is there");
    let rows = table.lines().filter(|line| line.ends_with(", Works;"));
    let fields: Vec<&str> = rows.filter_map(|row| row.trim().split_once(": ").map(|(field, _)| field)).collect();
    assert!(fields.len() > 60, "the table's rows look different: {}", fields.len());
    let unread: Vec<_> = fields.iter().filter(|field| !readers.contains(&format!(".{field}"))).collect();
    assert!(unread.is_empty(), "nobody reads {unread:?}: mark them Inert or DefaultOnly, with the reason");
}
