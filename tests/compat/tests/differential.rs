//! Thousands of random commands, said to Redis and to us. Replay one run with `QUORATE_COMPAT_SEED=<seed>`.

use std::collections::BTreeSet;

use quorate_compat::grammar::{Item, Speaker, parse};
use quorate_compat::sides::{Heard, Ours, Stock};
use quorate_compat::verdict::{Order, Verdict, judge, judge_transaction};
use quorate_compat::vocabulary::{DESCRIBED_OTHERWISE, FRAMES, LEFT_OUT, SPOKEN, WAITING, is_gamble};
use quorate_resp::Value;

/// Commands a seed.
const COMMANDS: usize = 1500;
/// Seeds a run: a few seconds together.
const SEEDS: std::ops::Range<u64> = 0..24;
/// One command in so many opens a transaction.
const TRANSACTION: usize = 50;
/// Differences shown before the test gives up.
const SHOWN: usize = 25;

/// Both sides, and what they differed in.
struct Bench {
    stock: Stock,
    ours: Ours,
    faults: Vec<String>,
    seed: u64,
    said: Vec<String>,
}

impl Bench {
    /// Says a command that is compared.
    fn say(&mut self, order: Order, argv: &[Vec<u8>]) -> Verdict {
        self.say_and(argv, |theirs, ours| judge(order, argv, theirs, ours))
    }

    fn say_and(&mut self, argv: &[Vec<u8>], judge: impl Fn(&Heard, &Heard) -> Verdict) -> Verdict {
        let line = argv.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect::<Vec<_>>().join(" ");
        let (theirs, ours) = (self.stock.say(argv), self.ours.say(argv));
        self.said.push(line);
        let verdict = judge(&theirs, &ours);
        if verdict == Verdict::Fault {
            self.fault(&theirs, &ours);
        }
        if verdict != Verdict::Same {
            // What comes next must not differ because of this. (Inside MULTI it is queued: harmless.)
            self.both("flushall");
        }
        verdict
    }

    fn fault(&mut self, theirs: &Heard, ours: &Heard) {
        let recent = self.said[self.said.len().saturating_sub(4)..].join("\n        ");
        let (seed, number) = (self.seed, self.said.len());
        let (theirs, ours) = (theirs.bytes.escape_ascii(), ours.bytes.escape_ascii());
        let fault = format!("seed {seed}, command {number}:\n        {recent}\n  Redis {theirs}\n  ours  {ours}");
        self.faults.push(fault);
    }

    /// Says a line that is no part of the comparison.
    fn both(&mut self, line: &str) {
        let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.stock.say(&argv);
        self.ours.say(&argv);
    }

    fn compare(&mut self, line: &str) {
        let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let order = SPOKEN.iter().find(|(_, templates)| {
            templates.iter().any(|template| template.split(' ').next() == line.split(' ').next())
        });
        self.say(order.map_or(Order::Exact, |(order, _)| *order), &argv);
    }

    /// Looks at everything that is stored.
    fn audit(&mut self) {
        for db in 0..2 {
            self.compare(&format!("select {db}"));
            self.compare("dbsize");
            for kind in ["str", "list", "set", "hash", "zset", "lex"] {
                for number in 1..=3 {
                    let key = format!("{kind}:{number}");
                    for read in ["type", "get", "smembers", "hgetall", "ttl", "scard", "zcard", "llen"] {
                        self.compare(&format!("{read} {key}"));
                    }
                    if kind != "lex" {
                        self.compare(&format!("object encoding {key}"));
                    }
                    self.compare(&format!("lrange {key} 0 -1"));
                    self.compare(&format!("zrange {key} 0 -1 withscores"));
                }
            }
        }
    }
}

/// A seed's setting: every other one has thresholds so low that collections are large, and every other two speak RESP3.
fn set_up(bench: &mut Bench, seed: u64) {
    (bench.seed, bench.said) = (seed, Vec::new());
    bench.both("flushall");
    bench.both("select 0");
    bench.both(if seed & 2 == 0 { "hello 2" } else { "hello 3" });
    let entries = if seed & 1 == 0 { 128 } else { 3 };
    for directive in ["hash-max-listpack-entries", "zset-max-listpack-entries", "set-max-intset-entries"] {
        bench.both(&format!("config set {directive} {entries}"));
    }
    bench.both(&format!("config set list-max-listpack-size {}", if seed & 1 == 0 { -2 } else { 3 }));
}

#[test]
fn random_commands_get_the_same_replies() {
    let templates: Vec<(Order, Vec<Item>)> =
        SPOKEN.iter().flat_map(|(order, templates)| templates.iter().map(|text| (*order, parse(text)))).collect();
    let exact: Vec<&Vec<Item>> = templates.iter().filter(|(order, _)| *order == Order::Exact).map(|(_, t)| t).collect();
    let waiting: Vec<Vec<Item>> = WAITING.iter().map(|text| parse(text)).collect();
    let waiting: Vec<&Vec<Item>> = waiting.iter().collect();
    let mut bench = Bench { stock: Stock::start(), ours: Ours::start(), faults: Vec::new(), seed: 0, said: Vec::new() };
    let asked = std::env::var("QUORATE_COMPAT_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    let seeds = asked.map_or(SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        set_up(&mut bench, seed);
        let mut speaker = Speaker { rng: fastrand::Rng::with_seed(seed) };
        for _ in 0..COMMANDS {
            if bench.faults.len() >= SHOWN {
                break;
            }
            if speaker.rng.usize(..TRANSACTION) == 0 {
                transaction(&mut bench, &mut speaker, &exact, &waiting);
            } else {
                let (order, template) = &templates[speaker.rng.usize(..templates.len())];
                let argv = speaker.command(template);
                if !is_gamble(&argv) {
                    bench.say(*order, &argv);
                }
            }
        }
        bench.audit();
    }
    let faults = &bench.faults;
    assert!(faults.is_empty(), "{} differences\n{}", faults.len(), faults.join("\n"));
}

/// `[WATCH] MULTI … EXEC|DISCARD`, blocking commands among the others.
fn transaction(bench: &mut Bench, speaker: &mut Speaker, exact: &[&Vec<Item>], waiting: &[&Vec<Item>]) {
    if speaker.rng.bool() {
        bench.compare("watch str:1 list:1 zset:1");
        let template = exact[speaker.rng.usize(..exact.len())];
        let argv = speaker.command(template);
        bench.say(Order::Exact, &argv);
    }
    bench.compare("multi");
    let (mut queued, mut alike) = (Vec::new(), true);
    for _ in 0..speaker.rng.usize(1..6) {
        let from = if speaker.rng.bool() { exact } else { waiting };
        let template = from[speaker.rng.usize(..from.len())];
        let argv = speaker.command(template);
        alike &= bench.say(Order::Exact, &argv) == Verdict::Same;
        queued.push(argv);
    }
    // Where one side has refused to queue what the other has queued, EXEC differs, too.
    if !alike || speaker.rng.u8(..8) == 0 {
        bench.compare("discard");
    } else {
        bench.say_and(&[b"exec".to_vec()], |theirs, ours| judge_transaction(&queued, theirs, ours));
    }
    bench.both("select 0");
}

#[test]
fn every_command_is_spoken_or_left_out() {
    let mut ours = Ours::start();
    let list = ours.say(&[b"command".to_vec(), b"list".to_vec()]);
    // A subcommand (`config|get`) is spoken, or left out, with its container.
    let container = |name: String| name.split('|').next().unwrap_or_default().to_owned();
    let table: BTreeSet<String> = list.value.elements().expect("an array").iter().map(name).map(container).collect();
    let first = |template: &&str| template.split(' ').next().unwrap_or_default().to_owned();
    let mut spoken: BTreeSet<String> = SPOKEN.iter().flat_map(|(_, templates)| templates.iter().map(first)).collect();
    spoken.extend(WAITING.iter().map(first));
    spoken.extend(FRAMES.iter().map(first));
    let left_out: BTreeSet<String> = LEFT_OUT.iter().flat_map(|(_, names)| names.iter().map(first)).collect();
    let missing: Vec<&String> =
        table.iter().filter(|name| !spoken.contains(*name) && !left_out.contains(*name)).collect();
    assert!(missing.is_empty(), "say these in vocabulary.rs, or leave them out with a reason: {missing:?}");
    let both: Vec<&String> = spoken.intersection(&left_out).collect();
    assert!(both.is_empty(), "spoken and left out: {both:?}");
}

#[test]
fn commands_are_described_as_redis_describes_them() {
    let (mut stock, mut ours) = (Stock::start(), Ours::start());
    let table = ours.say(&[b"command".to_vec(), b"list".to_vec()]);
    let mut faults = Vec::new();
    for command in table.value.elements().expect("an array").iter().map(name) {
        let asked = [b"command".to_vec(), b"info".to_vec(), command.clone().into_bytes()];
        let (theirs, ours) = (stock.say(&asked).value, ours.say(&asked).value);
        let (theirs, ours) = (described(&theirs), described(&ours));
        let is_known = DESCRIBED_OTHERWISE.iter().any(|(_, names)| names.contains(&command.as_str()));
        if theirs.is_none() || theirs == ours || is_known {
            continue;
        }
        faults.push(format!("{command}\n  Redis {}\n  ours  {}", theirs.unwrap_or_default(), ours.unwrap_or_default()));
    }
    assert!(faults.is_empty(), "{} differences\n{}", faults.len(), faults.join("\n"));
}

/// Arity, flags, keys and categories of COMMAND INFO's reply for one command; nothing where it is unknown.
fn described(reply: &Value) -> Option<String> {
    let fields = reply.elements()?.first()?.elements()?;
    let set = |field: &Value| {
        let mut words: Vec<String> = field.elements().unwrap_or_default().iter().map(name).collect();
        words.sort_unstable();
        words.join(" ")
    };
    let (arity, keys) = (&fields[1], &fields[3..6]);
    Some(format!("{arity} [{}] {keys:?} [{}]", set(&fields[2]), set(&fields[6])))
}

fn name(value: &Value) -> String {
    String::from_utf8_lossy(value.bytes().expect("a name")).into_owned()
}
