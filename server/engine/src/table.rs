//! Every command: the families' rows in one table, found by name. Built once a process, the same for all engines.

use std::sync::LazyLock;

use crate::Refusal;
use crate::command::Command;
use crate::commands;
use crate::multi::{Named, Row};

/// The families. A new file under `commands/` is named here and in `commands.rs`.
const FAMILIES: &[&[Command]] = &[
    commands::client::COMMANDS,
    commands::config::COMMANDS,
    commands::connection::COMMANDS,
    commands::counters::COMMANDS,
    commands::debug::COMMANDS,
    commands::expiry::COMMANDS,
    commands::function::COMMANDS,
    commands::generic::COMMANDS,
    commands::hash::COMMANDS,
    commands::introspection::COMMANDS,
    commands::list::COMMANDS,
    commands::list_moves::COMMANDS,
    commands::logs::COMMANDS,
    commands::object::COMMANDS,
    commands::pubsub::COMMANDS,
    commands::replication::COMMANDS,
    commands::server::COMMANDS,
    commands::set::COMMANDS,
    commands::sorted_set::COMMANDS,
    commands::string::COMMANDS,
    commands::persistence::COMMANDS,
    commands::transactions::COMMANDS,
];

/// Longest command name; anything longer is unknown.
const MAX_NAME: usize = 32;
/// Places of the open-addressed index: more than twice the number of commands that Redis has.
const PLACES: usize = 1024;

/// Rows and their index.
pub struct Table {
    rows: Vec<Row>,
    /// For each container's row number, where its subcommands' rows begin.
    first_sub: Vec<usize>,
    top: usize,
    index: Vec<u16>,
    /// The commands whose names fit a word, found by one multiplication and one comparison.
    short: Vec<Short>,
}

/// A command's name of up to eight letters, packed. A length of 0 is an empty place.
#[derive(Clone, Copy, Default)]
struct Short {
    word: u64,
    len: usize,
    row: u16,
}

/// A name of one to eight bytes in lower case, as a word: different names of one length give different words. Overlapping reads spare
/// a copy of variable length.
#[inline]
fn pack(name: &[u8]) -> Option<u64> {
    let word = match name {
        [a] => u64::from(*a),
        [a, b] => u64::from(*a) | u64::from(*b) << 8,
        [a, b, c] => u64::from(*a) | u64::from(*b) << 8 | u64::from(*c) << 16,
        _ if name.len() <= 8 => {
            let (first, last) = (name.first_chunk::<4>()?, name.last_chunk::<4>()?);
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => return None,
    };
    Some(lower(word))
}

/// Every byte from A to Z becomes lower case; all eight at once.
#[inline]
fn lower(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let low = word & (EACH * 0x7f);
    let from_a = low + EACH * u64::from(0x80 - b'A');
    let beyond_z = low + EACH * u64::from(0x7f - b'Z');
    let upper = from_a & !beyond_z & !word & (EACH * 0x80);
    word | upper >> 2
}

/// Where a packed name begins to look for its place. Knuth's multiplicative hashing: 2^64 over the golden ratio.
#[inline]
fn place_of(word: u64) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % PLACES
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table of {} rows", self.rows.len())
    }
}

/// FNV-1a over a lower-case name. Names come from our own rows; a peer's name costs at most a few probes.
fn hash(name: &[u8]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ (hash >> 32)) as usize
}

/// There is one table a process, so its rows live as long as that.
fn leak(number: usize, command: &'static Command, name: &'static str) -> Row {
    Box::leak(Box::new(Named { number, command, name }))
}

impl Table {
    /// The table.
    #[must_use]
    pub fn get() -> &'static Table {
        &TABLE
    }

    fn build() -> Table {
        let mut rows: Vec<Row> = Vec::new();
        for command in FAMILIES.iter().copied().flatten() {
            rows.push(leak(rows.len(), command, command.name));
        }
        let top = rows.len();
        let mut first_sub = vec![0; top];
        for number in 0..top {
            let container = rows[number].command;
            first_sub[number] = rows.len();
            for command in container.subcommands {
                let name: &'static str = Box::leak(format!("{}|{}", container.name, command.name).into_boxed_str());
                rows.push(leak(rows.len(), command, name));
            }
        }
        assert!(top < PLACES / 2, "the index has room for twice as many commands");
        let mut index = vec![u16::MAX; PLACES];
        let mut short = vec![Short::default(); PLACES];
        for row in &rows[..top] {
            assert!(
                row.name.len() <= MAX_NAME && row.name.bytes().all(|byte| !byte.is_ascii_uppercase()),
                "{}",
                row.name
            );
            let mut place = hash(row.name.as_bytes()) % PLACES;
            while index[place] != u16::MAX {
                assert_ne!(rows[index[place] as usize].name, row.name, "a command has two rows");
                place = (place + 1) % PLACES;
            }
            index[place] = row.number as u16;
            if let Some(word) = pack(row.name.as_bytes()) {
                let mut place = place_of(word);
                while short[place].len != 0 {
                    place = (place + 1) % PLACES;
                }
                short[place] = Short { word, len: row.name.len(), row: row.number as u16 };
            }
        }
        Table { rows, first_sub, top, index, short }
    }

    /// Every row, subcommands behind all commands.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every command, without subcommands.
    pub(crate) fn commands(&self) -> &[Row] {
        &self.rows[..self.top]
    }

    /// The subcommands of a command.
    pub(crate) fn subcommands(&self, row: Row) -> &[Row] {
        match self.first_sub.get(row.number) {
            Some(first) => &self.rows[*first..*first + row.command.subcommands.len()],
            None => &[],
        }
    }

    /// The command of this name, whatever its letters' case.
    #[inline]
    pub(crate) fn command(&self, name: &[u8]) -> Option<Row> {
        if let Some(word) = pack(name) {
            let mut place = place_of(word);
            while self.short[place].len != 0 {
                let known = self.short[place];
                if known.word == word && known.len == name.len() {
                    return Some(self.rows[known.row as usize]);
                }
                place = (place + 1) % PLACES;
            }
            return None;
        }
        self.long_command(name)
    }

    /// The command of this name, which is too long to be packed.
    fn long_command(&self, name: &[u8]) -> Option<Row> {
        let mut lower = [0u8; MAX_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let mut place = hash(lower) % PLACES;
        loop {
            let row = self.rows.get(self.index[place] as usize)?;
            if row.name.as_bytes() == lower {
                return Some(*row);
            }
            place = (place + 1) % PLACES;
        }
    }

    /// The row of a full name: `get`, `client|list`.
    pub(crate) fn named(&self, name: &[u8]) -> Option<Row> {
        match name.iter().position(|byte| *byte == b'|') {
            None => self.command(name),
            Some(bar) => {
                let container = self.command(&name[..bar])?;
                let named = |row: &&Row| row.command.name.as_bytes().eq_ignore_ascii_case(&name[bar + 1..]);
                self.subcommands(container).iter().find(named).copied()
            }
        }
    }

    /// The row that `argv` names: a command's, or a subcommand's of a container. The first two gates: unknown names and wrong arity.
    #[inline]
    pub(crate) fn find(&self, argv: &[&[u8]]) -> Result<Row, Refusal> {
        let row = self.command(argv[0]).ok_or_else(|| unknown(argv))?;
        self.complete(row, argv)
    }

    /// The same, the row of the command's own name being known.
    #[inline]
    pub(crate) fn complete(&self, row: Row, argv: &[&[u8]]) -> Result<Row, Refusal> {
        if row.command.subcommands.is_empty() && row.command.arity.fits(argv.len()) {
            return Ok(row);
        }
        self.subcommand(row, argv)
    }

    fn subcommand(&self, mut row: Row, argv: &[&[u8]]) -> Result<Row, Refusal> {
        if !row.command.subcommands.is_empty() && argv.len() > 1 {
            row = *self
                .subcommands(row)
                .iter()
                .find(|sub| argv[1].eq_ignore_ascii_case(sub.command.name.as_bytes()))
                .ok_or_else(|| {
                Refusal::UnknownSubcommand(cut(argv[1], 128), String::from_utf8_lossy(argv[0]).to_ascii_uppercase())
            })?;
        }
        if !row.command.arity.fits(argv.len()) {
            return Err(Refusal::Arity(row.name));
        }
        Ok(row)
    }
}

/// The first bytes, up to a zero byte: Redis prints these texts as C strings.
fn cut(text: &[u8], most: usize) -> String {
    let text = &text[..text.len().min(most)];
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).into_owned()
}

/// As Redis words it: at most 128 bytes of the name, and of all arguments.
fn unknown(argv: &[&[u8]]) -> Refusal {
    let mut arguments = String::new();
    for argument in &argv[1..] {
        if arguments.len() >= 128 {
            break;
        }
        arguments.push_str(&format!("'{}' ", cut(argument, 128 - arguments.len())));
    }
    Refusal::UnknownCommand(cut(argv[0], 128), arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;

    #[test]
    fn names_are_found_in_any_case() {
        check("PiNg", "+PONG");
        check("nosuch a b", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' ");
        check("client nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.");
        check("client", "-ERR wrong number of arguments for 'client' command");
        check("client id 1", "-ERR wrong number of arguments for 'client|id' command");
    }

    #[test]
    fn every_command_is_found_by_its_name_and_by_no_other() {
        let table = Table::get();
        for row in table.commands() {
            for name in [row.name.to_owned(), row.name.to_ascii_uppercase()] {
                assert_eq!(table.command(name.as_bytes()).map(|found| found.name), Some(row.name));
            }
            for other in [format!("{}\0", row.name), row.name[1..].to_owned(), format!("{}é", &row.name[1..])] {
                assert!(table.command(other.as_bytes()).is_none_or(|found| found.name == other), "{other}");
            }
        }
        assert!(table.command(b"").is_none() && table.command(b"g\x05t").is_none() && table.command(b"@et").is_none());
    }

    #[test]
    fn letters_are_lowered_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let word = u64::from_le_bytes([byte; 8]);
            assert_eq!(lower(word), u64::from_le_bytes([byte.to_ascii_lowercase(); 8]), "{byte}");
        }
    }

    #[test]
    fn every_row_is_described() {
        for row in Table::get().rows() {
            assert!(!row.command.summary.is_empty(), "{} has no summary", row.name);
            assert!(row.command.summary.ends_with('.'), "{}: a summary is a sentence", row.name);
        }
    }
}
