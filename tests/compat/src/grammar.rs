//! Commands at random from templates.
//!
//! A template is words between spaces: lower case stands for itself, capitals for a random argument (`Speaker::argument`), `( a | b )`
//! for one of the alternatives, `[ a | b ]` for one of them or none, `{ a }` for one to three repetitions.

use fastrand::Rng;

/// A template, parsed.
#[derive(Debug, Clone)]
pub enum Item {
    /// Stands for itself, or for an argument.
    Word(&'static str),
    /// One of these.
    Choice(Vec<Vec<Item>>),
    /// One of these, or none.
    Optional(Vec<Vec<Item>>),
    /// One to three times.
    Many(Vec<Item>),
}

/// Parses a template. Panics on brackets that do not fit: templates are constants.
#[must_use]
pub fn parse(template: &'static str) -> Vec<Item> {
    let mut words = template.split_whitespace().peekable();
    let (mut alternatives, end) = sequence(&mut words);
    assert!(end.is_none() && alternatives.len() == 1, "brackets of {template:?}");
    alternatives.remove(0)
}

/// The alternatives up to a closing bracket, and that bracket.
fn sequence<'a>(words: &mut impl Iterator<Item = &'static str>) -> (Vec<Vec<Item>>, Option<&'a str>) {
    let mut alternatives = vec![Vec::new()];
    while let Some(word) = words.next() {
        let item = match word {
            ")" | "]" | "}" => return (alternatives, Some(word)),
            "|" => {
                alternatives.push(Vec::new());
                continue;
            }
            "(" => Item::Choice(sequence(words).0),
            "[" => Item::Optional(sequence(words).0),
            "{" => Item::Many(sequence(words).0.remove(0)),
            word => Item::Word(word),
        };
        alternatives.last_mut().expect("there is always one").push(item);
    }
    (alternatives, None)
}

/// Arguments of no sense, that replace a right one now and then. None is so large that Redis would run out of memory or time.
const JUNK: &[&str] = &[
    "",
    "x",
    "-1",
    "0",
    "1.5",
    "(1",
    "[a",
    "nan",
    "inf",
    " 1",
    "01",
    "-0",
    "limit",
    "withscores",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1e400",
];
/// One command in so many is spoilt.
const SPOILT: usize = 8;
/// One key in so many is another type's.
const STRAY: usize = 12;

/// Says random things.
#[derive(Debug)]
pub struct Speaker {
    /// Where randomness comes from.
    pub rng: Rng,
}

impl Speaker {
    /// A command from a template, now and then spoilt.
    pub fn command(&mut self, template: &[Item]) -> Vec<Vec<u8>> {
        let mut argv = Vec::new();
        self.expand(template, &mut argv);
        if argv.len() > 1 && self.rng.usize(..SPOILT) == 0 {
            let at = self.rng.usize(1..argv.len());
            match self.rng.u8(..4) {
                0 => _ = argv.pop(),
                1 => argv.push(self.pick(JUNK)),
                2 => argv[at] = self.pick(JUNK),
                _ => argv[at].make_ascii_uppercase(),
            }
        }
        argv
    }

    fn expand(&mut self, template: &[Item], argv: &mut Vec<Vec<u8>>) {
        for item in template {
            match item {
                Item::Word(word) if word.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                    argv.push(self.argument(word))
                }
                Item::Word(word) => argv.push(word.as_bytes().to_vec()),
                Item::Choice(alternatives) => self.one_of(alternatives, argv),
                Item::Optional(alternatives) => {
                    if self.rng.u8(..3) == 0 {
                        self.one_of(alternatives, argv);
                    }
                }
                Item::Many(item) => (0..self.rng.usize(1..=3)).for_each(|_| self.expand(item, argv)),
            }
        }
    }

    fn one_of(&mut self, alternatives: &[Vec<Item>], argv: &mut Vec<Vec<u8>>) {
        let chosen = self.rng.usize(..alternatives.len());
        self.expand(&alternatives[chosen], argv);
    }

    fn pick(&mut self, from: &[&str]) -> Vec<u8> {
        from[self.rng.usize(..from.len())].as_bytes().to_vec()
    }

    /// An argument of this kind.
    fn argument(&mut self, kind: &str) -> Vec<u8> {
        const TYPES: &[&str] = &["str", "list", "set", "hash", "zset"];
        let key = match kind {
            "STR" | "LIST" | "SET" | "HASH" | "ZSET" if self.rng.usize(..STRAY) > 0 => Some(kind.to_ascii_lowercase()),
            "STR" | "LIST" | "SET" | "HASH" | "ZSET" | "ANY" => {
                Some(String::from_utf8(self.pick(TYPES)).expect("these are names"))
            }
            // Members of equal score only, so that a range by member is defined: no other command writes there.
            "LEX" => Some("lex".into()),
            // Redis's SORT makes a skip list of a sorted set, and OBJECT ENCODING would tell: none whose encoding is asked for.
            "SORTABLE" => Some(["str", "list", "list", "set", "lex"][self.rng.usize(..5)].into()),
            "SEQUENCE" => Some(["str", "list", "list", "lex"][self.rng.usize(..4)].into()),
            _ => None,
        };
        if let Some(name) = key {
            return format!("{name}:{}", self.rng.u8(1..=3)).into_bytes();
        }
        match kind {
            "MEMBER" => self.pick(&["a", "b", "c", "d", "1", "2", "-3", "10", "007", "", "a\r\nb", LONG]),
            "VALUE" => {
                self.pick(&["a", "some text", "1", "-7", "10", "9223372036854775807", "1.5", "", "\u{0}\u{7f}é", LONG])
            }
            "INT" => self.pick(&["0", "1", "-1", "2", "5", "-5", "100"]),
            "COUNT" => self.pick(&["0", "1", "2", "3", "10"]),
            "INDEX" => self.rng.i8(-7..7).to_string().into_bytes(),
            // Their shortest text is also the one with 17 digits.
            "SCORE" => self.pick(&["0", "1", "2", "3", "-1", "1.5", "-0.25", "1e3", "inf", "-inf", "+2", "0x10"]),
            "FLOAT" => self.pick(&["1.5", "0.1", "-2", "1e3", "3.0e2", "-0.1", "1e-5"]),
            "BOUND" => self.pick(&["0", "1", "(1", "2", "3", "(3", "-inf", "+inf", "(-inf", "1.5", "1000"]),
            "LEXBOUND" => self.pick(&["-", "+", "[a", "(a", "[c", "(d", "[1", "["]),
            "PATTERN" => self.pick(&["*", "a*", "?", "[a-c]", "*:1", "[^1]*", "\\a"]),
            "BIT" => self.rng.u8(..2).to_string().into_bytes(),
            // Long enough not to end while the test runs.
            "SECONDS" => self.pick(&["1000", "86400", "100000"]),
            "MILLIS" => self.pick(&["1000000", "86400000"]),
            "INSTANT" => self.pick(&["4000000000", "4000086400"]),
            "INSTANTMS" => self.pick(&["4000000000000", "4000086400123"]),
            kind => panic!("no argument is called {kind}"),
        }
    }
}

/// Longer than a listpack's element may be.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";
