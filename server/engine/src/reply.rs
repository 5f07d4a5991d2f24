//! What a command's function returns when it was not refused.

use quorate_resp::Writer;

/// A reply. Anything larger or shaped otherwise is written through `call.out`, and the function returns `Written`.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+OK`
    Ok,
    /// A fixed simple string.
    Simple(&'static str),
    /// An integer.
    Int(i64),
    /// 1 or 0, an integer in both protocols (EXISTS, HSETNX …).
    Flag(bool),
    /// A floating point number.
    Double(f64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// No value.
    Null,
    /// No array.
    NullArray,
    /// An array without elements.
    EmptyArray,
    /// A set without elements.
    EmptySet,
    /// A map without pairs.
    EmptyMap,
    /// The function has written its reply through `call.out`, or a command that has no reply wrote none.
    Written,
    /// The session waits: see `Call::block`. Nothing is written now.
    Blocked,
}

impl Reply {
    #[inline]
    pub(crate) fn write(&self, out: &mut Writer<'_>) {
        match self {
            Reply::Ok => out.raw(b"+OK\r\n"),
            Reply::Simple(text) => out.simple(text),
            Reply::Int(value) => out.int(*value),
            Reply::Flag(value) => out.int(i64::from(*value)),
            Reply::Double(value) => out.double(*value),
            Reply::Bulk(bytes) => out.bulk(bytes),
            Reply::Null => out.null(),
            Reply::NullArray => out.null_array(),
            Reply::EmptyArray => out.array(0),
            Reply::EmptySet => out.set(0),
            Reply::EmptyMap => out.map(0),
            Reply::Written | Reply::Blocked => {}
        }
    }
}
