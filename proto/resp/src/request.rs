//! Requests as a server reads them: arrays of bulk strings, or inline lines typed by a person.
//!
//! `Requests` cuts a buffer into commands without copying: an argument is a span of the buffer (only an inline command's
//! arguments, which may hold escapes, are copied). A command that is not complete yet leaves a `Partial`, with which parsing goes
//! on where it stopped: a value of 512 MiB that arrives in 64 KiB pieces is looked at once. Like Redis, the two bytes behind an
//! argument are skipped without looking at them.
//!
//! Bounds: see `Limits`; at most `at_most` commands a call. Source: the Redis protocol specification and Redis 7.0's own answers.

use crate::number::parse_int;

/// Longest inline request and longest count line: 64 KiB, as in Redis.
const MAX_LINE: usize = 64 * 1024;

/// What a peer may ask of us before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most arguments of one command. Redis: i32::MAX, or 10 before authentication.
    pub arguments: i64,
    /// Longest argument in bytes: proto-max-bulk-len (512 MiB), or 16 KiB before authentication.
    pub bulk: i64,
    /// Whether these are the limits of a peer that has not authenticated yet: changes the error's text.
    pub authenticated: bool,
}

impl Limits {
    /// The limits of a peer that may run commands; `max_bulk` is proto-max-bulk-len.
    #[must_use]
    pub fn of_peer(max_bulk: i64) -> Limits {
        Limits { arguments: i64::from(i32::MAX), bulk: max_bulk, authenticated: true }
    }

    /// The limits of a peer that still has to authenticate.
    #[must_use]
    pub fn of_stranger() -> Limits {
        Limits { arguments: 10, bulk: 16 * 1024, authenticated: false }
    }
}

/// Why a peer's bytes are no request. `Display` is what follows `-ERR `; the connection ends behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No line end within 64 KiB of an inline request.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// A quote was opened and not closed, or closed in the middle of a word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// No line end within 64 KiB of a `*`.
    #[error("Protocol error: too big mbulk count string")]
    CountTooBig,
    /// The number behind `*` is none, or too great.
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// Too many arguments for a peer that has not authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    StrangersCount,
    /// No line end within 64 KiB of a `$`.
    #[error("Protocol error: too big bulk count string")]
    BulkCountTooBig,
    /// Something else where an argument should begin.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    /// The number behind `$` is none, negative, or above the limit.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulk,
    /// Too long an argument for a peer that has not authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    StrangersBulk,
}

/// A reply line must stay one line, whatever the peer sent.
fn printable(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        0x20..=0x7e => byte as char,
        _ => '?',
    }
}

/// Where an argument lies: in the buffer, or among the unescaped inline arguments.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    len: usize,
}

/// The command at the end of a buffer that has not arrived whole. Offsets count from the command's first byte.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    spans: Vec<Span>,
    position: usize,
    arguments_left: u32,
    bulk: Option<usize>,
}

impl Partial {
    /// The argument that is arriving: its number, where its bytes begin, how many they are. `None` while that has not been said.
    #[must_use]
    pub fn arriving(&self) -> Option<(usize, usize, usize)> {
        self.bulk.map(|len| (self.spans.len(), self.position, len))
    }

    /// The bytes of the argument that is arriving go elsewhere, and its caller keeps them: it will be found empty, and what follows it in the
    /// buffer is the line's end behind it.
    pub fn leave_out(&mut self) {
        assert!(self.bulk.is_some(), "an argument is arriving");
        self.bulk = Some(0);
    }

    /// How many bytes the buffer must at least hold, from the command's first byte on, before parsing can get any further.
    #[must_use]
    pub fn needs(&self) -> usize {
        self.position + self.bulk.map_or(1, |len| len + 2)
    }
}

#[derive(Debug, Clone, Copy)]
struct Complete {
    spans_end: usize,
    consumed: usize,
    inline: bool,
}

/// The commands found in a buffer. Reused from call to call, so that parsing allocates nothing once warm.
#[derive(Debug, Default)]
pub struct Requests {
    spans: Vec<Span>,
    complete: Vec<Complete>,
    inline: Vec<u8>,
    consumed: usize,
    partial: Option<Partial>,
}

/// One command's arguments; never empty.
#[derive(Debug, Clone, Copy)]
pub struct Arguments<'a> {
    spans: &'a [Span],
    source: &'a [u8],
    consumed: usize,
}

impl<'a> Arguments<'a> {
    /// One of them; `None` behind the last.
    #[inline]
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&'a [u8]> {
        self.spans.get(number).map(|span| self.at(span))
    }

    /// All of them.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let this = *self;
        self.spans.iter().map(move |span| this.at(span))
    }

    /// How many bytes of the buffer are spent once this command has run.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    #[inline]
    fn at(&self, span: &Span) -> &'a [u8] {
        &self.source[span.start..][..span.len]
    }
}

impl Requests {
    /// Bytes that it keeps allocated.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
            + self.complete.capacity() * size_of::<Complete>()
            + self.inline.capacity()
    }

    /// Cuts `buffer` into at most `at_most` commands, going on from `partial` where an earlier call stopped (its command must then
    /// begin at the buffer's first byte). An error concerns what follows the commands found: those are still to be run.
    pub fn parse(
        &mut self,
        partial: Option<Partial>,
        buffer: &[u8],
        limits: &Limits,
        at_most: usize,
    ) -> Result<(), ProtocolError> {
        self.forget();
        let mut state = partial.unwrap_or_default();
        self.spans.append(&mut state.spans);
        while self.complete.len() < at_most && self.consumed < buffer.len() {
            let fresh = state.arguments_left == 0;
            let found = if fresh && self.short_command(buffer, limits) {
                continue;
            } else if fresh && buffer[self.consumed] != b'*' {
                self.inline_command(buffer)?
            } else {
                self.array_command(buffer, &mut state, limits)?
            };
            if !found {
                break;
            }
            (state.position, state.arguments_left, state.bulk) = (0, 0, None);
        }
        if state.arguments_left > 0 {
            let from = self.complete.last().map_or(0, |last| last.spans_end);
            state.spans = self.spans.split_off(from);
            for span in &mut state.spans {
                span.start -= self.consumed;
            }
            state.position -= self.consumed;
            self.partial = Some(state);
        }
        Ok(())
    }

    /// Forgets the commands found.
    pub fn forget(&mut self) {
        self.spans.clear();
        self.complete.clear();
        self.inline.clear();
        self.consumed = 0;
        self.partial = None;
    }

    /// Whether the last command found has not arrived whole.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// How many whole commands were found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.complete.len()
    }

    /// Whether no whole command was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.complete.is_empty()
    }

    /// The commands found, in their order. `buffer` is the one that they were found in.
    #[inline]
    pub fn commands<'a>(&'a self, buffer: &'a [u8]) -> impl Iterator<Item = Arguments<'a>> {
        let mut spans = &self.spans[..];
        let mut before = 0;
        self.complete.iter().map(move |command| {
            let own;
            (own, spans) = spans.split_at(command.spans_end - before);
            before = command.spans_end;
            let source = if command.inline { &self.inline[..] } else { buffer };
            Arguments { spans: own, source, consumed: command.consumed }
        })
    }

    /// How many bytes of the buffer all commands found have spent, empty lines and empty arrays behind them included.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// What to hand to the next call, together with the bytes not consumed and those that arrive.
    pub fn take_partial(&mut self) -> Option<Partial> {
        self.partial.take()
    }

    /// Returns whether a whole command (or an empty line) was taken.
    fn inline_command(&mut self, buffer: &[u8]) -> Result<bool, ProtocolError> {
        let rest = &buffer[self.consumed..];
        let Some(end) = rest.iter().take(MAX_LINE + 2).position(|&byte| byte == b'\n') else {
            return if rest.len() > MAX_LINE { Err(ProtocolError::InlineTooBig) } else { Ok(false) };
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let before = self.spans.len();
        let (spans, inline) = (&mut self.spans, &mut self.inline);
        split(line, &mut |word| {
            spans.push(Span { start: inline.len(), len: word.len() });
            inline.extend_from_slice(word);
        })
        .ok_or(ProtocolError::UnbalancedQuotes)?;
        self.consumed += end + 1;
        if self.spans.len() > before {
            self.complete.push(Complete { spans_end: self.spans.len(), consumed: self.consumed, inline: true });
        }
        Ok(true)
    }

    /// Takes a command that is here in whole and within the limits, if the numbers in it are short: nearly every one is. Anything else is looked at
    /// closely by `array_command`, which tells what is wrong and keeps what is there.
    #[inline]
    fn short_command(&mut self, buffer: &[u8], limits: &Limits) -> bool {
        let before = self.spans.len();
        let Some((count @ 1.., mut at)) = short_header(buffer, self.consumed, b'*') else { return false };
        let mut whole = count as i64 <= limits.arguments;
        for _ in 0..count {
            let Some((len, start)) = short_header(buffer, at, b'$').filter(|_| whole) else {
                whole = false;
                break;
            };
            at = start + len + 2;
            whole = at <= buffer.len() && len as i64 <= limits.bulk;
            self.spans.push(Span { start, len });
        }
        if !whole {
            self.spans.truncate(before);
            return false;
        }
        self.consumed = at;
        self.complete.push(Complete { spans_end: self.spans.len(), consumed: at, inline: false });
        true
    }

    /// Returns whether a whole command (or an empty array) was taken.
    fn array_command(&mut self, buffer: &[u8], state: &mut Partial, limits: &Limits) -> Result<bool, ProtocolError> {
        if state.arguments_left == 0 {
            let Some((line, next)) = line(buffer, self.consumed, ProtocolError::CountTooBig)? else {
                return Ok(false);
            };
            let count = parse_int(&line[1..]).filter(|&n| n <= i64::from(i32::MAX));
            let count = count.ok_or(ProtocolError::InvalidCount)?;
            if count > limits.arguments {
                return Err(if limits.authenticated {
                    ProtocolError::InvalidCount
                } else {
                    ProtocolError::StrangersCount
                });
            }
            if count <= 0 {
                self.consumed = next;
                return Ok(true);
            }
            state.arguments_left = count as u32;
            state.position = next;
        }
        while state.arguments_left > 0 {
            let len = match state.bulk {
                Some(len) => len,
                None => {
                    let Some((line, next)) = line(buffer, state.position, ProtocolError::BulkCountTooBig)? else {
                        return Ok(false);
                    };
                    if line.first() != Some(&b'$') {
                        return Err(ProtocolError::ExpectedBulk(buffer[state.position]));
                    }
                    let len = parse_int(&line[1..]).filter(|n| *n >= 0);
                    let len = len.ok_or(ProtocolError::InvalidBulk)?;
                    if len > limits.bulk {
                        return Err(if limits.authenticated {
                            ProtocolError::InvalidBulk
                        } else {
                            ProtocolError::StrangersBulk
                        });
                    }
                    state.position = next;
                    *state.bulk.insert(len as usize)
                }
            };
            if buffer.len() - state.position < len + 2 {
                return Ok(false);
            }
            self.spans.push(Span { start: state.position, len });
            state.position += len + 2;
            state.bulk = None;
            state.arguments_left -= 1;
        }
        self.consumed = state.position;
        self.complete.push(Complete { spans_end: self.spans.len(), consumed: self.consumed, inline: false });
        Ok(true)
    }
}

/// Digits of a number that `short_header` reads: far from overflowing.
const SHORT: usize = 6;

/// A header of few digits, which nearly all are: its number, and where the next line begins. `None`: look closer.
#[inline]
fn short_header(buffer: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let (first, digits) = buffer.get(at..)?.split_first()?;
    if *first != kind {
        return None;
    }
    let mut number = 0;
    for (count, byte) in digits.iter().enumerate().take(SHORT + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let canonical = count == 1 || count > 1 && digits[0] != b'0';
            return (*byte == b'\r' && canonical).then_some((number, at + count + 3));
        }
        number = number * 10 + usize::from(digit);
    }
    None
}

/// The line at `from` without its end, and where the next begins; `None` while it has not arrived.
#[inline]
fn line(buffer: &[u8], from: usize, too_big: ProtocolError) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let rest = &buffer[from.min(buffer.len())..];
    match rest.iter().take(MAX_LINE + 1).position(|&byte| byte == b'\r') {
        Some(end) if end + 2 <= rest.len() => Ok(Some((&rest[..end], from + end + 2))),
        Some(_) => Ok(None),
        None if rest.len() > MAX_LINE => Err(too_big),
        None => Ok(None),
    }
}

/// Splits a line into words as redis-cli and redis.conf do: `"a\x00b\n"` with escapes, `'it\'s'` without. `None` for unbalanced quotes.
#[must_use]
pub fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    split(line, &mut |word| words.push(word.to_vec()))?;
    Some(words)
}

fn split(line: &[u8], found: &mut dyn FnMut(&[u8])) -> Option<()> {
    let mut rest = line;
    let mut word = Vec::new();
    loop {
        while let [first, tail @ ..] = rest
            && is_space(*first)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Some(());
        }
        word.clear();
        rest = word_from(rest, &mut word)?;
        found(&word);
    }
}

/// Reads one word from the front of `rest`, which begins with no space.
fn word_from<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            [b'"', tail @ ..] => return closed(double_quoted(tail, word)?),
            [b'\'', tail @ ..] => return closed(single_quoted(tail, word)?),
            [byte, ..] if is_space(*byte) || *byte == 0 => return Some(&rest[1..]),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

/// A closing quote must be followed by a space or by nothing.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|byte| is_space(*byte)).then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) * 16 + hex(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return Some(tail),
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    (digit as char).to_digit(16).expect("only called on hexadecimal digits") as u8
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of every size; all must give the same commands and the same end.
    fn check(input: &[u8], commands: &[&[&[u8]]], end: Option<ProtocolError>) {
        check_within(input, commands, end, &Limits::of_peer(512 << 20));
    }

    fn check_within(input: &[u8], commands: &[&[&[u8]]], end: Option<ProtocolError>, limits: &Limits) {
        for piece in [1, 2, 3, 7, input.len().max(1)] {
            let mut requests = Requests::default();
            let (mut rest, mut partial, mut found, mut error) = (Vec::new(), None, Vec::new(), None);
            for chunk in input.chunks(piece) {
                rest.extend_from_slice(chunk);
                loop {
                    let outcome = requests.parse(partial.take(), &rest, limits, 2);
                    for command in requests.commands(&rest) {
                        found.push(command.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
                    }
                    rest.drain(..requests.consumed());
                    partial = requests.take_partial();
                    error = outcome.err();
                    if error.is_some() || requests.len() < 2 {
                        break;
                    }
                }
                if error.is_some() {
                    break;
                }
            }
            assert_eq!(found, commands, "in pieces of {piece}");
            assert_eq!(error, end, "in pieces of {piece}");
        }
    }

    #[test]
    fn arrays_arrive_in_any_pieces() {
        check(b"*2\r\n$3\r\nget\r\n$1\r\na\r\n*1\r\n$4\r\nping\r\n", &[&[b"get", b"a"], &[b"ping"]], None);
        check(b"*0\r\n*-1\r\n\r\n*1\r\n$0\r\n\r\n", &[&[b""]], None);
        check(b"*3\r\n$3\r\nset\r\n$2\r\n\r\n\r\n$5\r\n$1\r\na\r\n", &[&[b"set", b"\r\n", b"$1\r\na"]], None);
    }

    /// The first `kept` bytes of an argument are in the buffer when it is left out.
    fn check_left_out(kept: usize) {
        let limits = Limits::of_peer(512 << 20);
        let (head, rest) = (b"*3\r\n$3\r\nset\r\n$8\r\n", b"\r\n$1\r\nb\r\n*1\r\n$4\r\nping\r\n");
        for piece in 1..=rest.len() {
            let mut requests = Requests::default();
            let mut buffer = [&head[..], &b"argument"[..kept]].concat();
            assert_eq!(requests.parse(None, &buffer, &limits, 2), Ok(()));
            let mut partial = requests.take_partial();
            let arriving = partial.as_mut().expect("it has not arrived whole");
            assert_eq!(arriving.arriving(), Some((1, head.len(), 8)));
            arriving.leave_out();
            buffer.truncate(head.len());
            let mut found = Vec::new();
            for piece in rest.chunks(piece) {
                buffer.extend_from_slice(piece);
                assert_eq!(requests.parse(partial.take(), &buffer, &limits, 2), Ok(()));
                found.extend(requests.commands(&buffer).map(|one| one.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()));
                buffer.drain(..requests.consumed());
                partial = requests.take_partial();
            }
            assert_eq!(found, [vec![b"set".to_vec(), Vec::new(), b"b".to_vec()], vec![b"ping".to_vec()]]);
        }
    }

    #[test]
    fn an_argument_may_be_kept_elsewhere() {
        (0..=8).for_each(check_left_out);
    }

    #[test]
    fn inline_commands_may_quote() {
        check(b"set a \"x\\x00\\n\\\"\" 'it\\'s'\r\nping\n", &[&[b"set", b"a", b"x\0\n\"", b"it's"], &[b"ping"]], None);
        check(b"  get   \"\" \r\n", &[&[b"get", b""]], None);
        check(b"get \"a\r\n", &[], Some(ProtocolError::UnbalancedQuotes));
        check(b"get 'a'b\r\n", &[], Some(ProtocolError::UnbalancedQuotes));
    }

    #[test]
    fn what_ran_before_an_error_still_runs() {
        check(b"ping\r\n*1\r\n:1\r\n", &[&[b"ping"]], Some(ProtocolError::ExpectedBulk(b':')));
        assert_eq!(ProtocolError::ExpectedBulk(b':').to_string(), "Protocol error: expected '$', got ':'");
    }

    #[test]
    fn lengths_out_of_bounds_are_refused() {
        check(b"*2147483648\r\n", &[], Some(ProtocolError::InvalidCount));
        check(b"*x\r\n", &[], Some(ProtocolError::InvalidCount));
        check(b"*1\r\n$-1\r\n", &[], Some(ProtocolError::InvalidBulk));
        check(b"*1\r\n$536870913\r\n", &[], Some(ProtocolError::InvalidBulk));
        check_within(b"*11\r\n", &[], Some(ProtocolError::StrangersCount), &Limits::of_stranger());
        check_within(b"*1\r\n$16385\r\n", &[], Some(ProtocolError::StrangersBulk), &Limits::of_stranger());
    }

    #[test]
    fn endless_lines_are_refused() {
        let limits = Limits::of_peer(512 << 20);
        for (first, error) in [(b'a', ProtocolError::InlineTooBig), (b'*', ProtocolError::CountTooBig)] {
            let mut input = vec![b'1'; MAX_LINE + 1];
            input[0] = first;
            assert_eq!(Requests::default().parse(None, &input, &limits, 1), Err(error));
        }
        let mut input = b"*1\r\n$".to_vec();
        input.extend(vec![b'1'; MAX_LINE + 1]);
        assert_eq!(Requests::default().parse(None, &input, &limits, 1), Err(ProtocolError::BulkCountTooBig));
    }

    #[test]
    fn words_of_a_line() {
        assert_eq!(split_line(b"save ''"), Some(vec![b"save".to_vec(), Vec::new()]));
        assert_eq!(split_line(b"a \"b"), None);
    }
}
