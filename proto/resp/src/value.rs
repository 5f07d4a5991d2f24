//! Replies as a client reads them: for our own links to other servers, and for tests.

use std::fmt;

use crate::number::{double_text, parse_int};

/// Deepest nesting that is decoded; a reply of any real command nests less than ten deep.
const MAX_DEPTH: usize = 64;
/// Longest line in front of an aggregate or a bulk, and longest simple string or error.
const MAX_LINE: usize = 64 * 1024;
/// Longest bulk that is accepted: proto-max-bulk-len's default.
const MAX_BULK: i64 = 512 << 20;

/// One reply, of either protocol. `Display` is its short form, as tests write it: see `fmt`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text` or `!len`
    Error(String),
    /// `:value`
    Int(i64),
    /// `$len`
    Bulk(Vec<u8>),
    /// RESP2's `$-1`
    NullBulk,
    /// RESP2's `*-1`
    NullArray,
    /// RESP3's `_`
    Null,
    /// `*len`
    Array(Vec<Value>),
    /// `%pairs`
    Map(Vec<(Value, Value)>),
    /// `~len`
    Set(Vec<Value>),
    /// `>len`
    Push(Vec<Value>),
    /// `,value`
    Double(f64),
    /// `#t`, `#f`
    Bool(bool),
    /// `(digits`
    BigNumber(String),
    /// `=len`: format and text
    Verbatim(String, Vec<u8>),
    /// `|pairs` in front of a reply
    Attribute(Vec<(Value, Value)>, Box<Value>),
}

/// The peer's bytes are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A first byte that no kind of reply has.
    #[error("a reply cannot begin with byte {0:#04x}")]
    Kind(u8),
    /// A length or number that is none.
    #[error("a reply holds a malformed number")]
    Number,
    /// Longer or deeper than any reply may be.
    #[error("a reply is longer or deeper than any reply may be")]
    TooBig,
    /// Not text where text should be.
    #[error("a reply holds a line that is not UTF-8")]
    Text,
}

impl Value {
    /// Reads one reply from the front of `bytes`: the value and how many bytes it took; `None` while it has not arrived whole.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Value, usize)>, DecodeError> {
        let mut decoder = Decoder { bytes, at: 0 };
        Ok(decoder.value(0)?.map(|value| (value, decoder.at)))
    }

    /// The bytes of a bulk, simple or verbatim string.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bulk(bytes) | Value::Verbatim(_, bytes) => Some(bytes),
            Value::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    #[must_use]
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// An integer, or a string that spells one.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            other => parse_int(other.bytes()?),
        }
    }
}

/// `+OK`, `-ERR text`, `:1`, `$bulk` (bytes that do not print as `\x00`), `nil` and `nil-array` (RESP2), `_` (RESP3), `[$a :1]`, `{$a=$b}`,
/// `~[…]` set, `>[…]` push, `,1.5`, `#t`, `(12`, `=txt:text`, `|{…}` attributes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(text) => write!(f, "+{text}"),
            Value::Error(text) => write!(f, "-{text}"),
            Value::Int(value) => write!(f, ":{value}"),
            Value::Bulk(bytes) => write!(f, "${}", Bytes(bytes)),
            Value::NullBulk => f.write_str("nil"),
            Value::NullArray => f.write_str("nil-array"),
            Value::Null => f.write_str("_"),
            Value::Array(elements) => list(f, "[", elements),
            Value::Set(elements) => list(f, "~[", elements),
            Value::Push(elements) => list(f, ">[", elements),
            Value::Map(pairs) => map(f, "{", pairs),
            Value::Double(value) => write!(f, ",{}", double_text(*value)),
            Value::Bool(value) => f.write_str(if *value { "#t" } else { "#f" }),
            Value::BigNumber(digits) => write!(f, "({digits}"),
            Value::Verbatim(format, text) => write!(f, "={format}:{}", Bytes(text)),
            Value::Attribute(pairs, value) => {
                map(f, "|{", pairs)?;
                write!(f, " {value}")
            }
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, elements: &[Value]) -> fmt::Result {
    f.write_str(open)?;
    for (index, element) in elements.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(f, "{space}{element}")?;
    }
    f.write_str("]")
}

fn map(f: &mut fmt::Formatter<'_>, open: &str, pairs: &[(Value, Value)]) -> fmt::Result {
    f.write_str(open)?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(f, "{space}{key}={value}")?;
    }
    f.write_str("}")
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooBig);
        }
        let Some(&kind) = self.bytes.get(self.at) else {
            return Ok(None);
        };
        if !b"+-:$*_%~>,#(=!|".contains(&kind) {
            return Err(DecodeError::Kind(kind));
        }
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let value = match kind {
            b'+' => Value::Simple(text(line)?),
            b'-' => Value::Error(text(line)?),
            b':' => Value::Int(number(line)?),
            b'_' => Value::Null,
            b',' => Value::Double(text(line)?.parse().map_err(|_| DecodeError::Number)?),
            b'#' => Value::Bool(line == b"t"),
            b'(' => Value::BigNumber(text(line)?),
            b'$' if line == b"-1" => Value::NullBulk,
            b'*' if line == b"-1" => Value::NullArray,
            b'$' | b'!' | b'=' => {
                let Some(bytes) = self.body(number(line)?)? else {
                    return Ok(None);
                };
                bulk(kind, bytes)?
            }
            _ => return self.aggregate(kind, number(line)?, depth),
        };
        Ok(Some(value))
    }

    fn aggregate(&mut self, kind: u8, len: i64, depth: usize) -> Result<Option<Value>, DecodeError> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Number)?;
        if matches!(kind, b'%' | b'|') {
            let mut pairs = Vec::new();
            for _ in 0..len {
                let Some(key) = self.value(depth + 1)? else {
                    return Ok(None);
                };
                let Some(value) = self.value(depth + 1)? else {
                    return Ok(None);
                };
                pairs.push((key, value));
            }
            if kind == b'%' {
                return Ok(Some(Value::Map(pairs)));
            }
            let Some(value) = self.value(depth + 1)? else {
                return Ok(None);
            };
            return Ok(Some(Value::Attribute(pairs, Box::new(value))));
        }
        let mut elements = Vec::new();
        for _ in 0..len {
            let Some(element) = self.value(depth + 1)? else {
                return Ok(None);
            };
            elements.push(element);
        }
        Ok(Some(match kind {
            b'*' => Value::Array(elements),
            b'~' => Value::Set(elements),
            _ => Value::Push(elements),
        }))
    }

    /// The line behind the kind byte.
    fn line(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let rest = &self.bytes[self.at + 1..];
        match rest.iter().take(MAX_LINE).position(|&byte| byte == b'\n') {
            Some(end) => {
                self.at += end + 2;
                Ok(Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end])))
            }
            None if rest.len() >= MAX_LINE => Err(DecodeError::TooBig),
            None => Ok(None),
        }
    }

    fn body(&mut self, len: i64) -> Result<Option<&'a [u8]>, DecodeError> {
        if len > MAX_BULK {
            return Err(DecodeError::TooBig);
        }
        let len = usize::try_from(len).map_err(|_| DecodeError::Number)?;
        let rest = &self.bytes[self.at..];
        if rest.len() < len + 2 {
            return Ok(None);
        }
        self.at += len + 2;
        Ok(Some(&rest[..len]))
    }
}

fn bulk(kind: u8, bytes: &[u8]) -> Result<Value, DecodeError> {
    Ok(match kind {
        b'$' => Value::Bulk(bytes.to_vec()),
        b'!' => Value::Error(text(bytes)?),
        _ => match bytes.split_at_checked(4) {
            Some((format, rest)) => Value::Verbatim(text(&format[..3])?, rest.to_vec()),
            None => return Err(DecodeError::Number),
        },
    })
}

fn text(line: &[u8]) -> Result<String, DecodeError> {
    std::str::from_utf8(line).map(str::to_owned).map_err(|_| DecodeError::Text)
}

fn number(line: &[u8]) -> Result<i64, DecodeError> {
    parse_int(line).ok_or(DecodeError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], shown: &str) {
        let (value, taken) = Value::decode(bytes).expect("a reply").expect("a whole reply");
        assert_eq!(value.to_string(), shown);
        assert_eq!(taken, bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(Value::decode(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn every_kind_is_read_once_whole() {
        check(b"+OK\r\n", "+OK");
        check(b"-ERR no\r\n", "-ERR no");
        check(b":-12\r\n", ":-12");
        check(b"$3\r\na\r\n\r\n", "$a\\r\\n");
        check(b"$-1\r\n", "nil");
        check(b"*-1\r\n", "nil-array");
        check(b"_\r\n", "_");
        check(b"*2\r\n$1\r\na\r\n*0\r\n", "[$a []]");
        check(b"%1\r\n+a\r\n:1\r\n", "{+a=:1}");
        check(b"~1\r\n#t\r\n", "~[#t]");
        check(b">2\r\n+a\r\n,1.5\r\n", ">[+a ,1.5]");
        check(b"(123\r\n", "(123");
        check(b"=7\r\ntxt:a\xffb\r\n", "=txt:a\\xffb");
        check(b"!5\r\nERR a\r\n", "-ERR a");
        check(b"|1\r\n+k\r\n+v\r\n:1\r\n", "|{+k=+v} :1");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert_eq!(Value::decode(b"GET"), Err(DecodeError::Kind(b'G')));
        assert_eq!(Value::decode(b"*x\r\n"), Err(DecodeError::Number));
        assert_eq!(Value::decode(b"$536870913\r\n"), Err(DecodeError::TooBig));
        assert_eq!(Value::decode(&b"*1\r\n".repeat(100)), Err(DecodeError::TooBig));
        assert_eq!(Value::decode(b"*9999999999\r\n"), Ok(None));
    }
}
