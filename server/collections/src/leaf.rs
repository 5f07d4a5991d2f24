//! What a large set or hash holds in a slot of its table: a member, or a field with its value, in one block and with as little beside them as
//! can be. (A key of the keyspace has expiry, clock and mark as well: that is [`Entry`](crate::Entry).)
//!
//! ```text
//! tag | value's length u8, if it is text | member | value             short: both lengths fit
//! tag | member's length u32 | value's length u32 | member | value     long
//! tag: bits 0-5 the member's length, 63 for the long form · bits 6-7 what the value is: nothing, text, or an integer of 8 bytes
//! ```
//!
//! A member of 14 bytes takes 16, and with a value of 8 bytes 24. The member of a leaf never changes.
use crate::blocks;
use crate::listpack::Element;
use std::ptr::NonNull;

const LONG: u8 = 63;
const LENGTH: u8 = 63;
const KIND: u8 = 3 << 6;
const NOTHING: u8 = 0;
const TEXT: u8 = 1 << 6;
const INT: u8 = 2 << 6;
/// Longest text of the short form.
const SHORT_MAX: usize = u8::MAX as usize;

/// A member, with a value or without. Pointer-sized.
pub struct Leaf {
    at: NonNull<u8>,
}

// SAFETY: a leaf owns its block, and nothing in it is tied to a thread.
unsafe impl Send for Leaf {}

/// Where the parts of a block lie.
#[derive(Clone, Copy)]
struct Shape {
    kind: u8,
    member: usize,
    /// Where the value begins, and the member ends.
    value: usize,
    /// Bytes in all.
    end: usize,
}

impl Leaf {
    /// A member of a set.
    pub fn member(member: &[u8]) -> Self {
        Self::build(member, NOTHING, &[])
    }

    /// A field of a hash.
    pub fn field(field: &[u8], value: Element<'_>) -> Self {
        match value {
            Element::Bytes(text) => Self::build(field, TEXT, text),
            Element::Int(value) => Self::build(field, INT, &value.to_le_bytes()),
        }
    }

    /// The member or field.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the member lies there since `build` and never changes.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(shape.member), shape.value - shape.member) }
    }

    /// The value; the empty string where there is none.
    #[inline]
    pub fn value(&self) -> Element<'_> {
        let shape = self.shape();
        // SAFETY: the value lies there since `build` or `set`; the borrow of self keeps it there.
        let bytes = unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(shape.value), shape.end - shape.value) };
        match bytes.first_chunk() {
            Some(&int) if shape.kind == INT => Element::Int(i64::from_le_bytes(int)),
            _ => Element::Bytes(bytes),
        }
    }

    /// Replaces a field's value.
    pub fn set(&mut self, value: Element<'_>) {
        let int;
        let (kind, bytes): (u8, &[u8]) = match value {
            Element::Bytes(text) => (TEXT, text),
            Element::Int(value) => {
                int = value.to_le_bytes();
                (INT, &int)
            }
        };
        let shape = self.shape();
        if (shape.kind, shape.end - shape.value) == (kind, bytes.len()) {
            // SAFETY: so many bytes of value lie there; `value` cannot borrow from this leaf, which is borrowed mutably.
            unsafe { self.at.as_ptr().add(shape.value).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        } else {
            *self = Self::build(self.key(), kind, bytes);
        }
    }

    /// Bytes of the block.
    pub fn memory(&self) -> usize {
        blocks::room(self.shape().end)
    }

    #[inline]
    fn shape(&self) -> Shape {
        let at = self.at.as_ptr();
        // SAFETY: `build` wrote a tag, and the lengths that it announces.
        let (kind, member, member_len, value_len) = unsafe {
            let tag = at.read();
            let (kind, length) = (tag & KIND, tag & LENGTH);
            if length == LONG {
                let word = |offset: usize| at.add(offset).cast::<u32>().read_unaligned() as usize;
                (kind, 9, word(1), word(5))
            } else {
                match kind {
                    TEXT => (kind, 2, usize::from(length), usize::from(at.add(1).read())),
                    INT => (kind, 1, usize::from(length), size_of::<i64>()),
                    _ => (kind, 1, usize::from(length), 0),
                }
            }
        };
        let value = member + member_len;
        Shape { kind, member, value, end: value + value_len }
    }

    fn build(member: &[u8], kind: u8, value: &[u8]) -> Self {
        let is_short = member.len() < usize::from(LONG) && value.len() <= SHORT_MAX;
        let (mut head, mut head_len) = ([0; 9], 1);
        if !is_short {
            let word = |text: &[u8]| u32::try_from(text.len()).expect("strings are limited to 512 MB").to_le_bytes();
            head[0] = kind | LONG;
            head[1..5].copy_from_slice(&word(member));
            head[5..].copy_from_slice(&word(value));
            head_len = 9;
        } else {
            head[0] = kind | member.len() as u8;
            if kind == TEXT {
                head[1] = value.len() as u8;
                head_len = 2;
            }
        }
        let at = blocks::take(head_len + member.len() + value.len());
        let mut to = at.as_ptr();
        for part in [&head[..head_len], member, value] {
            // SAFETY: the block is new and has room for the three parts one behind the other.
            unsafe {
                to.copy_from_nonoverlapping(part.as_ptr(), part.len());
                to = to.add(part.len());
            }
        }
        Leaf { at }
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // SAFETY: taken in `build` with this size, and not used again.
        unsafe { blocks::give(self.at, self.shape().end) };
    }
}

impl crate::Keyed for Leaf {
    #[inline]
    fn key(&self) -> &[u8] {
        Leaf::key(self)
    }

    #[inline]
    fn touch(&self) {
        // SAFETY: a block has at least its tag.
        std::hint::black_box(unsafe { self.at.as_ptr().read() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(leaf: &Leaf, key: &[u8], value: Element<'_>) {
        assert_eq!((leaf.key(), leaf.value()), (key, value));
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..20),
            2 => prop::collection::vec(any::<u8>(), 58..66),
            1 => prop::collection::vec(any::<u8>(), 250..260),
            1 => prop::collection::vec(any::<u8>(), 1000..1100),
        ]
    }

    proptest! {
        #[test]
        fn holds_what_it_was_given(key in text(), values in prop::collection::vec((text(), any::<Option<i64>>()), 1..8)) {
            check(&Leaf::member(&key), &key, Element::Bytes(&[]));
            let mut leaf: Option<Leaf> = None;
            for (text, int) in &values {
                let value = int.map_or(Element::Bytes(text), Element::Int);
                match &mut leaf {
                    Some(leaf) => leaf.set(value),
                    None => leaf = Some(Leaf::field(&key, value)),
                }
                check(leaf.as_ref().expect("made"), &key, value);
            }
        }
    }

    #[test]
    fn is_as_thin_as_the_header_says() {
        assert_eq!(size_of::<Leaf>(), 8);
        assert_eq!(Leaf::member(b"m:000000000000").memory(), 16);
        assert_eq!(Leaf::field(b"f:000000000000", Element::Bytes(b"xxxxxxxx")).memory(), 24);
        assert_eq!(Leaf::field(b"f:000000000000", Element::Int(-1)).memory(), 24);
    }
}
