//! Counts whole replies in a stream of RESP bytes, however the stream is cut. It looks at as few bytes as it can: the payload of a bulk string is
//! skipped, not read. What a reply says is not kept, except how many were errors and how many were null at the top.

/// Where in the grammar the next byte stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// At a type's letter.
    Letter,
    /// In the line behind the letter; `number` is what its digits say so far.
    Line { letter: u8, number: u64, negative: bool },
    /// In a payload, its final CRLF included.
    Payload { left: u64 },
}

/// The state of one connection's replies.
#[derive(Debug)]
pub struct Replies {
    at: At,
    /// How many elements each open aggregate still waits for, outermost first.
    open: Vec<u64>,
    /// Replies that are complete.
    pub whole: u64,
    /// Errors among them, or within them.
    pub errors: u64,
    /// Nulls among them.
    pub nulls: u64,
    /// The first error's text, as far as it stood in one piece.
    pub complaint: Option<String>,
}

impl Default for Replies {
    fn default() -> Self {
        Self { at: At::Letter, open: Vec::new(), whole: 0, errors: 0, nulls: 0, complaint: None }
    }
}

impl Replies {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.at {
                At::Letter => {
                    self.at = At::Line { letter: bytes[0], number: 0, negative: false };
                    if bytes[0] == b'-' && self.complaint.is_none() {
                        let text = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
                        self.complaint = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    bytes = &bytes[1..];
                }
                At::Line { letter, number, negative } => bytes = self.line(letter, number, negative, bytes),
                At::Payload { left } => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = &bytes[skipped as usize..];
                    if left > skipped {
                        self.at = At::Payload { left: left - skipped };
                    } else {
                        self.ended();
                    }
                }
            }
        }
    }

    /// Reads a line, or as much of it as there is; answers with what stands behind it.
    fn line<'a>(&mut self, letter: u8, mut number: u64, mut negative: bool, bytes: &'a [u8]) -> &'a [u8] {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
                b'-' => negative = true,
                b'\n' => {
                    self.line_ended(letter, number, negative);
                    return &bytes[index + 1..];
                }
                _ => {}
            }
        }
        self.at = At::Line { letter, number, negative };
        &[]
    }

    fn line_ended(&mut self, letter: u8, number: u64, negative: bool) {
        match letter {
            b'$' | b'=' | b'!' if !negative => self.at = At::Payload { left: number + 2 },
            b'*' | b'~' | b'>' if !negative && number > 0 => self.opened(number),
            b'%' if number > 0 => self.opened(2 * number),
            letter => {
                let null = letter == b'_' || (negative && matches!(letter, b'$' | b'*'));
                self.nulls += u64::from(null && self.open.is_empty());
                self.errors += u64::from(letter == b'-');
                self.ended();
            }
        }
    }

    fn opened(&mut self, elements: u64) {
        self.open.push(elements);
        self.at = At::Letter;
    }

    /// An element ended, and with it every aggregate whose last one it was.
    fn ended(&mut self) {
        self.at = At::Letter;
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
        self.whole += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole replies, errors and nulls of a stream, the same wherever it is cut.
    #[track_caller]
    fn check(stream: &str, expected: (u64, u64, u64)) {
        for size in 1..=stream.len() {
            let mut replies = Replies::default();
            stream.as_bytes().chunks(size).for_each(|piece| replies.feed(piece));
            assert_eq!((replies.whole, replies.errors, replies.nulls), expected, "in pieces of {size}: {stream:?}");
        }
    }

    #[test]
    fn replies_are_counted_wherever_they_are_cut() {
        check("+OK\r\n:12\r\n:-1\r\n$3\r\nfoo\r\n$0\r\n\r\n", (5, 0, 0));
        check("$-1\r\n*-1\r\n_\r\n$1\r\n_\r\n", (4, 0, 3));
        check("*0\r\n*2\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n$-1\r\n+after\r\n", (3, 0, 0));
        check("-ERR no 5\r\n*1\r\n-inner\r\n", (2, 2, 0));
        check("%1\r\n+a\r\n,1.5\r\n~1\r\n#t\r\n=7\r\ntxt:a\r\n\r\n>1\r\n+p\r\n", (4, 0, 0));
        check("$12\r\n*9\r\n$1\r\n-e\r\n\r\n+half", (1, 0, 0));
    }

    #[test]
    fn the_first_complaint_is_kept() {
        let mut replies = Replies::default();
        replies.feed(b"-ERR first\r\n-ERR second\r\n");
        assert_eq!(replies.complaint.as_deref(), Some("-ERR first"));
    }
}
