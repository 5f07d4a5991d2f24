//! Numbers as Redis reads and prints them.

/// Reads a signed integer as strictly as Redis does: no leading zeros, no plus sign, no spaces, no overflow.
#[must_use]
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits never overflow a u64.
    let mut magnitude = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The longest decimal text of an i64.
pub(crate) const DIGITS: usize = 20;

/// Appends a decimal integer.
pub(crate) fn push_int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(int_text(value, &mut [0; DIGITS]));
}

/// A decimal integer's text, in `digits`.
#[inline]
pub(crate) fn int_text(value: i64, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    &digits[at..]
}

/// Whole numbers up to here are shown as integers. Source: Redis 7.2, d2string: half of the largest 64-bit integer.
const WHOLE_MAX: f64 = (1u64 << 62) as f64;

/// The shortest text that reads back as the same double, laid out as Redis 7.2 does: `3`, `0.1`, `1e+20`, `1.5e-7`, `inf`, `-inf`, `nan`.
///
/// A whole number too large for an integer is written out as long as at most 7 zeros follow its digits; a fraction as long as it has at most 6 places,
/// or its first digit stands within 3 of the point; all others take an exponent. Source: fpconv, which Redis 7.2 prints with.
#[must_use]
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return (value as i64).to_string();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the e format always holds an e");
    let exponent: i32 = exponent.parse().expect("the e format ends in an integer");
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    let power = exponent + 1 - digits;
    let is_plain = if power >= 0 { power <= 7 } else { power >= -6 || exponent.abs() <= 3 };
    if is_plain {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_strictly() {
        for good in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(parse_int(good.to_string().as_bytes()), Some(good));
        }
        for bad in [
            "",
            "-",
            "-0",
            "+1",
            "01",
            "1 ",
            " 1",
            "1a",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse_int(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn doubles_print_as_redis_prints_them() {
        for (value, text) in [
            (3.0, "3"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e17, "100000000000000000"),
            (-4611686018427387904.0, "-4611686018427387904"),
            (-9223372036854775808.0, "-9223372036854776000"),
            (1e20, "1e+20"),
            (1e-5, "0.00001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (std::f64::consts::PI, "3.141592653589793"),
            (1234.5678901234567, "1234.5678901234567"),
            (12345.678901234567, "1.2345678901234567e+4"),
            (12345.678901, "12345.678901"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0"),
            (0.0, "0"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }
}
