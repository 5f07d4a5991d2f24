//! How answers look to people: aligned columns, colours where a terminal wants them. `anstream` drops colours for pipes and NO_COLOR.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use quorate_rpc::v1;

/// What is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What is under way.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What is not well.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Headings.
pub const HEAD: Style = Style::new().bold();
/// Side notes.
pub const DIM: Style = Style::new().dimmed();
/// Nothing special.
pub const PLAIN: Style = Style::new();

/// Rows of cells, aligned when shown.
pub struct Table {
    indent: usize,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self { indent: 0, rows: vec![headings.iter().map(|heading| ((*heading).to_owned(), HEAD)).collect()] }
    }

    /// The same, set in by so many columns.
    pub fn indented(headings: &[&str], indent: usize) -> Self {
        Self { indent, ..Self::new(headings) }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Style)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, with colours. Width is counted in characters: names, addresses and numbers are narrow.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for ((text, style), width) in row.iter().zip(&widths) {
                let padding = " ".repeat(width - text.chars().count() + 2);
                let _ = write!(line, "{style}{text}{style:#}{padding}");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// A plain cell.
pub fn cell(text: impl ToString) -> (String, Style) {
    (text.to_string(), PLAIN)
}

fn health_style(health: &str) -> Style {
    match health {
        "online" => GOOD,
        "suspect" | "unknown" => WARN,
        _ => BAD,
    }
}

fn status_style(status: &str) -> Style {
    match status {
        "ok" => GOOD,
        "failover" => WARN,
        _ => BAD,
    }
}

/// A group and its nodes.
pub fn group(group: &v1::Group) -> String {
    let status = status_style(&group.status);
    let mut out = format!(
        "{HEAD}group {}{HEAD:#}  {status}{}{status:#}  epoch {}  durability {}{}  quorum {}  down-after {} ms\n",
        group.name,
        group.status,
        group.epoch,
        group.durability,
        if group.stock { " (holds stock nodes)" } else { "" },
        group.quorum,
        group.down_after_ms,
    );
    out.push_str(&voting(group));
    if !group.failover_phase.is_empty() {
        let _ = writeln!(out, "  failover: {}", group.failover_phase);
    }
    let heads = ["NODE", "ROLE", "SAYS", "HEALTH", "VOTE", "OFFSET", "LAG", "LINK", "PRIORITY", "TAGS"];
    let mut table = Table::indented(&heads, 2);
    for node in &group.nodes {
        let link = if node.link_up { ("up".to_owned(), GOOD) } else { ("down".to_owned(), BAD) };
        table.row([
            cell(&node.name),
            (node.role.clone(), if node.role == "master" { HEAD } else { PLAIN }),
            cell(if node.reported_role.is_empty() { "-" } else { &node.reported_role }),
            (node.health.clone(), health_style(&node.health)),
            vote(node),
            cell(node.offset),
            cell(node.lag),
            link,
            cell(node.priority),
            cell(if node.tags.is_empty() { "-".to_owned() } else { node.tags.join(",") }),
        ]);
    }
    out + &table.render()
}

/// Who counts, and how many must.
fn voting(group: &v1::Group) -> String {
    let Some(voting) = &group.voting else { return String::new() };
    let mut out = format!("  config {}  voters {}", voting.version, voting.voters.len());
    if group.durability == "quorum" {
        let _ = write!(out, "  copies {}  ack {}  committed {}", voting.copies, voting.ack, voting.committed_offset);
    }
    let _ = write!(out, "  lease {} ms", voting.lease_ms);
    if !voting.settled {
        let _ = write!(out, "  {WARN}changing{WARN:#}");
    }
    if voting.wanted != group.durability {
        let _ = write!(out, "  {WARN}durability {} is asked for{WARN:#}", voting.wanted);
    }
    out + "\n"
}

fn vote(node: &v1::Node) -> (String, Style) {
    match (node.voter, node.leaving) {
        (_, true) => ("leaves".to_owned(), WARN),
        (true, false) => ("yes".to_owned(), GOOD),
        (false, false) => ("no".to_owned(), DIM),
    }
}

/// The sentinels.
pub fn sentinels(reply: &v1::ListSentinelsReply) -> String {
    let mut out = format!("{HEAD}sentinels{HEAD:#}  term {}\n", reply.term);
    let mut table = Table::indented(&["SENTINEL", "API", "ROLE", "ALIVE", "ID"], 2);
    for sentinel in &reply.sentinels {
        let alive = if sentinel.alive { ("yes".to_owned(), GOOD) } else { ("no".to_owned(), BAD) };
        let role = if sentinel.role == "leader" { HEAD } else { PLAIN };
        table.row([
            cell(&sentinel.resp_address),
            cell(&sentinel.api_address),
            (sentinel.role.clone(), role),
            alive,
            (sentinel.id.chars().take(8).collect(), DIM),
        ]);
    }
    out.push_str(&table.render());
    out
}

/// One event on one line.
pub fn event(event: &v1::Event) -> String {
    let style = match event.name.as_str() {
        "+switch-master" | "+failover-end" | "-sdown" | "-odown" => GOOD,
        "+sdown" | "+odown" => BAD,
        name if name.starts_with("-failover-abort") => BAD,
        name if name.starts_with("+failover") || name == "+try-failover" => WARN,
        _ => PLAIN,
    };
    let name = &event.name;
    format!("{DIM}{}{DIM:#}  {style}{name}{style:#}  {}", clock(event.unix_ms), event.text)
}

/// `2026-11-22 16:03:07.123` in UTC. Source: days to civil date, Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub fn clock(unix_ms: u64) -> String {
    let (days, ms) = ((unix_ms / 86_400_000) as i64, unix_ms % 86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_the_colours() {
        let mut table = Table::new(&["A", "LONG"]);
        table.row([("value".to_owned(), GOOD), cell(7)]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain.lines().map(str::trim_end).collect::<Vec<_>>(), ["A      LONG", "value  7"]);
    }

    #[test]
    fn clock_knows_leap_days() {
        assert_eq!(clock(0), "1970-01-01 00:00:00.000");
        assert_eq!(clock(951_782_400_000), "2000-02-29 00:00:00.000");
        assert_eq!(clock(1_795_363_387_123), "2026-11-22 16:03:07.123");
        assert_eq!(clock(4_107_542_399_999), "2100-02-28 23:59:59.999");
        assert_eq!(clock(4_107_542_400_000), "2100-03-01 00:00:00.000");
    }
}
