//! Integers as text, and back: the one reading of "is this string an integer" that all encodings share.

/// Room for the longest integer, `-9223372036854775808`.
pub const INT_TEXT_MAX: usize = 20;

/// Reads a string that is exactly what `format_int` would write: no sign but a leading `-`, no leading zeros, no spaces.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ if digits.len() > INT_TEXT_MAX - 1 => return None,
        _ => {}
    }
    // Accumulated below zero, where the range is one wider.
    let mut value: i64 = 0;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Writes `value` in decimal into the end of `buffer` and returns that part.
pub fn format_int(value: i64, buffer: &mut [u8; INT_TEXT_MAX]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = INT_TEXT_MAX;
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, want: Option<i64>) {
        assert_eq!(parse_int(text.as_bytes()), want, "{text:?}");
    }

    #[test]
    fn only_canonical_text_is_an_integer() {
        check("0", Some(0));
        check("-1", Some(-1));
        check("9223372036854775807", Some(i64::MAX));
        check("-9223372036854775808", Some(i64::MIN));
        for text in
            ["", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1a", "9223372036854775808", "-9223372036854775809"]
        {
            check(text, None);
        }
        check("99999999999999999999999999", None);
    }

    proptest! {
        #[test]
        fn text_and_back(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let mut buffer = [0; INT_TEXT_MAX];
            let text = format_int(value, &mut buffer);
            prop_assert_eq!(text.to_vec(), value.to_string().into_bytes());
            prop_assert_eq!(parse_int(text), Some(value));
        }
    }
}
