//! Reading a log back: commands in order, and the dataset's place in a replication history, with the byte where a broken tail begins.
//!
//! A file that ends in the middle of a command or of a transaction is *truncated*: its good part ends before that command,
//! or before the transaction's MULTI. Anything else that is not RESP is an error. Transactions are handed on as they are
//! (MULTI, commands, EXEC): whoever runs them must apply nothing before EXEC.

use std::io::{self, BufRead};

use crate::rdb::ReplicationPoint;

/// The longest line, and so the longest annotation, that is read. Source: commands in a log need 32.
const MAX_LINE: usize = 4096;
/// How many arguments a command of a log may have. Source: the limit on a client's multibulk, INT_MAX in Redis 7, less what
/// no write command of ours emits.
const MAX_ARGS: u64 = 16 * 1024 * 1024;
/// How much is allocated ahead of the bytes that fill it.
const STEP: usize = 1024 * 1024;

/// How a file of commands ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At the end of a command, outside MULTI.
    Clean {
        /// Bytes read.
        bytes: u64,
    },
    /// In the middle of a command or a transaction: the bytes before `valid` are good.
    Truncated {
        /// Where the broken tail begins.
        valid: u64,
    },
    /// At its beginning: it stands further on in the history than the files before it end, and nothing of it was run but SELECT.
    Gap {
        /// How many bytes of the history lie between.
        missing: u64,
    },
}

/// Why a log could not be read. Offsets count from where the reading began, plus the `start` that the caller gave.
#[derive(Debug, thiserror::Error)]
pub enum AofError {
    /// The reader failed.
    #[error("read error at byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// Not RESP.
    #[error("bad file format at byte {offset}: {what}")]
    Format {
        /// Where.
        offset: u64,
        /// What was wrong.
        what: &'static str,
    },
    /// A command in the log was refused.
    #[error("command at byte {offset} was refused: {reason}")]
    Refused {
        /// Where.
        offset: u64,
        /// Why.
        reason: String,
    },
}

/// Where a dataset stands in a replication history, and the epoch of its last write.
pub type Point = Option<(ReplicationPoint, u64)>;

/// What the PING that begins a mastership in the stream says, in front of its epoch (I5).
pub const BARRIER: &[u8] = b"quorate-epoch:";

/// The epoch that begins here, if the command is a mastership's barrier.
pub fn barrier(argv: &[&[u8]]) -> Option<u64> {
    let [name, text] = argv else { return None };
    if !name.eq_ignore_ascii_case(b"ping") {
        return None;
    }
    std::str::from_utf8(text.strip_prefix(BARRIER)?).ok()?.parse().ok()
}

/// Runs one command of a log; an error says why it was refused.
pub type Run<'a> = &'a mut dyn FnMut(&[&[u8]]) -> Result<(), String>;

/// Reads the commands of one file and hands each to `run`, whose error ends the load. `start` is how many bytes of the file
/// (an RDB preamble) were read before: offsets count from the file's beginning.
///
/// `point` comes in as what the files before say of the dataset's place and goes out as it is behind the last command that
/// counts: our annotations tell it, and the stream's bytes behind them advance it. Commands that no annotation of this file
/// precedes are not known to be that stream: they make the place unknown.
pub fn read_commands(input: &mut dyn BufRead, start: u64, point: &mut Point, run: Run<'_>) -> Result<Ending, AofError> {
    let mut reader = Reader { input, offset: start, bytes: Vec::new(), ends: Vec::new() };
    let mut multi_at = None;
    let (mut began, mut annotated) = (start > 0, false);
    let mut settled = start; // up to where `point` has advanced
    let mut db = None;
    loop {
        let at = reader.offset;
        let raw = match reader.entry() {
            Ok(raw) => raw,
            Err(Stop::End) if reader.offset == at && multi_at.is_none() => return Ok(Ending::Clean { bytes: at }),
            Err(Stop::End) => return Ok(Ending::Truncated { valid: multi_at.unwrap_or(at) }),
            Err(Stop::Error(error)) => return Err(error),
        };
        match raw {
            Raw::Unknown => settled += reader.offset - at,
            Raw::Point(found, epoch) => {
                let before = point.as_ref().map_or(u64::MAX, |(known, _)| known.offset);
                // Another name of the history counts on from where the old one was.
                if let (Some(missing @ 1..), false) = (found.offset.checked_sub(before), began) {
                    return Ok(Ending::Gap { missing });
                }
                began = true;
                (*point, annotated, settled) = (Some((found, epoch)), true, reader.offset);
            }
            Raw::Command => {
                let argv = reader.argv();
                let is = |name: &[u8]| argv[0].eq_ignore_ascii_case(name);
                began |= !is(b"select");
                if is(b"multi") {
                    multi_at = multi_at.or(Some(at));
                } else if is(b"exec") {
                    multi_at = None;
                } else if is(b"select") {
                    db = argv.get(1).and_then(|db| std::str::from_utf8(db).ok()?.parse().ok());
                } else if !annotated {
                    *point = None;
                }
                // Whoever holds what stands behind a barrier holds data of its epoch, also if the log ends before an annotation says so (I4).
                if let (Some(epoch), Some((_, known))) = (barrier(&argv), point.as_mut()) {
                    *known = epoch.max(*known);
                }
                run(&argv).map_err(|reason| AofError::Refused { offset: at, reason })?;
            }
        }
        if let (Some((found, _)), None, true) = (point.as_mut(), multi_at, annotated) {
            found.offset += reader.offset - settled;
            found.db = db.take().unwrap_or(found.db);
            settled = reader.offset;
        }
    }
}

/// Why reading stopped.
enum Stop {
    End,
    Error(AofError),
}

enum Raw {
    Command, // its arguments are in the reader
    Point(ReplicationPoint, u64),
    Unknown, // an annotation of somebody else
}

struct Reader<'r> {
    input: &'r mut dyn BufRead,
    offset: u64,
    bytes: Vec<u8>,   // the current command's arguments, one after the other
    ends: Vec<usize>, // where each ends in `bytes`
}

impl Reader<'_> {
    fn entry(&mut self) -> Result<Raw, Stop> {
        let at = self.offset;
        let line = self.line()?;
        if let Some(annotation) = line.strip_prefix(b"#") {
            let point = annotation.strip_prefix(b"Q:").and_then(super::append::parse_point);
            return Ok(point.map_or(Raw::Unknown, |(point, epoch)| Raw::Point(point, epoch)));
        }
        let count = number(&line, b'*').ok_or(format_error(at, "expected '*' and a number of arguments"))?;
        if count == 0 || count > MAX_ARGS {
            return Err(format_error(at, "a command must have between one argument and 16 million"));
        }
        self.bytes.clear();
        self.ends.clear();
        for _ in 0..count {
            let at = self.offset;
            let line = self.line()?;
            let len = number(&line, b'$').ok_or(format_error(at, "expected '$' and a length"))?;
            self.argument(len)?;
        }
        Ok(Raw::Command)
    }

    fn argument(&mut self, len: u64) -> Result<(), Stop> {
        let mut left = usize::try_from(len).map_err(|_| format_error(self.offset, "the length is out of range"))?;
        while left > 0 {
            let buffer = self.fill()?;
            let taken = buffer.len().min(left).min(STEP);
            // Grows by what has arrived: a length alone allocates nothing.
            let (bytes, part) =
                (&mut self.bytes, &self.input.fill_buf().map_err(|source| io_error(self.offset, source))?[..taken]);
            bytes.extend_from_slice(part);
            self.consume(taken);
            left -= taken;
        }
        self.ends.push(self.bytes.len());
        let at = self.offset;
        for expected in *b"\r\n" {
            let buffer = self.fill()?;
            if buffer[0] != expected {
                return Err(format_error(at, "an argument must end with CRLF"));
            }
            self.consume(1);
        }
        Ok(())
    }

    fn argv(&self) -> Vec<&[u8]> {
        let mut from = 0;
        let slice = |end: &usize| &self.bytes[std::mem::replace(&mut from, *end)..*end];
        self.ends.iter().map(slice).collect()
    }

    /// A line without its end. Redis takes a bare LF in a log; so do we.
    fn line(&mut self) -> Result<Vec<u8>, Stop> {
        let at = self.offset;
        let mut line = Vec::new();
        loop {
            let buffer = self.fill()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            line.extend_from_slice(&buffer[..taken.min(MAX_LINE + 1)]);
            self.consume(taken);
            if line.len() > MAX_LINE {
                return Err(format_error(at, "the line is too long"));
            }
            if end.is_some() {
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                return Ok(line);
            }
        }
    }

    /// What is buffered, never empty: the input's end is a [`Stop`].
    fn fill(&mut self) -> Result<&[u8], Stop> {
        let offset = self.offset;
        loop {
            match self.input.fill_buf() {
                Ok([]) => return Err(Stop::End),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(io_error(offset, source)),
            }
        }
        self.input.fill_buf().map_err(|source| io_error(offset, source))
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.offset += count as u64;
    }
}

fn format_error(offset: u64, what: &'static str) -> Stop {
    Stop::Error(AofError::Format { offset, what })
}

fn io_error(offset: u64, source: io::Error) -> Stop {
    Stop::Error(AofError::Io { offset, source })
}

fn number(line: &[u8], sign: u8) -> Option<u64> {
    let digits = line.strip_prefix(&[sign])?;
    if digits.first() == Some(&b'+') {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::append::annotation;
    use super::*;
    use proptest::prelude::*;

    fn check(log: &[u8], expected: &str) {
        check_behind(None, log, expected);
    }

    /// A file of a log whose files before it end at `point`.
    fn check_behind(mut point: Point, log: &[u8], expected: &str) {
        let mut seen = Vec::new();
        let mut source = io::BufReader::with_capacity(3, log);
        let ending = read_commands(&mut source, 0, &mut point, &mut |argv| {
            seen.push(argv.iter().map(|arg| String::from_utf8_lossy(arg)).collect::<Vec<_>>().join(" "));
            Ok(())
        });
        seen.push(match ending {
            Ok(Ending::Clean { bytes }) => format!("clean {bytes}"),
            Ok(Ending::Truncated { valid }) => format!("truncated {valid}"),
            Ok(Ending::Gap { missing }) => format!("gap {missing}"),
            Err(error) => error.to_string(),
        });
        if let Some((point, epoch)) = point {
            seen.push(format!("@{}/{}/{epoch}", point.offset, point.db));
        }
        assert_eq!(seen.join("|"), expected, "{:?}", String::from_utf8_lossy(log));
    }

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nv\n\r\n";

    #[test]
    fn commands_are_read_in_order() {
        check(b"", "clean 0");
        check(SET, "SET k v\n|clean 28");
    }

    const POINT: ReplicationPoint = ReplicationPoint { replid: [b'a'; 40], offset: 77, db: 3 };

    #[test]
    fn the_streams_bytes_behind_an_annotation_advance_the_point() {
        let log = [&annotation(&POINT, 9), &b"#TS:1700000000\r\n"[..], SET].concat();
        check(&log, &format!("SET k v\n|clean {}|@{}/3/9", log.len(), 77 + 28));
        let select = b"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n";
        let log = [select, &annotation(&POINT, 9)[..], SET, select].concat();
        check(&log, &format!("SELECT 5|SET k v\n|SELECT 5|clean {}|@{}/5/9", log.len(), 77 + 28 + 23));
    }

    #[test]
    fn what_does_not_count_does_not_advance_the_point() {
        let multi = b"*1\r\n$5\r\nMULTI\r\n";
        let log = [&annotation(&POINT, 9), SET, multi, SET].concat();
        let valid = log.len() - 28 - 15;
        check(&log, &format!("SET k v\n|MULTI|SET k v\n|truncated {valid}|@{}/3/9", 77 + 28));
        let mut point = Some((POINT, 9));
        read_commands(&mut &SET[..], 0, &mut point, &mut |_| Ok(())).unwrap();
        assert_eq!(point, None);
    }

    #[test]
    fn every_cut_of_a_command_is_a_truncation_before_it() {
        for cut in 1..SET.len() {
            let log = [SET, &SET[..cut]].concat();
            check(&log, "SET k v\n|truncated 28");
        }
    }

    #[test]
    fn an_open_transaction_is_cut_before_its_multi() {
        let multi = b"*1\r\n$5\r\nMULTI\r\n";
        let exec = b"*1\r\n$4\r\nEXEC\r\n";
        check(&[multi, SET, exec].concat(), "MULTI|SET k v\n|EXEC|clean 57");
        check(&[SET, multi, SET].concat(), "SET k v\n|MULTI|SET k v\n|truncated 28");
        check(&[SET, multi, SET, &exec[..5]].concat(), "SET k v\n|MULTI|SET k v\n|truncated 28");
    }

    #[test]
    fn what_is_not_a_log_is_refused_with_its_place() {
        check(b"PING\r\n", "bad file format at byte 0: expected '*' and a number of arguments");
        check(b"*0\r\n", "bad file format at byte 0: a command must have between one argument and 16 million");
        check(b"*1\r\n:1\r\n", "bad file format at byte 4: expected '$' and a length");
        check(b"*1\r\n$-1\r\n", "bad file format at byte 4: expected '$' and a length");
        check(b"*1\r\n$1\r\nab\r\n", "bad file format at byte 9: an argument must end with CRLF");
        check(&[b'*'; 5000], "bad file format at byte 0: the line is too long");
        check(b"*9999999\r\n$99999999999\r\nx", "truncated 0");
    }

    #[test]
    fn a_refusal_ends_the_load_where_it_happened() {
        let log = [SET, SET].concat();
        let mut count = 0;
        let result = read_commands(&mut &log[..], 100, &mut None, &mut |_| {
            count += 1;
            if count == 2 { Err("no".to_owned()) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().to_string(), "command at byte 128 was refused: no");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(log in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_commands(&mut &log[..], 0, &mut None, &mut |_| Ok(()));
        }
    }

    /// A loss of power takes the end of one file, and leaves the next.
    #[test]
    fn a_file_that_begins_too_far_on_is_behind_a_gap() {
        let select = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
        let behind = |offset: u64| Some((ReplicationPoint { replid: [b'b'; 40], offset, db: 0 }, 8));
        let log = [&select[..], &annotation(&POINT, 9), SET].concat();
        check_behind(behind(76), &log, "SELECT 3|gap 1|@76/0/8");
        let whole = format!("SELECT 3|SET k v\n|clean {}|@{}/3/9", log.len(), 77 + 28);
        check_behind(behind(77), &log, &whole);
        check_behind(behind(78), &log, &whole);
        check_behind(None, &log, &whole);
        // Behind an RDB preamble it is the same file that goes on.
        let ending = read_commands(&mut &log[..], 9, &mut behind(70), &mut |_| Ok(()));
        assert_eq!(ending.expect("a good file"), Ending::Clean { bytes: 9 + log.len() as u64 });
        // Not its beginning: what stands before the annotation need not be the stream's.
        let log = [SET, &annotation(&POINT, 9)[..]].concat();
        check_behind(behind(70), &log, &format!("SET k v\n|clean {}|@77/3/9", log.len()));
        let log = [&annotation(&ReplicationPoint { offset: 70, ..POINT }, 9)[..], &annotation(&POINT, 9)].concat();
        check_behind(behind(70), &log, &format!("clean {}|@77/3/9", log.len()));
    }

    /// I4: the log may end between a barrier and the annotation that names its epoch.
    #[test]
    fn a_barrier_is_proof_of_its_epoch() {
        let place = ReplicationPoint { replid: [b'a'; 40], offset: 100, db: 0 };
        let barrier = b"*2\r\n$4\r\nPING\r\n$15\r\nquorate-epoch:7\r\n";
        let log = [&annotation(&place, 6)[..], barrier].concat();
        check(&log, &format!("PING quorate-epoch:7|clean {}|@{}/0/7", log.len(), 100 + barrier.len()));
    }
}
