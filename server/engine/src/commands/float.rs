//! Floating point arguments as C's `strtod` reads them, because Redis does: `1.5`, `1e3`, `inf`, `0x1p4`.

/// A score, weight or increment: a number that a double holds, without spaces around it.
pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    let value = parse_unbounded(text)?;
    let says_inf = text.iter().any(|byte| matches!(byte, b'n' | b'N'));
    let overflows = value.is_infinite() && !says_inf;
    let underflows = value == 0.0 && has_digits(text);
    (!overflows && !underflows).then_some(value)
}

/// A number without spaces around it; what is too large is infinite.
pub(crate) fn parse_unbounded(text: &[u8]) -> Option<f64> {
    let is_bare = text.first().is_some_and(|first| !is_space(*first));
    if is_bare { strtod(text) } else { None }
}

/// The number in a range's bound: what is too large is infinite, leading spaces and a number left out (zero) are fine.
pub(crate) fn parse_bound(text: &[u8]) -> Option<f64> {
    if text.is_empty() { Some(0.0) } else { strtod(text.trim_ascii_start()) }
}

/// C's isspace.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Does the text's mantissa say something else than zero?
fn has_digits(text: &[u8]) -> bool {
    let is_hex = unsigned(text).1.len() > 1 && unsigned(text).1[1].eq_ignore_ascii_case(&b'x');
    let end = if is_hex { b"pP" } else { b"eE" };
    let mantissa = text.iter().take_while(|byte| !end.contains(byte));
    mantissa.skip(if is_hex { 2 } else { 0 }).any(|byte| matches!(byte, b'1'..=b'9' | b'a'..=b'f' | b'A'..=b'F'))
}

/// The whole text as a number that is not NaN.
fn strtod(text: &[u8]) -> Option<f64> {
    let (sign, rest) = unsigned(text);
    let value = match rest {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
        [b'+' | b'-', ..] => return None,
        _ => std::str::from_utf8(rest).ok()?.parse::<f64>().ok().filter(|value| !value.is_nan())?,
    };
    Some(sign * value)
}

fn unsigned(text: &[u8]) -> (f64, &[u8]) {
    match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    }
}

/// What follows `0x`: hexadecimal digits, perhaps with a point, and perhaps `p` with a decimal exponent of two.
fn hexadecimal(text: &[u8]) -> Option<f64> {
    let p = text.iter().position(|byte| matches!(byte, b'p' | b'P')).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(p);
    let mut exponent: i64 = match exponent {
        [] => 0,
        [_, number @ ..] => std::str::from_utf8(number).ok()?.parse::<i32>().ok()?.into(),
    };
    let (mut bits, mut digits, mut fraction) = (0u64, 0, false);
    for byte in mantissa {
        if *byte == b'.' && !fraction {
            fraction = true;
            continue;
        }
        let digit = u64::from(char::from(*byte).to_digit(16)?);
        digits += 1;
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
            exponent -= if fraction { 4 } else { 0 };
        } else {
            bits |= u64::from(digit != 0); // Only matters to rounding.
            exponent += if fraction { 0 } else { 4 };
        }
    }
    (digits > 0).then(|| scale(bits as f64, exponent))
}

/// `value * 2^exponent`, in steps that neither overflow nor underflow before the result does.
fn scale(mut value: f64, mut exponent: i64) -> f64 {
    while exponent != 0 && value != 0.0 && value.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        value *= f64::powi(2.0, step as i32);
        exponent -= step;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_redis_reads_them() {
        for (text, value) in [
            ("1", Some(1.0)),
            ("-1.5e2", Some(-150.0)),
            ("+.5", Some(0.5)),
            ("0", Some(0.0)),
            ("0e9", Some(0.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e-310", Some(1e-310)),
            ("0x10", Some(16.0)),
            ("0x1p3", Some(8.0)),
            ("-0x.8", Some(-0.5)),
            ("0x0", Some(0.0)),
            ("0xfffffffffffffffff", Some(295_147_905_179_352_825_855.0)),
            ("1e400", None),
            ("1e-400", None),
            ("0x1p2000", None),
            ("0x1p-2000", None),
            ("nan", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            (".", None),
            ("0x", None),
            ("1_0", None),
            ("+-1", None),
            ("e5", None),
        ] {
            assert_eq!(parse_float(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn bounds_are_read_with_less_care() {
        for (text, value) in [
            ("", Some(0.0)),
            (" 1", Some(1.0)),
            ("   ", None),
            ("1e400", Some(f64::INFINITY)),
            ("-1e400", Some(f64::NEG_INFINITY)),
            ("nan", None),
            ("0x", None),
        ] {
            assert_eq!(parse_bound(text.as_bytes()), value, "{text:?}");
        }
    }
}
