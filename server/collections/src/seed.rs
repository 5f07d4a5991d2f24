//! The keyed hash of every table: SipHash-1-3, so that a client who chooses keys cannot choose buckets.
//!
//! Written out for a key that lies in one piece: a key of 8 to 15 bytes costs two thirds of what a hasher that is fed
//! piece by piece takes, and it is computed for every command. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF"; one round a word, three at the
//! end. Test: the same values as an independent implementation.

/// The key of the hash function, drawn once a process by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSeed(pub [u64; 2]);

impl HashSeed {
    /// The hash of `bytes` under this seed.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut state = State::new(self.0);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        state.absorb((bytes.len() as u64) << 56 | tail(bytes, rest));
        state.finish()
    }
}

/// The up to seven bytes behind the last whole word, as a word. Overlapping reads of a fixed length spare a loop.
#[inline]
fn tail(bytes: &[u8], rest: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        // In two steps, since nothing may be shifted by 64.
        return u64::from_le_bytes(*last) >> (63 - 8 * rest.len()) >> 1;
    }
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            let word = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
            word(first) | word(last) << (8 * (rest.len() - 4))
        }
        _ => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

struct State([u64; 4]);

impl State {
    /// The constants spell "somepseudorandomlygeneratedbytes".
    #[inline]
    fn new([k0, k1]: [u64; 2]) -> State {
        State([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        self.0 = [a, b, c.rotate_left(32), d];
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    #[inline]
    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use siphasher::sip::SipHasher13;

    #[test]
    fn is_siphash_1_3() {
        let mut rng = fastrand::Rng::with_seed(7);
        for len in 0..100 {
            let seed = HashSeed([rng.u64(..), rng.u64(..)]);
            let bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
            let expected = SipHasher13::new_with_keys(seed.0[0], seed.0[1]).hash(&bytes);
            assert_eq!(seed.hash(&bytes), expected, "{len} bytes");
        }
    }
}
