//! Does a node that restarts still hold everything that it acknowledged (I10)?
//!
//! ```text
//!   boot ──its files hold what it acknowledged──▶ Sure
//!     └──they may not──▶ Unsure ──a master of this epoch says how far it is──▶ Unsure{until} ──applied──▶ Sure
//!                          ▲            (the link or the epoch changes)             │
//!                          └────────────────────────────────────────────────────────┘
//! ```
//! A node that acknowledges by receipt holds what its memory holds; its log, if it writes one, outlives its process but not its machine. What it
//! relies on is on its disk (in the state file) before it acknowledges anything that way; so at its next start it knows.
//!
//! A node that is unsure counts neither for a promise nor as a copy of what it acknowledged in its former life; it has caught up once it holds as much as
//! a master of its epoch did when they met: nobody can have acknowledged more to that master or any before.

use std::fmt;

use crate::id::Offset;

/// One start of the machine: what was written to files before it may be lost if it was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub u128);

impl BootId {
    /// Reads the kernel's form: 32 hexadecimal digits, with hyphens between. Source: Linux, /proc/sys/kernel/random/boot_id.
    pub fn parse(text: &str) -> Option<BootId> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(BootId)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What the acknowledgements of a node rely on; kept in its state file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// Its memory: a restart loses it.
    #[default]
    Memory,
    /// A log that is written before anything is acknowledged, by a process under this start of the machine.
    Log(BootId),
    /// A log that is synced before anything is acknowledged.
    Disk,
}

impl Holds {
    /// Does whoever relied on this rely on less now?
    pub fn is_weakened_to(self, now: Holds) -> bool {
        let rank = |holds| match holds {
            Holds::Memory => 0,
            Holds::Log(_) => 1,
            Holds::Disk => 2,
        };
        rank(now) < rank(self)
    }
}

/// What a node that starts has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The log, whole.
    Log,
    /// A snapshot, or nothing.
    Other,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Everything acknowledged is there.
    Sure,
    /// Some of it may be missing.
    Unsure {
        /// What the master had when they met; `None` until they do.
        until: Option<Offset>,
    },
}

impl Tail {
    /// A node starts that relied on `held` before, under the machine's start `boot`.
    pub fn at_boot(held: Holds, boot: Option<BootId>, found: Source) -> Tail {
        let sure = match held {
            Holds::Memory => false,
            Holds::Log(then) => found == Source::Log && boot == Some(then),
            Holds::Disk => found == Source::Log,
        };
        if sure { Tail::Sure } else { Tail::Unsure { until: None } }
    }

    /// A master of this node's epoch said that its stream ends at `end`.
    pub fn met(&mut self, end: Offset) {
        if let Tail::Unsure { until } = self {
            *until = Some(end);
        }
    }

    /// The link or the epoch is another.
    pub fn parted(&mut self) {
        if let Tail::Unsure { until } = self {
            *until = None;
        }
    }

    /// The dataset stands at `offset`. Returns whether this made the node sure.
    pub fn applied(&mut self, offset: Offset) -> bool {
        if matches!(self, Tail::Unsure { until: Some(until) } if offset >= *until) {
            *self = Tail::Sure;
            return true;
        }
        false
    }

    /// Is everything that was acknowledged there?
    pub fn is_sure(&self) -> bool {
        *self == Tail::Sure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId(7);

    fn check(held: Holds, boot: Option<BootId>, found: Source, sure: bool) {
        assert_eq!(Tail::at_boot(held, boot, found).is_sure(), sure, "{held:?} {boot:?} {found:?}");
    }

    /// I10: what a restart may have lost does not count.
    #[test]
    fn a_restart_knows_what_it_may_have_lost() {
        check(Holds::Memory, Some(BOOT), Source::Log, false);
        check(Holds::Log(BOOT), Some(BOOT), Source::Log, true);
        check(Holds::Log(BOOT), Some(BOOT), Source::Other, false);
        check(Holds::Log(BOOT), Some(BootId(8)), Source::Log, false);
        check(Holds::Log(BOOT), None, Source::Log, false);
        check(Holds::Disk, None, Source::Log, true);
        check(Holds::Disk, Some(BOOT), Source::Other, false);
    }

    #[test]
    fn less_is_relied_on() {
        assert!(Holds::Disk.is_weakened_to(Holds::Log(BOOT)) && Holds::Log(BOOT).is_weakened_to(Holds::Memory));
        assert!(!Holds::Memory.is_weakened_to(Holds::Disk) && !Holds::Disk.is_weakened_to(Holds::Disk));
    }

    /// I10: it counts again once it holds what a master of its epoch held when they met.
    #[test]
    fn it_is_sure_again_when_it_has_caught_up() {
        let mut tail = Tail::at_boot(Holds::Memory, None, Source::Other);
        assert!(!tail.applied(Offset(100)));
        tail.met(Offset(50));
        tail.parted();
        assert!(!tail.applied(Offset(100)));
        tail.met(Offset(120));
        assert!(!tail.applied(Offset(119)) && tail.applied(Offset(120)) && tail.is_sure());
    }

    #[test]
    fn a_boot_id_is_read_as_the_kernel_writes_it() {
        let id = BootId::parse("00000000-0000-0000-0000-00000000000a\n").expect("the kernel's form");
        assert_eq!(id, BootId(10));
        assert_eq!(BootId::parse(&id.to_string()), Some(id));
        assert_eq!(BootId::parse("x"), None);
    }
}
