//! Real time against the order in which calls took effect.
//!
//! Once every call has a place in the one order of effects, a history is linearizable exactly when no call that began after another one was
//! over stands before it.

use crate::breach::Breach;
use crate::history::{Call, Time, Value};

/// A call and its place in the order of effects. Calls at an equal place may stand in any order among themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<P> {
    pub began: Time,
    pub over: Time,
    pub place: P,
    /// Its index in the history, for whoever reports it.
    pub call: usize,
}

/// The pairs (earlier, later) of calls in which `later` began after `earlier` was over and yet stands before it. One pair a `later`, with the
/// `earlier` that stands last.
pub(crate) fn against_real_time<P: Ord + Copy>(calls: &[Placed<P>]) -> Vec<(usize, usize)> {
    let mut by_start: Vec<&Placed<P>> = calls.iter().collect();
    by_start.sort_by_key(|call| call.began);
    let mut by_end: Vec<&Placed<P>> = calls.iter().filter(|call| call.over < Time(u64::MAX)).collect();
    by_end.sort_by_key(|call| call.over);
    let mut ended = by_end.into_iter().peekable();
    let mut last: Option<&Placed<P>> = None;
    let mut found = Vec::new();
    for call in by_start {
        while let Some(over) = ended.next_if(|other| other.over < call.began) {
            if last.is_none_or(|last| over.place > last.place) {
                last = Some(over);
            }
        }
        if let Some(last) = last.filter(|last| last.place > call.place) {
            found.push((last.call, call.call));
        }
    }
    found
}

/// What calls that stand against real time are guilty of; `written` tells writes from reads.
pub(crate) fn breaches<O, P: Ord + Copy>(
    calls: &[Call<O>],
    placed: &[Placed<P>],
    written: impl Fn(&O) -> Option<Value>,
) -> Vec<Breach> {
    let name = |(earlier, later): (usize, usize)| {
        let (earlier, later) = (&calls[earlier], &calls[later]);
        match (written(&earlier.op), written(&later.op)) {
            (Some(earlier), Some(later)) => Breach::Reordered { earlier, later },
            (_, None) => Breach::Stale { read: later.began },
            // A write that stands before what an earlier read had seen.
            (None, Some(_)) => Breach::Contradiction { one: earlier.began, other: later.began },
        }
    };
    against_real_time(placed).into_iter().map(name).collect()
}
