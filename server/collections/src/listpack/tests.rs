//! The listpack beside a plain list of texts, its bytes beside Redis's, and hostile bytes.
use super::*;
use proptest::prelude::*;

/// Bytes that Redis 7 wrote: `RPUSH l …`, then the payload of `DUMP l`.
#[track_caller]
fn check_bytes(texts: &[&str], want: &[u8]) {
    let mut pack = Listpack::new();
    texts.iter().for_each(|text| pack.push_back(text.as_bytes()));
    assert_eq!(pack.as_bytes(), want, "{texts:?}");
    let read = Listpack::from_bytes(want).expect("Redis's own");
    assert_eq!(texts_of(&read), texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
}

fn texts_of(pack: &Listpack) -> Vec<Vec<u8>> {
    pack.iter().map(|element| element.to_vec()).collect()
}

fn pack_of(texts: &[Vec<u8>]) -> Listpack {
    let mut pack = Listpack::new();
    texts.iter().for_each(|text| pack.push_back(text));
    pack
}

/// The pack holds these texts, whichever way it is read, and its bytes pass the validation of untrusted ones.
#[track_caller]
fn check(pack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(texts_of(pack), model);
    assert_eq!(pack.iter().rev().map(|element| element.to_vec()).collect::<Vec<_>>(), {
        let mut reversed = model.to_vec();
        reversed.reverse();
        reversed
    });
    assert_eq!(pack.len(), model.len());
    assert_eq!(pack.is_empty(), model.is_empty());
    assert_eq!(Listpack::from_bytes(pack.as_bytes()).as_ref(), Ok(pack));
    let mut writer = Writer::new(0);
    Listpack::read(pack.as_bytes()).expect("as above").for_each(|element| writer.push(element));
    assert_eq!(writer.finish(), pack.as_bytes());
}

#[test]
fn bytes_are_redis_s() {
    check_bytes(&[], &[7, 0, 0, 0, 0, 0, 0xff]);
    check_bytes(&["a", "1"], &[12, 0, 0, 0, 2, 0, 0x81, b'a', 2, 1, 1, 0xff]);
    check_bytes(&["127", "128", "-1"], &[15, 0, 0, 0, 3, 0, 0x7f, 1, 0xc0, 0x80, 2, 0xdf, 0xff, 2, 0xff]);
    check_bytes(&["4095", "-4096"], &[13, 0, 0, 0, 2, 0, 0xcf, 0xff, 2, 0xd0, 0, 2, 0xff]);
    check_bytes(&["4096"], &[11, 0, 0, 0, 1, 0, 0xf1, 0, 0x10, 3, 0xff]);
    check_bytes(&["-32769"], &[12, 0, 0, 0, 1, 0, 0xf2, 0xff, 0x7f, 0xff, 4, 0xff]);
    check_bytes(&["8388608"], &[13, 0, 0, 0, 1, 0, 0xf3, 0, 0, 0x80, 0, 5, 0xff]);
    check_bytes(&["2147483648"], &[17, 0, 0, 0, 1, 0, 0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9, 0xff]);
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
    let pack = pack_of(&texts);
    check(&pack, &texts);
    for (index, text) in texts.iter().enumerate() {
        let pos = pack.nth(index).expect("in range");
        assert!(pack.get(pos).is(text));
    }
}

#[test]
fn integers_are_found_as_integers() {
    let mut pack = Listpack::new();
    for text in ["f", "1", "g", "f", "-5", "x"] {
        pack.push_back(text.as_bytes());
    }
    let found = |needle: &str, from: usize| {
        let found = pack.find_from(pack.nth(from), needle.as_bytes());
        found.map(|pos| pack.positions().position(|(at, _)| at == pos).unwrap())
    };
    assert_eq!(found("f", 0), Some(0));
    assert_eq!(found("f", 1), Some(3));
    assert_eq!(found("1", 0), Some(1));
    assert_eq!(found("1", 2), None);
    assert_eq!(found("-5", 1), Some(4));
    assert_eq!(found("01", 0), None);
    assert_eq!(pack.get(pack.find_from(pack.first(), b"-5").unwrap()), Element::Int(-5));
}

#[test]
fn more_elements_than_the_header_can_say() {
    let mut pack = Listpack::new();
    for _ in 0..65_534 {
        pack.push_back(b"1");
    }
    assert_eq!((pack.stated_count(), pack.len()), (65_534, 65_534));
    pack.push_back(b"1");
    pack.push_back(b"2");
    assert_eq!((pack.stated_count(), pack.len()), (COUNT_UNKNOWN, 65_536));
    pack.remove(pack.first().unwrap(), 10);
    assert_eq!(pack.len(), 65_526);
    assert_eq!(Listpack::from_bytes(pack.as_bytes()).as_ref(), Ok(&pack));
}

#[derive(Debug, Clone)]
enum Step {
    PushBack(Vec<u8>),
    PushFront(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
    SplitAndJoin(usize),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (any::<i64>(), 0..64u32).prop_map(|(value, shift)| (value >> shift).to_string().into_bytes()),
        4 => prop::collection::vec(any::<u8>(), 0..10),
        1 => prop::collection::vec(any::<u8>(), 50..200),
        1 => (4000..5000usize).prop_map(|length| vec![b'x'; length]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        text().prop_map(Step::PushBack),
        text().prop_map(Step::PushFront),
        any::<i64>().prop_map(|value| Step::PushBack(value.to_string().into_bytes())),
        (any::<usize>(), text()).prop_map(|(at, text)| Step::InsertBefore(at, text)),
        (any::<usize>(), text()).prop_map(|(at, text)| Step::InsertAfter(at, text)),
        (any::<usize>(), text()).prop_map(|(at, text)| Step::Replace(at, text)),
        (any::<usize>(), 0..4usize).prop_map(|(at, count)| Step::Remove(at, count)),
        any::<usize>().prop_map(Step::SplitAndJoin),
    ]
}

/// One step on pack and model; steps that need an element are skipped while there is none.
fn apply(pack: &mut Listpack, model: &mut Vec<Vec<u8>>, step: Step) {
    let pick = |at: usize, model: &[Vec<u8>]| if model.is_empty() { 0 } else { at % model.len() };
    match step {
        Step::PushBack(text) => {
            pack.push_back(&text);
            model.push(text);
        }
        Step::PushFront(text) => {
            pack.push_front(&text);
            model.insert(0, text);
        }
        _ if model.is_empty() => {}
        Step::InsertBefore(at, text) => {
            let at = pick(at, model);
            let new = pack.insert_before(pack.nth(at).unwrap(), &text);
            assert!(pack.get(new).is(&text));
            model.insert(at, text);
        }
        Step::InsertAfter(at, text) => {
            let at = pick(at, model);
            let new = pack.insert_after(pack.nth(at).unwrap(), &text);
            assert!(pack.get(new).is(&text));
            model.insert(at + 1, text);
        }
        Step::Replace(at, text) => {
            let at = pick(at, model);
            pack.replace(pack.nth(at).unwrap(), &text);
            model[at] = text;
        }
        Step::Remove(at, count) => {
            let at = pick(at, model);
            let next = pack.remove(pack.nth(at).unwrap(), count);
            model.drain(at..model.len().min(at + count));
            assert_eq!(next.map(|pos| pack.get(pos).to_vec()).as_ref(), model.get(at));
        }
        Step::SplitAndJoin(at) => {
            let at = pick(at, model);
            let tail = pack.split_off(pack.nth(at).unwrap());
            check(pack, &model[..at]);
            check(&tail, &model[at..]);
            pack.append(&tail);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn behaves_like_a_list(steps in prop::collection::vec(step(), 0..40), needle in text(), from in 0..20usize, to in 0..20usize) {
        let (mut pack, mut model) = (Listpack::new(), Vec::new());
        for step in steps {
            apply(&mut pack, &mut model, step);
        }
        check(&pack, &model);
        prop_assert!(pack.memory() <= pack.byte_len() * 5 / 4 + 16);
        let cut: Vec<_> = model.iter().skip(from).take(to.saturating_sub(from)).cloned().collect();
        prop_assert_eq!(pack.range(from..to).map(|element| element.to_vec()).collect::<Vec<_>>(), cut);
        for wanted in model.iter().chain([&needle]) {
            let index = model.iter().position(|text| text == wanted);
            prop_assert_eq!(pack.find_from(pack.first(), wanted), index.and_then(|index| pack.nth(index)));
        }
        let (mut pos, mut back) = (pack.first(), Vec::new());
        while let Some(here) = pos {
            back.push(here);
            pos = pack.next(here);
        }
        let mut pos = pack.last();
        while let Some(here) = pos {
            prop_assert_eq!(back.pop(), Some(here));
            pos = pack.prev(here);
        }
        prop_assert!(back.is_empty());
    }

    /// Whatever `from_bytes` lets in can be walked, read and changed.
    #[test]
    fn hostile_bytes_are_refused_or_harmless(texts in prop::collection::vec(text(), 0..5), flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4), cut in 0..3usize) {
        let mut bytes = pack_of(&texts).as_bytes().to_vec();
        for (at, value) in flips {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes.truncate(bytes.len() - cut);
        if let Ok(mut pack) = Listpack::from_bytes(&bytes) {
            let texts = texts_of(&pack);
            prop_assert_eq!(pack.iter().rev().count(), texts.len());
            pack.push_front(b"a");
            pack.remove(pack.last().unwrap(), 1);
            prop_assert_eq!(pack.len(), texts.len());
        }
    }
}

#[test]
fn lies_about_lengths_are_refused() {
    let good = pack_of(&[b"hello".to_vec(), b"12345".to_vec()]).as_bytes().to_vec();
    assert!(Listpack::from_bytes(&good).is_ok());
    for at in [0, 4, 6, 12, good.len() - 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] = bad[at].wrapping_add(1);
        assert!(Listpack::from_bytes(&bad).is_err(), "byte {at}");
    }
    for bytes in [
        &[][..],
        &[0xff],
        &[7, 0, 0, 0, 0, 0],
        &[8, 0, 0, 0, 1, 0, 0xf0, 0xff],
        &[8, 0, 0, 0, 1, 0, 0xe1, 0xff],
        &[9, 0, 0, 0, 1, 0, 0xf5, 1, 0xff],
    ] {
        assert!(Listpack::from_bytes(bytes).is_err(), "{bytes:?}");
    }
}
