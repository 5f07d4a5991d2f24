//! The project's own rules, as code: which room may depend on what, which crates may come from outside, what Redis's own tests say, how fast
//! the node is beside others, and what survives when real processes are broken.

pub mod bench;
pub mod deps;
pub mod floors;
pub mod proof;
pub mod sim;
pub mod suite;

use cargo_metadata::{Metadata, MetadataCommand};

/// The workspace's metadata, from the lock file as it is.
pub fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    command.other_options(["--locked".to_owned()]);
    command.exec().expect("the workspace has metadata and its lock file is up to date")
}
