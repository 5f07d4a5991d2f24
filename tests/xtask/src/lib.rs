//! The project's own rules, as code: which room may depend on what, and which crates may come from outside.

pub mod deps;
pub mod floors;

use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace's metadata, from the lock file as it is.
pub fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    command.other_options(["--locked".to_owned()]);
    command.exec().expect("the workspace has metadata and its lock file is up to date")
}
