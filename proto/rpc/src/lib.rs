//! gRPC messages and services of `quorate.v1`, generated from the `.proto` files in `proto/`.
//!
//! The `.proto` files are the documentation of the wire; nothing here is written by hand but the names of the
//! headers. Only floor 4 (processes) uses this crate: pure rooms have types of their own and are translated at the door.

/// Messages, clients and servers of package `quorate.v1`.
// Generated code: its words are the .proto files' comments.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("quorate.v1");
}

/// The serialized `FileDescriptorSet` of `quorate.v1`, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quorate.v1.bin"));

/// Metadata key under which a caller carries `Bearer <secret>`, on every call to an agent, a peer or the control API.
pub const AUTHORIZATION: &str = "authorization";

#[cfg(test)]
mod tests {
    use prost::Message;

    #[test]
    fn descriptors_hold_every_service() {
        let files = prost_types::FileDescriptorSet::decode(super::FILE_DESCRIPTOR_SET).expect("descriptors decode");
        let mut services: Vec<&str> = files.file.iter().flat_map(|f| f.service.iter().map(|s| s.name())).collect();
        services.sort_unstable();
        assert_eq!(services, ["Agent", "Control", "Peer"]);
    }
}
