//! The skip list beside a sorted vector.
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SEED: HashSeed = HashSeed([17, 4711]);

type Model = Vec<(f64, Vec<u8>)>;

/// Every invariant of the module's header.
fn check_links(list: &SkipList) {
    let nodes: Vec<NodeRef> = {
        let mut nodes = Vec::new();
        let mut next = list.head[0].next;
        while let Some(node) = next {
            nodes.push(node);
            next = node.link(0).next;
        }
        nodes
    };
    assert_eq!((nodes.len(), list.index.len()), (list.len, list.len));
    assert_eq!(list.tail, nodes.last().copied());
    assert_eq!(list.bytes, nodes.iter().map(|node| node.size()).sum::<usize>());
    for (at, node) in nodes.iter().enumerate() {
        assert_eq!(node.back(), at.checked_sub(1).map(|before| nodes[before]));
        if let Some(next) = nodes.get(at + 1) {
            assert!(node.precedes(next.score(), next.member()));
        }
        assert!(node.height() <= LEVELS_MAX);
    }
    for level in 0..list.levels {
        // The head stands at rank 0, the nodes from 1 on.
        let (mut link, mut rank) = (list.head[level], 0);
        while let Some(next) = link.next {
            rank += link.span;
            assert!(nodes[rank - 1] == next, "a span counts the nodes that it passes");
            link = next.link(level);
        }
        assert_eq!(rank + link.span, nodes.len());
    }
    assert!(nodes.iter().all(|node| node.height() <= list.levels));
}

/// All that can be asked, beside the sorted vector.
fn check(list: &SkipList, model: &Model) {
    check_links(list);
    assert!(list.iter().eq(model.iter().map(|(score, member)| (&member[..], *score))));
    assert!(list.iter().rev().eq(model.iter().rev().map(|(score, member)| (&member[..], *score))));
    for (rank, (score, member)) in model.iter().enumerate() {
        assert_eq!(list.rank(member), Some(rank));
        assert_eq!(list.score(member), Some(*score));
        assert_eq!(list.by_rank(rank), Some((&member[..], *score)));
    }
    assert_eq!(list.by_rank(model.len()), None);
}

fn sort(model: &mut Model) {
    model.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-5..5i32).prop_map(f64::from),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(0.1 + 0.2),
    ]
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![(0..60u32).prop_map(|number| number.to_string().into_bytes()), Just(vec![]), Just(vec![0xff; 300])]
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>, f64),
    Remove(Vec<u8>),
    RemoveRange(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (member(), score()).prop_map(|(member, score)| Step::Insert(member, score)),
        4 => member().prop_map(Step::Remove),
        1 => (0..60usize, 0..12usize).prop_map(|(at, count)| Step::RemoveRange(at, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn behaves_like_a_sorted_vector(
        steps in prop::collection::vec(step(), 0..200),
        bounds in prop::collection::vec((score(), any::<bool>(), score(), any::<bool>()), 8),
        from in 0..50usize,
        to in 0..70usize,
    ) {
        let (mut list, mut model) = (SkipList::new(SEED), Model::new());
        for step in steps {
            match step {
                Step::Insert(member, score) => {
                    let held = model.iter().position(|(_, other)| *other == member).map(|at| model.remove(at).0);
                    prop_assert_eq!(list.insert(&member, score), held);
                    model.push((score, member));
                    sort(&mut model);
                }
                Step::Remove(member) => {
                    let held = model.iter().position(|(_, other)| *other == member).map(|at| model.remove(at).0);
                    prop_assert_eq!(list.remove(&member), held);
                }
                Step::RemoveRange(at, count) => {
                    let mut removed = Model::new();
                    list.remove_range(at..at + count, &mut |member, score| removed.push((score, member.to_vec())));
                    let end = (at + count).min(model.len());
                    let wanted: Model = if at < end { model.drain(at..end).collect() } else { vec![] };
                    prop_assert_eq!(removed, wanted);
                }
            }
        }
        check(&list, &model);
        for (low, opens, high, closes) in bounds {
            let min = if opens { ScoreBound::Included(low) } else { ScoreBound::Excluded(low) };
            let max = if closes { ScoreBound::Included(high) } else { ScoreBound::Excluded(high) };
            let inside = |score: f64| {
                (score > low || opens && score == low) && (score < high || closes && score == high)
            };
            let wanted: Vec<_> = model.iter().filter(|(score, _)| inside(*score)).map(|(score, member)| (&member[..], *score)).collect();
            let found = list.range(list.score_ranks(min, max));
            prop_assert_eq!(found.len(), wanted.len());
            prop_assert_eq!(found.collect::<Vec<_>>(), wanted);
        }
        let wanted: Vec<_> = model.iter().take(to).skip(from).map(|(score, member)| (&member[..], *score)).collect();
        prop_assert_eq!(list.range(from..to).collect::<Vec<_>>(), wanted.clone());
        prop_assert!(list.range(from..to).rev().eq(wanted.into_iter().rev()));
    }

    #[test]
    fn ranges_of_members(members in prop::collection::btree_set(member(), 0..40), low in member(), high in member(), kinds in (0..4u8, 0..4u8)) {
        fn bound(kind: u8, member: &[u8]) -> LexBound<'_> {
            match kind {
                0 => LexBound::Lowest,
                1 => LexBound::Highest,
                2 => LexBound::Included(member),
                _ => LexBound::Excluded(member),
            }
        }
        let mut list = SkipList::new(SEED);
        members.iter().for_each(|member| assert_eq!(list.insert(member, 3.0), None));
        let above = |member: &Vec<u8>| match kinds.0 { 0 => true, 1 => false, 2 => *member >= low, _ => *member > low };
        let below = |member: &Vec<u8>| match kinds.1 { 0 => false, 1 => true, 2 => *member <= high, _ => *member < high };
        let wanted: Vec<&[u8]> = members.iter().filter(|member| above(member) && below(member)).map(|member| &member[..]).collect();
        let ranks = list.lex_ranks(bound(kinds.0, &low), bound(kinds.1, &high));
        prop_assert_eq!(list.range(ranks).map(|(member, _)| member).collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn heights_thin_out_by_four() {
    let mut list = SkipList::new(SEED);
    for number in 0..20_000u32 {
        list.insert(format!("member {number}").as_bytes(), f64::from(number % 100));
    }
    check_links(&list);
    let tall = |least: usize| {
        let mut next = list.head[0].next;
        let nodes = std::iter::from_fn(|| {
            let node = next?;
            next = node.link(0).next;
            Some(node)
        });
        nodes.filter(|node| node.height() >= least).count()
    };
    assert!((4_500..5_500).contains(&tall(2)), "{}", tall(2));
    assert!((1_100..1_400).contains(&tall(3)), "{}", tall(3));
    assert!(list.memory() < 20_000 * 85, "{}", list.memory());
}

#[test]
fn scan_and_random_reach_every_member() {
    let mut list = SkipList::new(SEED);
    for number in 0..500u32 {
        list.insert(&number.to_le_bytes(), f64::from(number));
    }
    let (mut seen, mut cursor) = (BTreeSet::new(), 0);
    loop {
        cursor = list.scan(cursor, &mut |member, score| {
            assert_eq!(member, (score as u32).to_le_bytes());
            seen.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
    let mut rng = fastrand::Rng::with_seed(9);
    let drawn: BTreeSet<Vec<u8>> = (0..20_000).map(|_| list.random(&mut rng).expect("not empty").0.to_vec()).collect();
    assert_eq!(drawn.len(), 500);
}

#[test]
#[should_panic(expected = "a score is a number")]
fn nan_is_a_programmer_s_error() {
    SkipList::new(SEED).insert(b"a", f64::NAN);
}
