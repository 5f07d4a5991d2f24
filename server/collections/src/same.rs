//! Comparing short strings.

/// Are two strings the same? Most keys and members are of 8 to 32 bytes: two overlapping reads of a fixed length spare a call.
#[inline]
pub(crate) fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<16>(), a.last_chunk::<16>(), b.first_chunk::<16>(), b.last_chunk::<16>()) {
        (Some(first), Some(last), Some(b_first), Some(b_last)) if a.len() <= 32 => first == b_first && last == b_last,
        _ => match (a.first_chunk::<8>(), a.last_chunk::<8>(), b.first_chunk::<8>(), b.last_chunk::<8>()) {
            (Some(first), Some(last), Some(b_first), Some(b_last)) if a.len() <= 16 => {
                first == b_first && last == b_last
            }
            _ => a == b,
        },
    }
}
