use super::*;
use proptest::prelude::*;

/// The elements as texts, doubles with a mark.
fn shown(flat: &Flat) -> Vec<String> {
    let mut next = flat.first();
    std::iter::from_fn(|| {
        let pos = next?;
        next = flat.next(pos);
        let is_double = flat.held.bytes()[pos.0] == DOUBLE;
        Some(if is_double {
            format!("~{:?}", flat.number(pos))
        } else {
            String::from_utf8_lossy(&flat.get(pos).to_vec()).into_owned()
        })
    })
    .collect()
}

/// One element's bytes.
#[track_caller]
fn check(part: Part<'_>, bytes: &[u8]) {
    let mut flat = Flat::new();
    flat.push([part]);
    assert_eq!(&flat.held.bytes()[HEADER..], bytes, "{part:?}");
    assert_eq!(flat, Flat::from_parts([part].into_iter()));
}

#[test]
fn each_element_has_its_shortest_encoding() {
    check(Part::Bytes(b""), &[0]);
    check(Part::Bytes(b"ab"), &[2, b'a', b'b']);
    check(Part::Bytes(&[7; 127]), &[[127].as_slice(), &[7; 127]].concat());
    check(Part::Bytes(&[7; 128]), &[[0xe0, 128, 0, 0, 0].as_slice(), &[7; 128]].concat());
    check(Part::of(b"63"), &[0xbf]);
    check(Part::of(b"64"), &[0xc1, 64]);
    check(Part::of(b"-1"), &[0xc1, 0xff]);
    check(Part::of(b"128"), &[0xc2, 128, 0]);
    check(Part::of(b"-128"), &[0xc1, 0x80]);
    check(Part::of(b"064"), &[3, b'0', b'6', b'4']);
    check(Part::Int(100_000_000_000), &[0xc5, 0x00, 0xe8, 0x76, 0x48, 0x17]);
    check(Part::Int(i64::MIN), &[0xc8, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    check(Part::score(3.0), &[0x83]);
    check(Part::score(0.5), &[0xd0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f]);
}

#[test]
fn scores_are_read_as_they_were_written() {
    for score in [0.0, 63.0, 64.0, -1.0, 0.1, -1e300, 1e18, 1e19, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
        let mut flat = Flat::new();
        flat.push([Part::Bytes(b"m"), Part::score(score)]);
        assert_eq!(flat.scored(0).map(|(_, score)| score).collect::<Vec<_>>(), [score]);
    }
}

#[test]
fn a_pair_is_shifted_either_way() {
    let flat = || Flat::from_parts([b"a", b"1", b"b", b"2", b"c", b"3"].into_iter().map(|text| Part::of(text)));
    let shift = |from: usize, to: usize| {
        let mut flat = flat();
        flat.shift(flat.nth(from).expect("there"), flat.nth(from + 2), flat.nth(to));
        shown(&flat).concat()
    };
    assert_eq!(shift(0, 4), "b2a1c3");
    assert_eq!(shift(0, 6), "b2c3a1");
    assert_eq!(shift(4, 0), "c3a1b2");
    assert_eq!(shift(4, 2), "a1c3b2");
    assert_eq!(shift(2, 2), "a1b2c3");
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Insert(prop::sample::Index, Vec<u8>, i64),
    Replace(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        4 => (-200..200i64).prop_map(|value| value.to_string().into_bytes()),
        8 => "[a-d]{0,20}".prop_map(String::into_bytes),
        1 => (120..140usize).prop_map(|length| vec![b'x'; length]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => text().prop_map(Step::Push),
        2 => (any::<prop::sample::Index>(), text(), any::<i64>()).prop_map(|(at, text, int)| Step::Insert(at, text, int)),
        2 => (any::<prop::sample::Index>(), text()).prop_map(|(at, text)| Step::Replace(at, text)),
        2 => (any::<prop::sample::Index>(), 1..4usize).prop_map(|(at, count)| Step::Remove(at, count)),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_vector(steps in prop::collection::vec(step(), 0..40)) {
        let (mut flat, mut model) = (Flat::new(), Vec::<Vec<u8>>::new());
        for step in steps {
            let place = |at: prop::sample::Index, model: &Vec<Vec<u8>>| at.index(model.len().max(1));
            match step {
                Step::Push(text) => {
                    flat.push([Part::of(&text)]);
                    model.push(text);
                }
                Step::Insert(at, text, int) => {
                    let at = place(at, &model);
                    let Some(pos) = flat.nth(at) else { continue };
                    flat.insert(pos, [Part::of(&text), Part::Int(int)]);
                    model.splice(at..at, [text, int.to_string().into_bytes()]);
                }
                Step::Replace(at, text) => {
                    let at = place(at, &model);
                    let Some(pos) = flat.nth(at) else { continue };
                    flat.replace(pos, Part::of(&text));
                    model[at] = text;
                }
                Step::Remove(at, count) => {
                    let at = place(at, &model);
                    let Some(pos) = flat.nth(at) else { continue };
                    flat.remove(pos, count);
                    model.drain(at..model.len().min(at + count));
                }
            }
            prop_assert_eq!(flat.len(), model.len());
            prop_assert_eq!(flat.is_empty(), model.is_empty());
        }
        let all: Vec<Vec<u8>> = flat.iter().map(|element| element.to_vec()).collect();
        prop_assert_eq!(&all, &model);
        prop_assert_eq!(&flat.clone(), &Flat::from_parts(model.iter().map(|text| Part::of(text))));
        for text in model.iter().chain([&b"absent".to_vec(), &b"-5".to_vec()]) {
            let found = flat.find::<0>(text).map(|pos| flat.get(pos).to_vec());
            prop_assert_eq!(found.is_some(), model.contains(text));
            let even = model.iter().step_by(2).position(|other| other == text).and_then(|index| flat.nth(2 * index));
            if model.len() % 2 == 0 {
                prop_assert_eq!(flat.find::<1>(text), even);
            }
        }
    }
}
