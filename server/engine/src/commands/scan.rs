//! What SCAN, SSCAN, HSCAN and ZSCAN share: cursor, MATCH and COUNT.

use quorate_collections::glob::{Case, matches};
use quorate_resp::parse_int;

use crate::{Call, Refusal};

/// The arguments of a scan.
pub(crate) struct Scan<'a> {
    /// Where to go on; 0 at the beginning.
    pub cursor: u64,
    /// About how many elements one call visits.
    pub count: usize,
    pattern: Option<&'a [u8]>,
    /// TYPE, of SCAN alone.
    pub kind: Option<&'a [u8]>,
}

/// Is it the keyspace that is scanned, or a collection?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanned {
    Keys,
    Elements,
}

impl<'a> Scan<'a> {
    /// Reads `cursor [MATCH pattern] [COUNT count]`, and `[TYPE type]` where keys are scanned.
    pub fn parse(cursor: &[u8], options: &[&'a [u8]], what: Scanned) -> Result<Scan<'a>, Refusal> {
        let cursor = parse_cursor(cursor).ok_or(Refusal::fixed("ERR invalid cursor"))?;
        let mut scan = Scan { cursor, count: 10, pattern: None, kind: None };
        let (pairs, rest) = options.as_chunks::<2>();
        for [option, value] in pairs {
            let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
            if is("count") {
                let count = parse_int(value).ok_or(Refusal::NotInteger)?;
                scan.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Refusal::Syntax)?;
            } else if is("match") {
                scan.pattern = (*value != b"*").then_some(*value);
            } else if is("type") && what == Scanned::Keys {
                scan.kind = Some(value);
            } else {
                return Err(Refusal::Syntax);
            }
        }
        if rest.is_empty() { Ok(scan) } else { Err(Refusal::Syntax) }
    }

    /// Does MATCH let this name pass?
    pub fn lets(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, name, Case::Sensitive))
    }

    /// Steps until `count` elements were visited or the end is reached: `step` takes a cursor and returns the next one with how
    /// many elements it has visited. A sparse table ends the call after ten times as many steps. Source: Redis's SCAN.
    pub fn run(&self, mut step: impl FnMut(u64) -> (u64, usize)) -> u64 {
        let mut cursor = self.cursor;
        let mut visited = 0;
        for _ in 0..self.count.saturating_mul(10) {
            let (next, seen) = step(cursor);
            (cursor, visited) = (next, visited + seen);
            if cursor == 0 || visited >= self.count {
                break;
            }
        }
        cursor
    }
}

/// A cursor as C's strtoul reads it: nothing is 0, and a negative number is counted down from the highest.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}

/// `[cursor [element …]]`
pub(crate) fn write_page(call: &mut Call<'_>, cursor: u64, elements: &[Vec<u8>]) {
    let out = &mut call.out;
    out.array(2);
    out.bulk(cursor.to_string().as_bytes());
    out.array(elements.len());
    elements.iter().for_each(|element| out.bulk(element));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        for (text, cursor) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", Some(u64::MAX)),
            ("+7", Some(7)),
            ("", Some(0)),
            ("+", None),
            ("--1", None),
            (" 1", None),
            ("1 ", None),
            ("x", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), cursor, "{text:?}");
        }
    }
}
