//! Until when a master may answer reads alone, and how long an async master may go on when nobody grants that any more.
//!
//! ```text
//!            Grant, of a renewal that is remembered         Grant of a newer renewal: longer (or as long as it says)
//!   Nothing ─────────────────────────────────────▶ Held ──┐
//!                                                     ▲ ◀─┘
//!                                                     └ Grant in a later epoch
//! ```
//! - I7: the holder tests the lease after execution and before the reply is released; that is the caller's business, [`Lease::covers`] is the test.
//! - I8: the holder counts from the *sending* of the renewal, by a clock that runs during suspend, and stops at T·(1−ε). So a grant that
//!   arrives late is worth less, and one for a renewal that is no longer remembered is worth nothing.
//! - Nobody gives a lease up: what a handover needs is the old master's promise, which ends its mastership and with it the lease.
//!
//! Times are durations since the process started. A renewal's number begins where the shell says (a random place), so that a grant meant for an
//! earlier process never fits.

use std::collections::VecDeque;
use std::time::Duration;

use crate::faults::{Fault, is_armed};
use crate::id::{Epoch, Offset};

/// Renewals that are remembered. Bound: at three sentinels and ten heartbeats a second this is eight seconds, longer than any lease.
const RENEWALS: usize = 256;
/// ε of I8 in percent: the most by which two clocks' rates may differ.
pub const EPSILON_PERCENT: u32 = 5;

/// What of a lease of this length its holder uses: T·(1−ε).
pub fn usable(length: Duration) -> Duration {
    length * (100 - EPSILON_PERCENT) / 100
}

/// The holder's side of the lease. See the module.
#[derive(Debug)]
pub struct Lease {
    next: u64,
    sent: VecDeque<Renewal>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Renewal {
    number: u64,
    at: Duration,
}

/// Every arrow is in the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    Held { epoch: Epoch, renewal: u64, length: Duration, until: Duration },
}

/// Why a grant was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    /// No heartbeat of this number is remembered.
    #[error("no renewal {0} is remembered")]
    UnknownRenewal(u64),
    /// A later epoch's lease is held.
    #[error("a lease of epoch {0} is held")]
    LaterEpoch(Epoch),
}

impl Lease {
    /// Nothing is held. `first` numbers the first renewal; not 0, which says "no renewal" on the wire.
    pub fn new(first: u64) -> Lease {
        Lease { next: first.max(1), sent: VecDeque::new(), state: State::Nothing }
    }

    /// A heartbeat is about to be sent: its number.
    pub fn renew(&mut self, now: Duration) -> u64 {
        let number = self.next;
        self.next += 1;
        if self.sent.len() == RENEWALS {
            self.sent.pop_front();
        }
        self.sent.push_back(Renewal { number, at: now });
        number
    }

    /// The leader grants `length` for a renewal. Idempotent; an older renewal than the one that counts changes nothing.
    pub fn grant(&mut self, epoch: Epoch, renewal: u64, length: Duration, now: Duration) -> Result<(), NotGranted> {
        match self.state {
            State::Held { epoch: held, .. } if held > epoch => return Err(NotGranted::LaterEpoch(held)),
            State::Held { epoch: held, renewal: counts, .. } if held == epoch && counts >= renewal => return Ok(()),
            State::Held { .. } | State::Nothing => {}
        }
        let sent = self.sent.iter().find(|sent| sent.number == renewal).ok_or(NotGranted::UnknownRenewal(renewal))?;
        let from = if is_armed(Fault::I8Arrival) { now } else { sent.at }; // I8
        assert!(sent.at <= now, "a renewal was sent before it is granted");
        self.state = State::Held { epoch, renewal, length, until: from + usable(length) };
        Ok(())
    }

    /// May the master of `epoch` answer alone at `now` (I7)?
    pub fn covers(&self, epoch: Epoch, now: Duration) -> bool {
        matches!(self.state, State::Held { epoch: held, until, .. } if held == epoch && now < until)
    }

    /// How much longer.
    pub fn remaining(&self, epoch: Epoch, now: Duration) -> Duration {
        match self.state {
            State::Held { epoch: held, until, .. } if held == epoch => until.saturating_sub(now),
            _ => Duration::ZERO,
        }
    }

    /// When the lease of `epoch` ends or ended, and its length; `None` if none was ever granted in it.
    pub fn of(&self, epoch: Epoch) -> Option<Granted> {
        match self.state {
            State::Held { epoch: held, until, length, .. } if held == epoch => Some(Granted { until, length }),
            _ => None,
        }
    }
}

/// A lease that was granted, valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its end, by the holder's clock.
    pub until: Duration,
    /// What the leader granted, T.
    pub length: Duration,
}

/// I13: an async master that lost the control plane goes on while *all* members acknowledge it: they then stand in for the lease.
///
/// It writes a marker into the stream from time to time; a marker that everyone has acknowledged is worth a lease from when it was written: whoever
/// acknowledged it had promised no later epoch by then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failsafe {
    /// What the mastership began with.
    first: Option<Granted>,
    /// The newest marker that is not acknowledged by all: the stream's end behind it, and when it was written.
    asked: Option<(Offset, Duration)>,
    /// When the newest one was written that is.
    assured_at: Option<Duration>,
}

/// What an async master may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Take writes.
    Go {
        /// Until then, if nothing happens; `None`: no end is in sight.
        until: Option<Duration>,
    },
    /// Take none: another master may have been made.
    Stop,
}

impl Failsafe {
    /// Of a mastership that begins. Until it hears a grant it may count upon `first`, from when it was made master: a master that is cut off at once
    /// has to stop as well. `None`: nobody said so, and it goes on.
    pub fn begin(first: Option<Duration>, now: Duration) -> Failsafe {
        let first = first.map(|length| Granted { until: now + usable(length), length });
        Failsafe { first, ..Failsafe::default() }
    }

    /// The lease that counts: the newest that was granted in this epoch, or what it began with.
    pub fn counts(&self, granted: Option<Granted>) -> Option<Granted> {
        granted.or(self.first)
    }

    /// Is a marker wanted? Only once the lease has less than half of its time left, one at a time, and a lost one is replaced.
    pub fn wants_marker(&self, granted: Granted, now: Duration) -> bool {
        let half = granted.length / 2;
        let soon = now + half >= granted.until;
        soon && self.asked.is_none_or(|(_, at)| now >= at + half)
    }

    /// A marker was written: the stream's end behind it.
    pub fn marked(&mut self, end: Offset, now: Duration) {
        self.asked = Some((end, now));
    }

    /// All members have acknowledged up to here.
    pub fn all_acked(&mut self, upto: Offset) {
        if let Some((end, at)) = self.asked
            && end <= upto
        {
            (self.asked, self.assured_at) = (None, Some(at));
        }
    }

    /// May writes go on, with the lease that [`counts`](Self::counts)? While there is none, nobody is known who could make another master.
    pub fn writes(&self, granted: Option<Granted>, now: Duration) -> Writes {
        let Some(granted) = granted else { return Writes::Go { until: None } };
        let assured = self.assured_at.map_or(Duration::ZERO, |at| at + usable(granted.length));
        let until = granted.until.max(assured);
        if now < until || is_armed(Fault::I13GoesOn) { Writes::Go { until: Some(until) } } else { Writes::Stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Runs words against a fresh lease whose renewals count from 1, at the millisecond behind `@`: `r` renew, `g2:1` grant in epoch 2 for renewal 1
    /// (1000 ms), `?2` asks whether epoch 2 is covered.
    fn check(words: &str, expected: &str) {
        let mut lease = Lease::new(1);
        let mut seen = Vec::new();
        for word in words.split_whitespace() {
            let (word, at) = word.split_once('@').expect("a time");
            let now = ms(at.parse().expect("milliseconds"));
            let (verb, rest) = word.split_at(1);
            let (epoch, renewal) = rest.split_once(':').unwrap_or((rest, "0"));
            let epoch = Epoch(epoch.parse().unwrap_or(0));
            seen.push(match verb {
                "r" => lease.renew(now).to_string(),
                "g" => match lease.grant(epoch, renewal.parse().expect("a number"), ms(1000), now) {
                    Ok(()) => "ok".to_owned(),
                    Err(refused) => format!("{refused:?}"),
                },
                "?" => {
                    let covers = lease.covers(epoch, now);
                    assert_eq!(covers, !lease.remaining(epoch, now).is_zero());
                    if covers { "yes" } else { "no" }.to_owned()
                }
                other => panic!("unknown word {other}"),
            });
        }
        assert_eq!(seen.join(" "), expected, "{words}");
    }

    /// I8: a grant is counted from the sending of its renewal, less ε, however late it arrives.
    #[test]
    fn a_lease_runs_from_the_renewal() {
        check("r@100 ?2@100 g2:1@300 ?2@1049 ?2@1050", "1 no ok yes no");
        check("r@0 g2:1@5000 ?2@5000", "1 ok no");
        check("r@0 r@500 g2:2@600 g2:1@700 ?2@1449 ?2@1450", "1 2 ok ok yes no");
        check("r@0 g2:7@1", "1 UnknownRenewal(7)");
    }

    /// I7, I8: a lease is one epoch's.
    #[test]
    fn a_lease_is_of_one_epoch() {
        check("r@0 g2:1@1 ?1@2 ?3@2 r@3 g3:2@3 ?2@4 ?3@4 g2:2@5", "1 ok no no 2 ok no yes LaterEpoch(Epoch(3))");
    }

    #[test]
    fn old_renewals_are_forgotten() {
        let mut lease = Lease::new(0);
        let first = lease.renew(ms(0));
        assert_eq!(first, 1);
        for at in 1..=RENEWALS as u64 {
            lease.renew(ms(at));
        }
        assert_eq!(lease.grant(Epoch(1), first, ms(1000), ms(300)), Err(NotGranted::UnknownRenewal(first)));
        assert_eq!(lease.grant(Epoch(1), first + 1, ms(1000), ms(300)), Ok(()));
    }

    /// I13: without a lease an async master stops, unless everyone keeps acknowledging.
    #[test]
    fn an_async_master_without_a_lease_needs_everyone() {
        let granted = Granted { until: ms(2000), length: ms(1000) };
        let mut failsafe = Failsafe::default();
        assert_eq!(failsafe.writes(None, ms(9999)), Writes::Go { until: None });
        assert_eq!(failsafe.writes(Some(granted), ms(1999)), Writes::Go { until: Some(ms(2000)) });
        assert_eq!(failsafe.writes(Some(granted), ms(2000)), Writes::Stop);
        assert!(!failsafe.wants_marker(granted, ms(1499)));
        assert!(failsafe.wants_marker(granted, ms(1500)));
        failsafe.marked(Offset(70), ms(1500));
        assert!(!failsafe.wants_marker(granted, ms(1999)) && failsafe.wants_marker(granted, ms(2000)));
        failsafe.all_acked(Offset(69));
        assert_eq!(failsafe.writes(Some(granted), ms(2100)), Writes::Stop);
        failsafe.all_acked(Offset(70));
        assert_eq!(failsafe.writes(Some(granted), ms(2100)), Writes::Go { until: Some(ms(2450)) });
        assert_eq!(failsafe.writes(Some(granted), ms(2450)), Writes::Stop);
        // An old acknowledgement of everyone is worth nothing to a new marker.
        failsafe.marked(Offset(90), ms(2500));
        failsafe.all_acked(Offset(70));
        assert_eq!(failsafe.writes(Some(granted), ms(2500)), Writes::Stop);
    }

    /// I13: a master that was cut off before it heard a grant stops as well.
    #[test]
    fn a_mastership_begins_with_a_lease() {
        let check = |first: Option<Duration>, granted: Option<Granted>, expected: Option<u64>| {
            let counts = Failsafe::begin(first, ms(100)).counts(granted);
            assert_eq!(counts.map(|granted| granted.until), expected.map(ms), "{first:?} {granted:?}");
        };
        let granted = Granted { until: ms(500), length: ms(200) };
        check(None, None, None);
        check(Some(ms(1000)), None, Some(1050));
        check(Some(ms(1000)), Some(granted), Some(500));
        check(None, Some(granted), Some(500));
    }
}
