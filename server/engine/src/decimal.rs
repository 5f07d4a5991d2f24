//! Decimal numbers as INCRBYFLOAT and HINCRBYFLOAT know them: added exactly, shown with at most 17 digits behind the point.
//!
//! Redis computes in C's `long double` and prints `%.17Lf`, so that 1 and -1.1 make -0.1. A double cannot do that, and
//! exact decimal arithmetic gives the same text wherever a long double's 64 bits of mantissa suffice.

use std::cmp::Ordering;
use std::fmt;

/// Digits kept behind the point; what is smaller is dropped.
const KEPT: usize = 40;
/// Digits shown behind the point. Source: Redis's documentation of INCRBYFLOAT.
const SHOWN: usize = 17;
/// Digits that may stand before the point: a long double goes to 1.19e4932.
const WHOLE_MAX: usize = 4933;

/// A number that somebody wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// Sign and digits, least significant first, of which the first `KEPT` stand behind the point.
    Finite(Sign, Vec<u8>),
    /// `inf`
    Infinite(Sign),
}

/// Which side of zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

impl Decimal {
    /// Reads `1`, `-1.5`, `.5e3`, `inf`; `None` for anything else, `nan` and numbers beyond a long double included.
    pub fn parse(text: &[u8]) -> Option<Decimal> {
        let (sign, text) = match text {
            [b'-', rest @ ..] => (Sign::Minus, rest),
            [b'+', rest @ ..] => (Sign::Plus, rest),
            _ => (Sign::Plus, text),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Decimal::Infinite(sign));
        }
        let e = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, exponent) = match e {
            Some(at) => (&text[..at], exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
        let fraction = mantissa.get(point + 1..).unwrap_or(&[]);
        let written = || mantissa[..point].iter().chain(fraction);
        if written().next().is_none() || !written().all(u8::is_ascii_digit) {
            return None;
        }
        let mut digits = vec![0; KEPT + 1];
        let mut power = i64::try_from(point).ok()? + exponent;
        for digit in written().map(|byte| byte - b'0') {
            power -= 1;
            if digit == 0 {
                continue;
            }
            if power >= WHOLE_MAX as i64 {
                return None;
            }
            let Ok(place) = usize::try_from(power + KEPT as i64) else { continue };
            if place >= digits.len() {
                digits.resize(place + 1, 0);
            }
            digits[place] = digit;
        }
        Some(Decimal::Finite(sign, digits))
    }

    /// The sum, unless it is infinite or no number.
    pub fn plus(&self, other: &Decimal) -> Option<Decimal> {
        let (Decimal::Finite(sign, a), Decimal::Finite(other_sign, b)) = (self, other) else { return None };
        if sign == other_sign {
            return Some(Decimal::Finite(*sign, add(a, b)));
        }
        Some(match magnitude(a, b) {
            Ordering::Equal => Decimal::Finite(Sign::Plus, vec![0; KEPT + 1]),
            Ordering::Greater => Decimal::Finite(*sign, subtract(a, b)),
            Ordering::Less => Decimal::Finite(*other_sign, subtract(b, a)),
        })
    }
}

/// The signed digits behind an `e`; what no number survives is as good as a million.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -size } else { size })
}

fn digit(digits: &[u8], place: usize) -> u8 {
    digits.get(place).copied().unwrap_or(0)
}

fn magnitude(a: &[u8], b: &[u8]) -> Ordering {
    let places = 0..a.len().max(b.len());
    places
        .rev()
        .map(|place| digit(a, place).cmp(&digit(b, place)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut sum = Vec::with_capacity(a.len().max(b.len()) + 1);
    for place in 0..a.len().max(b.len()) {
        let total = digit(a, place) + digit(b, place) + carry;
        sum.push(total % 10);
        carry = total / 10;
    }
    sum.push(carry);
    sum
}

/// `a - b`, where `a` is the greater.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference = Vec::with_capacity(a.len());
    for (place, top) in a.iter().enumerate() {
        let take = digit(b, place) + borrow;
        borrow = u8::from(*top < take);
        difference.push(top + 10 * borrow - take);
    }
    difference
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, digits) = match self {
            Decimal::Finite(sign, digits) => (*sign, digits),
            Decimal::Infinite(Sign::Plus) => return f.write_str("inf"),
            Decimal::Infinite(Sign::Minus) => return f.write_str("-inf"),
        };
        let cut = KEPT - SHOWN;
        // Halves go to the even neighbour, as in C.
        let is_half = digits[cut - 1] == 5 && digits[..cut - 1].iter().all(|digit| *digit == 0);
        let up = u8::from(if is_half { digits[cut] % 2 == 1 } else { digits[cut - 1] >= 5 });
        let rounded = add(&digits[cut..], &[up]);
        let (fraction, whole) = rounded.split_at(SHOWN);
        let whole_len = whole.iter().rposition(|digit| *digit != 0).map_or(1, |at| at + 1);
        let fraction_from = fraction.iter().position(|digit| *digit != 0).unwrap_or(SHOWN);
        let is_zero = fraction_from == SHOWN && whole.iter().all(|digit| *digit == 0);
        let show = |digits: &[u8]| digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect::<String>();
        if sign == Sign::Minus && !is_zero {
            f.write_str("-")?;
        }
        f.write_str(&show(&whole[..whole_len]))?;
        if fraction_from < SHOWN {
            write!(f, ".{}", show(&fraction[fraction_from..]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, sum: &str) {
        let parse = |text: &str| Decimal::parse(text.as_bytes());
        let shown = match (parse(a), parse(b)) {
            (Some(a), Some(b)) => a.plus(&b).map_or("infinite".into(), |sum| sum.to_string()),
            _ => "no number".into(),
        };
        assert_eq!(shown, sum, "{a} + {b}");
    }

    #[test]
    fn sums_are_exact() {
        check("3", "1.1", "4.1");
        check("1", "-1.1", "-0.1");
        check("-1.5", "1.5", "0");
        check("10.50", "0.1", "10.6");
        check("5.0e3", "2.0e2", "5200");
        check("17179869184", "1.5", "17179869185.5");
        check("0", "-0", "0");
        check("+.5", "5.", "5.5");
        check("1e-17", "0", "0.00000000000000001");
        check("1e-18", "0", "0");
        check("5e-18", "0", "0");
        check("15e-18", "0", "0.00000000000000002");
        check("51e-19", "0", "0.00000000000000001");
        check("0.99999999999999999", "0.000000000000000009", "1");
        check("1e20", "-1", "99999999999999999999");
        check("1e999999999999999999999", "0", "no number");
        check("0e999999999999999999999", "1", "1");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "e5", "1e", "1e+", "nan", "0x10", " 1", "1 ", "1.2.3", "1-", "infinit", "1e4933"] {
            check(text, "0", "no number");
        }
        check("inf", "1", "infinite");
        check("1", "-Infinity", "infinite");
        assert_eq!(Decimal::parse(b"1e4932").expect("just below").to_string().len(), 4933);
    }
}
