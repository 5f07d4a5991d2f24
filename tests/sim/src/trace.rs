//! What happened, as a digest that two runs of a seed share to the byte, and as text for whoever looks.

use crate::time::Time;

/// The digest of everything so far, and the lines if they are wanted.
#[derive(Debug)]
pub struct Trace {
    digest: u64,
    events: u64,
    print: bool,
}

/// FNV-1a's prime for 64 bits. Source: the FNV specification, section 5.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A digest of bytes, eight at a time.
pub fn digest_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut digest = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    for word in words {
        digest = (digest ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(23);
    }
    for byte in rest {
        digest = (digest ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    digest ^ (digest >> 29)
}

impl Trace {
    /// Nothing has happened. `print`: lines go to standard output.
    pub fn new(seed: u64, print: bool) -> Trace {
        Trace { digest: digest_of(&seed.to_le_bytes()), events: 0, print }
    }

    /// Something happened.
    pub fn mark(&mut self, now: Time, what: u64, detail: u64) {
        self.events += 1;
        for word in [now.0, what, detail] {
            self.digest = (self.digest ^ word).wrapping_mul(PRIME).rotate_left(17);
        }
    }

    /// A line for the reader; `text` is made only if somebody reads.
    pub fn line(&mut self, now: Time, text: impl FnOnce() -> String) {
        if self.print {
            println!("{:>10.6} {}", now.0 as f64 / 1e6, text());
        }
    }

    /// The digest of everything so far.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.events
    }
}
