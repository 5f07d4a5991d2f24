//! What clients asked for, when, and what they were told: the record that the checkers judge.

use crate::time::Time;

/// What a client did to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// GET, with its answer; 0 for nothing.
    Get(u32),
    /// SET of a value that nobody else sets.
    Set(u32),
    /// WATCH, GET, MULTI, SET, EXEC that went through: from the value that GET gave to another.
    Swap(u32, u32),
    /// RPUSH of an element that nobody else pushes.
    Push(u32),
    /// MULTI, RPUSH, LRANGE, EXEC, with the whole list if it was told.
    PushRange(u32, Option<Vec<u32>>),
    /// LRANGE of the whole list.
    Range(Vec<u32>),
    /// SADD of a member that nobody else adds.
    Add(u32),
    /// SMEMBERS, sorted.
    Members(Vec<u32>),
}

impl Op {
    /// What is left of it when nothing was promised: that it may have written its value. What it saw, and came upon, may be lost.
    #[must_use]
    pub fn untold(&self) -> Op {
        match self {
            Op::PushRange(element, _) => Op::PushRange(*element, None),
            Op::Swap(_, to) => Op::Set(*to),
            other => other.clone(),
        }
    }

    /// Does it change anything?
    pub fn is_write(&self) -> bool {
        matches!(self, Op::Set(_) | Op::Swap(..) | Op::Push(..) | Op::PushRange(..) | Op::Add(_))
    }
}

/// The keys: one kind each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A register.
    Register(u8),
    /// A list.
    List(u8),
    /// A set.
    Set(u8),
}

impl Key {
    /// Every key that clients use.
    pub const ALL: [Key; 5] = [Key::Register(0), Key::Register(1), Key::List(0), Key::List(1), Key::Set(0)];

    /// Its name in the database.
    pub fn name(self) -> String {
        match self {
            Key::Register(number) => format!("r{number}"),
            Key::List(number) => format!("l{number}"),
            Key::Set(number) => format!("s{number}"),
        }
    }
}

/// One operation of a client.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who.
    pub client: usize,
    /// Which node it asked.
    pub node: Option<usize>,
    /// On which key.
    pub key: Key,
    /// What, with its answer.
    pub op: Op,
    /// Whoever answered acted upon `quorum`.
    pub by_quorum: bool,
    /// When it was sent.
    pub began: Time,
    /// When its answer came; `None`: nobody knows whether it happened, or when it will.
    pub ended: Option<Time>,
}
