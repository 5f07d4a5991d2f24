//! Compiles `quorate/v1/*.proto` without an installed protoc: protox parses, prost and tonic generate.

use std::{env, error::Error, fs, path::PathBuf};

const PROTOS: [&str; 3] = ["quorate/v1/agent.proto", "quorate/v1/control.proto", "quorate/v1/peer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("quorate.v1.bin"), protox::prost::Message::encode_to_vec(&files))?;
    // Operators' programs print the control plane's messages as JSON, with the fields of the HTTP API.
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .type_attribute(".quorate.v1", "#[derive(serde::Serialize)]")
        .field_attribute("SentinelInfo.self", "#[serde(rename = \"self\")]")
        .compile_fds(files)?;
    Ok(())
}
