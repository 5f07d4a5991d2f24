//! Is one watched node alive? One watcher's own detector, pure: told of signs, asked at any time.
//!
//! ```text
//!            silence > down-after                 valid reply
//!   Alive ───────────────────────▶ Suspect ──────────────────▶ Alive
//!     │ reset, then refused            │ reset, then refused      ▲
//!     └───────────────▶ Gone ◀─────────┘                          │
//!                         └───────────── valid reply ─────────────┘
//! ```
//! A reset alone is no death (the node may close an idle client); a refusal alone is none either (it may be starting, and
//! silence will tell). Both in a row, without a valid reply between, are the sign of a process that is no more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a watcher holds a node for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Liveness {
    /// It answers.
    Alive,
    /// Silent beyond down-after.
    Suspect,
    /// Its process is gone: the connection was reset and a new one refused.
    Gone,
}

impl Liveness {
    /// Suspect and gone alike: what Sentinel calls subjectively down.
    pub fn is_down(self) -> bool {
        self != Liveness::Alive
    }
}

/// What a watcher noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// PONG, LOADING or MASTERDOWN: the replies that Sentinel counts as valid.
    ValidReply,
    /// The node's own heartbeat thread, with how long the engine has been in its current turn.
    Heartbeat {
        /// Zero when the engine is waiting for work.
        busy: Duration,
    },
    /// Another reply to PING, an error for instance: the process lives, but it is no sign of service.
    OtherReply,
    /// A connection was established.
    Connected,
    /// An established connection broke.
    Reset,
    /// A new connection was refused.
    Refused,
}

/// How long a turn may take until heartbeats no longer excuse the engine: what Sentinel's own default tolerates.
/// Source: sentinel.conf, `down-after-milliseconds 30000`.
pub const BUSY_LIMIT: Duration = Duration::from_secs(30);

/// One watcher's detector for one node. Times are monotonic, since the process started.
#[derive(Debug, Clone)]
pub struct Pulse {
    down_after: Duration,
    heard_at: Duration, // invariant: never later than the `now` of any call
    line: Line,
}

/// What is known of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Not established, or established and fine.
    Open,
    /// It broke, and nothing was heard since.
    Broken,
    /// It broke, and a new one was refused.
    Dead,
}

impl Pulse {
    /// A detector that trusts the node for `down_after` from now.
    pub fn new(now: Duration, down_after: Duration) -> Self {
        Self { down_after, heard_at: now, line: Line::Open }
    }

    /// Tells of a sign.
    pub fn sign(&mut self, now: Duration, sign: Sign) {
        match sign {
            Sign::ValidReply => self.alive(now),
            Sign::Heartbeat { busy } if busy <= BUSY_LIMIT => self.alive(now),
            Sign::Heartbeat { .. } | Sign::OtherReply => {}
            Sign::Connected => self.line = Line::Open,
            Sign::Reset => {
                if self.line == Line::Open {
                    self.line = Line::Broken;
                }
            }
            Sign::Refused => {
                if self.line == Line::Broken {
                    self.line = Line::Dead;
                }
            }
        }
    }

    /// What the watcher holds the node for.
    pub fn liveness(&self, now: Duration) -> Liveness {
        match self.line {
            Line::Dead => Liveness::Gone,
            Line::Open | Line::Broken if self.silence(now) > self.down_after => Liveness::Suspect,
            Line::Open | Line::Broken => Liveness::Alive,
        }
    }

    /// How long nothing valid was heard.
    pub fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard_at)
    }

    /// The watcher itself stood still for this long (a stopped process, a suspended machine): that silence was not the node's.
    pub fn excuse(&mut self, now: Duration, gap: Duration) {
        self.heard_at = (self.heard_at + gap).min(now);
    }

    /// `down-after-milliseconds` was changed.
    pub fn set_down_after(&mut self, down_after: Duration) {
        self.down_after = down_after;
    }

    fn alive(&mut self, now: Duration) {
        self.heard_at = self.heard_at.max(now);
        self.line = Line::Open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `at_ms sign` pairs against down-after 1000 ms; `?state` asks.
    fn check(transcript: &str) {
        let mut pulse = Pulse::new(Duration::ZERO, Duration::from_millis(1000));
        for step in transcript.split(", ") {
            let (at, what) = step.split_once(' ').expect("time and sign");
            let now = Duration::from_millis(at.parse().expect("milliseconds"));
            let sign = match what {
                "valid" => Sign::ValidReply,
                "heartbeat" => Sign::Heartbeat { busy: Duration::ZERO },
                "busy" => Sign::Heartbeat { busy: BUSY_LIMIT },
                "stuck" => Sign::Heartbeat { busy: BUSY_LIMIT + Duration::from_millis(1) },
                "other" => Sign::OtherReply,
                "connected" => Sign::Connected,
                "reset" => Sign::Reset,
                "refused" => Sign::Refused,
                "excuse500" => {
                    pulse.excuse(now, Duration::from_millis(500));
                    continue;
                }
                asked => {
                    assert_eq!(format!("?{:?}", pulse.liveness(now)).to_lowercase(), asked, "{transcript}: at {at}");
                    continue;
                }
            };
            pulse.sign(now, sign);
        }
    }

    #[test]
    fn silence_beyond_down_after_is_suspect() {
        check("0 valid, 1000 ?alive, 1001 ?suspect, 1002 valid, 1002 ?alive, 2003 ?suspect");
        check("0 valid, 900 other, 1001 ?suspect");
        check("0 valid, 900 heartbeat, 1900 ?alive, 1900 busy, 2900 ?alive, 2900 stuck, 2901 ?suspect");
    }

    #[test]
    fn reset_and_refused_is_gone_at_once() {
        check("0 valid, 10 reset, 10 ?alive, 11 refused, 11 ?gone, 5000 ?gone, 5001 valid, 5001 ?alive");
        check("0 valid, 2000 reset, 2001 refused, 2001 ?gone");
        check("0 valid, 10 reset, 11 refused, 12 connected, 12 ?alive");
    }

    #[test]
    fn either_alone_is_not_death() {
        check("0 refused, 1 refused, 2 ?alive, 1001 ?suspect");
        check("0 valid, 10 reset, 11 connected, 12 refused, 13 ?alive, 1001 ?suspect");
        check("0 valid, 10 reset, 11 reset, 12 ?alive");
    }

    #[test]
    fn the_watchers_own_stall_is_excused() {
        check("0 valid, 1200 excuse500, 1200 ?alive, 1501 ?suspect");
        check("0 valid, 100 excuse500, 1100 ?alive, 1101 ?suspect");
    }
}
