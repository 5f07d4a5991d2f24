//! DEBUG DIGEST and DIGEST-VALUE: a digest of the data that depends on nothing but keys, values and whether they expire.
//!
//! It is the digest that Redis computes, so that a node's data may be compared with a real Redis's. Two ways to add to one: in order
//! (`then`: a list's elements), or in any (`with`: the members of a set). Source: what Redis 7 answers; a test has its values.

use quorate_collections::sha1::{DIGEST_LEN, sha1};
use quorate_keyspace::{Db, DbIndex, Keyspace, Kind, StrRef, UnixMs, ValueRef};

/// A digest that grows.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; DIGEST_LEN]);

impl Digest {
    /// Adds something whose place does not matter.
    fn with(&mut self, bytes: &[u8]) {
        for (sum, byte) in self.0.iter_mut().zip(sha1(bytes)) {
            *sum ^= byte;
        }
    }

    /// Adds something that comes behind all that was added so far.
    fn then(&mut self, bytes: &[u8]) {
        self.with(bytes);
        self.0 = sha1(&self.0);
    }

    fn text(&mut self, text: StrRef<'_>, add: fn(&mut Digest, &[u8])) {
        add(self, text.text(&mut [0; quorate_collections::text::INT_TEXT_MAX]));
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The digest of every database.
pub(crate) fn of_all(keyspace: &mut Keyspace) -> Digest {
    let mut all = Digest::default();
    for number in 0..keyspace.databases() {
        let db = keyspace.db(DbIndex(number));
        if db.is_empty() {
            continue;
        }
        all.then(&u32::from(number).to_be_bytes());
        for (key, value) in db.keys() {
            let mut one = Digest::default();
            one.then(key);
            add_value(&mut one, value, db.expiry(key).flatten());
            all.with(&one.0);
        }
    }
    all
}

/// The digest of one key's value: zeros if there is none.
pub(crate) fn of_key(db: &Db<'_>, key: &[u8]) -> Digest {
    let mut digest = Digest::default();
    if let Some(value) = db.peek(key) {
        add_value(&mut digest, value, db.expiry(key).flatten());
    }
    digest
}

fn add_value(digest: &mut Digest, value: ValueRef<'_>, expiry: Option<UnixMs>) {
    let kind: u32 = match value.kind() {
        Kind::String => 0,
        Kind::List => 1,
        Kind::Set => 2,
        Kind::Zset => 3,
        Kind::Hash => 4,
    };
    digest.then(&kind.to_be_bytes());
    match value {
        ValueRef::String(text) => digest.text(text, Digest::then),
        ValueRef::List(list) => list.iter().for_each(|element| digest.text(element, Digest::then)),
        ValueRef::Set(set) => set.iter().for_each(|member| digest.text(member, Digest::with)),
        ValueRef::Zset(zset) => zset.iter().for_each(|(member, score)| {
            let mut pair = Digest::default();
            pair.text(member, Digest::then);
            pair.then(seventeen_digits(score).as_bytes());
            digest.with(&pair.0);
        }),
        ValueRef::Hash(hash) => hash.iter().for_each(|(field, value)| {
            let mut pair = Digest::default();
            pair.text(field, Digest::then);
            pair.text(value, Digest::then);
            digest.with(&pair.0);
        }),
    }
    if expiry.is_some() {
        digest.with(b"!!expire!!");
    }
}

/// A score as C's `%.17g` prints it: up to seventeen significant digits, without trailing zeros.
fn seventeen_digits(score: f64) -> String {
    if !score.is_finite() {
        return quorate_resp::double_text(score);
    }
    let scientific = format!("{score:.16e}");
    let (digits, exponent) = scientific.split_once('e').expect("the e format always holds an e");
    let exponent: i32 = exponent.parse().expect("the e format ends in an integer");
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(16 - exponent) {
        Ok(decimals) if exponent >= -4 => bare(&format!("{score:.decimals$}")),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", bare(digits), exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::seventeen_digits;
    use crate::check::Stage;

    #[test]
    fn scores_are_printed_as_c_does() {
        let known = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (3.2e300, "3.2000000000000002e+300"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (score, text) in known {
            assert_eq!(seventeen_digits(score), text, "{score}");
        }
    }

    #[test]
    fn it_is_redis_s_own() {
        // What a Redis 7.0.15 says after the same commands.
        let mut stage = Stage::new();
        assert_eq!(stage.say(1, "debug digest"), format!("+{}", "0".repeat(40)));
        for command in DATA {
            stage.say(1, command);
        }
        assert_eq!(stage.say(1, "debug digest"), DIGEST);
        stage.say(1, "select 0");
        assert_eq!(stage.say(1, "debug digest-value s l x"), VALUES);
    }

    const DATA: [&str; 8] = [
        "set s hello",
        "set n 12 ex 1000",
        "rpush l a b 3",
        "sadd t x y 1",
        "hset h f v g 2",
        "zadd z 1 a 0.1 b inf c",
        "select 3",
        "set k other",
    ];
    const DIGEST: &str = "+33b955d612793c4e95712c5e637cdcaf7295fc73";
    const VALUES: &str = "[+36b23a1456b2dce2c3ed252c456761301dba8060 +09eb1fc9381ee92790d59930ab462945f8cd948b +0000000000000000000000000000000000000000]";
}
