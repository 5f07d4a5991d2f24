//! Redis's glob patterns, as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL read them.
//!
//! `*` any bytes · `?` one byte · `[a-z0]` one of these · `[^a]` none of these · `\x` exactly x. A class needs no end; a range may be
//! written either way round; `\` takes the meaning from what follows, in a class too. An empty text matches only an empty pattern.
//!
//! Each token but `*` takes exactly one byte, so it is enough to go back to the latest `*`: the work is at most the product of the two
//! lengths, however many stars a pattern has.

/// Whether letters' case matters (ASCII only).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `a` matches only `a`.
    Sensitive,
    /// `a` matches `A`.
    Insensitive,
}

/// Does `pattern` match the whole of `text`?
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut here) = (0, 0);
    // Where to go on after the latest star, and how much text it has taken.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            star = Some((at, here));
            continue;
        }
        let Some(&byte) = text.get(here) else {
            // All text is taken: what is left of the pattern may only be stars, and those were passed above.
            return at == pattern.len();
        };
        let next = if at < pattern.len() { token(&pattern[at..], byte, case) } else { None };
        match (next, star) {
            (Some(taken), _) => (at, here) = (at + taken, here + 1),
            (None, None) => return false,
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                (at, here) = (after, taken + 1);
                if here == text.len() {
                    return false;
                }
            }
        }
    }
}

/// If the token at the start of `pattern`, which is not `*`, matches `byte`: the token's length.
fn token(pattern: &[u8], byte: u8, case: Case) -> Option<usize> {
    let (matched, taken) = match pattern {
        [b'?', ..] => (true, 1),
        [b'[', class @ ..] => {
            let (matched, taken) = in_class(class, byte, case);
            (matched, 1 + taken)
        }
        [b'\\', escaped, ..] => (fold(*escaped, case) == fold(byte, case), 2),
        [literal, ..] => (fold(*literal, case) == fold(byte, case), 1),
        [] => (false, 0),
    };
    matched.then_some(taken)
}

/// Is `byte` in the class whose text begins here, and how long is that text with its `]`?
fn in_class(class: &[u8], byte: u8, case: Case) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let (mut at, mut found) = (usize::from(negated), false);
    loop {
        let length = match &class[at..] {
            // Redis compares an escaped byte with its case, here alone.
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                2
            }
            [b']', ..] => return (found != negated, at + 1),
            [] => return (found != negated, at),
            [start, b'-', end, ..] => {
                let (low, high) = (fold(*start.min(end), case), fold(*start.max(end), case));
                found |= (low..=high).contains(&fold(byte, case));
                3
            }
            [member, ..] => {
                found |= fold(*member, case) == fold(byte, case);
                1
            }
        };
        at += length;
    }
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Insensitive => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive), "{pattern:?} must match {text:?}");
        }
        for text in no {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive),
                "{pattern:?} must not match {text:?}"
            );
        }
    }

    #[test]
    fn tokens() {
        check("", &[""], &["a"]);
        check("*", &["a", "abc"], &[""]); // Redis: an empty text matches only an empty pattern
        check("a*", &["a", "ab"], &["", "ba"]);
        check("a**", &["a", "ab"], &["ba"]);
        check("*a*b*", &["ab", "xaxbx"], &["ba", "a"]);
        check("h?llo", &["hello", "h?llo"], &["hllo", "heello"]);
        check("h\\?llo", &["h?llo"], &["hello"]);
        check("a\\", &["a\\"], &["a"]);
        check("*\\*", &["a*", "*"], &["a"]);
    }

    #[test]
    fn classes() {
        check("[abc]", &["a", "c"], &["d", "", "ab"]);
        check("[^abc]x", &["dx"], &["ax", "x"]);
        check("[a-c]", &["b"], &["d", "-"]);
        check("[c-a]", &["b"], &["d"]);
        check("[a\\-c]", &["a", "-", "c"], &["b"]);
        check("[\\]]", &["]"], &["\\"]);
        check("[]a]", &[], &["]", "a", "]a]"]); // an empty class matches nothing
        check("[^]a", &["xa"], &["a"]);
        check("[abc", &["a", "c"], &["d"]);
        check("[", &[], &["[", ""]);
        check("[^", &["a"], &[]);
        check("[a-", &["a", "-"], &["b"]);
        check("[a-]", &["a", "]", "^"], &["-", "b"]); // a range up to `]`, and then no end
    }

    #[test]
    fn case_can_be_ignored() {
        let yes = |pattern: &str, text: &str| matches(pattern.as_bytes(), text.as_bytes(), Case::Insensitive);
        assert!(yes("MaxMemory*", "maxmemory-policy"));
        assert!(yes("[A-C]\\X", "bx"));
        assert!(!yes("[\\A]", "a"));
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = b"a*".repeat(1000);
        let text = [b"a".repeat(20_000), b"b".to_vec()].concat();
        assert!(matches(&pattern, &text, Case::Sensitive));
        let pattern = [&pattern[..], b"c"].concat();
        assert!(!matches(&pattern, &text, Case::Sensitive));
    }

    /// The obvious matcher: tokens first, each a set of bytes, then every way a star can be taken.
    enum Token {
        Star,
        One(Vec<u8>),
    }

    fn tokens_of(mut pattern: &[u8]) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some((&first, mut rest)) = pattern.split_first() {
            let one = |test: &dyn Fn(u8) -> bool| Token::One((0..=255).filter(|&byte| test(byte)).collect());
            tokens.push(match first {
                b'*' => Token::Star,
                b'?' => one(&|_| true),
                b'\\' if !rest.is_empty() => {
                    let escaped = rest[0];
                    rest = &rest[1..];
                    one(&|byte| byte == escaped)
                }
                b'[' => {
                    let negated = rest.starts_with(b"^");
                    rest = &rest[usize::from(negated)..];
                    let mut members = Vec::new();
                    while !rest.is_empty() && rest[0] != b']' {
                        if rest[0] == b'\\' && rest.len() >= 2 {
                            members.push(rest[1]);
                            rest = &rest[2..];
                        } else if rest.len() >= 3 && rest[1] == b'-' {
                            members.extend(rest[0].min(rest[2])..=rest[0].max(rest[2]));
                            rest = &rest[3..];
                        } else {
                            members.push(rest[0]);
                            rest = &rest[1..];
                        }
                    }
                    rest = rest.strip_prefix(b"]").unwrap_or(rest);
                    one(&|byte| members.contains(&byte) != negated)
                }
                literal => one(&|byte| byte == literal),
            });
            pattern = rest;
        }
        tokens
    }

    fn slow(tokens: &[Token], text: &[u8]) -> bool {
        match (tokens, text) {
            ([], []) => true,
            ([Token::Star, tokens @ ..], _) => (0..=text.len()).any(|taken| slow(tokens, &text[taken..])),
            ([Token::One(set), tokens @ ..], [byte, text @ ..]) => set.contains(byte) && slow(tokens, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_matcher(pattern in "[ab*?^\\]\\[\\\\-]{0,9}", text in "[ab\\-\\]\\\\]{1,8}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive),
                slow(&tokens_of(pattern.as_bytes()), text.as_bytes())
            );
        }
    }
}
