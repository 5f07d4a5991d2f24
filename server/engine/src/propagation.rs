//! The bytes that AOF and replicas get: each changing command encoded once, as a RESP array, into the stream of the turn.
//!
//! A command that changed something is propagated as it was said, unless it called `Call::propagate_as` or `propagate_nothing`. SELECT is inserted where
//! the database changes. What belongs together (a transaction, or several commands that stand for one) is wrapped in MULTI and EXEC.
//!
//! On a replica nothing is encoded: the master's bytes are passed on as they came (`append_raw`), so that offsets agree along a chain.

use quorate_keyspace::DbIndex;
use quorate_resp::encode_command;

/// How the running command is propagated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    #[default]
    Verbatim,
    Nothing,
    Rewritten,
}

/// The stream of the turn, and the unit that is being written.
#[derive(Debug, Default)]
pub struct Propagation {
    stream: Vec<u8>,
    /// Which database the stream is in; `None`: unknown to a reader that starts here.
    selected: Option<DbIndex>,
    /// Where the unit began in `stream`, how many commands it holds, how deep units are nested (a command inside EXEC).
    unit_start: usize,
    unit_commands: usize,
    depth: usize,
    form: Form,
    /// What `rewrite` was told, encoded one behind the other, and where each ends.
    rewritten: Vec<u8>,
    rewritten_ends: Vec<usize>,
    suppressed: bool,
}

impl Propagation {
    /// Whether a replica applies its master's stream: commands are then not encoded anew.
    pub fn set_suppressed(&mut self, suppressed: Suppressed) {
        self.suppressed = suppressed == Suppressed::Yes;
    }

    /// The next command is preceded by SELECT: a reader starts here (a new replica, a new AOF file).
    pub fn forget_selected(&mut self) {
        self.selected = None;
    }

    /// Which database the stream is in, if it says so.
    #[must_use]
    pub fn selected(&self) -> Option<DbIndex> {
        self.selected
    }

    /// Bytes that are already encoded: what our master sent, or REPLCONF GETACK and PING for our own replicas.
    pub fn append_raw(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
    }

    /// What the turn has produced so far.
    #[must_use]
    pub fn stream(&self) -> &[u8] {
        &self.stream
    }

    /// Takes what the turn has produced; `recycled` is an empty buffer to go on with.
    pub fn take_stream(&mut self, mut recycled: Vec<u8>) -> Vec<u8> {
        assert_eq!(self.depth, 0, "the stream is taken between units");
        recycled.clear();
        std::mem::replace(&mut self.stream, recycled)
    }

    /// Opens a unit: what is propagated until `end_unit` is atomic for its readers.
    pub(crate) fn begin_unit(&mut self) {
        if self.depth == 0 {
            (self.unit_start, self.unit_commands) = (self.stream.len(), 0);
        }
        self.depth += 1;
    }

    pub(crate) fn end_unit(&mut self) {
        self.depth -= 1;
        if self.depth == 0 && self.unit_commands > 1 {
            let mut multi = Vec::with_capacity(16);
            encode_command(&mut multi, &[b"MULTI"]);
            self.stream.splice(self.unit_start..self.unit_start, multi);
            encode_command(&mut self.stream, &[b"EXEC"]);
        }
    }

    /// Ends a unit whose commands have nothing to do with each other, unless it is part of one that holds together.
    pub(crate) fn end_loose_unit(&mut self) {
        self.depth -= 1;
    }

    pub(crate) fn nothing(&mut self) {
        self.form = Form::Nothing;
        self.forget_rewritten();
    }

    pub(crate) fn rewrite(&mut self, argv: &[&[u8]]) {
        self.form = Form::Rewritten;
        encode_command(&mut self.rewritten, argv);
        self.rewritten_ends.push(self.rewritten.len());
    }

    fn forget_rewritten(&mut self) {
        self.rewritten.clear();
        self.rewritten_ends.clear();
    }

    /// The running command is over: propagates it if it changed something (or forced it).
    #[inline]
    pub(crate) fn settle(&mut self, db: DbIndex, argv: &[&[u8]], changed: bool) {
        if changed {
            self.settle_change(db, argv);
        } else if self.form != Form::Verbatim {
            self.form = Form::Verbatim;
            self.forget_rewritten();
        }
    }

    fn settle_change(&mut self, db: DbIndex, argv: &[&[u8]]) {
        match std::mem::take(&mut self.form) {
            Form::Nothing => {}
            Form::Verbatim => self.command(db, argv),
            Form::Rewritten => {
                let (bytes, ends) = (std::mem::take(&mut self.rewritten), std::mem::take(&mut self.rewritten_ends));
                let mut from = 0;
                for &end in &ends {
                    self.encoded(db, &bytes[from..end]);
                    from = end;
                }
                // Given back, so that the next command allocates nothing.
                (self.rewritten, self.rewritten_ends) = (bytes, ends);
                self.forget_rewritten();
            }
        }
    }

    /// Propagates a command that no client said: DEL of an expired key.
    pub(crate) fn command(&mut self, db: DbIndex, argv: &[&[u8]]) {
        if self.suppressed {
            return;
        }
        self.select(db);
        encode_command(&mut self.stream, argv);
        self.unit_commands += 1;
    }

    fn encoded(&mut self, db: DbIndex, command: &[u8]) {
        if self.suppressed {
            return;
        }
        self.select(db);
        self.stream.extend_from_slice(command);
        self.unit_commands += 1;
    }

    fn select(&mut self, db: DbIndex) {
        if self.selected != Some(db) {
            self.selected = Some(db);
            encode_command(&mut self.stream, &[b"SELECT", db.0.to_string().as_bytes()]);
            if self.unit_commands == 0 {
                self.unit_start = self.stream.len(); // SELECT stays in front of MULTI, as from Redis
            }
        }
    }
}

/// Whether commands are encoded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppressed {
    /// A replica: the master's bytes are passed on instead.
    Yes,
    /// A master.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Propagation), expected: &str) {
        let mut propagation = Propagation::default();
        write(&mut propagation);
        let mut shown = Vec::new();
        let mut rest = &propagation.take_stream(Vec::new())[..];
        while let Some((value, taken)) = quorate_resp::Value::decode(rest).expect("RESP") {
            shown.push(value.to_string());
            rest = &rest[taken..];
        }
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn select_goes_in_front_when_the_database_changes() {
        check(
            |p| {
                p.command(DbIndex(0), &[b"SET", b"a", b"1"]);
                p.command(DbIndex(0), &[b"DEL", b"a"]);
                p.command(DbIndex(3), &[b"DEL", b"a"]);
            },
            "[$SELECT $0] [$SET $a $1] [$DEL $a] [$SELECT $3] [$DEL $a]",
        );
    }

    #[test]
    fn several_commands_of_a_unit_are_a_transaction() {
        let unit = |count: usize| {
            move |p: &mut Propagation| {
                p.begin_unit();
                for _ in 0..count {
                    p.begin_unit();
                    p.settle(DbIndex(0), &[b"INCR", b"a"], true);
                    p.end_unit();
                }
                p.end_unit();
            }
        };
        check(unit(0), "");
        check(unit(1), "[$SELECT $0] [$INCR $a]");
        check(unit(2), "[$SELECT $0] [$MULTI] [$INCR $a] [$INCR $a] [$EXEC]");
    }

    #[test]
    fn a_rewritten_command_goes_only_when_something_changed() {
        check(
            |p| {
                p.rewrite(&[b"SET", b"a", b"1"]);
                p.settle(DbIndex(0), &[b"INCRBYFLOAT"], false);
                p.rewrite(&[b"SET", b"a", b"2"]);
                p.settle(DbIndex(0), &[b"INCRBYFLOAT"], true);
                p.nothing();
                p.settle(DbIndex(0), &[b"X"], true);
            },
            "[$SELECT $0] [$SET $a $2]",
        );
    }
}
