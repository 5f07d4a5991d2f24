//! Commands made ready before the window: a batch of one pipeline's length, whose random parts are redrawn in place before each sending.
//!
//! A pattern is a command's words, separated by blanks. A word may hold, at its end or in the middle:
//! `%k` 12 digits, uniform below `keys` · `%m` 12 digits, uniform below `members` · `%i` the same as a whole number without leading zeros ·
//! `%n` a counter over all commands, `%s` the same below `keys` (it begins again) · `%q`, `%r`, `%j` the counter divided by `each`, its remainder, and that as a whole
//! number · `%v` the value. Redrawing costs the generator some nanoseconds a command, and the random keys neither repeat nor fill its cache, as a
//! long list of commands would.

use fastrand::Rng;

/// Digits of a drawn number.
const WIDTH: usize = 12;
/// Whole numbers begin here, so that all have the same length.
const WHOLE: u64 = 100_000_000_000;
/// Four digits at a time: `0000` to `9999`.
static QUADS: [[u8; 4]; 10_000] = quads();

const fn quads() -> [[u8; 4]; 10_000] {
    let mut table = [[b'0'; 4]; 10_000];
    let mut number = 0;
    while number < 10_000 {
        let mut rest = number;
        let mut place = 4;
        while place > 0 {
            place -= 1;
            table[number][place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        number += 1;
    }
    table
}

/// What the drawn parts of a pattern are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Keys of `%k` and `%s`.
    pub keys: u64,
    /// Members of `%m` and `%i`.
    pub members: u64,
    /// Members that a filling puts into each collection: `%q`, `%r`, `%j`.
    pub each: u64,
    /// Bytes of `%v`.
    pub value: usize,
}

impl Space {
    /// Plain keys with a value each.
    #[must_use]
    pub fn keys(keys: u64, value: usize) -> Space {
        Space { keys, members: 1, each: 1, value }
    }
}

/// What a spot's digits say.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Below { count: u64, base: u64 },
    Counter,
    Wrapped,
    Quotient,
    Remainder { base: u64 },
}

#[derive(Debug, Clone, Copy)]
struct Spot {
    at: usize,
    draw: Draw,
}

/// A pipeline's worth of commands.
#[derive(Debug, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    /// The drawn parts, one list a command.
    spots: Vec<Vec<Spot>>,
    space: Space,
    counter: u64,
    rng: Rng,
}

impl Batch {
    /// `pipeline` commands of these patterns in turn; `seed` decides all that is drawn.
    #[must_use]
    pub fn new(patterns: &[&str], pipeline: usize, space: Space, seed: u64) -> Batch {
        let mut batch = Batch { bytes: Vec::new(), spots: Vec::new(), space, counter: 0, rng: Rng::with_seed(seed) };
        for pattern in patterns.iter().cycle().take(pipeline) {
            batch.push(pattern);
        }
        batch
    }

    /// How many commands, and so how many replies.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.spots.len()
    }

    /// The counter's next value.
    pub fn count_from(&mut self, counter: u64) {
        self.counter = counter;
    }

    /// The batch with its parts drawn anew.
    pub fn draw(&mut self) -> &[u8] {
        for spots in &self.spots {
            for spot in spots {
                let number = match spot.draw {
                    Draw::Below { count, base } => base + below(&mut self.rng, count),
                    Draw::Counter => self.counter,
                    Draw::Wrapped => self.counter % self.space.keys,
                    Draw::Quotient => self.counter / self.space.each,
                    Draw::Remainder { base } => base + self.counter % self.space.each,
                };
                write_digits(&mut self.bytes[spot.at..spot.at + WIDTH], number);
            }
            self.counter += 1;
        }
        &self.bytes
    }

    fn push(&mut self, pattern: &str) {
        let words: Vec<&str> = pattern.split(' ').collect();
        self.bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        let mut spots = Vec::new();
        for word in words {
            let (text, drawn) = self.word(word);
            self.bytes.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
            spots.extend(drawn.map(|(at, draw)| Spot { at: self.bytes.len() + at, draw }));
            self.bytes.extend_from_slice(&text);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.spots.push(spots);
    }

    /// A word's bytes, and what is drawn in it, where.
    fn word(&self, word: &str) -> (Vec<u8>, Option<(usize, Draw)>) {
        let Some((before, rest)) = word.split_once('%') else { return (word.into(), None) };
        let space = self.space;
        let draw = match rest.as_bytes().first() {
            Some(b'v') => return (vec![b'x'; space.value], None),
            Some(b'k') => Draw::Below { count: space.keys, base: 0 },
            Some(b'm') => Draw::Below { count: space.members, base: 0 },
            Some(b'i') => Draw::Below { count: space.members, base: WHOLE },
            Some(b'n') => Draw::Counter,
            Some(b's') => Draw::Wrapped,
            Some(b'q') => Draw::Quotient,
            Some(b'r') => Draw::Remainder { base: 0 },
            Some(b'j') => Draw::Remainder { base: WHOLE },
            other => panic!("a pattern says %{other:?}"),
        };
        let text = [before.as_bytes(), &[b'0'; WIDTH], &rest.as_bytes()[1..]].concat();
        (text, Some((before.len(), draw)))
    }
}

/// Uniform below `count`, by one multiplication.
fn below(rng: &mut Rng, count: u64) -> u64 {
    ((u128::from(rng.u64(..)) * u128::from(count)) >> 64) as u64
}

fn write_digits(place: &mut [u8], number: u64) {
    let (high, low) = (number / 100_000_000, number % 100_000_000);
    place[..4].copy_from_slice(&QUADS[(high % 10_000) as usize]);
    place[4..8].copy_from_slice(&QUADS[(low / 10_000) as usize]);
    place[8..12].copy_from_slice(&QUADS[(low % 10_000) as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space { keys: 50, members: 7, each: 3, value: 3 };

    /// The drawn batch as text, its line ends as bars.
    #[track_caller]
    fn check(patterns: &[&str], pipeline: usize, expected: &[&str]) {
        let mut batch = Batch::new(patterns, pipeline, SPACE, 1);
        let drawn = String::from_utf8(batch.draw().to_vec()).expect("a batch is text").replace("\r\n", "|");
        assert_eq!(drawn, expected.concat());
        assert_eq!(batch.commands(), pipeline);
    }

    #[test]
    fn patterns_become_commands() {
        check(&["SET a %v"], 1, &["*3|$3|SET|$1|a|$3|xxx|"]);
        let counted = |key: &str| format!("*2|$3|GET|$16|key:{key}|");
        check(&["GET key:%s"], 2, &[&counted("000000000000"), &counted("000000000001")]);
        let second = "*3|$4|SADD|$13|s000000000000|$12|100000000001|";
        check(&["PING", "SADD s%q %j"], 2, &["*1|$4|PING|", second]);
    }

    #[test]
    fn what_is_drawn_stays_in_its_range_and_reaches_all_of_it() {
        let mut batch = Batch::new(&["GET key:%k", "SADD a %i"], 2, SPACE, 9);
        let (mut keys, mut members) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for _ in 0..2000 {
            let text = String::from_utf8(batch.draw().to_vec()).expect("a batch is text");
            let words: Vec<&str> = text.split("\r\n").collect();
            keys.insert(words[4].strip_prefix("key:").and_then(|word| word.parse::<u64>().ok()).expect("a key"));
            members.insert(words[11].parse::<u64>().expect("a member"));
        }
        assert_eq!((keys.len(), keys.last()), (50, Some(&49)));
        assert_eq!((members.len(), members.last()), (7, Some(&(WHOLE + 6))));
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let mut pair = [5, 5].map(|seed| Batch::new(&["GET key:%k"], 16, SPACE, seed));
        let [one, two] = &mut pair;
        for _ in 0..10 {
            assert_eq!(one.draw(), two.draw());
        }
    }
}
