//! A running command's hold on the world.
//!
//! `argv`, `db`, `session`, `core` and `out` are fields, so that a command may read a value and write its reply at once. A change of data
//! is told through `changed`: the one door. What a command may not do: touch another session's fields, write to AOF or replicas itself.

use std::sync::Arc;

use quorate_keyspace::{Db, DbIndex, Ttl};
use quorate_resp::{Writer, parse_int};

use crate::blocking::{Blocked, WaitFor, Wake};
use crate::core::Core;
use crate::gather::LARGE;
use crate::multi::Row;
use crate::session::Session;
use crate::{Refusal, Reply, Timeout};

/// One command on its way.
pub struct Call<'a> {
    /// The command's words; the arity has been checked.
    pub argv: &'a [&'a [u8]],
    /// The session's database; `db.keyspace()` and `db.other(index)` reach the others.
    pub db: Db<'a>,
    /// Who speaks.
    pub session: &'a mut Session,
    /// Everything else.
    pub core: &'a mut Core,
    /// Where a reply is written that `Reply` has no shape for; the function then returns `Reply::Written`. On `Err` what was
    /// written is taken back.
    pub out: Writer<'a>,
    pub(crate) row: Row,
    pub(crate) dirty: usize,
    pub(crate) wake: Option<Wake>,
    pub(crate) block: Option<Box<Blocked>>,
    pub(crate) in_exec: bool,
}

/// Does an event tell of a collection that got smaller? It may then be empty, and its key goes.
fn shrinks(event: &str) -> bool {
    matches!(
        event,
        "lpop"
            | "rpop"
            | "lrem"
            | "ltrim"
            | "srem"
            | "spop"
            | "hdel"
            | "zrem"
            | "zremrangebyscore"
            | "zremrangebyrank"
            | "zremrangebylex"
            | "zpopmin"
            | "zpopmax"
    )
}

impl<'a> Call<'a> {
    /// Stored data changed: the one door for change. Feeds WATCH, keyspace events (`event`, named in `notify.rs`), waiting sessions, the
    /// dirty count and propagation; removes a collection that became empty and tells of that, too. Call it once for each
    /// key and event, after the change; `count` is how many elements changed, and 0 says that nothing did.
    pub fn changed(&mut self, key: &[u8], event: &'static str, count: usize) {
        self.changed_in(self.db.index(), key, event, count);
    }

    /// The same for a key of another database (MOVE, COPY … DB).
    pub fn changed_in(&mut self, db: DbIndex, key: &[u8], event: &'static str, count: usize) {
        if count == 0 {
            return;
        }
        self.dirty += count;
        self.core.persistence.dirty += count as u64 - 1; // `Core::changed` counts the key, save points count elements
        self.core.changed(db, key, event, Some(self.session));
        if shrinks(event) && self.db.other(db).remove_if_empty(key) {
            self.core.changed(db, key, "del", Some(self.session));
        }
    }

    /// Stores a string under the key, whatever it held; true when the key existed. A large argument that lies by itself is taken over, not copied.
    #[inline]
    pub fn put_string(&mut self, key: &[u8], value: &[u8], ttl: Ttl) -> bool {
        if value.len() >= LARGE
            && let Some(given) = self.core.given.iter().find(|given| std::ptr::eq(&***given, value))
        {
            return self.db.put_shared(key, Arc::clone(given), ttl);
        }
        self.db.put_string(key, value, ttl)
    }

    /// Something changed that has no key of its own (FLUSHALL, SWAPDB): counts and propagates.
    pub fn changed_at_large(&mut self, count: usize) {
        self.dirty += count;
        self.core.persistence.dirty += count as u64;
        self.core.holding.change_all();
    }

    /// Publishes a keyspace event though nothing changed (`keymiss`).
    pub fn notify(&mut self, key: &[u8], event: &'static str) {
        self.core.notify(self.db.index(), key, event, Some(self.session));
    }

    /// AOF and replicas get this instead of the command as it was said: what gives the same result later and elsewhere (SET … PXAT for EX, SREM for
    /// SPOP). Said several times, they get all of them, as one transaction. Only matters if something changed.
    pub fn propagate_as(&mut self, argv: &[&[u8]]) {
        if self.core.is_heard() {
            self.core.propagation.rewrite(argv);
        }
    }

    /// AOF and replicas get nothing, whatever changed.
    pub fn propagate_nothing(&mut self) {
        self.core.propagation.nothing();
    }

    /// AOF and replicas get the command though no stored data changed (PUBLISH).
    pub fn propagate_anyway(&mut self) {
        self.dirty += 1;
    }

    /// The session waits until one of the keys changes; the command then runs again from its start. Answers `otherwise` at the deadline, and
    /// at once where waiting is not allowed (MULTI, a master's stream).
    pub fn block(&mut self, keys: &[&[u8]], timeout: Timeout, otherwise: Reply) -> Result<Reply, Refusal> {
        let keys = keys.iter().map(|key| Box::from(*key)).collect();
        Ok(self.wait(WaitFor::Keys(self.db.index(), keys), timeout, otherwise))
    }

    /// The session waits until a replica or the disk acknowledges something; the command then runs again from its start.
    pub fn block_on_acks(&mut self, timeout: Timeout, otherwise: Reply) -> Result<Reply, Refusal> {
        Ok(self.wait(WaitFor::Acks, timeout, otherwise))
    }

    fn wait(&mut self, wait: WaitFor, timeout: Timeout, otherwise: Reply) -> Reply {
        if self.timed_out() || self.in_exec || !self.session.is_client() {
            return otherwise;
        }
        let now = self.core.now.mono;
        let argv = self.argv.iter().map(|argument| Box::from(*argument)).collect();
        let deadline = timeout.0.map(|timeout| now + timeout);
        self.block = Some(Box::new(Blocked { argv, wait, deadline }));
        Reply::Blocked
    }

    /// Whether this is a waiting command's last run: its deadline has come, and it must reply.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.wake == Some(Wake::TimedOut)
    }

    /// The command's full name, as statistics and errors spell it (`client|list`).
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// The refusal of a wrong number of arguments.
    #[must_use]
    pub fn arity(&self) -> Refusal {
        Refusal::Arity(self.row.name)
    }

    /// An argument as an integer.
    pub fn int(&self, index: usize) -> Result<i64, Refusal> {
        parse_int(self.argv[index]).ok_or(Refusal::NotInteger)
    }

    /// An argument as the number of a database.
    pub fn db_index(&mut self, index: usize) -> Result<DbIndex, Refusal> {
        const BOUNDS: Refusal =
            Refusal::fixed("ERR value is out of range, value must between -2147483648 and 2147483647");
        let number = self.int(index)?;
        i32::try_from(number).map_err(|_| BOUNDS)?;
        Ok(self.db.keyspace().index(number)?)
    }

    /// Whether the argument is this word, whatever its letters' case.
    #[must_use]
    pub fn says(&self, index: usize, word: &str) -> bool {
        self.argv[index].eq_ignore_ascii_case(word.as_bytes())
    }
}
