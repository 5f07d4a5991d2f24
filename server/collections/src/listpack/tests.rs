//! What is written beside Redis's bytes, what is read beside what was written, and hostile bytes.
use super::*;
use proptest::prelude::*;

fn bytes_of(texts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Writer::new(0);
    texts.iter().for_each(|text| out.push(Element::of(text)));
    out.finish()
}

fn texts_in(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    Ok(read(bytes)?.map(|element| element.to_vec()).collect())
}

/// Bytes that Redis 7 wrote: `RPUSH l …`, then the payload of `DUMP l`.
#[track_caller]
fn check(texts: &[&str], want: &[u8]) {
    let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    assert_eq!(bytes_of(&texts), want, "{texts:?}");
    assert_eq!(texts_in(want), Ok(texts));
}

#[test]
fn bytes_are_redis_s() {
    check(&[], &[7, 0, 0, 0, 0, 0, 0xff]);
    check(&["a", "1"], &[12, 0, 0, 0, 2, 0, 0x81, b'a', 2, 1, 1, 0xff]);
    check(&["127", "128", "-1"], &[15, 0, 0, 0, 3, 0, 0x7f, 1, 0xc0, 0x80, 2, 0xdf, 0xff, 2, 0xff]);
    check(&["4095", "-4096"], &[13, 0, 0, 0, 2, 0, 0xcf, 0xff, 2, 0xd0, 0, 2, 0xff]);
    check(&["4096"], &[11, 0, 0, 0, 1, 0, 0xf1, 0, 0x10, 3, 0xff]);
    check(&["-32769"], &[12, 0, 0, 0, 1, 0, 0xf2, 0xff, 0x7f, 0xff, 4, 0xff]);
    check(&["8388608"], &[13, 0, 0, 0, 1, 0, 0xf3, 0, 0, 0x80, 0, 5, 0xff]);
    check(&["2147483648"], &[17, 0, 0, 0, 1, 0, 0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9, 0xff]);
}

#[test]
fn every_width_of_integer_and_length_survives() {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for shift in 0..63 {
        for value in [(1i64 << shift) - 1, 1 << shift, -(1 << shift), -(1 << shift) - 1] {
            texts.push(value.to_string().into_bytes());
        }
    }
    texts.extend([i64::MIN, i64::MAX].map(|value| value.to_string().into_bytes()));
    for length in [
        0, 1, 62, 63, 64, 65, 125, 126, 127, 4094, 4095, 4096, 16_376, 16_377, 16_378, 16_379, 70_000, 2_097_146,
        2_097_147,
    ] {
        texts.push(vec![b'x'; length]);
    }
    assert_eq!(texts_in(&bytes_of(&texts)), Ok(texts));
}

#[test]
fn more_elements_than_the_header_can_say() {
    let texts = vec![b"1".to_vec(); 65_540];
    let bytes = bytes_of(&texts);
    assert_eq!(bytes[PREFIX..HEADER], [0xff, 0xff]);
    assert_eq!(texts_in(&bytes), Ok(texts));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (any::<i64>(), 0..64u32).prop_map(|(value, shift)| (value >> shift).to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..10),
        1 => prop::collection::vec(any::<u8>(), 50..200),
        1 => (4000..5000usize).prop_map(|length| vec![b'x'; length]),
    ]
}

proptest! {
    /// Whatever `read` lets in can be read, and written again.
    #[test]
    fn hostile_bytes_are_refused_or_harmless(texts in prop::collection::vec(text(), 0..5), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4), cut in 0..3usize) {
        let (mut bytes, unharmed) = (bytes_of(&texts), flips.is_empty() && cut == 0);
        for (at, value) in flips {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes.truncate(bytes.len() - cut);
        match texts_in(&bytes) {
            Ok(read) => prop_assert_eq!(texts_in(&bytes_of(&read)), Ok(read)),
            Err(_) => prop_assert!(!unharmed),
        }
    }
}

#[test]
fn lies_about_lengths_are_refused() {
    let good = bytes_of(&[b"hello".to_vec(), b"12345".to_vec()]);
    assert!(read(&good).is_ok());
    for at in [0, 4, 6, 12, good.len() - 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] = bad[at].wrapping_add(1);
        assert!(read(&bad).is_err(), "byte {at}");
    }
    for bytes in [
        &[][..],
        &[0xff],
        &[7, 0, 0, 0, 0, 0],
        &[8, 0, 0, 0, 1, 0, 0xf0, 0xff],
        &[8, 0, 0, 0, 1, 0, 0xe1, 0xff],
        &[9, 0, 0, 0, 1, 0, 0xf5, 1, 0xff],
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
}
