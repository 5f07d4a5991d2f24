//! `numkeys key [key ...]`, and what LMPOP, ZMPOP and their blocking forms say with it.

use quorate_resp::parse_int;

use crate::Refusal;

/// What LMPOP, ZMPOP and their blocking forms want. `E` tells the ends apart.
pub(crate) struct Pop<'a, E> {
    /// In which of these, the first that exists.
    pub keys: &'a [&'a [u8]],
    /// From which end.
    pub end: E,
    /// At most so many elements.
    pub count: usize,
}

impl<'a, E> Pop<'a, E> {
    /// Reads `numkeys key [key ...] <end> [COUNT count]`.
    pub fn parse(words: &'a [&'a [u8]], end_of: impl Fn(&[u8]) -> Result<E, Refusal>) -> Result<Self, Refusal> {
        let keys = positive(words[0], "ERR numkeys should be greater than 0")?;
        let (keys, rest) = words[1..].split_at_checked(keys).ok_or(Refusal::Syntax)?;
        let [end, options @ ..] = rest else { return Err(Refusal::Syntax) };
        let end = end_of(end)?;
        let count = match options {
            [] => 1,
            [word, count, rest @ ..] if word.eq_ignore_ascii_case(b"count") => {
                let count = positive(count, "ERR count should be greater than 0")?;
                if !rest.is_empty() {
                    return Err(Refusal::Syntax);
                }
                count
            }
            _ => return Err(Refusal::Syntax),
        };
        Ok(Pop { keys, end, count })
    }
}

/// A number above zero, or this refusal.
pub(crate) fn positive(text: &[u8], refusal: &'static str) -> Result<usize, Refusal> {
    let number = parse_int(text).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(Refusal::fixed(refusal))
}
