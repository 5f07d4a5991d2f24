//! Words of a line as redis.conf quotes them, both ways.

/// Splits a line into words. `"…"` knows `\n \r \t \b \a \xHH` and `\` before any character; `'…'` knows `\'` only. A closing
/// quote must end its word. `None` when quotes do not balance. Source: Redis, redis.conf's header and `CONFIG SET`.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut chars = line.chars().peekable();
    let mut words = Vec::new();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == '\0').is_some() {}
        if chars.peek().is_none() {
            return Some(words);
        }
        let mut word = Vec::new();
        loop {
            match chars.next() {
                None => break,
                Some(c) if c.is_whitespace() || c == '\0' => break,
                Some('"') => {
                    double_quoted(&mut chars, &mut word)?;
                    break;
                }
                Some('\'') => {
                    single_quoted(&mut chars, &mut word)?;
                    break;
                }
                Some(c) => push(&mut word, c),
            }
        }
        words.push(String::from_utf8(word).ok()?);
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn push(word: &mut Vec<u8>, c: char) {
    word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The rest of a `"…"` word; `None` when it does not close or something follows the closing quote.
fn double_quoted(chars: &mut Chars<'_>, word: &mut Vec<u8>) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return ended(chars),
            '\\' => match chars.next()? {
                'n' => word.push(b'\n'),
                'r' => word.push(b'\r'),
                't' => word.push(b'\t'),
                'b' => word.push(8),
                'a' => word.push(7),
                'x' => hex(chars, word),
                other => push(word, other),
            },
            c => push(word, c),
        }
    }
}

/// `\xHH`; an `x` without two hexadecimal digits stands for itself.
fn hex(chars: &mut Chars<'_>, word: &mut Vec<u8>) {
    let mut ahead = chars.clone();
    let digits = (ahead.next().and_then(|c| c.to_digit(16)), ahead.next().and_then(|c| c.to_digit(16)));
    let (Some(high), Some(low)) = digits else {
        word.push(b'x');
        return;
    };
    word.push((high * 16 + low) as u8);
    *chars = ahead;
}

fn single_quoted(chars: &mut Chars<'_>, word: &mut Vec<u8>) -> Option<()> {
    loop {
        match chars.next()? {
            '\'' => return ended(chars),
            '\\' if chars.peek() == Some(&'\'') => {
                chars.next();
                word.push(b'\'');
            }
            c => push(word, c),
        }
    }
}

fn ended(chars: &mut Chars<'_>) -> Option<()> {
    match chars.peek() {
        None => Some(()),
        Some(c) if c.is_whitespace() => Some(()),
        Some(_) => None,
    }
}

/// A word as a file must hold it: bare where that is safe, quoted and escaped otherwise; the empty word is `""`.
pub fn quote(word: &str) -> String {
    let bare = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '#');
    if !word.is_empty() && word.chars().all(bare) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() && (c as u32) < 0x80 => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, words: &[&str]) {
        assert_eq!(split(line).as_deref(), Some(words.iter().map(|w| w.to_string()).collect::<Vec<_>>().as_slice()));
    }

    #[test]
    fn words_and_quotes() {
        check("  port   7000 ", &["port", "7000"]);
        check("save ''", &["save", ""]);
        check("save \"\"", &["save", ""]);
        check(r#"x "a b\tc\x41\"" 'it\'s' "#, &["x", "a b\tcA\"", "it's"]);
        check(r#"x "\xZZ""#, &["x", "xZZ"]);
        check("pass a\"b c\"", &["pass", "ab c"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in ["a \"b", "a 'b", "a \"b\"c", "a 'b'c", "\"\\"] {
            assert_eq!(split(line), None, "{line}");
        }
    }

    #[test]
    fn a_quoted_word_reads_back() {
        for word in
            ["", "plain", "with space", "quo\"te", "back\\slash", "new\nline\r\t", "\u{1}", "#hash", "it's", "é"]
        {
            assert_eq!(split(&quote(word)), Some(vec![word.to_owned()]), "{word:?}");
        }
    }
}
