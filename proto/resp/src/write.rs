//! Replies as a server writes them, in the protocol that the session speaks: each method falls back to RESP2's nearest shape.

use crate::number::{DIGITS, double_text, int_text, push_int};

/// Which version of the protocol a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// The protocol every connection starts with.
    #[default]
    Resp2,
    /// Asked for with `HELLO 3`.
    Resp3,
}

/// Where a header will be written once the number of its elements is known.
#[derive(Debug)]
#[must_use = "a deferred header must be finished, or the reply has no header"]
pub struct Deferred {
    at: usize,
}

/// Appends replies to an output buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// Writes to the end of `buffer`.
    pub fn new(buffer: &'a mut Vec<u8>, protocol: Protocol) -> Writer<'a> {
        Writer { buffer, protocol }
    }

    /// Which protocol is written.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol of what follows: `HELLO` answers in the one that it asks for.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The buffer itself, for whoever writes into it in turn.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer
    }

    /// How many bytes the buffer holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the buffer holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes back everything behind `len`: an error replaces what a command had begun to say.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
    }

    /// Bytes that are already encoded.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// `+text`; a line end inside would break the stream and is a programmer's error.
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.line(b'+', text.as_bytes());
    }

    /// `-text`, `text` beginning with its code (`ERR …`). Line ends become spaces.
    pub fn error(&mut self, text: &str) {
        self.buffer.push(b'-');
        self.buffer.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// `:value`.
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// `$len` and the bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.buffer.reserve(bytes.len() + 16);
        self.header(b'$', bytes.len() as i64);
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A bulk string without its `len` bytes: they belong at the returned place of the buffer, and their sender puts them there.
    pub fn bulk_around(&mut self, len: usize) -> usize {
        self.header(b'$', len as i64);
        let place = self.buffer.len();
        self.buffer.extend_from_slice(b"\r\n");
        place
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(int_text(value, &mut [0; DIGITS]));
    }

    /// No value: `_`, or `$-1` in RESP2.
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"$-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// No array: `_`, or `*-1` in RESP2.
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"*-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The header of `len` elements.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// The header of `pairs` pairs: in RESP2 an array of twice as many elements.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * pairs as i64),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// The header of a set of `len` elements: in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len as i64),
            Protocol::Resp3 => self.header(b'~', len as i64),
        }
    }

    /// The header of an out-of-band message of `len` elements: in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len as i64),
            Protocol::Resp3 => self.header(b'>', len as i64),
        }
    }

    /// The header of `pairs` attributes of the reply that follows. RESP2 has no such thing: writing one there is a programmer's error.
    pub fn attribute(&mut self, pairs: usize) {
        assert_eq!(self.protocol, Protocol::Resp3, "RESP2 has no attributes");
        self.header(b'|', pairs as i64);
    }

    /// A floating point number: in RESP2 its text as a bulk string.
    pub fn double(&mut self, value: f64) {
        let text = double_text(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A boolean: in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.int(i64::from(value)),
            Protocol::Resp3 => self.raw(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// An integer of any size, given as its digits: in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Text for people, with a three-letter `format` (`txt`, `mkd`): in RESP2 a bulk string.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        assert_eq!(format.len(), 3, "a verbatim string's format has three letters");
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.raw(format.as_bytes());
                self.raw(b":");
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }

    /// Marks the place of an array header whose length is not known yet. Finish it with `finish_array` (or map, set, push).
    pub fn defer(&mut self) -> Deferred {
        Deferred { at: self.buffer.len() }
    }

    /// Writes the header of a deferred array. Moves what was written since: O(its bytes).
    pub fn finish_array(&mut self, place: Deferred, len: usize) {
        self.finish(place, b'*', len);
    }

    /// Writes the header of a deferred map of `pairs` pairs.
    pub fn finish_map(&mut self, place: Deferred, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.finish(place, b'*', 2 * pairs),
            Protocol::Resp3 => self.finish(place, b'%', pairs),
        }
    }

    /// Writes the header of a deferred set.
    pub fn finish_set(&mut self, place: Deferred, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.finish(place, b'*', len),
            Protocol::Resp3 => self.finish(place, b'~', len),
        }
    }

    fn finish(&mut self, place: Deferred, kind: u8, len: usize) {
        let mut header = Vec::with_capacity(16);
        header.push(kind);
        push_int(&mut header, len as i64);
        header.extend_from_slice(b"\r\n");
        self.buffer.splice(place.at..place.at, header);
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        if (0..10).contains(&value) {
            self.buffer.extend_from_slice(&[kind, b'0' + value as u8, b'\r', b'\n']);
        } else if (10..100).contains(&value) {
            let (tens, ones) = ((value / 10) as u8, (value % 10) as u8);
            self.buffer.extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
        } else {
            self.buffer.push(kind);
            push_int(self.buffer, value);
            self.buffer.extend_from_slice(b"\r\n");
        }
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.push(kind);
        self.buffer.extend_from_slice(text);
        self.buffer.extend_from_slice(b"\r\n");
    }
}

/// Appends a command as a client, an AOF and the replication stream write it: an array of bulk strings.
pub fn encode_command(out: &mut Vec<u8>, argv: &[&[u8]]) {
    let mut writer = Writer::new(out, Protocol::Resp2);
    writer.array(argv.len());
    for argument in argv {
        writer.bulk(argument);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Writer<'_>), resp2: &str, resp3: &str) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = Vec::new();
            write(&mut Writer::new(&mut out, protocol));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn every_shape_in_both_protocols() {
        check(|w| w.simple("OK"), "+OK\r\n", "+OK\r\n");
        check(|w| w.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
        check(|w| w.int(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n");
        check(|w| w.bulk(b"abc"), "$3\r\nabc\r\n", "$3\r\nabc\r\n");
        check(|w| w.bulk_int(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n");
        check(|w| w.null(), "$-1\r\n", "_\r\n");
        check(|w| w.null_array(), "*-1\r\n", "_\r\n");
        check(|w| w.map(2), "*4\r\n", "%2\r\n");
        check(|w| w.set(2), "*2\r\n", "~2\r\n");
        check(|w| w.push(3), "*3\r\n", ">3\r\n");
        check(|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(|w| w.boolean(true), ":1\r\n", "#t\r\n");
        check(|w| w.big_number("12"), "$2\r\n12\r\n", "(12\r\n");
        check(|w| w.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn a_deferred_header_goes_where_it_was_deferred() {
        let write = |w: &mut Writer<'_>| {
            w.int(7);
            let place = w.defer();
            w.bulk(b"a");
            w.bulk(b"b");
            w.finish_map(place, 1);
        };
        check(write, ":7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", ":7\r\n%1\r\n$1\r\na\r\n$1\r\nb\r\n");
    }

    #[test]
    fn a_bulk_string_can_be_put_in_later() {
        let mut out = Vec::new();
        let place = Writer::new(&mut out, Protocol::Resp2).bulk_around(3);
        out.splice(place..place, *b"abc");
        assert_eq!(out, b"$3\r\nabc\r\n");
    }

    #[test]
    fn commands_are_arrays_of_bulks() {
        let mut out = Vec::new();
        encode_command(&mut out, &[b"GET", b"a"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
    }
}
