//! CRC-64 as Redis computes it for RDB files and DUMP payloads: the Jones polynomial, reflected, no final inversion.
use crc_fast::{CrcAlgorithm, Digest};

/// A checksum that grows with the bytes it is shown.
#[derive(Clone)]
pub struct Crc64(Digest);

impl Crc64 {
    /// The checksum of no bytes: 0.
    pub fn new() -> Self {
        Crc64(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far; more may follow.
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

/// The checksum of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::new();
    crc.update(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bit at a time, from the definition.
    fn slow(bytes: &[u8]) -> u64 {
        const JONES: u64 = 0xad93_d235_94c9_35a9;
        let mut crc = 0u64;
        for &byte in bytes {
            crc ^= u64::from(byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ JONES.reverse_bits() } else { crc >> 1 };
            }
        }
        crc
    }

    #[test]
    fn known_value() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn agrees_with_the_definition_however_the_bytes_are_cut() {
        let mut rng = fastrand::Rng::with_seed(7);
        let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(5000).collect();
        for length in [0, 1, 7, 15, 16, 17, 127, 128, 129, 255, 256, 257, 1023, 5000] {
            assert_eq!(crc64(&bytes[..length]), slow(&bytes[..length]), "{length}");
            let mut crc = Crc64::new();
            for part in bytes[..length].chunks(1 + rng.usize(..300)) {
                crc.update(part);
            }
            assert_eq!(crc.value(), slow(&bytes[..length]), "{length} in parts");
        }
    }
}
