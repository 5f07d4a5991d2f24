//! LZF, the compression of strings in RDB files.
//!
//! A stream of literals and references into what was already written:
//!
//! ```text
//! 000lllll                    l + 1 literal bytes follow
//! LLLooooo oooooooo           L + 2 bytes from o + 1 bytes back (L from 1 to 6)
//! 111ooooo LLLLLLLL oooooooo  L + 9 bytes from o + 1 bytes back
//! ```
//!
//! The compressor is greedy and remembers one earlier place for each hash of three bytes.
use crate::Malformed;

const LITERALS_MAX: usize = 32;
const OFFSET_MAX: usize = 1 << 13;
/// Shortest and longest reference.
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
const LONG: usize = 7;
/// The most bytes that one byte of input can stand for: a long reference takes three.
const RATIO_MAX: usize = MATCH_MAX / 3;

/// A compressor: what it remembers is cleared by counting on, not by writing, since most strings are short.
#[derive(Debug, Default)]
pub struct Compressor {
    /// For each hash of three bytes, where it was met last: `base` plus the place. Below `base`: in an earlier input.
    seen: Vec<u32>,
    base: u32,
}

/// Bits of a hash of three bytes.
const HASH_BITS: u32 = 13;
/// After every so many bytes without a match the search goes on in larger steps: what does not compress costs less time.
const PATIENCE_BITS: usize = 5;

impl Compressor {
    /// Writes the compressed `input` over `output`; false when it would not be smaller (`output` is then of no meaning).
    pub fn compress(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        output.clear();
        let Ok(length) = u32::try_from(input.len()) else { return false };
        if input.len() <= MATCH_MIN {
            return false;
        }
        if self.seen.is_empty() || self.base.checked_add(length).is_none() {
            (self.seen, self.base) = (vec![0; 1 << HASH_BITS], 1);
        }
        let base = self.base;
        self.base += length;
        let (mut at, mut literals) = (0, 0);
        while let Some(&[a, b, c]) = input.get(at..).and_then(<[u8]>::first_chunk) {
            let hash = (u32::from(a) | u32::from(b) << 8 | u32::from(c) << 16).wrapping_mul(0x9e37_79b1);
            let slot = &mut self.seen[(hash >> (32 - HASH_BITS)) as usize];
            let earlier = slot.checked_sub(base).map(|place| place as usize);
            *slot = base + at as u32;
            let found = earlier.filter(|earlier| at - earlier <= OFFSET_MAX);
            let length = found.map_or(0, |earlier| common(&input[earlier..], &input[at..]));
            if length < MATCH_MIN {
                at += 1 + ((at - literals) >> PATIENCE_BITS);
                continue;
            }
            put_literals(output, &input[literals..at]);
            put_reference(output, at - found.expect("a match has a place") - 1, length);
            at += length;
            literals = at;
            if output.len() >= input.len() {
                return false;
            }
        }
        if output.is_empty() {
            return false;
        }
        put_literals(output, &input[literals..]);
        output.len() < input.len()
    }
}

/// Compresses `input`; `None` when the result would not be smaller.
pub fn compress(input: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    Compressor::default().compress(input, &mut output).then_some(output)
}

/// Decompresses untrusted `input` into exactly `length` bytes.
pub fn decompress(input: &[u8], length: usize) -> Result<Vec<u8>, Malformed> {
    const BAD: Malformed = Malformed("LZF string");
    if length / RATIO_MAX > input.len() {
        return Err(BAD);
    }
    let mut output = Vec::with_capacity(length);
    let mut rest = input;
    while let [control, after @ ..] = rest {
        let control = usize::from(*control);
        if control < LITERALS_MAX {
            let (literals, after) = after.split_at_checked(control + 1).ok_or(BAD)?;
            output.extend_from_slice(literals);
            rest = after;
        } else {
            let (extra, low, after) = match (control >> 5, after) {
                (LONG, [extra, low, after @ ..]) => (usize::from(*extra), low, after),
                (LONG, _) | (_, []) => return Err(BAD),
                (_, [low, after @ ..]) => (0, low, after),
            };
            let back = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
            copy_back(&mut output, back, (control >> 5) + extra + 2).ok_or(BAD)?;
            rest = after;
        }
        if output.len() > length {
            return Err(BAD);
        }
    }
    if output.len() == length { Ok(output) } else { Err(BAD) }
}

/// Appends `count` bytes from `back` bytes before the end; they may overlap what is being written.
fn copy_back(output: &mut Vec<u8>, back: usize, count: usize) -> Option<()> {
    let from = output.len().checked_sub(back)?;
    if back >= count {
        output.extend_from_within(from..from + count);
    } else {
        (from..from + count).for_each(|at| output.push(output[at]));
    }
    Some(())
}

fn common(earlier: &[u8], here: &[u8]) -> usize {
    let most = here.len().min(MATCH_MAX);
    let (words, rest) = here[..most].as_chunks::<8>();
    for (number, (word, other)) in words.iter().zip(earlier.as_chunks::<8>().0).enumerate() {
        let differs = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if differs != 0 {
            return 8 * number + differs.trailing_zeros() as usize / 8;
        }
    }
    let done = most - rest.len();
    done + earlier[done..].iter().zip(rest).take_while(|(a, b)| a == b).count()
}

fn put_literals(output: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        output.push(run.len() as u8 - 1);
        output.extend_from_slice(run);
    }
}

fn put_reference(output: &mut Vec<u8>, offset: usize, length: usize) {
    let short = length - 2;
    if short < LONG {
        output.push((short << 5 | offset >> 8) as u8);
    } else {
        output.push((LONG << 5 | offset >> 8) as u8);
        output.push((short - LONG) as u8);
    }
    output.push(offset as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Survives compression, and is compressed exactly when expected.
    #[track_caller]
    fn check(input: &[u8], shrinks: bool) {
        let output = compress(input);
        assert_eq!(output.is_some(), shrinks, "{} bytes", input.len());
        if let Some(output) = output {
            assert!(output.len() < input.len());
            assert_eq!(decompress(&output, input.len()).as_deref(), Ok(input));
            assert_eq!(decompress(&output, input.len() - 1), Err(Malformed("LZF string")));
            assert_eq!(decompress(&output, input.len() + 1), Err(Malformed("LZF string")));
        }
    }

    #[test]
    fn text_shrinks_and_noise_does_not() {
        check(b"", false);
        check(b"abc", false);
        check(&[b'a'; 10], true);
        check(&[b'a'; 100_000], true);
        check(b"the cat, the dog, the bird, the cat, the dog, the bird", true);
        let mut rng = fastrand::Rng::with_seed(5);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(9000).collect();
        check(&noise, false);
        check(&[&noise[..8000], &noise[..8000]].concat(), true); // references from far back
        check(&[&noise[..9000], &noise[..500]].concat(), false); // too far
        assert!(compress(&[0; 10_000]).expect("shrinks").len() < 130);
    }

    #[test]
    fn reads_what_redis_wrote() {
        // `SET k` with 30 letters a: the payload of `DUMP k`.
        assert_eq!(decompress(&[1, b'a', b'a', 0xe0, 17, 0, 1, b'a', b'a'], 30), Ok(vec![b'a'; 30]));
    }

    #[test]
    fn hostile_streams_are_refused() {
        for (input, length) in [
            (&[0x20, 0][..], 3),       // refers before the start
            (&[5, b'a'], 6),           // literals missing
            (&[0, b'a', 0x20], 4),     // offset missing
            (&[0, b'a', 0xe0, 1], 11), // offset missing
            (&[0, b'a'], usize::MAX),  // absurd length
            (&[], 1),
        ] {
            assert_eq!(decompress(input, length), Err(Malformed("LZF string")), "{input:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn survives(parts in prop::collection::vec((prop::collection::vec(0..5u8, 1..40), 1..20usize), 0..20)) {
            let input: Vec<u8> = parts.iter().flat_map(|(part, times)| part.repeat(*times)).collect();
            if let Some(output) = compress(&input) {
                prop_assert_eq!(decompress(&output, input.len()), Ok(input));
            }
        }

        #[test]
        fn any_stream_is_harmless(input in prop::collection::vec(any::<u8>(), 0..60), length in 0..2000usize) {
            if let Ok(output) = decompress(&input, length) {
                prop_assert_eq!(output.len(), length);
            }
        }
    }
}
