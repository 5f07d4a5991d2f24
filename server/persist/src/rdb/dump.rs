//! One value outside a file: the payloads of DUMP and RESTORE.
//!
//! A payload is the value's type byte and content as in an RDB, then the RDB version (two bytes, little-endian), then the
//! CRC-64 of all that (eight bytes).

use quorate_collections::crc64::crc64;
use quorate_keyspace::{Limits, Value, ValueRef};

use super::encode::Encoder;
use super::input::Input;
use super::object::{Decoded, decode, encode, kind_of};
use super::seal::{Checksum, Sealer};
use super::write::Compression;
use super::{READ_VERSIONS, RdbError, WRITE_VERSION};

/// Why a payload was refused.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The footer: from a later version, or damaged.
    #[error("DUMP payload version or checksum are wrong")]
    Footer,
    /// The content, though its checksum is right.
    #[error("Bad data format")]
    Content(#[source] RdbError),
}

/// Encodes a value as DUMP does.
pub fn dump(value: ValueRef<'_>, compression: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(compression);
    encoder.byte(kind_of(value));
    encode(value, &mut encoder);
    let mut payload = Vec::new();
    Sealer::new(Checksum::None).seal(&encoder.drain(), &mut payload);
    payload.extend_from_slice(&WRITE_VERSION.to_le_bytes());
    let sum = crc64(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

/// Decodes a payload as RESTORE does.
pub fn restore(payload: &[u8], limits: &Limits) -> Result<Value, RestoreError> {
    let (summed, sum) = payload.split_last_chunk::<8>().ok_or(RestoreError::Footer)?;
    let (content, version) = summed.split_last_chunk::<2>().ok_or(RestoreError::Footer)?;
    let expected = u64::from_le_bytes(*sum);
    let version_known = u16::from_le_bytes(*version) <= *READ_VERSIONS.end();
    if !version_known || (expected != 0 && expected != crc64(summed)) {
        return Err(RestoreError::Footer);
    }
    decode_whole(content, limits).map_err(RestoreError::Content)
}

fn decode_whole(content: &[u8], limits: &Limits) -> Result<Value, RdbError> {
    let mut source = content;
    let mut input = Input::new(&mut source);
    let kind = input.byte()?;
    let decoded = decode(&mut input, kind, limits)?;
    if input.offset() != content.len() as u64 {
        return Err(input.corrupt("bytes after the value"));
    }
    match decoded {
        Decoded::Value(value) => Ok(value),
        Decoded::Empty => Err(input.corrupt("a collection without elements")),
    }
}
