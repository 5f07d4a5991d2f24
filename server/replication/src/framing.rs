//! The two framings of a full resync's payload: `$<length>` and `$EOF:<mark>`.
//!
//! With a mark the length is not known beforehand: the payload ends at 40 random bytes that the header announced. A mark
//! can arrive in pieces, so bytes that may be its beginning are withheld until the next ones decide; they are found by
//! Knuth–Morris–Pratt over the 40 bytes. What follows the mark in the same piece belongs to the stream.

use std::borrow::Cow;

/// Bytes of a mark. Source: Redis, diskless replication.
pub const MARK_BYTES: usize = 40;

/// A payload that is being received.
#[derive(Debug)]
pub enum Framing {
    /// So many bytes are still to come.
    Length {
        /// Bytes left.
        left: u64,
    },
    /// It ends at a mark.
    Mark(Box<Matcher>),
}

/// Is there more to come?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything given was taken.
    More,
    /// The payload ended after this many of the given bytes.
    Ended(usize),
}

impl Framing {
    /// Reads the header line: `$<length>` or `$EOF:<mark>`, without its end of line.
    pub fn parse(line: &[u8]) -> Option<Framing> {
        let rest = line.strip_prefix(b"$")?;
        if let Some(mark) = rest.strip_prefix(b"EOF:") {
            let mark: [u8; MARK_BYTES] = mark.try_into().ok()?;
            return Some(Framing::Mark(Box::new(Matcher::new(mark))));
        }
        let digits = std::str::from_utf8(rest).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
        Some(Framing::Length { left: digits.parse().ok()? })
    }

    /// The length, where the header told it.
    pub fn length(&self) -> Option<u64> {
        match self {
            Framing::Length { left } => Some(*left),
            Framing::Mark(_) => None,
        }
    }

    /// Takes a piece of what arrived and hands on what surely is payload.
    pub fn feed<'a>(&mut self, input: &'a [u8], payload: &mut dyn FnMut(Cow<'a, [u8]>)) -> Progress {
        match self {
            Framing::Length { left } => {
                let mine = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                if mine > 0 {
                    payload(Cow::Borrowed(&input[..mine]));
                }
                *left -= mine as u64;
                if *left == 0 { Progress::Ended(mine) } else { Progress::More }
            }
            Framing::Mark(matcher) => matcher.feed(input, payload),
        }
    }
}

/// Finds the mark. `matched` bytes of it have been seen and are withheld.
#[derive(Debug)]
pub struct Matcher {
    mark: [u8; MARK_BYTES],
    /// For each length of a partial match: the longest shorter one that is still a match.
    fallback: [u8; MARK_BYTES],
    matched: usize,
}

impl Matcher {
    fn new(mark: [u8; MARK_BYTES]) -> Matcher {
        let mut fallback = [0; MARK_BYTES];
        let mut length = 0;
        for i in 1..MARK_BYTES {
            while length > 0 && mark[i] != mark[length] {
                length = usize::from(fallback[length - 1]);
            }
            if mark[i] == mark[length] {
                length += 1;
            }
            fallback[i] = length as u8;
        }
        Matcher { mark, fallback, matched: 0 }
    }

    fn feed<'a>(&mut self, input: &'a [u8], payload: &mut dyn FnMut(Cow<'a, [u8]>)) -> Progress {
        // How many of the withheld bytes came with earlier pieces: they are copies of the mark's beginning.
        let mut carried = self.matched;
        let mut at = 0;
        while at < input.len() {
            if self.matched == 0 {
                match input[at..].iter().position(|byte| *byte == self.mark[0]) {
                    Some(skip) => at += skip,
                    None => break,
                }
            }
            while self.matched > 0 && input[at] != self.mark[self.matched] {
                let shorter = usize::from(self.fallback[self.matched - 1]);
                let released = carried.min(self.matched - shorter);
                if released > 0 {
                    payload(Cow::Owned(self.mark[..released].to_vec()));
                    carried -= released;
                }
                self.matched = shorter;
            }
            if input[at] == self.mark[self.matched] {
                self.matched += 1;
            }
            at += 1;
            if self.matched == MARK_BYTES {
                let sure = at - (MARK_BYTES - carried);
                if sure > 0 {
                    payload(Cow::Borrowed(&input[..sure]));
                }
                return Progress::Ended(at);
            }
        }
        let sure = input.len() - (self.matched - carried);
        if sure > 0 {
            payload(Cow::Borrowed(&input[..sure]));
        }
        Progress::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `payload` + the mark + `after` in pieces of each size and checks that it comes out again.
    fn check(mark: &str, payload: &[u8], after: &[u8]) {
        let wire = [payload, mark.as_bytes(), after].concat();
        for size in 1..=wire.len() {
            let mut framing = Framing::parse(format!("$EOF:{mark}").as_bytes()).expect("a header");
            let mut out = Vec::new();
            let mut used = 0;
            for piece in wire.chunks(size) {
                match framing.feed(piece, &mut |bytes| out.extend_from_slice(&bytes)) {
                    Progress::More => used += piece.len(),
                    Progress::Ended(of_piece) => {
                        used += of_piece;
                        break;
                    }
                }
            }
            assert_eq!(out, payload, "pieces of {size}");
            assert_eq!(used, payload.len() + MARK_BYTES, "pieces of {size}");
        }
    }

    #[test]
    fn the_mark_is_found_wherever_it_is_cut() {
        let mark = "0123456789abcdef0123456789abcdef01234567";
        check(mark, b"", b"");
        check(mark, b"REDIS0010 some payload", b"*1\r\n$4\r\nPING\r\n");
        // Beginnings of the mark inside the payload, right before it and overlapping with it.
        check(mark, b"0123", b"x");
        check(mark, b"xx0123456789abcdef0123456789abcdef0123456", b"x");
        check(mark, b"0123456789abcdef0123456789abcdef0123456x", b"");
        check(&"a".repeat(40), b"baab", b"b");
        check("aabaabaabaabaabaabaabaabaabaabaabaabaabb", b"aabaabaab", b"aab");
    }

    #[test]
    fn a_length_counts() {
        let mut framing = Framing::parse(b"$5").expect("a header");
        assert_eq!(framing.length(), Some(5));
        let mut out = Vec::new();
        assert_eq!(framing.feed(b"abc", &mut |bytes| out.extend_from_slice(&bytes)), Progress::More);
        assert_eq!(framing.feed(b"defg", &mut |bytes| out.extend_from_slice(&bytes)), Progress::Ended(2));
        assert_eq!(out, b"abcde");
    }

    #[test]
    fn bad_headers_are_refused() {
        for bad in [&b""[..], b"$", b"5", b"$-1", b"$+5", b"$5x", b"$EOF:", b"$EOF:short", b"$99999999999999999999999"]
        {
            assert!(Framing::parse(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
