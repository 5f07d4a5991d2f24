//! The keyed hash of every table: SipHash-1-3, so that a client who chooses keys cannot choose buckets.
use siphasher::sip::SipHasher13;

/// The key of the hash function, drawn once a process by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSeed(pub [u64; 2]);

impl HashSeed {
    /// The hash of `bytes` under this seed.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.0[0], self.0[1]).hash(bytes)
    }
}
