//! Ziplists and zipmaps, the small encodings of Redis before 7: read only, front to back, every byte distrusted.
//!
//! Ziplist: length u32, offset of the last entry u32, count u16 (65535: unknown), entries, 0xFF; each entry is the length of
//! the one before it, an encoding, and the content. Zipmap: a count, pairs of (length, key, length, free, value, free bytes), 0xFF.

use quorate_collections::listpack::Element;

/// Is it as it should be, or what is wrong?
pub(super) type Checked = Result<(), &'static str>;

/// Calls `each` with every element of a ziplist.
pub(super) fn read_ziplist(bytes: &[u8], each: &mut dyn FnMut(Element<'_>) -> Checked) -> Checked {
    const CUT: &str = "a ziplist is cut short";
    let (claimed, rest) = bytes.split_first_chunk::<4>().ok_or(CUT)?;
    if u32::from_le_bytes(*claimed) as usize != bytes.len() {
        return Err("a ziplist's length is not its own");
    }
    let (_tail, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
    let (count, mut rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
    let (mut seen, mut previous) = (0_usize, 0_usize);
    loop {
        let size = rest.len();
        match rest.first() {
            Some(0xFF) if size == 1 => break,
            Some(0xFF) => return Err("a ziplist goes on after its end"),
            Some(0xFE) => {
                let (long, after) = rest[1..].split_first_chunk::<4>().ok_or(CUT)?;
                if u32::from_le_bytes(*long) as usize != previous {
                    return Err("a ziplist's entry is wrong about the one before it");
                }
                rest = after;
            }
            Some(short) if usize::from(*short) != previous => {
                return Err("a ziplist's entry is wrong about the one before it");
            }
            Some(_) => rest = &rest[1..],
            None => return Err(CUT),
        }
        let (element, after) = ziplist_element(rest)?;
        each(element)?;
        previous = size - after.len();
        rest = after;
        seen += 1;
    }
    let count = usize::from(u16::from_le_bytes(*count));
    if count != usize::from(u16::MAX) && count != seen { Err("a ziplist's count is wrong") } else { Ok(()) }
}

fn ziplist_element(bytes: &[u8]) -> Result<(Element<'_>, &[u8]), &'static str> {
    const CUT: &str = "a ziplist's entry is cut short";
    let (&form, rest) = bytes.split_first().ok_or(CUT)?;
    let (element, rest) = match form {
        0x00..=0x3F => {
            let (text, rest) = rest.split_at_checked(usize::from(form)).ok_or(CUT)?;
            (Element::Bytes(text), rest)
        }
        0x40..=0x7F => {
            let (&low, rest) = rest.split_first().ok_or(CUT)?;
            let (text, rest) = rest.split_at_checked(usize::from(form & 0x3F) << 8 | usize::from(low)).ok_or(CUT)?;
            (Element::Bytes(text), rest)
        }
        0x80..=0xBF => {
            let (len, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
            let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(CUT)?;
            (Element::Bytes(text), rest)
        }
        0xC0 => int::<2>(rest).ok_or(CUT)?,
        0xD0 => int::<4>(rest).ok_or(CUT)?,
        0xE0 => int::<8>(rest).ok_or(CUT)?,
        0xF0 => int::<3>(rest).ok_or(CUT)?,
        0xFE => int::<1>(rest).ok_or(CUT)?,
        0xF1..=0xFD => (Element::Int(i64::from(form & 0x0F) - 1), rest),
        _ => return Err("a ziplist's entry of unknown form"),
    };
    Ok((element, rest))
}

/// A signed little-endian integer of `N` bytes.
fn int<const N: usize>(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (low, rest) = bytes.split_first_chunk::<N>()?;
    let mut wide = [0; 8];
    wide[8 - N..].copy_from_slice(low);
    Some((Element::Int(i64::from_le_bytes(wide) >> (64 - 8 * N)), rest))
}

/// Calls `each` with every key and value of a zipmap.
pub(super) fn read_zipmap(bytes: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Checked) -> Checked {
    const CUT: &str = "a zipmap is cut short";
    let mut rest = bytes.get(1..).ok_or(CUT)?;
    while rest.first() != Some(&0xFF) {
        let (key_len, after) = zipmap_len(rest)?;
        let (key, after) = after.split_at_checked(key_len).ok_or(CUT)?;
        let (value_len, after) = zipmap_len(after)?;
        let (&free, after) = after.split_first().ok_or(CUT)?;
        let (value, after) = after.split_at_checked(value_len).ok_or(CUT)?;
        rest = after.get(usize::from(free)..).ok_or(CUT)?;
        each(key, value)?;
    }
    if rest.len() == 1 { Ok(()) } else { Err("a zipmap goes on after its end") }
}

fn zipmap_len(bytes: &[u8]) -> Result<(usize, &[u8]), &'static str> {
    match bytes {
        [254, rest @ ..] => {
            let (len, rest) = rest.split_first_chunk::<4>().ok_or("a zipmap is cut short")?;
            Ok((u32::from_le_bytes(*len) as usize, rest))
        }
        [len @ 0..=253, rest @ ..] => Ok((usize::from(*len), rest)),
        _ => Err("a zipmap is cut short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ziplist(bytes: &[u8]) -> Result<Vec<String>, &'static str> {
        let mut seen = Vec::new();
        read_ziplist(bytes, &mut |element| {
            seen.push(String::from_utf8_lossy(&element.to_vec()).into_owned());
            Ok(())
        })
        .map(|()| seen)
    }

    /// Entries as Redis lays them out: (encoding and content), with the lengths before them filled in.
    fn build(entries: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        let mut previous = 0;
        for entry in entries {
            let from = body.len();
            if previous < 254 {
                body.push(previous as u8);
            } else {
                body.push(254);
                body.extend_from_slice(&(previous as u32).to_le_bytes());
            }
            body.extend_from_slice(entry);
            previous = body.len() - from;
        }
        let mut bytes = ((body.len() + 11) as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&((body.len() + 10 - previous) as u32).to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.push(0xFF);
        bytes
    }

    #[test]
    fn every_form_of_entry_is_read() {
        let medium = [&[0x41, 0x2C][..], &[b'm'; 300]].concat();
        let long = [&[0x80, 0, 0, 0, 2][..], b"xy"].concat();
        let entries: [&[u8]; 10] = [
            b"\x02ab",
            &medium,
            &long,
            &[0xC0, 0x00, 0x80],
            &[0xD0, 0xFF, 0xFF, 0xFF, 0x7F],
            &[0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0xF0, 0xFF, 0xFF, 0xFF],
            &[0xFE, 0x80],
            &[0xF1],
            &[0xFD],
        ];
        let seen = ziplist(&build(&entries)).unwrap();
        let ints = ["-32768", "2147483647", "-9223372036854775808", "-1", "-128", "0", "12"];
        assert_eq!(seen[0], "ab");
        assert_eq!(seen[1].len(), 300);
        assert_eq!(seen[2], "xy");
        assert_eq!(seen[3..], ints);
    }

    #[test]
    fn a_ziplist_that_lies_is_refused() {
        let good = build(&[b"\x02ab", &[0xF1]]);
        assert!(ziplist(&good).is_ok());
        assert_eq!(ziplist(&good[..good.len() - 1]), Err("a ziplist's length is not its own"));
        let change = |at: usize, to: u8| {
            let mut bad = good.clone();
            bad[at] = to;
            ziplist(&bad)
        };
        assert_eq!(change(8, 3), Err("a ziplist's count is wrong"));
        assert_eq!(change(11, 0x3F), Err("a ziplist's entry is cut short"));
        assert_eq!(change(14, 9), Err("a ziplist's entry is wrong about the one before it"));
        assert_eq!(change(15, 0xFF), Err("a ziplist's entry of unknown form"));
    }

    #[test]
    fn a_zipmap_is_read_past_its_free_bytes() {
        let mut seen = Vec::new();
        let mut read = |bytes: &[u8]| {
            read_zipmap(bytes, &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                Ok(())
            })
        };
        assert_eq!(read(b"\x02\x03foo\x03\x02bar__\x01k\x00\x00\xFF"), Ok(()));
        assert_eq!(read(b"\x01\x03foo\x09\x00bar\xFF"), Err("a zipmap is cut short"));
        assert_eq!(read(b"\x00\xFFmore"), Err("a zipmap goes on after its end"));
        assert_eq!(seen, [(b"foo".to_vec(), b"bar".to_vec()), (b"k".to_vec(), b"".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut framed = ((bytes.len() + 11) as u32).to_le_bytes().to_vec();
            framed.extend_from_slice(&[0, 0, 0, 0, 0xFF, 0xFF]);
            framed.extend_from_slice(&bytes);
            framed.push(0xFF);
            let _ = read_ziplist(&framed, &mut |_| Ok(()));
            let _ = read_zipmap(&bytes, &mut |_, _| Ok(()));
        }
    }
}
