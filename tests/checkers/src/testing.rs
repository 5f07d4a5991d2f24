//! Histories as one line of text, and a search over all interleavings: slow and obvious, to compare the judges with.

use std::collections::HashSet;
use std::hash::Hash;

use crate::breach::Breach;
use crate::history::{Call, Client, End, Time, Value};

/// `w1 0..5 r1 6..? …`: a word, then when it began and ended: `..5` acknowledged, `..?` unknown, `..!` refused.
pub(crate) fn calls<O>(history: &str, parse: impl Fn(&str) -> O) -> Vec<Call<O>> {
    let words: Vec<&str> = history.split_whitespace().collect();
    let call = |pair: &[&str]| {
        let (began, end) = pair[1].split_once("..").expect("a time is written as 0..1");
        let end = match end {
            "?" => End::Unknown,
            "!" => End::Refused,
            at => End::Ok(Time(at.parse().expect("a moment is a number"))),
        };
        let began = Time(began.parse().expect("a moment is a number"));
        Call { client: Client(0), op: parse(pair[0]), began, end }
    };
    words.chunks(2).map(call).collect()
}

pub(crate) fn number(text: &str) -> Value {
    Value(text.parse().unwrap_or_else(|_| panic!("'{text}' is no value")))
}

/// `1,2,3`, or nothing.
pub(crate) fn list(text: &str) -> Vec<Value> {
    text.split(',').filter(|word| !word.is_empty()).map(number).collect()
}

/// Breaches, separated by `; `.
pub(crate) fn shown(breaches: &[Breach]) -> String {
    breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Is there an order of the calls that agrees with real time and with the plain state? J. Wing and C. Gong, "Testing and verifying concurrent
/// objects", 1993, with G. Lowe's memory of what was tried. For a few calls only.
pub(crate) fn linearizable<O, S: Clone + Eq + Hash>(
    calls: &[Call<O>],
    start: S,
    step: impl Fn(&S, &O) -> Option<S>,
) -> bool {
    let calls: Vec<&Call<O>> = calls.iter().filter(|call| call.end != End::Refused).collect();
    assert!(calls.len() <= 64, "a search over so many calls takes too long");
    let must: u64 = calls.iter().enumerate().filter(|(_, call)| call.acknowledged()).map(|(index, _)| 1 << index).sum();
    let mut tried = HashSet::new();
    let mut open = vec![(0_u64, start)];
    while let Some((done, state)) = open.pop() {
        if done & must == must {
            return true;
        }
        let waiting = |index: &usize| done & (1 << index) == 0;
        let earliest_end = (0..calls.len()).filter(waiting).map(|index| calls[index].over()).min();
        for index in (0..calls.len()).filter(waiting) {
            if earliest_end.is_some_and(|end| end < calls[index].began) {
                continue;
            }
            if let Some(next) = step(&state, &calls[index].op) {
                let next = (done | (1 << index), next);
                if tried.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    false
}
