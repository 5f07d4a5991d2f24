//! A sorted set in its large form: a skip list ordered by (score, member), and a table from member to node, so that each member is
//! stored once, beside its score and links in one allocation.
//!
//! Every link knows how many nodes it passes (those of the lowest level pass one, and do not say so), so that ranks cost O(log n):
//! W. Pugh, "A Skip List Cookbook", section 3.4. A node's height comes from its member's keyed hash instead of a generator: three in four
//! have one level, a quarter more each further one.
//! Ranges of scores or members become ranges of ranks first; counting, reading and removing then work on ranks alone.
//!
//! Invariants: nodes ascend strictly by (score, member); the span of a link that leads nowhere counts the nodes up to the end;
//! `index` holds exactly the nodes of the list; levels from `levels` on are unused.
use crate::{HashSeed, Keyed, Table, blocks};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;

/// Most levels: enough for 4^20 members.
const LEVELS_MAX: usize = 20;
/// Bits of the hash that decide a height; the lowest and the highest choose buckets and tags.
const HEIGHT_SHIFT: u32 = 16;

/// One end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoreBound {
    /// The score itself belongs to the range.
    Included(f64),
    /// It does not.
    Excluded(f64),
}

impl ScoreBound {
    /// Does `score` lie below a range that begins here?
    pub fn is_above(self, score: f64) -> bool {
        match self {
            ScoreBound::Included(bound) => score < bound,
            ScoreBound::Excluded(bound) => score <= bound,
        }
    }

    /// Does `score` lie above a range that ends here?
    pub fn is_below(self, score: f64) -> bool {
        match self {
            ScoreBound::Included(bound) => score > bound,
            ScoreBound::Excluded(bound) => score >= bound,
        }
    }
}

/// One end of a range of members, for sets whose scores are all equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: below every member.
    Lowest,
    /// `+`: above every member.
    Highest,
    /// `[member`
    Included(&'a [u8]),
    /// `(member`
    Excluded(&'a [u8]),
}

impl LexBound<'_> {
    /// Does `member` lie below a range that begins here?
    pub fn is_above(self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Included(bound) => member < bound,
            LexBound::Excluded(bound) => member <= bound,
        }
    }

    /// Does `member` lie above a range that ends here?
    pub fn is_below(self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Included(bound) => member > bound,
            LexBound::Excluded(bound) => member >= bound,
        }
    }
}

#[derive(Clone, Copy)]
struct Link {
    next: Option<NodeRef>,
    /// Nodes from here to `next`, that one included.
    span: usize,
}

const NOWHERE: Link = Link { next: None, span: 0 };

/// A link of the lowest level.
fn lowest(next: Option<NodeRef>) -> Link {
    Link { next, span: usize::from(next.is_some()) }
}

/// What every node begins with; the links above the lowest and the member follow in the same block.
#[repr(C)]
struct Node {
    score: f64,
    back: Option<NodeRef>,
    /// The lowest link, which passes one node if it leads anywhere.
    next: Option<NodeRef>,
    member_len: u32,
    height: u32,
}

/// The address of a node that is alive: every `NodeRef` in reach belongs to a list that still holds the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NodeRef(NonNull<Node>);

impl NodeRef {
    fn new(member: &[u8], score: f64, height: usize) -> Self {
        let member_len = u32::try_from(member.len()).expect("strings are limited to 512 MB");
        let at = blocks::take(Self::size_for(height, member.len())).cast::<Node>();
        let node = NodeRef(at);
        // SAFETY: the block has room for node, links and member, written here before anybody reads them.
        unsafe {
            at.write(Node { score, back: None, next: None, member_len, height: height as u32 });
            (1..height).for_each(|level| node.link_at(level).write(NOWHERE));
            node.link_at(height).cast::<u8>().copy_from_nonoverlapping(member.as_ptr(), member.len());
        }
        node
    }

    fn size_for(height: usize, member_len: usize) -> usize {
        size_of::<Node>() + (height - 1) * size_of::<Link>() + member_len
    }

    fn size(self) -> usize {
        Self::size_for(self.height(), self.member().len())
    }

    /// # Safety
    /// No other copy of this reference is used again.
    unsafe fn free(self) {
        // SAFETY: taken in `new` with this size; a node has nothing to drop.
        unsafe { blocks::give(self.0.cast(), self.size()) };
    }

    /// Where the link of a level above the lowest stands; at the height, the member.
    fn link_at(self, level: usize) -> *mut Link {
        // SAFETY: links follow the node; callers stay at or below its height.
        unsafe { self.0.as_ptr().add(1).cast::<Link>().add(level - 1) }
    }

    fn score(self) -> f64 {
        // SAFETY: the node is alive, and no reference into it exists but to members.
        unsafe { (*self.0.as_ptr()).score }
    }

    fn back(self) -> Option<NodeRef> {
        // SAFETY: as in `score`.
        unsafe { (*self.0.as_ptr()).back }
    }

    fn height(self) -> usize {
        // SAFETY: as in `score`.
        unsafe { (*self.0.as_ptr()).height as usize }
    }

    fn link(self, level: usize) -> Link {
        debug_assert!(level < self.height());
        // SAFETY: as in `score`.
        unsafe { if level == 0 { lowest((*self.0.as_ptr()).next) } else { self.link_at(level).read() } }
    }

    /// # Safety
    /// The node is alive, and nobody else looks at it.
    unsafe fn set_link(self, level: usize, link: Link) {
        debug_assert!(level < self.height());
        debug_assert!(level > 0 || link.span == usize::from(link.next.is_some()), "the lowest link passes one node");
        // SAFETY: the caller's promise; the node has this level.
        unsafe {
            if level == 0 {
                (*self.0.as_ptr()).next = link.next;
            } else {
                self.link_at(level).write(link);
            }
        }
    }

    fn member<'a>(self) -> &'a [u8] {
        // SAFETY: the member follows the links and never changes; public functions tie 'a to a borrow of the list.
        unsafe {
            let length = (*self.0.as_ptr()).member_len as usize;
            std::slice::from_raw_parts(self.link_at(self.height()).cast(), length)
        }
    }

    fn precedes(self, score: f64, member: &[u8]) -> bool {
        self.score() < score || self.score() == score && self.member() < member
    }
}

impl Keyed for NodeRef {
    fn key(&self) -> &[u8] {
        self.member()
    }

    fn touch(&self) {
        std::hint::black_box(self.score());
    }
}

/// The way down to a place between two nodes: on each level the last node before it (`None`: the head) and that node's rank, from 1.
struct Path {
    nodes: [Option<NodeRef>; LEVELS_MAX],
    ranks: [usize; LEVELS_MAX],
}

/// Members with scores, ordered by score and then member. A score is never NaN.
pub struct SkipList {
    index: Table<NodeRef>,
    head: Box<[Link; LEVELS_MAX]>,
    tail: Option<NodeRef>,
    /// Nodes that are linked: all, but for the one that is being moved.
    len: usize,
    levels: usize,
    /// Bytes of all nodes.
    bytes: usize,
}

// SAFETY: the list owns its nodes, and nobody else has references to them.
unsafe impl Send for SkipList {}

impl SkipList {
    /// An empty set.
    pub fn new(seed: HashSeed) -> Self {
        SkipList {
            index: Table::new(seed),
            head: Box::new([NOWHERE; LEVELS_MAX]),
            tail: None,
            len: 0,
            levels: 1,
            bytes: 0,
        }
    }

    /// How many members.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The seed of its hashes.
    pub fn seed(&self) -> HashSeed {
        self.index.seed()
    }

    /// No members?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.head) + self.bytes + self.index.memory()
    }

    /// The member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.index.get(member).map(|node| node.score())
    }

    /// Gives `member` the score `score`; returns the score that it had. Panics on NaN.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        assert!(!score.is_nan(), "a score is a number");
        let Some(&node) = self.index.get(member) else {
            let height = height_of(self.index.hash(member));
            let node = NodeRef::new(member, score, height);
            self.bytes += node.size();
            self.link(node);
            self.index.insert(node);
            return None;
        };
        let old = node.score();
        if old == score {
            return Some(old);
        }
        let fits_after = node.back().is_none_or(|back| back.precedes(score, member));
        let fits_before = node.link(0).next.is_none_or(|next| !next.precedes(score, member));
        let moves = !(fits_after && fits_before);
        if moves {
            self.unlink(node);
        }
        // SAFETY: the node is alive and `&mut self` excludes readers.
        unsafe { (*node.0.as_ptr()).score = score };
        if moves {
            self.link(node);
        }
        Some(old)
    }

    /// Removes `member`; returns its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let node = self.index.remove(member)?;
        self.unlink(node);
        Some(self.release(node))
    }

    /// How many members stand before `member`.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let node = self.index.get(member)?;
        Some(self.count_while(|other| other.precedes(node.score(), member)))
    }

    /// The member of rank `rank`.
    pub fn by_rank(&self, rank: usize) -> Option<(&[u8], f64)> {
        self.node_at(rank).map(|node| (node.member(), node.score()))
    }

    /// The ranks of the members whose scores lie between `min` and `max`; O(log n).
    pub fn score_ranks(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = self.count_while(|node| min.is_above(node.score()));
        let end = self.count_while(|node| !max.is_below(node.score()));
        start..end.max(start)
    }

    /// The ranks of the members between `min` and `max`, all scores being equal; O(log n).
    pub fn lex_ranks(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let start = self.count_while(|node| min.is_above(node.member()));
        let end = self.count_while(|node| !max.is_below(node.member()));
        start..end.max(start)
    }

    /// The members of these ranks (cut to the length) in order; reversible.
    pub fn range(&self, ranks: Range<usize>) -> RangeIter<'_> {
        let end = ranks.end.min(self.len());
        let left = end.saturating_sub(ranks.start);
        let front = if left > 0 { self.node_at(ranks.start) } else { None };
        let back = if left > 0 { self.node_at(end - 1) } else { None };
        RangeIter { front, back, left, list: PhantomData }
    }

    /// All members in order; reversible.
    pub fn iter(&self) -> RangeIter<'_> {
        RangeIter { front: self.head[0].next, back: self.tail, left: self.len(), list: PhantomData }
    }

    /// Removes the members of these ranks (cut to the length), showing each to `removed`.
    pub fn remove_range(&mut self, ranks: Range<usize>, removed: &mut dyn FnMut(&[u8], f64)) {
        let count = ranks.end.min(self.len()).saturating_sub(ranks.start);
        if count == 0 {
            return;
        }
        let mut path = self.path_to_rank(ranks.start);
        for _ in 0..count {
            let node = self.link_of(path.nodes[0], 0).next.expect("the ranks are below the length");
            self.unlink_at(&mut path, node);
            self.index.remove(node.member());
            removed(node.member(), node.score());
            self.release(node);
        }
    }

    /// One step of a scan in table order; as [`crate::Table::scan`].
    pub fn scan(&self, cursor: u64, visit: &mut dyn FnMut(&[u8], f64)) -> u64 {
        self.index.scan(cursor, &mut |node| visit(node.member(), node.score()))
    }

    /// One member, all as good as equally likely.
    pub fn random(&self, rng: &mut fastrand::Rng) -> Option<(&[u8], f64)> {
        self.index.random(rng).map(|node| (node.member(), node.score()))
    }

    fn link_of(&self, node: Option<NodeRef>, level: usize) -> Link {
        node.map_or_else(|| self.head[level], |node| node.link(level))
    }

    fn set_link(&mut self, node: Option<NodeRef>, level: usize, link: Link) {
        match node {
            None => self.head[level] = link,
            // SAFETY: the node is alive and has this level; the borrow of self keeps others away.
            Some(node) => unsafe { node.set_link(level, link) },
        }
    }

    /// How many nodes satisfy `before`, which holds for a first part of the list and then never again.
    fn count_while(&self, before: impl Fn(NodeRef) -> bool) -> usize {
        let (mut at, mut rank) = (None, 0);
        for level in (0..self.levels).rev() {
            loop {
                let link = self.link_of(at, level);
                let Some(next) = link.next.filter(|&next| before(next)) else { break };
                rank += link.span;
                at = Some(next);
            }
        }
        rank
    }

    fn node_at(&self, rank: usize) -> Option<NodeRef> {
        if rank >= self.len() {
            return None;
        }
        if rank + 1 == self.len() {
            return self.tail;
        }
        let path = self.path_to_rank(rank);
        self.link_of(path.nodes[0], 0).next
    }

    /// The way to the node of this rank.
    fn path_to_rank(&self, rank: usize) -> Path {
        self.path(|_, passed| passed <= rank)
    }

    /// The way past all nodes that satisfy `before`, which is also told their rank, from 1.
    fn path(&self, before: impl Fn(NodeRef, usize) -> bool) -> Path {
        let mut path = Path { nodes: [None; LEVELS_MAX], ranks: [0; LEVELS_MAX] };
        let (mut at, mut rank) = (None, 0);
        for level in (0..self.levels).rev() {
            loop {
                let link = self.link_of(at, level);
                let Some(next) = link.next.filter(|&next| before(next, rank + link.span)) else { break };
                rank += link.span;
                at = Some(next);
            }
            (path.nodes[level], path.ranks[level]) = (at, rank);
        }
        path
    }

    /// Puts a node where its score and member belong.
    fn link(&mut self, node: NodeRef) {
        let (score, member, height) = (node.score(), node.member(), node.height());
        let path = self.path(|other, _| other.precedes(score, member));
        let rank = path.ranks[0];
        while self.levels < height {
            self.head[self.levels] = Link { next: None, span: self.len };
            self.levels += 1;
        }
        for level in 0..self.levels {
            let passed = rank - path.ranks[level];
            let before = self.link_of(path.nodes[level], level);
            if level >= height {
                self.set_link(path.nodes[level], level, Link { span: before.span + 1, ..before });
                continue;
            }
            self.set_link(path.nodes[level], level, Link { next: Some(node), span: passed + 1 });
            self.set_link(Some(node), level, Link { next: before.next, span: before.span - passed });
        }
        self.set_back(Some(node), path.nodes[0]);
        self.set_back(node.link(0).next, Some(node));
        self.len += 1;
    }

    fn unlink(&mut self, node: NodeRef) {
        let mut path = self.path(|other, _| other.precedes(node.score(), node.member()));
        self.unlink_at(&mut path, node);
    }

    /// Unlinks the node to which `path` leads; the path then leads to the one behind it.
    fn unlink_at(&mut self, path: &mut Path, node: NodeRef) {
        for level in 0..self.levels {
            let before = self.link_of(path.nodes[level], level);
            let mut link = Link { span: before.span - 1, ..before };
            if before.next == Some(node) {
                let after = node.link(level);
                link = Link { next: after.next, span: link.span + after.span };
            }
            self.set_link(path.nodes[level], level, link);
        }
        self.set_back(node.link(0).next, node.back());
        while self.levels > 1 && self.head[self.levels - 1].next.is_none() {
            self.levels -= 1;
        }
        self.len -= 1;
    }

    /// Says which node stands before `node` (`None`: the end of the list).
    fn set_back(&mut self, node: Option<NodeRef>, back: Option<NodeRef>) {
        match node {
            None => self.tail = back,
            // SAFETY: the node is alive and `&mut self` excludes readers.
            Some(node) => unsafe { (*node.0.as_ptr()).back = back },
        }
    }

    /// Frees a node that is in neither list nor index; returns its score.
    fn release(&mut self, node: NodeRef) -> f64 {
        let score = node.score();
        self.bytes -= node.size();
        // SAFETY: the caller has taken it out of both.
        unsafe { node.free() };
        score
    }
}

impl Drop for SkipList {
    fn drop(&mut self) {
        let mut next = self.head[0].next;
        while let Some(node) = next {
            next = node.link(0).next;
            // SAFETY: each node is met once; the index drops its references without looking at them.
            unsafe { node.free() };
        }
    }
}

/// Source: Redis, ZSKIPLIST_P = 1/4.
fn height_of(hash: u64) -> usize {
    let pairs = (hash >> HEIGHT_SHIFT).trailing_zeros() as usize / 2;
    (1 + pairs).min(LEVELS_MAX)
}

/// See [`SkipList::range`].
#[derive(Clone)]
pub struct RangeIter<'a> {
    front: Option<NodeRef>,
    back: Option<NodeRef>,
    left: usize,
    list: PhantomData<&'a SkipList>,
}

impl<'a> Iterator for RangeIter<'a> {
    type Item = (&'a [u8], f64);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = self.front?;
        self.front = node.link(0).next;
        Some((node.member(), node.score()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl DoubleEndedIterator for RangeIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = self.back?;
        self.back = node.back();
        Some((node.member(), node.score()))
    }
}

impl ExactSizeIterator for RangeIter<'_> {}

#[cfg(test)]
mod tests;
