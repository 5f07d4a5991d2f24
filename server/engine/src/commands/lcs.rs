//! LCS: the longest common subsequence of two strings, by the usual table of lengths.

use quorate_resp::parse_int;

use crate::{Call, Refusal, Reply};

/// What LCS is asked for.
#[derive(Default)]
struct Asked {
    len: bool,
    index: bool,
    with_match_len: bool,
    min_match_len: i64,
}

/// A run of equal bytes in both strings: where it begins in each, and how long it is.
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

/// Lengths of the longest common subsequences of all prefixes: entry (i, j) is that of the first i and j bytes.
struct Lengths {
    width: usize,
    table: Vec<u32>,
}

impl Lengths {
    fn of(a: &[u8], b: &[u8]) -> Lengths {
        let width = b.len() + 1;
        let mut lengths = Lengths { width, table: vec![0; (a.len() + 1) * width] };
        for (i, byte) in (1..).zip(a) {
            for (j, other) in (1..).zip(b) {
                let len = match byte == other {
                    true => lengths.at(i - 1, j - 1) + 1,
                    false => lengths.at(i - 1, j).max(lengths.at(i, j - 1)),
                };
                lengths.table[i * width + j] = len;
            }
        }
        lengths
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.table[i * self.width + j]
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub fn lcs(call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let text = |key: &[u8]| match call.db.string(key) {
        Ok(text) => Ok(text.map(|text| text.to_vec()).unwrap_or_default()),
        Err(_) => Err(Refusal::fixed("ERR The specified keys must contain string values")),
    };
    let (a, b) = (text(call.argv[1])?, text(call.argv[2])?);
    let asked = parse(&call.argv[3..])?;
    // Four bytes a pair of prefixes; `proto-max-bulk-len` bounds that as it bounds a string.
    let cells = (a.len() as u64 + 1).saturating_mul(b.len() as u64 + 1);
    if cells.saturating_mul(4) > call.core.config.proto_max_bulk_len {
        return Err(Refusal::fixed("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let lengths = Lengths::of(&a, &b);
    let len = i64::from(lengths.at(a.len(), b.len()));
    if asked.len {
        return Ok(Reply::Int(len));
    }
    let runs = runs(&a, &b, &lengths);
    if !asked.index {
        let whole: Vec<&[u8]> = runs.iter().rev().map(|run| &a[run.a..run.a + run.len]).collect();
        return Ok(Reply::Bulk(whole.concat()));
    }
    write_runs(call, &runs, &asked, len);
    Ok(Reply::Written)
}

fn parse(options: &[&[u8]]) -> Result<Asked, Refusal> {
    let mut asked = Asked::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let is = |word: &str| option.eq_ignore_ascii_case(word.as_bytes());
        if is("idx") {
            asked.index = true;
        } else if is("len") {
            asked.len = true;
        } else if is("withmatchlen") {
            asked.with_match_len = true;
        } else if is("minmatchlen") {
            let len = options.next().ok_or(Refusal::Syntax)?;
            asked.min_match_len = parse_int(len).ok_or(Refusal::NotInteger)?.max(0);
        } else {
            return Err(Refusal::Syntax);
        }
    }
    if asked.index && asked.len {
        return Err(Refusal::fixed("ERR If you want both the length and indexes, please just use IDX."));
    }
    Ok(asked)
}

/// The runs that make up the subsequence, the last one first.
fn runs(a: &[u8], b: &[u8], lengths: &Lengths) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            match runs.last_mut() {
                Some(run) if run.a == i + 1 && run.b == j + 1 => *run = Run { a: i, b: j, len: run.len + 1 },
                _ => runs.push(Run { a: i, b: j, len: 1 }),
            }
        } else if lengths.at(i - 1, j) > lengths.at(i, j - 1) {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    runs
}

fn write_runs(call: &mut Call<'_>, runs: &[Run], asked: &Asked, len: i64) {
    let long_enough = || runs.iter().filter(|run| run.len as i64 >= asked.min_match_len);
    let out = &mut call.out;
    out.map(2);
    out.bulk(b"matches");
    out.array(long_enough().count());
    for run in long_enough() {
        out.array(if asked.with_match_len { 3 } else { 2 });
        for start in [run.a, run.b] {
            out.array(2);
            out.int(start as i64);
            out.int((start + run.len - 1) as i64);
        }
        if asked.with_match_len {
            out.int(run.len as i64);
        }
    }
    out.bulk(b"len");
    out.int(len);
}

#[cfg(test)]
mod tests {
    use crate::check::{check, scenario};

    #[test]
    fn the_subsequence_and_where_it_lies() {
        scenario(
            "> mset a ohmytext b mynewtext
             +OK
             > lcs a b
             $mytext
             > lcs a b len
             :6
             > lcs a b idx
             [$matches [[[:4 :7] [:5 :8]] [[:2 :3] [:0 :1]]] $len :6]
             > lcs a b idx minmatchlen 4 withmatchlen
             [$matches [[[:4 :7] [:5 :8] :4]] $len :6]
             > lcs a none
             $
             > lcs a none idx
             [$matches [] $len :0]
             > lcs a b idx len
             -ERR If you want both the length and indexes, please just use IDX.
             > lcs a b minmatchlen
             -ERR syntax error
             > lpush l x
             :1
             > lcs a l
             -ERR The specified keys must contain string values",
        );
        check("lcs a b what", "-ERR syntax error");
        check("lcs a b minmatchlen x", "-ERR value is not an integer or out of range");
    }
}
