//! Saving the dataset: on demand, at save points, and before the process leaves.

use std::time::Duration;

use quorate_config::ShutdownOptions;
use quorate_keyspace::{Keyspace, UnixMs};

use super::pass::Pass;
use crate::core::{Core, Pause, Paused};
use crate::effect::{Level, Shutdown};
use crate::{Effect, Now, Refusal, SessionId};

/// After a failed save a save point waits this long. Source: CONFIG_BGSAVE_RETRY_DELAY.
const RETRY: Duration = Duration::from_secs(5);

/// How far a session's SAVE has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    /// Not asked for yet.
    No,
    /// On its way.
    Waiting,
    /// Over: was it written?
    Over(bool),
}

/// Saves, wanted and made.
#[derive(Debug, Default)]
pub(super) struct Saves {
    wanted: bool,
    /// Sessions that said SAVE, and how it ended.
    waiting: Vec<(SessionId, Option<bool>)>,
    last_try: Duration,
    pub last_at: UnixMs,
    pub last_failed: bool,
    pub last_took: Option<Duration>,
    pub count: u64,
    leaving: Option<Leaving>,
}

/// The process leaves as soon as its dataset is saved.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    /// Who said SHUTDOWN.
    by: Option<SessionId>,
    force: bool,
    failed: bool,
}

impl Saves {
    pub fn wants_file(&self) -> bool {
        self.wanted
    }

    /// The pass was abandoned: whoever waits for it waits for the next.
    pub fn abandoned(&mut self) {
        self.wanted = self.waiting.iter().any(|(_, over)| over.is_none());
    }

    /// A pass has begun; `file`: it writes the RDB file.
    pub fn begun(&mut self, file: bool, now: Now) {
        if file {
            self.wanted = false;
            self.last_try = now.mono;
        }
    }
}

impl Core {
    /// Is the RDB file being written?
    pub(crate) fn is_saving(&self) -> bool {
        self.persistence.saves.wanted || self.persistence.pass.as_ref().is_some_and(Pass::saves_file)
    }

    /// Is any pass running?
    pub(crate) fn is_walking(&self) -> bool {
        self.persistence.pass.is_some()
    }

    /// Is a pass for replicas running?
    pub(crate) fn is_sending_snapshot(&self) -> bool {
        self.persistence.pass.as_ref().is_some_and(Pass::serves_replicas)
    }

    /// Is the log being rewritten?
    pub(crate) fn is_rewriting(&self) -> bool {
        self.persistence.pass.as_ref().is_some_and(Pass::rewrites_log)
    }

    /// The dataset is to be saved as soon as no pass runs.
    pub(crate) fn want_save(&mut self) {
        self.persistence.saves.wanted = true;
    }

    /// The log is to be rewritten as soon as no pass runs.
    pub(crate) fn want_rewrite(&mut self) {
        self.persistence.log.wanted = true;
    }

    /// LASTSAVE.
    pub(crate) fn last_save(&self) -> UnixMs {
        self.persistence.saves.last_at
    }

    /// The session waits for a save to end.
    pub(crate) fn wait_for_save(&mut self, id: SessionId) {
        self.persistence.saves.waiting.push((id, None));
        self.persistence.saves.wanted = true;
    }

    /// What became of the session's SAVE; a finished one is forgotten.
    pub(crate) fn take_saved(&mut self, id: SessionId) -> Saved {
        let waiting = &mut self.persistence.saves.waiting;
        match waiting.iter().position(|(waiter, _)| *waiter == id) {
            None => Saved::No,
            Some(at) => match waiting[at].1 {
                None => Saved::Waiting,
                Some(ok) => {
                    waiting.swap_remove(at);
                    Saved::Over(ok)
                }
            },
        }
    }

    /// Is a save point reached?
    pub(super) fn save_point_tick(&mut self) {
        let (now, dirty) = (self.now, self.persistence.dirty);
        let saves = &mut self.persistence.saves;
        if saves.last_at == UnixMs(0) {
            saves.last_at = now.wall;
        }
        if self.persistence.pass.is_some() || saves.wanted {
            return;
        }
        let rested = !saves.last_failed || now.mono.saturating_sub(saves.last_try) > RETRY;
        let quiet = now.wall.since(saves.last_at);
        let reached = self.config.save.0.iter().find(|point| {
            dirty >= u64::from(point.changes) && quiet > Duration::from_secs(point.seconds.into()) && rested
        });
        if let Some(point) = reached {
            saves.wanted = true;
            let line = format!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
            self.note(Level::Notice, &line);
        }
    }

    /// The RDB file is in place, or is not.
    pub(super) fn file_finished(&mut self, pass: &Pass, outcome: Result<u64, String>) {
        let now = self.now;
        let saves = &mut self.persistence.saves;
        saves.last_took = Some(now.mono.saturating_sub(pass.began));
        saves.last_failed = outcome.is_err();
        saves.waiting.retain(|(_, over)| over.is_none());
        for (_, over) in &mut saves.waiting {
            *over = Some(outcome.is_ok());
        }
        match &outcome {
            Ok(_) => {
                saves.last_at = now.wall;
                saves.count += 1;
                self.persistence.dirty = self.persistence.dirty.saturating_sub(pass.dirty);
                self.note(Level::Notice, "DB saved on disk");
            }
            Err(error) => self.note(Level::Warning, &format!("Background saving error: {error}")),
        }
        self.standing.snapshot_failing = outcome.is_err();
        self.blocking.signal_acks();
        if self.persistence.saves.leaving.is_some() {
            self.leave(outcome.is_ok());
        }
    }

    /// SHUTDOWN or a signal: saves if it should, then asks the shell to leave. `by` hears of a failure.
    pub(crate) fn shutdown(&mut self, keyspace: &mut Keyspace, options: &ShutdownOptions, by: Option<SessionId>) {
        self.note(Level::Notice, "User requested shutdown...");
        let save = !options.nosave && (options.save || !self.config.save.0.is_empty()) && !self.standing.loading;
        self.persistence.saves.leaving = Some(Leaving { by, force: options.force, failed: false });
        if !save {
            return self.leave(true);
        }
        // What is being written is older than what is to be kept.
        self.pass_aborted(keyspace);
        self.pause = Some(Pause { until: Duration::MAX, what: Paused::Writes });
        self.want_save();
        self.note(Level::Notice, "Saving the final RDB snapshot before exiting.");
    }

    /// Is the process about to leave? `SHUTDOWN ABORT` asks.
    pub(crate) fn is_leaving(&self) -> bool {
        self.persistence.saves.leaving.is_some()
    }

    /// Whether the session's SHUTDOWN has failed; then it is forgotten.
    pub(crate) fn take_shutdown_failure(&mut self, id: SessionId) -> bool {
        let failed = self.persistence.saves.leaving.is_some_and(|leaving| leaving.failed && leaving.by == Some(id));
        if failed {
            self.persistence.saves.leaving = None;
        }
        failed
    }

    /// SHUTDOWN ABORT: stays.
    pub(crate) fn stay(&mut self) -> bool {
        let Some(leaving) = self.persistence.saves.leaving.take() else { return false };
        if let Some(id) = leaving.by {
            self.unblock(id, &Refusal::fixed("ERR Errors trying to SHUTDOWN. Check logs."));
        }
        self.unpause();
        self.note(Level::Notice, "Shutdown manually aborted.");
        true
    }

    fn leave(&mut self, saved: bool) {
        let Some(leaving) = &mut self.persistence.saves.leaving else { return };
        if saved || leaving.force {
            self.note(Level::Notice, "Redis is now ready to exit, bye bye...");
            return self.effects.push(Effect::Shutdown(Shutdown { code: 0 }));
        }
        match leaving.by {
            Some(_) => leaving.failed = true,
            None => self.persistence.saves.leaving = None,
        }
        self.unpause();
        self.note(Level::Warning, "Error trying to save the DB, can't exit.");
    }
}
