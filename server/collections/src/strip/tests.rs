//! The strip beside a plain list of texts, read from both ends, and as a file's listpack and back.
use super::*;
use crate::listpack;
use proptest::prelude::*;

fn texts_of(strip: &Strip) -> Vec<Vec<u8>> {
    strip.iter().map(|element| element.to_vec()).collect()
}

fn strip_of(texts: &[Vec<u8>]) -> Strip {
    let mut strip = Strip::new();
    texts.iter().for_each(|text| strip.push_back(text));
    strip
}

/// The strip holds these texts, whichever way it is read, and comes back from a file as it was.
#[track_caller]
fn check(strip: &Strip, model: &[Vec<u8>]) {
    assert_eq!(texts_of(strip), model);
    assert!(strip.iter().rev().map(|element| element.to_vec()).eq(model.iter().rev().cloned()));
    assert_eq!(strip.len(), model.len());
    assert_eq!(strip.is_empty(), model.is_empty());
    let file = strip.to_listpack();
    let read = listpack::read(&file).expect("a listpack");
    assert_eq!(&Strip::from_elements(read), strip);
}

#[test]
fn an_element_takes_a_byte_beside_its_own() {
    let check = |texts: &[&str], want: &[u8]| {
        let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(&strip_of(&texts).held.bytes()[PREFIX..], want, "{texts:?}");
    };
    check(&[], &[0, 0, 0]);
    check(&["a"], &[1, 0, 1, b'a', 1]);
    check(&["ab", "", "7"], &[3, 0, 2, b'a', b'b', 2, 0x87, 0x87]);
    check(&["-1", "256"], &[2, 0, 0xc1, 0xff, 0xc1 ^ 0xc2, 0, 1, 0xc2]);
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
    for length in [0, 1, 63, 126, 127, 128, 129, 255, 256, 257, 4095, 7935, 7936, 7937, 70_000] {
        texts.push(vec![b'x'; length]);
    }
    let strip = strip_of(&texts);
    check(&strip, &texts);
    for (index, text) in texts.iter().enumerate() {
        let pos = strip.nth(index).expect("in range");
        assert!(strip.get(pos).is(text));
        assert_eq!(strip.find_from(strip.first(), text).map(|pos| strip.get(pos).to_vec()).as_ref(), Some(text));
    }
}

#[test]
fn integers_are_found_as_integers() {
    let mut strip = Strip::new();
    for text in ["f", "1", "g", "f", "-5", "x"] {
        strip.push_back(text.as_bytes());
    }
    let found = |needle: &str, from: usize| {
        let found = strip.find_from(strip.nth(from), needle.as_bytes());
        found.and_then(|pos| (0..strip.len()).find(|&index| strip.nth(index) == Some(pos)))
    };
    assert_eq!(found("f", 0), Some(0));
    assert_eq!(found("f", 1), Some(3));
    assert_eq!(found("1", 0), Some(1));
    assert_eq!(found("1", 2), None);
    assert_eq!(found("-5", 1), Some(4));
    assert_eq!(found("01", 0), None);
    assert_eq!(strip.get(strip.find_from(strip.first(), b"-5").unwrap()), Element::Int(-5));
}

#[test]
fn more_elements_than_the_header_can_say() {
    let mut strip = Strip::new();
    for _ in 0..65_534 {
        strip.push_back(b"1");
    }
    assert_eq!((strip.stated_count(), strip.len()), (65_534, 65_534));
    strip.push_back(b"1");
    strip.push_back(b"2");
    assert_eq!((strip.stated_count(), strip.len()), (COUNT_UNKNOWN, 65_536));
    strip.remove(strip.first().unwrap(), 10);
    assert_eq!(strip.len(), 65_526);
    let file = strip.to_listpack();
    let read = Strip::from_elements(listpack::read(&file).expect("a listpack"));
    assert_eq!((read.stated_count(), read.len()), (65_526, 65_526));
    assert!(read.iter().eq(strip.iter()));
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
        1 => (4000..9000usize).prop_map(|length| vec![b'x'; length]),
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

/// One step on strip and model; steps that need an element are skipped while there is none.
fn apply(strip: &mut Strip, model: &mut Vec<Vec<u8>>, step: Step) {
    let pick = |at: usize, model: &[Vec<u8>]| if model.is_empty() { 0 } else { at % model.len() };
    match step {
        Step::PushBack(text) => {
            strip.push_back(&text);
            model.push(text);
        }
        Step::PushFront(text) => {
            strip.push_front(&text);
            model.insert(0, text);
        }
        _ if model.is_empty() => {}
        Step::InsertBefore(at, text) => {
            let at = pick(at, model);
            let new = strip.insert_before(strip.nth(at).unwrap(), &text);
            assert!(strip.get(new).is(&text));
            model.insert(at, text);
        }
        Step::InsertAfter(at, text) => {
            let at = pick(at, model);
            let new = strip.insert_after(strip.nth(at).unwrap(), &text);
            assert!(strip.get(new).is(&text));
            model.insert(at + 1, text);
        }
        Step::Replace(at, text) => {
            let at = pick(at, model);
            strip.replace(strip.nth(at).unwrap(), &text);
            model[at] = text;
        }
        Step::Remove(at, count) => {
            let at = pick(at, model);
            let next = strip.remove(strip.nth(at).unwrap(), count);
            model.drain(at..model.len().min(at + count));
            assert_eq!(next.map(|pos| strip.get(pos).to_vec()).as_ref(), model.get(at));
        }
        Step::SplitAndJoin(at) => {
            let at = pick(at, model);
            let tail = strip.split_off(strip.nth(at).unwrap());
            check(strip, &model[..at]);
            check(&tail, &model[at..]);
            strip.append(&tail);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn behaves_like_a_list(steps in prop::collection::vec(step(), 0..40), needle in text(), from in 0..20usize, to in 0..20usize) {
        let (mut strip, mut model) = (Strip::new(), Vec::new());
        for step in steps {
            apply(&mut strip, &mut model, step);
        }
        check(&strip, &model);
        prop_assert!(strip.memory() <= strip.byte_len() * 5 / 4 + 16);
        let cut: Vec<_> = model.iter().skip(from).take(to.saturating_sub(from)).cloned().collect();
        prop_assert_eq!(strip.range(from..to).map(|element| element.to_vec()).collect::<Vec<_>>(), cut);
        for wanted in model.iter().chain([&needle]) {
            let index = model.iter().position(|text| text == wanted);
            prop_assert_eq!(strip.find_from(strip.first(), wanted), index.and_then(|index| strip.nth(index)));
        }
        // Positions, from both ends.
        let (mut pos, mut back) = (strip.first(), Vec::new());
        while let Some(here) = pos {
            back.push(here);
            pos = strip.next(here);
        }
        let mut pos = strip.last();
        while let Some(here) = pos {
            prop_assert_eq!(back.pop(), Some(here));
            pos = strip.prev(here);
        }
        prop_assert!(back.is_empty());
    }
}
