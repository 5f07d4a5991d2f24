//! A sorted set: a flat sequence of members and scores while it is small (to clients and in files a listpack), then a skip list with a
//! table of members.
//!
//! `listpack --(a member too long, too many members)--> skiplist`; never back. Source of both thresholds:
//! `zset-max-listpack-*`. In a file's listpack a score without fraction is an integer element, another its shortest decimal text.

use super::{
    LISTPACK_BYTES_MAX, Malformed, check_distinct,
    walk::{Either, Pairs},
};
use crate::{Limits, StrRef};
use quorate_collections::{
    Apart, Compact, Flat, HashSeed,
    compact::Split,
    flat::{COUNT_MAX, Part, Pos, Scored},
    listpack::{self, Element, Writer},
    skiplist::{LexBound, ScoreBound, SkipList},
    text::INT_TEXT_MAX,
};
use std::{cmp::Ordering, collections::VecDeque, fmt, ops::Range};

/// Members ordered by score, then by their bytes. Ranks count from 0 at the lowest.
///
/// Ranges by score and by member are first turned into ranks ([`score_ranks`](Zset::score_ranks),
/// [`lex_ranks`](Zset::lex_ranks)), then counted, read or removed as ranks.
pub struct Zset {
    inner: Compact<Flat, SkipList>,
}

impl Apart for Zset {
    #[inline]
    fn prefetch(&self) {
        self.inner.prefetch();
    }
}

impl Zset {
    /// An empty sorted set.
    pub fn new() -> Self {
        Self { inner: Compact::small(Flat::new()) }
    }

    /// A sorted set from an RDB file's listpack `member score member score …`; a skip list when past the thresholds.
    pub fn from_listpack(elements: listpack::Iter<'_>, limits: &Limits) -> Result<Self, Malformed> {
        let count = elements.clone().count();
        if count == 0 {
            return Err(Malformed::Empty);
        }
        if !count.is_multiple_of(2) {
            return Err(Malformed::Odd);
        }
        check_distinct(Pairs(elements.clone()).map(|(member, _)| member))?;
        let scored = Pairs(elements).map(|(member, score)| Some((member, parse_score(score)?)));
        let pairs: Vec<_> = scored.collect::<Option<_>>().ok_or(Malformed::Score)?;
        if !pairs.is_sorted_by(|a, b| compare(*a, *b).is_lt()) {
            return Err(Malformed::Order);
        }
        let longest = pairs.iter().map(|(member, _)| member.text_len()).max().unwrap_or(0);
        if pairs.len() <= entries_max(limits) && longest <= limits.zset_max_listpack_value {
            let parts = pairs.iter().flat_map(|&(member, score)| [Part::of_element(member), Part::score(score)]);
            return Ok(Self { inner: Compact::small(Flat::from_parts(parts)) });
        }
        let mut zset = Self::new();
        let list = zset.enlarge(limits);
        for (member, score) in pairs {
            list.insert(member.text(&mut [0; INT_TEXT_MAX]), score);
        }
        Ok(zset)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match self.inner.split() {
            Split::Small(pairs) => pairs.len() / 2,
            Split::Large(list) => list.len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.inner.split() {
            Split::Small(pairs) => Some(pairs.number(score_of(pairs, pairs.find::<1>(member)?))),
            Split::Large(list) => list.score(member),
        }
    }

    /// Sets a member's score and says its old one. Panics on NaN.
    pub fn insert(&mut self, limits: &Limits, member: &[u8], score: f64) -> Option<f64> {
        self.update(limits, member, |_| Some(score))
    }

    /// Gives a member the score that `decide` says, if it says one, when told its present one. Answers with that. Panics on NaN.
    pub fn update(
        &mut self,
        limits: &Limits,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<f64> {
        let pairs = match self.inner.split_mut() {
            Split::Small(pairs) => pairs,
            Split::Large(list) => {
                let old = list.score(member);
                if let Some(score) = decide(old) {
                    list.insert(member, score);
                }
                return old;
            }
        };
        let at = pairs.find::<1>(member);
        let old = at.map(|at| pairs.number(score_of(pairs, at)));
        let Some(score) = decide(old) else { return old };
        assert!(!score.is_nan(), "a score is a number");
        if let Some((at, old)) = at.zip(old) {
            if old.total_cmp(&score).is_ne() {
                rescore(pairs, at, member, score);
            }
            return Some(old);
        }
        let fits = pairs.len() / 2 < entries_max(limits)
            && member.len() <= limits.zset_max_listpack_value
            && pairs.byte_len() + member.len() <= LISTPACK_BYTES_MAX;
        if !fits {
            return self.enlarge(limits).insert(member, score);
        }
        let pair = [Part::of(member), Part::score(score)];
        match pairs.first_above(member, score) {
            Some(at) => pairs.insert(at, pair),
            None => pairs.push(pair),
        }
        None
    }

    /// Removes a member and says its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self.inner.split_mut() {
            Split::Small(pairs) => {
                let at = pairs.find::<1>(member)?;
                let score = pairs.number(score_of(pairs, at));
                pairs.remove(at, 2);
                Some(score)
            }
            Split::Large(list) => list.remove(member),
        }
    }

    /// A member's rank.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match self.inner.split() {
            Split::Small(pairs) => {
                let wanted = Element::of(member);
                pairs.scored(0).position(|(other, _)| other == wanted)
            }
            Split::Large(list) => list.rank(member),
        }
    }

    /// The ranks of the members whose scores lie in a range; empty when none do.
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        match self.inner.split() {
            Split::Small(_) => {
                let below = |score: f64| match min {
                    ScoreBound::Included(min) => score < min,
                    ScoreBound::Excluded(min) => score <= min,
                };
                let within = |score: f64| match max {
                    ScoreBound::Included(max) => score <= max,
                    ScoreBound::Excluded(max) => score < max,
                };
                self.ranks(|(_, score)| below(score), |(_, score)| within(score))
            }
            Split::Large(list) => list.score_ranks(min, max),
        }
    }

    /// The ranks of the members that lie in a range, provided that all scores are equal; empty when none do.
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        match self.inner.split() {
            Split::Small(_) => {
                let below = |member: StrRef<'_>| match min {
                    LexBound::Lowest => false,
                    LexBound::Highest => true,
                    LexBound::Included(min) => member.text(&mut [0; INT_TEXT_MAX]) < min,
                    LexBound::Excluded(min) => member.text(&mut [0; INT_TEXT_MAX]) <= min,
                };
                let within = |member: StrRef<'_>| match max {
                    LexBound::Lowest => false,
                    LexBound::Highest => true,
                    LexBound::Included(max) => member.text(&mut [0; INT_TEXT_MAX]) <= max,
                    LexBound::Excluded(max) => member.text(&mut [0; INT_TEXT_MAX]) < max,
                };
                self.ranks(|(member, _)| below(member), |(member, _)| within(member))
            }
            Split::Large(list) => list.lex_ranks(min, max),
        }
    }

    /// The members of a range of ranks within the set, with their scores; reversible.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (StrRef<'_>, f64)> {
        let len = self.len();
        let end = ranks.end.min(len);
        let start = ranks.start.min(end);
        match self.inner.split() {
            Split::Small(pairs) => {
                Either::Small(Members { ahead: pairs.scored(start), left: end - start, gathered: VecDeque::new() })
            }
            Split::Large(list) => {
                Either::Large(list.range(start..end).map(|(member, score)| (StrRef::Bytes(member), score)))
            }
        }
    }

    /// Every member with its score, lowest first; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (StrRef<'_>, f64)> {
        self.range(0..self.len())
    }

    /// Removes the members of a range of ranks within the set.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        match self.inner.split_mut() {
            Split::Small(pairs) => {
                if let (false, Some(at)) = (ranks.is_empty(), pairs.nth(2 * ranks.start)) {
                    pairs.remove(at, 2 * ranks.len());
                }
            }
            Split::Large(list) => list.remove_range(ranks, &mut |_, _| {}),
        }
    }

    /// A member at random, with its score; none of an empty set.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(StrRef<'_>, f64)> {
        match self.inner.split() {
            Split::Small(_) if self.is_empty() => None,
            Split::Small(pairs) => {
                let at = pairs.nth(2 * rng.usize(..self.len())).expect("below the length");
                Some((pairs.get(at), pairs.number(score_of(pairs, at))))
            }
            Split::Large(list) => list.random(rng).map(|(member, score)| (StrRef::Bytes(member), score)),
        }
    }

    /// One step of ZSCAN; returns the next cursor, 0 at the end. A small encoding is visited whole.
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(StrRef<'_>, f64)) -> u64 {
        match self.inner.split() {
            Split::Small(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            Split::Large(list) => list.scan(cursor, &mut |member, score| visit(StrRef::Bytes(member), score)),
        }
    }

    /// Whether the encoding is the small one.
    pub fn is_small(&self) -> bool {
        matches!(self.inner.split(), Split::Small(_))
    }

    /// The listpack of an RDB file, when the encoding is the small one.
    pub fn listpack(&self) -> Option<Vec<u8>> {
        let Split::Small(pairs) = self.inner.split() else { return None };
        let mut out = Writer::new(pairs.byte_len() + 2 * pairs.len() + 1);
        for (member, score) in pairs.scored(0) {
            out.push(member);
            match Part::score(score) {
                Part::Int(score) => out.push(Element::Int(score)),
                _ => out.push(Element::Bytes(format!("{score:?}").as_bytes())),
            }
        }
        Some(out.finish())
    }

    /// The encoding as OBJECT ENCODING names it: `listpack` or `skiplist`.
    pub fn encoding_name(&self) -> &'static str {
        match self.inner.split() {
            Split::Small(_) => "listpack",
            Split::Large(_) => "skiplist",
        }
    }

    /// Bytes on the heap.
    pub fn memory(&self) -> usize {
        match self.inner.split() {
            Split::Small(pairs) => pairs.memory(),
            Split::Large(list) => list.memory(),
        }
    }

    /// From the first member that is not `below` to the first after it that is not `within`.
    fn ranks(
        &self,
        below: impl Fn((StrRef<'_>, f64)) -> bool,
        within: impl Fn((StrRef<'_>, f64)) -> bool,
    ) -> Range<usize> {
        let start = self.iter().take_while(|pair| below(*pair)).count();
        let count = self.range(start..self.len()).take_while(|pair| within(*pair)).count();
        start..start + count
    }

    /// Takes the large encoding, if it is not there yet.
    fn enlarge(&mut self, limits: &Limits) -> &mut SkipList {
        if let Split::Small(_) = self.inner.split() {
            self.inner = Compact::large(self.to_skiplist(limits.seed));
        }
        match self.inner.split_mut() {
            Split::Large(list) => list,
            Split::Small(_) => unreachable!("just enlarged"),
        }
    }

    fn to_skiplist(&self, seed: HashSeed) -> SkipList {
        let mut list = SkipList::new(seed);
        for (member, score) in self.iter() {
            list.insert(member.text(&mut [0; INT_TEXT_MAX]), score);
        }
        list
    }
}

/// The order of a sorted set.
fn compare(a: (StrRef<'_>, f64), b: (StrRef<'_>, f64)) -> Ordering {
    let by_score = a.1.partial_cmp(&b.1).expect("a score is a number");
    by_score.then_with(|| a.0.text(&mut [0; INT_TEXT_MAX]).cmp(b.0.text(&mut [0; INT_TEXT_MAX])))
}

/// Most members of a small sorted set.
fn entries_max(limits: &Limits) -> usize {
    limits.zset_max_listpack_entries.min(COUNT_MAX / 2)
}

/// Where the score of the member at `at` stands.
fn score_of(pairs: &Flat, at: Pos) -> Pos {
    pairs.next(at).expect("a member is followed by its score")
}

/// Gives the member at `at` another score and moves it where it belongs then.
fn rescore(pairs: &mut Flat, at: Pos, member: &[u8], score: f64) {
    pairs.replace(score_of(pairs, at), Part::score(score));
    let (end, to) = (pairs.next(score_of(pairs, at)), pairs.first_above(member, score));
    if to != end {
        pairs.shift(at, end, to);
    }
}

/// A range of a small sorted set, reversible: what is asked for from its end is gathered from its front first.
struct Members<'a> {
    ahead: Scored<'a>,
    /// Of those ahead that were not gathered.
    left: usize,
    gathered: VecDeque<(StrRef<'a>, f64)>,
}

impl<'a> Iterator for Members<'a> {
    type Item = (StrRef<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.ahead.next()
            }
            None => self.gathered.pop_front(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left + self.gathered.len();
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Members<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.left > 0 {
            self.gathered.extend(self.ahead.by_ref().take(self.left));
            self.left = 0;
        }
        self.gathered.pop_back()
    }
}

/// A score as a file's listpack holds it. Texts come from untrusted files too.
#[allow(clippy::cast_precision_loss, reason = "an integer element stands for the nearest double, as in Redis")]
fn parse_score(score: StrRef<'_>) -> Option<f64> {
    match score {
        StrRef::Int(number) => Some(number as f64),
        StrRef::Bytes(text) => {
            let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (!score.is_nan()).then_some(score)
        }
    }
}

impl Default for Zset {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Zset {
    fn clone(&self) -> Self {
        let inner = match self.inner.split() {
            Split::Small(pairs) => Compact::small(pairs.clone()),
            Split::Large(list) => Compact::large(self.to_skiplist(list.seed())),
        };
        Self { inner }
    }
}

impl fmt::Debug for Zset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::testing::{limits, listpack, text};
    use proptest::prelude::*;

    /// Scores that meet again, with the odd ones among them.
    fn score() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-4i8..4).prop_map(f64::from),
            2 => (-4i8..4).prop_map(|score| f64::from(score) / 3.0),
            1 => prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e-300, 9.3e18, -0.0]),
        ]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Vec<u8>, f64),
        Remove(Vec<u8>),
        RemoveRanks(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (text(), score()).prop_map(|(member, score)| Step::Insert(member, score)),
            3 => text().prop_map(Step::Remove),
            1 => (0..12usize, 0..3usize).prop_map(|(start, count)| Step::RemoveRanks(start, count)),
        ]
    }

    /// The same set as a sorted vector.
    #[derive(Default)]
    struct Model(Vec<(Vec<u8>, f64)>);

    impl Model {
        fn insert(&mut self, member: Vec<u8>, score: f64) -> Option<f64> {
            let old = self.remove(&member);
            self.0.push((member, score));
            self.0.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then_with(|| a.0.cmp(&b.0)));
            old
        }
        fn remove(&mut self, member: &[u8]) -> Option<f64> {
            let at = self.0.iter().position(|(other, _)| other == member)?;
            Some(self.0.remove(at).1)
        }
    }

    #[test]
    fn encodings_change_at_the_thresholds() {
        let limits = limits();
        let mut zset = Zset::new();
        for i in 0..limits.zset_max_listpack_entries {
            zset.insert(&limits, format!("m{i}").as_bytes(), 1.5);
        }
        zset.insert(&limits, b"m0", 2.0);
        assert_eq!(zset.encoding_name(), "listpack");
        zset.insert(&limits, b"one more", 1.0);
        assert_eq!(zset.encoding_name(), "skiplist");
        let mut zset = Zset::new();
        zset.insert(&limits, &vec![b'x'; limits.zset_max_listpack_value + 1], 1.0);
        assert_eq!(zset.encoding_name(), "skiplist");
    }

    #[test]
    fn a_listpack_must_hold_members_in_order_with_scores() {
        let pack = |texts: &[&str]| {
            let bytes = listpack(texts);
            let zset = Zset::from_listpack(listpack::read(&bytes).expect("well-formed"), &limits())?;
            assert!(zset.listpack().is_none_or(|back| back == bytes), "back as it came");
            Ok((zset.len(), zset.is_small()))
        };
        assert_eq!(pack(&["b", "1", "a", "2.5", "c", "inf"]), Ok((3, true)));
        assert_eq!(pack(&["xxxxxxxxxxxxx", "1"]), Ok((1, false)), "a member above the threshold");
        assert_eq!(pack(&["a", "2", "b", "1"]), Err(Malformed::Order));
        assert_eq!(pack(&["a", "1", "a", "2"]), Err(Malformed::Duplicate));
        assert_eq!(pack(&["a", "nan"]), Err(Malformed::Score));
        assert_eq!(pack(&["a", "x"]), Err(Malformed::Score));
        assert_eq!(pack(&["a"]), Err(Malformed::Odd));
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_vector(
            steps in prop::collection::vec(step(), 0..50),
            (low, high) in (score(), score()),
            (from, to) in (text(), text()),
        ) {
            let (mut zset, limits) = (Zset::new(), limits());
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Insert(member, score) => {
                        prop_assert_eq!(zset.insert(&limits, &member, score), model.insert(member, score));
                    }
                    Step::Remove(member) => prop_assert_eq!(zset.remove(&member), model.remove(&member)),
                    Step::RemoveRanks(start, count) => {
                        let ranks = start.min(model.0.len())..(start + count).min(model.0.len());
                        zset.remove_ranks(ranks.clone());
                        model.0.drain(ranks);
                    }
                }
                prop_assert_eq!(zset.len(), model.0.len());
            }
            let copy = zset.clone();
            for view in [&zset, &copy] {
                let all: Vec<_> = view.iter().map(|(member, score)| (member.to_vec(), score)).collect();
                prop_assert_eq!(&all, &model.0);
                let back: Vec<_> = view.iter().rev().map(|(member, score)| (member.to_vec(), score)).collect();
                prop_assert!(back.iter().eq(model.0.iter().rev()));
            }
            for (rank, (member, score)) in model.0.iter().enumerate() {
                prop_assert_eq!(zset.rank(member), Some(rank));
                prop_assert_eq!(zset.score(member), Some(*score));
            }
            for (min, max) in [
                (ScoreBound::Included(low), ScoreBound::Included(high)),
                (ScoreBound::Excluded(low), ScoreBound::Excluded(high)),
            ] {
                let above = |score: f64| match min { ScoreBound::Included(_) => score >= low, ScoreBound::Excluded(_) => score > low };
                let below = |score: f64| match max { ScoreBound::Included(_) => score <= high, ScoreBound::Excluded(_) => score < high };
                let want: Vec<_> = model.0.iter().filter(|(_, score)| above(*score) && below(*score)).cloned().collect();
                let got: Vec<_> = zset.range(zset.score_ranks(min, max)).map(|(member, score)| (member.to_vec(), score)).collect();
                prop_assert_eq!(got, want);
            }
            let mut flat = Zset::new();
            model.0.iter().for_each(|(member, _)| { flat.insert(&limits, member, 0.0); });
            for (min, max) in [
                (LexBound::Included(&from[..]), LexBound::Excluded(&to[..])),
                (LexBound::Excluded(&from[..]), LexBound::Included(&to[..])),
                (LexBound::Lowest, LexBound::Highest),
                (LexBound::Highest, LexBound::Lowest),
            ] {
                let above = |member: &[u8]| match min {
                    LexBound::Included(min) => member >= min,
                    LexBound::Excluded(min) => member > min,
                    LexBound::Lowest => true,
                    LexBound::Highest => false,
                };
                let below = |member: &[u8]| match max {
                    LexBound::Included(max) => member <= max,
                    LexBound::Excluded(max) => member < max,
                    LexBound::Lowest => false,
                    LexBound::Highest => true,
                };
                let mut want: Vec<_> = model.0.iter().map(|(member, _)| member.clone()).filter(|member| above(member) && below(member)).collect();
                want.sort();
                let got: Vec<_> = flat.range(flat.lex_ranks(min, max)).map(|(member, _)| member.to_vec()).collect();
                prop_assert_eq!(got, want);
            }
        }
    }
}
