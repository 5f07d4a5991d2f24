//! Every command: the families' rows in one table, found by name. Built once a process, the same for all engines.

use std::sync::LazyLock;

use crate::Refusal;
use crate::command::Command;
use crate::commands;
use crate::multi::Row;

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

impl Table {
    /// The table.
    #[must_use]
    pub fn get() -> &'static Table {
        &TABLE
    }

    fn build() -> Table {
        let mut rows: Vec<Row> = Vec::new();
        for command in FAMILIES.iter().copied().flatten() {
            rows.push(Row { number: rows.len(), command, name: command.name });
        }
        let top = rows.len();
        let mut first_sub = vec![0; top];
        for number in 0..top {
            let container = rows[number].command;
            first_sub[number] = rows.len();
            for command in container.subcommands {
                let name: &'static str = Box::leak(format!("{}|{}", container.name, command.name).into_boxed_str());
                rows.push(Row { number: rows.len(), command, name });
            }
        }
        assert!(top < PLACES / 2, "the index has room for twice as many commands");
        let mut index = vec![u16::MAX; PLACES];
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
        }
        Table { rows, first_sub, top, index }
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
        let Some(mut row) = self.command(argv[0]) else { return Err(unknown(argv)) };
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
    fn every_row_is_described() {
        for row in Table::get().rows() {
            assert!(!row.command.summary.is_empty(), "{} has no summary", row.name);
            assert!(row.command.summary.ends_with('.'), "{}: a summary is a sentence", row.name);
        }
    }
}
