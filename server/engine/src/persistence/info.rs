//! INFO's persistence section.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::pass::Pass;
use crate::core::Core;

impl Core {
    /// INFO's persistence section, lines ended by CRLF. Fields of a forked child tell of our pass, and memory that a fork would copy is 0.
    pub(crate) fn info_persistence(&self) -> String {
        let own = &self.persistence;
        let pass = own.pass.as_ref();
        let now = self.now.mono;
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            write!(text, "{name}:{value}\r\n").expect("a String takes any text");
        };
        let status = |failed: bool| if failed { "err" } else { "ok" };
        let since = |pass: Option<&Pass>| seconds(pass.map(|pass| now.saturating_sub(pass.began)));
        line("loading", &u8::from(self.standing.loading));
        line("async_loading", &0);
        line("current_cow_peak", &0);
        line("current_cow_size", &0);
        line("current_cow_size_age", &0);
        let (done, total) = pass.map_or((0, 0), |pass| (pass.keys_done, pass.keys_total));
        line("current_fork_perc", &format!("{:.2}", 100.0 * done as f64 / total.max(1) as f64));
        line("current_save_keys_processed", &done);
        line("current_save_keys_total", &total);
        line("rdb_changes_since_last_save", &own.dirty);
        line("rdb_bgsave_in_progress", &u8::from(self.is_saving() || self.is_sending_snapshot()));
        line("rdb_last_save_time", &own.saves.last_at.as_secs());
        line("rdb_last_bgsave_status", &status(own.saves.last_failed));
        line("rdb_last_bgsave_time_sec", &seconds(own.saves.last_took));
        line("rdb_current_bgsave_time_sec", &since(pass.filter(|pass| pass.saves_file())));
        line("rdb_saves", &own.saves.count);
        line("rdb_last_cow_size", &0);
        line("rdb_last_load_keys_expired", &own.keys_expired);
        line("rdb_last_load_keys_loaded", &own.keys_loaded);
        let log = &own.log;
        line("aof_enabled", &u8::from(log.is_on()));
        line("aof_rewrite_in_progress", &u8::from(self.is_rewriting()));
        line("aof_rewrite_scheduled", &u8::from(log.wanted));
        line("aof_last_rewrite_time_sec", &seconds(log.last_took));
        line("aof_current_rewrite_time_sec", &since(pass.filter(|pass| pass.rewrites_log())));
        line("aof_last_bgrewrite_status", &status(log.failures > 0));
        line("aof_rewrites", &log.rewrites);
        line("aof_rewrites_consecutive_failures", &log.failures);
        line("aof_last_write_status", &status(self.standing.aof_failing.is_some()));
        line("aof_last_cow_size", &0);
        line("module_fork_in_progress", &0);
        line("module_fork_last_cow_size", &0);
        if log.is_on() {
            line("aof_current_size", &log.sizes().current);
            line("aof_base_size", &log.sizes().base);
            line("aof_pending_rewrite", &u8::from(log.wanted));
            line("aof_buffer_length", &own.gauge.log_waiting.load(Ordering::Relaxed));
            line("aof_pending_bio_fsync", &u8::from(own.gauge.log_syncing.load(Ordering::Relaxed)));
            line("aof_delayed_fsync", &own.gauge.log_delayed.load(Ordering::Relaxed));
        }
        if let Some(began) = own.loading_since {
            let (done, total) = own.load_progress();
            let elapsed = self.now.wall.since(began).as_secs_f64();
            let rate = done as f64 / elapsed.max(0.001);
            line("loading_start_time", &began.as_secs());
            line("loading_total_bytes", &total);
            line("loading_loaded_bytes", &done);
            line("loading_loaded_perc", &format!("{:.2}", 100.0 * done as f64 / total.max(1) as f64));
            line("loading_eta_seconds", &((total.saturating_sub(done)) as f64 / rate.max(1.0)).round());
        }
        text
    }
}

/// Whole seconds, -1 for none.
fn seconds(time: Option<Duration>) -> i64 {
    time.map_or(-1, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
